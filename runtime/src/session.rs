//! Requests whose user a handler identifies.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The part of a request to an application that identifies its user, such as the cookie of a site.
///
/// Cookies are as secret as tokens, so the values have no `Debug`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct SessionRequest {
    /// The method, such as `GET`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The cookies.
    pub cookies: Vec<(String, String)>,
}

impl SessionRequest {
    /// Creates a request without headers and cookies.
    pub fn new(method: impl Into<String>, path: impl Into<String>) -> Self {
        Self { method: method.into(), path: path.into(), ..Self::default() }
    }

    /// Adds a header. The name is stored in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Adds a cookie.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.cookies.push((name.into(), value.into()));
        self
    }

    /// Returns the values that no log and no response may contain: those of cookies, and of
    /// `authorization`.
    pub(crate) fn secrets(&self) -> Vec<Arc<str>> {
        let headers = self.headers.iter().filter(|(name, _)| name == "authorization");
        self.cookies.iter().chain(headers).map(|(_, value)| value.as_str().into()).collect()
    }

    /// Returns the request with the headers and cookies of these names only.
    pub(crate) fn seen_by(&self, grant: &SessionGrant) -> Self {
        let only = |pairs: &[(String, String)], names: &BTreeSet<String>| {
            pairs.iter().filter(|(name, _)| names.contains(name)).cloned().collect()
        };
        Self {
            method: self.method.clone(),
            path: self.path.clone(),
            headers: only(&self.headers, &grant.headers),
            cookies: only(&self.cookies, &grant.cookies),
        }
    }
}

impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut shown = f.debug_struct("SessionRequest");
        shown.field("method", &self.method).field("headers", &names(&self.headers));
        shown.field("cookies", &names(&self.cookies)).finish_non_exhaustive()
    }
}

/// The names of the cookies and headers that a session handler sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "a grant names both")]
pub struct SessionGrant {
    /// The names of cookies.
    pub cookies: BTreeSet<String>,
    /// The names of headers, in lower case.
    pub headers: BTreeSet<String>,
}
