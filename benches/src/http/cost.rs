//! CPU time of a request, and requests per second.

use crate::http::server::{ASKS, CALLER, PATH, REGISTRY, Server, TOKEN};
use crate::http::wrk::{Ask, load};
use crate::setup::accepted;
use crate::stats::{at_least, at_most, median, spread};
use rustix::time::{ClockId, clock_gettime};
use std::thread;

const ROUNDS: usize = 9;
const SECONDS: u32 = 2;
const CALLS: u32 = 20_000;

/// Returns the requests to the daemon, then to a bare axum without and with a registry.
fn asks() -> [Ask; 8] {
    let bearer = |credential: &str| vec![format!("Authorization: Bearer {credential}")];
    let post =
        |content_type: &str| vec![format!("Authorization: Bearer {CALLER}"), format!("Content-Type: {content_type}")];
    let get = |what, target, headers, good| Ask { what, method: "GET", target, headers, body: String::new(), good };
    [
        get("no token: 401", PATH, vec![], false),
        Ask::good(),
        get("unknown prefix: 401", PATH, bearer(&TOKEN.replace("dstok_", "other_")), false),
        Ask {
            what: "`/v1/introspect`",
            method: "POST",
            target: "/v1/introspect",
            headers: post("application/x-www-form-urlencoded"),
            body: format!("token={}", *TOKEN),
            good: true,
        },
        Ask {
            what: "`/v1/verify`",
            method: "POST",
            target: "/v1/verify",
            headers: post("application/json"),
            body: format!("{{\"token\":\"{}\"}}", *TOKEN),
            good: true,
        },
        get("bare axum, valid token", PATH, bearer(&TOKEN), true),
        get("bare axum that calls `Registry::verify`", ASKS, bearer(&TOKEN), true),
        get("valid token, again in the same second", PATH, bearer(&TOKEN), true),
    ]
}

/// The cost of one kind of request in one round.
#[derive(Clone, Copy)]
struct Cost {
    /// CPU time of the server's process, in microseconds per request.
    cpu: f64,
    rate: f64,
}

/// The cost of each row, and of a call by one thread and by two.
type Round = ([Cost; 8], [f64; 2]);

#[expect(clippy::indexing_slicing, reason = "a round has as many figures as there are rows and columns")]
pub(crate) fn run() {
    let (keyward, keeping, bare) = (Server::keyward(), Server::keeping(), Server::bare());
    let asks = asks();
    let mut rounds: Vec<Round> = Vec::new();
    for round in 0..=ROUNDS {
        let costs = asks.each_ref().map(|ask| {
            let server = match ask.what {
                what if what.starts_with("bare") => &bare,
                what if what.ends_with("second") => &keeping,
                _ => &keyward,
            };
            let before = server.cpu();
            let load = load(server.address(), ask, SECONDS);
            Cost { cpu: (server.cpu() - before) / load.requests * 1e6, rate: load.rate() }
        });
        let calls = [1, 2].map(verify);
        // The first round is a warm-up.
        if round > 0 {
            rounds.push((costs, calls));
        }
    }
    println!("| `wrk -t1 -c16` | server CPU, µs a request | requests a second |");
    println!("| --- | --- | --- |");
    for (at, ask) in asks.iter().enumerate() {
        let column = |get: fn(&Cost) -> f64| median(rounds.iter().filter_map(|(costs, _)| costs.get(at)).map(get));
        println!("| {} | {:.1} | {:.0} |", ask.what, column(|cost| cost.cpu), column(|cost| cost.rate));
    }
    for (at, what) in ["one thread", "two threads at once"].iter().enumerate() {
        let cpu = median(rounds.iter().filter_map(|(_, calls)| calls.get(at)).copied());
        println!("| `Registry::verify`, {what} | {cpu:.1} | |");
    }
    // Measures the cost of the registry in a server that does nothing else, under the same load.
    for (base, what) in [(0, "no token"), (2, "an unknown prefix")] {
        let added = |(costs, _): &Round| costs[1].cpu - costs[base].cpu;
        let ratios = |of: fn(&Round) -> f64| rounds.iter().map(|round| added(round) / of(round)).collect::<Vec<_>>();
        let in_server = ratios(|(costs, _)| costs[6].cpu - costs[5].cpu);
        at_most(&format!("CPU over {what}, relative to `Registry::verify` in a bare server"), &in_server, 1.5);
        println!("* the same, of two threads that call it: **{}**", spread(&ratios(|(_, calls)| calls[1])));
    }
    let share = |of: usize, base: usize| {
        rounds.iter().map(move |(costs, _)| costs[of].rate / costs[base].rate).collect::<Vec<_>>()
    };
    at_least("throughput over bare, of tokens that recur within a second", &share(7, 5), 0.6);
    println!(
        "* of tokens that do not: **{}**; over bare that calls: **{}**",
        spread(&share(1, 5)),
        spread(&share(1, 6))
    );
    println!("(medians of {ROUNDS} rounds; in brackets the minimum and the maximum)");
}

/// Returns the CPU time of one `Registry::verify` in microseconds, with the given number of threads
/// busy.
fn verify(threads: u32) -> f64 {
    let before = cpu();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..CALLS {
                    accepted(REGISTRY.verify_blocking(&TOKEN));
                }
            });
        }
    });
    (cpu() - before) / f64::from(CALLS * threads) * 1e6
}

/// Returns the CPU time of this process in seconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
