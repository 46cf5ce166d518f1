//! The settings that a component declares, each with the type of its value.

use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::{MAX_NAME, escape_untrusted};
use serde_json::Value;
use std::fmt;

/// The section in which a component declares its settings, one on each line.
pub(super) const SECTION: &str = "keyward:settings";

/// Maximum length of a setting's name, in characters.
const MAX_SETTING: usize = 64;

/// The type of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SettingType {
    /// `true` or `false`.
    Bool,
    /// A whole number from 0 to 2^64 − 1.
    U64,
    /// A string.
    Text,
    /// Any JSON value.
    Json,
}

impl SettingType {
    const ALL: [Self; 4] = [Self::Bool, Self::U64, Self::Text, Self::Json];

    /// Returns the name of the type, as components declare it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U64 => "u64",
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// Checks the value of the setting `name`, which is JSON text.
    ///
    /// # Errors
    /// Returns an error without the value, which only the operator and the handler need to know.
    pub(crate) fn check(self, name: &str, value: &str) -> Result<(), LoadError> {
        let bad = |what: String| {
            let name = escape_untrusted(name, MAX_NAME);
            LoadError::new(LoadErrorKind::BadSetting, format!("the setting `{name}` {what}"))
        };
        let value: Value = serde_json::from_str(value).map_err(|error| bad(format!("is not valid JSON: {error}")))?;
        let wanted = match self {
            Self::Bool if !value.is_boolean() => "true or false",
            Self::U64 if !value.is_u64() => "a whole number of at least 0",
            Self::Text if !value.is_string() => "a string",
            _ => return Ok(()),
        };
        Err(bad(format!("must be {wanted}")))
    }
}

impl fmt::Display for SettingType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Parses a declaration, such as `max_age: u64`. Only characters that cannot be mistaken for others
/// are allowed.
///
/// # Errors
/// Returns an error that names the declaration.
pub(super) fn parse(line: &str) -> Result<(String, SettingType), LoadError> {
    let invalid = |what: String| {
        let line = escape_untrusted(line, MAX_NAME);
        Err(LoadError::new(
            LoadErrorKind::Invalid,
            format!("the section `{SECTION}` declares the setting `{line}`: {what}"),
        ))
    };
    let (name, kind) = line.split_once(": ").unwrap_or((line, ""));
    let fine = (1..=MAX_SETTING).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if !fine {
        return invalid(format!("rename it to 1 to {MAX_SETTING} characters of `A-Z a-z 0-9 . _ -`"));
    }
    match SettingType::ALL.into_iter().find(|known| known.as_str() == kind) {
        Some(kind) => Ok((name.to_owned(), kind)),
        None => invalid(format!("declare its type, such as `{name}: u64`: `bool`, `u64`, `text` or `json`")),
    }
}
