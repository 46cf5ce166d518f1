//! `[server]`: the daemon's addresses, and its settings for requests.

use super::access::{NAME, RATES, is_name};
use super::schema::{NAME_PATTERN, json_schema_for, within};
use super::{ConfigError, Lines, Located, parse_network};
use ipnet::IpNet;
use keyward_server::{Config, ForwardAuth, Hosts, IdentityHeaders, InvalidValue, Issuer, Limits, Realm};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
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
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// PEM file of the certificate, followed by those of its issuers.
    pub(crate) certificate: PathBuf,
    /// PEM file of the private key, which only its owner may read.
    pub(crate) key: PathBuf,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerTable {
    /// Address and port for clients and proxies. Port 0 picks a free one. Changes only on restart,
    /// as all addresses do.
    #[schemars(with = "Option<String>", extend("default" = localhost(PORT)))]
    listen: Option<Spanned<String>>,
    /// Address for the same requests without TLS, beside `tls`. Without it: none.
    #[schemars(with = "Option<String>")]
    listen_plain: Option<Spanned<String>>,
    /// Path of a Unix socket for the same requests without TLS. Its peers are trusted like
    /// `trusted_proxies`. Without it: none.
    #[schemars(with = "Option<PathBuf>")]
    listen_unix: Option<Spanned<PathBuf>>,
    /// Address of `/livez`, `/readyz`, `/metrics` and `/key-sets`. Keep it private.
    #[schemars(with = "Option<String>", extend("default" = localhost(ADMIN_PORT)))]
    admin: Option<Spanned<String>>,
    /// Host names without port that are accepted in `Host`, in addition to `localhost`, `127.0.0.1`
    /// and `[::1]`; others get 421. Protects a daemon on loopback from pages of other sites.
    #[schemars(with = "Option<HostNames>")]
    hosts: Option<Spanned<HostNames>>,
    /// Realm of the challenges in `WWW-Authenticate`.
    #[schemars(with = "Option<String>", extend("default" = Realm::default().as_str()))]
    realm: Option<Spanned<String>>,
    /// Issuer of the metadata document (RFC 8414): an `https:` URL without a path. Without it,
    /// there is no document.
    #[schemars(with = "Option<String>")]
    issuer: Option<Spanned<String>>,
    /// The certificate of the daemon. Without it: plain HTTP.
    #[schemars(with = "Option<TlsFiles>")]
    tls: Option<Spanned<TlsFiles>>,
    /// Query parameter in which `/v1/actor` accepts a token: 1 to 64 of the characters
    /// `A-Z a-z 0-9 _ -`. Tokens in URLs end up in logs. Without it: none.
    #[schemars(with = "Option<String>", regex(pattern = NAME_PATTERN))]
    query_parameter: Option<Spanned<String>>,
    /// The requests of proxies, under `/v1/auth/`.
    forward_auth: ForwardAuthTable,
    /// The limits on connections and requests, which protect the daemon from its clients.
    limits: LimitsTable,
}

const PORT: u16 = 8787;
const ADMIN_PORT: u16 = 8788;

fn localhost(port: u16) -> String {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string()
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
        let listen = address(lines, listen, "listen", PORT)?;
        let admin = address(lines, admin, "admin", ADMIN_PORT)?;
        let plain = listen_plain.map(|text| address(lines, Some(text), "listen_plain", 8789)).transpose()?;
        if let Some(Address { line, .. }) = plain.filter(|_| tls.is_none()) {
            let text = "`listen_plain` is for daemons with `tls`: without it, use `listen`";
            return Err(ConfigError { line, text: text.to_owned() });
        }
        different(&[("listen", Some(listen)), ("listen_plain", plain), ("admin", Some(admin))])?;
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

/// Returns an error if two of these settings are the same address.
pub(super) fn different(settings: &[(&str, Option<Address>)]) -> Result<(), ConfigError> {
    for (number, (other, second)) in settings.iter().enumerate() {
        for (one, first) in settings.iter().take(number) {
            if let (Some(first), Some(second)) = (first, second)
                && first.value == second.value
                && first.value.port() != 0
            {
                let text = format!("`{one}` and `{other}` are the same address: change the port of one of them");
                return Err(ConfigError { line: second.line.or(first.line), text });
            }
        }
    }
    Ok(())
}

pub(super) fn address(
    lines: Lines<'_>,
    text: Option<Spanned<String>>,
    setting: &str,
    port: u16,
) -> Result<Address, ConfigError> {
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

json_schema_for!(HostNames, |_| json_schema!({
    "title": "list of text, or `\"any\"`",
    "anyOf": [{ "const": "any" }, { "type": "array", "items": { "type": "string" } }],
}));

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

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ForwardAuthTable {
    /// Addresses and networks of the proxies. The original request that another peer reports is
    /// ignored, and failed authentications of these are not limited.
    #[schemars(with = "Option<Vec<String>>", extend("default" = default_proxies()))]
    trusted_proxies: Option<Vec<Spanned<String>>>,
    /// The names of the identity headers of a response. They must have no other meaning, as
    /// `Set-Cookie` or `X-Accel-*` have, and differ from each other.
    #[schemars(with = "Option<HeadersTable>")]
    headers: Option<Spanned<HeadersTable>>,
    /// Makes Envoy remove `Authorization` before it forwards the request, so that the application
    /// does not see the token.
    #[schemars(extend("default" = ForwardAuth::default().remove_credentials))]
    remove_credentials: bool,
    /// Refuses (403) a request that has one of the identity headers already, if the proxy forwards
    /// them. Protects an application behind a proxy that does not remove them.
    #[schemars(extend("default" = ForwardAuth::default().refuse_forged))]
    refuse_forged: bool,
}

fn default_proxies() -> Vec<String> {
    ForwardAuth::default().trusted_proxies.iter().map(ToString::to_string).collect()
}

/// Checks `trusted_proxies = [ … ]`.
pub(super) fn networks(lines: Lines<'_>, given: Vec<Spanned<String>>) -> Result<Vec<IpNet>, ConfigError> {
    let network = |network: Spanned<String>| {
        parse_network(network.get_ref()).ok_or_else(|| {
            let text = "`trusted_proxies` lists addresses and networks such as `10.0.0.0/8`, not names";
            lines.error(Some(network.span()), text)
        })
    };
    given.into_iter().map(network).collect()
}

impl ForwardAuthTable {
    fn checked(self, lines: Lines<'_>) -> Result<ForwardAuth, ConfigError> {
        let Self { trusted_proxies, headers, remove_credentials, refuse_forged } = self;
        let trusted = trusted_proxies.map(|given| networks(lines, given)).transpose()?;
        let trusted = trusted.unwrap_or_else(|| ForwardAuth::default().trusted_proxies);
        let headers = headers.map(|headers| HeadersTable::checked(headers, lines)).transpose()?.unwrap_or_default();
        Ok(ForwardAuth { trusted_proxies: trusted, headers, remove_credentials, refuse_forged })
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HeadersTable {
    /// Header of the actor's id.
    #[schemars(with = "Option<String>", extend("default" = header(|headers| headers.subject)))]
    subject: Option<Spanned<String>>,
    /// Header of the token's id.
    #[schemars(with = "Option<String>", extend("default" = header(|headers| headers.token_id)))]
    token_id: Option<Spanned<String>>,
    /// Header of what the token allows.
    #[schemars(with = "Option<String>", extend("default" = header(|headers| headers.scopes)))]
    scopes: Option<Spanned<String>>,
    /// Header of the name of the token's handler.
    #[schemars(with = "Option<String>", extend("default" = header(|headers| headers.handler)))]
    handler: Option<Spanned<String>>,
    /// Header of the token's expiry, in Unix seconds.
    #[schemars(with = "Option<String>", extend("default" = header(|headers| headers.expires)))]
    expires: Option<Spanned<String>>,
}

/// Returns the default of an identity header.
fn header<T: ToString>(choose: impl Fn(IdentityHeaders) -> T) -> String {
    choose(IdentityHeaders::default()).to_string()
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
pub(super) fn is_taken(name: &str) -> bool {
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

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    /// Maximum number of open connections; more wait to be accepted. Each takes a file descriptor:
    /// the daemon accepts fewer if the system allows fewer. Changes only on restart.
    #[schemars(with = "Option<u32>", transform = within(CONNECTIONS), extend("default" = Limits::default().connections))]
    connections: Option<Spanned<u32>>,
    /// Maximum number of requests in progress; more get 503. Forms with a secret in the body, and
    /// those of the pages, may use a quarter: if all are taken, the one that is slowest to arrive
    /// gets 503.
    #[schemars(with = "Option<u32>", transform = within(REQUESTS), extend("default" = Limits::default().requests))]
    requests: Option<Spanned<u32>>,
    /// Maximum number of headers of a request; more get 431. A proxy that forwards all headers of
    /// the client may need more.
    #[schemars(with = "Option<u32>", transform = within(HEADERS), extend("default" = Limits::default().headers))]
    headers: Option<Spanned<u32>>,
    /// Maximum size of request line and headers together; more get 414 or 431.
    #[schemars(with = "Option<u32>", transform = within(HEADER_BYTES), extend("default" = Limits::default().header_bytes))]
    header_bytes: Option<Spanned<u32>>,
    /// Maximum size of a request body; more get 413.
    #[schemars(with = "Option<u32>", transform = within(BODY_BYTES), extend("default" = Limits::default().body_bytes))]
    body_bytes: Option<Spanned<u32>>,
    /// Maximum time for a complete head to arrive, and idle time of a connection, which is then
    /// closed. Protects against clients that hold connections.
    #[schemars(with = "Option<u32>", transform = within(SECONDS), extend("default" = Limits::default().header_time.as_secs()))]
    header_seconds: Option<Spanned<u32>>,
    /// Maximum time for a complete body to arrive (408), and for the client to read a response.
    #[schemars(with = "Option<u32>", transform = within(SECONDS), extend("default" = Limits::default().body_time.as_secs()))]
    body_seconds: Option<Spanned<u32>>,
    /// Age from which a connection is closed after a response.
    #[schemars(with = "Option<u32>", transform = within(SECONDS), extend("default" = Limits::default().connection_time.as_secs()))]
    connection_seconds: Option<Spanned<u32>>,
    /// Maximum time at shutdown for requests in progress; after that, they are dropped.
    #[schemars(with = "Option<u32>", transform = within(DRAIN_SECONDS), extend("default" = Limits::default().drain_time.as_secs()))]
    drain_seconds: Option<Spanned<u32>>,
    /// Maximum number of tokens in one `/v1/verify`; more get 400.
    #[schemars(with = "Option<u32>", transform = within(BATCH), extend("default" = Limits::default().batch))]
    batch: Option<Spanned<u32>>,
    /// Maximum number of failed authentications of clients, per second and peer; more get 429.
    /// Slows down the guessing of secrets. `trusted_proxies` are exempt.
    #[schemars(with = "Option<u32>", transform = within(RATES), extend("default" = Limits::default().failed_authentications.get()))]
    failed_authentications: Option<Spanned<u32>>,
    /// Number of failed authentications of a peer that are allowed at once.
    #[schemars(with = "Option<u32>", transform = within(RATES), extend("default" = Limits::default().failed_authentications_burst.get()))]
    failed_authentications_burst: Option<Spanned<u32>>,
}

const CONNECTIONS: RangeInclusive<u32> = 1..=1_000_000;
const REQUESTS: RangeInclusive<u32> = 1..=1_000_000;
/// A header map panics at more than 24,576 headers.
const HEADERS: RangeInclusive<u32> = 1..=10_000;
/// The minimum is hyper's minimum buffer size.
const HEADER_BYTES: RangeInclusive<u32> = 8_192..=MIB;
const BODY_BYTES: RangeInclusive<u32> = 1..=64 * MIB;
const SECONDS: RangeInclusive<u32> = 1..=DAY;
const DRAIN_SECONDS: RangeInclusive<u32> = 0..=DAY;
const BATCH: RangeInclusive<u32> = 1..=100_000;

const DAY: u32 = 86_400;
const MIB: u32 = 1 << 20;

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
        let bounded = |setting: &str, given: Option<Spanned<u32>>, range: RangeInclusive<u32>| {
            let Some(given) = given else { return Ok(None) };
            if range.contains(given.get_ref()) {
                return Ok(Some(given.into_inner()));
            }
            let text = format!("`limits.{setting}` must be a number from {} to {}", range.start(), range.end());
            Err(lines.error(Some(given.span()), text))
        };
        let size = |setting, given, range, default: usize| {
            let given = bounded(setting, given, range)?;
            Ok(given.map_or(default, |given| usize::try_from(given).unwrap_or(usize::MAX)))
        };
        let time = |setting, given, range, default: Duration| {
            let given = bounded(setting, given, range)?;
            Ok(given.map_or(default, |given| Duration::from_secs(u64::from(given))))
        };
        let rate = |setting, given, default: NonZeroU32| {
            let given = bounded(setting, given, RATES)?;
            Ok(given.and_then(NonZeroU32::new).unwrap_or(default))
        };
        Ok(Limits {
            connections: size("connections", connections, CONNECTIONS, default_connections)?,
            requests: size("requests", requests, REQUESTS, default_requests)?,
            headers: size("headers", headers, HEADERS, default_headers)?,
            header_bytes: size("header_bytes", header_bytes, HEADER_BYTES, default_header_bytes)?,
            body_bytes: size("body_bytes", body_bytes, BODY_BYTES, default_body_bytes)?,
            header_time: time("header_seconds", header_seconds, SECONDS, header_time)?,
            body_time: time("body_seconds", body_seconds, SECONDS, body_time)?,
            connection_time: time("connection_seconds", connection_seconds, SECONDS, connection_time)?,
            drain_time: time("drain_seconds", drain_seconds, DRAIN_SECONDS, drain_time)?,
            batch: size("batch", batch, BATCH, default_batch)?,
            failed_authentications: rate("failed_authentications", failed_authentications, default_failures)?,
            failed_authentications_burst: rate(
                "failed_authentications_burst",
                failed_authentications_burst,
                default_burst,
            )?,
        })
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
