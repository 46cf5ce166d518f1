//! The original request, as described by each kind of proxy.

use hyper::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

/// The protocol of a proxy, which determines where the original request is described. Each protocol
/// reads its own headers only, because a client may have sent the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyProtocol {
    /// The protocol of nginx's `auth_request`.
    Nginx,
    /// The protocol of Caddy, Traefik and HAProxy.
    Forward,
    /// The protocol of Envoy's `ext_authz` over HTTP.
    Envoy,
}

impl ProxyProtocol {
    /// Returns the name in paths, logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Forward => "forward",
            Self::Envoy => "envoy",
        }
    }

    /// Returns the original request. A part is `None` if it is missing, repeated or not valid.
    pub(crate) fn original(self, method: &Method, path: &str, headers: &HeaderMap) -> ProxiedRequest {
        match self {
            Self::Nginx => ProxiedRequest {
                method: one(headers, "x-original-method").and_then(a_method),
                path: match (one(headers, "x-original-uri"), one(headers, "x-original-url")) {
                    (Some(uri), None) if !headers.contains_key("x-original-url") => a_path(uri),
                    (None, Some(url)) if !headers.contains_key("x-original-uri") => a_path_of_url(url),
                    _ => None,
                },
            },
            Self::Forward => ProxiedRequest {
                method: one(headers, "x-forwarded-method").and_then(a_method),
                path: one(headers, "x-forwarded-uri").and_then(a_path),
            },
            Self::Envoy => ProxiedRequest { method: a_method(method.as_str()), path: a_path(path) },
        }
    }
}

/// The original request, as far as the proxy described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxiedRequest {
    pub(crate) method: Option<String>,
    /// The path without the query, which every server interprets alike.
    pub(crate) path: Option<String>,
}

/// Returns the value of a header that occurs exactly once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value.and_then(|value| value.to_str().ok())
}

fn a_method(text: &str) -> Option<String> {
    let fine = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase());
    fine.then(|| text.to_owned())
}

/// Returns the path of `PATH?QUERY`, if it is plain.
fn a_path(text: &str) -> Option<String> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    (!text.contains('#') && path.starts_with('/') && is_plain_path(path)).then(|| path.to_owned())
}

/// Returns the path of `https://HOST/PATH?QUERY`, if it is plain.
fn a_path_of_url(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    text.parse::<Uri>().ok()?;
    // The first of these ends the host; a slash after `?` or `#` does not start a path.
    a_path(rest.get(rest.find(['/', '?', '#'])?..)?)
}

/// Returns whether all servers interpret the path alike: it has no empty or dot segments, no `\`,
/// no parameters and no control characters, none of these encoded, overlong or in full width, and
/// decoding it twice gives the same path as decoding it once.
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
        && percent_decode_str(path).decode_utf8().is_ok_and(|path| !path.contains(is_ambiguous))
}

/// Returns whether the two digits encode a byte that has the same meaning encoded and decoded.
fn is_plain_encoded(digits: &str) -> bool {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex);
    byte.is_some_and(|byte| !byte.is_ascii_control() && !b"/.\\%;".contains(&byte))
}

/// Returns whether some servers convert the character, which is not ASCII, to one of `%./;\`, or
/// ignore it.
fn is_ambiguous(character: char) -> bool {
    matches!(character, '％' | '．' | '／' | '；' | '＼') || (!character.is_ascii() && character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ambiguous_paths_are_not_plain() {
        for path in ["/", "/a", "/a/", "/a/b.c", "/a%20b", "/..a", "/a..", "/zo%C3%AB", "/%ef%bd%81"] {
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
            "/a%C0%AEb",
            "/a%c0%afb",
            "/a%e0%80%af",
            "/a%ff",
            "/a%ef%bc%8fb",
            "/%EF%BC%8E%ef%bc%8e/b",
            "/a%ef%bc%bcb",
            "/a%ef%bc%9bb",
            "/a%ef%bc%852f",
            "/a%c2%85",
        ] {
            assert!(!is_plain_path(path), "{path}");
        }
    }

    #[test]
    fn each_protocol_reads_its_own_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-original-method", "PUT"),
            ("x-original-uri", "/nginx?a=/../b"),
            ("x-forwarded-method", "DELETE"),
            ("x-forwarded-uri", "/forward"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let original = |dialect: ProxyProtocol, headers: &HeaderMap| {
            let ProxiedRequest { method, path } = dialect.original(&Method::POST, "/envoy", headers);
            (method.unwrap_or_default(), path.unwrap_or_default())
        };
        let told = |method: &str, path: &str| (method.to_owned(), path.to_owned());
        assert_eq!(original(ProxyProtocol::Nginx, &headers), told("PUT", "/nginx"));
        assert_eq!(original(ProxyProtocol::Forward, &headers), told("DELETE", "/forward"));
        assert_eq!(original(ProxyProtocol::Envoy, &headers), told("POST", "/envoy"));

        headers.insert("x-original-url", "https://host/url?x".parse().unwrap());
        assert_eq!(original(ProxyProtocol::Nginx, &headers), told("PUT", ""), "both a URI and a URL");
        headers.remove("x-original-uri");
        assert_eq!(original(ProxyProtocol::Nginx, &headers), told("PUT", "/url"));
        headers.insert("x-original-url", "https://host?/url".parse().unwrap());
        assert_eq!(original(ProxyProtocol::Nginx, &headers), told("PUT", ""), "a query without a path");
        headers.append("x-original-url", "https://host/url".parse().unwrap());
        headers.append("x-original-method", "GET".parse().unwrap());
        assert_eq!(original(ProxyProtocol::Nginx, &headers), told("", ""), "repeated headers");
        headers.insert("x-forwarded-method", "get".parse().unwrap());
        headers.insert("x-forwarded-uri", "/a/../forward".parse().unwrap());
        assert_eq!(original(ProxyProtocol::Forward, &headers), told("", ""));
        assert_eq!(original(ProxyProtocol::Forward, &HeaderMap::new()), told("", ""), "missing headers");
    }

    /// Returns a path as a server may interpret it: decoded, `\` as `/`, without parameters, with
    /// empty and dot segments resolved.
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
        /// Normalizing a plain path, or decoding it twice, gives the same path as decoding it once.
        #[test]
        fn plain_paths_are_unambiguous(
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

        /// For any headers, the resulting path and method are plain.
        #[test]
        fn original_requests_are_plain(
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
            for dialect in [ProxyProtocol::Nginx, ProxyProtocol::Forward] {
                let ProxiedRequest { method, path } = dialect.original(&Method::GET, "/envoy", &headers);
                prop_assert!(path.is_none_or(|path| is_plain_path(&path) && value.to_str().unwrap().contains(&path)));
                prop_assert!(method.is_none_or(|method| method.bytes().all(|byte| byte.is_ascii_uppercase())));
            }
        }
    }
}
