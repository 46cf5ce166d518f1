//! Requests whose user a handler identifies.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

    /// Adds a header as it was received, or of the header `cookie` each of its [`cookies`]. A value
    /// that is not ASCII is left out.
    ///
    /// ```
    /// use keyward_runtime::session::SessionRequest;
    /// let received = SessionRequest::new("GET", "/").received("Cookie", b"sid=1; theme=dark").received("X-A", b"2");
    /// assert_eq!(received, SessionRequest::new("GET", "/").cookie("sid", "1").cookie("theme", "dark").header("x-a", "2"));
    /// ```
    #[must_use]
    pub fn received(self, name: &str, value: &[u8]) -> Self {
        if name.eq_ignore_ascii_case("cookie") {
            return cookies(value).fold(self, |request, (name, value)| request.cookie(name, value));
        }
        match ascii(value) {
            Some(value) => self.header(name, value),
            None => self,
        }
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

    /// Returns the part of the request that a grant covers, ordered by name.
    pub(crate) fn seen_by(&self, grant: &SessionGrant) -> Self {
        let (method, path) = self.line(grant);
        let (method, path) = (method.to_owned(), path.to_owned());
        let headers = named(&grant.headers, &self.headers).cloned().collect();
        Self { method, path, headers, cookies: named(&grant.cookies, &self.cookies).cloned().collect() }
    }

    fn line(&self, grant: &SessionGrant) -> (&str, &str) {
        (if grant.method { &self.method } else { "" }, if grant.path { &self.path } else { "" })
    }
}

/// Returns the cookies of a `Cookie` header (RFC 6265 section 4.2) in their order, each with its
/// value. A part that is not ASCII, or without a name or `=`, is left out: another host of the same
/// site may have set it. Quotes are part of a value.
pub fn cookies(header: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    fn trim(text: &str) -> &str {
        text.trim_matches([' ', '\t'])
    }
    let parts = header.split(|byte| *byte == b';').filter_map(ascii);
    let pairs = parts.filter_map(|part| part.split_once('=')).map(|(name, value)| (trim(name), trim(value)));
    pairs.filter(|(name, _)| !name.is_empty())
}

fn ascii(text: &[u8]) -> Option<&str> {
    str::from_utf8(text).ok().filter(|text| text.is_ascii())
}

/// Returns the pairs with these names, in the order of the names.
pub(crate) fn named<'a>(
    names: impl IntoIterator<Item = &'a String>,
    pairs: &'a [(String, String)],
) -> impl Iterator<Item = &'a (String, String)> {
    names.into_iter().flat_map(move |name| pairs.iter().filter(move |(known, _)| known == name))
}

impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut shown = f.debug_struct("SessionRequest");
        shown.field("method", &self.method).field("headers", &names(&self.headers));
        shown.field("cookies", &names(&self.cookies)).finish_non_exhaustive()
    }
}

/// The parts of a request that a session handler sees, and how long its verdicts are cached.
///
/// The default is to see nothing, and to cache nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "written with `..SessionGrant::default()`")]
pub struct SessionGrant {
    /// The names of cookies.
    pub cookies: BTreeSet<String>,
    /// The names of headers, in lower case.
    pub headers: BTreeSet<String>,
    /// `true` if the handler sees the method; otherwise the method is empty.
    pub method: bool,
    /// `true` if the handler sees the path; otherwise the path is empty.
    pub path: bool,
    /// The time for which a verdict is cached, in whole seconds. Within it, a user who signs out at
    /// the site stays identified. Zero, the default, for no cache.
    pub ttl: Duration,
    /// The time after `ttl` in which the last verdict replaces one that the handler cannot give
    /// because its service is not available, in whole seconds. Requires `ttl`.
    pub stale: Duration,
}

/// The identity of a request for the cache of a handler: a digest of the parts that its grant
/// covers. Its key is random, so that no two requests can be made to have one identity, and a
/// digest tells nothing about a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey([u8; 32]);

/// The random key of [`SessionKey`]s.
pub(crate) struct SessionHasher(Hmac<Sha256>);

impl SessionHasher {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        Ok(Self(Hmac::new(&key.into())))
    }

    /// Returns the key of a request. `generation` is that of the public keys that the handler uses.
    pub(crate) fn key(&self, request: &SessionRequest, grant: &SessionGrant, generation: u64) -> SessionKey {
        let mut mac = self.0.clone();
        mac.update(&generation.to_be_bytes());
        let mut update = |text: &str| {
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text.as_bytes());
        };
        let (method, path) = request.line(grant);
        update(method);
        update(path);
        for (names, pairs) in [(&grant.headers, &request.headers), (&grant.cookies, &request.cookies)] {
            for (name, value) in named(names, pairs) {
                update("pair");
                update(name);
                update(value);
            }
            update("end");
        }
        SessionKey(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cookies_are_split_as_browsers_join_them() {
        let all = |header: &'static str| cookies(header.as_bytes()).collect::<Vec<_>>();
        assert_eq!(all("a=1; b=2"), [("a", "1"), ("b", "2")]);
        assert_eq!(all(" a = 1 ;b=\"2, 3\"; c=x=y;"), [("a", "1"), ("b", "\"2, 3\""), ("c", "x=y")]);
        assert_eq!(all("a=1; a=2"), [("a", "1"), ("a", "2")]);
        assert_eq!(all("a; =1; b="), [("b", "")]);
        assert_eq!(all(""), []);
        assert_eq!(all("a=1; b=\u{e9}; \u{e9}=2; c=3"), [("a", "1"), ("c", "3")]);
        assert_eq!(cookies(b"a=1; b=\xff").collect::<Vec<_>>(), [("a", "1")]);
    }

    fn request() -> impl Strategy<Value = SessionRequest> {
        let pairs = || prop::collection::vec(("[ab]", "[abx]{0,2}"), 0..3);
        ("[GP]", "/[a]?", pairs(), pairs()).prop_map(|(method, path, headers, cookies)| SessionRequest {
            method,
            path,
            headers,
            cookies,
        })
    }

    fn grant() -> impl Strategy<Value = SessionGrant> {
        let names = || prop::collection::btree_set("[ab]", 0..3);
        (names(), names(), any::<bool>(), any::<bool>()).prop_map(|(cookies, headers, method, path)| SessionGrant {
            cookies,
            headers,
            method,
            path,
            ..SessionGrant::default()
        })
    }

    proptest! {
        #[test]
        fn any_header_is_split_without_a_panic(header in prop::collection::vec(any::<u8>(), 0..60)) {
            for (name, value) in cookies(&header) {
                prop_assert!(!name.contains(['=', ';']) && !value.contains(';'));
            }
        }

        /// Requests have one key exactly if the handler sees the same of them.
        #[test]
        fn a_key_is_that_of_what_the_handler_sees(grant in grant(), one in request(), other in request()) {
            let hasher = SessionHasher::new().unwrap();
            let (seen, other_seen) = (one.seen_by(&grant), other.seen_by(&grant));
            let key = |request, generation| hasher.key(request, &grant, generation);
            prop_assert_eq!(key(&one, 1) == key(&other, 1), seen == other_seen);
            prop_assert!(key(&one, 1) == key(&seen, 1));
            prop_assert!(key(&one, 1) != key(&one, 2));
            prop_assert!(key(&one, 1) != SessionHasher::new().unwrap().key(&one, &grant, 1));
        }
    }
}
