//! `keyward:handler/secrets`: a search for a presented secret among those of the operator.

use super::{Calls, HostError, Phase, State};
use crate::bindings::secrets;
use crate::keys::Secret;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// The fixed cost of comparing a secret in bytes of work, in addition to the candidate's length.
const COMPARISON_BYTES: usize = 32;

pub(crate) struct Secrets<'a> {
    calls: &'a mut Calls,
    named: &'a [(String, Secret)],
    phase: Phase,
}

struct HasSecrets;

impl HasData for HasSecrets {
    type Data<'a> = Secrets<'a>;
}

impl secrets::Host for Secrets<'_> {
    /// Compares every [`Secret`], so that the duration does not reveal which one matches. Of equal
    /// secrets, the first wins.
    async fn find(&mut self, candidate: String) -> Result<Option<String>> {
        let compared = candidate.len().saturating_add(COMPARISON_BYTES).saturating_mul(self.named.len());
        self.calls.enter_repeatable(compared)?;
        self.calls.rest().await;
        if self.phase == Phase::Instantiate {
            return Err(HostError::forbidden("`secrets` during instantiation"));
        }
        let mut found = None;
        for (name, secret) in self.named {
            if secret.equals(candidate.as_bytes()) {
                found = found.or(Some(name));
            }
        }
        Ok(found.cloned())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    secrets::add_to_linker::<State, HasSecrets>(linker, |state| Secrets {
        calls: &mut state.calls,
        named: &state.bound.secrets,
        phase: state.phase,
    })
}
