//! `keyward:handler/secrets`: a search for a presented secret among those of the operator.

use super::{HostError, Linking, Phase, State};
use crate::counts::Granted;
use wasmtime::component::WasmStr;
use wasmtime::{Result, StoreContext};

/// The fixed cost of comparing a secret in bytes of work, in addition to the candidate's length.
const COMPARISON_BYTES: usize = 32;

/// Compares every secret, so that the duration does not reveal which one matches. Of equal secrets,
/// the first wins.
fn find(store: StoreContext<'_, State>, (candidate,): (WasmStr,)) -> Result<(Option<String>,)> {
    let State { calls, phase, bound, .. } = store.data();
    let candidate = candidate.to_str(store)?;
    let compared = candidate.len().saturating_add(COMPARISON_BYTES).saturating_mul(bound.secrets.len());
    calls.enter_repeatable(compared)?;
    if *phase == Phase::Instantiate {
        return Err(HostError::forbidden("`secrets` during instantiation"));
    }
    bound.counters.called.note(Granted::Secrets);
    let mut found = None;
    for (name, secret) in &bound.secrets {
        if secret.equals(candidate.as_bytes()) {
            found = found.or(Some(name));
        }
    }
    Ok((found.cloned(),))
}

pub(crate) fn link(linking: &mut Linking<'_>) -> Result<()> {
    linking.interface("secrets")?.working("find", find)
}
