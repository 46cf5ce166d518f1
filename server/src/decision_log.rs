//! The decision log: one line for each request about tokens, with the client, the actor, the
//! outcome and the handler's component. It never contains a token.

use crate::context::Context;
use crate::endpoints::Endpoint;
use keyward_audit::{Entry, Event};
use keyward_runtime::store::{Record, Revocation};
use keyward_runtime::text::{needs_escape, suggest_name};
use keyward_runtime::token::TokenId;
use keyward_runtime::{Acceptance, ActorId, Created, Creation, Denied, Error, Registry, Rejection, Verdict};
use keyward_service::Named;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// The request that a decision answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DecisionContext<'a> {
    /// The endpoint, such as `introspect`.
    pub(crate) endpoint: &'static str,
    /// The client that sent the request.
    pub(crate) client: Option<&'a str>,
    /// The policy that was applied.
    pub(crate) policy: Option<&'a str>,
    /// The method of the original request.
    pub(crate) method: Option<&'a str>,
    /// The path of the original request, without its query.
    pub(crate) path: Option<&'a str>,
}

impl<'a> DecisionContext<'a> {
    /// Creates the context of a client's request to an endpoint.
    pub(crate) fn of(endpoint: &Endpoint, client: &'a str) -> Self {
        Self { endpoint: endpoint.name, client: Some(client), ..Self::default() }
    }
}

/// The outcome of a decision.
#[derive(Debug, Clone, Copy, Default)]
struct Decision<'a> {
    outcome: &'static str,
    /// The reason, unless the request succeeded.
    reason: Option<&'a str>,
    handler: Option<&'a str>,
    actor: Option<&'a str>,
    token_id: Option<&'a str>,
    /// More for the operator, such as the text of an error.
    detail: Option<&'a str>,
}

/// Logs a verification. `granted` is `false` if a policy refuses a valid token.
pub(crate) fn verified(context: &Context, asked: DecisionContext<'_>, verdict: &Result<Verdict, Error>, granted: bool) {
    let error = verdict.as_ref().err().map(Error::to_string);
    let decided = match verdict {
        Ok(Verdict::Accepted(acceptance)) => Decision {
            outcome: if granted { "accepted" } else { "refused" },
            reason: (!granted).then_some("insufficient-scope"),
            handler: Some(&acceptance.handler),
            actor: actor_id(acceptance),
            token_id: acceptance.token_id.as_deref(),
            detail: None,
        },
        Ok(Verdict::NotMine) => Decision { outcome: "not-mine", ..Decision::default() },
        Ok(Verdict::Rejected(Rejection { handler, reason, .. })) => Decision {
            outcome: "rejected",
            reason: Some(reason.as_str()),
            handler: handler.as_deref(),
            ..Decision::default()
        },
        Err(fault) => Decision {
            outcome: "failed",
            reason: Some(fault.code()),
            handler: fault.handler(),
            detail: error.as_deref(),
            ..Decision::default()
        },
    };
    write(context, asked, decided);
    if decided.outcome != "accepted" {
        note(context, asked, decided);
    }
}

/// Logs the request for a new token of an actor, with the parent token if one was presented.
pub(crate) fn created(
    context: &Context,
    asked: DecisionContext<'_>,
    (actor, parent): (&str, Option<&TokenId>),
    creation: &Result<Creation, Error>,
) {
    let parent = parent.map(|parent| format!("parent: {parent}"));
    match creation {
        Ok(Creation::Created(Created { handler, token_id, .. })) => {
            write(
                context,
                asked,
                Decision {
                    outcome: "created",
                    handler: Some(handler),
                    actor: Some(actor),
                    token_id: token_id.as_deref(),
                    detail: parent.as_deref(),
                    ..Decision::default()
                },
            );
        }
        Ok(Creation::Denied(Denied { handler, denial, .. })) => write(
            context,
            asked,
            Decision {
                outcome: "denied",
                reason: Some(denial.as_str()),
                handler: handler.as_deref(),
                actor: Some(actor),
                detail: parent.as_deref(),
                ..Decision::default()
            },
        ),
        Err(error) => failed(context, asked, error),
    }
}

/// Logs a revocation, or a dry run of one. `done` is the outcome if it succeeded, `records` the
/// number of records it concerns.
pub(crate) fn revoked(
    context: &Context,
    asked: DecisionContext<'_>,
    which: &Revocation,
    named: Named<'_>,
    done: &'static str,
    records: &Result<u64, Error>,
) {
    let Revocation { handler, issued_until, .. } = which;
    let Named { actor, token_id, note } = named;
    let note = note.map(|note| format!("{note}; ")).unwrap_or_default();
    let until = issued_until.map(|until| format!("issued until {}; ", until.seconds)).unwrap_or_default();
    let (outcome, reason, detail) = match records {
        Ok(records) => (done, None, format!("{note}{until}records: {records}")),
        Err(error) => ("failed", Some(error.code()), format!("{note}{until}{error}")),
    };
    let handler = handler.as_deref();
    write(context, asked, Decision { outcome, reason, handler, actor, token_id, detail: Some(&detail) });
}

fn actor_id(acceptance: &Acceptance) -> Option<&str> {
    acceptance.actor_ignoring_restrictions().id().map(ActorId::as_str)
}

/// Logs that a valid token was refused.
pub(crate) fn refused(context: &Context, asked: DecisionContext<'_>, acceptance: &Acceptance, reason: &'static str) {
    let Acceptance { handler, token_id, .. } = acceptance;
    let decided = Decision {
        outcome: "refused",
        reason: Some(reason),
        handler: Some(handler),
        actor: actor_id(acceptance),
        token_id: token_id.as_deref(),
        detail: None,
    };
    write(context, asked, decided);
    note(context, asked, decided);
}

/// Logs a request about a record, by a client that may see it or not.
pub(crate) fn recorded(
    context: &Context,
    asked: DecisionContext<'_>,
    (handler, record): (&str, &Record),
    (outcome, reason): (&'static str, Option<&'static str>),
    detail: Option<&str>,
) {
    let Record { id, actor_id, .. } = record;
    let (handler, actor, token_id) = (Some(handler), Some(actor_id.as_str()), Some(id.as_str()));
    write(context, asked, Decision { outcome, reason, handler, actor, token_id, detail });
}

/// Logs a listing. The actor is logged only if it has records: any other text may be a token.
pub(crate) fn listed(
    context: &Context,
    asked: DecisionContext<'_>,
    handler: Option<&str>,
    actor: Option<&str>,
    records: usize,
) {
    let (actor, detail) = (actor.filter(|_| records > 0), format!("records: {records}"));
    write(context, asked, Decision { outcome: "listed", handler, actor, detail: Some(&detail), ..Decision::default() });
}

/// Logs a decision without a verification: the token is missing or malformed, or the request itself
/// is refused.
pub(crate) fn log_without_token(context: &Context, asked: DecisionContext<'_>, outcome: &'static str) {
    let decided = Decision { outcome, ..Decision::default() };
    write(context, asked, decided);
    note(context, asked, decided);
}

/// Logs a call of a policy that does not exist, with the most similar name. The requested name may
/// be a token, of any shape.
pub(crate) fn unknown_policy(context: &Context, asked: DecisionContext<'_>, name: &str) {
    let known = context.live.config.policies.keys().map(String::as_str);
    let similar = suggest_name(name, known);
    let detail = similar.strip_prefix("; ");
    let decided = Decision { outcome: "unknown-policy", detail, ..Decision::default() };
    write(context, asked, decided);
    note(context, asked, decided);
}

/// Logs an operation that failed.
pub(crate) fn failed(context: &Context, asked: DecisionContext<'_>, error: &Error) {
    let detail = error.to_string();
    let decided = Decision {
        outcome: "failed",
        reason: Some(error.code()),
        handler: error.handler(),
        detail: Some(&detail),
        ..Decision::default()
    };
    write(context, asked, decided);
}

/// Notes a refusal in the audit log, which may only count it. Successes go to the decision log
/// only.
fn note(context: &Context, asked: DecisionContext<'_>, decided: Decision<'_>) {
    let Some(audit) = &context.audit else { return };
    let Decision { outcome, reason, handler, actor, token_id, detail } = decided;
    let redact = |text| context.live.registry.redact(text).into_owned();
    audit.note(Entry {
        actor: actor.map(redact),
        token_id: token_id.map(redact),
        outcome: Some(outcome.to_owned()),
        reason: reason.map(str::to_owned),
        detail: detail.map(redact),
        ..entry(context, Event::Verify, asked.client, handler)
    });
}

fn write(context: &Context, asked: DecisionContext<'_>, decided: Decision<'_>) {
    let DecisionContext { endpoint, client, policy, method, path } = asked;
    let Decision { outcome, reason, handler, actor, token_id, detail } = decided;
    let digest = handler.and_then(|name| context.live.digests.get(name));
    let registry = &context.live.registry;
    let redact = |text| registry.redact(text);
    let (actor, token_id, detail) = (actor.map(redact), token_id.map(redact), detail.map(redact));
    let actor = actor.as_deref().map(visible);
    let path = path.map(|path| without_tokens(registry, path));
    let path = path.as_deref().map(beginning);
    tracing::info!(
        target: "keyward::decision",
        request_id = context.id.as_str(),
        peer = %context.peer,
        endpoint,
        client,
        policy,
        method,
        path = path.as_deref(),
        outcome,
        reason,
        handler,
        handler_sha256 = digest.map(String::as_str),
        actor = actor.as_deref(),
        token_id = token_id.as_deref(),
        detail = detail.as_deref(),
        "decision"
    );
}

/// Maximum number of bytes of a path that are logged. Clients choose the path, and log lines wait
/// in memory.
const MAX_PATH: usize = 1_024;

/// Returns the path, cut at [`MAX_PATH`] bytes.
fn beginning(path: &str) -> Cow<'_, str> {
    match path.get(..MAX_PATH) {
        Some(beginning) if beginning.len() < path.len() => Cow::Owned(format!("{beginning}…")),
        _ => Cow::Borrowed(path),
    }
}

/// Returns a path without tokens, of which a client may have percent-encoded any character.
fn without_tokens<'a>(registry: &Registry, path: &'a str) -> Cow<'a, str> {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    match registry.redact_path(&decoded) {
        Cow::Borrowed(_) => Cow::Borrowed(path),
        Cow::Owned(redacted) => Cow::Owned(redacted),
    }
}

/// Returns an actor's id with invisible characters escaped.
fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(needs_escape) {
        let escape = |c: char| if needs_escape(c) { c.escape_unicode().to_string() } else { c.to_string() };
        return Cow::Owned(text.chars().map(escape).collect());
    }
    Cow::Borrowed(text)
}

/// Returns an audit entry with the members that describe a request.
pub(crate) fn entry(context: &Context, event: Event, client: Option<&str>, handler: Option<&str>) -> Entry {
    Entry {
        request: Some(context.id.as_str().to_owned()),
        client: client.map(str::to_owned),
        handler: handler.map(str::to_owned),
        handler_sha256: handler.and_then(|name| context.live.digests.get(name)).cloned(),
        duration: Some(context.begun.elapsed()),
        ..Entry::new(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_are_cut() {
        assert_eq!(beginning("/a"), "/a");
        let longest = "/".repeat(MAX_PATH);
        assert_eq!(beginning(&longest), longest);
        assert_eq!(beginning(&"/".repeat(30_000)), longest + "…");
    }
}
