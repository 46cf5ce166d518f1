//! The JSON Schema of the configuration, derived from the types that parse it.

use super::File;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// Implements `JsonSchema` for a type whose parser is written by hand. A `title` is the type's
/// description in docs/configuration.md.
macro_rules! json_schema_for {
    ($type:ident, |$generator:pat_param| $schema:expr) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema($generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}

pub(crate) use json_schema_for;

/// Pattern of text that [`is_name`](super::is_name) accepts.
pub(super) const NAME_PATTERN: &str = "^[A-Za-z0-9_-]{1,64}$";

/// Pattern of a SHA-256 digest.
pub(super) const DIGEST_PATTERN: &str = "^[0-9A-Fa-f]{64}$";

/// Returns a transform that bounds a number.
pub(super) fn within<N: Copy + Into<Value>>(range: RangeInclusive<N>) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("minimum".to_owned(), (*range.start()).into());
        schema.insert("maximum".to_owned(), (*range.end()).into());
    }
}

/// Returns the JSON Schema (draft 2020-12) of the configuration file, in which each setting has its
/// description, type, default and range.
///
/// The parser refuses more: a schema cannot compare settings, or read the files that they name.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let settings = settings.with_transform(RecursiveTransform(for_toml));
    settings.into_generator().into_root_schema_for::<File>().into()
}

/// Removes what TOML does not have: null, and formats that name Rust's types.
fn for_toml(schema: &mut Schema) {
    let Some(members) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(names)) = members.get_mut("enum") {
        names.retain(|name| !name.is_null());
    }
    if let Some(Value::Array(forms)) = members.get_mut("anyOf") {
        forms.retain(|form| form.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = forms.as_mut_slice() {
            let only = std::mem::take(only);
            members.remove("anyOf");
            merge(members, only);
        }
    }
    // An omitted setting without a value, and an empty table, are no defaults.
    if members.get("default").is_some_and(|value| value.is_null() || value.as_object().is_some_and(Map::is_empty)) {
        members.remove("default");
    }
    match members.get("format").and_then(Value::as_str) {
        Some("uint32") => {
            members.entry("maximum").or_insert_with(|| u32::MAX.into());
            members.remove("format");
        }
        Some("uint64") => {
            members.remove("format");
        }
        _ => {}
    }
    if let Some(Value::String(text)) = members.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

/// Adds the members that are missing. The description of a setting takes precedence over that of
/// its type.
fn merge(members: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        members.entry(name).or_insert(value);
    }
}
