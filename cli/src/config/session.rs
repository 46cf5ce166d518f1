//! `session` of a handler: the parts of requests that it sees, and the cache of its verdicts.

use super::schema::within;
use keyward_runtime::session::SessionGrant;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// Maximum of `ttl_seconds`. For longer, the site issues a token.
const MAX_SESSION_TTL: u32 = 3_600;

/// Maximum of `stale_seconds`.
const MAX_SESSION_STALE: u32 = 86_400;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("dependentRequired" = { "stale_seconds": ["ttl_seconds"] }))]
pub(super) struct SessionTable {
    /// Cookies that the handler sees, by name.
    #[schemars(extend("default" = []))]
    cookies: BTreeSet<String>,
    /// Headers that the handler sees, by name.
    #[schemars(extend("default" = []))]
    headers: BTreeSet<String>,
    /// Lets the handler see the method. Requests with different methods then have separate verdicts
    /// in the cache.
    #[schemars(extend("default" = false))]
    method: bool,
    /// Lets the handler see the path, without the query. Requests with different paths then have
    /// separate verdicts in the cache.
    #[schemars(extend("default" = false))]
    path: bool,
    /// Time for which a verdict is cached. A user who signs out at the site stays identified for
    /// that long; revoking the user ends it at once. A verdict without a user is cached for at most
    /// 5 seconds. Without it, nothing is cached.
    #[schemars(with = "Option<u32>", transform = within(1..=MAX_SESSION_TTL))]
    ttl_seconds: Option<Spanned<u32>>,
    /// Time after `ttl_seconds` for which the last verdict is used if the handler cannot give
    /// another because its service is not available. Requires `ttl_seconds`. Without it, there is
    /// no verdict then (503).
    #[schemars(with = "Option<u32>", transform = within(1..=MAX_SESSION_STALE))]
    stale_seconds: Option<Spanned<u32>>,
}

impl SessionTable {
    /// Returns the grant, or the place and the text of an error.
    pub(super) fn checked(self) -> Result<SessionGrant, (Range<usize>, String)> {
        let Self { cookies, headers, method, path, ttl_seconds, stale_seconds } = self;
        if let (Some(stale), None) = (&stale_seconds, &ttl_seconds) {
            return Err((stale.span(), "`session.stale_seconds` requires `session.ttl_seconds`: add it".to_owned()));
        }
        let seconds = |name: &str, given: Option<Spanned<u32>>, max| match given {
            Some(given) if !(1..=max).contains(given.get_ref()) => {
                let text = format!("`session.{name}` is {}: set it to 1 to {max} seconds", given.get_ref());
                Err((given.span(), text))
            }
            given => Ok(Duration::from_secs(given.map_or(0, Spanned::into_inner).into())),
        };
        Ok(SessionGrant {
            cookies,
            headers: headers.into_iter().map(|name| name.to_ascii_lowercase()).collect(),
            method,
            path,
            ttl: seconds("ttl_seconds", ttl_seconds, MAX_SESSION_TTL)?,
            stale: seconds("stale_seconds", stale_seconds, MAX_SESSION_STALE)?,
        })
    }
}
