//! URLs that an operator configured.

use crate::error::{EndpointError, FetchError};
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;
use hyper::{Method, Uri};
use ipnet::IpNet;
use keyward_runtime::http::Forwards;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The certificate authorities that vouch for the servers of [`Endpoint`]s.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Trusts the certificates of a text in PEM.
    ///
    /// # Errors
    /// Returns [`EndpointError::NoCertificate`] if the text has no certificate, or one that cannot
    /// be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, EndpointError> {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| EndpointError::NoCertificate(error.to_string()))?;
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add(certificate).map_err(|error| EndpointError::NoCertificate(error.to_string()))?;
        }
        if store.is_empty() {
            Err(EndpointError::NoCertificate("it has none".to_owned()))
        } else {
            Ok(Self(store.into()))
        }
    }

    /// Trusts certificates in DER, such as those of the system. Certificates that cannot be read
    /// are left out.
    pub fn from_der(certificates: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.into_iter().map(CertificateDer::from));
        Self(store.into())
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Roots").field(&self.0.len()).finish()
    }
}

/// A URL that an operator configured, and the terms on which it is requested.
///
/// ```
/// # use keyward_fetch::{Endpoint, Roots};
/// # fn roots() -> Roots { Roots::from_der([]) }
/// let endpoint = Endpoint::new("https://login.internal/jwks.json", roots())?.private(["10.0.0.0/8".parse()?])?;
/// assert!(Endpoint::new("http://user@login.internal/", roots()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of `Host`.
    pub(crate) authority: HeaderValue,
    /// Path and query.
    pub(crate) target: Uri,
    /// `None` for `http`.
    pub(crate) tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    pub(crate) private: Vec<IpNet>,
    pub(crate) method: Method,
    /// The query parameters that a handler may add.
    pub(crate) guest_query: Vec<String>,
    pub(crate) forwards: Forwards,
    pub(crate) timeout: Duration,
    pub(crate) max_bytes: usize,
}

impl Endpoint {
    /// The default timeout.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// The default maximum size of a response's body, in bytes.
    pub const MAX_BYTES: usize = 256 << 10;

    /// Parses an `http` or `https` URL. `roots` vouch for its server.
    ///
    /// # Errors
    /// Returns an [`EndpointError`] if the URL is malformed, has a user or a fragment, or names no
    /// host.
    pub fn new(url: &str, roots: Roots) -> Result<Self, EndpointError> {
        let wrong = |why: &'static str| EndpointError::BadUrl(why);
        if url.contains(['#', '@', '\\']) {
            return Err(wrong("has a fragment, a user or a `\\`"));
        }
        let uri: Uri = url.parse().map_err(|_| wrong("is malformed"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(wrong("does not begin with `https://`"));
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_https = *scheme == Scheme::HTTPS;
        if !is_https && *scheme != Scheme::HTTP {
            return Err(wrong("does not begin with `https://`"));
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if is_https { 443 } else { 80 }),
            _ => authority.port_u16(),
        };
        let Some(port) = port.filter(|port| *port != 0 && !host.is_empty()) else {
            return Err(wrong("has no host, or a port that is not 1 to 65535"));
        };
        let name = ServerName::try_from(host.clone())
            .map_err(|_| wrong("has a host that is neither a name nor an address"))?;
        let header = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("is malformed"))?;
        Ok(Self {
            host,
            port,
            authority: header,
            target: uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from),
            tls: is_https.then(|| tls(roots).map(|config| (name, Arc::new(config)))).transpose()?,
            private: Vec::new(),
            method: Method::GET,
            guest_query: Vec::new(),
            forwards: Forwards::default(),
            timeout: Self::TIMEOUT,
            max_bytes: Self::MAX_BYTES,
        })
    }

    /// Allows addresses in these networks, which are not on the public Internet: those of the
    /// operator's own services. Only they may be reached without TLS.
    ///
    /// # Errors
    /// Returns [`EndpointError::EveryNetwork`] for a network of all addresses.
    pub fn private(mut self, networks: impl IntoIterator<Item = IpNet>) -> Result<Self, EndpointError> {
        self.private.extend(networks);
        if self.private.iter().any(|network| network.prefix_len() == 0) {
            Err(EndpointError::EveryNetwork)
        } else {
            Ok(self)
        }
    }

    /// Requests the URL with `POST` and an empty body, instead of `GET`.
    pub fn post(mut self) -> Self {
        self.method = Method::POST;
        self
    }

    /// Allows handlers to add these parameters to the query of the URL.
    ///
    /// # Errors
    /// Returns [`EndpointError::RepeatsParameter`] for one that the URL has already: servers
    /// disagree about which of two counts.
    pub fn guest_query(mut self, names: impl IntoIterator<Item = String>) -> Result<Self, EndpointError> {
        self.guest_query.extend(names);
        self.with_distinct_parameters()
    }

    /// Adds these parts of the request of a session.
    ///
    /// # Errors
    /// Returns [`EndpointError::RepeatsParameter`] as [`guest_query`](Self::guest_query) does, and
    /// [`EndpointError::BadHeader`] for a header that would change the request itself.
    pub fn forwards(self, forwards: Forwards) -> Result<Self, EndpointError> {
        const OWN: [&str; 9] = [
            "accept-encoding",
            "connection",
            "content-length",
            "cookie",
            "expect",
            "host",
            "te",
            "transfer-encoding",
            "upgrade",
        ];
        if let Some(name) = forwards.headers.iter().find(|name| OWN.contains(&name.as_str())) {
            return Err(EndpointError::BadHeader(name.clone()));
        }
        Self { forwards, ..self }.with_distinct_parameters()
    }

    /// Checks that no two sources of query parameters have a name in common.
    fn with_distinct_parameters(self) -> Result<Self, EndpointError> {
        let query = self.target.query().unwrap_or_default();
        let own: HashSet<_> = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect();
        let guest: HashSet<_> = self.guest_query.iter().cloned().collect();
        let forwarded: HashSet<_> = self.forwards.query.iter().cloned().collect();
        let mut twice =
            own.intersection(&guest).chain(own.intersection(&forwarded)).chain(guest.intersection(&forwarded));
        match twice.next() {
            Some(name) => Err(EndpointError::RepeatsParameter(name.clone())),
            None => Ok(self),
        }
    }

    /// Returns path and query with these parameters added, or `None` if they are too long.
    pub(crate) fn target_with(&self, query: &[(String, String)]) -> Option<Uri> {
        if query.is_empty() {
            return Some(self.target.clone());
        }
        let mut target = self.target.to_string();
        target.push(if self.target.query().is_some() { '&' } else { '?' });
        let start = target.len();
        form_urlencoded::Serializer::for_suffix(&mut target, start).extend_pairs(query);
        target.parse().ok()
    }

    /// Limits a request to this time, from the look-up of the name to the last byte of the body.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Limits the body of a response to this number of bytes.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Returns an error if `http` would be used on the public Internet.
    pub(crate) fn check_scheme(&self, is_private: bool) -> Result<(), FetchError> {
        if self.tls.is_none() && !is_private { Err(FetchError::PlainHttp) } else { Ok(()) }
    }
}

fn tls(Roots(roots): Roots) -> Result<ClientConfig, EndpointError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|_| EndpointError::BadUrl("cannot be reached with TLS"))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
