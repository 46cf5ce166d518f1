//! The fixture of the tests: handlers of every kind, clients, policies and tokens, each with the
//! name that the cases in `tests/cases/http/` use.

pub(crate) mod managed;
pub(crate) mod store;

use super::server::Server;
use crate::support::{self, RUNTIME, TestClock, dstok};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::registry::RegistryBuilder;
use keyward_runtime::revocation::Revocations;
use keyward_runtime::{Actors, HandlerConfig, Permission, Registry, Runtime, Verdict};
use keyward_server::{Client, Config, Handlers, Hosts, Issuer, PathPattern, Policy, Right, SecretDigest};
use keyward_tests::hostile;
use keyward_tests::http::base64;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use store::Double;

/// The time of the fixture.
pub(crate) const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

/// The key that signs the tokens of `signed`.
pub(crate) const KEY: &str = "only-for-tests-only-for-tests-only-for-tests";

/// Faulty handlers, each with its prefix and its hostile component.
pub(crate) const HOSTILE: [(&str, &str, &str); 6] = [
    // Accepts everything, and creates one token.
    ("partner", "ho_", "benign"),
    ("looping", "lo_", "loop-verify"),
    ("down", "dn_", "answer-unavailable"),
    ("off", "off_", "answer-denied-disabled"),
    ("picky", "pi_", "answer-denied-invalid-request"),
    // Returns and logs its input.
    ("careless", "ca_", "answer-echoes-token"),
];

/// The clients: each with its rights, and the handler to which it is limited.
pub(crate) const CALLERS: [(&str, &str, Option<&str>); 10] = [
    ("app", "introspect verify create revoke", None),
    ("looker", "introspect", None),
    ("asker", "verify", None),
    ("maker", "create", None),
    ("revoker", "revoke", None),
    ("lister", "list", None),
    ("keeper", "create list-all edit delegate", None),
    ("editor", "list-all edit", None),
    ("nothing", "", None),
    ("only-bots", "introspect verify create revoke", Some("bots")),
];

/// The actors of the handler `bots`, by the name of their token.
pub(crate) static BOTS: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "bot": {"id": "bot", "name": "A bot"},
        "number": {"id": 7},
        "no-id": {"bot_id": "x"},
        "dash": {"id": "-"},
        "comma": {"id": "a,b, c"},
        "percent": {"id": "100%2C"},
        "quotes": {"id": "\"a\\b\""},
        "unicode": {"id": "é☃日本"},
        "unseen": {"id": "a\u{202e}b\u{200b}c"},
        "two words": {"id": "odd-token-id"},
        "instance": {"id": "i", "_r": {"a": ["vi"]}},
        "shop": {"id": "s", "_r": {"d": {"shop": ["vt", "insert-row"]}}},
        "orders": {"id": "o", "_r": {"r": {"shop": {"orders": ["ir"], "a/b:c *": ["own"]}}}},
        "shut": {"id": "none", "_r": {}},
    })
});

/// Returns the registry, on a runtime that other tests share, with the [`TestClock`].
pub(crate) fn registry() -> Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| registry_on(&RUNTIME));
    REGISTRY.clone()
}

/// Returns the registry on a separate runtime, for tests that exhaust it.
pub(crate) fn registry_on(runtime: &Runtime) -> Registry {
    builder(runtime).build().unwrap()
}

/// Returns the registry with a store, which may be silent for the duration `patience`.
pub(crate) fn registry_with(store: &Arc<Double>, patience: Duration) -> Registry {
    registry_with_on(&RUNTIME, store, patience)
}

/// Like [`registry_with`], on a separate runtime, for tests whose calls must find a free slot.
pub(crate) fn registry_with_on(runtime: &Runtime, store: &Arc<Double>, patience: Duration) -> Registry {
    let revocations = Revocations::open(store.clone(), patience).unwrap();
    builder(runtime).revocations(revocations).build().unwrap()
}

/// Returns the registry with a store of records.
pub(crate) fn registry_of_records(store: &Arc<Double>) -> Registry {
    let revocations = Revocations::open(store.clone(), Duration::from_secs(3_600)).unwrap();
    builder(&RUNTIME).records(store.clone(), revocations).build().unwrap()
}

fn builder(runtime: &Runtime) -> RegistryBuilder {
    let mut builder = Registry::builder(runtime).handler(signed()).handler(bots());
    for (name, prefix, case) in HOSTILE {
        let mut config = HandlerConfig::new(name, hostile::case(case).bytes, Actors::Any);
        config.prefixes = vec![prefix.into()];
        builder = builder.handler(config);
    }
    for (action, short) in [("view-instance", "vi"), ("view-table", "vt"), ("insert-row", "ir")] {
        builder = builder.action(action, short);
    }
    builder
}

/// Returns the handler of Datasette's tokens.
pub(crate) fn signed() -> HandlerConfig {
    let ring = Arc::new(KeyRing::new("main", Secret::new(KEY), vec![]).unwrap());
    let mut config = HandlerConfig::new("signed", support::SIGNED, Actors::Any);
    config.first_party = true;
    config.prefixes = vec!["dstok_".into()];
    let grant = KeyGrant::new(ring).scheme(Scheme::Itsdangerous).namespace("token");
    config.keys.insert("token".into(), grant);
    support::unhurried(&mut config.limits);
    config
}

/// Returns the handler of configured tokens; it also gets all texts without a claimed prefix.
fn bots() -> HandlerConfig {
    let mut config = HandlerConfig::new("bots", support::HARDCODED, Actors::Any);
    config.first_party = true;
    config.settings.insert("actors".into(), BOTS.to_string());
    let names = BOTS.as_object().unwrap().keys();
    config.secrets = names.map(|name| (name.clone(), Secret::new(bot_token(name)))).collect();
    config
}

/// Returns the token of an actor of `bots`.
pub(crate) fn bot_token(name: &str) -> String {
    format!("token-of-{}-0123456789", name.replace(' ', "-"))
}

/// Returns the configuration of the server.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.issuer = Some(Issuer::new("https://auth.example.org").unwrap());
    config.hosts = Hosts::and(["auth.example.org", "10.0.0.7"]).unwrap();
    config.clients = CALLERS.map(|(id, may, handlers)| (id.to_owned(), client(id, may, handlers))).into();
    let view = || Some(Permission::new("view-table").on_database("shop"));
    let only_signed = || Handlers::Only(["signed".to_owned()].into());
    let read = || Some(["GET", "HEAD"].map(str::to_owned).into());
    let under_api = || Some(vec![PathPattern::new("/api/*").unwrap(), PathPattern::new("/health").unwrap()]);
    config.policies = [
        ("members", Policy::default()),
        ("readers", Policy { permission: Some(Permission::new("view-instance")), ..Policy::default() }),
        ("shop", Policy { permission: view(), ..Policy::default() }),
        (
            "orders",
            Policy {
                permission: Some(Permission::new("insert-row").on_resource("shop", "orders")),
                ..Policy::default()
            },
        ),
        ("signed", Policy { handlers: only_signed(), ..Policy::default() }),
        ("get", Policy { methods: read(), ..Policy::default() }),
        ("paths", Policy { paths: under_api(), ..Policy::default() }),
        (
            "api",
            Policy {
                permission: view(),
                handlers: only_signed(),
                methods: read(),
                paths: under_api(),
                rate: None,
                session: None,
            },
        ),
    ]
    .map(|(name, policy)| (name.to_owned(), policy))
    .into();
    config
}

/// Returns a client with these rights, for the tokens of one handler or of all.
pub(crate) fn client(id: &str, may: &str, handler: Option<&str>) -> Client {
    let rights = may.split(' ').filter_map(Right::named);
    let handlers = handler.map_or(Handlers::All, |name| Handlers::Only([name.to_owned()].into()));
    Client { handlers, ..Client::new(SecretDigest::of(&secret(id)), rights) }
}

/// A server with the complete fixture, shared by tests that do not change it.
pub(crate) static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start(config(), registry(), Some(NOW)));

/// Returns the secret of a client.
pub(crate) fn secret(id: &str) -> String {
    format!("secret-of-{id}-0123456789-0123456789")
}

/// Returns the token with this name.
pub(crate) fn token(name: &str) -> String {
    let now = NOW.seconds;
    let of = |payload: Value| dstok(&payload, KEY);
    match name {
        "good" => of(json!({"a": "root", "t": now})),
        "ends" => of(json!({"a": "root", "t": now, "d": 3600})),
        "narrow" => of(json!({"a": "reader", "t": now, "_r": {"a": ["vi"]}})),
        "may-view-shop" => of(json!({"a": "reader", "t": now, "_r": {"d": {"shop": ["vt"]}}})),
        "expired" => of(json!({"a": "root", "t": now - 100, "d": 99})),
        "future" => of(json!({"a": "root", "t": now + 1_000})),
        "forged" => dstok(&json!({"a": "root", "t": now}), "another-key-another-key-another-key"),
        "tampered" => token("good").replacen('.', "A.", 1),
        "long" => format!("dstok_{}", "a".repeat(9_000)),
        "nobody" => "nobodys-token".to_owned(),
        "partner" => "ho_x".to_owned(),
        "looping" => "lo_x".to_owned(),
        "down" => "dn_x".to_owned(),
        "careless" => "ca_a-token-that-is-repeated".to_owned(),
        name if BOTS.get(name).is_some() => bot_token(name),
        _ => panic!("unknown token `{name}`"),
    }
}

/// The names of tokens that are invalid for every request.
pub(crate) const BAD: [&str; 6] = ["expired", "future", "forged", "tampered", "long", "nobody"];

/// Returns the id that the handler assigns to a valid token.
fn token_id(name: &str) -> String {
    TestClock.set(Some(NOW));
    match registry().verify_blocking(&token(name)) {
        Ok(Verdict::Accepted(acceptance)) => acceptance.token_id.unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

/// Returns the value of `{NAME}` in a case: a token; `id NAME`, its id; `basic ID`, a client's
/// credentials as in HTTP Basic; `secret ID`, the client's secret.
pub(crate) fn named(name: &str) -> String {
    match name.split_once(' ') {
        Some(("basic", id)) => format!("Basic {}", base64(format!("{id}:{}", secret(id)).as_bytes())),
        Some(("secret", id)) => secret(id),
        Some(("id", name)) => token_id(name),
        _ => token(name),
    }
}
