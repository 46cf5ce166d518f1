//! The identity headers and OAuth's `scope`, encoded so that every proxy reads them alike.

use crate::config::IdentityHeaders;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use keyward_runtime::{Acceptance, ActorId, Registry, Restrictions};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;

/// The characters to encode in a value: list separators, quotes and escapes. Non-ASCII characters
/// are always encoded.
const VALUE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(b',').add(b'\\');

/// The characters to encode in the parts of a scope: also the separators of the parts.
const SCOPE_PART: &AsciiSet = &VALUE.add(b':').add(b'/').add(b'*');

/// The value for "none", because a header must not be empty.
const NONE: &str = "-";

/// Sets every identity header, also those without a value: a missing one could be the client's own.
pub(crate) fn set_headers(
    headers: &mut HeaderMap,
    names: &IdentityHeaders,
    registry: &Registry,
    acceptance: &Acceptance,
) {
    let actor = acceptance.actor_ignoring_restrictions();
    let Acceptance { handler, restrictions, token_id, expires_at, .. } = acceptance;
    let IdentityHeaders { subject, token_id: id, scopes: scope, handler: by, expires } = names;
    let scopes = match restrictions.as_ref().map(|restrictions| scopes(registry, restrictions)) {
        None => Cow::Borrowed("*"),
        Some(nothing) if nothing.is_empty() => Cow::Borrowed(NONE),
        Some(scopes) => Cow::Owned(scopes),
    };
    // Five identity headers, and those of every response.
    headers.reserve(8);
    for (name, text) in [
        (subject, value(actor.id().map(ActorId::as_str))),
        (id, value(token_id.as_deref())),
        (scope, scopes),
        (by, value(Some(handler))),
        (expires, expires_at.map_or(Cow::Borrowed(NONE), |time| Cow::Owned(time.seconds.to_string()))),
    ] {
        let text = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(NONE));
        headers.insert(name, text);
    }
}

/// Encodes a value, or returns `-` if there is none. A value of `-` is encoded.
fn value(text: Option<&str>) -> Cow<'_, str> {
    match text {
        None | Some("") => Cow::Borrowed(NONE),
        Some(NONE) => Cow::Borrowed("%2D"),
        Some(text) => utf8_percent_encode(text, VALUE).into(),
    }
}

/// Returns a token's restrictions as scopes (RFC 6749 section 3.3): `ACTION`, `ACTION:DATABASE`,
/// `ACTION:DATABASE/RESOURCE`, with full action names where the registry knows them. Empty if the
/// token allows nothing.
pub(crate) fn scopes(registry: &Registry, restrictions: &Restrictions) -> String {
    let scopes = restrictions
        .iter()
        .map(|(action, database, resource)| scope(registry.action(action).unwrap_or(action), database, resource));
    scopes.collect::<Vec<_>>().join(" ")
}

/// Returns one restriction of a token as a scope. Names are percent-encoded, so that scopes are
/// unambiguous.
pub fn scope(action: &str, database: Option<&str>, resource: Option<&str>) -> String {
    let part = |text| utf8_percent_encode(text, SCOPE_PART);
    match (database, resource) {
        (Some(database), Some(resource)) => format!("{}:{}/{}", part(action), part(database), part(resource)),
        (Some(database), None) => format!("{}:{}", part(action), part(database)),
        // A scope of `-` alone would mean "none".
        (None, _) if action == NONE => "%2D".to_owned(),
        (None, _) => part(action).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    #[test]
    fn values_are_encoded() {
        for (text, wanted) in [
            (None, "-"),
            (Some("root"), "root"),
            (Some("-"), "%2D"),
            (Some("partner:7"), "partner:7"),
            (Some("a, b"), "a%2C%20b"),
            (Some("100%"), "100%25"),
            (Some("é\n"), "%C3%A9%0A"),
        ] {
            assert_eq!(value(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn separators_in_a_scope_are_encoded() {
        assert_eq!(scope("view-table", None, None), "view-table");
        assert_eq!(scope("view-table", Some("a/b"), None), "view-table:a%2Fb");
        assert_eq!(scope("view-table", Some("a"), Some("b c:d")), "view-table:a/b%20c%3Ad");
        assert_eq!(scope("*", None, None), "%2A");
        assert_eq!(scope("-", None, None), "%2D");
    }

    fn decoded(text: &str) -> String {
        percent_decode_str(text).decode_utf8().unwrap().into_owned()
    }

    proptest! {
        #[test]
        fn values_round_trip_through_a_header(text in prop_oneof![any::<String>(), "(%2[0-9a-f]|[-%,\\\\\" a\r\n]){1,4}"]) {
            let encoded = value(Some(&text));
            prop_assert!(HeaderValue::from_str(&encoded).is_ok() && !encoded.is_empty());
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b",\"\\".contains(&byte)));
            prop_assert_eq!(encoded == NONE, text.is_empty());
            prop_assert!(text.is_empty() || decoded(&encoded) == text);
        }

        /// Scopes separated by spaces can be split into the parts that they were built from.
        #[test]
        fn scopes_are_unambiguous(parts in prop::collection::vec((part(), prop::option::of((part(), prop::option::of(part())))), 1..4)) {
            let scopes = parts.iter().map(|(action, target)| {
                let (database, resource) = match target {
                    Some((database, resource)) => (Some(database.as_str()), resource.as_deref()),
                    None => (None, None),
                };
                scope(action, database, resource)
            });
            let text = scopes.collect::<Vec<_>>().join(" ");
            prop_assert!(HeaderValue::from_str(&text).is_ok() && !text.contains(['*', '"', '\\']));
            let read = text.split(' ').map(|scope| match scope.split_once(':') {
                None => (decoded(scope), None),
                Some((action, target)) => {
                    let (database, resource) = target.split_once('/').map_or((target, None), |(database, resource)| (database, Some(resource)));
                    (decoded(action), Some((decoded(database), resource.map(decoded))))
                }
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), parts);
        }
    }

    /// The name of an action, a database or a resource.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z:/* %-]{1,6}", "\\PC{0,5}", any::<String>()]
    }
}
