//! The table of endpoints: their names in metrics and logs, and properties of their requests.

use hyper::Method;

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The name in metrics and logs.
    pub(crate) name: &'static str,
    /// The path; `{…}` matches any segment.
    path: &'static str,
    query: Query,
    /// Set if a client may authenticate in the body, which must be read first then.
    pub(crate) takes_credentials_in_body: bool,
}

/// The requests that may have a query. Elsewhere a query is an error, and might contain a token
/// that proxies would log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Query {
    Never,
    /// Filters of a list.
    OnGet,
    /// A proxy may append the query of its client.
    Always,
}

/// All endpoints except those for proxies, which are below [`FORWARD_AUTH`].
const ENDPOINTS: [Endpoint; 10] = [
    Endpoint::with_credentials("introspect", "/v1/introspect"),
    Endpoint::new("verify", "/v1/verify", Query::Never),
    Endpoint::new("tokens", "/v1/tokens", Query::OnGet),
    Endpoint::new("token", "/v1/tokens/{handler}/{token_id}", Query::Never),
    Endpoint::new("rotate", "/v1/tokens/{handler}/{token_id}/rotate", Query::Never),
    Endpoint::with_credentials("revoke", "/v1/revoke"),
    Endpoint::new("revocations", "/v1/revocations", Query::Never),
    Endpoint::new("actor", "/v1/actor", Query::Always),
    Endpoint::new("metadata", "/.well-known/oauth-authorization-server", Query::Never),
    Endpoint::new(DOCUMENT, "/openapi.json", Query::Never),
];

/// The name of the endpoint of the OpenAPI document.
pub(crate) const DOCUMENT: &str = "openapi";

/// The prefix of the paths for proxies.
pub(crate) const FORWARD_AUTH: &str = "/v1/auth/";

/// The name of unknown paths in metrics.
pub(crate) const OTHER: &str = "other";

impl Endpoint {
    const fn new(name: &'static str, path: &'static str, query: Query) -> Self {
        Self { name, path, query, takes_credentials_in_body: false }
    }

    const fn with_credentials(name: &'static str, path: &'static str) -> Self {
        Self { takes_credentials_in_body: true, ..Self::new(name, path, Query::Never) }
    }

    /// Returns the endpoint of a path, or `None` if the path is unknown or for proxies.
    pub(crate) fn of(path: &str) -> Option<&'static Self> {
        ENDPOINTS.iter().find(|endpoint| {
            let mut given = path.split('/');
            let is_same = |part: &str| given.next().is_some_and(|given| part.starts_with('{') || part == given);
            endpoint.path.split('/').all(is_same) && given.next().is_none()
        })
    }
}

/// Returns whether a request for a path may have a query.
pub(crate) fn may_have_query(path: &str, method: &Method) -> bool {
    match Endpoint::of(path).map(|endpoint| endpoint.query) {
        Some(Query::Always) => true,
        Some(Query::OnGet) => matches!(*method, Method::GET | Method::HEAD),
        Some(Query::Never) => false,
        None => path.starts_with(FORWARD_AUTH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_to_endpoints() {
        for (path, wanted) in [
            ("/v1/introspect", Some("introspect")),
            ("/v1/introspect/", None),
            ("/v1/tokens", Some("tokens")),
            ("/v1/tokens/", None),
            ("/v1/tokens/h/id", Some("token")),
            ("/v1/tokens/h/id%2Frotate", Some("token")),
            ("/v1/tokens/h/id/rotate", Some("rotate")),
            ("/v1/tokens/h/id/rotate/x", None),
            ("/v1/auth/nginx/members", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(Endpoint::of(path).map(|endpoint| endpoint.name), wanted, "{path}");
        }
    }

    #[test]
    fn queries_are_for_lists_and_proxies() {
        assert!(may_have_query("/v1/tokens", &Method::GET));
        assert!(!may_have_query("/v1/tokens", &Method::POST));
        assert!(may_have_query("/v1/actor", &Method::GET));
        assert!(may_have_query("/v1/auth/nginx/members", &Method::GET));
        assert!(!may_have_query("/v1/introspect", &Method::GET));
        assert!(!may_have_query("/other", &Method::GET));
    }

    /// The table and the OpenAPI document have the same paths.
    #[test]
    fn every_endpoint_is_described() {
        let document: serde_json::Value = serde_json::from_str(crate::routes::document()).unwrap();
        let described = document["paths"].as_object().unwrap().keys();
        let mut described: Vec<_> = described.filter(|path| !path.starts_with(FORWARD_AUTH)).collect();
        let mut listed: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
        described.sort();
        listed.sort_unstable();
        assert_eq!(listed, described);
    }
}
