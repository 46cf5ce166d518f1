//! One line of the log for each decision: who asked, about whom, what was decided and by which component. Never a token.

use crate::context::Context;
use crate::decision::entry;
use keyward_audit::{Entry, Event};
use keyward_runtime::{
    Acceptance, Created, Creation, Denied, Error, Record, Rejection, Requested, Revocation, Verdict, is_hidden,
};
use std::borrow::Cow;

/// What was asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    /// The endpoint, such as `introspect`.
    pub(crate) endpoint: &'static str,
    /// The caller that asked.
    pub(crate) caller: Option<&'a str>,
    /// The policy that was applied.
    pub(crate) policy: Option<&'a str>,
    /// The method of the original request.
    pub(crate) method: Option<&'a str>,
    /// The path of the original request, without its query.
    pub(crate) path: Option<&'a str>,
}

/// The words for what is revoked, in log and audit. They never hold a token.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named<'a> {
    /// The actor whose tokens they are.
    pub(crate) actor: Option<&'a str>,
    /// The id of the token.
    pub(crate) token_id: Option<&'a str>,
    /// More for the operator.
    pub(crate) note: Option<&'a str>,
}

/// Replaces, in log and audit, a text that looks like a token where an id should be.
const REDACTED: &str = "[redacted: looks like a token]";

impl<'a> Named<'a> {
    /// Names what a client has asked for.
    pub(crate) fn of(requested: &'a Requested) -> Self {
        let Requested { revocation: Revocation { actor_id, token_id, .. }, is_like_a_token, .. } = requested;
        if *is_like_a_token {
            // The digest replaces the id.
            let token_id = actor_id.is_none().then_some(REDACTED);
            return Self { actor: actor_id.as_ref().map(|_| REDACTED), token_id, note: None };
        }
        Self { actor: actor_id.as_deref(), token_id: token_id.as_deref(), note: None }
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, Default)]
struct Decided<'a> {
    outcome: &'static str,
    /// Why, where it is no yes.
    reason: Option<&'a str>,
    handler: Option<&'a str>,
    actor: Option<&'a str>,
    token_id: Option<&'a str>,
    /// The handler's own word or the error's text, for the operator.
    detail: Option<&'a str>,
}

/// A token was judged. `granted` is false where it is good and the policy refuses it all the same.
pub(crate) fn verified(context: &Context, asked: Asked<'_>, verdict: &Result<Verdict, Error>, granted: bool) {
    let error = verdict.as_ref().err().map(Error::to_string);
    let decided = match verdict {
        Ok(Verdict::Accepted(Acceptance { handler, actor, token_id, .. })) => Decided {
            outcome: if granted { "accepted" } else { "refused" },
            reason: (!granted).then_some("insufficient-scope"),
            handler: Some(handler),
            actor: actor.id(),
            token_id: token_id.as_deref(),
            detail: None,
        },
        Ok(Verdict::NotMine) => Decided { outcome: "not-mine", ..Decided::default() },
        Ok(Verdict::Rejected(Rejection { handler, reason, message: _ })) => Decided {
            outcome: "rejected",
            reason: Some(reason.as_str()),
            handler: handler.as_deref(),
            ..Decided::default()
        },
        Err(fault) => Decided {
            outcome: "failed",
            reason: Some(fault.code()),
            handler: fault.handler(),
            detail: error.as_deref(),
            ..Decided::default()
        },
    };
    write(context, asked, decided);
    if decided.outcome != "accepted" {
        note(context, asked, decided);
    }
}

/// A token was asked for.
pub(crate) fn created(context: &Context, asked: Asked<'_>, actor: &str, creation: &Result<Creation, Error>) {
    match creation {
        Ok(Creation::Created(Created { handler, token: _, token_id, expires_at: _, key: _ })) => {
            write(
                context,
                asked,
                Decided {
                    outcome: "created",
                    handler: Some(handler),
                    actor: Some(actor),
                    token_id: token_id.as_deref(),
                    ..Decided::default()
                },
            );
        }
        Ok(Creation::Denied(Denied { handler, denial, message: _ })) => write(
            context,
            asked,
            Decided {
                outcome: "denied",
                reason: Some(denial.as_str()),
                handler: handler.as_deref(),
                actor: Some(actor),
                ..Decided::default()
            },
        ),
        Err(error) => failed(context, asked, error),
    }
}

/// Tokens were taken back, or counted only: `done` says which. A number of records is what came of it.
pub(crate) fn revoked(
    context: &Context,
    asked: Asked<'_>,
    which: &Revocation,
    named: Named<'_>,
    done: &'static str,
    records: &Result<u64, Error>,
) {
    let Revocation { handler, issued_until, .. } = which;
    let Named { actor, token_id, note } = named;
    let note = note.map(|note| format!("{note}; ")).unwrap_or_default();
    let until = issued_until.map(|until| format!("issued until {until}; ")).unwrap_or_default();
    let (outcome, reason, detail) = match records {
        Ok(records) => (done, None, format!("{note}{until}records: {records}")),
        Err(error) => ("failed", Some(error.code()), format!("{note}{until}{error}")),
    };
    let handler = handler.as_deref();
    write(context, asked, Decided { outcome, reason, handler, actor, token_id, detail: Some(&detail) });
}

/// A good token was not taken for what it was presented for.
pub(crate) fn refused(context: &Context, asked: Asked<'_>, acceptance: &Acceptance, reason: &'static str) {
    let Acceptance { handler, actor, token_id, .. } = acceptance;
    let decided = Decided {
        outcome: "refused",
        reason: Some(reason),
        handler: Some(handler),
        actor: actor.id(),
        token_id: token_id.as_deref(),
        detail: None,
    };
    write(context, asked, decided);
    note(context, asked, decided);
}

/// Something was asked about a record, by whoever may see it or not. `reason` and `detail` go with the outcome.
pub(crate) fn recorded(
    context: &Context,
    asked: Asked<'_>,
    (handler, record): (&str, &Record),
    (outcome, reason): (&'static str, Option<&'static str>),
    detail: Option<&str>,
) {
    let Record { id, actor_id, .. } = record;
    let (handler, actor, token_id) = (Some(handler), Some(actor_id.as_str()), Some(id.as_str()));
    write(context, asked, Decided { outcome, reason, handler, actor, token_id, detail });
}

/// Records were listed. The actor is named where there are any of theirs: any other text that was sent may be a token.
pub(crate) fn listed(context: &Context, asked: Asked<'_>, handler: Option<&str>, actor: Option<&str>, records: usize) {
    let (actor, detail) = (actor.filter(|_| records > 0), format!("records: {records}"));
    write(context, asked, Decided { outcome: "listed", handler, actor, detail: Some(&detail), ..Decided::default() });
}

/// It was decided without asking about a token: there is none, or no single one, or the request itself is refused.
pub(crate) fn without_token(context: &Context, asked: Asked<'_>, outcome: &'static str) {
    let decided = Decided { outcome, ..Decided::default() };
    write(context, asked, decided);
    note(context, asked, decided);
}

/// There is no answer.
pub(crate) fn failed(context: &Context, asked: Asked<'_>, error: &Error) {
    let detail = error.to_string();
    let decided = Decided {
        outcome: "failed",
        reason: Some(error.code()),
        handler: error.handler(),
        detail: Some(&detail),
        ..Decided::default()
    };
    write(context, asked, decided);
}

/// What was refused is in the audit too, or how much of it there was. What was let in is not: that is for the log.
fn note(context: &Context, asked: Asked<'_>, decided: Decided<'_>) {
    let Some(audit) = &context.audit else { return };
    let Decided { outcome, reason, handler, actor, token_id, detail } = decided;
    audit.note(Entry {
        actor: actor.map(str::to_owned),
        token_id: token_id.map(str::to_owned),
        outcome: Some(outcome.to_owned()),
        reason: reason.map(str::to_owned),
        detail: detail.map(str::to_owned),
        ..entry(context, Event::Verify, asked.caller, handler)
    });
}

fn write(context: &Context, asked: Asked<'_>, decided: Decided<'_>) {
    let Asked { endpoint, caller, policy, method, path } = asked;
    let Decided { outcome, reason, handler, actor, token_id, detail } = decided;
    let digest = handler.and_then(|name| context.live.digests.get(name));
    let actor = actor.map(visible);
    let path = path.map(beginning);
    tracing::info!(
        target: "keyward::decision",
        request_id = context.id.as_str(),
        peer = %context.peer,
        endpoint,
        caller,
        policy,
        method,
        path = path.as_deref(),
        outcome,
        reason,
        handler,
        handler_sha256 = digest.map(String::as_str),
        actor = actor.as_deref(),
        token_id,
        detail,
        "decision"
    );
}

/// How much of a path is logged. Whoever asks may choose a long one, and lines wait in memory until somebody takes them.
const MAX_PATH: usize = 1_024;

/// A path, or its beginning.
fn beginning(path: &str) -> Cow<'_, str> {
    match path.get(..MAX_PATH) {
        Some(beginning) if beginning.len() < path.len() => Cow::Owned(format!("{beginning}…")),
        _ => Cow::Borrowed(path),
    }
}

/// An actor's id, with the characters escaped that a reader of the log could not see.
fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_hidden) {
        let escape = |c: char| if is_hidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
        return Cow::Owned(text.chars().map(escape).collect());
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_makes_no_long_line() {
        assert_eq!(beginning("/a"), "/a");
        let longest = "/".repeat(MAX_PATH);
        assert_eq!(beginning(&longest), longest);
        assert_eq!(beginning(&"/".repeat(30_000)), longest + "…");
    }
}
