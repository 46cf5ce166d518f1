//! The original request, as each kind of proxy tells of it.

use hyper::{HeaderMap, Method, Uri};

/// Which proxy asks, and so where the original request is told of. A dialect reads its own headers only: others come from
/// the client as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// nginx `auth_request`.
    Nginx,
    /// Caddy, Traefik, HAProxy.
    Forward,
    /// Envoy `ext_authz` over HTTP.
    Envoy,
}

impl Dialect {
    /// Its name in paths, logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Forward => "forward",
            Self::Envoy => "envoy",
        }
    }

    /// What the original request was. `None` for a part that is missing, told twice, or no method or path.
    pub(crate) fn original(self, method: &Method, path: &str, headers: &HeaderMap) -> Original {
        match self {
            Self::Nginx => Original {
                method: one(headers, "x-original-method").and_then(a_method),
                path: match (one(headers, "x-original-uri"), one(headers, "x-original-url")) {
                    (Some(uri), None) if !headers.contains_key("x-original-url") => a_path(uri),
                    (None, Some(url)) if !headers.contains_key("x-original-uri") => a_path_of_url(url),
                    _ => None,
                },
            },
            Self::Forward => Original {
                method: one(headers, "x-forwarded-method").and_then(a_method),
                path: one(headers, "x-forwarded-uri").and_then(a_path),
            },
            Self::Envoy => Original { method: a_method(method.as_str()), path: a_path(path) },
        }
    }
}

/// What is known of the original request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Original {
    pub(crate) method: Option<String>,
    /// Without the query, and such that every server reads it alike.
    pub(crate) path: Option<String>,
}

/// The value of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value.and_then(|value| value.to_str().ok())
}

fn a_method(text: &str) -> Option<String> {
    let fine = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase());
    fine.then(|| text.to_owned())
}

/// The path of `PATH?QUERY`.
fn a_path(text: &str) -> Option<String> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    (!text.contains('#') && path.starts_with('/') && is_plain_path(path)).then(|| path.to_owned())
}

/// The path of `https://HOST/PATH?QUERY`.
fn a_path_of_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    text.parse::<Uri>().ok()?;
    // A slash further on is not the path's.
    a_path(rest.get(rest.find(['/', '?', '#'])?..)?)
}

/// Whether servers agree on what the path means: no empty or dot segments, nothing encoded that some of them decode before
/// they look, no parameters, no control characters.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let segments_fine = path.strip_prefix('/').is_some_and(|rest| {
        let mut segments = rest.split('/').peekable();
        let mut fine = true;
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            fine &= segment != "." && segment != ".." && (!segment.is_empty() || last);
        }
        fine
    });
    segments_fine
        && !["%2f", "%2e", "%5c", "%25", "%00"].iter().any(|encoded| lower.contains(encoded))
        && path.bytes().all(|byte| (0x21..0x7f).contains(&byte) && !b"\\;".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_mean_one_thing_are_plain() {
        for path in ["/", "/a", "/a/", "/a/b.c", "/a%20b", "/..a", "/a.."] {
            assert!(is_plain_path(path), "{path}");
        }
        for path in [
            "",
            "a",
            "//",
            "/a//b",
            "//a",
            "/.",
            "/a/../b",
            "/a/.",
            "/%2e%2E/b",
            "/a%2Fb",
            "/a\\b",
            "/a%5cb",
            "/a;x",
            "/a%252f",
            "/a%00",
            "/a b",
            "/\u{e9}",
            "/a\n",
        ] {
            assert!(!is_plain_path(path), "{path}");
        }
    }

    #[test]
    fn each_dialect_reads_its_own() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-original-method", "PUT"),
            ("x-original-uri", "/nginx?a=/../b"),
            ("x-forwarded-method", "DELETE"),
            ("x-forwarded-uri", "/forward"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let original = |dialect: Dialect, headers: &HeaderMap| {
            let Original { method, path } = dialect.original(&Method::POST, "/envoy", headers);
            (method.unwrap_or_default(), path.unwrap_or_default())
        };
        let told = |method: &str, path: &str| (method.to_owned(), path.to_owned());
        assert_eq!(original(Dialect::Nginx, &headers), told("PUT", "/nginx"));
        assert_eq!(original(Dialect::Forward, &headers), told("DELETE", "/forward"));
        assert_eq!(original(Dialect::Envoy, &headers), told("POST", "/envoy"));

        headers.insert("x-original-url", "https://host/url?x".parse().unwrap());
        assert_eq!(original(Dialect::Nginx, &headers), told("PUT", ""), "told in two ways");
        headers.remove("x-original-uri");
        assert_eq!(original(Dialect::Nginx, &headers), told("PUT", "/url"));
        headers.insert("x-original-url", "https://host?/url".parse().unwrap());
        assert_eq!(original(Dialect::Nginx, &headers), told("PUT", ""), "a query and no path");
        headers.append("x-original-url", "https://host/url".parse().unwrap());
        headers.append("x-original-method", "GET".parse().unwrap());
        assert_eq!(original(Dialect::Nginx, &headers), told("", ""), "told twice");
        headers.insert("x-forwarded-method", "get".parse().unwrap());
        headers.insert("x-forwarded-uri", "/a/../forward".parse().unwrap());
        assert_eq!(original(Dialect::Forward, &headers), told("", ""));
        assert_eq!(original(Dialect::Forward, &HeaderMap::new()), told("", ""), "not told");
    }
}
