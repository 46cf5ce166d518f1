//! `keyward:handler/http`: requests to the operator's endpoints. A label that is not granted gives
//! the same result as one that does not exist.

use super::{Calls, HostError, Phase, State};
use crate::bindings::http::{self, HttpError as Named, Response};
use crate::counts::{Counters, Granted};
use crate::http::{HttpAdditions, HttpEndpoint, HttpError, HttpResponse};
use crate::session::SessionRequest;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// Maximum number of requests in a call. A call needs one, and the server may be another company's.
const MAX_CALLS: u32 = 4;

/// Maximum total length of the names and values of parameters, in bytes.
const MAX_QUERY: usize = 4_096;

/// The number of requests in a call.
#[derive(Default)]
pub(crate) struct Sent(u32);

pub(crate) struct Http<'a> {
    calls: &'a mut Calls,
    granted: &'a HashMap<String, Arc<dyn HttpEndpoint>>,
    phase: Phase,
    session: Option<&'a SessionRequest>,
    sent: &'a mut Sent,
    counters: &'a Counters,
}

struct HasHttp;

impl HasData for HasHttp {
    type Data<'a> = Http<'a>;
}

impl http::Host for Http<'_> {
    async fn send(&mut self, label: String, query: Vec<(String, String)>) -> Result<Result<Response, Named>> {
        let bytes = query.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum::<usize>();
        self.calls.enter_lookup(label.len().saturating_add(bytes)).await?;
        if self.phase == Phase::Instantiate {
            return Err(HostError::forbidden("`http` during instantiation"));
        }
        self.sent.0 = self.sent.0.saturating_add(1);
        if self.sent.0 > MAX_CALLS {
            return Err(HostError::forbidden("more than 4 calls of `http`"));
        }
        self.counters.lookups.count();
        self.counters.called.note(Granted::Http);
        let Some(endpoint) = self.granted.get(&label) else { return Ok(Err(Named::NotGranted)) };
        let mut names = HashSet::new();
        let is_allowed = |name: &String| endpoint.parameters().contains(name);
        if bytes > MAX_QUERY || !query.iter().all(|(name, _)| is_allowed(name) && names.insert(name)) {
            return Ok(Err(Named::WrongParameter));
        }
        // Only a session has a request to take them from.
        let forwards = endpoint.forwards();
        let additions = match self.session {
            Some(session) => HttpAdditions::new(query, forwards, session),
            None if forwards.is_empty() => HttpAdditions { query, ..HttpAdditions::default() },
            None => return Ok(Err(Named::NotGranted)),
        };
        match endpoint.send(additions).await {
            Ok(HttpResponse { status, content_type, body }) => {
                self.calls.charge(body.len())?;
                Ok(Ok(Response { status, content_type, body }))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }
}

impl From<HttpError> for Named {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TooLarge => Self::TooLarge,
            HttpError::Timeout => Self::Timeout,
            HttpError::Refused => Self::Refused,
            HttpError::Unavailable => Self::Unavailable,
        }
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    http::add_to_linker::<State, HasHttp>(linker, |state| Http {
        calls: &mut state.calls,
        granted: &state.bound.http,
        phase: state.phase,
        session: state.session.as_deref(),
        sent: &mut state.sent,
        counters: &state.bound.counters,
    })
}
