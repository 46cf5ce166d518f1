//! The one place that asks the registry: every decision is counted here, and becomes one line of the audit.

use crate::context::Context;
use crate::metrics::{Operation, outcome};
use keyward_runtime::{CreateRequest, Creation, Error, Verdict};
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
