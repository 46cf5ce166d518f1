//! Valid calls beside hostile ones, and slow calls on a busy machine.

use crate::sessions;
use crate::setup::{accepted, plain_request, runtime, signed, token};
use crate::stats::{at_least, at_most, median, quantile};
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::registry::RegistryBuilder;
use keyward_runtime::store::TokenStore;
use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime, StoreGrant};
use keyward_store::{Location, Store};
use keyward_tests::{bombs, hostile};
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TASKS: usize = 16;
const ROUNDS: usize = 5;
const LENGTH: Duration = Duration::from_secs(2);

/// The time that the API of a site takes.
const API: Duration = Duration::from_secs(1);

/// Colluding handlers, each with the component of a hostile case.
struct Scenario {
    name: &'static str,
    /// The cases, of which the handlers take one each in turn.
    cases: &'static [&'static str],
    handlers: usize,
    /// Number of calls in flight, over all handlers.
    calls: usize,
    /// Suffixes of the tokens that they verify in turn.
    tokens: &'static [&'static str],
    /// The time from the end of a call to the start of the next one in its place.
    pause: Duration,
    /// Loads components that are expensive to compile, one after another.
    loads: bool,
    /// Number of users with a session each, whose site takes a second to respond.
    sessions: usize,
    /// The share of the quiet throughput that must remain.
    bound: f64,
}

/// The scenario that the others vary.
const ONE: Scenario = Scenario {
    name: "",
    cases: &[],
    handlers: 1,
    calls: 1,
    tokens: &["x"],
    pause: Duration::ZERO,
    loads: false,
    sessions: 0,
    bound: 0.85,
};

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "16 loops of one handler", cases: &["loop-verify"], calls: 16, ..ONE },
    Scenario { name: "60 loops of two handlers", cases: &["loop-verify"], handlers: 2, calls: 60, ..ONE },
    Scenario { name: "60 loops of twelve handlers", cases: &["loop-verify"], handlers: 12, calls: 60, ..ONE },
    Scenario {
        name: "60 calls of two handlers, every other one a loop",
        cases: &["loop-every-other"],
        handlers: 2,
        calls: 60,
        tokens: &["quick", "loop"],
        ..ONE
    },
    Scenario {
        name: "60 calls of two handlers, of about ten milliseconds",
        cases: &["burns-and-accepts"],
        handlers: 2,
        calls: 60,
        ..ONE
    },
    Scenario {
        name: "60 calls of two handlers, of half a millisecond",
        cases: &["burns-a-little"],
        handlers: 2,
        calls: 60,
        ..ONE
    },
    Scenario { name: "2 calls of straight-line signatures", cases: &["straight-verify"], calls: 2, ..ONE },
    Scenario {
        name: "16 calls of straight-line hashes, two handlers",
        cases: &["straight-digest"],
        handlers: 2,
        calls: 16,
        ..ONE
    },
    Scenario {
        name: "80 calls of two handlers, 16 lookups each",
        cases: &["store-ask-not-too-often"],
        handlers: 2,
        calls: 80,
        ..ONE
    },
    Scenario {
        name: "ten kinds of hostile handlers, 100 calls a second each at most",
        cases: &hostile::TEN_KINDS,
        handlers: 10,
        calls: 10,
        pause: Duration::from_millis(10),
        ..ONE
    },
    Scenario { name: "loads of components that take seconds to compile", handlers: 0, calls: 0, loads: true, ..ONE },
    Scenario {
        name: "both of these at once, one load after another",
        cases: &hostile::TEN_KINDS,
        handlers: 10,
        calls: 10,
        pause: Duration::from_millis(10),
        loads: true,
        ..ONE
    },
    Scenario { name: "500 sessions that wait for a slow API", handlers: 0, calls: 0, sessions: 500, bound: 0.9, ..ONE },
];

/// Verifies with sixteen tasks on two workers, with and without the calls of each scenario in
/// flight.
pub(crate) fn run() {
    println!("| {TASKS} tasks on 2 workers, beside | quiet, verifies a second | beside them | p99, ms | |");
    println!("| --- | --- | --- | --- | --- |");
    let mut judged = Vec::new();
    for scenario in SCENARIOS {
        let folder = TempDir::new().unwrap();
        let store: Arc<dyn TokenStore> =
            Arc::new(Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap());
        let builder = Registry::builder(&runtime()).handler(signed(Scheme::HmacSha256));
        let registry = scenario.add(builder, &store).build().unwrap();
        let token: Arc<str> = token(&registry, plain_request()).into();
        let mut rounds = Vec::new();
        for round in 0..=ROUNDS {
            let (quiet, mut quiet_times) = measure(&registry, &token, None);
            let (noisy, mut noisy_times) = measure(&registry, &token, Some(scenario));
            if round > 0 {
                rounds.push((quiet, noisy, quantile(&mut quiet_times, 0.99), quantile(&mut noisy_times, 0.99)));
            }
        }
        let ratios: Vec<f64> = rounds.iter().map(|round| round.1 / round.0).collect();
        println!(
            "| {} | {:.0} | {:.0} | {:.2} → {:.2} | **{:.0} %** |",
            scenario.name,
            median(rounds.iter().map(|round| round.0)),
            median(rounds.iter().map(|round| round.1)),
            median(rounds.iter().map(|round| round.2)) * 1e3,
            median(rounds.iter().map(|round| round.3)) * 1e3,
            median(ratios.iter().copied()) * 100.0
        );
        judged.push((scenario, ratios, rounds.iter().map(|round| round.3 / round.2).collect::<Vec<_>>()));
    }
    println!();
    for (Scenario { name, bound, .. }, ratios, p99) in &judged {
        at_least(&format!("throughput beside {name}, relative to quiet"), ratios, *bound);
        at_most(&format!("p99 beside {name}, relative to quiet"), p99, 2.0);
    }
    busy_machine();
}

impl Scenario {
    /// Adds the hostile handlers, each with the grants of its case and its own keys.
    fn add(&self, mut builder: RegistryBuilder, store: &Arc<dyn TokenStore>) -> RegistryBuilder {
        for (number, case) in (0..self.handlers).zip(self.cases.iter().cycle()) {
            let hostile::Case { bytes, grants, .. } = hostile::case(case);
            let mut config = HandlerConfig::new(format!("hostile-{number}"), bytes, Actors::Any);
            config.prefixes = vec![prefix(number)];
            config.limits.verdict_cache_bytes = 0;
            if grants.keys {
                let secret = Secret::new([u8::try_from(number + 1).unwrap(); 32]);
                let ring = KeyRing::new(format!("ring-{number}"), secret, vec![]).unwrap();
                config.keys.insert("mine".into(), KeyGrant::new(Arc::new(ring)));
            }
            if grants.store {
                config.store = Some(StoreGrant { store: store.clone(), max: 100 });
            }
            builder = builder.handler(config);
        }
        if self.sessions > 0 {
            builder = builder.handler(sessions::site(API, Duration::ZERO));
        }
        builder
    }
}

/// Returns a prefix of three characters, as the cases expect.
fn prefix(number: usize) -> String {
    format!("h{}_", char::from(b'a' + u8::try_from(number).unwrap()))
}

/// Returns the verifications per second, and the duration of each round of a task in seconds.
fn measure(registry: &Registry, token: &Arc<str>, beside: Option<&'static Scenario>) -> (f64, Vec<f64>) {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicUsize::new(0));
    for call in 0..beside.map_or(0, |scenario| scenario.calls) {
        let (registry, stop, ended) = (registry.clone(), stop.clone(), ended.clone());
        let Some(scenario) = beside else { break };
        executor.spawn(async move {
            let tokens = scenario.tokens.iter().map(|end| format!("{}{end}", prefix(call % scenario.handlers)));
            let tokens: Vec<_> = tokens.collect();
            for token in tokens.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                match registry.verify(token).await {
                    // A refused call is not in flight: retry at the next tick.
                    Err(error) if error.code() == "busy" => tokio::time::sleep(Duration::from_millis(1)).await,
                    Ok(_) | Err(_) => drop(ended.fetch_add(1, Ordering::Relaxed)),
                }
                match scenario.pause {
                    Duration::ZERO => tokio::task::yield_now().await,
                    pause => tokio::time::sleep(pause).await,
                }
            }
        });
    }
    for number in 0..beside.map_or(0, |scenario| scenario.sessions) {
        let (registry, stop, ended) = (registry.clone(), stop.clone(), ended.clone());
        executor.spawn(async move {
            let request = sessions::request(&format!("session-{number:026}"));
            while !stop.load(Ordering::Relaxed) {
                match registry.identify(sessions::SITE, &request).await {
                    // The client retries.
                    Err(error) if error.code() == "busy" => tokio::time::sleep(API / 10).await,
                    other => {
                        accepted(other);
                        ended.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
    }
    let loads = beside.is_some_and(|scenario| scenario.loads).then(|| {
        let stop = stop.clone();
        thread::spawn(move || load_bombs(&stop))
    });
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (registry, token) = (registry.clone(), token.clone());
            executor.spawn(async move {
                let mut times = Vec::with_capacity(1 << 16);
                let mut last = start;
                while start.elapsed() < LENGTH {
                    accepted(registry.verify(&token).await);
                    // The time in which other tasks had the thread counts, so each round ends with
                    // the next result.
                    tokio::task::yield_now().await;
                    let now = Instant::now();
                    times.push((now - last).as_secs_f64());
                    last = now;
                }
                times
            })
        })
        .collect();
    let times: Vec<f64> = executor.block_on(async {
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        all
    });
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    executor.shutdown_timeout(Duration::from_secs(1));
    loads.into_iter().for_each(|loads| loads.join().unwrap());
    let has_calls = beside.is_some_and(|scenario| scenario.calls + scenario.sessions > 0);
    assert!(!has_calls || ended.load(Ordering::Relaxed) > 0, "the calls beside them ran");
    (rate, times)
}

/// Loads components until it is told to stop: one that is refused by its shape, and one that takes
/// the compile worker longer than a round.
fn load_bombs(stop: &AtomicBool) {
    let runtime = Runtime::builder().worker("/proc/self/exe").build().unwrap();
    let shape = bombs::with_code(&[], 1, 0, &b"\x20\0\x04\x40\x05\x0b".repeat(20_000));
    let slow = bombs::with_code(&[], 1, 200, &bombs::live(200, 200));
    while !stop.load(Ordering::Relaxed) {
        for bomb in [&shape, &slow] {
            runtime.inspect(bomb.as_slice()).unwrap_err();
        }
    }
}

/// Runs calls of some milliseconds in sequence while threads of other programs compete for every
/// core.
fn busy_machine() {
    const CALLS: usize = 20;
    let mut config = HandlerConfig::new("slow", hostile::case("burns-and-accepts").bytes, Actors::Any);
    config.prefixes = vec!["ho_".into()];
    config.limits.verdict_cache_bytes = 0;
    let registry = Registry::builder(&runtime()).handler(config).build().unwrap();
    let alone = Instant::now();
    accepted(registry.verify_blocking("ho_x"));
    let alone = alone.elapsed();
    let stop = Arc::new(AtomicBool::new(false));
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let spinners: Vec<_> = (0..cores)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    spin_loop();
                }
            })
        })
        .collect();
    let answers = (0..CALLS).filter(|_| registry.verify_blocking("ho_x").is_ok()).count();
    stop.store(true, Ordering::Relaxed);
    spinners.into_iter().for_each(|spinner| spinner.join().unwrap());
    println!(
        "\nA call of {:.0} ms on a machine whose {cores} cores all spin: **{answers} of {CALLS}** got a verdict.",
        alone.as_secs_f64() * 1e3
    );
}
