//! The credential of a request (RFC 6750 section 2.1, RFC 9110 section 11.4).

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// What the `Authorization` headers of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authorization<'a> {
    /// There is none.
    Missing,
    /// There are several: which of them counts would be a guess.
    Several,
    /// A scheme, as it was written, and what follows behind one or more spaces; empty if nothing does.
    One { scheme: &'a [u8], rest: &'a [u8] },
}

impl<'a> Authorization<'a> {
    /// Looks at all of them.
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

    /// What follows, if the scheme is this one; schemes know no case.
    pub(crate) fn with_scheme(self, name: &str) -> Option<&'a [u8]> {
        match self {
            Self::One { scheme, rest } if scheme.eq_ignore_ascii_case(name.as_bytes()) => Some(rest),
            _ => None,
        }
    }
}

/// The bearer token of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bearer<'a> {
    /// None is presented; there may be credentials of another scheme.
    Missing,
    /// Something is, but no single token of RFC 6750's form.
    Malformed,
    /// One token.
    Token(&'a str),
}

impl<'a> Bearer<'a> {
    /// Takes it from the headers.
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

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        HeaderMap::from_iter(values)
    }

    #[test]
    fn tokens_are_found_and_nothing_else_is() {
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
}
