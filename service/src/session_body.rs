//! A request whose user is to be identified, in JSON, the same on the command line and over HTTP.

use keyward_runtime::session::SessionRequest;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
#[expect(unused_imports, reason = "the schema names it")]
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// A request to an application, of which the handler that identifies its user sees the part that
/// the operator grants.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_debug_implementations, reason = "cookies are secrets")]
#[non_exhaustive]
pub struct SessionBody {
    /// The session handler; may be omitted if there is only one that the client may use.
    pub handler: Option<String>,
    /// The method of the request.
    #[serde(default = "get")]
    #[schema(default = "GET")]
    method: String,
    /// The path of the request, without the query.
    #[serde(default = "root")]
    #[schema(default = "/")]
    path: String,
    /// The headers, by name, without `Cookie`.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    headers: Pairs,
    /// The cookies, by name.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    cookies: Pairs,
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

/// The members of an object whose values are texts. A name may occur more than once, as in a
/// request.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl SessionBody {
    /// Returns the request.
    ///
    /// # Errors
    /// Describes a member that could not be part of a request, or a bearer token among the headers.
    pub fn into_request(self) -> Result<SessionRequest, &'static str> {
        let Self { handler: _, method, path, headers, cookies } = self;
        if !(1..=32).contains(&method.len()) || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err("`method` is not the name of a method, such as `GET`");
        }
        if !path.starts_with('/') || path.contains(['?', '#']) || path.contains(char::is_control) {
            return Err("`path` does not begin with `/`, or has a query or a control character");
        }
        let mut request = SessionRequest::new(method, path);
        for (name, value) in headers.0 {
            if !is_token(&name) || value.contains(char::is_control) {
                return Err("a header has an invalid name or value");
            }
            let scheme = value.trim_start().split([' ', '\t']).next();
            let is_bearer = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
            if name.eq_ignore_ascii_case("authorization") && is_bearer {
                return Err(
                    "the request has a bearer token: verify the token instead; cookies do not count beside one",
                );
            }
            if name.eq_ignore_ascii_case("cookie") {
                return Err("the cookies of the request are in `cookies`, not in `headers`");
            }
            request = request.header(&name, value);
        }
        for (name, value) in cookies.0 {
            if !is_token(&name) || value.contains(|c: char| c.is_control() || c == ';') {
                return Err("a cookie has an invalid name or value");
            }
            request = request.cookie(name, value);
        }
        Ok(request)
    }
}

/// Returns whether `text` is a token of RFC 9110 section 5.6.2, as names of headers and cookies
/// are.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<SessionRequest, &'static str> {
        serde_json::from_str::<SessionBody>(json).map_err(|_| "JSON")?.into_request()
    }

    #[test]
    fn a_request_has_the_parts_of_its_json() {
        let wanted = SessionRequest::new("POST", "/a").header("x-a", "1").cookie("Sid", "a=b").cookie("Sid", "");
        let json = r#"{"method":"POST","path":"/a","headers":{"X-A":"1"},"cookies":{"Sid":"a=b","Sid":""}}"#;
        assert_eq!(request(json), Ok(wanted));
        assert_eq!(request("{}"), Ok(SessionRequest::new("GET", "/")));
        assert!(request(r#"{"headers":{"authorization":"Basic eDp5"}}"#).is_ok());
    }

    #[test]
    fn what_no_request_has_is_refused() {
        for json in [
            r#"{"method":"get"}"#,
            r#"{"method":""}"#,
            r#"{"path":"a"}"#,
            r#"{"path":"/a?b"}"#,
            r#"{"path":"/\u0000"}"#,
            r#"{"headers":{"a b":"1"}}"#,
            r#"{"headers":{"":"1"}}"#,
            r#"{"headers":{"a":"1\r\nb: 2"}}"#,
            r#"{"headers":{"Cookie":"a=b"}}"#,
            r#"{"headers":{"Authorization":"BEARER x"}}"#,
            r#"{"headers":{"Authorization":"bearer"}}"#,
            r#"{"headers":{"AUTHORIZATION":" Bearer  x"}}"#,
            r#"{"headers":{"a":1}}"#,
            r#"{"cookies":{"a":"1; b=2"}}"#,
            r#"{"cookies":{"a=b":"1"}}"#,
            r#"{"cookies":{"a":"\n"}}"#,
            r#"{"cookies":["a"]}"#,
            r#"{"cookie":{}}"#,
        ] {
            assert!(request(json).is_err(), "{json}");
        }
    }
}
