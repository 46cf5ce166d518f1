//! The one place that asks the registry: every decision is counted here, and becomes one line of the audit.

use crate::context::Context;
use crate::metrics::{Operation, outcome};
use keyward_runtime::{CreateRequest, Creation, Error, Revocation, Verdict};
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

/// Asks for a token.
pub(crate) async fn create(context: &Context, handler: &str, request: CreateRequest) -> Result<Creation, Error> {
    let start = Instant::now();
    let creation = context.live.registry.create(Some(handler), request).await;
    let outcome = match &creation {
        Ok(Creation::Created(_)) => "created",
        Ok(Creation::Denied(_)) => "denied",
        Err(_) => "failed",
    };
    context.metrics.call(Operation::Create, handler, outcome, start.elapsed());
    if let Err(error) = &creation {
        context.metrics.failed(error);
    }
    creation
}

/// Takes tokens back. Says how many records were ended.
pub(crate) async fn revoke(context: &Context, revocation: Revocation) -> Result<u64, Error> {
    let start = Instant::now();
    let handler = revocation.handler.clone();
    let ended = context.live.registry.revoke(revocation).await;
    let outcome = if ended.is_ok() { "revoked" } else { "failed" };
    context.metrics.call(Operation::Revoke, handler.as_deref().unwrap_or("-"), outcome, start.elapsed());
    ended
}

/// Says how many records [`revoke`] would end. Nothing is decided by it.
pub(crate) async fn count_revoked(context: &Context, revocation: Revocation) -> Result<u64, Error> {
    context.live.registry.count_revoked(revocation).await
}
