//! What the host remembers of tokens: the records behind the import `store`, and what was revoked, of any handler. Where it
//! is kept is for whoever embeds the runtime; the crate `keyward-store` keeps it in SQLite or PostgreSQL.

use crate::verdict::Restrictions;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

/// What comes of asking a store. It must not need an executor of its caller's: calls are polled on any thread.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where records of tokens are kept. Every record belongs to one handler, by name; no other is ever asked for it.
pub trait TokenStore: Send + Sync + 'static {
    /// The record of that id, ended or not.
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> Pending<'a, Option<Stored>>;

    /// The record with that digest, ended or not.
    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> Pending<'a, Option<Stored>>;

    /// The next number for a record of this handler: 1, or one more than the greatest that there was. It is used up even
    /// if no record is made of it.
    fn next_serial<'a>(&'a self, handler: &'a str) -> Pending<'a, u64>;

    /// Makes all changes or none. What it answers is durable: it survives the end of the process and of the machine.
    fn commit<'a>(&'a self, handler: &'a str, changes: Changes) -> Pending<'a, Committed>;

    /// Notes that a record was used, in unix seconds. It must not wait for anything; it may be lost.
    fn used(&self, handler: &str, id: &str, at: u64);

    /// How many records that are good at `at` a revocation would end.
    fn count<'a>(&'a self, revocation: &'a Revocation, at: u64) -> Pending<'a, u64>;

    /// Writes a revocation down behind all others, and ends the records that fit it; says how many. Durable, like `commit`.
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: u64) -> Pending<'a, u64>;

    /// The revocations behind that number, in order, each with its own; at most so many. Whoever has read up to a number
    /// misses nothing: none appears in front of one that could be read before, and none is taken away.
    fn revocations<'a>(&'a self, after: u64, most: u32) -> Pending<'a, Vec<(u64, Revocation)>>;

    /// Blocks until there may be a new revocation, but never for longer than `most`. Says whether it was told so. It is a
    /// hint: the list itself is read in any case.
    fn wait_for_news(&self, most: Duration) -> bool {
        thread::sleep(most);
        false
    }
}

/// Which tokens are taken back: those that fit all that is given here, of any handler, stored or signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Revocation {
    /// Tokens of this handler.
    pub handler: Option<String>,
    /// The token of this id; only together with its handler.
    pub token_id: Option<String>,
    /// Tokens of the actor with this id.
    pub actor_id: Option<String>,
    /// Tokens that were issued up to this second, and those that do not say when. Without it, whenever they were issued.
    pub issued_until: Option<u64>,
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
    pub ended: Option<Ended>,
}

/// The end of a record, before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// In unix seconds.
    pub at: u64,
    /// Why.
    pub why: Ending,
}

/// Why a record was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Taken back.
    Revoked,
    /// Another has taken its place.
    Replaced,
}

/// A record as it is kept: with the digest of its secret, if it has one.
#[expect(missing_debug_implementations, reason = "what is not printed is not logged")]
pub struct Stored {
    /// What may be shown.
    pub record: Record,
    /// What must not.
    pub digest: Option<SecretDigest>,
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
pub struct Changes {
    /// When, in unix seconds.
    pub at: u64,
    /// A new record.
    pub insert: Option<Insert>,
    /// Records to end as revoked. If one of them is not there or has ended, nothing is changed.
    pub end: Vec<String>,
}

/// A record to be made.
#[expect(missing_debug_implementations, reason = "it may hold a digest")]
pub struct Insert {
    /// The record and its digest.
    pub stored: Stored,
    /// Whether the other records of the actor end.
    pub replace: bool,
    /// How many records of the handler may be good at once, this one included.
    pub most: u64,
}

/// What became of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// They are made, and durable.
    Done,
    /// None is made: the handler has as many records as it may.
    Full,
    /// None is made: a record to be ended has ended meanwhile.
    Ended,
}

/// A store did not answer, or did not do as it was told. What it was told to change may have been changed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(String);

impl StoreError {
    /// Says what happened, in a few words for the operator: without a secret, a digest or the text of a token.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}
