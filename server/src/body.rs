//! Request bodies: bounded in size and time, of one content type, parsed strictly.

use crate::context::Context;
use crate::error::ApiError;
use crate::slots::Slot;
use axum::body::{Body, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::Body as _;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use keyward_runtime::UnixTime;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Number;
use std::fmt;
use std::marker::PhantomData;

/// The error descriptions of a 415.
const FORM: &str = "Send `application/x-www-form-urlencoded`, not compressed";
const JSON: &str = "Send `application/json`, not compressed";

/// The parameters of a form body (RFC 6749 appendix B). Unknown parameters are ignored.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form from a request body.
    pub(crate) async fn receive(context: &Context, headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        has_type(headers, "application/x-www-form-urlencoded", ApiError::UnsupportedMediaType(FORM))?;
        Self::parse(&receive(context, body).await?)
    }

    fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        if std::str::from_utf8(bytes).is_err() {
            return Err(ApiError::InvalidRequest("The body is not UTF-8"));
        }
        Ok(Self(form_urlencoded::parse(bytes).into_owned().collect()))
    }

    /// Returns the value of a parameter, or `None` if it is missing.
    ///
    /// # Errors
    /// The parameter occurs more than once (RFC 6749 section 3.2).
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => Err(ApiError::InvalidRequest("A parameter occurs more than once in the body")),
        }
    }

    /// Returns the parameter `token`. A `token_type_hint` is ignored (RFC 7662 section 2.1, RFC
    /// 7009 section 2.1).
    pub(crate) fn token(&self) -> Result<&str, ApiError> {
        let token = self.one("token")?.ok_or(ApiError::InvalidRequest("The parameter `token` is missing"))?;
        self.one("token_type_hint").map(|_| token)
    }
}

/// Reads a JSON object: UTF-8 without a byte order mark, with nothing after the object. Unknown
/// members are rejected if `T` denies them. `wanted` is the error description for any other body.
pub(crate) async fn json<T: DeserializeOwned>(
    context: &Context,
    headers: &HeaderMap,
    body: Body,
    wanted: &'static str,
) -> Result<T, ApiError> {
    has_type(headers, "application/json", ApiError::UnsupportedMediaType(JSON))?;
    let bytes = receive(context, body).await?;
    let Object(read) = serde_json::from_slice(&bytes).map_err(|_| ApiError::InvalidRequest(wanted))?;
    Ok(read)
}

/// A value read from a JSON object. Serde alone would also accept an array of the members' values.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// Returns the number if it is whole and at most `max`. `3600.0` is whole, as in JSON Schema.
pub(crate) fn whole(number: &Number, max: u64) -> Option<u64> {
    // Up to 2^53, below which every integer has an exact `f64`.
    let exact = |number: &f64| number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(number);
    let whole = number.as_u64().or_else(|| number.as_f64().filter(exact).map(|number| number as u64));
    whole.filter(|whole| *whole <= max)
}

/// Deserializes a member that may be missing, but not null.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Deserializes a member that may be missing, but otherwise is a time in unix seconds.
pub(crate) fn second<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let second = whole(&Number::deserialize(deserializer)?, UnixTime::MAX_SECONDS);
    second.map(Some).ok_or_else(|| D::Error::custom("not a time in unix seconds"))
}

/// Checks that there is exactly one `Content-Type`, `wanted`, with no parameter other than
/// `charset=utf-8`, and no `Content-Encoding`.
fn has_type(headers: &HeaderMap, wanted: &str, problem: ApiError) -> Result<(), ApiError> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(problem);
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return Err(problem) };
    let mut parts = value.to_str().map_err(|_| problem)?.split(';').map(str::trim);
    let matches = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(wanted));
    let in_utf8 = parts.all(|part| {
        part.split_once('=').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    });
    if matches && in_utf8 { Ok(()) } else { Err(problem) }
}

async fn receive(context: &Context, body: Body) -> Result<Bytes, ApiError> {
    let limits = &context.live.config.limits;
    let max = u64::try_from(limits.body_bytes).unwrap_or(u64::MAX);
    if body.size_hint().lower() > max {
        return Err(ApiError::TooLarge);
    }
    let received = tokio::time::timeout(limits.body_time, Limited::new(body, limits.body_bytes).collect());
    let received = match &context.slot {
        Some(Slot::Form(slot)) => {
            let received = tokio::select! {
                received = received => received,
                () = slot.lost() => return Err(ApiError::Overloaded),
            };
            if !slot.keeps() {
                return Err(ApiError::Overloaded);
            }
            received
        }
        _ => received.await,
    };
    match received {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge),
        Ok(Err(_)) => Err(ApiError::InvalidRequest("The body is incomplete")),
        Err(_) => Err(ApiError::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_wanted_content_type_is_accepted() {
        let check = |values: &[&str], encoding: bool| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, value.parse().unwrap());
            }
            if encoding {
                headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
            }
            has_type(&headers, "application/json", ApiError::UnsupportedMediaType(JSON)).is_ok()
        };
        for fine in [
            "application/json",
            "Application/JSON",
            "application/json; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(check(&[fine], false), "{fine}");
            assert!(!check(&[fine], true), "{fine}, compressed");
            assert!(!check(&[fine, fine], false), "{fine}, twice");
        }
        for other in ["", "text/json", "application/json; charset=utf-16", "application/json; q", "application/jsonx"] {
            assert!(!check(&[other], false), "{other}");
        }
        assert!(!check(&[], false));
    }

    #[test]
    fn repeated_parameters_are_rejected() {
        let form = Form::parse(b"a=1&b=2&a=3&c=").ok().unwrap();
        assert!(form.one("a").is_err());
        assert_eq!(form.one("b").unwrap(), Some("2"));
        assert_eq!(form.one("c").unwrap(), Some(""));
        assert_eq!(form.one("d").unwrap(), None);
    }

    proptest! {
        /// Parsing a serialized form returns every value whose name is unique, and an error for
        /// every name that is repeated.
        #[test]
        fn forms_are_read_as_they_are_written(pairs in prop::collection::vec(("[ab]|\\PC{0,4}", any::<String>()), 0..6)) {
            let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let form = Form::parse(text.as_bytes()).ok().unwrap();
            for name in pairs.iter().map(|(name, _)| name.as_str()).chain(["a", "b", "token"]) {
                let values: Vec<_> = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
                match values[..] {
                    [] => prop_assert_eq!(form.one(name), Ok(None)),
                    [value] => prop_assert_eq!(form.one(name), Ok(Some(value))),
                    _ => prop_assert!(form.one(name).is_err()),
                }
            }
        }

        #[test]
        fn any_utf8_is_a_form(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Form::parse(&bytes).is_ok(), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
