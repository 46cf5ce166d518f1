//! The daemon's configuration, apart from its handlers: plain values, each validated on its own.

use crate::invalid_value::InvalidValue;
use crate::peer::Peer;
use crate::tls::Tls;
use ipnet::IpNet;
use keyward_runtime::Permission;
use keyward_service::KeyAge;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

/// The configuration of a [`Service`](crate::Service).
///
/// With [`Config::default`] the daemon accepts loopback names in `Host` and serves `/v1/actor`.
/// Applications require [`clients`](Self::clients), and proxies require
/// [`policies`](Self::policies).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Config {
    /// The issuer (RFC 8414 section 2); `None` for no metadata document.
    pub issuer: Option<Issuer>,
    /// The realm in challenges.
    pub realm: Realm,
    /// The host names accepted in `Host`.
    pub hosts: Hosts,
    /// The query parameter from which `/v1/actor` accepts a token; `None` for no parameter.
    pub query_parameter: Option<String>,
    /// The clients, by id.
    pub clients: BTreeMap<String, Client>,
    /// The policies of the forward-auth paths, by name.
    pub policies: BTreeMap<String, Policy>,
    /// The settings of all forward-auth paths.
    pub forward_auth: ForwardAuth,
    /// Certificate and key; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// The limits on connections and requests.
    pub limits: Limits,
    /// The pages for people who own tokens; `None` for no pages. Requires a store.
    pub pages: Option<keyward_pages::Config>,
    /// The name of this process among those that share the store.
    pub node: String,
    /// The keys that the handlers use, for the metrics.
    pub keys: Vec<KeyAge>,
}

/// An `https` URL without path, query and fragment.
///
/// RFC 8414 section 2 allows a path, but that would move the metadata document to an unusual place.
/// Issuers are compared byte for byte, so a trailing slash is rejected too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Parses an issuer.
    ///
    /// # Errors
    /// `url` is not an `https` URL, or has a path, query, fragment or user info.
    pub fn new(url: &str) -> Result<Self, InvalidValue> {
        let authority = url.strip_prefix("https://").and_then(|rest| rest.parse::<hyper::http::uri::Authority>().ok());
        match authority.filter(|authority| !authority.host().is_empty() && !url.contains('@')) {
            Some(_) => Ok(Self(url.to_owned())),
            None => Err(InvalidValue::new("is not an `https://` URL without path, query, fragment and trailing `/`")),
        }
    }

    /// Returns the URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The realm of challenges: the content of a quoted string in a header (RFC 9110 section 11.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm(String);

impl Realm {
    /// Parses a realm: 1 to 100 printable ASCII characters, neither `"` nor `\`.
    ///
    /// # Errors
    /// `realm` has another length or another character.
    pub fn new(realm: &str) -> Result<Self, InvalidValue> {
        let fine = realm.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte));
        if fine && (1..=100).contains(&realm.len()) {
            Ok(Self(realm.to_owned()))
        } else {
            Err(InvalidValue::new("must be 1 to 100 printable ASCII characters, without `\"` and `\\`"))
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Realm {
    fn default() -> Self {
        Self("keyward".to_owned())
    }
}

/// The host names that are always accepted, unless [`Hosts::Any`] accepts all.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The host names accepted in `Host`, against DNS rebinding. Ports are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// The listed names, in lower case.
    Only(BTreeSet<String>),
    /// Any name, for a server that browsers cannot reach.
    Any,
}

impl Hosts {
    /// Accepts these names or addresses in addition to `localhost`, `127.0.0.1` and `[::1]`.
    ///
    /// # Errors
    /// A name is not a host, or has a port.
    pub fn and<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, InvalidValue> {
        let mut hosts = BTreeSet::from(LOOPBACK.map(str::to_owned));
        for name in names {
            let name = name.as_ref().to_ascii_lowercase();
            let authority = name.parse::<hyper::http::uri::Authority>();
            if !authority.is_ok_and(|authority| authority.host() == name) {
                return Err(InvalidValue::new("must list hosts without a port, e.g. `auth.example.org` or `[::1]`"));
            }
            hosts.insert(name);
        }
        Ok(Self::Only(hosts))
    }

    /// Returns whether `host`, given without its port, is accepted.
    pub(crate) fn contains(&self, host: &str) -> bool {
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

/// A set of handlers, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Handlers {
    /// All handlers.
    #[default]
    All,
    /// The named handlers.
    Only(BTreeSet<String>),
}

impl Handlers {
    /// Returns whether the handler is in the set.
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// A right of a client, as named in configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Use of `/v1/introspect`.
    Introspect,
    /// Use of `/v1/verify`.
    Verify,
    /// Issuing tokens with `POST /v1/tokens`.
    Create,
    /// Use of `/v1/revoke` and `/v1/revocations`.
    Revoke,
    /// Listing and viewing the tokens that the client created, identified by its id in the
    /// configuration.
    List,
    /// Listing and viewing all tokens. Includes [`Right::List`].
    ListAll,
    /// Editing the tokens that the client sees. With [`Right::Create`] it may also rotate them.
    Edit,
    /// Deriving tokens from restricted tokens presented to the client.
    Delegate,
}

impl Right {
    /// All rights, with their names.
    pub const ALL: &[(&str, Self)] = &[
        ("introspect", Self::Introspect),
        ("verify", Self::Verify),
        ("create", Self::Create),
        ("revoke", Self::Revoke),
        ("list", Self::List),
        ("list-all", Self::ListAll),
        ("edit", Self::Edit),
        ("delegate", Self::Delegate),
    ];

    /// Returns the right with a name, or `None` if there is no such right.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, right)| *right)
    }
}

/// An API client and its rights.
#[derive(Debug, Clone)]
pub struct Client {
    /// The SHA-256 of the client's secret.
    pub secret: SecretDigest,
    /// The rights of the client.
    pub rights: BTreeSet<Right>,
    /// The handlers whose tokens the client may verify, issue, see and revoke. Other handlers do
    /// not exist for it, except that `/v1/revoke` reports a token that it may not revoke (RFC 7009
    /// section 2.1).
    pub handlers: Handlers,
    /// Maximum number of requests per second, and at once; more get 429. `None` for no limit.
    pub rate: Option<NonZeroU32>,
    /// Maximum number of revocations in a day, with `/v1/revocations`, that match no record; more
    /// get 429. Every node remembers them for good, and a client can invent any number.
    pub max_unmatched_revocations: NonZeroU32,
}

/// The default of [`Client::max_unmatched_revocations`].
const MAX_UNMATCHED_REVOCATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);

impl Client {
    /// Creates a client with these rights, for all handlers.
    pub fn new(secret: SecretDigest, rights: impl IntoIterator<Item = Right>) -> Self {
        Self {
            secret,
            rights: rights.into_iter().collect(),
            handlers: Handlers::All,
            rate: None,
            max_unmatched_revocations: MAX_UNMATCHED_REVOCATIONS,
        }
    }

    /// Returns whether the client has a right.
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right) || right == Right::List && self.rights.contains(&Right::ListAll)
    }
}

/// The SHA-256 of a client's secret. A fast hash suffices because the secret is random and too long
/// to be guessed.
#[derive(Clone)]
pub struct SecretDigest(pub(crate) [u8; 32]);

impl SecretDigest {
    /// Wraps a digest.
    pub fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Computes the digest of a secret.
    pub fn of(secret: &str) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(secret).into())
    }

    /// Returns the digest in lower-case hexadecimal digits, as in a configuration.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

/// The requirements of a forward-auth path. [`Policy::default`] accepts any valid token.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The permission that the token must grant; `None` for no requirement.
    pub permission: Option<Permission>,
    /// The handlers whose tokens are accepted.
    pub handlers: Handlers,
    /// The methods of the original request that are accepted; `None` for all.
    pub methods: Option<BTreeSet<String>>,
    /// The paths of the original request that are accepted; `None` for all.
    pub paths: Option<Vec<PathPattern>>,
    /// Maximum number of token checks per second, and at once; more get 429. `None` for no limit.
    pub rate: Option<NonZeroU32>,
    /// The access without a token; `None` for no access.
    pub session: Option<SessionAccess>,
}

/// The access of users whom a session handler identifies by their cookies.
///
/// Browsers send cookies with requests that another site caused, so the methods should be those
/// that change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionAccess {
    /// The name of the session handler.
    pub handler: String,
    /// The methods of the original request that are accepted, as the proxy reports them.
    pub methods: BTreeSet<String>,
}

impl SessionAccess {
    /// The methods that change nothing (RFC 9110 section 9.2.1), without `TRACE`.
    pub const SAFE_METHODS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

    /// Accepts the [safe methods](Self::SAFE_METHODS) of users of this handler.
    pub fn new(handler: impl Into<String>) -> Self {
        Self { handler: handler.into(), methods: Self::SAFE_METHODS.map(str::to_owned).into() }
    }
}

/// A pattern for paths: `/api/*` matches every path that begins with `/api/`; without `*` only the
/// path itself matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    is_prefix: bool,
}

impl PathPattern {
    /// Parses a pattern: a path, or a prefix of one followed by `*`.
    ///
    /// # Errors
    /// The pattern does not begin with `/`, has a `*` elsewhere, or cannot match any path.
    pub fn new(pattern: &str) -> Result<Self, InvalidValue> {
        let (text, is_prefix) = match pattern.strip_suffix('*') {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        if !text.starts_with('/') || text.contains(['*', '?', '#']) || !crate::proxied_request::is_plain_path(text) {
            return Err(InvalidValue::new(
                "has a pattern that cannot match any path: use a path such as `/api` or `/api/*`",
            ));
        }
        Ok(Self { text: text.to_owned(), is_prefix })
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        if self.is_prefix { path.starts_with(&self.text) } else { path == self.text }
    }
}

/// The settings of all forward-auth paths.
#[derive(Debug, Clone)]
pub struct ForwardAuth {
    /// The networks of proxies whose description of the original request is trusted, in addition to
    /// processes with access to the Unix socket. Their failed authentications are not limited,
    /// because they are those of many clients.
    pub trusted_proxies: Vec<IpNet>,
    /// The names of the identity headers.
    pub headers: IdentityHeaders,
    /// Set if Envoy is to remove `Authorization` from the request to the application.
    pub remove_credentials: bool,
    /// Set if a request that carries an identity header is refused, also with `_` or `.` for `-`.
    pub refuse_forged: bool,
}

impl ForwardAuth {
    /// Returns whether the peer is a trusted proxy.
    pub(crate) fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Address(address) => self.trusted_proxies.iter().any(|network| network.contains(&address)),
            Peer::Unix => true,
        }
    }
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

/// The names of the identity headers. Every 200 sets all of them.
#[derive(Debug, Clone)]
pub struct IdentityHeaders {
    /// The header for the actor's id.
    pub subject: hyper::header::HeaderName,
    /// The header for the token's id.
    pub token_id: hyper::header::HeaderName,
    /// The header for the token's restrictions.
    pub scopes: hyper::header::HeaderName,
    /// The header for the handler that accepted the token.
    pub handler: hyper::header::HeaderName,
    /// The header for the token's expiry, in unix seconds.
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

/// The limits on connections and requests. Every field is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of open connections; more wait in the system's queue. Fixed at startup.
    pub connections: usize,
    /// Maximum number of requests in progress; more get 503.
    pub requests: usize,
    /// Maximum number of headers of a request.
    pub headers: usize,
    /// Maximum size of request line and headers together, in bytes.
    pub header_bytes: usize,
    /// Maximum size of a request body, in bytes.
    pub body_bytes: usize,
    /// Maximum time for a TLS handshake, for a request's head to arrive, and for an idle
    /// connection.
    pub header_time: Duration,
    /// Maximum time for a request's body to arrive, and for the client to read a response.
    pub body_time: Duration,
    /// Maximum age of a connection. It is then closed after the response in progress.
    pub connection_time: Duration,
    /// Maximum time for the requests in progress at shutdown.
    pub drain_time: Duration,
    /// Maximum number of tokens in one `/v1/verify`.
    pub batch: usize,
    /// Maximum number of failed client authentications per second and peer; more get 429. A peer
    /// is an IPv4 address or an IPv6 network of 64 bits.
    pub failed_authentications: NonZeroU32,
    /// Maximum number of failed client authentications of a peer at once.
    pub failed_authentications_burst: NonZeroU32,
}

/// The defaults of the limits on failed client authentications.
const FAILED_AUTHENTICATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
const FAILED_AUTHENTICATIONS_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

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
            failed_authentications: FAILED_AUTHENTICATIONS,
            failed_authentications_burst: FAILED_AUTHENTICATIONS_BURST,
        }
    }
}
