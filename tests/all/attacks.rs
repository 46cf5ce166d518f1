//! Runs every hostile handler of `tests/hostile/`.
//!
//! Each call has the outcome that its file names, none yields an actor that it must not yield, and
//! the host and its other handlers keep working.

mod http;
mod queries;
mod silent;

use crate::support;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::error::ErrorKind;
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::limits::LimitKind;
use keyward_runtime::session::SessionRequest;
use keyward_runtime::store::{
    NewRecord, Record, RecordStore, Revocation, RevocationLog, SecretDigest, StoredRecord, TokenStore, Transaction,
};
use keyward_runtime::{
    Actors, CreateRequest, Creation, Error, HandlerConfig, Limits, Registry, Runtime, RuntimeLimits, StoreGrant,
    Verdict,
};
use keyward_store::{Location, Store};
use keyward_tests::hostile::{self, Call, Case, Grants, Outcome};
use sha2::{Digest, Sha256};
use silent::Silent;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

/// Time that a handler may wait for a store that does not respond.
const SILENCE: Duration = Duration::from_millis(100);
const TOKEN: &str = "ho_anything.at-all";
/// The value of the cookie that handlers see, and that of those that they do not.
const COOKIE: &str = "0123456789abcdef-session";
const OTHER: &str = "fedcba9876543210-other";

/// The store of all hostile handlers. It already contains a record of another handler.
static STORE: LazyLock<(Arc<Store>, TempDir)> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let store = Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap();
    let record = Record::new("victims", "victim", NOW.whole());
    let digest = SecretDigest::new(Sha256::digest("secret-of-the-victims").into());
    let stored = StoredRecord { record, digest: Some(digest), token_digest: None };
    let insert =
        NewRecord { stored, replace: false, max: 1, max_per_actor: None, max_per_client: None, idle_before: None };
    let changes = Transaction { at: NOW.whole(), insert: Some(insert), ..Transaction::default() };
    pollster::block_on(store.commit("victim", changes)).unwrap();
    (Arc::new(store), folder)
});

/// Returns the number of a handler's live records.
fn records(handler: &str) -> u64 {
    let all = Revocation { handler: Some(handler.to_owned()), ..Revocation::default() };
    pollster::block_on(STORE.0.count(&all, NOW.whole())).unwrap()
}

/// Builds a registry of the hostile handler and a benign one.
fn registry(
    runtime: &Runtime,
    case: &Case,
    store: Option<Arc<dyn TokenStore>>,
) -> Result<Registry, keyward_runtime::LoadError> {
    let ring = |byte| Arc::new(KeyRing::new("ring", Secret::new([byte; 32]), vec![]).unwrap());
    let mut config = HandlerConfig::new("hostile", case.bytes.clone(), Actors::matching(["hostile:*"]).unwrap());
    config.prefixes = vec!["ho_".into()];
    config.max_ttl = case.max_ttl.map(Duration::from_secs);
    // The machine may be busy: the limit that stops a call must be the one that the file names, not
    // the wall clock, and not the CPU limit if the file counts calls or bytes.
    config.limits.wall =
        if case.grants.silent_store || case.grants.silent_http { SILENCE } else { Duration::from_secs(60) };
    // Without the cache every call reaches the handler, which shows whether state survives a call.
    config.limits.verdict_cache_bytes = 0;
    if let Outcome::Failed(code) = &case.outcome
        && ["limit-host-calls", "limit-host-work"].contains(&code.as_str())
    {
        config.limits.cpu = Duration::from_secs(30);
    }
    if case.grants.keys {
        config.keys.insert("mine".into(), KeyGrant::new(ring(1)));
    }
    if case.grants.public_keys {
        config.public_keys.insert("mine".into(), hostile::public_keys());
    }
    if case.grants.secrets {
        config.secrets.push(("bot".into(), Secret::new(*b"ho_secret-of-the-operator")));
    }
    if case.grants.queries {
        config.queries = queries::granted();
    }
    if case.grants.http {
        config.http = http::granted();
    }
    config.wasi = case.grants.wasi;
    if case.grants.silent_http {
        config.http = http::silent();
    }
    config.session.cookies.insert("sid".to_owned());
    config.store = store.map(|store| StoreGrant { store, max: 100 });
    let mut victim = HandlerConfig::new("victim", hostile::case("benign").bytes, Actors::Any);
    victim.prefixes = vec!["vi_".into()];
    victim.limits.verdict_cache_bytes = 0;
    victim.queries = queries::of_the_other();
    victim.http = http::of_the_other();
    victim.keys.insert("token".into(), KeyGrant::new(ring(2)));
    victim.public_keys.insert("theirs".into(), hostile::public_keys());
    Registry::builder(runtime).handler(config).handler(victim).build()
}

/// The result of a call, in the terms of the files: the outcome, the actor or token, and the error.
type Became = (Outcome, Option<String>, Option<Error>);

fn verify(registry: &Registry) -> Became {
    judged(registry.verify_blocking(TOKEN))
}

fn judged(verdict: Result<Verdict, Error>) -> Became {
    match verdict {
        Ok(Verdict::Accepted(acceptance)) => {
            (Outcome::Ok, Some(acceptance.actor_ignoring_restrictions().json().to_owned()), None)
        }
        Ok(Verdict::NotMine) => (Outcome::NotMine, None, None),
        Ok(Verdict::Rejected(rejection)) => {
            assert!(rejection.message.len() <= Limits::default().message_bytes, "a message is truncated");
            assert!(!rejection.message.contains(char::is_control), "a message is one line");
            (Outcome::Rejected(rejection.reason.to_string()), None, None)
        }
        Err(error) => (Outcome::Failed(error.code().to_owned()), None, Some(error)),
    }
}

fn identify(registry: &Registry) -> Became {
    let request = SessionRequest::new("GET", "/").cookie("sid", COOKIE).cookie("other", OTHER).header("x-id", OTHER);
    let verdict = registry.identify_blocking("hostile", &request);
    if let Ok(Verdict::Rejected(rejection)) = &verdict {
        assert!(!rejection.message.contains(COOKIE), "a cookie is no text for a client");
    }
    judged(verdict)
}

fn create(registry: &Registry) -> Became {
    let request = CreateRequest::new("hostile:alice");
    match registry.create_blocking(request.handler("hostile")) {
        Ok(Creation::Created(created)) => (Outcome::Ok, Some(created.token), None),
        Ok(Creation::Denied(denied)) => (Outcome::Denied(denied.denial.to_string()), None, None),
        Err(error) => (Outcome::Failed(error.code().to_owned()), None, Some(error)),
    }
}

/// The thread on which calls are made.
#[derive(Clone, Copy)]
enum Stack {
    /// The thread of the test, on whose stack quick calls run.
    Own,
    /// Another thread with a small stack: every call runs on a fiber.
    Small,
}

impl Stack {
    fn run(self, call: fn(&Registry) -> Became, registry: &Registry) -> Became {
        match self {
            Self::Own => call(registry),
            Self::Small => thread::scope(|scope| {
                let small = thread::Builder::new().stack_size(256 << 10);
                small.spawn_scoped(scope, || call(registry)).unwrap().join().unwrap()
            }),
        }
    }
}

/// Runs a case and returns an error that describes any difference from its required outcome.
fn run(runtime: &Runtime, case: &Case, stack: Stack) -> Result<(), String> {
    let store: Option<Arc<dyn TokenStore>> = match case.grants {
        Grants { store: true, .. } => Some(STORE.0.clone()),
        Grants { silent_store: true, .. } => Some(Arc::new(Silent::for_ever())),
        _ => None,
    };
    let loaded = registry(runtime, case, store);
    let registry = match (loaded, case.call, &case.outcome) {
        (Err(error), Call::Load, Outcome::Refused(code) | Outcome::Failed(code)) if error.code() == code => {
            return if error.handler() == Some("hostile") { Ok(()) } else { Err(format!("names no handler: {error}")) };
        }
        (Ok(_), Call::Load, Outcome::Ok) => return Ok(()),
        (Ok(registry), Call::Verify | Call::Create | Call::Both | Call::Identify, _) => registry,
        (Ok(_), ..) => return Err(format!("loaded, wanted {}", case.outcome)),
        (Err(error), ..) => return Err(format!("did not load: {} ({error})", error.code())),
    };
    let calls: &[fn(&Registry) -> Became] = match case.call {
        Call::Verify => &[verify],
        Call::Create => &[create],
        Call::Both => &[verify, create],
        Call::Identify => &[identify],
        Call::Load => &[],
    };
    for call in calls {
        let (outcome, text, error) = stack.run(*call, &registry);
        if outcome != case.outcome {
            return Err(format!("{outcome}, wanted {} ({error:?})", case.outcome));
        }
        if let Some(error) = &error {
            check_error(error)?;
        }
        if let (Some(wanted), Some(got)) = (&case.actor, &text)
            && got.starts_with('{')
        {
            let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            if json(wanted) != json(got) {
                return Err(format!("the actor is {got}, wanted {wanted}"));
            }
        }
        if case.twice && stack.run(*call, &registry).1 != text {
            return Err("the second answer differs from the first: something was kept".into());
        }
    }
    match registry.verify_blocking("vi_token") {
        Ok(Verdict::Accepted(_)) => Ok(()),
        other => Err(format!("the next call, of another handler, went wrong: {other:?}")),
    }
}

/// Checks that an error names the handler and, for a limit, the amount used.
///
/// A CPU limit is exact to the tick on an idle machine, and to twice its value if all cores are
/// busy.
fn check_error(error: &Error) -> Result<(), String> {
    if error.handler() != Some("hostile") {
        return Err(format!("names no handler: {error}"));
    }
    if let ErrorKind::Limit(hit) = error.kind() {
        let text = error.to_string();
        if hit.used < hit.of || !text.contains(hit.limit.setting()) {
            return Err(format!("incomplete message: {text}"));
        }
        if hit.limit == LimitKind::Cpu && hit.used > 2 * hit.of {
            return Err(format!("was stopped too late: {text}"));
        }
    }
    Ok(())
}

#[test]
fn every_attack_has_its_required_outcome() {
    let runtime = support::runtime(RuntimeLimits::default(), NOW);
    let cases = hostile::cases();
    assert!(cases.len() >= 40);
    for stack in [Stack::Own, Stack::Small] {
        // A case of loading makes no call.
        let cases: Vec<_> =
            cases.iter().filter(|case| matches!(stack, Stack::Own) || case.call != Call::Load).collect();
        let wrong: Vec<_> = cases
            .iter()
            .filter_map(|case| run(&runtime, case, stack).err().map(|why| format!("{}: {why}", case.name)))
            .collect();
        assert!(wrong.is_empty(), "{} of {} attacks:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    }
    assert_eq!((records("hostile"), records("victim")), (0, 1), "no attack created or revoked a record");
}

/// The same handlers with WASI, which run in an engine of its own: sixty of them, or with
/// `KEYWARD_SOAK_SECONDS` all.
#[test]
fn attacks_have_the_same_outcomes_with_wasi() {
    let runtime = support::runtime(RuntimeLimits::default(), NOW);
    let all = hostile::cases_in_wasi();
    let step = if std::env::var_os("KEYWARD_SOAK_SECONDS").is_some() { 1 } else { all.len() / 60 };
    let cases: Vec<_> = all.iter().step_by(step).collect();
    assert!(cases.len() >= 60, "{}", cases.len());
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|case| run(&runtime, case, Stack::Own).err().map(|why| format!("{}: {why}", case.name)))
        .collect();
    assert!(wrong.is_empty(), "{} of {} attacks:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
