//! Endpoints: their names in metrics and logs, and properties of their requests.

use hyper::Method;

/// An endpoint. Each is declared in the module of its route.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The name in metrics and logs.
    pub(crate) name: &'static str,
    /// The path; `{…}` matches any segment.
    pub(crate) path: &'static str,
    query: Query,
    /// Set if a client may authenticate in the body, which must be read first then.
    pub(crate) takes_credentials_in_body: bool,
}

/// The requests that may have a query. Elsewhere a query is an error, and might contain a token
/// that proxies would log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    Never,
    /// Filters of a list.
    OnGet,
    /// A proxy may append the query of its client.
    Always,
}

/// The prefix of the paths for proxies.
pub(crate) const FORWARD_AUTH: &str = "/v1/auth/";

/// The name of unknown paths in metrics.
pub(crate) const OTHER: &str = "other";

impl Endpoint {
    /// Creates an endpoint whose clients authenticate in a header.
    pub(crate) const fn new(name: &'static str, path: &'static str, query: Query) -> Self {
        Self { name, path, query, takes_credentials_in_body: false }
    }

    /// Creates an endpoint whose clients authenticate in a header or in the body.
    pub(crate) const fn with_credentials(name: &'static str, path: &'static str) -> Self {
        Self { takes_credentials_in_body: true, ..Self::new(name, path, Query::Never) }
    }

    /// Returns whether a request for a path is for this endpoint.
    pub(crate) fn matches(&self, path: &str) -> bool {
        if !self.path.contains('{') {
            return self.path == path;
        }
        let mut given = path.split('/');
        let is_same = |part: &str| given.next().is_some_and(|given| part.starts_with('{') || part == given);
        self.path.split('/').all(is_same) && given.next().is_none()
    }

    /// Returns whether a request with this method may have a query.
    pub(crate) fn may_have_query(&self, method: &Method) -> bool {
        match self.query {
            Query::Always => true,
            Query::OnGet => matches!(*method, Method::GET | Method::HEAD),
            Query::Never => false,
        }
    }
}
