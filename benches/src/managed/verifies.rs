//! Valid and rejected tokens, with and without an audit: rejections are noted without waiting for
//! the disk.

use super::{Counting, audit, micros, ratio, shown};
use crate::kept::with_another;
use crate::setup::{plain_request, runtime, signed, token};
use crate::stats::{at_most, per_call};
use keyward_audit::{Audit, Settings};
use keyward_runtime::Registry;
use keyward_runtime::keys::Scheme;
use keyward_server::{Client, Config, Right, SecretDigest, Service, serve_stream};
use keyward_tests::http::Request;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 101;
const CALLS: u32 = 100;
/// The secret of the only client.
const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

/// The configurations of the daemon.
const WAYS: [&str; 3] = ["no audit", "an audit", "an audit that notes all of it"];

pub(super) fn run() {
    let folder = TempDir::new().unwrap();
    let registry = Registry::builder(&runtime()).handler(signed(Scheme::HmacSha256)).build().unwrap();
    let open = |name, notes| Arc::new(audit(&folder, name, notes, Counting::default()));
    let audits = [open("default.jsonl", Settings::new("").notes_per_second), open("all.jsonl", u32::MAX)];
    let [default, all] = &audits;
    let services = [None, Some(default), Some(all)].map(|audit| service(&registry, audit.cloned()));
    let good = token(&registry, plain_request());
    let refused = with_another(&good, good.len() / 2);
    let executor = Builder::new_current_thread().enable_time().build().unwrap();
    println!("\n| `/v1/verify` without a network | {}, µs | of that, {} | of that, {} |", WAYS[0], WAYS[1], WAYS[2]);
    println!("| --- | --- | --- | --- |");
    for (what, token, outcome) in [("a valid token", &good, "accepted"), ("a rejected token", &refused, "rejected")] {
        let mut times = [const { Vec::new() }; 3];
        let written = || audits.each_ref().map(|audit| audit.status().written);
        let before = written();
        for round in 0..=ROUNDS {
            for (service, times) in services.iter().zip(&mut times) {
                let time = ask(&executor, service, token, outcome);
                // Keep the disk idle for the next round. The first round is a warm-up.
                audits.iter().for_each(|audit| assert!(audit.flush()));
                if round > 0 {
                    times.push(time);
                }
            }
        }
        let [none, with, noting] = &times;
        println!("| {what} | {:.1} | **{}** | {} |", micros(none), shown(with, none), shown(noting, none));
        let noted = written().into_iter().zip(before).map(|(written, before)| (written - before).to_string());
        let noted = noted.collect::<Vec<_>>().join(" and ");
        println!("* {what}: of {} with each audit, records that were written: {noted}", (ROUNDS + 1) * CALLS as usize);
        if outcome == "accepted" {
            at_most("a valid token with an audit, relative to without", &ratio(with, none), 1.05);
        }
    }
}

fn service(registry: &Registry, audit: Option<Arc<Audit>>) -> Service {
    let mut config = Config::default();
    let client = Client::new(SecretDigest::of(SECRET), [Right::Verify]);
    config.clients.insert("bench".to_owned(), client);
    Service::with_audit(config, registry.clone(), audit)
}

/// Returns the nanoseconds for each of many requests on one connection, all of which must have
/// `outcome`.
fn ask(executor: &Runtime, service: &Service, token: &str, outcome: &str) -> f64 {
    let request = Request::json("/v1/verify", &json!({"token": token})).bearer(SECRET);
    let last = request.clone().header("Connection", "close").to_bytes();
    let mut requests = request.to_bytes().repeat(CALLS as usize - 1);
    requests.extend(last);
    let (answers, time) = executor.block_on(async {
        let (client, server) = duplex(1 << 20);
        let (mut read, mut write) = split(client);
        let mut answers = String::new();
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let start = Instant::now();
        let (sent, got, ()) = tokio::join!(
            write.write_all(&requests),
            read.read_to_string(&mut answers),
            serve_stream(server, peer, service.clone()),
        );
        sent.unwrap();
        got.unwrap();
        (answers, per_call(start.elapsed(), CALLS))
    });
    let wanted = format!("\"outcome\":\"{outcome}\"");
    assert_eq!(answers.matches(&wanted).count(), CALLS as usize, "{answers}");
    time
}
