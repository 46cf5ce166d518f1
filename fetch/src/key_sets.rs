//! The refreshes of key sets.

use crate::client::send;
use crate::endpoint::Endpoint;
use crate::resolve::Resolve;
use keyward_runtime::http::{HttpAdditions, HttpResponse};
use keyward_runtime::key_sets::{KeySetStatus, RemoteKeySet};
use keyward_runtime::text::list_items;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

/// The refreshes of a key set. They end when this is dropped.
#[derive(Debug)]
pub struct Refreshes {
    task: Option<AbortHandle>,
    attempted: watch::Receiver<bool>,
}

impl Refreshes {
    pub(crate) fn new(task: Option<AbortHandle>, attempted: watch::Receiver<bool>) -> Self {
        Self { task, attempted }
    }

    /// Waits until the first refresh has succeeded or failed, at most as long as a request may
    /// take. Runs on any executor.
    pub async fn first_attempt(&self) {
        // An error says that the fetcher is gone, so there will be no attempt.
        let _ = self.attempted.clone().wait_for(|attempted| *attempted).await;
    }
}

impl Drop for Refreshes {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Refreshes `set` whenever it is due, for as long as it is polled. Notes the first attempt.
pub(crate) async fn keep_fresh(
    set: Arc<RemoteKeySet>,
    endpoint: Endpoint,
    resolver: Arc<dyn Resolve>,
    first: watch::Sender<bool>,
) {
    loop {
        refresh(&set, &endpoint, &*resolver).await;
        first.send_replace(true);
        tokio::select! {
            () = sleep_until(set.next_refresh().into()) => {}
            () = set.requested() => {}
        }
    }
}

async fn refresh(set: &RemoteKeySet, endpoint: &Endpoint, resolver: &dyn Resolve) {
    let before = set.status();
    let refresh = set.begin_refresh();
    match send(endpoint, resolver, HttpAdditions::default()).await {
        Ok(HttpResponse { status: 200, body, .. }) => match str::from_utf8(&body) {
            Ok(text) => refresh.fetched(text),
            Err(_) => refresh.failed("the response is not UTF-8"),
        },
        Ok(HttpResponse { status, .. }) => refresh.failed(format!("the response has the status {status}")),
        Err(error) => refresh.failed(error.to_string()),
    }
    report(&before, &set.status());
}

/// Logs a change of the keys, and the first error of several.
fn report(before: &KeySetStatus, after: &KeySetStatus) {
    let [earlier, error] =
        [before, after].map(|status| status.remote.as_ref().and_then(|remote| remote.error.as_deref()));
    let set = &after.name;
    match (earlier, error) {
        (None, Some(error)) => {
            let text = if after.is_usable { "its last keys are used" } else { "its tokens have no verdict" };
            tracing::warn!(target: "keyward::key_sets", set, error, "the key set could not be refreshed; {text}");
        }
        (Some(_), None) => tracing::info!(target: "keyward::key_sets", set, "the key set can be refreshed again"),
        _ => {}
    }
    if before.keys != after.keys {
        let keys = list_items(after.keys.iter().map(|(id, algorithm)| format!("{id} ({})", algorithm.as_str())));
        tracing::info!(target: "keyward::key_sets", set, keys, "the key set has new keys");
    }
}
