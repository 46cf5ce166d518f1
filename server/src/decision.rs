//! The one place that asks the registry: every decision is counted here, and becomes one line of the audit.

use crate::context::Context;
use crate::metrics::{Operation, outcome};
use keyward_runtime::{
    Amendment, CreateRequest, Creation, Edited, Error, Filter, Listed, Place, Reason, Record, Rejection, Revocation,
    Verdict,
};
use std::time::Instant;

/// Asks about a token; `handlers` says whose tokens count.
pub(crate) async fn verify(
    context: &Context,
    token: &str,
    handlers: impl Fn(&str) -> bool + Send,
) -> Result<Verdict, Error> {
    let start = Instant::now();
    let verdict = context.live.registry.verify_among(token, handlers).await;
    let (outcome, handler) = outcome(&verdict);
    context.metrics.call(Operation::Verify, handler, outcome, start.elapsed());
    if let Err(error) = &verdict {
        context.metrics.failed(error);
    }
    verdict
}

/// Whether a text is a token, good or not any more, or begins like one. A token in the place of its id, mistyped or not, names
/// nothing, and would stand in the log and in the store.
pub(crate) async fn is_token(context: &Context, text: &str) -> bool {
    let mut prefixes = context.live.registry.handlers().flat_map(|handler| handler.prefixes);
    if prefixes.any(|prefix| text.starts_with(prefix)) {
        return true;
    }
    match verify(context, text, |_| true).await {
        Ok(Verdict::Accepted(_)) => true,
        // A handler that says no to everything says nothing.
        Ok(Verdict::Rejected(Rejection { reason, .. })) => {
            matches!(reason, Reason::BadSignature | Reason::Expired | Reason::NotYetValid | Reason::Revoked)
        }
        Ok(Verdict::NotMine) | Err(_) => false,
    }
}

/// Asks for a token.
pub(crate) async fn create(context: &Context, handler: &str, request: CreateRequest) -> Result<Creation, Error> {
    let creation = context.live.registry.create(Some(handler), request);
    counted(context, Operation::Create, handler, creation, |creation| match creation {
        Creation::Created(_) => "created",
        Creation::Denied(_) => "denied",
    })
    .await
}

/// Takes tokens back. Says how many records were ended.
pub(crate) async fn revoke(context: &Context, revocation: Revocation) -> Result<u64, Error> {
    let handler = revocation.handler.clone();
    let ended = context.live.registry.revoke(revocation);
    counted(context, Operation::Revoke, handler.as_deref().unwrap_or("-"), ended, |_| "revoked").await
}

/// Says how many records [`revoke`] would end. Nothing is decided by it.
pub(crate) async fn count_revoked(context: &Context, revocation: Revocation) -> Result<u64, Error> {
    context.live.registry.count_revoked(revocation).await
}

/// Records that fit, of one handler or of several.
pub(crate) async fn list(
    context: &Context,
    handler: Option<&str>,
    filter: Filter,
    after: Option<&Place>,
    most: u32,
) -> Result<Vec<Listed>, Error> {
    let found = context.live.registry.list(filter, after, most);
    counted(context, Operation::List, handler.unwrap_or("-"), found, |_| "listed").await
}

/// The record of a token.
pub(crate) async fn find(context: &Context, handler: &str, id: &str) -> Result<Option<Record>, Error> {
    let found = context.live.registry.find(handler, id);
    counted(context, Operation::Find, handler, found, |found| if found.is_some() { "found" } else { "unknown" }).await
}

/// Narrows a token.
pub(crate) async fn edit(context: &Context, handler: &str, id: &str, amendment: Amendment) -> Result<Edited, Error> {
    let edited = context.live.registry.edit(handler, id, amendment);
    counted(context, Operation::Edit, handler, edited, |edited| match edited {
        Edited::Done(_) => "edited",
        Edited::Denied(_) => "denied",
        Edited::Unknown => "unknown",
    })
    .await
}

/// Puts another token in the place of this one.
pub(crate) async fn rotate(
    context: &Context,
    handler: &str,
    id: &str,
    overlap: u32,
) -> Result<Option<Creation>, Error> {
    let made = context.live.registry.rotate(handler, id, overlap, None);
    counted(context, Operation::Rotate, handler, made, |made| match made {
        Some(Creation::Created(_)) => "rotated",
        Some(Creation::Denied(_)) => "denied",
        None => "unknown",
    })
    .await
}

/// What the registry answers, counted. The name of the handler is one of the registry's, or `-`.
async fn counted<T>(
    context: &Context,
    operation: Operation,
    handler: &str,
    answer: impl Future<Output = Result<T, Error>>,
    outcome: impl FnOnce(&T) -> &'static str,
) -> Result<T, Error> {
    let start = Instant::now();
    let answer = answer.await;
    context.metrics.call(operation, handler, answer.as_ref().map_or("failed", outcome), start.elapsed());
    if let Err(error) = &answer {
        context.metrics.failed(error);
    }
    answer
}
