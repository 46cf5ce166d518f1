//! The request of a session, from the headers of a proxied request.

use crate::proxied_request::ProxiedRequest;
use hyper::HeaderMap;
use keyward_runtime::session::SessionRequest;

/// Returns the request whose user is to be identified, or `None` if its method is not known.
/// Headers and cookies that are not ASCII are left out.
pub(crate) fn request(original: &ProxiedRequest, headers: &HeaderMap) -> Option<SessionRequest> {
    let path = original.path.as_deref().unwrap_or("/");
    let mut request = SessionRequest::new(original.method.as_deref()?, path);
    for (name, value) in headers {
        request = request.received(name.as_str(), value.as_bytes());
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{COOKIE, HeaderValue};

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
}
