//! Key sets that are fetched again while they are used.

use super::{Algorithm, KeySet, KeySetError};
use crate::sanitize::{MAX_NAME, escape_untrusted};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The times of a [`RemoteKeySet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "embedders construct it")]
pub struct RefreshTimes {
    /// Time from one refresh to the next.
    pub refresh: Duration,
    /// Minimum time between two refreshes: after a failure, and for a key id that is unknown.
    pub cooldown: Duration,
    /// Maximum age of the keys. Older ones verify nothing.
    pub max_stale: Duration,
}

impl Default for RefreshTimes {
    /// Returns 5 minutes, 30 seconds and a day.
    fn default() -> Self {
        let [refresh, cooldown, max_stale] = [300, 30, 86_400].map(Duration::from_secs);
        Self { refresh, cooldown, max_stale }
    }
}

/// A [`KeySet`] that the embedder fetches, such as from the `jwks_uri` of an issuer.
///
/// The runtime never connects anywhere. `keyward-fetch` refreshes a set; with another client, a
/// task does so in a loop:
///
/// ```
/// # use keyward_runtime::key_sets::RemoteKeySet;
/// # async fn sleep_until(_: std::time::Instant) {}
/// # async fn get(_: &str) -> Result<String, std::io::Error> { Ok(String::new()) }
/// async fn keep_fresh(set: &RemoteKeySet) {
///     loop {
///         let refresh = set.begin_refresh();
///         match get("https://issuer.example/jwks.json").await {
///             Ok(text) => refresh.fetched(&text),
///             Err(error) => refresh.failed(error.to_string()),
///         }
///         // Until the next refresh is due, or a token names a key that the set does not have.
///         # #[cfg(any())]
///         tokio::select! {
///             () = sleep_until(set.next_refresh()) => {}
///             () = set.requested() => {}
///         }
///         # break;
///     }
/// }
/// ```
///
/// A failed refresh keeps the keys until they are older than [`RefreshTimes::max_stale`]. Then, and
/// before the first refresh, there is no verdict on a token.
pub struct RemoteKeySet {
    name: String,
    /// The algorithm of RSA keys that name none.
    algorithm: Option<Algorithm>,
    times: RefreshTimes,
    state: Mutex<State>,
    /// Changes with the keys, and whenever the keys become too old or usable again.
    generation: AtomicU64,
    requested: Notify,
}

#[derive(Default)]
struct State {
    /// The last usable keys, and the start of the refresh that fetched them.
    keys: Option<(Arc<KeySet>, Instant)>,
    /// The start of the last refresh.
    started: Option<Instant>,
    /// The error of the last refresh.
    error: Option<String>,
    /// `true` from a request for a refresh until that has completed.
    is_refreshing: bool,
    refreshes: u64,
    failures: u64,
}

impl RemoteKeySet {
    /// Creates a set that has not been fetched. `algorithm` is that of RSA keys that name none.
    pub fn new(name: impl Into<String>, algorithm: Option<Algorithm>, times: RefreshTimes) -> Self {
        let (generation, requested) = Default::default();
        Self { name: name.into(), algorithm, times, state: Mutex::default(), generation, requested }
    }

    /// Returns the name of the set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Begins a refresh, whose result the returned [`Refresh`] accepts.
    pub fn begin_refresh(&self) -> Refresh<'_> {
        self.begin_refresh_at(Instant::now())
    }

    fn begin_refresh_at(&self, now: Instant) -> Refresh<'_> {
        let mut state = self.lock();
        state.started = Some(now);
        state.is_refreshing = true;
        Refresh { set: self, started: now, result: Err("the refresh was abandoned".to_owned()) }
    }

    /// Returns when the next refresh is due, unless [`requested`](Self::requested) completes
    /// earlier.
    pub fn next_refresh(&self) -> Instant {
        let state = self.lock();
        let Some(started) = state.started else { return Instant::now() };
        let after = if state.error.is_some() { self.times.cooldown } else { self.times.refresh };
        started.checked_add(after).unwrap_or(started)
    }

    /// Waits until a token names a key that the set does not have, at most once per
    /// [`RefreshTimes::cooldown`].
    pub async fn requested(&self) {
        self.requested.notified().await;
    }

    /// Returns the state of the set.
    pub fn status(&self) -> KeySetStatus {
        self.status_at(Instant::now())
    }

    fn status_at(&self, now: Instant) -> KeySetStatus {
        let next = self.next_refresh();
        let state = self.lock();
        let age = state.keys.as_ref().map(|(_, fetched)| now.saturating_duration_since(*fetched));
        KeySetStatus {
            name: self.name.clone(),
            keys: state.keys.as_ref().map(|(set, _)| set.named_keys()).unwrap_or_default(),
            is_usable: age.is_some_and(|age| age <= self.times.max_stale),
            remote: Some(RemoteStatus {
                age,
                error: state.error.clone(),
                next_refresh: next.saturating_duration_since(now),
                refreshes: state.refreshes,
                failures: state.failures,
            }),
        }
    }

    /// Returns the keys, or `None` if they were never fetched or are too old.
    pub(crate) fn current(&self, now: Instant) -> Option<Arc<KeySet>> {
        let state = self.lock();
        let (keys, fetched) = state.keys.as_ref()?;
        (now.saturating_duration_since(*fetched) <= self.times.max_stale).then(|| keys.clone())
    }

    /// Requests a refresh because a key is unknown. Returns whether one runs; `false` within the
    /// cooldown.
    pub(crate) fn request_refresh(&self, now: Instant) -> bool {
        let mut state = self.lock();
        if state.is_refreshing {
            return true;
        }
        if state.started.is_some_and(|started| now.saturating_duration_since(started) < self.times.cooldown) {
            return false;
        }
        state.is_refreshing = true;
        drop(state);
        self.requested.notify_one();
        true
    }

    /// Returns a number that changes with the keys.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RemoteKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteKeySet").field(&self.status()).finish()
    }
}

/// A refresh in progress of a [`RemoteKeySet`]. It fails if it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Refresh<'a> {
    set: &'a RemoteKeySet,
    started: Instant,
    result: Result<KeySet, String>,
}

impl Refresh<'_> {
    /// Completes the refresh with the text of a JWK Set, whose keys replace those of the set. A
    /// text that [`KeySet::with_jwks`] refuses is a failure.
    pub fn fetched(mut self, jwks: &str) {
        let keys = KeySet::new(&self.set.name).with_jwks(jwks, self.set.algorithm);
        self.result = keys.map_err(|error: KeySetError| error.to_string());
    }

    /// Completes the refresh without keys. `error` says what failed.
    pub fn failed(mut self, error: impl AsRef<str>) {
        self.result = Err(escape_untrusted(error.as_ref(), 4 * MAX_NAME));
    }
}

impl Drop for Refresh<'_> {
    fn drop(&mut self) {
        let mut state = self.set.lock();
        state.is_refreshing = false;
        state.refreshes = state.refreshes.saturating_add(1);
        match std::mem::replace(&mut self.result, Err(String::new())) {
            Ok(keys) => {
                state.error = None;
                let same = state.keys.as_ref().filter(|(known, _)| known.keys == keys.keys);
                let is_changed = same.is_none();
                let keys = same.map_or_else(|| Arc::new(keys), |(known, _)| known.clone());
                state.keys = Some((keys, self.started));
                if is_changed {
                    self.set.generation.fetch_add(1, Ordering::Release);
                }
            }
            Err(error) => {
                state.error = Some(error);
                state.failures = state.failures.saturating_add(1);
            }
        }
    }
}

impl KeySetStatus {
    pub(super) fn fixed(set: &KeySet) -> Self {
        Self { name: set.name.clone(), keys: set.named_keys(), is_usable: true, remote: None }
    }
}

/// The state of a key set, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySetStatus {
    /// The name of the set.
    pub name: String,
    /// The id and the [`Algorithm`] of each key.
    pub keys: Vec<(String, Algorithm)>,
    /// `false` if the keys verify nothing, because they are too old or were never fetched.
    pub is_usable: bool,
    /// The state of its refreshes; `None` for a set that does not change.
    pub remote: Option<RemoteStatus>,
}

/// The refreshes of a [`RemoteKeySet`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteStatus {
    /// Time since the keys were fetched; `None` if they never were.
    pub age: Option<Duration>,
    /// The error of the last refresh; `None` if that succeeded.
    pub error: Option<String>,
    /// Time until the next refresh.
    pub next_refresh: Duration,
    /// Number of completed refreshes.
    pub refreshes: u64,
    /// Number of refreshes that failed.
    pub failures: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_sets::{KeySetGrant, NoKey};

    /// RFC 8037 appendix A.2, with an id.
    fn jwks(id: &str) -> String {
        let key = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        format!(r#"{{"keys":[{{{key},"kid":"{id}"}}]}}"#)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A set, its grant, and a time from which tests count.
    struct World {
        set: Arc<RemoteKeySet>,
        grant: KeySetGrant,
        start: Instant,
    }

    impl World {
        fn new() -> Self {
            let times = RefreshTimes { refresh: seconds(300), cooldown: seconds(30), max_stale: seconds(3600) };
            let set = Arc::new(RemoteKeySet::new("idp", None, times));
            let grant = KeySetGrant::new(set.clone(), [Algorithm::EdDsa]);
            Self { set, grant, start: Instant::now() }
        }

        fn at(&self, after: u64) -> Instant {
            self.start + seconds(after)
        }

        fn refresh(&self, after: u64, jwks: &str) {
            self.set.begin_refresh_at(self.at(after)).fetched(jwks);
        }

        fn find(&self, after: u64, id: &str) -> Result<usize, NoKey> {
            self.grant.candidates(Some(id), Algorithm::EdDsa, self.at(after)).map(|keys| keys.len())
        }

        fn next(&self) -> Duration {
            self.set.next_refresh() - self.start
        }

        fn error(&self) -> Option<String> {
            self.set.status_at(self.start).remote.unwrap().error
        }
    }

    #[test]
    fn before_the_first_refresh_there_are_no_keys() {
        let world = World::new();
        assert!(!world.set.status().is_usable);
        assert_eq!(world.find(0, "a"), Err(NoKey::Unavailable));
        world.set.begin_refresh_at(world.at(0)).failed("no route");
        assert_eq!(world.find(1, "a"), Err(NoKey::Unavailable), "the set may have the key");
        assert_eq!(world.next(), seconds(30));
        world.refresh(30, &jwks("a"));
        assert_eq!(world.find(30, "a"), Ok(1));
        assert_eq!((world.next(), world.error()), (seconds(330), None));
    }

    /// An attacker presents tokens with key ids that no one has.
    #[test]
    fn unknown_key_ids_cause_one_refresh_in_each_period() {
        let world = World::new();
        world.refresh(0, &jwks("a"));
        let mut requests = 0;
        for after in 0..3_600 {
            let before = world.find(after, "b");
            match before {
                Err(NoKey::NoSuchKey) => {}
                Err(NoKey::Unavailable) => {
                    assert_eq!(world.find(after, "c"), Err(NoKey::Unavailable), "this refresh may find it, too");
                    assert_eq!(world.find(after, "a"), Ok(1), "known keys are not affected");
                    world.refresh(after, &jwks("a"));
                    requests += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(requests, 3_600 / 30 - 1);
    }

    /// mobula#28: a set without keys was fetched again for each token.
    #[test]
    fn an_empty_set_is_not_fetched_for_each_token() {
        let world = World::new();
        world.refresh(0, r#"{"keys":[]}"#);
        for after in 0..30 {
            assert_eq!(world.find(after, "a"), Err(NoKey::Unavailable));
            assert_eq!(world.next(), seconds(30));
            assert!(!world.set.lock().is_refreshing);
        }
    }

    #[test]
    fn a_new_key_is_found_by_the_refresh_that_it_causes() {
        let world = World::new();
        world.refresh(0, &jwks("a"));
        let first = world.set.generation();
        assert_eq!(world.find(29, "b"), Err(NoKey::NoSuchKey), "within the cooldown");
        assert_eq!(world.find(30, "b"), Err(NoKey::Unavailable));
        world.refresh(30, &jwks("b"));
        assert_eq!(world.find(31, "b"), Ok(1));
        assert_eq!(world.find(31, "a"), Err(NoKey::NoSuchKey), "it was withdrawn");
        assert_ne!(world.set.generation(), first, "cached verdicts end");
        let second = world.set.generation();
        world.refresh(60, &jwks("b"));
        assert_eq!(world.set.generation(), second, "the keys are the same");
    }

    #[test]
    fn failures_keep_the_last_keys_until_they_are_too_old() {
        let world = World::new();
        world.refresh(0, &jwks("a"));
        let private = jwks("b").replace(r#""kty""#, r#""d":"AAAA","kty""#);
        for (after, text) in [(10, "{}"), (20, r#"{"keys":[]}"#), (30, "<html>"), (40, &private)] {
            world.refresh(after, text);
            assert!(world.error().is_some(), "{text}");
            assert_eq!(world.next(), seconds(after + 30), "{text}");
            assert_eq!(world.find(after, "a"), Ok(1), "{text}");
        }
        assert!(!world.error().unwrap().contains("AAAA"));
        // Abandoned, such as by a panic.
        drop(world.set.begin_refresh_at(world.at(50)));
        assert!(world.error().unwrap().contains("abandoned"));
        assert_eq!(world.find(3_600, "a"), Ok(1));
        assert_eq!(world.find(3_601, "a"), Err(NoKey::Unavailable), "too old");
        assert!(!world.set.status_at(world.at(3_601)).is_usable);
        world.refresh(3_602, &jwks("a"));
        assert_eq!(world.find(3_602, "a"), Ok(1));
        let remote = world.set.status_at(world.at(3_603)).remote.unwrap();
        assert_eq!((remote.age, remote.refreshes, remote.failures), (Some(seconds(1)), 7, 5));
    }

    /// The age of the keys is that of the request: the server may have answered long after.
    #[test]
    fn a_slow_response_is_not_fresh() {
        let world = World::new();
        let refresh = world.set.begin_refresh_at(world.at(0));
        refresh.fetched(&jwks("a"));
        assert_eq!(world.set.status_at(world.at(9)).remote.unwrap().age, Some(seconds(9)));
    }

    #[test]
    fn an_algorithm_that_is_not_granted_causes_no_refresh() {
        let world = World::new();
        world.refresh(0, &jwks("a"));
        let found = world.grant.candidates(Some("b"), Algorithm::Rs256, world.at(100)).err();
        assert_eq!(found, Some(NoKey::WrongAlgorithm));
        assert!(!world.set.lock().is_refreshing);
    }

    #[test]
    fn a_request_wakes_the_task_that_waits() {
        let world = World::new();
        world.refresh(0, &jwks("a"));
        assert_eq!(world.find(60, "b"), Err(NoKey::Unavailable));
        pollster::block_on(world.set.requested());
    }
}
