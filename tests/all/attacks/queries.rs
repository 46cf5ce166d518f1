//! Queries that hostile handlers may make against an operator's database.

use keyward_runtime::query::{Query, QueryValue, Rows};
use keyward_runtime::store::{StoreError, StoreFuture};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The response of the test database to the parameter `id`.
enum Asked {
    /// Returns it, in a row.
    Echo,
    /// Returns 17 MiB.
    Long,
    /// Fails.
    Broken,
}

impl Query for Asked {
    fn parameters(&self) -> &[String] {
        static ID: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| vec!["id".to_owned()]);
        &ID
    }

    fn run(&self, values: Vec<QueryValue>) -> StoreFuture<'_, Rows> {
        assert_eq!(values.len(), 1);
        let row = match self {
            Self::Echo => Ok(values),
            Self::Long => Ok(vec![QueryValue::Blob(vec![0; 17 << 20])]),
            Self::Broken => Err(StoreError::new("it is out of order")),
        };
        Box::pin(async { row.map(|row| Rows { columns: vec!["id".to_owned()], rows: vec![row] }) })
    }
}

/// Returns the queries granted to a hostile handler.
pub(super) fn granted() -> BTreeMap<String, Arc<dyn Query>> {
    let labels = [("mine", Asked::Echo), ("long", Asked::Long), ("broken", Asked::Broken)];
    labels.into_iter().map(|(label, query)| (label.to_owned(), Arc::new(query) as Arc<dyn Query>)).collect()
}

/// Returns the queries granted to the other handler.
pub(super) fn of_the_other() -> BTreeMap<String, Arc<dyn Query>> {
    [("theirs".to_owned(), Arc::new(Asked::Echo) as Arc<dyn Query>)].into()
}
