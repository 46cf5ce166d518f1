//! What the host remembers of tokens: the records behind the import `store`, and what was revoked,
//! of any handler. Where it is kept is for whoever embeds the runtime; the crate `keyward-store`
//! keeps it in SQLite or PostgreSQL.

use crate::sanitize::escape_untrusted;
use crate::token::TokenDigest;
use crate::verdict::Restrictions;
use sha2::{Digest, Sha256};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

/// What comes of asking a store. It must not need an executor of its caller's: calls are polled on
/// any thread.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where records of tokens are kept. Every record belongs to one handler, by name; no other is ever
/// asked for it.
pub trait TokenStore: Send + Sync + 'static {
    /// The record of that id, ended or not.
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> StoreFuture<'a, Option<StoredRecord>>;

    /// The record with that digest, ended or not.
    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>>;

    /// Finds the record of an issued token, ended or not, by the digest of the token: of one
    /// handler, or of any.
    fn find_issued<'a>(
        &'a self,
        handler: Option<&'a str>,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<ListEntry>>;

    /// The next number for a record of this handler: 1, or one more than the greatest that there
    /// was. It is used up even if no record is made of it.
    fn next_serial<'a>(&'a self, handler: &'a str) -> StoreFuture<'a, u64>;

    /// Makes all changes or none. What it answers is durable: it survives the end of the process
    /// and of the machine.
    fn commit<'a>(&'a self, handler: &'a str, changes: Transaction) -> StoreFuture<'a, CommitOutcome>;

    /// Notes that a record was used, in unix seconds. It must not wait for anything; it may be
    /// lost.
    fn record_use(&self, handler: &str, id: &str, at: u64);

    /// How many records that are good at `at` a revocation would end.
    fn count<'a>(&'a self, revocation: &'a Revocation, at: u64) -> StoreFuture<'a, u64>;

    /// Appends a revocation to the list and ends the records that fit it. Durable, like `commit`.
    /// One of what was issued up to `at` or later is about every record that exists: those with a
    /// later time, which a clock that is ahead has given them, end too, and each such token is
    /// revoked by its id. So a record that has not ended postdates every revocation of its token.
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: u64) -> StoreFuture<'a, Revoked>;

    /// The entries of the list behind that number, in order, each with its own; at most so many. A
    /// reader that has read up to a number misses nothing: none appears in front of one that could
    /// be read before, and none is taken away.
    fn revocations<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>>;

    /// The newest time that [`note_clock`](Self::note_clock) was given, in unix seconds.
    fn clock(&self) -> StoreFuture<'_, Option<u64>>;

    /// Notes that a clock which is believed shows this time. It never goes back.
    fn note_clock(&self, at: u64) -> StoreFuture<'_, ()>;

    /// Records that fit the filter, newest first: by the second in which they were made, then by
    /// handler, then by id; those behind that place, at most so many. What `at` is decides their
    /// status, and looking changes nothing. Whoever reads on from the place of the last one sees
    /// each record that is there all the while once, whatever is added or changed.
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Cursor>,
        max: u32,
        at: u64,
    ) -> StoreFuture<'a, Vec<ListEntry>>;

    /// How many records there are, by handler and by their status at `at`; `idle` as in [`Filter`].
    /// Sorted, and without zeros.
    fn tally<'a>(&'a self, idle: &'a [(String, u64)], at: u64) -> StoreFuture<'a, Vec<StatusCount>>;

    /// What is known of each key that a record names, in the order of their names.
    fn key_uses<'a>(&'a self, at: u64) -> StoreFuture<'a, Vec<KeyUsage>>;

    /// Notes up to which number a node has read the revocations, and when. Those that have said
    /// nothing for 30 days are forgotten.
    fn note_node<'a>(&'a self, node: &'a str, last: u64, at: u64) -> StoreFuture<'a, ()>;

    /// What the nodes have said of themselves, in the order of their names.
    fn nodes<'a>(&'a self) -> StoreFuture<'a, Vec<NodeStatus>>;

    /// Blocks until there may be a new revocation, but never for longer than `max`. Says whether it
    /// was told so. It is a hint: the list itself is read in any case.
    fn wait_for_change(&self, max: Duration) -> bool {
        thread::sleep(max);
        false
    }
}

/// Which tokens are taken back: those that fit all that is given here, of any handler, stored or
/// signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Revocation {
    /// Tokens of this handler.
    pub handler: Option<String>,
    /// The token of this id; only together with its handler.
    pub token_id: Option<String>,
    /// The token with this digest, whatever its handler calls it, or whose id has it. Given with
    /// `token_id`, either names the token.
    pub token_digest: Option<TokenDigest>,
    /// Tokens of the actor with this id.
    pub actor_id: Option<String>,
    /// Tokens that were issued up to this second, and those that do not say when. Without it,
    /// whenever they were issued.
    pub issued_until: Option<u64>,
}

/// An entry in the list of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Tokens are revoked.
    Revoked(Revocation),
    /// An operator's word that some clock was ahead: no cut-off before this entry lies behind this
    /// second.
    Capped(u64),
}

impl Entry {
    /// Returns a digest of its content, by which it is recognized under its number.
    pub fn digest(&self) -> u64 {
        let (kind, texts, time) = match self {
            Self::Revoked(Revocation { handler, token_id, actor_id, issued_until, token_digest: _ }) => {
                ("revoked", [handler.as_deref(), token_id.as_deref(), actor_id.as_deref()], *issued_until)
            }
            Self::Capped(at) => ("capped", [None; 3], Some(*at)),
        };
        let mut hash = Sha256::new_with_prefix(kind);
        for text in texts {
            // A length of its own for none, so that no two entries are written alike.
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

/// The result of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// The number of valid records that it ended.
    pub ended: u64,
    /// The number of its entry in the list.
    pub number: u64,
}

/// A record of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name, unique within its handler for ever.
    pub id: String,
    /// The id of the actor that the token speaks for.
    pub actor_id: String,
    /// The note of whoever asked for it.
    pub description: Option<String>,
    /// What it narrows the actor's rights to.
    pub restrictions: Option<Restrictions>,
    /// When it was made, in unix seconds.
    pub issued_at: u64,
    /// The last second in which it is good.
    pub expires_at: Option<u64>,
    /// When it was last used, to the minute or so.
    pub last_used_at: Option<u64>,
    /// When and why it was ended, if it was.
    pub ended: Option<Termination>,
    /// The caller of the daemon's that had it made. Without one it was the operator, or unknown.
    pub client: Option<String>,
    /// The key that signed the token, as `ring/id`, if one did and it is known.
    pub key: Option<String>,
}

impl Record {
    /// What has become of it at `at`. `idle_before`: it counts as expired if it was idle since
    /// before that.
    pub fn status(&self, at: u64, idle_before: Option<u64>) -> Status {
        match self.ended {
            Some(Termination { why: TerminationReason::Revoked, .. }) => Status::Revoked,
            Some(Termination { why: TerminationReason::Replaced, .. }) => Status::Replaced,
            None if self.expires_at.is_some_and(|end| end < at) => Status::Expired,
            None if idle_before.is_some_and(|before| self.idle_since() < before) => Status::Expired,
            None => Status::Active,
        }
    }

    /// When it was last used, or made if it never was.
    pub fn idle_since(&self) -> u64 {
        self.last_used_at.unwrap_or(self.issued_at)
    }

    /// What an edit may change.
    pub fn terms(&self) -> TokenTerms {
        let Self { description, expires_at, restrictions, .. } = self.clone();
        TokenTerms { description, expires_at, restrictions }
    }
}

/// What has become of a record. It is computed whenever somebody looks, and written nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It is good.
    Active,
    /// Its time is over, or it was not used for too long.
    Expired,
    /// It was taken back.
    Revoked,
    /// Another has taken its place.
    Replaced,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Expired, Self::Revoked, Self::Replaced];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Its name: `active`, `expired`, `revoked` or `replaced`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
        }
    }
}

/// The end of a record, before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Termination {
    /// In unix seconds.
    pub at: u64,
    /// Why.
    pub why: TerminationReason,
}

/// Why a record was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationReason {
    /// Taken back.
    Revoked,
    /// Another has taken its place.
    Replaced,
}

/// A record as it is kept: with the digest of its secret, if it has one.
#[expect(missing_debug_implementations, reason = "what is not printed is not logged")]
pub struct StoredRecord {
    /// What may be shown.
    pub record: Record,
    /// What must not.
    pub digest: Option<SecretDigest>,
    /// The digest of the issued token. `None`: the token was issued elsewhere, or before digests
    /// were kept.
    pub token_digest: Option<TokenDigest>,
}

/// The SHA-256 of a secret. Enough for secrets that nobody can guess, which is what handlers draw.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "what is not printed is not logged")]
pub struct SecretDigest(Zeroizing<[u8; 32]>);

impl SecretDigest {
    /// These bytes, as they were kept.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be kept.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What a call changes.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "it may hold a digest")]
pub struct Transaction {
    /// When, in unix seconds.
    pub at: u64,
    /// A new record.
    pub insert: Option<NewRecord>,
    /// Records to end as revoked. If one of them is not there or has ended, nothing is changed.
    pub end: Vec<String>,
    /// Other terms for a record.
    pub edit: Option<RecordUpdate>,
}

/// A record's new terms. If it is not there or has ended, or its terms are not what they were,
/// nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordUpdate {
    /// Of this record.
    pub id: String,
    /// What its terms were when somebody decided on the new ones.
    pub before: TokenTerms,
    /// What they are to be.
    pub after: TokenTerms,
    /// Whether the record ends too, as replaced.
    pub replaced: bool,
}

/// What may be changed of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenTerms {
    /// The note of whoever asked for it.
    pub description: Option<String>,
    /// The last second in which it is good.
    pub expires_at: Option<u64>,
    /// What it narrows the actor's rights to.
    pub restrictions: Option<Restrictions>,
}

/// A record to be made.
#[expect(missing_debug_implementations, reason = "it may hold a digest")]
pub struct NewRecord {
    /// The record and its digest.
    pub stored: StoredRecord,
    /// Whether the other records of the actor end.
    pub replace: bool,
    /// How many records of the handler may be good at once, this one included.
    pub max: u64,
    /// How many of them the actor may have, this one included.
    pub max_per_actor: Option<u64>,
    /// Those that have been idle since before this second are not counted: they are not good any
    /// more.
    pub idle_before: Option<u64>,
    /// Whether it is well if there is a record of that id that has not ended: it is left as it is,
    /// and counts as made. A signed token may come out the same twice in a second. Otherwise
    /// nothing is changed.
    pub same_is_fine: bool,
}

/// What became of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// They are made, and durable.
    Done,
    /// None is made: the handler has as many records as it may.
    Full,
    /// None is made: the actor has as many records of the handler as it may.
    FullForActor,
    /// None is made: a record to be ended or edited, or the same that was to be made, has ended
    /// meanwhile.
    Ended,
    /// None is made: the terms of the record to be edited have changed meanwhile.
    Changed,
    /// None is made: the handler has a record of that id, or of that token, already.
    Duplicate,
}

/// Which records are listed: those that fit all that is given here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of one of these handlers. Without it, of any.
    pub handlers: Option<Vec<String>>,
    /// For the actor with this id.
    pub actor_id: Option<String>,
    /// Made by them.
    pub client: Option<CreatedBy>,
    /// With this status.
    pub status: Option<Status>,
    /// Not used at this second or later, and not made then either.
    pub unused_since: Option<u64>,
    /// Only those without a last second.
    pub never_ends: bool,
    /// Handlers whose records expire when they are idle, and since before when one must be for
    /// that.
    pub idle: Vec<(String, u64)>,
}

/// Who had a record made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedBy {
    /// No caller that is known.
    Operator,
    /// The caller with this id.
    Client(String),
}

/// Where a record stands among all others, in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When it was made, in unix seconds.
    pub issued_at: u64,
    /// Whose it is.
    pub handler: String,
    /// Its id.
    pub id: String,
}

/// A record in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// Whose it is.
    pub handler: String,
    /// What may be shown of it.
    pub record: Record,
}

impl ListEntry {
    /// Where it stands.
    pub fn place(&self) -> Cursor {
        let Record { issued_at, id, .. } = &self.record;
        Cursor { issued_at: *issued_at, handler: self.handler.clone(), id: id.clone() }
    }
}

/// How many records of a handler have a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCount {
    /// The handler.
    pub handler: String,
    /// The status.
    pub status: Status,
    /// How many.
    pub tokens: u64,
}

/// What is known of the tokens that a key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key, as `ring/id`.
    pub key: String,
    /// How many there are, good or not.
    pub minted: u64,
    /// How many are good, if none of them was idle for too long.
    pub good: u64,
    /// How many of the good ones have no last second.
    pub never_end: u64,
    /// The last second of the good one that has the latest.
    pub newest_expiry: Option<u64>,
}

/// What a node has said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// The number of the last revocation that it has read.
    pub last: u64,
    /// How many there are behind that.
    pub behind: u64,
    /// When it said so, in unix seconds.
    pub at: u64,
}

/// A store did not answer, or did not do as it was told. What it was told to change may have been
/// changed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(String);

impl StoreError {
    /// Says what happened, in a few words for the operator: without a secret, a digest or the text
    /// of a token. What a database says is made printable here, and cut.
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
