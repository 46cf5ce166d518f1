//! `keyward:handler/settings`: the settings that the operator configured for this handler.

use super::{Calls, State};
use crate::bindings::settings;
use std::collections::HashMap;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

pub(crate) struct Settings<'a> {
    calls: &'a mut Calls,
    values: &'a HashMap<String, String>,
}

struct HasSettings;

impl HasData for HasSettings {
    type Data<'a> = Settings<'a>;
}

impl settings::Host for Settings<'_> {
    fn get(&mut self, name: String) -> Result<Option<String>> {
        let value = self.values.get(&name);
        self.calls.enter_repeatable(name.len().saturating_add(value.map_or(0, String::len)))?;
        Ok(value.cloned())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    settings::add_to_linker::<State, HasSettings>(linker, |state| Settings {
        calls: &mut state.calls,
        values: &state.bound.settings,
    })
}
