//! Counts of records that could not be written.

use crate::entry::{Entry, Event, cut};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maximum number of kinds that are counted separately. Further kinds are counted together.
const KINDS: usize = 256;

/// Maximum number of kinds in one record.
const IN_A_RECORD: usize = 32;

/// Maximum length of a name here, in bytes.
const MAX_NAME: usize = 128;

/// The number of records of one kind that were not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The event; `None` for kinds beyond the maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// The code of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Number of records.
    pub count: u64,
}

type Kind = (Option<Event>, Option<String>, Option<String>);

/// The counts that have not been written yet.
#[derive(Default)]
pub(crate) struct Losses(BTreeMap<Kind, u64>);

impl Losses {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts an entry that is not written.
    pub(crate) fn add(&mut self, entry: &Entry) {
        let name = |text: &Option<String>| {
            text.clone().map(|mut text| {
                cut(&mut text, MAX_NAME);
                text
            })
        };
        self.count((Some(entry.event), name(&entry.handler), name(&entry.reason)), 1);
    }

    /// Adds counts that could not be written.
    pub(crate) fn merge(&mut self, other: Self) {
        for (kind, count) in other.0 {
            self.count(kind, count);
        }
    }

    fn count(&mut self, kind: Kind, count: u64) {
        let full = self.0.len() >= KINDS && !self.0.contains_key(&kind);
        let counted = self.0.entry(if full { (None, None, None) } else { kind }).or_default();
        *counted = counted.saturating_add(count);
    }

    /// Returns the counts to write, grouped into records.
    pub(crate) fn told(&self) -> Vec<Vec<Loss>> {
        let losses = self.0.iter().map(|((event, handler, reason), count)| Loss {
            event: event.map(|event| event.as_str().to_owned()),
            handler: handler.clone(),
            reason: reason.clone(),
            count: *count,
        });
        losses.collect::<Vec<_>>().chunks(IN_A_RECORD).map(<[Loss]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_kinds_are_counted_together() {
        let mut losses = Losses::default();
        for number in 0..1_000 {
            let reason = Some(format!("reason-{number:03}"));
            losses.add(&Entry { reason, ..Entry::new(Event::Verify) });
        }
        let told = losses.told();
        assert_eq!(told.len(), 9);
        assert!(told.iter().all(|record| record.len() <= IN_A_RECORD));
        assert_eq!(told.iter().flatten().map(|loss| loss.count).sum::<u64>(), 1_000);
        assert_eq!(told[0][0], Loss { event: None, handler: None, reason: None, count: 744 });
    }
}
