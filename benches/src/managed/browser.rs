//! Pages in a browser: a person's list among few and among many tokens, and the ids of others.

use super::{micros, ratio, shown};
use crate::kept::{ACTOR, FEW, HANDLER, Kept, MANY, each_kind};
use crate::stats::{at_most, nanos};
use http::{HeaderMap, HeaderValue, Method};
use keyward_pages::{Config, Host, Pages, Request, SignIn};
use keyward_service::Metrics;

const ROUNDS: usize = 41;
const CALLS: u32 = 10;

/// A browser in which the person is signed in. Each has pages of its own, which bound the number of
/// requests in a minute.
struct Browser {
    pages: Pages,
    metrics: Metrics,
    headers: HeaderMap,
}

impl Browser {
    fn new() -> Self {
        let sign_in = SignIn::Header { name: "x-user".to_owned(), proxies: Vec::new() };
        let pages = Pages::new(Config::new("https://tokens.example".parse().unwrap(), sign_in));
        let headers = HeaderMap::from_iter([("x-user".parse().unwrap(), HeaderValue::from_static(ACTOR))]);
        Self { pages, metrics: Metrics::default(), headers }
    }

    /// Returns the nanoseconds until the page with this status.
    fn time(&self, kept: &Kept, path: &str, status: u16) -> f64 {
        let Self { pages, metrics, headers } = self;
        let host = Host { registry: &kept.registry, audit: None, metrics, request_id: "0", peer: None };
        nanos(CALLS, || {
            let request = Request { method: &Method::GET, path, query: "", headers, body: b"" };
            let response = pollster::block_on(pages.answer(host, request));
            assert_eq!(response.status(), status, "{path}");
        })
    }
}

pub(super) fn run() {
    println!("\n| page | µs | µs | ratio |\n| --- | --- | --- | --- |");
    for (what, [lists, ids]) in each_kind([FEW, MANY], |what, kept| measure(what, &kept)) {
        at_most(&format!("{what}: a person's list among {MANY} tokens, relative to among {FEW}"), &lists, 1.3);
        at_most(&format!("{what}: an id of another person, relative to an unknown one"), &ids, 1.1);
    }
}

/// Prints the rows, and returns the ratios of the lists and of the ids.
fn measure(what: &str, [few, many]: &[Kept; 2]) -> [Vec<f64>; 2] {
    let unknown = format!("/tokens/of/{HANDLER}/unknown");
    let foreign = format!("/tokens/of/{HANDLER}/{}", foreign_id(many));
    let mut times: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        let timed = [
            Browser::new().time(few, "/tokens", 200),
            Browser::new().time(many, "/tokens", 200),
            Browser::new().time(many, &unknown, 404),
            Browser::new().time(many, &foreign, 404),
        ];
        // The first round is a warm-up.
        if round > 0 {
            times.iter_mut().zip(timed).for_each(|(times, time)| times.push(time));
        }
    }
    let [of_few, of_many, unknown, foreign] = &times;
    let row = |name: &str, one: &[f64], other: &[f64]| {
        println!("| {what}: {name} | {:.0} | {:.0} | **{}** |", micros(one), micros(other), shown(other, one));
    };
    row(&format!("the list among {FEW} and among {MANY}"), of_few, of_many);
    row("an unknown id, and one of another person", unknown, foreign);
    [ratio(of_many, of_few), ratio(foreign, unknown)]
}

/// Returns the id of a token of another person.
fn foreign_id(kept: &Kept) -> String {
    let all = kept.registry.tokens().unwrap();
    let page = pollster::block_on(all.list(Default::default(), None, 1_000)).unwrap();
    page.entries.into_iter().find(|entry| entry.record.actor_id != ACTOR).unwrap().record.id
}
