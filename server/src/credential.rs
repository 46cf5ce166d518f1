//! The credentials of a request (RFC 6750 section 2.1, RFC 9110 section 11.4).

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// The content of a request's `Authorization` header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authorization<'a> {
    /// No header.
    Missing,
    /// Several headers, which is ambiguous.
    Several,
    /// A single header: the scheme as written, and the text after one or more spaces, which may be
    /// empty.
    One { scheme: &'a [u8], rest: &'a [u8] },
}

impl<'a> Authorization<'a> {
    /// Reads the `Authorization` headers.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = all.next() else { return Self::Missing };
        if all.next().is_some() {
            return Self::Several;
        }
        let value = value.as_bytes();
        let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
        let (scheme, rest) = value.split_at(end);
        let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
        Self::One { scheme, rest: rest.get(start..).unwrap_or_default() }
    }

    /// Returns the text after the scheme if the scheme is `name`. Schemes are case-insensitive.
    pub(crate) fn with_scheme(self, name: &str) -> Option<&'a [u8]> {
        match self {
            Self::One { scheme, rest } if scheme.eq_ignore_ascii_case(name.as_bytes()) => Some(rest),
            _ => None,
        }
    }
}

/// The bearer token of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Bearer<'a> {
    /// No bearer token; there may be credentials of another scheme.
    Missing,
    /// Several credentials, or a token that does not match the syntax of RFC 6750.
    Malformed,
    /// A well-formed token.
    Token(&'a str),
}

impl<'a> Bearer<'a> {
    /// Reads the bearer token from the headers.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let authorization = Authorization::of(headers);
        match authorization.with_scheme("bearer") {
            None if authorization == Authorization::Several => Self::Malformed,
            None => Self::Missing,
            Some(rest) => match std::str::from_utf8(rest) {
                Ok(token) if is_b64token(token) => Self::Token(token),
                _ => Self::Malformed,
            },
        }
    }
}

/// Matches `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        HeaderMap::from_iter(values)
    }

    #[test]
    fn only_bearer_tokens_are_found() {
        for (values, wanted) in [
            (&[][..], Bearer::Missing),
            (&["Basic YTpi"], Bearer::Missing),
            (&["Bearerx abc"], Bearer::Missing),
            (&["Bearer\tabc"], Bearer::Missing),
            (&["Token abc"], Bearer::Missing),
            (&[""], Bearer::Missing),
            (&["Bearer abc"], Bearer::Token("abc")),
            (&["bearer abc"], Bearer::Token("abc")),
            (&["BEARER   abc=="], Bearer::Token("abc==")),
            (&["Bearer aZ0-._~+/="], Bearer::Token("aZ0-._~+/=")),
            (&["Bearer"], Bearer::Malformed),
            (&["Bearer  "], Bearer::Malformed),
            (&["Bearer ="], Bearer::Malformed),
            (&["Bearer a=b"], Bearer::Malformed),
            (&["Bearer a b"], Bearer::Malformed),
            (&["Bearer a,b"], Bearer::Malformed),
            (&["Bearer good, Bearer other"], Bearer::Malformed),
            (&["Bearer \u{e9}"], Bearer::Malformed),
            (&["Bearer a", "Bearer a"], Bearer::Malformed),
            (&["Basic YTpi", "Bearer a"], Bearer::Malformed),
        ] {
            assert_eq!(Bearer::of(&headers(values)), wanted, "{values:?}");
        }
    }

    #[test]
    fn every_byte_is_checked_against_the_grammar() {
        for byte in 0..=u8::MAX {
            let belongs = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            for (token, wanted) in [
                ([byte, b'a', b'b'], belongs || byte == b' '),
                ([b'a', byte, b'b'], belongs),
                ([b'a', b'b', byte], belongs || byte == b'='),
            ] {
                let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", &token[..]].concat()) else { continue };
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                assert_eq!(Bearer::of(&headers) != Bearer::Malformed, wanted, "{token:?}");
            }
        }
    }

    /// Any header value.
    fn value() -> impl Strategy<Value = HeaderValue> {
        let byte = prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8, Just(b'\t')];
        prop::collection::vec(byte, 0..60).prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
    }

    fn scheme() -> impl Strategy<Value = String> {
        "[Bb][Ee][Aa][Rr][Ee][Rr] {1,3}"
    }

    proptest! {
        #[test]
        fn every_token_of_the_grammar_is_accepted(scheme in scheme(), token in "[A-Za-z0-9._~+/-]{1,40}={0,3}") {
            let headers = headers(&[&format!("{scheme}{token}")]);
            prop_assert_eq!(Bearer::of(&headers), Bearer::Token(&token));
        }

        /// Any accepted token matches the grammar: allowed bytes only, `=` only at the end and not
        /// alone.
        #[test]
        fn only_the_grammar_is_accepted(scheme in scheme(), rest in value(), others in prop::collection::vec(value(), 0..2)) {
            let value = HeaderValue::from_bytes(&[scheme.as_bytes(), rest.as_bytes()].concat()).unwrap();
            let all = others.iter().chain([&value]).map(|value| (AUTHORIZATION, value.clone()));
            let headers = HeaderMap::from_iter(all.collect::<Vec<_>>());
            let Bearer::Token(token) = Bearer::of(&headers) else { return Ok(()) };
            prop_assert!(others.is_empty());
            prop_assert_eq!(token.as_bytes(), rest.as_bytes().trim_ascii_start());
            let body = token.split('=').next().unwrap_or_default();
            prop_assert!(!body.is_empty() && token[body.len()..].chars().all(|c| c == '='));
            prop_assert!(body.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c)));
        }

        #[test]
        fn without_the_scheme_there_is_no_token(value in value()) {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.clone())]);
            let is_bearer = value.as_bytes().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "));
            let bare = value.as_bytes().eq_ignore_ascii_case(b"bearer");
            prop_assert_eq!(Bearer::of(&headers) == Bearer::Missing, !is_bearer && !bare);
        }
    }
}
