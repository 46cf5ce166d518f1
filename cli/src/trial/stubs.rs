//! Queries and endpoints that answer from `cases.toml`.

use super::cases_file::{HttpTable, QueryTable, ResponseTable, RowTable};
use keyward_runtime::http::{Forwards, HttpAdditions, HttpEndpoint, HttpError, HttpFuture, HttpResponse};
use keyward_runtime::query::{Query, QueryValue, Rows};
use keyward_runtime::store::StoreFuture;
use serde_json::Value;
use std::collections::BTreeSet;
use std::future::ready;
use std::time::Duration;

/// A query that returns the rows of its table.
#[derive(Default)]
pub(super) struct StubQuery {
    parameters: Vec<String>,
    columns: Vec<String>,
    rows: Vec<StubRow>,
}

struct StubRow {
    /// The value of each parameter; `None` if the row is returned with any.
    given: Vec<Option<QueryValue>>,
    values: Vec<QueryValue>,
}

impl StubQuery {
    /// # Errors
    /// Returns a sentence if a row does not have a value for each column, or one without a type in
    /// SQL.
    pub(super) fn new(table: &QueryTable) -> Result<Self, String> {
        let QueryTable { columns, rows } = table;
        let names: BTreeSet<_> = rows.iter().flat_map(|row| row.given.keys().cloned()).collect();
        let parameters: Vec<_> = names.into_iter().collect();
        let row = |RowTable { given, values }: &RowTable| {
            if values.len() != columns.len() {
                return Err(format!("a row has {} values for {} columns", values.len(), columns.len()));
            }
            let given = parameters.iter().map(|name| given.get(name).map(sql).transpose()).collect::<Result<_, _>>()?;
            Ok(StubRow { given, values: values.iter().map(sql).collect::<Result<_, _>>()? })
        };
        let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self { parameters, columns: columns.clone(), rows })
    }
}

/// Returns a value as in a row.
fn sql(value: &Value) -> Result<QueryValue, String> {
    match value {
        Value::Null => Ok(QueryValue::Null),
        Value::Bool(value) => Ok(QueryValue::Integer(i64::from(*value))),
        Value::String(text) => Ok(QueryValue::Text(text.clone())),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Ok(QueryValue::Integer(number)),
            (None, Some(number)) => Ok(QueryValue::Real(number)),
            (None, None) => Err("a number is out of range".to_owned()),
        },
        Value::Array(_) | Value::Object(_) => Err("a value is no text, number or truth value".to_owned()),
    }
}

impl Query for StubQuery {
    fn parameters(&self) -> &[String] {
        &self.parameters
    }

    fn run(&self, values: Vec<QueryValue>) -> StoreFuture<'_, Rows> {
        let matches = |row: &&StubRow| {
            row.given.iter().zip(&values).all(|(given, value)| given.as_ref().is_none_or(|given| given == value))
        };
        let rows = self.rows.iter().filter(matches).map(|row| row.values.clone()).collect();
        Box::pin(ready(Ok(Rows { columns: self.columns.clone(), rows })))
    }
}

/// An endpoint that returns the responses of its table.
pub(super) struct StubEndpoint {
    parameters: Vec<String>,
    forwards: Forwards,
    responses: Vec<ResponseTable>,
}

impl StubEndpoint {
    pub(super) fn new(table: &HttpTable) -> Self {
        let HttpTable { parameters, cookies, headers, responses } = table.clone();
        let headers = headers.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { parameters, forwards: Forwards { cookies, headers, query: Vec::new() }, responses }
    }
}

impl HttpEndpoint for StubEndpoint {
    fn timeout(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn parameters(&self) -> &[String] {
        &self.parameters
    }

    fn forwards(&self) -> &Forwards {
        &self.forwards
    }

    fn send(&self, additions: HttpAdditions) -> HttpFuture<'_> {
        let HttpAdditions { query, headers, cookies } = additions;
        let sent: Vec<_> = query.into_iter().chain(headers).chain(cookies).collect();
        let is_sent = |(name, value): (&String, &String)| sent.iter().any(|(n, v)| n == name && v == value);
        let response = self.responses.iter().find(|response| response.given.iter().all(is_sent));
        let response = response.map(|ResponseTable { given: _, status, content_type, body }| HttpResponse {
            status: *status,
            content_type: content_type.clone(),
            body: body.clone().into_bytes(),
        });
        Box::pin(ready(response.ok_or(HttpError::Unavailable)))
    }
}
