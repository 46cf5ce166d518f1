//! The endpoints of handlers.

use crate::client::send;
use crate::endpoint::Endpoint;
use crate::error::FetchError;
use crate::resolve::Resolve;
use crate::thread::Thread;
use keyward_runtime::http::{Forwards, HttpAdditions, HttpEndpoint, HttpError, HttpFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// An [`Endpoint`] whose requests run on the thread of a fetcher, so that any executor can await
/// them.
pub(crate) struct EndpointClient {
    name: Arc<str>,
    endpoint: Arc<Endpoint>,
    thread: Arc<Thread>,
    resolver: Arc<dyn Resolve>,
}

impl EndpointClient {
    pub(crate) fn new(name: Arc<str>, endpoint: Endpoint, thread: Arc<Thread>, resolver: Arc<dyn Resolve>) -> Self {
        Self { name, endpoint: endpoint.into(), thread, resolver }
    }
}

impl HttpEndpoint for EndpointClient {
    fn timeout(&self) -> Duration {
        self.endpoint.timeout
    }

    fn parameters(&self) -> &[String] {
        &self.endpoint.guest_query
    }

    fn forwards(&self) -> &Forwards {
        &self.endpoint.forwards
    }

    fn send(&self, additions: HttpAdditions) -> HttpFuture<'_> {
        Box::pin(async move {
            let (endpoint, resolver) = (self.endpoint.clone(), self.resolver.clone());
            let handle = self.thread.handle().ok_or(HttpError::Unavailable)?;
            // A call that is stopped ends its request.
            let mut request = JoinSet::new();
            request.spawn_on(async move { send(&endpoint, &*resolver, additions).await }, handle);
            let Some(Ok(result)) = request.join_next().await else { return Err(HttpError::Unavailable) };
            result.map_err(|error| {
                tracing::warn!(target: "keyward::http", endpoint = &*self.name, %error, "no response from an endpoint");
                kind(&error)
            })
        })
    }
}

/// Returns the kind of an error, the only thing that a handler learns about it.
fn kind(error: &FetchError) -> HttpError {
    match error {
        FetchError::TooLarge(_) => HttpError::TooLarge,
        FetchError::Timeout(_) => HttpError::Timeout,
        FetchError::AddressRefused { .. }
        | FetchError::PlainHttp
        | FetchError::Redirect(_)
        | FetchError::Compressed => HttpError::Refused,
        FetchError::NoAddress(_)
        | FetchError::Connect(_)
        | FetchError::Tls(_)
        | FetchError::Http(_)
        | FetchError::LongQuery
        | FetchError::BadHeader => HttpError::Unavailable,
    }
}
