//! What is written down of a token counts, whatever its handler makes of it, and whatever becomes of it meanwhile.

use super::{FOREVER, NOW, restrictions, ring, store};
use crate::support::{HARDCODED, RUNTIME, SIGNED, TestClock, unhurried};
use keyward_cli::builtin::{OPAQUE, STORED};
use keyward_runtime::{
    Actors, Amendment, CreateRequest, Created, Creation, Edited, Error, Filter, HandlerConfig, KeyGrant, LoadError,
    Parent, Registry, Revocation, Revocations, Secret, Status, StoreGrant, TokenStore, UnixTime, Verdict, Witness,
    Witnessed,
};
use keyward_tests::hostile;
use pollster::block_on;
use std::num::NonZeroU32;
use std::sync::Arc;
use tempfile::TempDir;

const ALICE: &str = "hostile:alice";

fn at(seconds: u64) {
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
}

/// One handler that may keep records.
fn load(component: &[u8], prefix: &str, change: impl Fn(&mut HandlerConfig)) -> (TempDir, Result<Registry, LoadError>) {
    at(0);
    let (folder, store) = store();
    let store: Arc<dyn TokenStore> = store;
    let mut config = HandlerConfig::new("h", component, Actors::Any);
    config.prefixes = vec![prefix.into()];
    config.store = Some(StoreGrant { store: store.clone(), most: u64::MAX });
    unhurried(&mut config.limits);
    change(&mut config);
    let revocations = Revocations::open(store.clone(), FOREVER).unwrap();
    let builder = Registry::builder(&RUNTIME).records(store).revocations(revocations).action("view-table", "vt");
    (folder, builder.handler(config).build())
}

/// What makes one token, of one id, for one actor, and never asks for a record.
fn careless(change: impl Fn(&mut HandlerConfig)) -> (TempDir, Registry) {
    let (folder, registry) = load(&hostile::case("store-never-asked").bytes, "ho_", change);
    (folder, registry.unwrap())
}

fn create(registry: &Registry, request: CreateRequest) -> Result<String, String> {
    made(registry.create_blocking(None, request))
}

/// The token, why there is none, or the code of the error.
pub(super) fn made(creation: Result<Creation, Error>) -> Result<String, String> {
    match creation {
        Ok(Creation::Created(created)) => Ok(created.token),
        Ok(Creation::Denied(denied)) => Err(denied.message),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns when the token ends, counted from [`NOW`], or why it is not accepted.
pub(super) fn verify(registry: &Registry, token: &str) -> Result<Option<u64>, String> {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => Ok(acceptance.expires_at.map(|end| end - NOW.seconds)),
        Ok(Verdict::Rejected(rejection)) => Err(rejection.message),
        Ok(Verdict::NotMine) => Err("not mine".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn edit(registry: &Registry, id: &str, amendment: Amendment) -> Result<(), String> {
    match block_on(registry.edit("h", id, amendment)).unwrap() {
        Edited::Done(_) => Ok(()),
        Edited::Denied(denied) => Err(denied.message),
        Edited::Unknown => Err("unknown".to_owned()),
    }
}

/// Where an edit would change nothing but the record, there is none to be edited.
#[test]
fn what_asks_for_no_records_is_given_none() {
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
fn a_record_counts_for_a_handler_that_does_not_ask_for_it() {
    let (_folder, registry) = careless(|_| {});
    let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
    assert_eq!(verify(&registry, &token), Ok(None));
    edit(&registry, "own", Amendment { expires_at: Some(NOW.seconds + 10), ..Amendment::default() }).unwrap();
    assert_eq!(verify(&registry, &token), Ok(Some(10)), "in the same second");
    let longer = block_on(registry.rotate("h", "own", 0, None)).unwrap_err();
    assert!(longer.to_string().contains("ends later"), "{longer}");
    at(11);
    assert_eq!(verify(&registry, &token).unwrap_err(), "Token has expired");

    let (_folder, registry) = careless(|_| {});
    let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
    let narrow = restrictions(&[("view-table", None, None)]);
    edit(&registry, "own", Amendment { restrictions: Some(narrow), ..Amendment::default() }).unwrap();
    assert!(verify(&registry, &token).unwrap_err().contains("less restricted"));

    let (_folder, registry) = careless(|_| {});
    let other = create(&registry, CreateRequest::new("hostile:bob")).unwrap_err();
    assert!(other.contains("not for the actor"), "{other}");

    let (_folder, registry) = careless(|config| config.max_idle = Some(600));
    let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
    at(601);
    assert_eq!(verify(&registry, &token).unwrap_err(), "Token has not been used for too long");
}

/// A child is no wider than its parent, and none is made that nobody can count.
#[test]
fn a_token_that_its_handler_keeps_no_record_of_is_looked_at() {
    let (_folder, registry) = careless(|_| {});
    let wide = create(&registry, CreateRequest::new(ALICE)).unwrap();
    let Ok(Verdict::Accepted(mut parent)) = registry.verify_blocking(&wide) else { panic!() };
    parent.expires_at = Some(NOW.seconds + 5);
    let child = CreateRequest { parent: Some(Parent::of(&parent)), ..CreateRequest::new(ALICE) };
    assert!(create(&registry, child).unwrap_err().contains("ends later"));
    (parent.expires_at, parent.restrictions) = (None, Some(restrictions(&[("view-table", None, None)])));
    let child = CreateRequest { parent: Some(Parent::of(&parent)), ..CreateRequest::new(ALICE) };
    assert!(create(&registry, child).unwrap_err().contains("not restricted"));

    let nameless = |most: Option<u64>| {
        let (_folder, registry) = load(&hostile::case("store-ask-not-too-often").bytes, "ho_", |config| {
            config.max_tokens_per_actor = most;
        });
        create(&registry.unwrap(), CreateRequest::new(ALICE))
    };
    nameless(None).unwrap();
    assert!(nameless(Some(1)).unwrap_err().contains("has no id"));
}

/// Does something as soon as a token has been made, before it is good.
struct Meanwhile<F>(F);

impl<F: Fn() + Send + Sync> Witness for Meanwhile<F> {
    fn made<'a>(&'a self, _: &'a Created) -> Witnessed<'a> {
        (self.0)();
        Box::pin(async { Ok(()) })
    }
}

/// Also of a handler that ends an actor's other tokens itself.
#[test]
fn nothing_takes_the_place_of_what_has_ended_meanwhile() {
    for (component, prefix) in [(STORED, "kwt_test_"), (OPAQUE, "6879-")] {
        for overlap in [0, 60] {
            for is_revoked in [true, false] {
                let (_folder, registry) = load(component, prefix, |config| {
                    if component == STORED {
                        config.settings.insert("prefix".into(), "\"kwt_test_\"".into());
                    }
                });
                let registry = registry.unwrap();
                let Ok(Creation::Created(old)) = registry.create_blocking(None, CreateRequest::new("ann")) else {
                    panic!()
                };
                let id = old.token_id.unwrap();
                at(1);
                let rotate = |witness| made(block_on(registry.rotate("h", &id, overlap, witness)).map(Option::unwrap));
                let meanwhile = Meanwhile(|| {
                    if is_revoked {
                        let (handler, token_id) = (Some("h".to_owned()), Some(id.clone()));
                        let revocation = Revocation { handler, token_id, ..Revocation::default() };
                        assert_eq!(block_on(registry.revoke(revocation)).unwrap(), 1);
                    } else {
                        rotate(None).unwrap();
                    }
                });
                let says = format!("{prefix} {overlap} {is_revoked}");
                assert!(rotate(Some(&meanwhile)).unwrap_err().contains("what it would replace has"), "{says}");
                let active = Filter { status: Some(Status::Active), ..Filter::default() };
                let active = block_on(registry.list(active, None, 9)).unwrap().len();
                let wanted = match (is_revoked, overlap) {
                    (true, _) => 0,
                    (false, 60) if component == STORED => 2,
                    (false, _) => 1,
                };
                assert_eq!(active, wanted, "{says}");
            }
        }
    }
}

/// A time in milliseconds, say, would leave a token that nobody can use.
#[test]
fn no_end_is_put_behind_the_last_one_that_there_is() {
    const LAST: u64 = 253_402_300_799;
    let (_folder, registry) = careless(|_| {});
    let request = CreateRequest { expires_after: NonZeroU32::new(0), ..CreateRequest::new(ALICE) };
    let token = create(&registry, request).unwrap();
    let ends = |end| edit(&registry, "own", Amendment { expires_at: Some(end), ..Amendment::default() });
    assert!(ends(LAST + 1).unwrap_err().contains("year 9999"));
    assert_eq!(ends(LAST), Ok(()));
    assert_eq!(verify(&registry, &token), Ok(Some(LAST - NOW.seconds)));
}

/// What stands in the place of an actor is written down: one that is kept out is a token all the same, and so may be one of which
/// its handler cannot tell.
#[test]
fn what_may_be_a_token_is_taken_for_one() {
    let is_token = |registry: &Registry, text: &str| block_on(registry.is_token(text, false));
    let signed = |max_ttl: Option<u64>| {
        let (folder, loaded) = load(SIGNED, "dstok_", |config| {
            config.keys.insert("token".into(), KeyGrant::new(ring()));
            (config.store, config.max_ttl) = (None, max_ttl);
        });
        (folder, loaded.unwrap())
    };
    let (_folder, registry) = signed(None);
    let token = create(&registry, CreateRequest::new("ann")).unwrap();
    assert!(is_token(&registry, &token));
    let (_folder, registry) = signed(Some(9));
    assert!(verify(&registry, &token).unwrap_err().contains("does not end"));
    assert!(is_token(&registry, &token));
    for stuck in [
        format!("{token}x"),
        format!(" {token}"),
        format!("Bearer {token}"),
        format!("'{token}'"),
        format!("{token},"),
        format!("{token}\u{e9}"),
        token.get(..token.len() - 3).unwrap().to_owned(),
    ] {
        assert!(is_token(&registry, &stuck), "what is stuck to it does not hide it: {stuck}");
    }
    for actor in
        ["ann", "dstok_team", "dstok_team of all that live in Aberdeen", "mydstok_0123456789012345678901234567"]
    {
        assert!(!is_token(&registry, actor), "{actor}");
    }

    // A text of one's own handler is not shown to it, so a short one is a name.
    let (_folder, loaded) = load(&hostile::case("answer-unavailable").bytes, "ho_", |config| config.store = None);
    let registry = loaded.unwrap();
    assert!(!is_token(&registry, "ho_x") && !is_token(&registry, "ann"));
    assert!(block_on(registry.is_token("ho_x", true)), "no id begins like a token");
}
