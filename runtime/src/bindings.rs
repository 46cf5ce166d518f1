//! Bindings generated from `wit/`, and the conversions between the generated types and the crate's
//! own.

use crate::clock::UnixTime;
use crate::counts::Counter;
use crate::error::ErrorKind;
use crate::policy::Proposal;
use crate::queries::{QueryValue, Rows};
use crate::sanitize::{escape_untrusted, redact_token};
use crate::session;
use crate::store::{Record, Termination, TerminationReason};
use crate::verdict::{self, CreateRequest, Reason, Restrictions};
use std::borrow::Cow;
use std::sync::Arc;

#[allow(
    clippy::allow_attributes,
    dead_code,
    unused_qualifications,
    unreachable_pub,
    missing_debug_implementations,
    reason = "generated"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "token-and-session",
        imports: {
            default: async | trappable,
        },
    });
}

pub(crate) use generated::exports::keyward::handler::session_handler::SessionRequest;
pub(crate) use generated::exports::keyward::handler::token_handler::{Created, Verdict};
pub(crate) use generated::keyward::handler::*;

/// The result of a handler's `verify`, without the failures.
#[expect(clippy::large_enum_variant, reason = "one per call, created and destructured immediately")]
pub(crate) enum Answer {
    Proposal(Proposal),
    NotMine,
    Rejected(Reason, String),
}

/// A sanitizer for text from a handler that humans will read: on one line, truncated, and without
/// the token under verification, or the values of a session.
pub(crate) struct Redactor<'a> {
    pub(crate) max: usize,
    pub(crate) token: &'a str,
    pub(crate) values: &'a [Arc<str>],
    /// Counts the texts that contained one of them.
    pub(crate) redactions: &'a Counter,
}

impl Redactor<'_> {
    pub(crate) fn show(&self, text: &str) -> String {
        let mut shown = redact_token(text, self.token);
        for value in self.values {
            shown = Cow::Owned(redact_token(&shown, value).into_owned());
        }
        if *shown != *text {
            self.redactions.count();
        }
        escape_untrusted(&shown, self.max)
    }
}

pub(crate) fn answer(verdict: Verdict, words: &Redactor<'_>) -> Answer {
    match verdict {
        Verdict::Accepted(types::Acceptance { actor, restrictions, token_id, issued_at, expires_at }) => {
            Answer::Proposal(Proposal {
                actor,
                restrictions: restrictions.map(restrictions_in),
                token_id,
                issued_at: issued_at.map(UnixTime::from_seconds),
                expires_at: expires_at.map(UnixTime::from_seconds),
            })
        }
        Verdict::NotMine => Answer::NotMine,
        Verdict::Rejected(types::Rejection { reason, message }) => {
            let reason = match reason {
                types::Reason::Malformed => Reason::Malformed,
                types::Reason::BadSignature => Reason::BadSignature,
                types::Reason::Expired => Reason::Expired,
                types::Reason::NotYetValid => Reason::NotYetValid,
                types::Reason::Revoked => Reason::Revoked,
                types::Reason::Disabled => Reason::Disabled,
                types::Reason::Unknown => Reason::Unknown,
            };
            Answer::Rejected(reason, words.show(&message))
        }
    }
}

pub(crate) fn fault(failure: types::Failure, words: &Redactor<'_>) -> ErrorKind {
    match failure {
        types::Failure::Unavailable(text) => ErrorKind::Unavailable(words.show(&text)),
        types::Failure::Internal(text) => ErrorKind::Internal(words.show(&text)),
    }
}

pub(crate) fn denied(denied: types::CreateDenied, words: &Redactor<'_>) -> (verdict::Denial, String) {
    let types::CreateDenied { denial, message } = denied;
    let denial = match denial {
        types::Denial::Disabled => verdict::Denial::Disabled,
        types::Denial::InvalidRequest => verdict::Denial::InvalidRequest,
        types::Denial::NotPermitted => verdict::Denial::NotPermitted,
    };
    (denial, words.show(&message))
}

pub(crate) fn request_out(request: &CreateRequest) -> types::CreateRequest {
    let CreateRequest { handler: _, actor_id, expires_after, restrictions, description, parent: _, client: _ } =
        request;
    types::CreateRequest {
        actor_id: actor_id.clone(),
        expires_after: expires_after.map(Into::into),
        restrictions: restrictions.clone().map(restrictions_out),
        description: description.clone(),
    }
}

/// Converts the part of a session's request that its handler sees.
pub(crate) fn session_out(request: session::SessionRequest) -> SessionRequest {
    let session::SessionRequest { method, path, headers, cookies } = request;
    SessionRequest { method, path, headers, cookies }
}

/// Converts a [`Record`] to the part that its handler may see.
pub(crate) fn token_out(record: &Record) -> store::Token {
    let Record { id, actor_id, restrictions, issued_at, expires_at, ended, .. } = record;
    store::Token {
        id: id.clone(),
        actor_id: actor_id.clone(),
        restrictions: restrictions.clone().map(restrictions_out),
        issued_at: issued_at.seconds,
        expires_at: expires_at.map(|end| end.seconds),
        ended: ended.map(|Termination { at: _, why }| match why {
            TerminationReason::Revoked => store::Ending::Revoked,
            TerminationReason::Replaced => store::Ending::Replaced,
        }),
    }
}

/// Converts a query parameter from a handler to a [`QueryValue`].
pub(crate) fn value_in(value: queries::Value) -> QueryValue {
    match value {
        queries::Value::Null => QueryValue::Null,
        queries::Value::Integer(integer) => QueryValue::Integer(integer),
        queries::Value::Real(real) => QueryValue::Real(real),
        queries::Value::Text(text) => QueryValue::Text(text),
        queries::Value::Blob(bytes) => QueryValue::Blob(bytes),
    }
}

/// Converts the [`Rows`] of a query for a handler.
pub(crate) fn rows_out(rows: Rows) -> queries::Answer {
    let Rows { columns, rows } = rows;
    let value = |value| match value {
        QueryValue::Null => queries::Value::Null,
        QueryValue::Integer(integer) => queries::Value::Integer(integer),
        QueryValue::Real(real) => queries::Value::Real(real),
        QueryValue::Text(text) => queries::Value::Text(text),
        QueryValue::Blob(bytes) => queries::Value::Blob(bytes),
    };
    let rows = rows.into_iter().map(|row| row.into_iter().map(value).collect());
    queries::Answer { columns, rows: rows.collect() }
}

fn restrictions_out(restrictions: Restrictions) -> types::Restrictions {
    let Restrictions { all, database, resource } = restrictions;
    let resource = resource
        .into_iter()
        .flat_map(|(database, entries)| {
            entries.into_iter().map(move |(resource, actions)| (database.clone(), resource, actions))
        })
        .collect();
    types::Restrictions { all, database: database.into_iter().collect(), resource }
}

/// Converts [`Restrictions`] from a handler. Merges repeated databases and resources, because a
/// JSON object must not repeat a name.
fn restrictions_in(restrictions: types::Restrictions) -> Restrictions {
    let types::Restrictions { all, database, resource } = restrictions;
    let mut merged = Restrictions { all, ..Restrictions::default() };
    for (database, actions) in database {
        merged.database.entry(database).or_default().extend(actions);
    }
    for (database, resource, actions) in resource {
        merged.resource.entry(database).or_default().entry(resource).or_default().extend(actions);
    }
    merged
}
