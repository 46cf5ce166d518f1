//! `limits = { … }` of a handler, and the limits that differ from their default.

use crate::config::schema::json_schema_for;
use keyward_runtime::{Limits, RuntimeLimits};
use schemars::json_schema;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use std::fmt;

/// The table of a handler. Omitted limits have their default.
#[derive(Debug, Default)]
pub(crate) struct LimitsTable(pub(crate) Limits);

impl<'de> Deserialize<'de> for LimitsTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LimitsTable::default())
    }
}

impl<'de> Visitor<'de> for LimitsTable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of limits")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut table: A) -> Result<Self, A::Error> {
        while let Some(Setting(name)) = table.next_key()? {
            let known = self.0.set(name, table.next_value()?);
            debug_assert!(known, "{name}");
        }
        Ok(self)
    }
}

json_schema_for!(LimitsTable, |_| {
    let property = |name: &&str| {
        let mut limit = json!({
            "type": "integer",
            "description": Limits::description(name),
            "minimum": Limits::min(name),
            "maximum": RuntimeLimits::default().max(name),
        });
        // Without a default, the runtime chooses the value.
        if let (Some(limit), Some(default)) = (limit.as_object_mut(), Limits::default().setting(name)) {
            limit.insert("default".to_owned(), default.into());
        }
        ((*name).to_owned(), limit)
    };
    json_schema!({
        "type": "object",
        "properties": Value::Object(Limits::SETTINGS.iter().map(property).collect::<Map<_, _>>()),
        "additionalProperties": false,
    })
});

/// The name of a limit: one of [`Limits::SETTINGS`].
struct Setting(&'static str);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Limits::SETTINGS.iter().find(|known| **known == name);
        known.map(|known| Self(known)).ok_or_else(|| D::Error::unknown_field(&name, Limits::SETTINGS))
    }
}

/// Returns the limits that differ from their default, each as setting, value and default. `None`
/// means that the value is chosen automatically.
pub(crate) fn changed(limits: &Limits) -> Vec<(&'static str, Option<u64>, Option<u64>)> {
    let default = Limits::default();
    let values = Limits::SETTINGS.iter().map(|name| (*name, limits.setting(name), default.setting(name)));
    values.filter(|(_, value, default)| value != default).collect()
}
