//! Who it is, for headers and for the `scope` of OAuth: text that no proxy can read in two ways.

use crate::config::IdentityHeaders;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use keyward_runtime::{Acceptance, Registry, Restrictions};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;

/// What a value must not hold as it is: list separators, quotes and escapes. What is not ASCII is encoded anyway.
const VALUE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(b',').add(b'\\');

/// In the parts of a scope also what stands between them.
const SCOPE_PART: &AsciiSet = &VALUE.add(b':').add(b'/').add(b'*');

/// "None", in a header that must not be empty.
const NONE: &str = "-";

/// Sets every identity header, whatever the token says or leaves out: one that were missing could be the client's own.
pub(crate) fn set_headers(
    headers: &mut HeaderMap,
    names: &IdentityHeaders,
    registry: &Registry,
    acceptance: &Acceptance,
) {
    let Acceptance { handler, actor, restrictions, token_id, issued_at: _, expires_at, key: _, .. } = acceptance;
    let IdentityHeaders { subject, token_id: id, scopes: scope, handler: by, expires } = names;
    let scopes = match restrictions.as_ref().map(|restrictions| scopes(registry, restrictions)) {
        None => Cow::Borrowed("*"),
        Some(nothing) if nothing.is_empty() => Cow::Borrowed(NONE),
        Some(scopes) => Cow::Owned(scopes),
    };
    // These, and a few that every answer has.
    headers.reserve(8);
    for (name, text) in [
        (subject, value(actor.id())),
        (id, value(token_id.as_deref())),
        (scope, scopes),
        (by, value(Some(handler))),
        (expires, expires_at.map_or(Cow::Borrowed(NONE), |time| Cow::Owned(time.to_string()))),
    ] {
        let text = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(NONE));
        headers.insert(name, text);
    }
}

/// A value that is there and no `-`, or `-`.
fn value(text: Option<&str>) -> Cow<'_, str> {
    match text {
        None | Some("") => Cow::Borrowed(NONE),
        Some(NONE) => Cow::Borrowed("%2D"),
        Some(text) => utf8_percent_encode(text, VALUE).into(),
    }
}

/// What a token is restricted to, as scopes (RFC 6749 section 3.3): `ACTION`, `ACTION:DATABASE`, `ACTION:DATABASE/RESOURCE`,
/// with full action names where the registry knows them. Empty where the token allows nothing.
pub(crate) fn scopes(registry: &Registry, restrictions: &Restrictions) -> String {
    let scopes = restrictions
        .iter()
        .map(|(action, database, resource)| scope(registry.action(action).unwrap_or(action), database, resource));
    scopes.collect::<Vec<_>>().join(" ")
}

/// Returns what a token allows by one restriction as a scope: names are percent-encoded, so that none passes for two.
pub fn scope(action: &str, database: Option<&str>, resource: Option<&str>) -> String {
    let part = |text| utf8_percent_encode(text, SCOPE_PART);
    match (database, resource) {
        (Some(database), Some(resource)) => format!("{}:{}/{}", part(action), part(database), part(resource)),
        (Some(database), None) => format!("{}:{}", part(action), part(database)),
        // Alone it would look like no scope at all.
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
    fn values_cannot_be_misread() {
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
    fn the_parts_of_a_scope_cannot_run_together() {
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
        fn a_value_is_a_header_and_reads_back(text in prop_oneof![any::<String>(), "(%2[0-9a-f]|[-%,\\\\\" a\r\n]){1,4}"]) {
            let encoded = value(Some(&text));
            prop_assert!(HeaderValue::from_str(&encoded).is_ok() && !encoded.is_empty());
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b",\"\\".contains(&byte)));
            prop_assert_eq!(encoded == NONE, text.is_empty());
            prop_assert!(text.is_empty() || decoded(&encoded) == text);
        }

        /// Scopes that are separated by spaces are taken apart again into what they were made of.
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

    /// A name of an action, a database or a resource.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z:/* %-]{1,6}", "\\PC{0,5}", any::<String>()]
    }
}
