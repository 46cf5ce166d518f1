//! No client sees the tokens of another: every operation of the OpenAPI document is called for
//! every kind of token by clients with every set of rights.
//!
//! A response is about a token that the client may see, or it is 403, or the 404 of an unknown
//! token; no other response contains the token, its id or its actor.

use super::super::world::managed::Managed;
use super::super::world::{NOW, secret};
use crate::store::Place;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keyward_server::Service;
use keyward_tests::http::{Connection, Request, Response};
use serde_json::{Value, json};

/// All rights of a client, except for those that depend on `list`: `list-all` extends it.
const RIGHTS: [&str; 8] = ["introspect", "verify", "create", "revoke", "list", "list-all", "edit", "delegate"];

/// A token under test.
struct Subject {
    handler: &'static str,
    token: String,
    id: String,
    actor: String,
    /// `true` if the client created the token.
    own: bool,
}

impl Subject {
    fn make(managed: &Managed, handler: &'static str, asks: &str, own: bool) -> Self {
        // No actor is a substring of another.
        let actor = format!("{}-actor-of-{handler}-for-{asks}.", if own { "own" } else { "foreign" });
        let made = managed.make(handler, &actor, Some(if own { asks } else { "neighbour" }));
        Self { handler, token: made.token, id: made.token_id.unwrap(), actor, own }
    }

    /// Returns whether a response contains any part of the token.
    fn is_in(&self, answer: &Response) -> bool {
        let all = format!("{answer:?}");
        [&self.token, &self.id, &self.actor].into_iter().any(|part| all.contains(part.as_str()))
    }
}

/// A client: its id and its rights, for the tokens of `first` only.
struct Asks {
    id: String,
    may: Vec<&'static str>,
}

impl Asks {
    fn all() -> Vec<Self> {
        let sets = (0..1_u32 << RIGHTS.len()).map(|set| {
            let may = (0..).zip(RIGHTS).filter(|(bit, _)| set & (1 << bit) != 0).map(|(_, right)| right).collect();
            Self { id: format!("client-{set:03}"), may }
        });
        sets.collect()
    }

    fn may(&self, right: &str) -> bool {
        self.may.contains(&right)
    }

    fn may_use(subject: &Subject) -> bool {
        subject.handler == "first"
    }

    fn may_look(&self) -> bool {
        self.may("list") || self.may("list-all")
    }

    fn sees(&self, subject: &Subject) -> bool {
        Self::may_use(subject) && (self.may("list-all") || self.may("list") && subject.own)
    }
}

/// The effect of an operation, in calling order: operations that invalidate a token come last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Needs neither a client nor a record.
    Other,
    List,
    Show,
    /// Returns information about a presented token, if the client may have it.
    Ask(&'static str),
    Create,
    RecordUpdate,
    Count,
    Rotate,
    Revoke,
}

fn kind(method: &str, path: &str) -> Kind {
    match (method, path) {
        ("get", "/v1/tokens") => Kind::List,
        ("post", "/v1/tokens") => Kind::Create,
        ("get", "/v1/tokens/{handler}/{token_id}") => Kind::Show,
        ("patch", "/v1/tokens/{handler}/{token_id}") => Kind::RecordUpdate,
        ("post", "/v1/tokens/{handler}/{token_id}/rotate") => Kind::Rotate,
        ("post", "/v1/introspect") => Kind::Ask("introspect"),
        ("post", "/v1/verify") => Kind::Ask("verify"),
        ("post", "/v1/revoke") => Kind::Revoke,
        ("post", "/v1/revocations") => Kind::Count,
        // A new operation may reveal nothing until it is listed here.
        _ => Kind::Other,
    }
}

fn operations() -> Vec<(Kind, String, String)> {
    let document: Value = serde_json::from_str(Service::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method, path)));
    let mut all: Vec<_> = all.map(|(method, path)| (kind(method, path), method.clone(), path.clone())).collect();
    all.sort();
    assert!(all.iter().filter(|(kind, ..)| *kind != Kind::Other).count() >= 9);
    // The proxies' endpoints are the same for every method.
    all.retain(|(_, method, path)| !path.starts_with("/v1/auth/") || method == "get");
    all
}

/// Returns the requests of an operation that refer to this token.
fn requests(kind: Kind, method: &str, path: &str, subject: &Subject) -> Vec<Request> {
    let Subject { handler, token, id, actor, .. } = subject;
    let path = path.replace("{handler}", handler).replace("{token_id}", id);
    let path = path.replace("{policy}", "members").replace("{path}", "x").replace("{*path}", "x");
    let form = format!("token={token}");
    match kind {
        Kind::Other => vec![Request::new(&method.to_uppercase(), &path)],
        Kind::List => {
            let before = BASE64_URL_SAFE_NO_PAD.encode(format!("{} {handler} {id}", NOW.seconds + 1));
            let queries = ["".to_owned(), format!("handler={handler}"), format!("cursor={before}&limit=1000")];
            let all = "limit=1000&status=active&never_ends=true";
            let queries = queries.into_iter().chain([format!("actor={actor}"), format!("actor={actor}&{all}")]);
            queries.map(|query| Request::get(&format!("{path}?{query}"))).collect()
        }
        Kind::Show => vec![Request::get(&path)],
        Kind::Ask("introspect") => vec![Request::form(&path, form)],
        Kind::Ask(_) => vec![Request::json(&path, &json!({ "token": token }))],
        Kind::Create => {
            vec![Request::json(&path, &json!({ "parent": token, "expires_after": 60, "handler": "first" }))]
        }
        Kind::RecordUpdate => vec![super::super::clients::patch(&path, &json!({"description": "seen"}))],
        Kind::Count => {
            let by_id = json!({"handler": handler, "token_id": id, "dry_run": true});
            let by_actor = json!({"handler": handler, "actor": actor, "dry_run": true});
            vec![Request::json(&path, &by_id), Request::json(&path, &by_actor)]
        }
        Kind::Rotate => vec![Request::json(&path, &json!({}))],
        Kind::Revoke => vec![Request::form(&path, form)],
    }
}

/// Returns an error that describes a wrong response.
fn wrong(kind: Kind, asks: &Asks, subject: &Subject, answer: &Response, nothing: &str) -> Option<&'static str> {
    let is = |status: u16| answer.status == status;
    let unauthorized = is(403) && answer.text().contains("unauthorized_client");
    let unknown = is(404) && answer.text() == nothing;
    let (allowed, good, tells) = match kind {
        Kind::Other => (true, true, false),
        Kind::List => {
            let rows_are_its = || {
                let body = answer.json();
                let mut rows = body["tokens"].as_array().unwrap().iter();
                rows.all(|row| row["handler"] == "first" && (asks.may("list-all") || row["client"] == *asks.id))
            };
            (asks.may_look(), is(200) && rows_are_its() || is(404) && !Asks::may_use(subject), asks.sees(subject))
        }
        Kind::Show => (asks.may_look(), if asks.sees(subject) { is(200) } else { unknown }, asks.sees(subject)),
        Kind::RecordUpdate => {
            let sees = asks.sees(subject);
            (asks.may("edit") && asks.may_look(), if sees { is(200) } else { unknown }, sees)
        }
        Kind::Rotate => {
            let good = if asks.sees(subject) { is(201) } else { unknown };
            (asks.may("edit") && asks.may("create") && asks.may_look(), good, false)
        }
        Kind::Ask(right) => (asks.may(right), is(200), Asks::may_use(subject)),
        Kind::Create => (asks.may("create"), if Asks::may_use(subject) { is(201) } else { is(403) }, false),
        Kind::Count => (asks.may("revoke"), if Asks::may_use(subject) { is(200) } else { is(404) }, false),
        Kind::Revoke => (asks.may("revoke"), if Asks::may_use(subject) { is(200) } else { is(400) }, false),
    };
    match (allowed, subject.is_in(answer)) {
        (false, _) if !unauthorized => Some("it may not do that"),
        (true, _) if !good => Some("another answer"),
        (_, true) if !(allowed && tells) => Some("something of the token"),
        _ => None,
    }
}

#[test]
fn no_client_sees_the_tokens_of_another() {
    let place = Place::both().next().unwrap();
    let everybody = Asks::all();
    let mays: Vec<_> = everybody.iter().map(|asks| asks.may.join(" ")).collect();
    let clients = everybody.iter().zip(&mays).map(|(asks, may)| (asks.id.as_str(), may.as_str(), Some("first")));
    let managed = Managed::over(place.open(), clients);
    let operations = operations();
    let nothing = managed.server.ask(&Request::get("/v1/tokens/first/none").basic("owner", &secret("owner")));
    assert_eq!(nothing.status, 404);
    let mut connection = managed.server.connect();
    // The client can never use this token, so it stays unchanged.
    let far = Subject::make(&managed, "second", "all", false);
    let (mut wrongs, mut told) = (Vec::new(), 0);
    for asks in &everybody {
        let [own, foreign] = [true, false].map(|own| Subject::make(&managed, "first", &asks.id, own));
        // Created by the client, but of a handler that it may no longer use.
        let lost = Subject::make(&managed, "second", &asks.id, true);
        let subjects = [own, foreign, lost];
        for (kind, method, path) in &operations {
            for subject in subjects.iter().chain([&far]) {
                for request in requests(*kind, method, path, subject) {
                    let request = request.bearer(secret(&asks.id));
                    let answer = ask(&managed, &mut connection, &request);
                    told += usize::from(subject.is_in(&answer));
                    if let Some(wrong) = wrong(*kind, asks, subject, &answer, nothing.text()) {
                        wrongs.push(format!("{wrong}: {:?}, {}: {request:?}\n    {answer:?}", asks.may, subject.actor));
                    }
                    // Nor may it contain other tokens, which were not requested.
                    if !asks.may_look() && subjects.iter().any(|other| other.id != subject.id && other.is_in(&answer)) {
                        wrongs.push(format!("another token: {request:?}\n    {answer:?}"));
                    }
                }
            }
        }
    }
    assert!(wrongs.is_empty(), "{} wrong, such as\n{}", wrongs.len(), wrongs[..wrongs.len().min(5)].join("\n"));
    assert!(told > 1_000, "{told}: permitted clients must see their tokens");
}

/// Sends a request on the connection, or on a new one if the server has closed it.
fn ask(managed: &Managed, connection: &mut Connection, request: &Request) -> Response {
    connection.ask(request).unwrap_or_else(|_| {
        *connection = managed.server.connect();
        connection.ask(request).unwrap()
    })
}
