//! Good calls beside hostile ones.

use crate::setup::{accepted, plain_request, runtime, signed, token};
use crate::stats::{median, quantile};
use keyward_runtime::{Actors, HandlerConfig, Registry, Scheme};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const TASKS: usize = 16;
const HOSTILE: usize = 16;
const ROUNDS: usize = 7;
const LENGTH: Duration = Duration::from_secs(2);

/// Sixteen tasks on two workers verify as fast as they can; now and then, sixteen calls that never end are in flight.
pub(crate) fn run() {
    let mut looping = HandlerConfig::new("looping", keyward_tests::hostile::case("loop-verify").bytes, Actors::Any);
    looping.prefixes = vec!["ho_".into()];
    let registry = Registry::builder(&runtime()).handler(signed(Scheme::HmacSha256)).handler(looping).build().unwrap();
    let token: Arc<str> = token(&registry, plain_request()).into();
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let (quiet, mut quiet_times) = measure(&registry, &token, 0);
        let (noisy, mut noisy_times) = measure(&registry, &token, HOSTILE);
        if round > 0 {
            rounds.push((quiet, noisy, quantile(&mut quiet_times, 0.99), quantile(&mut noisy_times, 0.99)));
        }
    }
    println!("| {TASKS} tasks on 2 workers | quiet | with {HOSTILE} looping calls | |");
    println!("| --- | --- | --- | --- |");
    println!(
        "| verifies a second | {:.0} | {:.0} | **{:.0} %** (median of {ROUNDS} rounds) |",
        median(rounds.iter().map(|round| round.0)),
        median(rounds.iter().map(|round| round.1)),
        median(rounds.iter().map(|round| round.1 / round.0)) * 100.0
    );
    println!(
        "| p99 from answer to answer, ms | {:.2} | {:.2} | **{:+.2} ms** |",
        median(rounds.iter().map(|round| round.2)) * 1e3,
        median(rounds.iter().map(|round| round.3)) * 1e3,
        median(rounds.iter().map(|round| round.3 - round.2)) * 1e3
    );
}

/// Verifies a second, and how long each round of a task took in seconds.
fn measure(registry: &Registry, token: &Arc<str>, hostile: usize) -> (f64, Vec<f64>) {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::new(AtomicUsize::new(0));
    for _ in 0..hostile {
        let (registry, stop, stopped) = (registry.clone(), stop.clone(), stopped.clone());
        executor.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match registry.verify("ho_").await {
                    // A call that found no room is not in flight: come again with the next tick.
                    Err(error) if error.code() == "busy" => tokio::time::sleep(Duration::from_millis(1)).await,
                    Err(_) => drop(stopped.fetch_add(1, Ordering::Relaxed)),
                    Ok(_) => panic!("a looping handler gives no verdict"),
                }
            }
        });
    }
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (registry, token) = (registry.clone(), token.clone());
            executor.spawn(async move {
                let mut times = Vec::with_capacity(1 << 16);
                let mut last = start;
                while start.elapsed() < LENGTH {
                    accepted(registry.verify(&token).await);
                    // From answer to answer: the time in which the others had the thread counts.
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
    assert!(hostile == 0 || stopped.load(Ordering::Relaxed) > 0, "the hostile calls ran");
    (rate, times)
}
