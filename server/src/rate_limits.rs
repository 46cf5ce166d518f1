//! Limits on the rates of failed authentications, clients' requests and unmatched revocations, and
//! policies' token checks.

use crate::config::{Client, Config, Policy};
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

/// Maximum number of peers that are counted separately. Further ones share one bucket, so that the
/// memory is bounded.
const PEERS: usize = 4_096;

/// The time in which the quota of a client's unmatched revocations becomes available again.
const DAY: Duration = Duration::from_secs(86_400);

/// The leading bits of an IPv6 address that identify a peer: the smallest network that a site is
/// assigned.
const NETWORK: u128 = u128::MAX << 64;

/// The number of seconds after which a request that exceeded a rate may be repeated: at least 1.
pub(crate) type Seconds = u32;

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;
type Buckets<C> = RateLimiter<IpAddr, HashMapStateStore<IpAddr>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The buckets of one configuration. A reload replaces them with full ones.
pub(crate) struct RateLimits<C: Clock = MonotonicClock> {
    clock: C,
    peers: Buckets<C>,
    /// The bucket of all peers beyond [`PEERS`].
    others: Bucket<C>,
    clients: BTreeMap<String, Bucket<C>>,
    unmatched_revocations: BTreeMap<String, Bucket<C>>,
    policies: BTreeMap<String, Bucket<C>>,
}

impl RateLimits {
    /// Creates the buckets for a configuration.
    pub(crate) fn new(config: &Config) -> Self {
        Self::with_clock(config, MonotonicClock)
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    fn with_clock(config: &Config, clock: C) -> Self {
        let limits = &config.limits;
        let failures =
            Quota::per_second(limits.failed_authentications).allow_burst(limits.failed_authentications_burst);
        let bucket = |name: &String, rate: Option<NonZeroU32>| {
            let quota = Quota::per_second(rate?);
            Some((name.clone(), RateLimiter::direct_with_clock(quota, clock.clone())))
        };
        let clients = config.clients.iter().filter_map(|(id, Client { rate, .. })| bucket(id, *rate)).collect();
        let daily = |(id, client): (&String, &Client)| {
            let most = client.max_unmatched_revocations;
            // The period is not zero for any `u32`.
            let quota = Quota::with_period(DAY / most.get())?.allow_burst(most);
            Some((id.clone(), RateLimiter::direct_with_clock(quota, clock.clone())))
        };
        let unmatched_revocations = config.clients.iter().filter_map(daily).collect();
        let policies = config.policies.iter().filter_map(|(name, Policy { rate, .. })| bucket(name, *rate)).collect();
        Self {
            peers: RateLimiter::hashmap_with_clock(failures, clock.clone()),
            others: RateLimiter::direct_with_clock(failures, clock.clone()),
            clients,
            unmatched_revocations,
            policies,
            clock,
        }
    }

    /// Counts a failed authentication of a peer, whose address is canonical.
    ///
    /// # Errors
    /// Returns the time to wait if the peer exceeds the rate.
    pub(crate) fn failed_authentication(&self, peer: IpAddr) -> Result<(), Seconds> {
        let peer = match peer {
            peer @ IpAddr::V4(_) => peer,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        };
        if self.peers.len() >= PEERS {
            self.peers.retain_recent();
        }
        let checked = if self.peers.len() < PEERS { self.peers.check_key(&peer) } else { self.others.check() };
        checked.map_err(|until| seconds(until.wait_time_from(self.clock.now())))
    }

    /// Counts a request of an authenticated client.
    ///
    /// # Errors
    /// Returns the time to wait if the client exceeds its rate.
    pub(crate) fn client(&self, id: &str) -> Result<(), Seconds> {
        self.check(self.clients.get(id))
    }

    /// Counts a revocation of a client that matches no record.
    ///
    /// # Errors
    /// Returns the time to wait if the client exceeds its quota.
    pub(crate) fn unmatched_revocation(&self, client: &str) -> Result<(), Seconds> {
        self.check(self.unmatched_revocations.get(client))
    }

    /// Counts a token check of a policy.
    ///
    /// # Errors
    /// Returns the time to wait if the policy's rate is exceeded.
    pub(crate) fn policy(&self, name: &str) -> Result<(), Seconds> {
        self.check(self.policies.get(name))
    }

    fn check(&self, bucket: Option<&Bucket<C>>) -> Result<(), Seconds> {
        let Some(bucket) = bucket else { return Ok(()) };
        bucket.check().map_err(|until| seconds(until.wait_time_from(self.clock.now())))
    }
}

/// Rounds up, so that a request that is repeated then does not exceed the rate.
fn seconds(wait: Duration) -> Seconds {
    let whole = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    Seconds::try_from(whole).unwrap_or(Seconds::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretDigest;
    use crate::peer::Peer;
    use governor::clock::FakeRelativeClock;

    fn limits(change: impl FnOnce(&mut Config)) -> (RateLimits<FakeRelativeClock>, FakeRelativeClock) {
        let (mut config, clock) = (Config::default(), FakeRelativeClock::default());
        change(&mut config);
        (RateLimits::with_clock(&config, clock.clone()), clock)
    }

    fn count(mut call: impl FnMut() -> Result<(), Seconds>) -> usize {
        (0..10_000).take_while(|_| call().is_ok()).count()
    }

    #[test]
    fn failures_are_limited_by_peer() {
        let (limits, clock) = limits(|_| {});
        let fail = |peer: &str| match Peer::from(peer.parse::<IpAddr>().unwrap()) {
            Peer::Address(address) => limits.failed_authentication(address),
            Peer::Unix => panic!("an address"),
        };
        assert_eq!(count(|| fail("192.0.2.1")), 100, "the burst");
        assert_eq!(fail("192.0.2.1"), Err(1));
        assert_eq!(count(|| fail("192.0.2.2")), 100, "another address");
        clock.advance(Duration::from_secs(1));
        assert_eq!(count(|| fail("192.0.2.1")), 20, "the rate");
        clock.advance(Duration::from_secs(5));
        assert_eq!(count(|| fail("192.0.2.1")), 100, "no more than the burst");
        assert_eq!(count(|| fail("2001:db8:0:1::1")), 100);
        assert_eq!(fail("2001:db8:0:1:ffff::"), Err(1), "the same network");
        assert_eq!(count(|| fail("2001:db8:0:2::1")), 100, "another network");
        assert_eq!(count(|| fail("::ffff:192.0.2.3")), 100);
        assert_eq!(count(|| fail("::ffff:192.0.2.4")), 100, "another IPv4 address");
        assert_eq!(fail("192.0.2.4"), Err(1), "the same address");
    }

    #[test]
    fn peers_beyond_the_maximum_share_one_bucket() {
        let (limits, clock) = limits(|_| {});
        let fail = |number: u32| limits.failed_authentication(IpAddr::V4(number.into()));
        let peers = u32::try_from(PEERS).unwrap();
        assert!((0..peers).all(|number| fail(number).is_ok()));
        let mut next = peers..;
        assert_eq!(count(|| fail(next.next().unwrap())), 100, "each has its own address");
        assert_eq!(limits.peers.len(), PEERS);
        clock.advance(Duration::from_secs(6));
        assert_eq!(count(|| fail(0)), 100, "peers without recent failures are forgotten");
        assert_eq!(limits.peers.len(), 1);
    }

    #[test]
    fn a_rate_of_a_client_or_policy_is_also_its_burst() {
        let (limits, clock) = limits(|config| {
            let client = Client { rate: NonZeroU32::new(3), ..Client::new(SecretDigest::of("x"), []) };
            config.clients.insert("app".to_owned(), client);
            config.policies.insert("p".to_owned(), Policy { rate: NonZeroU32::new(5), ..Policy::default() });
        });
        for _ in 0..3 {
            assert_eq!((count(|| limits.client("app")), count(|| limits.policy("p"))), (3, 5));
            assert_eq!((limits.client("app"), limits.policy("p")), (Err(1), Err(1)));
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!((count(|| limits.client("other")), count(|| limits.policy("other"))), (10_000, 10_000));
    }

    #[test]
    fn unmatched_revocations_are_limited_by_client_and_day() {
        let (limits, clock) = limits(|config| {
            let client = Client::new(SecretDigest::of("x"), []);
            let few = Client { max_unmatched_revocations: NonZeroU32::new(24).unwrap(), ..client.clone() };
            let most = Client { max_unmatched_revocations: NonZeroU32::MAX, ..client.clone() };
            config.clients = [("few", few), ("default", client), ("most", most)]
                .into_iter()
                .map(|(id, client)| (id.to_owned(), client))
                .collect();
        });
        let count = |client: &str| (0..20_000).take_while(|_| limits.unmatched_revocation(client).is_ok()).count();
        assert_eq!(["few", "default", "most"].map(count), [24, 10_000, 20_000]);
        assert_eq!(limits.unmatched_revocation("few"), Err(3_600));
        clock.advance(Duration::from_secs(7_200));
        assert_eq!(count("few"), 2, "one an hour");
        clock.advance(2 * DAY);
        assert_eq!(count("few"), 24, "no more than a day's");
    }

    #[test]
    fn the_time_to_wait_is_rounded_up() {
        for (millis, wanted) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(seconds(Duration::from_millis(millis)), wanted, "{millis}");
        }
    }
}
