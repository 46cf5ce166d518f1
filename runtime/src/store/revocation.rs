//! The log of revocations.

use super::StoreFuture;
use crate::clock::UnixTime;
use crate::token::{TokenDigest, TokenId};
use sha2::{Digest, Sha256};
use std::thread;
use std::time::Duration;

/// An append-only log of revocations of tokens of every handler.
pub trait RevocationLog: Send + Sync + 'static {
    /// Appends a [`Revocation`] to the log and ends the matching records, durably, like
    /// [`RecordStore::commit`](super::RecordStore::commit). A revocation that names a token also
    /// ends the records of its descendants and appends a revocation of each, unless it says to keep
    /// them.
    ///
    /// A revocation of all tokens issued up to `at` or later ends every matching record that
    /// exists. That includes records with a later issue time, from a node whose clock was ahead;
    /// each of those tokens is also revoked by its id. Therefore a record that has not ended
    /// postdates every revocation of its token.
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, Revoked>;

    /// Returns up to `max` entries of the log after the number `after`, in order, each with its
    /// number.
    ///
    /// A reader that has read up to a number misses nothing: no entry appears before one that was
    /// already readable, and no entry is removed.
    fn entries<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>>;

    /// Returns the number of records valid at `at` that a revocation would end.
    fn count<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, u64>;

    /// Returns the newest time that was passed to [`note_clock`](Self::note_clock). A node whose
    /// clock is far behind it gives no verdicts that depend on time. `None` disables this check.
    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>>;

    /// Notes the time of a trusted clock. The newest time never decreases.
    fn note_clock(&self, at: UnixTime) -> StoreFuture<'_, ()>;

    /// Blocks until there may be a new revocation, or for `max`. Returns whether it was notified.
    /// The result is only a hint: the log is read in either case.
    fn wait_for_change(&self, max: Duration) -> bool {
        thread::sleep(max);
        false
    }
}

/// Follows the name of a handler in revocations of its sessions. No name contains a colon.
const SESSIONS: &str = ":sessions";

/// A revocation of the tokens that match all of its fields, of any handler, stored or signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Revocation {
    /// The handler of the tokens; `None` for any. [`of_sessions`](Self::of_sessions) names its
    /// sessions.
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
    pub issued_until: Option<UnixTime>,
    /// `true` if the tokens that were requested with a token named here stay valid. Not a part of
    /// an [`Entry`] in the list, in which each of them has an entry of its own.
    pub keep_children: bool,
}

impl Revocation {
    /// Creates the revocation of the sessions of a handler, and of none of its tokens.
    pub fn of_sessions(handler: &str) -> Self {
        Self { handler: Some(Self::scope_of_sessions(handler)), ..Self::default() }
    }

    /// Returns the handler whose sessions alone are revoked; `None` if tokens may be, too.
    pub fn handler_of_sessions(&self) -> Option<&str> {
        self.handler.as_deref()?.strip_suffix(SESSIONS)
    }

    /// Returns the name of a handler in revocations of its sessions.
    pub(crate) fn scope_of_sessions(handler: &str) -> String {
        format!("{handler}{SESSIONS}")
    }
}

/// The revocation of a token, and of its descendants.
impl From<TokenId> for Revocation {
    fn from(TokenId { handler, id }: TokenId) -> Self {
        Self { handler: Some(handler), token_id: Some(id), ..Self::default() }
    }
}

/// An entry in a [`RevocationLog`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A revocation.
    Revoked(Revocation),
    /// An operator's statement that a clock was ahead: no cutoff before this entry is later than
    /// this second.
    Capped(UnixTime),
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
        hash.update(time.map_or(0, |time| time.seconds).to_be_bytes());
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
    pub descendants: Vec<TokenId>,
}
