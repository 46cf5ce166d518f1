//! Revocation by clients of tokens whose handler contradicts itself, and in the presence of a
//! handler that claims every text.

use super::super::clients::patch;
use super::super::server::Server;
use super::super::world::{self, NOW, secret};
use crate::store::Place;
use crate::support::{RUNTIME, unhurried};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::TokenStore;
use keyward_runtime::{Actors, HandlerConfig, Registry};
use keyward_tests::hostile;
use keyward_tests::http::{Request, Response};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Lifetime of the tokens of `issued-two-faced`, in seconds.
const LIFETIME: u64 = 1_000;

struct World {
    server: Server,
    registry: Registry,
}

impl World {
    /// Starts a world over this store.
    ///
    /// `h` is two-faced; `unprefixed` names the case of a handler without prefixes, if any.
    fn over(place: &Place, unprefixed: Option<&str>) -> Self {
        let store: Arc<dyn TokenStore> = Arc::new(place.open());
        let revocations = Revocations::open(store.clone(), Duration::from_secs(3_600)).unwrap();
        let mut builder = Registry::builder(&RUNTIME).records(store, revocations);
        for (name, case, prefixes) in
            [("h", Some("issued-two-faced"), vec!["ho_".to_owned()]), ("greedy", unprefixed, Vec::new())]
        {
            let Some(case) = case else { continue };
            let mut config = HandlerConfig::new(name, hostile::case(case).bytes, Actors::Any);
            config.prefixes = prefixes;
            unhurried(&mut config.limits);
            builder = builder.handler(config);
        }
        let registry = builder.build().unwrap();
        let mut config = world::config();
        for (id, handler) in [("owner", None), ("only-h", Some("h")), ("only-greedy", Some("greedy"))] {
            config.clients.insert(id.to_owned(), world::client(id, "introspect create list edit revoke", handler));
        }
        Self { server: Server::start(config, registry.clone(), Some(NOW)), registry }
    }

    fn ask(&self, id: &str, request: Request) -> Response {
        self.server.ask(&request.basic(id, &secret(id)))
    }

    fn at(&self, seconds: u64) {
        self.server.set_time(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
    }

    fn create(&self, token: &str) {
        let body = json!({"actor": "hostile:alice", "handler": "h", "expires_after": LIFETIME, "description": token});
        let answer = self.ask("owner", Request::json("/v1/tokens", &body));
        assert_eq!((answer.status, answer.json()["token"].as_str()), (201, Some(token)), "{answer:?}");
    }

    fn is_active(&self, token: &str) -> bool {
        let answer = self.ask("owner", Request::form("/v1/introspect", format!("token={token}")));
        answer.status == 200 && answer.json()["active"] == true
    }

    fn revoke(&self, id: &str, token: &str) -> u16 {
        self.ask(id, Request::form("/v1/revoke", format!("token={token}"))).status
    }
}

/// Whatever id the handler reports for the token at verification, and whether it can be called at
/// all.
#[test]
fn an_issued_token_is_revoked_permanently() {
    for place in Place::both() {
        let world = World::over(&place, None);
        for (number, face) in (0_u64..).zip("rmvxutdpfb".chars()) {
            for (second, revoked_at) in [(10, 1), (20, 0)] {
                world.at(0);
                let token = format!("ho_{face}-{}-{:04}", "long-enough-to-be-a-token", number + second);
                world.create(&token);
                assert!(world.is_active(&token), "{token}");
                world.at(revoked_at);
                assert_eq!(world.revoke("only-greedy", &token), 400, "{token}");
                assert_eq!(world.revoke("only-h", &token), 200, "{token}");
                for second in [0, 1, 2, 3] {
                    world.at(second);
                    assert!(!world.is_active(&token), "{token} at {second}");
                }
                assert_eq!(world.revoke("only-h", &token), 200, "{token} again");
            }
        }
        // An unknown token gets the response required by RFC 7009, and so does one that no handler
        // accepts.
        world.at(1);
        assert_eq!(world.revoke("only-h", "ho_x-never-issued"), 200);
        assert_eq!(world.revoke("only-h", "ho_u-never-issued"), 503);
        let log = world.server.log();
        assert!(log.contains("names it `else`"), "{log}");
    }
}

/// A handler without prefixes is called for every unclaimed text that is presented as a token, but
/// never to detect whether a text is a token.
#[test]
fn no_handler_has_a_veto_over_others() {
    for place in Place::both() {
        let greedy = ["answer-expired", "accepts-everything", "answer-unavailable", "loop-verify"];
        for (number, greedy) in (0..).zip(greedy) {
            let world = World::over(&place, Some(greedy));
            // After the second whose tokens were revoked.
            world.at(10 * number);
            let face = format!("ho_p-{greedy}-{number:04}");
            world.create(&face);
            let calls = || world.registry.handlers().find(|handler| handler.name == "greedy").unwrap().counts.calls;
            let before = calls();
            let id = &face[face.len() - 4..];
            let path = format!("/v1/tokens/h/{id}");
            assert_eq!(world.ask("owner", Request::get(&path)).status, 200, "{greedy}");
            let note = patch(&path, &json!({"description": "a note"}));
            assert_eq!(world.ask("owner", note).status, 200, "{greedy}");
            let rotate = Request::json(&format!("{path}/rotate"), &json!({}));
            assert_eq!(world.ask("owner", rotate).json()["error"], "conflict", "{greedy}");
            for body in [
                json!({"actor": "hostile:alice", "dry_run": true}),
                json!({"handler": "h", "token_id": id, "dry_run": true}),
                json!({"handler": "h", "token_id": id}),
                json!({"actor": "hostile:alice"}),
            ] {
                let answer = world.ask("owner", Request::json("/v1/revocations", &body));
                assert_eq!(answer.status, 200, "{greedy}: {body}: {answer:?}");
            }
            assert_eq!(calls(), before, "{greedy} was called with ids");
            world.at(10 * number + 2);
            assert!(!world.is_active(&face), "{greedy}");
        }
    }
}

/// Revokes a token that is passed as an id or an actor as the token that it is; no log shows it.
#[test]
fn a_token_that_is_passed_as_an_id_is_revoked() {
    for place in Place::both() {
        let world = World::over(&place, None);
        for (number, make) in [
            (|token: &str| json!({"handler": "h", "token_id": token})) as fn(&str) -> serde_json::Value,
            |token| json!({"handler": "h", "token_id": format!(" {token}")}),
            |token| json!({"handler": "h", "token_id": format!("Bearer {token}")}),
            |token| json!({"actor": token}),
            |token| json!({"actor": token, "handler": "h"}),
        ]
        .into_iter()
        .enumerate()
        {
            let token = format!("ho_p-{}-{number:04}", "a".repeat(24));
            world.create(&token);
            let dry = {
                let mut body = make(&token);
                body["dry_run"] = json!(true);
                world.ask("owner", Request::json("/v1/revocations", &body)).json()
            };
            assert_eq!(dry, json!({"would_end": 1}), "{number}");
            let answer = world.ask("owner", Request::json("/v1/revocations", &make(&token)));
            assert_eq!((answer.status, answer.json()), (200, json!({"ended": 1})), "{number}");
            assert!(!world.is_active(&token), "{number}");
            assert!(!world.server.log().contains(&token), "{}", world.server.log());
        }
        // A token that was not issued here, but matches the token pattern.
        let foreign = format!("ho_p-{}", "b".repeat(30));
        assert!(world.is_active(&foreign));
        let body = json!({"handler": "h", "token_id": foreign});
        assert_eq!(world.ask("owner", Request::json("/v1/revocations", &body)).status, 200);
        assert!(!world.is_active(&foreign));
        assert!(!world.server.log().contains(&foreign), "{}", world.server.log());
    }
}
