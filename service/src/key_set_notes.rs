//! Changes of key sets in the audit log.

use keyward_audit::{Audit, Entry, Event};
use keyward_runtime::Registry;
use keyward_runtime::key_sets::{Algorithm, KeySetStatus};
use keyward_runtime::text::list_items;
use std::collections::BTreeMap;

/// Notes in the audit log when the keys of a remote key set change, or can no longer be used.
#[derive(Debug, Default)]
pub struct KeySetNotes {
    /// The keys of each set that were noted last, and whether they could be used.
    noted: BTreeMap<String, (Vec<(String, Algorithm)>, bool)>,
}

impl KeySetNotes {
    /// Notes what has changed since the last call.
    pub fn note(&mut self, audit: Option<&Audit>, registry: &Registry) {
        let sets = registry.key_sets();
        self.noted.retain(|name, _| sets.contains_key(name));
        for (name, KeySetStatus { keys, is_usable, remote, .. }) in sets {
            let Some(remote) = remote else { continue };
            let seen = (keys, is_usable);
            if self.noted.get(&name) == Some(&seen) {
                continue;
            }
            let keys = seen.0.iter().map(|(id, algorithm)| format!("{id} ({})", algorithm.as_str()));
            let detail = match remote.error.filter(|_| !is_usable) {
                Some(error) => format!("{name}: {error}"),
                None => format!("{name}: {}", list_items(keys)),
            };
            if let Some(audit) = audit {
                let outcome = Some(if is_usable { "usable" } else { "unavailable" }.to_owned());
                audit.note(Entry { outcome, detail: Some(detail), ..Entry::new(Event::KeySet) });
            }
            self.noted.insert(name, seen);
        }
    }
}
