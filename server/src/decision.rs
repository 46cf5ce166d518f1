//! The operations that requests perform on the registry, each counted in the metrics.

use crate::context::Context;
use crate::decision_log::DecisionContext;
use crate::visibility::VisibleToken;
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::session::SessionRequest;
use keyward_runtime::store::{Cursor, Filter, ListPage, Record, Revocation};
use keyward_runtime::token::TokenId;
use keyward_runtime::{CreateRequest, Creation, Error, Verdict};
use keyward_service::{Named, Operation, Operations, Origin};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Maximum time to wait until pending revocations are kept.
const KEEPING: Duration = Duration::from_secs(1);

/// Verifies a token. Tokens of handlers for which `handlers` returns `false` do not count.
pub(crate) async fn verify(
    context: &Context,
    token: &str,
    handlers: impl Fn(&str) -> bool + Send,
) -> Result<Verdict, Error> {
    let start = Instant::now();
    let verdict = context.live.registry.verify_among(token, handlers).await;
    context.metrics.calls.verified(&verdict, start.elapsed());
    verdict
}

/// Identifies the user of a request.
pub(crate) async fn identify(context: &Context, handler: &str, request: SessionRequest) -> Result<Verdict, Error> {
    let start = Instant::now();
    let verdict = context.live.registry.identify(handler, &request).await;
    context.metrics.calls.identified(&verdict, start.elapsed());
    verdict
}

/// Issues a token.
pub(crate) async fn create(
    context: &Context,
    asked: DecisionContext<'_>,
    request: CreateRequest,
) -> Result<Creation, Error> {
    let handler = request.handler.clone();
    let operations = operations(context, asked);
    let creation = operations.issue(request);
    counted(context, Operation::Create, handler.as_deref().unwrap_or("-"), creation, |creation| match creation {
        Creation::Created(_) => "created",
        Creation::Denied(_) => "denied",
    })
    .await
}

/// Revokes tokens, which the audit log calls by `named`. Returns the number of revoked records.
pub(crate) async fn revoke(
    context: &Context,
    asked: DecisionContext<'_>,
    revocation: Revocation,
    named: Named<'_>,
) -> Result<u64, Error> {
    let handler = revocation.handler.clone();
    let operations = operations(context, asked);
    let ended = operations.revoke(revocation, named);
    let ended = counted(context, Operation::Revoke, handler.as_deref().unwrap_or("-"), ended, |_| "revoked").await;
    if ended.is_err() {
        pending_are_kept(context).await;
    }
    ended
}

/// Waits until the revocations that only this process applies are kept for the next start, so that
/// a response about them does not precede it. A disk that does not respond does not delay the
/// response for long.
pub(crate) async fn pending_are_kept(context: &Context) {
    if let Ok(revocations) = context.live.registry.revocations() {
        // If it takes longer, the admin endpoints report that a restart would lose revocations.
        let _ = timeout(KEEPING, revocations.list().are_kept()).await;
    }
}

fn operations<'a>(context: &'a Context, asked: DecisionContext<'a>) -> Operations<'a> {
    let origin = Origin { request: Some(context.id.as_str()), client: asked.client };
    Operations::new(&context.live.registry, context.audit.as_ref(), origin).with_retries()
}

/// Returns the number of records that [`revoke`] would revoke. Changes nothing and is not counted
/// in the metrics.
pub(crate) async fn count_revoked(context: &Context, revocation: Revocation) -> Result<u64, Error> {
    context.live.registry.revocations()?.count(revocation).await
}

/// Lists the records that match `filter`. `handler` is the label in the metrics; `None` for
/// several.
pub(crate) async fn list(
    context: &Context,
    handler: Option<&str>,
    filter: Filter,
    after: Option<&Cursor>,
    max: u32,
) -> Result<ListPage, Error> {
    let found = async { context.live.registry.tokens()?.list(filter, after, max).await };
    counted(context, Operation::List, handler.unwrap_or("-"), found, |_| "listed").await
}

/// Returns the record of a token, or `None` if there is none.
pub(crate) async fn find(context: &Context, handler: &str, id: &str) -> Result<Option<Record>, Error> {
    let found = async { context.live.registry.tokens()?.find(&TokenId::new(handler, id)).await };
    counted(context, Operation::Find, handler, found, |found| if found.is_some() { "found" } else { "unknown" }).await
}

/// Edits the token of this record, which can only be narrowed.
pub(crate) async fn edit(
    context: &Context,
    asked: DecisionContext<'_>,
    seen: &VisibleToken,
    amendment: TokenUpdate,
) -> Result<UpdateOutcome, Error> {
    let (handler, Record { id, actor_id, .. }) = (seen.handler(), seen.record());
    let operations = operations(context, asked);
    let token = TokenId::new(handler, id);
    let edited = operations.edit(&token, Some(actor_id), amendment);
    counted(context, Operation::Edit, handler, edited, |edited| match edited {
        UpdateOutcome::Done(_) => "edited",
        UpdateOutcome::Denied(_) => "denied",
        UpdateOutcome::Unknown => "unknown",
    })
    .await
}

/// Issues a replacement for the token of this record, which stays valid for `overlap`.
/// Returns `None` if the record does not exist.
pub(crate) async fn rotate(
    context: &Context,
    asked: DecisionContext<'_>,
    seen: &VisibleToken,
    overlap: Duration,
) -> Result<Option<Creation>, Error> {
    let (handler, Record { id, actor_id, .. }) = (seen.handler(), seen.record());
    let operations = operations(context, asked);
    let token = TokenId::new(handler, id);
    let rotated = operations.rotate(&token, Some(actor_id), overlap);
    counted(context, Operation::Rotate, handler, rotated, |rotated| match rotated {
        Some(Creation::Created(_)) => "rotated",
        Some(Creation::Denied(_)) => "denied",
        None => "unknown",
    })
    .await
}

/// Awaits an operation and counts its outcome and duration. `handler` is a name from the registry,
/// or `-`.
async fn counted<T>(
    context: &Context,
    operation: Operation,
    handler: &str,
    answer: impl Future<Output = Result<T, Error>>,
    outcome: impl FnOnce(&T) -> &'static str,
) -> Result<T, Error> {
    let start = Instant::now();
    let answer = answer.await;
    context.metrics.calls.done(operation, handler, &answer, outcome, start.elapsed());
    answer
}
