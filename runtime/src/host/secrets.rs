//! `keyward:handler/secrets`: which of the operator's secrets a caller presented.

use super::{Calls, Phase, State, Stop};
use crate::bindings::secrets;
use crate::keys::Secret;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// The weight of comparing one secret beside the candidate's length.
const COMPARISON_BYTES: usize = 32;

pub(crate) struct Secrets<'a> {
    calls: &'a mut Calls,
    named: &'a [(String, Secret)],
    phase: Phase,
}

struct Has;

impl HasData for Has {
    type Data<'a> = Secrets<'a>;
}

impl secrets::Host for Secrets<'_> {
    /// Every secret is compared, so that the time does not tell which one fits; of equal ones the first wins.
    async fn find(&mut self, candidate: String) -> Result<Option<String>> {
        let compared = candidate.len().saturating_add(COMPARISON_BYTES).saturating_mul(self.named.len());
        self.calls.enter_repeatable(compared)?;
        self.calls.rest().await;
        if self.phase == Phase::Instantiate {
            return Err(Stop::forbidden("`secrets` while the component is being instantiated"));
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
    secrets::add_to_linker::<State, Has>(linker, |state| Secrets {
        calls: &mut state.calls,
        named: &state.bound.secrets,
        phase: state.phase,
    })
}
