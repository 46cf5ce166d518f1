//! URLs that are requested, with the terms that key sets and endpoints have in common.

use super::{ConfigError, Lines, Located, parse_network};
use ipnet::IpNet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The bounds of the settings.
pub(super) const TIMEOUT: RangeInclusive<u64> = 10..=60_000;
pub(super) const MAX_BYTES: RangeInclusive<u64> = 1_024..=4_194_304;

/// The default of `max_bytes`.
pub(super) const DEFAULT_MAX_BYTES: u64 = 262_144;

/// A URL, and the terms on which it is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteUrl {
    pub(crate) url: String,
    /// `None` for the certificate authorities of the system.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) private: Vec<IpNet>,
    pub(crate) timeout: Duration,
    pub(crate) max_bytes: usize,
}

/// The settings of a [`RemoteUrl`], of which the URL exists.
pub(super) struct RemoteSettings {
    pub(super) url: Spanned<String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) private: Vec<Spanned<String>>,
    pub(super) timeout_ms: Option<Spanned<u64>>,
    pub(super) max_bytes: Option<Spanned<u64>>,
}

/// A section of the configuration, as errors name it.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) lines: Lines<'a>,
    /// Such as `key set`.
    pub(super) kind: &'static str,
    pub(super) name: &'a str,
}

impl Section<'_> {
    pub(super) fn wrong(self, span: std::ops::Range<usize>, text: impl fmt::Display) -> ConfigError {
        let Self { lines, kind, name } = self;
        lines.error(Some(span), format!("{kind} `{name}`: {text}"))
    }

    /// Returns a number within its bounds.
    pub(super) fn number(
        self,
        setting: &str,
        value: Option<Spanned<u64>>,
        bounds: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ConfigError> {
        match value {
            Some(value) if !bounds.contains(value.get_ref()) => {
                let text = format!("`{setting}` must be a whole number from {} to {}", bounds.start(), bounds.end());
                Err(self.wrong(value.span(), text))
            }
            value => Ok(value.map_or(default, Spanned::into_inner)),
        }
    }
}

impl RemoteSettings {
    pub(super) fn checked(self, section: Section<'_>, timeout_ms: u64) -> Result<Located<RemoteUrl>, ConfigError> {
        let Self { url, ca, private, timeout_ms: timeout, max_bytes } = self;
        let private = private.into_iter().map(|text| {
            let error =
                || section.wrong(text.span(), "`private` lists addresses and networks such as `10.0.0.0/8`, not names");
            parse_network(text.get_ref()).ok_or_else(error)
        });
        let private = private.collect::<Result<_, _>>()?;
        let timeout = Duration::from_millis(section.number("timeout_ms", timeout, TIMEOUT, timeout_ms)?);
        let max_bytes = section.number("max_bytes", max_bytes, MAX_BYTES, DEFAULT_MAX_BYTES)?;
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let Located { line, value: url } = section.lines.at(url);
        Ok(Located { line, value: RemoteUrl { url, ca, private, timeout, max_bytes } })
    }
}
