//! Records of tokens, and the changes of them.

use super::StoreFuture;
use crate::clock::UnixTime;
use crate::token::{TokenDigest, TokenId};
use crate::verdict::{CreateRequest, Restrictions};
use zeroize::Zeroizing;

/// A store of the records of tokens, which suffices for the grant of a handler.
///
/// Every record belongs to one handler, by name, and is never requested for another.
pub trait RecordStore: Send + Sync + 'static {
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

    /// Notes that a record was used at `at`. It must not block; the note may be lost. By default,
    /// uses are not recorded: with a [`max_idle`](crate::HandlerConfig::max_idle), tokens then
    /// expire as if unused.
    fn record_use(&self, handler: &str, id: &str, at: UnixTime) {
        let _ = (handler, id, at);
    }
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
    /// [`Restrictions`] of the actor's rights; `None` leaves the actor all of them.
    pub restrictions: Option<Restrictions>,
    /// When the token was issued.
    pub issued_at: UnixTime,
    /// The last second in which the token is valid; `None` if it does not expire.
    pub expires_at: Option<UnixTime>,
    /// When the token was last used, to about a minute; `None` if never.
    pub last_used_at: Option<UnixTime>,
    /// When and why the record was ended; `None` if it was not.
    pub ended: Option<Termination>,
    /// The API client that created the token; `None` for the operator or if unknown.
    pub client: Option<String>,
    /// The key that signed the token, as `ring/id`; `None` if no key did or it is unknown.
    pub key: Option<String>,
    /// The token with which this one was requested, and with which it is revoked; `None` if there
    /// was none, or it has no id.
    pub parent: Option<TokenId>,
}

impl Record {
    /// Creates the record of an unrestricted token that does not expire.
    pub fn new(id: impl Into<String>, actor_id: impl Into<String>, issued_at: UnixTime) -> Self {
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

    /// Creates the record of a token that a [`CreateRequest`] has requested.
    pub(crate) fn requested(
        request: &CreateRequest,
        id: String,
        issued_at: UnixTime,
        expires_at: Option<UnixTime>,
    ) -> Self {
        let CreateRequest { handler: _, actor_id, expires_after: _, restrictions, description, parent, client } =
            request.clone();
        let parent = parent.and_then(|parent| parent.token());
        Self { description, restrictions, expires_at, client, parent, ..Self::new(id, actor_id, issued_at) }
    }

    /// Returns the [`Status`] at `at`. With `idle_before`, a record that has been idle since before
    /// that second is expired.
    pub fn status(&self, at: UnixTime, idle_before: Option<UnixTime>) -> Status {
        match self.ended {
            Some(Termination { why: TerminationReason::Revoked, .. }) => Status::Revoked,
            Some(Termination { why: TerminationReason::Replaced, .. }) => Status::Replaced,
            None if self.expires_at.is_some_and(|end| end.whole() < at.whole()) => Status::Expired,
            None if idle_before.is_some_and(|before| self.idle_since().whole() < before.whole()) => Status::Expired,
            None => Status::Active,
        }
    }

    /// Returns when the token was last used, or issued if it never was.
    pub fn idle_since(&self) -> UnixTime {
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

    /// Returns the [`Status`] with this name.
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
    /// The time.
    pub at: UnixTime,
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
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a digest, which must not be logged")]
pub struct StoredRecord {
    /// The [`Record`], which may be shown.
    pub record: Record,
    /// The [`SecretDigest`], which must not be shown.
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

/// The changes of one call, which a [`RecordStore`] applies atomically.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "it may hold a digest")]
pub struct Transaction {
    /// The time.
    pub at: UnixTime,
    /// A [`NewRecord`].
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
    pub expires_at: Option<UnixTime>,
    /// [`Restrictions`] of the actor's rights; `None` leaves the actor all of them.
    pub restrictions: Option<Restrictions>,
}

/// A [`Record`] to insert.
#[expect(missing_debug_implementations, reason = "it may hold a digest")]
pub struct NewRecord {
    /// The [`StoredRecord`]: the record and its digests.
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
    pub idle_before: Option<UnixTime>,
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

/// A [`Record`] in a list, with its handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// The handler of the record.
    pub handler: String,
    /// The record.
    pub record: Record,
}
