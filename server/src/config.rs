//! What a daemon does apart from its handlers: plain values, each right in itself.

use crate::tls::Tls;
use ipnet::IpNet;
use keyward_runtime::Permission;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// All of it. With [`Config::default`] the daemon is called by loopback names, and says to whoever presents a token whose it
/// is (`/v1/actor`); applications need callers, and proxies policies.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Config {
    /// The issuer of RFC 8414 section 2; `None` for no metadata document.
    pub issuer: Option<Issuer>,
    /// The realm in challenges.
    pub realm: Realm,
    /// The names that requests may call this server by.
    pub hosts: Hosts,
    /// The query parameter that `/v1/actor` may take a token from.
    pub query_parameter: Option<String>,
    /// Who may ask, by id.
    pub callers: BTreeMap<String, Caller>,
    /// What the paths of proxies require, by name.
    pub policies: BTreeMap<String, Policy>,
    /// What is the same for all paths of proxies.
    pub forward_auth: ForwardAuth,
    /// Certificate and key; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// What clients may use.
    pub limits: Limits,
    /// The name of this process among those that share a store.
    pub node: String,
    /// The keys that its handlers use, for metrics.
    pub keys: Vec<KeyAge>,
}

/// A key, and how old it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAge {
    /// The ring and the key's id: `main/2026-11`.
    pub key: String,
    /// Its state: `pending`, `active`, `verify-only` or `retired`.
    pub state: &'static str,
    /// When it was made, in unix seconds, if that is known.
    pub made_at: Option<u64>,
}

/// A value that cannot stand in a [`Config`]. The text goes on from the setting's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub(crate) String);

impl BadValue {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// An `https` URL without path, query and fragment. RFC 8414 section 2 allows a path, but then its document would stand
/// where nobody else's does; issuers are compared to the letter, so there is no slash at its end either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Reads one.
    ///
    /// # Errors
    /// It is no such URL.
    pub fn new(url: &str) -> Result<Self, BadValue> {
        let authority = url.strip_prefix("https://").and_then(|rest| rest.parse::<hyper::http::uri::Authority>().ok());
        match authority.filter(|authority| !authority.host().is_empty() && !url.contains('@')) {
            Some(_) => Ok(Self(url.to_owned())),
            None => Err(BadValue::new(
                "is no `https://` URL without path, query and fragment, and without a `/` at its end",
            )),
        }
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The realm of challenges: text that stands between quotes in a header (RFC 9110 section 11.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm(String);

impl Realm {
    /// Reads one: 1 to 100 printable ASCII characters, neither `"` nor `\`.
    ///
    /// # Errors
    /// It is not of these.
    pub fn new(realm: &str) -> Result<Self, BadValue> {
        let fine = realm.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte));
        if fine && (1..=100).contains(&realm.len()) {
            Ok(Self(realm.to_owned()))
        } else {
            Err(BadValue::new("is not 1 to 100 printable ASCII characters without `\"` and `\\`"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Realm {
    fn default() -> Self {
        Self("keyward".to_owned())
    }
}

/// By which names a server can always be called.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names that a request may give in `Host`, against DNS rebinding. Ports do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// These, in lower case.
    Only(BTreeSet<String>),
    /// Any: for a server that is not reached by browsers.
    Any,
}

impl Hosts {
    /// These names or addresses, besides `localhost`, `127.0.0.1` and `[::1]`.
    ///
    /// # Errors
    /// One is no host without a port.
    pub fn and<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, BadValue> {
        let mut hosts = BTreeSet::from(LOOPBACK.map(str::to_owned));
        for name in names {
            let name = name.as_ref().to_ascii_lowercase();
            let authority = name.parse::<hyper::http::uri::Authority>();
            if !authority.is_ok_and(|authority| authority.host() == name) {
                return Err(BadValue::new("names a host such as `auth.example.org` or `[::1]`, without a port"));
            }
            hosts.insert(name);
        }
        Ok(Self::Only(hosts))
    }

    /// Whether this host, without its port, is one of them.
    pub(crate) fn include(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(hosts) => hosts.contains(host) || hosts.contains(&host.to_ascii_lowercase()),
        }
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self::Only(LOOPBACK.map(str::to_owned).into())
    }
}

/// Handlers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Handlers {
    /// All of them.
    #[default]
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Handlers {
    /// Whether it is one of them.
    pub(crate) fn include(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// Who may ask, and for what.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The SHA-256 of its secret.
    pub secret: SecretDigest,
    /// May use `/v1/introspect`.
    pub introspect: bool,
    /// May use `/v1/verify`.
    pub verify: bool,
    /// May make tokens by `POST /v1/tokens`.
    pub create: bool,
    /// May use `/v1/revoke` and `/v1/revocations`.
    pub revoke: bool,
    /// Which tokens it may look at by `GET /v1/tokens`.
    pub sees: Sees,
    /// May edit the tokens that it sees, and rotate them if it may create some.
    pub edit: bool,
    /// May make tokens from a restricted one that was presented to it.
    pub delegate: bool,
    /// Whose tokens it may ask about, make, see and revoke; others do not exist for it, but that a token is not revoked
    /// without a word (RFC 7009 section 2.1).
    pub handlers: Handlers,
}

impl Caller {
    /// One that may nothing, with the tokens of all handlers.
    pub fn new(secret: SecretDigest) -> Self {
        Self {
            secret,
            introspect: false,
            verify: false,
            create: false,
            revoke: false,
            sees: Sees::Nothing,
            edit: false,
            delegate: false,
            handlers: Handlers::All,
        }
    }
}

/// Which tokens a caller sees, of those of its handlers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sees {
    /// None.
    #[default]
    Nothing,
    /// Those that it had made itself, by the id that it has in the configuration.
    Own,
    /// All.
    All,
}

/// The SHA-256 of a caller's secret. The secret is random, so a fast hash is enough: nobody can try 2^256 of them.
#[derive(Clone)]
pub struct SecretDigest(pub(crate) [u8; 32]);

impl SecretDigest {
    /// From the digest as it stands in a configuration.
    pub fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Of a secret.
    pub fn of(secret: &str) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(secret).into())
    }

    /// The digest in lower-case hexadecimal digits, as a configuration holds it.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

/// What the path of a proxy requires of a request. With [`Policy::default`] any good token passes.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What the token must allow.
    pub permission: Option<Permission>,
    /// Whose tokens are taken.
    pub handlers: Handlers,
    /// The methods of the original request that pass; `None` for all.
    pub methods: Option<BTreeSet<String>>,
    /// The paths of the original request that pass; `None` for all.
    pub paths: Option<Vec<PathPattern>>,
}

/// `/api/*` fits every path that begins with `/api/`; without a `*` the path itself is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    is_prefix: bool,
}

impl PathPattern {
    /// Reads a pattern: a path, or the beginning of one and a `*`.
    ///
    /// # Errors
    /// It begins with no `/`, has a `*` elsewhere, or is such that no path could fit.
    pub fn new(pattern: &str) -> Result<Self, BadValue> {
        let (text, is_prefix) = match pattern.strip_suffix('*') {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        if !text.starts_with('/') || text.contains(['*', '?', '#']) || !crate::original::is_plain_path(text) {
            return Err(BadValue::new("has a pattern that no path can fit: write a path such as `/api`, or `/api/*`"));
        }
        Ok(Self { text: text.to_owned(), is_prefix })
    }

    pub(crate) fn fits(&self, path: &str) -> bool {
        if self.is_prefix { path.starts_with(&self.text) } else { path == self.text }
    }
}

/// What is the same for all paths of proxies.
#[derive(Debug, Clone)]
pub struct ForwardAuth {
    /// Whose words about the original request count.
    pub trusted_proxies: Vec<IpNet>,
    /// The headers that say who it is.
    pub headers: IdentityHeaders,
    /// Tells Envoy to take `Authorization` away from the application.
    pub remove_credentials: bool,
    /// Refuses a request that itself carries an identity header, also with `_` or `.` for `-`.
    pub refuse_forged: bool,
}

impl Default for ForwardAuth {
    fn default() -> Self {
        let loopback = [
            IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
            IpNet::new_assert(Ipv6Addr::LOCALHOST.into(), 128),
        ];
        Self {
            trusted_proxies: loopback.into(),
            headers: IdentityHeaders::default(),
            remove_credentials: false,
            refuse_forged: false,
        }
    }
}

/// The names of the headers that say who it is. Each is set in every 200.
#[derive(Debug, Clone)]
pub struct IdentityHeaders {
    /// The actor's id.
    pub subject: hyper::header::HeaderName,
    /// The token's id.
    pub token_id: hyper::header::HeaderName,
    /// What the token is restricted to.
    pub scopes: hyper::header::HeaderName,
    /// The handler that vouches.
    pub handler: hyper::header::HeaderName,
    /// When the token ends, in unix seconds.
    pub expires: hyper::header::HeaderName,
}

impl IdentityHeaders {
    pub(crate) fn all(&self) -> [&hyper::header::HeaderName; 5] {
        let Self { subject, token_id, scopes, handler, expires } = self;
        [subject, token_id, scopes, handler, expires]
    }
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        use hyper::header::HeaderName;
        Self {
            subject: HeaderName::from_static("x-auth-subject"),
            token_id: HeaderName::from_static("x-auth-token-id"),
            scopes: HeaderName::from_static("x-auth-scopes"),
            handler: HeaderName::from_static("x-auth-handler"),
            expires: HeaderName::from_static("x-auth-expires"),
        }
    }
}

/// What clients may use. Every field is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once; more wait in the system's queue. Fixed when the server starts.
    pub connections: usize,
    /// Requests being answered at once; more get 503.
    pub requests: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Request line and headers together, in bytes; at least 8,192, which is hyper's least.
    pub header_bytes: usize,
    /// The body of a request in bytes.
    pub body_bytes: usize,
    /// For a TLS handshake, for a whole head to arrive, and for which a kept connection may idle.
    pub header_time: Duration,
    /// For a whole body to arrive, and for the client to take an answer.
    pub body_time: Duration,
    /// After which a connection is closed behind the answer that is under way.
    pub connection_time: Duration,
    /// At shutdown, for what is being answered.
    pub drain_time: Duration,
    /// Tokens in one `/v1/verify`.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            requests: 1_024,
            headers: 100,
            header_bytes: 32 << 10,
            body_bytes: 64 << 10,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            connection_time: Duration::from_secs(3_600),
            drain_time: Duration::from_secs(10),
            batch: 100,
        }
    }
}
