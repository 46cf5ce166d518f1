//! `keyward:handler/settings`: the settings that the operator configured for this handler.

use super::{Linking, State};
use wasmtime::component::WasmStr;
use wasmtime::{Result, StoreContext};

fn get(store: StoreContext<'_, State>, (name,): (WasmStr,)) -> Result<(Option<String>,)> {
    let State { calls, bound, .. } = store.data();
    let name = name.to_str(store)?;
    let value = bound.settings.get(&*name);
    calls.enter_repeatable(name.len().saturating_add(value.map_or(0, String::len)))?;
    Ok((value.cloned(),))
}

pub(crate) fn link(linking: &mut Linking<'_>) -> Result<()> {
    linking.interface("settings")?.quick("get", get)
}
