//! A store that does not respond, for handlers that wait for it.

use super::{TOKEN, registry};
use crate::support;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{
    CommitOutcome, Entry, ListEntry, NodeDirectory, RecordStore, Revocation, RevocationLog, Revoked, SecretDigest,
    StoreError, StoreFuture, StoredRecord, TicketStore, TokenIndex, TokenStore, Transaction,
};
use keyward_runtime::token::TokenDigest;
use keyward_runtime::{Actors, HandlerConfig, Registry, RuntimeLimits, StoreGrant, Verdict};
use keyward_tests::daemon::wait_for;
use keyward_tests::hostile;
use std::future::{Future, pending};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

/// The silent store. When dropped, it reports that it is gone.
pub(super) struct Silent(Arc<watch::Sender<bool>>);

impl Silent {
    pub(super) fn for_ever() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }

    fn says<T>(&self) -> StoreFuture<'_, T> {
        let mut is_silent = self.0.subscribe();
        Box::pin(async move {
            let _ = is_silent.wait_for(|is_silent| !is_silent).await;
            Err(StoreError::new("the test is over"))
        })
    }
}

impl RecordStore for Silent {
    fn find<'a>(&'a self, _: &'a str, _: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        self.says()
    }
    fn find_digest<'a>(&'a self, _: &'a str, _: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        self.says()
    }
    fn find_issued<'a>(&'a self, _: Option<&'a str>, _: &'a TokenDigest) -> StoreFuture<'a, Option<ListEntry>> {
        self.says()
    }
    fn next_serial<'a>(&'a self, _: &'a str) -> StoreFuture<'a, u64> {
        self.says()
    }
    fn commit<'a>(&'a self, _: &'a str, _: Transaction) -> StoreFuture<'a, CommitOutcome> {
        self.says()
    }
}

impl RevocationLog for Silent {
    fn count<'a>(&'a self, _: &'a Revocation, _: UnixTime) -> StoreFuture<'a, u64> {
        self.says()
    }
    fn revoke<'a>(&'a self, _: &'a Revocation, _: UnixTime) -> StoreFuture<'a, Revoked> {
        self.says()
    }
    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        self.says()
    }
    fn note_clock(&self, _: UnixTime) -> StoreFuture<'_, ()> {
        self.says()
    }
    fn entries<'a>(&'a self, _: u64, _: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        Box::pin(pending())
    }
}

impl TokenIndex for Silent {}

impl NodeDirectory for Silent {}

impl TicketStore for Silent {}

/// Waiting calls occupy only the share of their own handler.
#[test]
fn a_call_that_waits_for_a_store_does_not_block_others() {
    let limits = RuntimeLimits { slots: 8, ..RuntimeLimits::default() };
    let runtime = support::runtime(limits, UnixTime { seconds: 1_767_225_600, nanoseconds: 0 });
    let silent = Silent::for_ever();
    let told = silent.0.clone();
    let mut case = hostile::case("store-waits");
    // For the duration of the test.
    case.grants.silent_store = false;
    let registry = registry(&runtime, &case, Some(Arc::new(silent))).unwrap();
    thread::scope(|scope| {
        let ask = || registry.verify_blocking(TOKEN).unwrap_err().code();
        // The share of a handler is half of the slots.
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        wait_for("all calls to wait", || told.receiver_count() == 4);
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

/// Any number of waiting handlers leaves every other handler the slots that it owns.
#[test]
fn colluding_handlers_that_wait_leave_slots_for_the_others() {
    for colluding in [2, 7, 25] {
        let runtime = support::runtime(RuntimeLimits::default(), UnixTime { seconds: 1_767_225_600, nanoseconds: 0 });
        let silent = Silent::for_ever();
        let told = silent.0.clone();
        let store: Arc<dyn TokenStore> = Arc::new(silent);
        let mut builder = Registry::builder(&runtime);
        for number in 0..colluding {
            let bytes = hostile::case("store-waits").bytes;
            let mut config = HandlerConfig::new(format!("waits-{number}"), bytes, Actors::Any);
            config.prefixes = vec![format!("w{number}_")];
            config.limits.wall = Duration::from_secs(60);
            config.store = Some(StoreGrant { store: store.clone(), max: 1 });
            builder = builder.handler(config);
        }
        for name in ["victim", "other"] {
            let mut config = HandlerConfig::new(name, hostile::case("benign").bytes, Actors::Any);
            config.prefixes = vec![format!("{name}_")];
            config.limits.verdict_cache_bytes = 0;
            builder = builder.handler(config);
        }
        let registry = builder.build().unwrap();
        // Each call takes its slot when it is first polled, and waits from then on.
        let mut waiting = Vec::new();
        for call in 0..80 * colluding {
            let registry = registry.clone();
            let mut call = Box::pin(async move { registry.verify(&format!("w{}_x", call % colluding)).await });
            if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                waiting.push(call);
            }
        }
        assert!(waiting.len() >= 32, "they occupy all slots that they may: {}", waiting.len());
        for _ in 0..100 {
            for token in ["victim_x", "other_x"] {
                let verdict = registry.verify_blocking(token);
                assert!(matches!(verdict, Ok(Verdict::Accepted(_))), "with {colluding} handlers: {verdict:?}");
            }
        }
        told.send_replace(false);
    }
}
