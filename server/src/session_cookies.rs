//! The request of a session, from the headers of a proxied request.

use crate::proxied_request::ProxiedRequest;
use hyper::HeaderMap;
use hyper::header::COOKIE;
use keyward_runtime::session::SessionRequest;

/// Returns the request whose user is to be identified, or `None` if its method is not known.
/// Headers that are not ASCII are left out.
pub(crate) fn request(original: &ProxiedRequest, headers: &HeaderMap) -> Option<SessionRequest> {
    let path = original.path.as_deref().unwrap_or("/");
    let mut request = SessionRequest::new(original.method.as_deref()?, path);
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        if name == COOKIE {
            for (name, value) in cookies(value) {
                request = request.cookie(name, value);
            }
        } else {
            request = request.header(name.as_str(), value);
        }
    }
    Some(request)
}

/// Returns the cookies of a `Cookie` header (RFC 6265 section 4.2), in their order. A part without
/// a name or without `=` is left out. Quotes are part of a value.
fn cookies(header: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = header.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.trim_matches([' ', '\t']), value.trim_matches([' ', '\t'])))
        .filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn cookies_are_split_as_browsers_join_them() {
        let all = |header| cookies(header).collect::<Vec<_>>();
        assert_eq!(all("a=1; b=2"), [("a", "1"), ("b", "2")]);
        assert_eq!(all(" a = 1 ;b=\"2, 3\"; c=x=y;"), [("a", "1"), ("b", "\"2, 3\""), ("c", "x=y")]);
        assert_eq!(all("a=1; a=2"), [("a", "1"), ("a", "2")]);
        assert_eq!(all("a; =1; b="), [("b", "")]);
        assert_eq!(all(""), []);
    }

    #[test]
    fn a_request_without_a_known_method_has_no_user() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        headers.append("x-a", HeaderValue::from_static("3"));
        let original = ProxiedRequest { method: Some("GET".to_owned()), path: None };
        let wanted = SessionRequest::new("GET", "/").cookie("a", "1").cookie("b", "2").header("x-a", "3");
        assert_eq!(request(&original, &headers), Some(wanted));
        assert_eq!(request(&ProxiedRequest { method: None, ..original }, &headers), None);
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_split_without_a_panic(text in "\\PC{0,60}") {
            for (name, value) in cookies(&text) {
                proptest::prop_assert!(!name.contains(['=', ';']) && !value.contains(';'));
            }
        }
    }
}
