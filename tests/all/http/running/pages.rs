//! The size of notes and pages, on both databases.

use super::super::clients::patch;
use super::super::world::managed::Managed;
use super::super::world::secret;
use crate::store::Place;
use keyward_tests::http::{Request, Response};
use serde_json::json;

fn ask(managed: &Managed, request: Request) -> Response {
    managed.server.ask(&request.basic("owner", &secret("owner")))
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
