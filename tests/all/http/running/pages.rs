//! The size of notes and pages, on both databases.

use super::super::clients::patch;
use super::super::world::managed::Managed;
use super::super::world::{NOW, secret};
use crate::store::Place;
use crate::support::time;
use keyward_runtime::store::Record;
use keyward_tests::http::{Request, Response};
use serde_json::{Value, json};

fn ask(managed: &Managed, request: Request) -> Response {
    managed.server.ask(&request.basic("owner", &secret("owner")))
}

/// Returns the notes' lengths on a page, and the cursor of the next one.
fn page(managed: &Managed, query: &str) -> (Vec<usize>, Option<String>) {
    let answer = ask(managed, Request::get(&format!("/v1/tokens?{query}")));
    assert_eq!(answer.status, 200, "{query}");
    let page = answer.json();
    let length = |token: &Value| token["description"].as_str().unwrap().len();
    (page["tokens"].as_array().unwrap().iter().map(length).collect(), page["next"].as_str().map(str::to_owned))
}

/// Inserts this number of records, each with a note of its own length, the newest with the longest.
fn insert(managed: &Managed, count: usize, length: usize) {
    for number in 0..count {
        let record = Record {
            description: Some("x".repeat(length + number)),
            client: Some("owner".to_owned()),
            ..Record::new(format!("n-{number}"), "alice", time(NOW.seconds + number as u64))
        };
        managed.insert("first", record);
    }
}

/// A note has at most 4,096 bytes when a token is issued and when it is edited.
#[test]
fn a_long_note_is_rejected() {
    for place in Place::both() {
        let managed = Managed::over(place.open(), []);
        let longest = "é".repeat(2_048);
        let long = longest.clone() + "x";
        let request = |handler: &str, note: &str| {
            Request::json("/v1/tokens", &json!({"actor": "alice", "handler": handler, "description": note}))
        };
        let token = ask(&managed, request("first", &longest));
        assert_eq!(token.status, 201, "{token:?}");
        let path = format!("/v1/tokens/first/{}", token.json()["token_id"].as_str().unwrap());
        let edit = patch(&path, &json!({"description": long}));
        for request in [request("first", &long), request("signed", &long), edit] {
            let refused = ask(&managed, request);
            assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_request")), "{refused:?}");
        }
        assert_eq!(ask(&managed, Request::get(&path)).json()["description"], longest);
    }
}

/// A page of about a megabyte ends early, also with notes that are older than the limit on their
/// length.
#[test]
fn a_page_of_long_notes_ends_early() {
    const LONG: usize = 60_000;
    for place in Place::both() {
        let managed = Managed::over(place.open(), []);
        insert(&managed, 50, LONG);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (lengths, next) = page(&managed, &format!("limit=1000{cursor}"));
            assert!(lengths.len() <= 18, "{} notes on a page", lengths.len());
            seen.extend(lengths);
            let Some(next) = next else { break };
            cursor = format!("&cursor={next}");
        }
        let wanted: Vec<_> = (LONG..LONG + 50).rev().collect();
        assert_eq!(seen, wanted, "each is listed once");
    }
}

/// A page that is read from the store in several parts is complete.
#[test]
fn a_long_page_is_complete() {
    for place in Place::both() {
        let managed = Managed::over(place.open(), []);
        insert(&managed, 205, 1);
        let all: Vec<_> = (1..=205).rev().collect();
        for limit in [1, 99, 100, 101, 200, 201, 204, 205, 206, 1_000] {
            let (lengths, next) = page(&managed, &format!("limit={limit}"));
            assert_eq!(lengths, all[..limit.min(205)], "{limit}");
            assert_eq!(next.is_some(), limit < 205, "{limit}");
            if let Some(next) = next {
                let (rest, _) = page(&managed, &format!("limit=1000&cursor={next}"));
                assert_eq!(rest, all[limit..], "{limit}");
            }
        }
    }
}
