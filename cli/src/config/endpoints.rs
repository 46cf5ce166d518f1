//! `[endpoints.NAME]`: URLs that handlers may request.

use super::remote::{DEFAULT_MAX_BYTES, MAX_BYTES, RemoteSettings, RemoteUrl, Section, TIMEOUT};
use super::schema::within;
use super::{ConfigError, Handler, Lines, Located};
use indexmap::IndexMap;
use keyward_runtime::http::Forwards;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// The default of `timeout_ms`, which is less than the wall time of a call.
const DEFAULT_TIMEOUT: u64 = 200;

/// The configuration of an endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) remote: Located<RemoteUrl>,
    pub(crate) method: Method,
    pub(crate) guest_query: Vec<String>,
    pub(crate) forwards: Forwards,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum Method {
    #[default]
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "POST")]
    Post,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointTable {
    /// URL, whose query is part of each request. Redirects are not followed, and the response may
    /// not be compressed. Without `https`, its host must be in `private`.
    #[schemars(with = "String", regex(pattern = "^https?://"))]
    url: Spanned<String>,
    /// Method of the request. With `POST`, the body is empty.
    #[serde(default)]
    #[schemars(extend("default" = "GET"))]
    method: Method,
    /// Query parameters that a handler may add, by name. The URL may not have one of these.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    guest_query: Vec<String>,
    /// Cookies, by name, that the host adds from the request whose user a session handler
    /// identifies. Calls without such a request may then not use the endpoint.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    cookies: Vec<String>,
    /// Headers that the host adds from that request, by name.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    headers: Vec<String>,
    /// Headers of that request that the host adds as query parameters, by name.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    headers_as_query: Vec<String>,
    /// File of certificate authorities in PEM, which alone may vouch for the server. Without it:
    /// those of the system.
    ca: Option<PathBuf>,
    /// Addresses and networks of your own that the host may be in, such as `10.0.0.0/8`. Any other
    /// address that is not on the public Internet is refused.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("default" = []))]
    private: Vec<Spanned<String>>,
    /// Maximum time of a request, from the look-up of the host to the last byte. Less than
    /// `limits.wall_ms` of the handlers that use it.
    #[schemars(with = "Option<u64>", transform = within(TIMEOUT), extend("default" = DEFAULT_TIMEOUT))]
    timeout_ms: Option<Spanned<u64>>,
    /// Maximum size of the body of a response.
    #[schemars(with = "Option<u64>", transform = within(MAX_BYTES), extend("default" = DEFAULT_MAX_BYTES))]
    max_bytes: Option<Spanned<u64>>,
}

/// Checks the endpoints. Each must be granted to at least one handler.
pub(super) fn checked(
    tables: IndexMap<Spanned<String>, EndpointTable>,
    lines: Lines<'_>,
    handlers: &[Handler],
) -> Result<IndexMap<String, Endpoint>, ConfigError> {
    let mut endpoints = IndexMap::new();
    for (name, table) in tables {
        if !handlers.iter().any(|handler| handler.http.values().any(|used| used == name.get_ref())) {
            let text = format!(
                "the endpoint `{0}` is not granted to any handler: add `http.LABEL = \"{0}\"` to one, or remove it",
                name.get_ref()
            );
            return Err(lines.error(Some(name.span()), text));
        }
        let EndpointTable {
            url,
            method,
            guest_query,
            cookies,
            headers,
            headers_as_query,
            ca,
            private,
            timeout_ms,
            max_bytes,
        } = table;
        let [headers, query] = [headers, headers_as_query]
            .map(|names| names.into_iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>());
        let forwards = Forwards { cookies, headers, query };
        let section = Section { lines, kind: "endpoint", name: name.get_ref() };
        let settings = RemoteSettings { url, ca, private, timeout_ms, max_bytes };
        let remote = settings.checked(section, DEFAULT_TIMEOUT)?;
        endpoints.insert(name.into_inner(), Endpoint { remote, method, guest_query, forwards });
    }
    Ok(endpoints)
}
