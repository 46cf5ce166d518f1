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

/// Whether servers agree on what the path means: no empty or dot segments, no `\`, no parameters, no control characters, and
/// nothing encoded that would be one of these, or come to another path if it is decoded twice.
pub(crate) fn is_plain_path(path: &str) -> bool {
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
        && path.bytes().all(|byte| (0x21..0x7f).contains(&byte) && !b"\\;".contains(&byte))
        && path.split('%').skip(1).all(|rest| rest.get(..2).is_some_and(is_plain_encoded))
}

/// Whether these are the digits of a byte that means the same encoded as it does not encoded.
fn is_plain_encoded(digits: &str) -> bool {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex);
    byte.is_some_and(|byte| !byte.is_ascii_control() && !b"/.\\%;".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

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
            "/a%0A",
            "/a%7f",
            "/a%3Bx",
            "/a%2%65",
            "/a%",
            "/a%+2",
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

    /// What a server may make of a path: decoded, `\` as `/`, without parameters, empty and dot segments resolved.
    fn resolved(path: &str) -> String {
        let decoded = percent_decode_str(path).decode_utf8_lossy().replace('\\', "/");
        let mut segments = Vec::new();
        for segment in decoded.split('/').map(|segment| segment.split([';', '\0']).next().unwrap_or_default()) {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                _ => segments.push(segment),
            }
        }
        let slash = if decoded.len() > 1 && decoded.ends_with('/') { "/" } else { "" };
        format!("/{}{slash}", segments.join("/"))
    }

    proptest! {
        /// Careful or careless, a server comes to the same path as one that only decodes; and twice is as once.
        #[test]
        fn a_plain_path_means_one_thing(
            path in prop_oneof![
                any::<String>(),
                "/[a.%2feEcC5036;/\\\\]{0,12}",
                "(/([a-c.]{0,3}|%[0-9a-fA-F]{2}|[a-z]{1,3};x|\u{e9})){0,5}/?",
            ]
        ) {
            if is_plain_path(&path) {
                let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
                prop_assert_eq!(&resolved(&path), &decoded);
                prop_assert_eq!(percent_decode_str(&decoded).decode_utf8_lossy(), decoded.as_str());
                prop_assert!(path.is_ascii());
            }
        }

        #[test]
        fn ordinary_paths_are_plain(path in "(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,8}){1,4}/?") {
            prop_assert!(is_plain_path(&path));
        }

        /// Whatever a proxy or its client says, what comes of it is plain.
        #[test]
        fn only_what_is_plain_is_told(
            name in prop_oneof![
                Just("x-original-uri"),
                Just("x-original-url"),
                Just("x-original-method"),
                Just("x-forwarded-uri"),
                Just("x-forwarded-method"),
            ],
            value in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..30),
                "(https?://[a-z]{0,3})?(/|[A-Za-z.%?#;]{1,4}|2e){0,8}".prop_map(String::into_bytes),
                "[A-Za-z]{0,40}".prop_map(String::into_bytes),
            ],
        ) {
            let Ok(value) = hyper::header::HeaderValue::from_bytes(&value) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(hyper::header::HeaderName::from_static(name), value.clone())]);
            for dialect in [Dialect::Nginx, Dialect::Forward] {
                let Original { method, path } = dialect.original(&Method::GET, "/envoy", &headers);
                prop_assert!(path.is_none_or(|path| is_plain_path(&path) && value.to_str().unwrap().contains(&path)));
                prop_assert!(method.is_none_or(|method| method.bytes().all(|byte| byte.is_ascii_uppercase())));
            }
        }
    }
}
