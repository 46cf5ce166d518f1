//! The index of the records of all handlers, for operators and clients.

use super::record::{ListEntry, Record, Status};
use super::{StoreFuture, unsupported};
use crate::clock::UnixTime;

/// An index of the records of all handlers, for listing and counting. By default, both return an
/// error.
pub trait TokenIndex: Send + Sync + 'static {
    /// Returns up to `max` records that match the [`Filter`] after the [`Cursor`], newest first:
    /// ordered by the second of issue, then by handler, then by id.
    ///
    /// `at` determines their [`Status`]; a read changes nothing. A reader that continues from the
    /// cursor of the last record, or from [`stopped_at`](ListPage::stopped_at), sees each record
    /// that exists throughout exactly once, whatever is added or changed.
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Cursor>,
        max: u32,
        at: UnixTime,
    ) -> StoreFuture<'a, ListPage> {
        let _ = (filter, after, max, at);
        unsupported("listing records")
    }

    /// Returns the number of records by handler and [`Status`] at `at`, sorted and without zeros.
    /// `idle` is as in [`Filter`].
    fn tally<'a>(&'a self, idle: &'a [(String, UnixTime)], at: UnixTime) -> StoreFuture<'a, Vec<StatusCount>> {
        let _ = (idle, at);
        unsupported("counting records")
    }

    /// Returns the [`KeyUsage`] of each key that a record names, ordered by key.
    fn key_uses(&self, at: UnixTime) -> StoreFuture<'_, Vec<KeyUsage>> {
        let _ = at;
        unsupported("counting records by key")
    }
}

/// A filter of [`Record`] values, which match if they match all of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The handlers of the records; `None` for any.
    pub handlers: Option<Vec<String>>,
    /// The id of the records' actor; `None` for any.
    pub actor_id: Option<String>,
    /// The creator of the tokens; `None` for any.
    pub client: Option<CreatedBy>,
    /// The [`Status`] of the records; `None` for any.
    pub status: Option<Status>,
    /// The time since which the tokens were neither used nor issued; `None` for any.
    pub unused_since: Option<UnixTime>,
    /// `true` for only the records without expiry.
    pub never_ends: bool,
    /// Handlers whose records expire when idle, each with its cutoff: a record that has been idle
    /// since before that time is expired.
    pub idle: Vec<(String, UnixTime)>,
}

/// The creator of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedBy {
    /// The operator, or an unknown client.
    Operator,
    /// The API client with this id.
    Client(String),
}

/// The position of a [`Record`] in a list, which is ordered by the second of issue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When the token was issued.
    pub issued_at: UnixTime,
    /// The handler of the record.
    pub handler: String,
    /// The id of the record.
    pub id: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The records that match the [`Filter`], newest first.
    pub entries: Vec<ListEntry>,
    /// The position at which a store stopped before the end of the list, because it had compared as
    /// many records with the filter as it does at once. The list continues there.
    pub stopped_at: Option<Cursor>,
}

/// The number of records of a handler with a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCount {
    /// The handler of the records.
    pub handler: String,
    /// The status of the records.
    pub status: Status,
    /// Number of records.
    pub tokens: u64,
}

/// The usage of a key that has signed tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key, as `ring/id`.
    pub key: String,
    /// Number of tokens, valid or not.
    pub minted: u64,
    /// Number of valid tokens, without regard to idleness.
    pub good: u64,
    /// Number of valid tokens without expiry.
    pub never_end: u64,
    /// The latest expiry of a valid token.
    pub newest_expiry: Option<UnixTime>,
}

impl ListEntry {
    /// Returns the entry's [`Cursor`], from which a list continues.
    pub fn place(&self) -> Cursor {
        let Record { issued_at, id, .. } = &self.record;
        Cursor { issued_at: *issued_at, handler: self.handler.clone(), id: id.clone() }
    }
}
