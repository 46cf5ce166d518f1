//! The one place that asks the registry: every decision is counted here, and becomes one line of the log.

use crate::audit::{Asked, Named};
use crate::context::Context;
use crate::intent::{Intent, note_list};
use crate::metrics::{Operation, outcome};
use crate::seen::Seen;
use keyward_audit::{Entry, Event};
use keyward_runtime::{
    Amendment, CreateRequest, Creation, Edited, Error, Filter, Listed, Place, Record, Revocation, Verdict,
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long to wait until it is tried again to write a revocation down.
const AGAIN: Duration = Duration::from_secs(1);

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
pub(crate) async fn create(
    context: &Context,
    asked: Asked<'_>,
    handler: &str,
    request: CreateRequest,
) -> Result<Creation, Error> {
    let entry =
        Entry { actor: Some(request.actor_id.clone()), ..entry(context, Event::Create, asked.caller, Some(handler)) };
    let intent = Intent::new(context.audit.as_deref(), entry);
    let creation = context.live.registry.create_witnessed(Some(handler), request, &intent);
    let creation = counted(context, Operation::Create, handler, creation, |creation| match creation {
        Creation::Created(_) => "created",
        Creation::Denied(_) => "denied",
    })
    .await;
    intent.made(&creation);
    creation
}

/// Revokes tokens, after the audit was told of it by these names. Returns how many records were ended.
pub(crate) async fn revoke(
    context: &Context,
    asked: Asked<'_>,
    revocation: Revocation,
    named: Named<'_>,
) -> Result<u64, Error> {
    let Revocation { handler, issued_until, .. } = revocation.clone();
    let until = issued_until.map(|until| format!("issued until {until}"));
    let details: Vec<_> = named.note.map(str::to_owned).into_iter().chain(until).collect();
    let entry = Entry {
        actor: named.actor.map(str::to_owned),
        token_id: named.token_id.map(str::to_owned),
        detail: (!details.is_empty()).then(|| details.join("; ")),
        ..entry(context, Event::Revoke, asked.caller, handler.as_deref())
    };
    let intent = Intent::new(context.audit.as_deref(), entry);
    let ended = async {
        if let Err(error) = record(&intent).await {
            hold(context, revocation, intent.entry());
            return Err(error);
        }
        let ended = context.live.registry.revoke(revocation).await;
        note_list(context.audit.as_deref(), &context.live.registry);
        ended
    };
    let ended = counted(context, Operation::Revoke, handler.as_deref().unwrap_or("-"), ended, |_| "revoked").await;
    if let Err(error) = &ended {
        intent.failed(error);
    }
    ended
}

/// Refuses tokens whose revocation cannot be written down, and revokes them when it can be, as long as this process runs.
fn hold(context: &Context, revocation: Revocation, entry: &Entry) {
    let (Some(audit), live, entry) = (context.audit.clone(), context.live.clone(), entry.clone()) else { return };
    // One that asks for nothing that can be revoked is answered so.
    let Ok(Some(revocation)) = live.registry.hold(revocation) else { return };
    tokio::spawn(async move {
        loop {
            sleep(AGAIN).await;
            if audit.standing().trouble.is_none() && audit.record(entry.clone()).await.is_ok() {
                // What the store does not confirm is tried again where it is known.
                let _ = live.registry.revoke(revocation).await;
                note_list(Some(&audit), &live.registry);
                return;
            }
        }
    });
}

/// Writes down what is about to be done.
async fn record(intent: &Intent<'_>) -> Result<(), Error> {
    intent.record().await.map_err(|error| Error::unwitnessed(error.to_string()))
}

/// What is known of a request, for the audit.
pub(crate) fn entry(context: &Context, event: Event, caller: Option<&str>, handler: Option<&str>) -> Entry {
    Entry {
        request: Some(context.id.as_str().to_owned()),
        caller: caller.map(str::to_owned),
        handler: handler.map(str::to_owned),
        handler_sha256: handler.and_then(|name| context.live.digests.get(name)).cloned(),
        duration: Some(context.begun.elapsed()),
        ..Entry::new(event)
    }
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

/// Narrows the token of this record.
pub(crate) async fn edit(
    context: &Context,
    asked: Asked<'_>,
    seen: &Seen,
    amendment: Amendment,
) -> Result<Edited, Error> {
    let (handler, Record { id, actor_id, .. }) = (seen.handler(), seen.record());
    let entry = Entry {
        actor: Some(actor_id.clone()),
        token_id: Some(id.clone()),
        detail: Some(amendment.to_string()),
        ..entry(context, Event::Edit, asked.caller, Some(handler))
    };
    let intent = Intent::new(context.audit.as_deref(), entry);
    let edited = async {
        record(&intent).await?;
        context.live.registry.edit(handler, id, amendment).await
    };
    let edited = counted(context, Operation::Edit, handler, edited, |edited| match edited {
        Edited::Done(_) => "edited",
        Edited::Denied(_) => "denied",
        Edited::Unknown => "unknown",
    })
    .await;
    match &edited {
        Ok(Edited::Done(_)) => {}
        Ok(Edited::Denied(denied)) => intent.denied(denied.denial.as_str()),
        Ok(Edited::Unknown) => intent.denied("unknown"),
        Err(error) => intent.failed(error),
    }
    edited
}

/// Puts another token in the place of the one of this record.
pub(crate) async fn rotate(
    context: &Context,
    asked: Asked<'_>,
    seen: &Seen,
    overlap: u32,
) -> Result<Option<Creation>, Error> {
    let (handler, Record { id, actor_id, .. }) = (seen.handler(), seen.record());
    let entry = Entry {
        actor: Some(actor_id.clone()),
        detail: Some(format!("in the place of {id}, which is good for {overlap} s more")),
        ..entry(context, Event::Rotate, asked.caller, Some(handler))
    };
    let intent = Intent::new(context.audit.as_deref(), entry);
    let made = context.live.registry.rotate(handler, id, overlap, Some(&intent));
    let made = counted(context, Operation::Rotate, handler, made, |made| match made {
        Some(Creation::Created(_)) => "rotated",
        Some(Creation::Denied(_)) => "denied",
        None => "unknown",
    })
    .await;
    match made.transpose() {
        Some(creation) => {
            intent.made(&creation);
            creation.map(Some)
        }
        None => {
            intent.denied("unknown");
            Ok(None)
        }
    }
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
