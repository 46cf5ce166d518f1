//! The public keys of issuers in `keyward keys list`.

use crate::config::KeySetSource;
use crate::config_file::ConfigFile;
use crate::date::age;
use crate::output::{Column, Table, WIDTH, one_line, wrap};
use crate::{CliError, daemon};
use keyward_runtime::text::list_items;
use keyward_service::KeySetReport;
use serde::Serialize;
use std::collections::BTreeMap;

/// A key set and its users.
#[derive(Serialize)]
pub(super) struct SetRow {
    set: String,
    /// Its URL without the query, which may be secret; `None` for keys from files.
    url: Option<String>,
    /// Users, as `handler.label`.
    used_by: Vec<String>,
    /// `None` if the keys are fetched by a daemon, and none has responded.
    state: Option<KeySetReport>,
}

/// Returns the key sets, in the order of the configuration. The keys of those with a URL are known
/// only to the daemon, which is asked at its admin address.
pub(super) fn reports(loaded: &ConfigFile) -> Result<Vec<SetRow>, CliError> {
    let mut known: BTreeMap<_, _> = loaded.key_sets(None)?.into_iter().collect();
    let has_url = loaded.config.key_sets.values().any(|set| matches!(set.source, KeySetSource::Url(_)));
    let asked = has_url.then(|| daemon::get(loaded.config.server.admin.value, "/key-sets")).flatten();
    let mut fetched: Vec<KeySetReport> = asked.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let rows = loaded.config.key_sets.iter().map(|(name, set)| {
        let (url, state) = match &set.source {
            KeySetSource::Files(_) => (None, known.remove(name.as_str()).map(|set| set.status().into())),
            KeySetSource::Url(url) => {
                let place =
                    fetched.iter().position(|report| report.set == *name && report.next_refresh_seconds.is_some());
                (
                    url.remote.value.url.split('?').next().map(str::to_owned),
                    place.map(|place| fetched.swap_remove(place)),
                )
            }
        };
        SetRow { set: name.clone(), url, used_by: used_by(loaded, name), state }
    });
    Ok(rows.collect())
}

fn used_by(loaded: &ConfigFile, set: &str) -> Vec<String> {
    let labels = loaded.config.handlers.iter();
    let labels =
        labels.flat_map(|handler| handler.public_keys.iter().map(|(label, keys)| (&handler.name.value, label, keys)));
    labels.filter(|(.., keys)| keys.set == set).map(|(handler, label, _)| format!("{handler}.{label}")).collect()
}

/// Returns a table of each set, and the state of its refreshes.
pub(super) fn lines(loaded: &ConfigFile, rows: &[SetRow]) -> Vec<String> {
    let mut lines = Vec::new();
    for SetRow { set, url, used_by, state } in rows {
        let source = url.as_deref().unwrap_or("files");
        lines.extend(wrap(&format!("Key set {set} from {}, used by {}", one_line(source), list_items(used_by))));
        let Some(state) = state else {
            let admin = loaded.config.server.admin.value;
            lines.extend(wrap(&format!("  Its keys are fetched by the daemon, and none responds at {admin}.")));
            continue;
        };
        let head = ["KEY", "ALGORITHM"].map(str::to_owned).to_vec();
        let keys = state.keys.iter().map(|key| vec![one_line(&key.id), key.algorithm.clone()]);
        let cells: Vec<_> = std::iter::once(head).chain(keys).collect();
        lines.extend(Table::of(WIDTH, 2, &[Column::Names, Column::Words], &cells).all(&cells));
        if let Some(next) = state.next_refresh_seconds {
            lines.extend(wrap(&refreshes(state, next)));
        }
    }
    lines
}

fn refreshes(state: &KeySetReport, next: u64) -> String {
    let fetched =
        state.age_seconds.map_or_else(|| "never fetched".to_owned(), |seconds| format!("fetched {} ago", age(seconds)));
    let unusable = if state.usable { "" } else { "NOT USABLE: " };
    let error = state.error.as_ref().map(|error| format!(". The last refresh failed: {}", one_line(error)));
    format!("  {unusable}{fetched}, next refresh in {}{}", age(next), error.unwrap_or_default())
}
