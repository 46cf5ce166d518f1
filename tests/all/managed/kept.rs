//! The record of a token decides, whatever its handler returns, and whatever happens to the record
//! during a call.

use super::{FOREVER, NOW, restrictions, ring, store};
use crate::support::{HARDCODED, RUNTIME, SIGNED, TestClock, time, unhurried};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::hook::{HookFuture, IssueHook};
use keyward_runtime::keys::{KeyGrant, Secret};
use keyward_runtime::registry::{IdKind, TokenUpdate, UpdateOutcome};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::{Filter, Revocation, Status, TokenStore};
use keyward_runtime::token::TokenId;
use keyward_runtime::{
    Actors, CreateRequest, Created, Creation, Error, HandlerConfig, IssueOptions, LoadError, Registry, StoreGrant,
    Verdict,
};
use keyward_tests::hostile;
use pollster::block_on;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const ALICE: &str = "hostile:alice";

fn at(seconds: u64) {
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
}

/// Builds a registry of one handler that may keep records.
fn load(component: &[u8], prefix: &str, change: impl Fn(&mut HandlerConfig)) -> (TempDir, Result<Registry, LoadError>) {
    at(0);
    let (folder, store) = store();
    let store: Arc<dyn TokenStore> = store;
    let mut config = HandlerConfig::new("h", component, Actors::Any);
    config.prefixes = vec![prefix.into()];
    config.store = Some(StoreGrant { store: store.clone(), max: u64::MAX });
    unhurried(&mut config.limits);
    change(&mut config);
    let revocations = Revocations::open(store.clone(), FOREVER).unwrap();
    let builder = Registry::builder(&RUNTIME).records(store, revocations).action("view-table", "vt");
    (folder, builder.handler(config).build())
}

/// Builds a registry of a handler that creates one token, with one id, for one actor, and never
/// reads a record.
fn careless(change: impl Fn(&mut HandlerConfig)) -> (TempDir, Registry) {
    let (folder, registry) = load(&hostile::case("store-never-asked").bytes, "ho_", change);
    (folder, registry.unwrap())
}

fn create(registry: &Registry, request: CreateRequest) -> Result<String, String> {
    made(registry.create_blocking(request))
}

/// Returns the token, the reason for its denial, or the code of the error.
pub(super) fn made(creation: Result<Creation, Error>) -> Result<String, String> {
    match creation {
        Ok(Creation::Created(created)) => Ok(created.token),
        Ok(Creation::Denied(denied)) => Err(denied.message),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the expiry of the token relative to [`NOW`], or the reason for its rejection.
pub(super) fn verify(registry: &Registry, token: &str) -> Result<Option<u64>, String> {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => Ok(acceptance.expires_at.map(|end| end.seconds - NOW.seconds)),
        Ok(Verdict::Rejected(rejection)) => Err(rejection.message),
        Ok(Verdict::NotMine) => Err("not mine".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn edit(registry: &Registry, id: &str, amendment: TokenUpdate) -> Result<(), String> {
    match block_on(registry.tokens().unwrap().edit(&TokenId::new("h", id), amendment)).unwrap() {
        UpdateOutcome::Done(_) => Ok(()),
        UpdateOutcome::Denied(denied) => Err(denied.message),
        UpdateOutcome::Unknown => Err("unknown".to_owned()),
    }
}

/// If an edit would change only the record, there is no record to edit.
#[test]
fn a_handler_that_keeps_no_records_is_refused_a_store() {
    let with_all = |config: &mut HandlerConfig| {
        config.keys.insert("token".into(), KeyGrant::new(ring()));
        config.secrets.push(("bot".into(), Secret::new(*b"x_secret-of-the-operator")));
    };
    for component in [SIGNED, HARDCODED] {
        let (_folder, loaded) = load(component, "x_", with_all);
        assert_eq!(loaded.map(drop).map_err(|error| error.code()), Err("keeps-no-records"));
        let (_folder, loaded) = load(component, "x_", |config| {
            with_all(config);
            config.store = None;
        });
        loaded.unwrap();
    }
}

#[test]
fn a_record_counts_for_a_handler_that_does_not_read_it() {
    let (_folder, registry) = careless(|_| {});
    let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
    assert_eq!(verify(&registry, &token), Ok(None));
    edit(&registry, "own", TokenUpdate { expires_at: Some(time(NOW.seconds + 10)), ..TokenUpdate::default() }).unwrap();
    assert_eq!(verify(&registry, &token), Ok(Some(10)), "in the same second");
    let longer =
        block_on(registry.tokens().unwrap().rotate(&TokenId::new("h", "own"), Duration::ZERO, IssueOptions::new()))
            .unwrap_err();
    assert!(longer.to_string().contains("expires later"), "{longer}");
    at(11);
    assert_eq!(verify(&registry, &token).unwrap_err(), "Token has expired");

    let (_folder, registry) = careless(|_| {});
    let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
    let narrow = restrictions(&[("view-table", None, None)]);
    edit(&registry, "own", TokenUpdate { restrictions: Some(narrow), ..TokenUpdate::default() }).unwrap();
    assert!(verify(&registry, &token).unwrap_err().contains("less restricted"));

    let (_folder, registry) = careless(|_| {});
    let other = create(&registry, CreateRequest::new("hostile:bob")).unwrap_err();
    assert!(other.contains("not for the requested actor"), "{other}");

    let (_folder, registry) = careless(|config| config.max_idle = Some(Duration::from_secs(600)));
    let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
    at(601);
    assert_eq!(verify(&registry, &token).unwrap_err(), "Token has not been used for too long");
}

/// A child is no wider than its parent, and is not issued if it cannot be counted.
#[test]
fn a_token_without_a_handlers_record_is_checked() {
    let (_folder, registry) = careless(|_| {});
    let wide = create(&registry, CreateRequest::new(ALICE)).unwrap();
    let Ok(Verdict::Accepted(mut parent)) = registry.verify_blocking(&wide) else { panic!() };
    parent.expires_at = Some(time(NOW.seconds + 5));
    let child = CreateRequest::new(ALICE).parent(&parent);
    assert!(create(&registry, child).unwrap_err().contains("expires later"));
    (parent.expires_at, parent.restrictions) = (None, Some(restrictions(&[("view-table", None, None)])));
    let child = CreateRequest::new(ALICE).parent(&parent);
    assert!(create(&registry, child).unwrap_err().contains("not restricted"));

    let nameless = |max: Option<u64>| {
        let (_folder, registry) = load(&hostile::case("store-ask-not-too-often").bytes, "ho_", |config| {
            config.max_tokens_per_actor = max;
        });
        create(&registry.unwrap(), CreateRequest::new(ALICE))
    };
    nameless(None).unwrap();
    assert!(nameless(Some(1)).unwrap_err().contains("has no id"));
}

/// Runs a function after a token is created, before it is valid.
struct Meanwhile<F>(F);

impl<F: Fn() + Send + Sync> IssueHook for Meanwhile<F> {
    fn before_commit<'a>(&'a self, _: &'a Created) -> HookFuture<'a> {
        (self.0)();
        Box::pin(async { Ok(()) })
    }
}

/// Also for a handler that revokes an actor's other tokens itself.
#[test]
fn a_token_revoked_during_a_rotation_is_not_replaced() {
    for (component, prefix) in
        [(keyward_handlers::STORED.component(), "kwt_test_"), (keyward_handlers::HYPOTHESIS.component(), "6879-")]
    {
        for overlap in [0, 60] {
            for is_revoked in [true, false] {
                let (_folder, registry) = load(component, prefix, |config| {
                    if component == keyward_handlers::STORED.component() {
                        config.settings.insert("prefix".into(), "\"kwt_test_\"".into());
                    }
                });
                let registry = registry.unwrap();
                let Ok(Creation::Created(old)) = registry.create_blocking(CreateRequest::new("ann")) else { panic!() };
                let id = old.token_id.unwrap();
                at(1);
                let tokens = registry.tokens().unwrap();
                let rotate = |options| {
                    made(
                        block_on(tokens.rotate(&TokenId::new("h", &id), Duration::from_secs(overlap), options))
                            .map(Option::unwrap),
                    )
                };
                let meanwhile = Meanwhile(|| {
                    if is_revoked {
                        let (handler, token_id) = (Some("h".to_owned()), Some(id.clone()));
                        let revocation = Revocation { handler, token_id, ..Revocation::default() };
                        assert_eq!(block_on(registry.revocations().unwrap().revoke(revocation)).unwrap(), 1);
                    } else {
                        rotate(IssueOptions::new()).unwrap();
                    }
                });
                let says = format!("{prefix} {overlap} {is_revoked}");
                assert!(
                    rotate(IssueOptions::new().hook(&meanwhile)).unwrap_err().contains("the token to replace has"),
                    "{says}"
                );
                let active = Filter { status: Some(Status::Active), ..Filter::default() };
                let active = block_on(registry.tokens().unwrap().list(active, None, 9)).unwrap().entries.len();
                let wanted = match (is_revoked, overlap) {
                    (true, _) => 0,
                    (false, 60) if component == keyward_handlers::STORED.component() => 2,
                    (false, _) => 1,
                };
                assert_eq!(active, wanted, "{says}");
            }
        }
    }
}

/// A time in milliseconds, for example, would yield a token that is never usable.
#[test]
fn no_expiry_exceeds_the_maximum() {
    const LAST: u64 = 253_402_300_799;
    let (_folder, registry) = careless(|_| {});
    let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
    let ends = |end| edit(&registry, "own", TokenUpdate { expires_at: Some(end), ..TokenUpdate::default() });
    assert!(ends(time(LAST + 1)).unwrap_err().contains("year 9999"));
    assert_eq!(ends(time(LAST)), Ok(()));
    assert_eq!(verify(&registry, &token), Ok(Some(LAST - NOW.seconds)));
}

/// An actor id that is a token is recorded: a revoked token is still a token, and so is one that
/// its handler may not recognize.
#[test]
fn a_possible_token_is_treated_as_one() {
    let is_token = |registry: &Registry, text: &str| block_on(registry.is_token(text, IdKind::Actor));
    let signed = |max_ttl: Option<u64>| {
        let (folder, loaded) = load(SIGNED, "dstok_", |config| {
            config.keys.insert("token".into(), KeyGrant::new(ring()));
            (config.store, config.max_ttl) = (None, max_ttl.map(Duration::from_secs));
        });
        (folder, loaded.unwrap())
    };
    let (_folder, registry) = signed(None);
    let token = create(&registry, CreateRequest::new("ann")).unwrap();
    assert!(is_token(&registry, &token));
    let (_folder, registry) = signed(Some(9));
    assert!(verify(&registry, &token).unwrap_err().contains("does not expire"));
    assert!(is_token(&registry, &token));
    for stuck in [
        format!("{token}x"),
        format!(" {token}"),
        format!("Bearer {token}"),
        format!("'{token}'"),
        format!("{token},"),
        format!("{token}\u{e9}"),
        token.get(..token.len() - 3).unwrap().to_owned(),
        // Behind a letter, and without the prefix.
        format!("x{token}"),
        token.strip_prefix("dstok_").unwrap().to_owned(),
        format!("tok={}", token.strip_prefix("dst").unwrap()),
    ] {
        assert!(is_token(&registry, &stuck), "surrounding text does not hide it: {stuck}");
    }
    for actor in
        ["ann", "dstok_team", "dstok_team of all that live in Aberdeen", "mydstok_0123456789012345678901234567"]
    {
        assert!(!is_token(&registry, actor), "{actor}");
    }

    // A text of one's own handler is not passed to it, so a short one is a name.
    let (_folder, loaded) = load(&hostile::case("answer-unavailable").bytes, "ho_", |config| config.store = None);
    let registry = loaded.unwrap();
    assert!(!is_token(&registry, "ho_x") && !is_token(&registry, "ann"));
    assert!(block_on(registry.is_token("ho_x", IdKind::Token)), "no id starts like a token");
}
