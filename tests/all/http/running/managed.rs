//! The life of tokens over HTTP, on both databases: created, listed, read, narrowed, rotated,
//! revoked.

use super::super::clients::patch;
use super::super::world::managed::Managed;
use super::super::world::{self, NOW, secret, token};
use crate::store::Place;
use crate::support::dstok;
use keyward_runtime::clock::UnixTime;
use keyward_tests::http::{Request, Response};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A connection to a server as one client.
struct As<'a>(&'a Managed, &'static str);

impl As<'_> {
    fn ask(&self, request: Request) -> Response {
        let answer = self.0.server.ask(&request.basic(self.1, &secret(self.1)));
        assert!(answer.header("cache-control") == Some("no-store"), "{answer:?}");
        answer
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.ask(Request::get(path));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    fn list(&self, query: &str) -> Vec<String> {
        let page = self.get(&format!("/v1/tokens?{query}"));
        page["tokens"].as_array().unwrap().iter().map(|token| text(&token["token_id"])).collect()
    }

    fn create(&self, body: &Value) -> Value {
        let answer = self.ask(Request::json("/v1/tokens", body));
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
        answer.json()
    }

    fn rotate(&self, of: &Value, overlap: u32) -> Response {
        self.ask(Request::json(&format!("{}/rotate", path(of)), &json!({ "overlap": overlap })))
    }

    fn introspect(&self, token: &Value) -> Value {
        self.ask(Request::form("/v1/introspect", format!("token={}", text(&token["token"])))).json()
    }

    fn is_active(&self, token: &Value) -> bool {
        self.introspect(token)["active"] == true
    }

    /// Returns status and error code of a refusal.
    fn refusal(&self, request: Request) -> (u16, String) {
        let answer = self.ask(request);
        let body = answer.json();
        assert!(body["error_description"].is_string(), "{answer:?}");
        (answer.status, text(&body["error"]))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Returns the path of a created token.
fn path(token: &Value) -> String {
    format!("/v1/tokens/{}/{}", text(&token["handler"]), text(&token["token_id"]))
}

fn at(seconds: u64) -> Option<UnixTime> {
    Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 })
}

fn no(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[test]
fn tokens_are_listed_by_page_and_filter() {
    for place in Place::both() {
        let managed = Managed::over(place.open(), []);
        let owner = As(&managed, "owner");
        let mut ids = Vec::new();
        for (second, body) in (1..).zip([
            json!({"actor": "alice"}),
            json!({"actor": "alice", "handler": "second", "expires_after": 3600, "description": "é☃"}),
            json!({"actor": "bob", "restrictions": {"all": ["view-instance"], "resource": {"shop": {"a/b": ["insert-row"]}}}}),
            json!({"actor": "bob", "handler": "signed", "expires_after": 10}),
            json!({"actor": "a b+c&d=é", "handler": "second"}),
        ]) {
            managed.server.set_time(at(second));
            ids.insert(0, text(&owner.create(&body)["token_id"]));
        }
        managed.server.set_time(at(100));
        let pick = |places: &[usize]| places.iter().map(|place| ids[*place].clone()).collect::<Vec<_>>();
        for (query, places) in [
            ("", &[0, 1, 2, 3, 4][..]),
            ("actor=alice", &[3, 4]),
            ("actor=a+b%2Bc%26d%3D%C3%A9", &[0]),
            ("actor=ALICE", &[]),
            ("handler=second", &[0, 3]),
            ("handler=second&actor=alice", &[3]),
            ("status=active", &[0, 2, 3, 4]),
            ("status=expired", &[1]),
            ("status=replaced", &[]),
            ("never_ends=true", &[0, 2, 4]),
            ("never_ends=false", &[0, 1, 2, 3, 4]),
            ("unused_since=1767225603", &[3, 4]),
            ("limit=2", &[0, 1]),
        ] {
            assert_eq!(owner.list(query), pick(places), "{query}");
        }
        assert_eq!(As(&managed, "neighbour").list(""), [""; 0]);
        let with_restrictions = owner.get(&format!("/v1/tokens/first/{}", ids[2]));
        let wanted = json!({
            "token_id": ids[2], "handler": "first", "actor": "bob", "description": null,
            "restrictions": {"all": ["view-instance"], "resource": {"shop": {"a/b": ["insert-row"]}}},
            "issued_at": NOW.seconds + 3, "expires_at": null, "last_used_at": null, "status": "active", "ended_at": null,
            "client": "owner", "parent": null,
        });
        assert_eq!(with_restrictions, wanted);
        let noted = owner.get(&format!("/v1/tokens/second/{}", ids[3]));
        assert_eq!((&noted["description"], &noted["expires_at"]), (&json!("é☃"), &json!(NOW.seconds + 3_602)));
        let signed = owner.get(&format!("/v1/tokens/signed/{}", ids[1]));
        assert_eq!((&signed["status"], &signed["ended_at"]), (&json!("expired"), &json!(null)));

        // Page by page, while other tokens are created: each initial token is listed once.
        for limit in 1..=6 {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = owner.get(&format!("/v1/tokens?limit={limit}{cursor}"));
                let tokens = page["tokens"].as_array().unwrap();
                assert!(tokens.len() <= limit, "{page}");
                seen.extend(tokens.iter().map(|token| text(&token["token_id"])));
                let Some(next) = page["next"].as_str() else { break };
                assert_eq!(tokens.len(), limit, "a page that is not the last is full");
                cursor = format!("&cursor={next}");
                if limit == 2 {
                    // Within one second, greater ids come first.
                    managed.server.set_time(at(100 + u64::try_from(ids.len()).unwrap()));
                    ids.insert(0, text(&owner.create(&json!({"actor": "new"}))["token_id"]));
                }
            }
            assert_eq!(seen, if limit == 2 { &ids[2..] } else { &ids[..] }, "{limit}");
        }
    }
}

#[test]
fn a_token_is_narrowed_and_never_widened() {
    for place in Place::both() {
        let managed = Managed::over(place.open(), []);
        let owner = As(&managed, "owner");
        let wide = json!({"all": ["view-instance"], "database": {"shop": ["view-table", "insert-row"]}});
        let made = owner.create(&json!({"actor": "alice", "expires_after": 1000, "restrictions": wide}));
        let edit = |body: Value| patch(&path(&made), &body);
        let scope = || text(&owner.introspect(&made)["scope"]);
        assert_eq!(scope(), "view-instance view-table:shop insert-row:shop");

        // For the next request, whether or not the verdict of this second is cached.
        let narrow = json!({"database": {"shop": ["view-table"]}});
        let answer = owner.ask(edit(json!({ "restrictions": narrow })));
        assert_eq!((answer.status, &answer.json()["restrictions"]), (200, &narrow), "{answer:?}");
        assert_eq!(scope(), "view-table:shop");
        let policy = Request::get("/v1/auth/nginx/orders").bearer(text(&made["token"]));
        assert_eq!(managed.server.ask(&policy).status, 403);
        for wider in [wide, json!({"all": ["view-table"]}), json!({"database": {"shop": ["view-table", "own"]}})] {
            assert_eq!(owner.refusal(edit(json!({ "restrictions": wider }))), no(400, "invalid_request"), "{wider}");
        }
        assert_eq!(scope(), "view-table:shop");

        let end = NOW.seconds + 500;
        let answer = owner.ask(edit(json!({"expires_at": end, "description": "sooner"})));
        assert_eq!((&answer.json()["expires_at"], &answer.json()["description"]), (&json!(end), &json!("sooner")));
        assert_eq!(owner.introspect(&made)["exp"], end);
        assert_eq!(owner.refusal(edit(json!({"expires_at": end + 1}))), no(400, "invalid_request"));
        assert_eq!(owner.refusal(edit(json!({"expires_at": NOW.seconds - 1}))), no(400, "invalid_request"));
        // One invalid member, and nothing is changed.
        assert_eq!(owner.refusal(edit(json!({"description": "x", "expires_at": end + 1}))), no(400, "invalid_request"));
        let known = owner.get(&path(&made));
        assert_eq!((&known["description"], &known["expires_at"]), (&json!("sooner"), &json!(end)));

        managed.server.set_time(at(501));
        assert!(!owner.is_active(&made));
        assert_eq!(owner.get(&path(&made))["status"], "expired");
        assert_eq!(owner.refusal(edit(json!({"restrictions": {}}))), no(409, "conflict"));

        // A signed token itself contains its restrictions.
        let signed = owner.create(&json!({"actor": "alice", "handler": "signed"}));
        let of_signed = |body: Value| patch(&path(&signed), &body);
        for body in [json!({"restrictions": {}}), json!({"expires_at": NOW.seconds + 600})] {
            assert_eq!(owner.refusal(of_signed(body)), no(409, "conflict"));
        }
        assert_eq!(owner.refusal(Request::json(&format!("{}/rotate", path(&signed)), &json!({}))), no(409, "conflict"));
        assert_eq!(owner.ask(of_signed(json!({"description": "a note"}))).json()["description"], "a note");
    }
}

#[test]
fn a_token_is_rotated_at_once_or_after_an_overlap() {
    for place in Place::both() {
        let managed = Managed::over(place.open(), []);
        let (owner, overseer) = (As(&managed, "owner"), As(&managed, "overseer"));
        let narrow = json!({"database": {"shop": ["view-table"]}});
        let body = json!({"actor": "alice", "expires_after": 1000, "restrictions": narrow, "description": "a note"});
        let old = owner.create(&body);
        assert!(owner.is_active(&old));
        managed.server.set_time(at(10));
        let answer = owner.rotate(&old, 0);
        assert_eq!(answer.status, 201, "{answer:?}");
        let new = answer.json();
        assert_eq!(new["expires_at"], NOW.seconds + 1_000);
        assert!(!owner.is_active(&old) && owner.is_active(&new));
        assert_eq!(owner.introspect(&new)["scope"], "view-table:shop");
        let known = owner.get(&path(&old));
        assert_eq!((&known["status"], &known["ended_at"]), (&json!("replaced"), &json!(NOW.seconds + 10)));
        let known = owner.get(&path(&new));
        for (member, wanted) in [
            ("actor", json!("alice")),
            ("description", json!("a note")),
            ("restrictions", narrow),
            ("issued_at", json!(NOW.seconds + 10)),
            ("status", json!("active")),
            ("client", json!("owner")),
        ] {
            assert_eq!(known[member], wanted, "{member}");
        }
        assert_eq!(owner.rotate(&old, 0).status, 409, "once");

        // A client that sees all tokens may rotate it; the owner stays the same.
        let answer = overseer.rotate(&new, 60);
        let newest = answer.json();
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(owner.get(&path(&newest))["client"], "owner");
        managed.server.set_time(at(70));
        assert!(owner.is_active(&new) && owner.is_active(&newest));
        managed.server.set_time(at(71));
        assert!(!owner.is_active(&new) && owner.is_active(&newest));
        assert_eq!(owner.get(&path(&new))["status"], "expired");
        assert_eq!(owner.rotate(&new, 0).status, 409);
        // The overlap is bounded by the old token's expiry.
        let last = owner.rotate(&newest, 2_592_000).json();
        for token in [&newest, &last] {
            assert_eq!(owner.get(&path(token))["expires_at"], NOW.seconds + 1_000);
        }
        managed.server.set_time(at(1_001));
        assert!(!owner.is_active(&newest) && !owner.is_active(&last));
    }
}

/// Viewing changes nothing, and a revoked token stays revoked after its expiry.
#[test]
fn the_status_of_a_token_is_its_first_termination() {
    for place in Place::both() {
        let managed = Managed::over(place.open(), []);
        let owner = As(&managed, "owner");
        let revoked = owner.create(&json!({"actor": "alice", "expires_after": 100}));
        let expired = owner.create(&json!({"actor": "alice", "expires_after": 100}));
        let revoke =
            |token: &Value| owner.ask(Request::form("/v1/revoke", format!("token={}", text(&token["token"])))).status;
        // Revoking a token presents it, which is recorded some time after the response.
        let but_for_its_use = |token: &Value| {
            let mut known = owner.get(&path(token));
            known["last_used_at"].take();
            known
        };
        managed.server.set_time(at(50));
        assert_eq!(revoke(&revoked), 200);
        let before = but_for_its_use(&revoked);
        assert_eq!((&before["status"], &before["ended_at"]), (&json!("revoked"), &json!(NOW.seconds + 50)));
        managed.server.set_time(at(200));
        for _ in 0..2 {
            assert_eq!(but_for_its_use(&revoked), before);
            assert_eq!(owner.get(&path(&expired))["status"], "expired");
            assert_eq!(owner.list("status=revoked"), [text(&revoked["token_id"])]);
            assert_eq!(owner.list("status=expired"), [text(&expired["token_id"])]);
        }
        // If time goes back, only what depends on it changes back.
        managed.server.set_time(at(60));
        assert_eq!(owner.get(&path(&expired))["status"], "active");
        assert_eq!(but_for_its_use(&revoked), before);
        for token in [&revoked, &expired] {
            let name = patch(&path(token), &json!({"description": "late"}));
            assert_eq!(owner.ask(name).status == 200, token == &expired);
        }
    }
}

#[test]
fn a_derived_token_is_no_wider_and_expires_no_later() {
    for place in Place::both() {
        let managed = Managed::over(place.open(), [("second-only", "create", Some("second"))]);
        let (owner, overseer) = (As(&managed, "owner"), As(&managed, "overseer"));
        let narrow = json!({"database": {"shop": ["view-table", "insert-row"]}});
        let make = |who: &As<'_>, body: Value| who.ask(Request::json("/v1/tokens", &body));
        let parent = overseer.create(&json!({"actor": "alice", "expires_after": 1000, "restrictions": narrow}));
        let parent_token = text(&parent["token"]);
        let from = |more: Value| {
            let mut body = json!({ "parent": parent_token });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let before = overseer.list("");
        assert_eq!(make(&owner, from(json!({}))).json()["error"], "unauthorized_client", "without `delegate`");
        for (more, status) in [
            (json!({"restrictions": {"all": ["view-table"]}}), 403),
            (json!({"restrictions": {"database": {"shop": ["view-table", "view-instance"]}}}), 403),
            (json!({"restrictions": {"database": {"shop": ["view-table", "own"]}}}), 400),
            (json!({"expires_after": 1001}), 403),
            (json!({"actor": "bob"}), 403),
            (json!({"expires_after": 0}), 400),
            (json!({"expires_after": -5}), 400),
            (json!({"expires_after": "soon"}), 400),
            (json!({"handler": "second"}), 404),
        ] {
            let answer = make(&overseer, from(more.clone()));
            assert_eq!(answer.status, status, "{more}: {answer:?}");
        }
        assert_eq!(overseer.list(""), before, "nothing is issued");
        managed.server.set_time(at(100));
        for (more, scope, end) in [
            (json!({}), "view-table:shop insert-row:shop", 1_000),
            (json!({"actor": "alice", "expires_after": 60}), "view-table:shop insert-row:shop", 160),
            (json!({"restrictions": {"database": {"shop": ["insert-row"]}}}), "insert-row:shop", 1_000),
            (json!({"restrictions": {"resource": {"shop": {"a": ["insert-row"]}}}}), "insert-row:shop/a", 1_000),
            (json!({"restrictions": {}}), "", 1_000),
        ] {
            let child = overseer.create(&from(more.clone()));
            let known = overseer.introspect(&child);
            let said = (&known["scope"], &known["exp"], &known["sub"]);
            assert_eq!(said, (&json!(scope), &json!(NOW.seconds + end), &json!("alice")), "{more}");
            let record = overseer.get(&path(&child));
            assert_eq!(record["client"], "overseer");
            assert_eq!(record["parent"], json!({"handler": parent["handler"], "token_id": parent["token_id"]}));
        }
        // A parent without restrictions requires no right.
        let open = owner.create(&json!({"actor": "carol"}));
        let child = owner.create(&json!({"parent": open["token"], "handler": "second"}));
        assert_eq!(owner.introspect(&child)["sub"], "carol");

        // An invalid parent gets the same response, whatever the reason.
        let ended = owner.create(&json!({"actor": "dave"}));
        assert_eq!(owner.rotate(&ended, 0).status, 201);
        let short = owner.create(&json!({"actor": "dave", "expires_after": 1}));
        managed.server.set_time(at(102));
        let signed = dstok(&json!({"a": "root", "t": NOW.seconds}), world::KEY);
        let bad: Vec<String> = ["forged", "tampered", "long", "nobody"].map(token).into();
        let bad = bad.into_iter().chain([text(&ended["token"]), text(&short["token"]), String::new()]);
        let mut answers = BTreeSet::new();
        for parent in bad {
            for body in [json!({"parent": parent}), json!({"parent": parent, "actor": "root"})] {
                let answer = make(&owner, body);
                answers.insert((answer.status, answer.text().to_owned()));
            }
        }
        // Valid, but of a handler that this client may not use.
        for parent in [&signed, &text(&open["token"])] {
            let answer = make(&As(&managed, "second-only"), json!({ "parent": parent }));
            answers.insert((answer.status, answer.text().to_owned()));
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(answers.first().unwrap().1.contains("access_denied"), "{answers:?}");
        assert_eq!(
            owner.refusal(Request::json("/v1/tokens", &json!({"parent": "dn_x"}))),
            no(503, "temporarily_unavailable")
        );
    }
}

#[test]
fn a_derived_token_is_revoked_with_its_parent_unless_it_is_kept() {
    for place in Place::both() {
        let managed = Managed::over(place.open(), [("revoker", "revoke", None)]);
        let (owner, revoker) = (As(&managed, "owner"), As(&managed, "revoker"));
        let by_token = |token: &Value, more: &str| {
            let form = format!("token={}{more}", text(&token["token"]));
            revoker.ask(Request::form("/v1/revoke", form)).status
        };
        let by_id = |token: &Value, more: Value| {
            let mut body = json!({"handler": token["handler"], "token_id": token["token_id"]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let answer = revoker.ask(Request::json("/v1/revocations", &body));
            (answer.status, answer.json())
        };
        let family = || {
            let parent = owner.create(&json!({"actor": "carol"}));
            let child = owner.create(&json!({"parent": parent["token"], "handler": "second"}));
            (parent, child)
        };
        let (parent, child) = family();
        for more in ["&keep_children=1", "&keep_children=", "&keep_children=true&keep_children=true"] {
            assert_eq!(by_token(&parent, more), 400, "{more}");
        }
        assert_eq!(by_id(&parent, json!({"keep_children": "true"})).0, 400);
        assert!(owner.is_active(&parent) && owner.is_active(&child));
        assert_eq!(by_token(&parent, ""), 200);
        assert!(!owner.is_active(&parent) && !owner.is_active(&child));
        assert_eq!(owner.get(&path(&child))["status"], "revoked");

        let (parent, child) = family();
        assert_eq!(by_token(&parent, "&keep_children=true"), 200);
        assert!(!owner.is_active(&parent) && owner.is_active(&child));

        let (parent, child) = family();
        assert_eq!(by_id(&parent, json!({"dry_run": true})), (200, json!({"would_end": 2})));
        assert_eq!(by_id(&parent, json!({"dry_run": true, "keep_children": true})), (200, json!({"would_end": 1})));
        assert_eq!(by_id(&parent, json!({"keep_children": true})), (200, json!({"ended": 1})));
        assert!(!owner.is_active(&parent) && owner.is_active(&child));
        let (parent, child) = family();
        assert_eq!(by_id(&parent, json!({})), (200, json!({"ended": 2})));
        assert!(!owner.is_active(&child));
    }
}

/// Each request is one line of the log, and is counted. A token in place of another parameter
/// appears in none.
#[test]
fn each_request_for_records_is_one_line_of_the_decision_log() {
    let place = Place::both().next().unwrap();
    let managed = Managed::over(place.open(), []);
    let owner = As(&managed, "owner");
    let foreign = managed.make("first", "somebody-else", Some("neighbour"));
    let made = owner.create(&json!({"actor": "alice", "expires_after": 1000}));
    let (id, one) = (text(&made["token_id"]), path(&made));
    let foreign_id = foreign.token_id.clone().unwrap();
    let foreign_path = format!("/v1/tokens/first/{foreign_id}");
    let restricted = owner.create(&json!({"actor": "alice", "restrictions": {}}));
    for (request, lines, parts) in [
        (
            Request::get("/v1/tokens?actor=alice&handler=first"),
            1,
            vec!["tokens", "listed", "first", "alice", "records: 2"],
        ),
        (Request::get("/v1/tokens?actor=nobody"), 1, vec!["tokens", "listed", "records: 0"]),
        (Request::get(&one), 1, vec!["token", "shown", "first", "alice", &id]),
        (
            Request::get(&foreign_path),
            1,
            vec!["token", "refused", "not-its-token", "first", "somebody-else", &foreign_id],
        ),
        (Request::get("/v1/tokens/first/nothing"), 1, vec!["token", "unknown-token"]),
        (Request::get(&format!("/v1/tokens/first/{}", token("good"))), 1, vec!["token", "token-for-id"]),
        (
            patch(&one, &json!({"description": "x", "expires_at": NOW.seconds + 9})),
            1,
            vec!["token", "edited", "alice", &id, "description, expires_at 1767225609"],
        ),
        (patch(&one, &json!({"expires_at": NOW.seconds + 10})), 1, vec!["token", "denied", "invalid-request", &id]),
        (Request::json(&format!("{one}/rotate"), &json!({"overlap": 5})), 1, vec!["rotate", "rotated", "alice", &id]),
        (Request::json(&format!("{foreign_path}/rotate"), &json!({})), 1, vec!["rotate", "refused", "not-its-token"]),
        (
            Request::json("/v1/tokens", &json!({"parent": restricted["token"]})),
            1,
            vec!["tokens", "refused", "restricted-parent", "first"],
        ),
        (
            Request::json("/v1/tokens", &json!({"parent": token("forged")})),
            1,
            vec!["tokens", "rejected", "bad-signature"],
        ),
        (Request::json("/v1/tokens", &json!({"parent": made["token"]})), 2, vec!["tokens", "alice", "first"]),
    ] {
        let before = managed.server.log().len();
        let answer = owner.ask(request.clone());
        let log = managed.server.log().split_off(before);
        let audit: Vec<_> = log.lines().filter(|line| line.contains("keyward::decision")).collect();
        assert_eq!(audit.len(), lines, "{request:?}: {answer:?}\n{log}");
        let request_id = answer.header("x-request-id").unwrap();
        for line in audit {
            for part in parts.iter().chain([&request_id, &"owner"]) {
                assert!(line.contains(&format!("=\"{part}\"")), "no {part}: {answer:?}\n{line}");
            }
        }
    }
    for name in ["good", "expired", "forged", "tampered", "bot", "ends"] {
        let token = token(name);
        for path in [
            format!("/v1/tokens/first/{token}"),
            format!("/v1/tokens/{token}/{token}"),
            format!("/v1/tokens/{token}"),
            format!("/v1/tokens/first/{token}/rotate"),
            format!("/v1/tokens?actor={token}"),
            format!("/v1/tokens?handler={token}"),
            format!("/v1/tokens?cursor={token}"),
            format!("/v1/tokens?status={token}"),
            format!("/v1/tokens?{token}"),
        ] {
            for request in
                [Request::get(&path), patch(&path, &json!({"description": "x"})), Request::json(&path, &json!({}))]
            {
                let answer = owner.ask(request);
                assert!(answer.status != 500 && !format!("{answer:?}").contains(&token), "{path}: {answer:?}");
            }
        }
        let refused = owner.refusal(Request::json("/v1/tokens", &json!({"actor": token})));
        assert_eq!(refused, no(400, "invalid_request"), "{name}");
        // A revocation is not refused for that.
        let revoked = owner.ask(Request::json("/v1/revocations", &json!({"actor": token})));
        assert_eq!((revoked.status, revoked.json()), (200, json!({"ended": 0})), "{name}");
        assert!(!managed.server.log().contains(&token), "{name}");
    }
    assert!(!managed.server.log().contains(&text(&made["token"])) && !managed.server.log().contains(&foreign.token));
    let metrics = Request::get("/metrics").send(managed.server.admin());
    for line in [
        "keyward_calls_total{handler=\"first\",operation=\"list\",outcome=\"listed\"} 1\n",
        "keyward_calls_total{handler=\"first\",operation=\"edit\",outcome=\"edited\"} 1\n",
        "keyward_calls_total{handler=\"first\",operation=\"edit\",outcome=\"denied\"} 1\n",
        "keyward_calls_total{handler=\"first\",operation=\"rotate\",outcome=\"rotated\"} 1\n",
        "keyward_calls_total{handler=\"first\",operation=\"find\",outcome=\"unknown\"} ",
        "keyward_http_requests_total{endpoint=\"rotate\",status=\"201\"} 1\n",
        "keyward_http_requests_total{endpoint=\"token\",status=\"404\"} ",
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}
