//! A store that does not answer, for handlers that wait for it.

use super::{TOKEN, registry};
use keyward_runtime::{
    Actors, Changes, Committed, Entry, Filter, HandlerConfig, KeyUse, Listed, NodeSeen, Pending, Place, Registry,
    Revocation, Revoked, Runtime, RuntimeLimits, SecretDigest, StoreError, StoreGrant, Stored, Tally, TokenDigest,
    TokenStore, UnixTime, Verdict,
};
use keyward_tests::daemon::wait_for;
use keyward_tests::hostile;
use std::future::{Future, pending};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

/// The store. Dropped, it answers that it is gone.
pub(super) struct Silent(Arc<watch::Sender<bool>>);

impl Silent {
    pub(super) fn for_ever() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }

    fn says<T>(&self) -> Pending<'_, T> {
        let mut is_silent = self.0.subscribe();
        Box::pin(async move {
            let _ = is_silent.wait_for(|is_silent| !is_silent).await;
            Err(StoreError::new("the test is over"))
        })
    }
}

impl TokenStore for Silent {
    fn find<'a>(&'a self, _: &'a str, _: &'a str) -> Pending<'a, Option<Stored>> {
        self.says()
    }
    fn find_digest<'a>(&'a self, _: &'a str, _: &'a SecretDigest) -> Pending<'a, Option<Stored>> {
        self.says()
    }
    fn find_issued<'a>(&'a self, _: Option<&'a str>, _: &'a TokenDigest) -> Pending<'a, Option<Listed>> {
        self.says()
    }
    fn next_serial<'a>(&'a self, _: &'a str) -> Pending<'a, u64> {
        self.says()
    }
    fn commit<'a>(&'a self, _: &'a str, _: Changes) -> Pending<'a, Committed> {
        self.says()
    }
    fn used(&self, _: &str, _: &str, _: u64) {}
    fn count<'a>(&'a self, _: &'a Revocation, _: u64) -> Pending<'a, u64> {
        self.says()
    }
    fn revoke<'a>(&'a self, _: &'a Revocation, _: u64) -> Pending<'a, Revoked> {
        self.says()
    }
    fn clock(&self) -> Pending<'_, Option<u64>> {
        self.says()
    }
    fn note_clock(&self, _: u64) -> Pending<'_, ()> {
        self.says()
    }
    fn revocations<'a>(&'a self, _: u64, _: u32) -> Pending<'a, Vec<(u64, Entry)>> {
        Box::pin(pending())
    }
    fn list<'a>(&'a self, _: &'a Filter, _: Option<&'a Place>, _: u32, _: u64) -> Pending<'a, Vec<Listed>> {
        self.says()
    }
    fn tally<'a>(&'a self, _: &'a [(String, u64)], _: u64) -> Pending<'a, Vec<Tally>> {
        self.says()
    }
    fn key_uses<'a>(&'a self, _: u64) -> Pending<'a, Vec<KeyUse>> {
        self.says()
    }
    fn note_node<'a>(&'a self, _: &'a str, _: u64, _: u64) -> Pending<'a, ()> {
        self.says()
    }
    fn nodes<'a>(&'a self) -> Pending<'a, Vec<NodeSeen>> {
        self.says()
    }
}

/// Those that wait hold the share of their own handler, and nobody else's.
#[test]
fn who_waits_for_a_store_is_in_nobody_elses_way() {
    let limits = RuntimeLimits { slots: 8, ..RuntimeLimits::default() };
    let runtime = Runtime::with(limits, UnixTime { seconds: 1_767_225_600, nanoseconds: 0 }).unwrap();
    let silent = Silent::for_ever();
    let told = silent.0.clone();
    let mut case = hostile::case("store-waits");
    // For as long as the test lasts.
    case.grants.silent_store = false;
    let registry = registry(&runtime, &case, Some(Arc::new(silent))).unwrap();
    thread::scope(|scope| {
        let ask = || registry.verify_blocking(TOKEN).unwrap_err().code();
        // Half of the slots are its share.
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        wait_for("all of them to wait", || told.receiver_count() == 4);
        assert_eq!(ask(), "busy");
        for _ in 0..20 {
            assert!(matches!(registry.verify_blocking("vi_token"), Ok(Verdict::Accepted(_))));
        }
        assert_eq!(told.receiver_count(), 4);
        told.send_replace(false);
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap(), "store");
        }
    });
}

/// Any number of handlers that wait for a store together leave each other handler the slots that it owns.
#[test]
fn colluding_handlers_that_wait_leave_slots_for_the_others() {
    for colluding in [2, 7, 25] {
        let runtime = Runtime::with(RuntimeLimits::default(), UnixTime { seconds: 1_767_225_600, nanoseconds: 0 });
        let silent = Silent::for_ever();
        let told = silent.0.clone();
        let store: Arc<dyn TokenStore> = Arc::new(silent);
        let mut builder = Registry::builder(runtime.as_ref().unwrap());
        for number in 0..colluding {
            let bytes = hostile::case("store-waits").bytes;
            let mut config = HandlerConfig::new(format!("waits-{number}"), bytes, Actors::Any);
            config.prefixes = vec![format!("w{number}_")];
            config.limits.wall = Duration::from_secs(60);
            config.store = Some(StoreGrant { store: store.clone(), most: 1 });
            builder = builder.handler(config);
        }
        for name in ["victim", "other"] {
            let mut config = HandlerConfig::new(name, hostile::case("benign").bytes, Actors::Any);
            config.prefixes = vec![format!("{name}_")];
            config.limits.answer_bytes = 0;
            builder = builder.handler(config);
        }
        let registry = builder.build().unwrap();
        // Each call is polled once, which is when it takes its slot, and waits from then on.
        let mut waiting = Vec::new();
        for call in 0..80 * colluding {
            let registry = registry.clone();
            let mut call = Box::pin(async move { registry.verify(&format!("w{}_x", call % colluding)).await });
            if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                waiting.push(call);
            }
        }
        assert!(waiting.len() >= 32, "they hold all that they may: {}", waiting.len());
        for _ in 0..100 {
            for token in ["victim_x", "other_x"] {
                let verdict = registry.verify_blocking(token);
                assert!(matches!(verdict, Ok(Verdict::Accepted(_))), "beside {colluding}: {verdict:?}");
            }
        }
        told.send_replace(false);
    }
}
