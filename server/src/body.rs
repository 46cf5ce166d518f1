//! Request bodies: bounded in size and time, of one content type, parsed strictly.

use crate::context::Context;
use crate::error::{ApiError, BodyProblem};
use crate::slots::Slot;
use axum::body::{Body, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::Body as _;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use keyward_runtime::clock::UnixTime;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor,
};
use serde_json::Number;
use std::fmt;
use std::marker::PhantomData;
use std::mem;

/// The error descriptions of a 415.
const FORM: &str = "Send `application/x-www-form-urlencoded`, not compressed";
const JSON: &str = "Send `application/json`, not compressed";

/// The parameters of a form body (RFC 6749 appendix B). Unknown parameters are ignored.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form from a request body.
    pub(crate) async fn receive(context: &Context, headers: &HeaderMap, body: Body) -> Result<Self, ApiError> {
        Self::parse(&form(context, headers, body).await?)
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
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => {
                let problem = BodyProblem::Repeated(name);
                Err(ApiError::InvalidBody { problem, wanted: "send each parameter once" })
            }
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
/// members are rejected if `T` denies them. `wanted` is the error description for any other body,
/// with the name of each member in backticks.
pub(crate) async fn json<T: DeserializeOwned>(
    context: &Context,
    headers: &HeaderMap,
    body: Body,
    wanted: &'static str,
) -> Result<T, ApiError> {
    has_type(headers, "application/json", ApiError::UnsupportedMediaType(JSON))?;
    let bytes = receive(context, body).await?;
    parse(&bytes).map_err(|position| ApiError::InvalidBody { problem: position.problem(wanted), wanted })
}

/// Parses a JSON object. The error is the position of the first mistake.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Position> {
    let mut position = Position::Elsewhere;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = deserializer.deserialize_map(Members { position: &mut position, target: PhantomData });
    match read.and_then(|read| deserializer.end().map(|()| read)) {
        Ok(read) => Ok(read),
        Err(_) => Err(position),
    }
}

/// A position in a JSON object, with the name of the member as the client wrote it.
#[derive(Debug, PartialEq, Eq)]
enum Position {
    /// Before the first member, after the last one, or not in an object.
    Elsewhere,
    /// The name of a member.
    Name(String),
    /// The value of a member.
    Value(String),
}

impl Position {
    /// Returns the problem at this position. Only names that `wanted` has are repeated: any other
    /// may be a token.
    fn problem(&self, wanted: &'static str) -> BodyProblem {
        let known = |name: &str| wanted.split('`').skip(1).step_by(2).find(|known| *known == name);
        match self {
            Self::Elsewhere => BodyProblem::Other,
            Self::Name(name) => known(name).map_or(BodyProblem::UnknownMember, BodyProblem::Repeated),
            Self::Value(name) => known(name).map_or(BodyProblem::UnknownMember, BodyProblem::BadValue),
        }
    }
}

/// The visitor of a JSON object, which keeps the position.
struct Members<'p, T> {
    position: &'p mut Position,
    target: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(Followed { map, position: self.position }))
    }
}

/// Access to the members of an object, which keeps the position.
struct Followed<'p, A> {
    map: A,
    position: &'p mut Position,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Followed<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        *self.position = Position::Elsewhere;
        let Some(name) = self.map.next_key::<String>()? else { return Ok(None) };
        *self.position = Position::Name(name.clone());
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        if let Position::Name(name) = self.position {
            *self.position = Position::Value(mem::take(name));
        }
        self.map.next_value_seed(seed)
    }
}

/// A value read from a JSON object. Serde alone would also accept an array of the members' values.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut position = Position::Elsewhere;
        deserializer.deserialize_map(Members { position: &mut position, target: PhantomData }).map(Self)
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

/// Reads the bytes of a form.
pub(crate) async fn form(context: &Context, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    has_type(headers, "application/x-www-form-urlencoded", ApiError::UnsupportedMediaType(FORM))?;
    receive(context, body).await
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

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[serde(default, deserialize_with = "second")]
        #[expect(dead_code, reason = "only its parsing is tested")]
        end: Option<u64>,
        #[expect(dead_code, reason = "only its parsing is tested")]
        name: String,
    }

    #[test]
    fn the_problem_names_the_member() {
        const WANTED: &str = "send `name`, and optionally `end` (unix seconds)";
        for (text, problem) in [
            (r#"{"name":"x","end":-1}"#, Some(BodyProblem::BadValue("end"))),
            (r#"{"name":"x","end":"1"}"#, Some(BodyProblem::BadValue("end"))),
            (r#"{"end":null,"name":"x"}"#, Some(BodyProblem::BadValue("end"))),
            (r#"{"name":1}"#, Some(BodyProblem::BadValue("name"))),
            (r#"{"name":"x","name":"y"}"#, Some(BodyProblem::Repeated("name"))),
            (r#"{"name":"x","dstok_x":1}"#, Some(BodyProblem::UnknownMember)),
            (r#"{"":1}"#, Some(BodyProblem::UnknownMember)),
            (r#"{"name":"x"} {}"#, Some(BodyProblem::Other)),
            (r#"{"end":1}"#, Some(BodyProblem::Other)),
            (r#"["x"]"#, Some(BodyProblem::Other)),
            ("", Some(BodyProblem::Other)),
            (r#"{"name":"x","end":1}"#, None),
        ] {
            let problem_of = |position: Position| position.problem(WANTED);
            assert_eq!(parse::<Example>(text.as_bytes()).err().map(problem_of), problem, "{text}");
        }
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
            for name in ["a", "b", "", "token"] {
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
