//! The list as this process has read it, and whether that suffices for a verdict.

use super::cutoffs::{Cutoffs, Ruling, Subject};
use crate::clock::UnixTime;
use crate::error::ErrorKind;
use crate::store::{Entry, StoreError};
use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

/// The reason that revoked tokens cannot be distinguished from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staleness {
    /// There has been no contact with the store for too long.
    Silence { seconds: u64 },
    /// The store has lost entries. It is not read again, because it may soon have others under the
    /// same numbers.
    Forgotten,
    /// The audit log has noted revocations that the store lacks.
    Lagging(Lag),
}

/// The last entry of the list as noted in an audit log, and as the store had it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(super) noted: u64,
    pub(super) last: u64,
}

impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence { seconds } => write!(f, "the revocations of the last {seconds} s are unknown"),
            Self::Forgotten => f.write_str(
                "revocations that were read from the store are no longer in it: it was restored from an older copy, so no \
                 token is known to be valid. Restore the newest copy, or repeat the later revocations; then restart, and with \
                 an audit log run `keyward store accept`",
            ),
            Self::Lagging(Lag { noted, last }) => write!(
                f,
                "the audit log has noted revocation {noted}, which the store lacks (its last one was {last}): the store is an older \
                 copy, so no token is known to be valid. Restore the newest copy, or repeat the later revocations and \
                 run `keyward store accept`"
            ),
        }
    }
}

impl From<Staleness> for ErrorKind {
    fn from(unsure: Staleness) -> Self {
        Self::Store(StoreError::new(unsure.to_string()))
    }
}

/// The part of the [`RevocationLog`](crate::store::RevocationLog) that has been read.
#[derive(Default)]
pub(super) struct Snapshot {
    /// The last entry that was read, with its number.
    pub(super) last: Option<(u64, Entry)>,
    /// The last entry that this process has written, with its number.
    pub(super) own: Option<(u64, Entry)>,
    /// `true` once one of these is missing from the list.
    pub(super) has_forgotten: bool,
    /// Set while the list lacks the entry that an audit log has noted.
    pub(super) lag: Option<Lag>,
    /// When the whole list was last read.
    pub(super) heard: Option<Instant>,
    /// The newest time in the store.
    pub(super) newest: Option<UnixTime>,
    pub(super) confirmed: Cutoffs,
    pub(super) unconfirmed: Cutoffs,
    /// The numbers of entries that this process has written, and has not read yet.
    pub(super) unread: BTreeSet<u64>,
    /// Grows with every revocation that this process learns of.
    pub(super) version: u64,
}

impl Snapshot {
    pub(super) fn rule(&self, subject: Subject<'_>) -> Ruling {
        match self.unconfirmed.rule(subject) {
            Ruling::Clear => self.confirmed.rule(subject),
            Ruling::Covered | Ruling::Revoked => Ruling::Revoked,
        }
    }

    /// Checks that the list was read completely within `patience` before `now`.
    pub(super) fn check_fresh(&self, now: Instant, patience: Duration) -> Result<(), Staleness> {
        if self.has_forgotten {
            return Err(Staleness::Forgotten);
        }
        if let Some(lag) = self.lag {
            return Err(Staleness::Lagging(lag));
        }
        let silence = self.heard.map_or(Duration::MAX, |heard| now.saturating_duration_since(heard));
        if silence > patience { Err(Staleness::Silence { seconds: silence.as_secs() }) } else { Ok(()) }
    }

    pub(super) fn forget(&mut self) -> Result<(), StoreError> {
        self.has_forgotten = true;
        Err(StoreError::new(Staleness::Forgotten.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_tolerated_for_the_patience() {
        let start = Instant::now();
        let patience = Duration::from_secs(10);
        let known = Snapshot { heard: Some(start), ..Snapshot::default() };
        assert_eq!(known.check_fresh(start + patience, patience), Ok(()));
        assert_eq!(
            known.check_fresh(start + Duration::from_secs(11), patience),
            Err(Staleness::Silence { seconds: 11 })
        );
        assert!(Snapshot::default().check_fresh(start, patience).is_err(), "before anything was read");
    }
}
