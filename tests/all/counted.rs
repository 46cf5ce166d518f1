//! The cost of a token in handler calls and store lookups. A token that is visibly invalid costs
//! neither.

use crate::support::{HARDCODED, RUNTIME, SIGNED, TestClock, unhurried};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, StoreGrant, Verdict};
use keyward_store::{Location, NamedQuery, QueryLimits, QueryThreads, Store};
use keyward_tests::checksum::with_checksum;
use keyward_tests::daemon::wait_for;
use keyward_tests::postgres::{block_on, connect};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

/// Builds a registry of all handlers that ship, as a configuration loads them, over their own
/// store.
fn registry(place: Location) -> Registry {
    let store = Arc::new(Store::open(place).unwrap());
    let ring = Arc::new(KeyRing::new("main", Secret::new([1; 32]), vec![]).unwrap());
    let handler = |name: &str, component: &[u8], prefix: &str| {
        let mut config = HandlerConfig::new(name, component, Actors::Any);
        config.first_party = true;
        config.prefixes = vec![prefix.into()];
        unhurried(&mut config.limits);
        config
    };
    let kept = |mut config: HandlerConfig| {
        config.store = Some(StoreGrant { store: store.clone(), max: 100 });
        config
    };
    let mut stored = kept(handler("stored", keyward_handlers::STORED.component(), "kwt_test_"));
    stored.checksum = true;
    stored.settings.insert("prefix".into(), "\"kwt_test_\"".into());
    let mut managed = kept(handler("managed", keyward_handlers::AUTH_TOKENS.component(), "dsatok_"));
    let mut signed = handler("signed", SIGNED, "dstok_");
    for config in [&mut managed, &mut signed] {
        config.keys.insert("token".into(), KeyGrant::new(ring.clone()));
    }
    let mut bots = handler("bots", HARDCODED, "bot_");
    bots.secrets.push(("bot".into(), Secret::new(*b"bot_secret-of-the-operator")));
    bots.settings.insert("actors".into(), r#"{"bot":{"id":"bot"}}"#.into());
    let opaque = kept(handler("opaque", keyward_handlers::HYPOTHESIS.component(), "6879-"));
    let all = [stored, opaque, managed, signed, bots];
    all.into_iter().fold(Registry::builder(&RUNTIME), |builder, config| builder.handler(config)).build().unwrap()
}

/// Returns the calls and lookups of all handlers up to now.
fn counts(registry: &Registry) -> (u64, u64) {
    let each = registry.handlers().map(|handler| (handler.counts.calls, handler.counts.lookups));
    each.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
}

fn create(registry: &Registry, handler: &str) -> String {
    match registry.create_blocking(CreateRequest::new("alice").handler(handler)) {
        Ok(Creation::Created(created)) => created.token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_visibly_invalid_token_costs_nothing() {
    TestClock.set(Some(NOW));
    let folder = TempDir::new().unwrap();
    let registry = registry(Location::sqlite(folder.path().join("keyward.db")));
    let [stored, opaque, managed] = ["stored", "opaque", "managed"].map(|handler| create(&registry, handler));
    // Replaces the character at this index, leaving the rest unchanged.
    let changed = |token: &str, at: usize| {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
        String::from_utf8(bytes).unwrap()
    };
    let body = stored.len() - 6;
    for (what, token, wanted, calls, lookups) in [
        // Of no handler.
        ("no token", String::new(), "not-mine", 0, 0),
        ("an unknown prefix", "unknown_0123456789".to_owned(), "not-mine", 0, 0),
        ("half a prefix", "kwt_test".to_owned(), "not-mine", 0, 0),
        ("longer than any token", "kwt_test_".repeat(1_000), "malformed", 0, 0),
        // Of this registry: the checksum covers every character.
        ("its prefix only", "kwt_test_".to_owned(), "malformed", 0, 0),
        ("one character in the id", changed(&stored, 12), "malformed", 0, 0),
        ("one character in the secret", changed(&stored, 50), "malformed", 0, 0),
        ("one character in the checksum", changed(&stored, body + 2), "malformed", 0, 0),
        ("truncated", stored[..stored.len() - 1].to_owned(), "malformed", 0, 0),
        ("one character too many", format!("{stored}0"), "malformed", 0, 0),
        ("not ASCII", format!("{}é", &stored[..stored.len() - 2]), "malformed", 0, 0),
        ("too short, with a checksum", with_checksum("kwt_test_short"), "malformed", 0, 0),
        (
            "invalid characters, with a checksum",
            with_checksum(&format!("kwt_test_{}", "-".repeat(65))),
            "malformed",
            0,
            0,
        ),
        // Formats without a checksum: their components declare token patterns.
        ("an impossible developer token", "6879-%".to_owned(), "malformed", 0, 0),
        ("a developer token that is too long", format!("{opaque}0"), "malformed", 0, 0),
        // Well formed, so only the key can tell; a signature is not looked up, either.
        ("a managed token without a signature", "dsatok_x".to_owned(), "bad-signature", 1, 0),
        ("a managed token with another signature", changed(&managed, managed.len() - 5), "bad-signature", 1, 0),
        ("a signed token without a signature", "dstok_x".to_owned(), "bad-signature", 1, 0),
        // Only the store can tell.
        ("an unknown developer token", changed(&opaque, 20), "unknown", 1, 1),
        ("an unknown id", with_checksum(&changed(&stored, 12)[..body]), "unknown", 1, 1),
        ("a wrong secret", with_checksum(&changed(&stored, 50)[..body]), "unknown", 1, 1),
        ("a valid token", stored.clone(), "accepted", 1, 1),
        ("a valid token, again", stored.clone(), "accepted", 1, 1),
        ("a valid developer token", opaque.clone(), "accepted", 1, 1),
        ("a valid managed token", managed.clone(), "accepted", 1, 1),
    ] {
        assert_eq!(cost(&registry, &token), (wanted, calls, lookups), "{what}");
    }
}

/// Returns the verdict on a token, and the calls and lookups that it took.
fn cost(registry: &Registry, token: &str) -> (&'static str, u64, u64) {
    let before = counts(registry);
    let said = match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(_)) => "accepted",
        Ok(Verdict::NotMine) => "not-mine",
        Ok(Verdict::Rejected(rejection)) => rejection.reason.as_str(),
        Err(error) => panic!("{token:?}: {error}"),
    };
    let after = counts(registry);
    (said, after.0 - before.0, after.1 - before.1)
}

/// Tokens of a table have no prefix, so the handler decides about texts that may belong to another
/// handler.
#[test]
fn a_token_with_two_hyphens_costs_nothing() {
    TestClock.set(Some(NOW));
    let folder = TempDir::new().unwrap();
    let limits = QueryLimits { deadline: Duration::from_secs(60), rows: 1 };
    let sql = "SELECT 's3cret' AS token_secret, 'ann' AS actor_id WHERE :token_id = '1'";
    let place = Location::sqlite(folder.path().join("table.db"));
    drop(Store::open(place.clone()).unwrap());
    let query = NamedQuery::open(&QueryThreads::new().unwrap(), place, sql, limits).unwrap();
    let mut config = HandlerConfig::new("table", keyward_handlers::QUERY, Actors::Any);
    unhurried(&mut config.limits);
    config.queries.insert("token".into(), Arc::new(query));
    let registry = Registry::builder(&RUNTIME).handler(config).build().unwrap();
    for (token, said, calls) in [
        ("1-one-two", "malformed", 0),
        ("1-", "malformed", 0),
        ("-", "malformed", 0),
        ("é-s3cret", "malformed", 0),
        ("1-s3cret\n", "malformed", 0),
        ("1", "not-mine", 1),
        ("é", "not-mine", 1),
        ("1-other", "unknown", 1),
        ("1-s3cret", "accepted", 1),
    ] {
        let (answer, cost, _) = cost(&registry, token);
        assert_eq!((answer, cost), (said, calls), "{token:?}");
    }
}

/// The verdict does not reveal whether the id or the secret is wrong.
#[test]
fn an_unknown_id_is_rejected_like_a_wrong_secret() {
    TestClock.set(Some(NOW));
    let folder = TempDir::new().unwrap();
    let registry = registry(Location::sqlite(folder.path().join("keyward.db")));
    let token = create(&registry, "stored");
    let [id, secret] = [12, 50].map(|at| {
        let mut text = token[..token.len() - 6].to_owned();
        let other = if text.as_bytes()[at] == b'a' { "b" } else { "a" };
        text.replace_range(at..=at, other);
        match registry.verify_blocking(&with_checksum(&text)) {
            Ok(Verdict::Rejected(rejection)) => rejection,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(id, secret);
}

/// Verifying a frequently used token only reads: no row is written or locked.
#[test]
fn verifying_a_hot_token_only_reads() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keyward.db");
    let options = SqliteConnectOptions::new().filename(&path).read_only(true);
    let hot = registry(Location::sqlite(&path));
    let mut connection = block_on(options.connect()).unwrap();
    // The version changes with every commit of another connection.
    is_only_read(&hot, || {
        let version: i64 = block_on(sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut connection)).unwrap();
        (version.to_string(), block_on(sqlx::query_scalar(USED).fetch_one(&mut connection)).unwrap())
    });

    let Some(cluster) = keyward_tests::postgres::cluster() else { return };
    let (url, _) = cluster.database();
    let hot = registry(Location::postgres(&url).unwrap());
    let mut connection = connect(&url);
    // The transactions that wrote the row, and that wrote or locked it last.
    is_only_read(&hot, || {
        let sql = "SELECT coalesce(string_agg(xmin::text || ' ' || xmax::text, ','), '') FROM tokens";
        let rows: String = block_on(sqlx::query_scalar(sql).fetch_one(&mut connection)).unwrap();
        (rows, block_on(sqlx::query_scalar(USED).fetch_one(&mut connection)).unwrap())
    });
}

/// Counts the tokens whose use has been written.
const USED: &str = "SELECT count(last_used_at) FROM tokens";

/// Asserts that verifying a token only reads.
///
/// `state` returns a text that changes with each write, and the number of used tokens: a row shows
/// its next writer before the write is committed.
fn is_only_read(registry: &Registry, mut state: impl FnMut() -> (String, i64)) {
    TestClock.set(Some(NOW));
    let untouched = state();
    let token = create(registry, "stored");
    let (before, asked) = (counts(registry).1, AtomicU64::new(0));
    // On a busy machine the store may not respond in time, so the call is retried.
    let good = || {
        TestClock.set(Some(NOW));
        wait_for("a verdict", || {
            asked.fetch_add(1, Ordering::Relaxed);
            match registry.verify_blocking(&token) {
                Ok(Verdict::Accepted(_)) => true,
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    eprintln!("{error}");
                    false
                }
            }
        });
    };
    let created = state();
    assert_ne!(created, untouched, "writes change the state");
    // The first use is recorded after the response.
    good();
    wait_for("the first use to be written", || state().1 == 1);
    let noted = state();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| good()));
        }
    });
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked > 400, "{asked}");
    assert_eq!(counts(registry).1 - before, asked, "each call looked up the token");
    assert_eq!(state(), noted);
}
