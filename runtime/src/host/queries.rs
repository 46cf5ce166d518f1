//! `keyward:handler/queries`: rows from the operator's own databases. A label that is not granted
//! gives the same result as one that does not exist.

use super::{Calls, HostError, Phase, State};
use crate::bindings::{self, queries};
use crate::counts::{Counters, Granted};
use crate::queries::{Query, QueryValue};
use std::collections::HashMap;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// Maximum number of queries in a call. A call needs one or two, and the database is shared with
/// other applications.
const MAX_CALLS: u32 = 16;

/// The number of queries in a call.
#[derive(Default)]
pub(crate) struct Asked(u32);

pub(crate) struct Queries<'a> {
    calls: &'a mut Calls,
    granted: &'a HashMap<String, Arc<dyn Query>>,
    phase: Phase,
    asked: &'a mut Asked,
    counters: &'a Counters,
}

struct HasQueries;

impl HasData for HasQueries {
    type Data<'a> = Queries<'a>;
}

impl queries::Host for Queries<'_> {
    async fn run(
        &mut self,
        label: String,
        parameters: Vec<(String, queries::Value)>,
    ) -> Result<Result<queries::Answer, queries::QueryError>> {
        let names = parameters.iter().map(|(name, _)| name.len()).sum::<usize>();
        let parameters: Vec<_> =
            parameters.into_iter().map(|(name, value)| (name, bindings::value_in(value))).collect();
        let values_len = parameters.iter().map(|(_, value)| bytes(value)).sum::<usize>();
        self.calls.enter_lookup(label.len().saturating_add(names).saturating_add(values_len)).await?;
        if self.phase == Phase::Instantiate {
            return Err(HostError::forbidden("`queries` during instantiation"));
        }
        self.asked.0 = self.asked.0.saturating_add(1);
        if self.asked.0 > MAX_CALLS {
            return Err(HostError::forbidden("more than 16 calls of `queries`"));
        }
        self.counters.lookups.count();
        self.counters.called.note(Granted::Queries);
        let Some(query) = self.granted.get(&label) else { return Ok(Err(queries::QueryError::NotGranted)) };
        let Some(values) = values(query.parameters(), parameters) else {
            return Ok(Err(queries::QueryError::WrongParameters));
        };
        match query.run(values).await {
            Ok(rows) => {
                self.calls.charge(rows.rows.iter().flatten().map(bytes).sum())?;
                Ok(Ok(bindings::rows_out(rows)))
            }
            Err(error) => Err(HostError(error.in_query(&label).into()).into()),
        }
    }
}

/// Returns the approximate size of a value in bytes, for the account of host work.
fn bytes(value: &QueryValue) -> usize {
    match value {
        QueryValue::Null | QueryValue::Integer(_) | QueryValue::Real(_) => 16,
        QueryValue::Text(text) => text.len().saturating_add(16),
        QueryValue::Blob(blob) => blob.len().saturating_add(16),
    }
}

/// Returns the given values in the order of `names`. `None` if one is missing or repeated, or if a
/// text contains a NUL.
fn values(names: &[String], given: Vec<(String, QueryValue)>) -> Option<Vec<QueryValue>> {
    let mut by_name = HashMap::new();
    for (name, value) in given {
        let has_nul = matches!(&value, QueryValue::Text(text) if text.contains('\0'));
        if has_nul || by_name.insert(name, value).is_some() {
            return None;
        }
    }
    names.iter().map(|name| by_name.remove(name)).collect()
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    queries::add_to_linker::<State, HasQueries>(linker, |state| Queries {
        calls: &mut state.calls,
        granted: &state.bound.queries,
        phase: state.phase,
        asked: &mut state.asked,
        counters: &state.bound.counters,
    })
}
