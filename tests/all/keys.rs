//! Keys and their states: the effect of each on a node, and a rotation over nodes that reload one
//! after another without rejecting a live token. The drill is described in `docs/keys.md`.

mod drill;
mod program;

use crate::support::{self, SIGNED};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{Key, KeyGrant, KeyRing, KeyState, Secret};
use keyward_runtime::{
    Actors, CreateRequest, Created, Creation, HandlerConfig, Limits, Registry, Runtime, RuntimeLimits, Verdict,
};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The runtime shared by all nodes, with slots for all of their calls at once. Its clock does not
/// advance.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let limits = RuntimeLimits { slots: 64, ..RuntimeLimits::default() };
    support::runtime(limits, UnixTime { seconds: 1_767_225_600, nanoseconds: 0 })
});

/// A registry that is never called, but keeps the compiled component in memory for all nodes.
static COMPILED: LazyLock<Registry> = LazyLock::new(|| load([(1, KeyState::Active)]));

/// Builds a node whose ring `main` has these keys. The number of a key determines its name and
/// secret.
fn node(keys: impl IntoIterator<Item = (u8, KeyState)>) -> Registry {
    LazyLock::force(&COMPILED);
    load(keys)
}

fn load(keys: impl IntoIterator<Item = (u8, KeyState)>) -> Registry {
    let key = |(number, state): (u8, KeyState)| {
        let (id, secret) = (format!("k{number}"), Secret::new([number; 32]));
        match state {
            KeyState::Pending => Key::pending(id, secret),
            KeyState::Active => Key::active(id, secret),
            KeyState::VerifyOnly => Key::verify_only(id, secret),
            KeyState::Retired => Key::retired(id),
        }
    };
    let ring = KeyRing::with_keys("main", keys.into_iter().map(key).collect()).unwrap();
    let mut signed = HandlerConfig::new("signed", SIGNED, Actors::Any);
    signed.first_party = true;
    signed.prefixes = vec!["dstok_".into()];
    signed.keys.insert("token".into(), KeyGrant::new(Arc::new(ring)));
    // The machine may be busy.
    let patient = Duration::from_secs(60);
    signed.limits = Limits { wall: patient, cpu: patient, concurrent_calls: Some(16), ..signed.limits };
    Registry::builder(&RUNTIME).handler(signed).build().unwrap()
}

fn create(node: &Registry, actor: &str) -> Created {
    match node.create_blocking(CreateRequest::new(actor)) {
        Ok(Creation::Created(created)) => created,
        other => panic!("{other:?}"),
    }
}

/// Returns the key that verifies a token, or `None` if the token is rejected.
fn good_by(node: &Registry, token: &str) -> Option<Arc<str>> {
    match node.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => Some(acceptance.key.unwrap()),
        Ok(Verdict::Rejected(_)) => None,
        other => panic!("{other:?}"),
    }
}

/// The states of a ring's keys, by number.
type States = [KeyState; 5];

fn of(states: &States) -> Registry {
    node((1..).zip(states.iter().copied()))
}

/// A change that an operator may make to a ring on a node.
#[derive(Debug, Clone, Copy)]
struct Change {
    node: usize,
    key: usize,
    state: KeyState,
}

impl Change {
    /// Activating a key demotes the previous active key; the active key itself cannot be demoted,
    /// because no active key would remain.
    fn apply(self, states: &mut States, demoted: KeyState) {
        if self.state == KeyState::Active {
            for state in states.iter_mut().filter(|state| **state == KeyState::Active) {
                *state = demoted;
            }
        } else if states[self.key] == KeyState::Active {
            return;
        }
        states[self.key] = self.state;
    }
}

fn changes() -> impl Strategy<Value = Vec<(Change, KeyState)>> {
    let state = || proptest::sample::select(KeyState::ALL.to_vec());
    let demoted = state().prop_filter("one is active", |state| *state != KeyState::Active);
    let change = (0..3_usize, 0..5_usize, state()).prop_map(|(node, key, state)| Change { node, key, state });
    proptest::collection::vec((change, demoted), 50)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Applies 1,000 changes. A token is valid on a node if its key is pending, active or
    /// verify-only there; the active key signs.
    #[test]
    fn a_key_behaves_according_to_its_state(changes in changes()) {
        let start = [KeyState::Active, KeyState::Pending, KeyState::Pending, KeyState::Retired, KeyState::Retired];
        // A token by each key.
        let tokens: Vec<_> = (0..5).map(|active| {
            let mut states = [KeyState::Retired; 5];
            states[active] = KeyState::Active;
            create(&of(&states), "root").token
        }).collect();
        let mut states = [start; 3];
        let mut nodes = [of(&start), of(&start), of(&start)];
        let check = |node: &Registry, states: &States| {
            for ((number, state), token) in (1..).zip(states).zip(&tokens) {
                let good = (*state != KeyState::Retired).then(|| format!("main/k{number}"));
                prop_assert_eq!(good_by(node, token).map(|name| name.to_string()), good);
            }
            let active = (1..).zip(states).find(|(_, state)| **state == KeyState::Active).map(|(number, _)| number);
            let name = active.map(|number: u8| format!("main/k{number}"));
            let made = create(node, "root");
            prop_assert_eq!(made.key.as_deref(), name.as_deref());
            prop_assert_eq!(good_by(node, &made.token).map(|name| name.to_string()), name);
            Ok(())
        };
        for (change, demoted) in changes {
            let (node, states) = (&mut nodes[change.node], &mut states[change.node]);
            change.apply(states, demoted);
            *node = of(states);
            check(node, states)?;
        }
        for (node, states) in nodes.iter().zip(&states) {
            check(node, states)?;
        }
    }
}
