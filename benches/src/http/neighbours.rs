//! Valid requests beside hostile ones.

use crate::http::Done;
use crate::http::server::{PATH, Server};
use crate::http::wrk::{Ask, Load, load};
use crate::stats::{at_least, at_most, median};
use keyward_tests::http::{Connection, Request};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const SECONDS: u32 = 3;
const HOSTILE: usize = 16;

/// Minimum duration of a call that hit the handler's CPU limit; a refused call returns at once.
const CALL: Duration = Duration::from_millis(10);

/// Runs sixteen connections at full speed, with and without sixteen others that call a handler that
/// never returns.
pub(crate) fn run() {
    let server = Server::keyward();
    let good = Ask::good();
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let quiet = load(server.address(), &good, SECONDS);
        let (noisy, stopped) = beside_hostile(server.address(), || load(server.address(), &good, SECONDS));
        // The first round is a warm-up.
        if round > 0 {
            rounds.push((quiet, noisy, f64::from(stopped) / noisy.seconds));
        }
    }
    let column = |get: fn(&(Load, Load, f64)) -> f64| median(rounds.iter().map(get));
    println!("| `wrk -t1 -c16`, valid tokens | quiet | with {HOSTILE} looping calls |");
    println!("| --- | --- | --- |");
    println!("| requests a second | {:.0} | {:.0} |", column(|round| round.0.rate()), column(|round| round.1.rate()));
    println!("| p99, ms | {:.2} | {:.2} |", column(|round| round.0.p99 * 1e3), column(|round| round.1.p99 * 1e3));
    println!("| looping calls that were stopped, a second | | {:.0} |", column(|round| round.2));
    let rates: Vec<f64> = rounds.iter().map(|(quiet, noisy, _)| noisy.rate() / quiet.rate()).collect();
    let p99s: Vec<f64> = rounds.iter().map(|(quiet, noisy, _)| noisy.p99 / quiet.p99).collect();
    at_least("throughput beside them, relative to quiet", &rates, 0.85);
    at_most("p99 beside them, relative to quiet", &p99s, 2.0);
}

/// Runs `work` while sixteen hostile calls are in flight, and returns how many of these were
/// stopped.
fn beside_hostile<T>(to: SocketAddr, work: impl FnOnce() -> T) -> (T, u32) {
    let (done, stopped) = (AtomicBool::new(false), AtomicU32::new(0));
    let ask = || {
        let mut connection = Connection::open(to).unwrap();
        let request = Request::get(PATH).bearer("ho_x");
        while !done.load(Ordering::Relaxed) {
            let start = Instant::now();
            assert_eq!(connection.ask(&request).unwrap().status, 503);
            if start.elapsed() > CALL {
                stopped.fetch_add(1, Ordering::Relaxed);
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        }
    };
    let work = thread::scope(|scope| {
        let _done = Done(&done);
        for _ in 0..HOSTILE {
            scope.spawn(ask);
        }
        work()
    });
    (work, stopped.into_inner())
}
