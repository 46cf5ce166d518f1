//! `[server]`: the daemon's addresses, and its settings for requests.

use super::access::{NAME, RATES, is_name};
use super::{ConfigError, Lines, Located};
use keyward_server::{Config, ForwardAuth, Hosts, IdentityHeaders, InvalidValue, Issuer, Limits, Realm};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The settings of the daemon.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) listen: Address,
    /// An address that is used without TLS.
    pub(crate) listen_plain: Option<Address>,
    /// The path of a Unix socket.
    pub(crate) listen_unix: Option<Located<PathBuf>>,
    pub(crate) admin: Address,
    pub(crate) tls: Option<Located<TlsFiles>>,
    /// All other settings. The certificate and its key are not read here.
    pub(crate) config: Config,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    /// The line of the setting; `None` for the default.
    pub(crate) line: Option<usize>,
    pub(crate) value: SocketAddr,
}

/// The files of the certificate and its key.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerTable {
    listen: Option<Spanned<String>>,
    listen_plain: Option<Spanned<String>>,
    listen_unix: Option<Spanned<PathBuf>>,
    admin: Option<Spanned<String>>,
    hosts: Option<Spanned<HostNames>>,
    realm: Option<Spanned<String>>,
    issuer: Option<Spanned<String>>,
    tls: Option<Spanned<TlsFiles>>,
    query_parameter: Option<Spanned<String>>,
    forward_auth: ForwardAuthTable,
    limits: LimitsTable,
}

impl ServerTable {
    pub(super) fn checked(self, lines: Lines<'_>) -> Result<Server, ConfigError> {
        let Self {
            listen,
            listen_plain,
            listen_unix,
            admin,
            hosts,
            realm,
            issuer,
            tls,
            query_parameter,
            forward_auth,
            limits,
        } = self;
        let listen = address(lines, listen, "listen", 8787)?;
        let admin = address(lines, admin, "admin", 8788)?;
        let plain = listen_plain.map(|text| address(lines, Some(text), "listen_plain", 8789)).transpose()?;
        if let Some(Address { line, .. }) = plain.filter(|_| tls.is_none()) {
            let text = "`listen_plain` is for daemons with `tls`: without it, use `listen`";
            return Err(ConfigError { line, text: text.to_owned() });
        }
        let pairs = [("listen", "admin", Some(listen), Some(admin))];
        let pairs = pairs
            .into_iter()
            .chain([("listen", "listen_plain", Some(listen), plain), ("listen_plain", "admin", plain, Some(admin))]);
        for (one, other, first, second) in pairs {
            if let (Some(first), Some(second)) = (first, second)
                && first.value == second.value
                && first.value.port() != 0
            {
                let text = format!("`{one}` and `{other}` are the same address: change the port of one of them");
                return Err(ConfigError { line: second.line.or(first.line), text });
            }
        }
        let mut config = Config::default();
        if let Some(hosts) = hosts {
            let span = hosts.span();
            config.hosts = match hosts.into_inner() {
                HostNames::Any => Hosts::Any,
                HostNames::Only(names) => Hosts::and(names).map_err(|error| bad(lines, span, "hosts", &error))?,
            };
        }
        if let Some(realm) = realm {
            config.realm = Realm::new(realm.get_ref()).map_err(|error| bad(lines, realm.span(), "realm", &error))?;
        }
        if let Some(issuer) = issuer {
            let read = Issuer::new(issuer.get_ref()).map_err(|error| bad(lines, issuer.span(), "issuer", &error))?;
            config.issuer = Some(read);
        }
        if let Some(name) = query_parameter {
            if !is_name(name.get_ref()) {
                return Err(lines.error(Some(name.span()), format!("`query_parameter` must be {NAME}")));
            }
            config.query_parameter = Some(name.into_inner());
        }
        config.forward_auth = forward_auth.checked(lines)?;
        config.limits = limits.checked(lines)?;
        let (tls, listen_unix) = (tls.map(|tls| lines.at(tls)), listen_unix.map(|path| lines.at(path)));
        Ok(Server { listen, listen_plain: plain, listen_unix, admin, tls, config })
    }
}

fn address(lines: Lines<'_>, text: Option<Spanned<String>>, setting: &str, port: u16) -> Result<Address, ConfigError> {
    let Some(text) = text else {
        return Ok(Address { line: None, value: (Ipv4Addr::LOCALHOST, port).into() });
    };
    let Located { line, value } = lines.at(text);
    let text = || format!("`{setting}` is not an address with a port, such as `127.0.0.1:{port}` or `[::1]:{port}`");
    let value = value.parse().map_err(|_| ConfigError { line: Some(line), text: text() })?;
    Ok(Address { line: Some(line), value })
}

fn bad(lines: Lines<'_>, span: std::ops::Range<usize>, setting: &str, error: &InvalidValue) -> ConfigError {
    lines.error(Some(span), format!("`{setting}` {error}"))
}

/// A list such as `["auth.example.org"]`, or `"any"`.
enum HostNames {
    Any,
    Only(Vec<String>),
}

impl<'de> Deserialize<'de> for HostNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = HostNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list such as `[\"auth.example.org\"]`, or `\"any\"`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "any" {
                    return Ok(HostNames::Any);
                }
                Err(E::custom("`hosts` is a list such as `[\"auth.example.org\"]`, or `\"any\"`"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(HostNames::Only(names))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ForwardAuthTable {
    trusted_proxies: Option<Vec<Spanned<String>>>,
    headers: Option<Spanned<HeadersTable>>,
    remove_credentials: bool,
    refuse_forged: bool,
}

impl ForwardAuthTable {
    fn checked(self, lines: Lines<'_>) -> Result<ForwardAuth, ConfigError> {
        let Self { trusted_proxies, headers, remove_credentials, refuse_forged } = self;
        let mut trusted = ForwardAuth::default().trusted_proxies;
        if let Some(networks) = trusted_proxies {
            trusted.clear();
            for network in networks {
                let text = network.get_ref();
                let read = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Into::into));
                trusted.push(read.ok_or_else(|| {
                    let text = "`trusted_proxies` lists addresses and networks such as `10.0.0.0/8`, not names";
                    lines.error(Some(network.span()), text)
                })?);
            }
        }
        let headers = headers.map(|headers| HeadersTable::checked(headers, lines)).transpose()?.unwrap_or_default();
        Ok(ForwardAuth { trusted_proxies: trusted, headers, remove_credentials, refuse_forged })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HeadersTable {
    subject: Option<Spanned<String>>,
    token_id: Option<Spanned<String>>,
    scopes: Option<Spanned<String>>,
    handler: Option<Spanned<String>>,
    expires: Option<Spanned<String>>,
}

/// Headers that already have a meaning in a response, or in the request that a proxy copies them
/// into.
const TAKEN: &[&str] = &[
    "accept",
    "age",
    "alt-svc",
    "authorization",
    "cache-control",
    "clear-site-data",
    "connection",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "host",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "pragma",
    "range",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
    "x-real-ip",
    "x-request-id",
];

/// The beginnings of names that have a meaning for proxies and clients.
const TAKEN_PREFIXES: &[&str] = &[
    "access-control-",
    "content-",
    "proxy-",
    "sec-",
    "x-accel-",
    "x-envoy-",
    "x-forwarded-",
    "x-original-",
    "x-sendfile",
];

/// Returns whether a header has a meaning of its own, in this or a similar spelling.
fn is_taken(name: &str) -> bool {
    let name = name.replace(['_', '.'], "-");
    TAKEN.contains(&name.as_str()) || TAKEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl HeadersTable {
    fn checked(table: Spanned<Self>, lines: Lines<'_>) -> Result<IdentityHeaders, ConfigError> {
        let whole = table.span();
        let Self { subject, token_id, scopes, handler, expires } = table.into_inner();
        let mut headers = IdentityHeaders::default();
        let IdentityHeaders { subject: s, token_id: t, scopes: c, handler: h, expires: e } = &mut headers;
        let mut seen = Vec::new();
        for (given, header) in [(subject, s), (token_id, t), (scopes, c), (handler, h), (expires, e)] {
            if let Some(given) = given {
                let name = given.get_ref().to_ascii_lowercase();
                *header = name.parse().ok().filter(|_| !is_taken(&name)).ok_or_else(|| {
                    let text = "`headers` takes header names without another meaning, such as `X-Auth-Subject`";
                    lines.error(Some(given.span()), text)
                })?;
            }
            if seen.contains(header) {
                return Err(
                    lines.error(Some(whole), format!("`headers` has `{header}` twice: use a different name for each"))
                );
            }
            seen.push(header.clone());
        }
        Ok(headers)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    connections: Option<Spanned<u32>>,
    requests: Option<Spanned<u32>>,
    headers: Option<Spanned<u32>>,
    header_bytes: Option<Spanned<u32>>,
    body_bytes: Option<Spanned<u32>>,
    header_seconds: Option<Spanned<u32>>,
    body_seconds: Option<Spanned<u32>>,
    connection_seconds: Option<Spanned<u32>>,
    drain_seconds: Option<Spanned<u32>>,
    batch: Option<Spanned<u32>>,
    failed_authentications: Option<Spanned<u32>>,
    failed_authentications_burst: Option<Spanned<u32>>,
}

impl LimitsTable {
    /// Checks the server's limits. Both structs are destructured completely, so that a limit that
    /// the file cannot set does not compile.
    fn checked(self, lines: Lines<'_>) -> Result<Limits, ConfigError> {
        let Self {
            connections,
            requests,
            headers,
            header_bytes,
            body_bytes,
            header_seconds,
            body_seconds,
            connection_seconds,
            drain_seconds,
            batch,
            failed_authentications,
            failed_authentications_burst,
        } = self;
        let Limits {
            connections: default_connections,
            requests: default_requests,
            headers: default_headers,
            header_bytes: default_header_bytes,
            body_bytes: default_body_bytes,
            header_time,
            body_time,
            connection_time,
            drain_time,
            batch: default_batch,
            failed_authentications: default_failures,
            failed_authentications_burst: default_burst,
        } = Limits::default();
        let within = |setting: &str, given: Option<Spanned<u32>>, range: RangeInclusive<u32>| {
            let Some(given) = given else { return Ok(None) };
            if range.contains(given.get_ref()) {
                return Ok(Some(given.into_inner()));
            }
            let text = format!("`limits.{setting}` must be a number from {} to {}", range.start(), range.end());
            Err(lines.error(Some(given.span()), text))
        };
        let size = |setting, given, range, default: usize| {
            let given = within(setting, given, range)?;
            Ok(given.map_or(default, |given| usize::try_from(given).unwrap_or(usize::MAX)))
        };
        let time = |setting, given, min, default: Duration| {
            let given = within(setting, given, min..=DAY)?;
            Ok(given.map_or(default, |given| Duration::from_secs(u64::from(given))))
        };
        let rate = |setting, given, default: NonZeroU32| {
            let given = within(setting, given, RATES)?;
            Ok(given.and_then(NonZeroU32::new).unwrap_or(default))
        };
        Ok(Limits {
            connections: size("connections", connections, 1..=1_000_000, default_connections)?,
            requests: size("requests", requests, 1..=1_000_000, default_requests)?,
            headers: size("headers", headers, 1..=MAX_HEADERS, default_headers)?,
            header_bytes: size("header_bytes", header_bytes, MIN_HEADER_BYTES..=MIB, default_header_bytes)?,
            body_bytes: size("body_bytes", body_bytes, 1..=64 * MIB, default_body_bytes)?,
            header_time: time("header_seconds", header_seconds, 1, header_time)?,
            body_time: time("body_seconds", body_seconds, 1, body_time)?,
            connection_time: time("connection_seconds", connection_seconds, 1, connection_time)?,
            drain_time: time("drain_seconds", drain_seconds, 0, drain_time)?,
            batch: size("batch", batch, 1..=100_000, default_batch)?,
            failed_authentications: rate("failed_authentications", failed_authentications, default_failures)?,
            failed_authentications_burst: rate(
                "failed_authentications_burst",
                failed_authentications_burst,
                default_burst,
            )?,
        })
    }
}

const DAY: u32 = 86_400;
const MIB: u32 = 1 << 20;

/// Maximum number of headers. A header map panics at more than 24,576.
const MAX_HEADERS: u32 = 10_000;

/// Minimum buffer size of hyper, in bytes.
const MIN_HEADER_BYTES: u32 = 8_192;

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
