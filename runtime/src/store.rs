//! Persistent state about tokens: the records behind the import `store`, and the revocations of
//! tokens of every handler. The embedder provides the [`TokenStore`]; the crate `keyward-store`
//! keeps it in SQLite or PostgreSQL.

use crate::sanitize::escape_untrusted;
use crate::token::{TokenDigest, TokenRef};
use crate::verdict::{CreateRequest, Restrictions};
use sha2::{Digest, Sha256};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

/// A future of a [`TokenStore`]. It must not need an executor of its caller: it is polled on any
/// thread.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A store of token records and revocations.
///
/// Every record belongs to one handler, by name, and is never requested for another.
pub trait TokenStore: Send + Sync + 'static {
    /// Returns the [`StoredRecord`] with this id, ended or not.
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> StoreFuture<'a, Option<StoredRecord>>;

    /// Returns the [`StoredRecord`] whose secret has this digest, ended or not.
    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>>;

    /// Returns the record of an issued token, ended or not, by the digest of the token: of one
    /// handler, or of any with `None`.
    fn find_issued<'a>(
        &'a self,
        handler: Option<&'a str>,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<ListEntry>>;

    /// Returns the next number for a record of this handler: 1, or one more than the greatest so
    /// far. It is used up even if no record is created with it.
    fn next_serial<'a>(&'a self, handler: &'a str) -> StoreFuture<'a, u64>;

    /// Applies all changes of a [`Transaction`] or none. The result is durable: it survives a crash
    /// of the process and of the machine.
    fn commit<'a>(&'a self, handler: &'a str, changes: Transaction) -> StoreFuture<'a, CommitOutcome>;

    /// Notes that a record was used at `at`, in unix seconds. It must not block; the note may be
    /// lost.
    fn record_use(&self, handler: &str, id: &str, at: u64);

    /// Returns the number of records valid at `at` that a revocation would end.
    fn count<'a>(&'a self, revocation: &'a Revocation, at: u64) -> StoreFuture<'a, u64>;

    /// Appends a [`Revocation`] to the list and ends the matching records, durably, like
    /// [`commit`](Self::commit). A revocation that names a token also ends the records of its
    /// descendants and appends a revocation of each, unless it says to keep them.
    ///
    /// A revocation of all tokens issued up to `at` or later ends every matching record that
    /// exists. That includes records with a later issue time, from a node whose clock was ahead;
    /// each of those tokens is also revoked by its id. Therefore a record that has not ended
    /// postdates every revocation of its token.
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: u64) -> StoreFuture<'a, Revoked>;

    /// Returns up to `max` entries of the list after the number `after`, in order, each with its
    /// number.
    ///
    /// A reader that has read up to a number misses nothing: no entry appears before one that was
    /// already readable, and no entry is removed.
    fn revocations<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>>;

    /// Returns the newest time that was passed to [`note_clock`](Self::note_clock), in unix
    /// seconds.
    fn clock(&self) -> StoreFuture<'_, Option<u64>>;

    /// Notes the time of a trusted clock. The newest time never decreases.
    fn note_clock(&self, at: u64) -> StoreFuture<'_, ()>;

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
        at: u64,
    ) -> StoreFuture<'a, ListPage>;

    /// Returns the number of records by handler and [`Status`] at `at`, sorted and without zeros.
    /// `idle` is as in [`Filter`].
    fn tally<'a>(&'a self, idle: &'a [(String, u64)], at: u64) -> StoreFuture<'a, Vec<StatusCount>>;

    /// Returns the [`KeyUsage`] of each key that a record names, ordered by key.
    fn key_uses<'a>(&'a self, at: u64) -> StoreFuture<'a, Vec<KeyUsage>>;

    /// Notes the number up to which a node has read the revocations, and the time. Nodes without a
    /// note for 30 days are removed.
    fn note_node<'a>(&'a self, node: &'a str, last: u64, at: u64) -> StoreFuture<'a, ()>;

    /// Returns the [`NodeStatus`] of each node, ordered by name.
    fn nodes<'a>(&'a self) -> StoreFuture<'a, Vec<NodeStatus>>;

    /// Blocks until there may be a new revocation, or for `max`. Returns whether it was notified.
    /// The result is only a hint: the list is read in either case.
    fn wait_for_change(&self, max: Duration) -> bool {
        thread::sleep(max);
        false
    }
}

/// A revocation of the tokens that match all of its fields, of any handler, stored or signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Revocation {
    /// The handler of the tokens; `None` for any.
    pub handler: Option<String>,
    /// The id of the token; requires its handler.
    pub token_id: Option<String>,
    /// The digest of the token, or of its id, whatever its handler calls the token. With `token_id`
    /// too, the revocation covers tokens that match either.
    pub token_digest: Option<TokenDigest>,
    /// The id of the tokens' actor; `None` for any.
    pub actor_id: Option<String>,
    /// The last second of issue of the tokens; tokens without an issue time are included. `None`
    /// for any time.
    pub issued_until: Option<u64>,
    /// `true` if the tokens that were requested with a token named here stay valid. Not a part of
    /// an [`Entry`] in the list, in which each of them has an entry of its own.
    pub keep_children: bool,
}

/// The revocation of a token, and of its descendants.
impl From<TokenRef> for Revocation {
    fn from(TokenRef { handler, id }: TokenRef) -> Self {
        Self { handler: Some(handler), token_id: Some(id), ..Self::default() }
    }
}

/// An entry in the revocation list of a [`TokenStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A revocation.
    Revoked(Revocation),
    /// An operator's statement that a clock was ahead: no cutoff before this entry is later than
    /// this second.
    Capped(u64),
}

impl Entry {
    /// Returns a digest of the entry's content, by which it is recognized under its number.
    pub fn digest(&self) -> u64 {
        let (kind, texts, time) = match self {
            Self::Revoked(Revocation {
                handler,
                token_id,
                actor_id,
                issued_until,
                token_digest: _,
                keep_children: _,
            }) => ("revoked", [handler.as_deref(), token_id.as_deref(), actor_id.as_deref()], *issued_until),
            Self::Capped(at) => ("capped", [None; 3], Some(*at)),
        };
        let mut hash = Sha256::new_with_prefix(kind);
        for text in texts {
            // `None` gets a distinct length, so that no two entries have the same encoding.
            hash.update(text.map_or(u64::MAX, |text| u64::try_from(text.len()).unwrap_or(u64::MAX)).to_be_bytes());
            hash.update(text.unwrap_or_default());
        }
        hash.update([u8::from(time.is_some())]);
        hash.update(time.unwrap_or_default().to_be_bytes());
        if let Self::Revoked(Revocation { token_digest: Some(digest), .. }) = self {
            hash.update(digest.bytes());
        }
        let hash: [u8; 32] = hash.finalize().into();
        hash.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }
}

/// The result of a [`Revocation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Number of valid records that were ended.
    pub ended: u64,
    /// The number of the revocation's entry in the list.
    pub number: u64,
    /// The descendants that were revoked with their parent, each by an entry of its own.
    pub descendants: Vec<TokenRef>,
}

/// A record of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The id, unique within its handler forever.
    pub id: String,
    /// The id of the actor that the token speaks for.
    pub actor_id: String,
    /// The requester's note.
    pub description: Option<String>,
    /// Restrictions of the actor's rights; `None` leaves the actor all of them.
    pub restrictions: Option<Restrictions>,
    /// When the token was issued, in unix seconds.
    pub issued_at: u64,
    /// The last second in which the token is valid; `None` if it does not expire.
    pub expires_at: Option<u64>,
    /// When the token was last used, in unix seconds, to about a minute; `None` if never.
    pub last_used_at: Option<u64>,
    /// When and why the record was ended; `None` if it was not.
    pub ended: Option<Termination>,
    /// The API client that created the token; `None` for the operator or if unknown.
    pub client: Option<String>,
    /// The key that signed the token, as `ring/id`; `None` if no key did or it is unknown.
    pub key: Option<String>,
    /// The token with which this one was requested, and with which it is revoked; `None` if there
    /// was none, or it has no id.
    pub parent: Option<TokenRef>,
}

impl Record {
    /// Creates the record of an unrestricted token that does not expire.
    pub fn new(id: impl Into<String>, actor_id: impl Into<String>, issued_at: u64) -> Self {
        Self {
            id: id.into(),
            actor_id: actor_id.into(),
            description: None,
            restrictions: None,
            issued_at,
            expires_at: None,
            last_used_at: None,
            ended: None,
            client: None,
            key: None,
            parent: None,
        }
    }

    /// Creates the record of a requested token.
    pub(crate) fn requested(request: &CreateRequest, id: String, issued_at: u64, expires_at: Option<u64>) -> Self {
        let CreateRequest { actor_id, expires_after: _, restrictions, description, parent, client } = request.clone();
        let parent = parent.and_then(|parent| parent.token());
        Self { description, restrictions, expires_at, client, parent, ..Self::new(id, actor_id, issued_at) }
    }

    /// Returns the [`Status`] at `at`. With `idle_before`, a record that has been idle since before
    /// that second is expired.
    pub fn status(&self, at: u64, idle_before: Option<u64>) -> Status {
        match self.ended {
            Some(Termination { why: TerminationReason::Revoked, .. }) => Status::Revoked,
            Some(Termination { why: TerminationReason::Replaced, .. }) => Status::Replaced,
            None if self.expires_at.is_some_and(|end| end < at) => Status::Expired,
            None if idle_before.is_some_and(|before| self.idle_since() < before) => Status::Expired,
            None => Status::Active,
        }
    }

    /// Returns when the token was last used, or issued if it never was.
    pub fn idle_since(&self) -> u64 {
        self.last_used_at.unwrap_or(self.issued_at)
    }

    /// Returns the [`TokenTerms`], which an update may change.
    pub fn terms(&self) -> TokenTerms {
        let Self { description, expires_at, restrictions, .. } = self.clone();
        TokenTerms { description, expires_at, restrictions }
    }
}

/// The status of a [`Record`]. It is computed on every read and never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Valid.
    Active,
    /// Past its expiry, or idle for too long.
    Expired,
    /// Revoked.
    Revoked,
    /// Replaced by another token.
    Replaced,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Active, Self::Expired, Self::Revoked, Self::Replaced];

    /// Returns the status with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Returns the name: `active`, `expired`, `revoked` or `replaced`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
        }
    }
}

/// The end of a [`Record`] before its expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Termination {
    /// The time, in unix seconds.
    pub at: u64,
    /// The reason.
    pub why: TerminationReason,
}

/// The reason of a [`Termination`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationReason {
    /// Revoked.
    Revoked,
    /// Replaced by another token.
    Replaced,
}

/// A [`Record`] as it is stored: with the digest of its secret, if it has one.
#[expect(missing_debug_implementations, reason = "it holds a digest, which must not be logged")]
pub struct StoredRecord {
    /// The record, which may be shown.
    pub record: Record,
    /// The digest of the secret, which must not be shown.
    pub digest: Option<SecretDigest>,
    /// The digest of the issued token; `None` if it was issued elsewhere, or before digests were
    /// stored.
    pub token_digest: Option<TokenDigest>,
}

/// The SHA-256 of a secret. This suffices for unguessable secrets, as handlers draw them.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a digest, which must not be logged")]
pub struct SecretDigest(Zeroizing<[u8; 32]>);

impl SecretDigest {
    /// Wraps a digest that was read from a store.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes, for a store to keep.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The changes of one call, which a [`TokenStore`] applies atomically.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "it may hold a digest")]
pub struct Transaction {
    /// The time, in unix seconds.
    pub at: u64,
    /// A new record.
    pub insert: Option<NewRecord>,
    /// Ids of records to end as revoked, with their descendants. If one of them does not exist or
    /// has ended, nothing is changed.
    pub end: Vec<String>,
    /// New terms for a record. With `insert`, the new record replaces this one, and becomes the
    /// parent of its children.
    pub edit: Option<RecordUpdate>,
}

/// New [`TokenTerms`] of a [`Record`]. If the record does not exist or has ended, or its terms
/// differ from `before`, nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordUpdate {
    /// The id of the record.
    pub id: String,
    /// The terms on which the decision was based.
    pub before: TokenTerms,
    /// The new terms.
    pub after: TokenTerms,
    /// `true` if the record also ends, as replaced.
    pub replaced: bool,
}

/// The terms of a [`Record`] that may be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenTerms {
    /// The requester's note.
    pub description: Option<String>,
    /// The last second in which the token is valid; `None` if it does not expire.
    pub expires_at: Option<u64>,
    /// Restrictions of the actor's rights; `None` leaves the actor all of them.
    pub restrictions: Option<Restrictions>,
}

/// A [`Record`] to insert.
#[expect(missing_debug_implementations, reason = "it may hold a digest")]
pub struct NewRecord {
    /// The record and its digests.
    pub stored: StoredRecord,
    /// `true` if the handler's other records of the actor end.
    pub replace: bool,
    /// Maximum number of valid records of the handler, including this one.
    pub max: u64,
    /// Maximum number of valid records of the actor with the handler, including this one.
    pub max_per_actor: Option<u64>,
    /// Maximum number of valid records of its client with all handlers, including this one.
    pub max_per_client: Option<u64>,
    /// Records that have been idle since before this second are expired and do not count; `None` if
    /// records may be idle.
    pub idle_before: Option<u64>,
}

/// The outcome of a [`Transaction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The changes are applied, and durable.
    Done,
    /// Refused, without changes: the handler has its maximum number of records.
    Full,
    /// Refused, without changes: the actor has its maximum number of records with the handler.
    FullForActor,
    /// Refused, without changes: the client has its maximum number of records.
    FullForClient,
    /// Refused, without changes: a record to end or edit, or the same record as the one to insert,
    /// has ended.
    Ended,
    /// Refused, without changes: the terms of the record to edit have changed.
    Changed,
    /// Refused, without changes: the handler already has a record of this id or of this token.
    Duplicate,
    /// Refused, without changes: the parent of the record to insert was revoked or replaced.
    ParentEnded,
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
    /// The second since which the tokens were neither used nor issued; `None` for any.
    pub unused_since: Option<u64>,
    /// `true` for only the records without expiry.
    pub never_ends: bool,
    /// Handlers whose records expire when idle, each with its cutoff: a record that has been idle
    /// since before that second is expired.
    pub idle: Vec<(String, u64)>,
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
    /// When the token was issued, in unix seconds.
    pub issued_at: u64,
    /// The handler of the record.
    pub handler: String,
    /// The id of the record.
    pub id: String,
}

/// A [`Record`] in a list, with its handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// The handler of the record.
    pub handler: String,
    /// The record.
    pub record: Record,
}

impl ListEntry {
    /// Returns the entry's [`Cursor`], from which a list continues.
    pub fn place(&self) -> Cursor {
        let Record { issued_at, id, .. } = &self.record;
        Cursor { issued_at: *issued_at, handler: self.handler.clone(), id: id.clone() }
    }
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
    pub newest_expiry: Option<u64>,
}

/// The status that a node has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// The name of the node.
    pub node: String,
    /// The number of the last revocation that the node has read.
    pub last: u64,
    /// Number of revocations after that.
    pub behind: u64,
    /// When the node reported this, in unix seconds.
    pub at: u64,
}

/// A failure of a [`TokenStore`] or a [`Query`](crate::query::Query). The requested change may or may not
/// have been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(String);

impl StoreError {
    /// Creates an error from a short description for the operator, without a secret, a digest or
    /// the text of a token. A database's message is escaped and truncated here.
    pub fn new(what: impl AsRef<str>) -> Self {
        Self(escape_untrusted(what.as_ref(), 1_000))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}
