//! Tickets, with which persons sign in and send forms.

use super::record::SecretDigest;
use super::{StoreFuture, unsupported};
use crate::clock::UnixTime;

/// A store of tickets. By default, every method returns an error.
pub trait TicketStore: Send + Sync + 'static {
    /// Adds a [`Ticket`], durably, like [`RecordStore::commit`](super::RecordStore::commit).
    /// Returns `false`, without a change, if there is one of this kind with this digest, expired or
    /// not. Of calls at the same time, on any node, only one returns `true`.
    fn add_ticket<'a>(&'a self, ticket: &'a Ticket) -> StoreFuture<'a, bool> {
        let _ = ticket;
        unsupported("adding a ticket")
    }

    /// Returns the [`Ticket`] of this kind with this digest, unless it has expired at `at`.
    fn find_ticket<'a>(
        &'a self,
        kind: TicketKind,
        digest: &'a SecretDigest,
        at: UnixTime,
    ) -> StoreFuture<'a, Option<Ticket>> {
        let _ = (kind, digest, at);
        unsupported("looking up a ticket")
    }

    /// Removes a [`Ticket`], durably, and returns it. If it has expired at `at`, returns `None`,
    /// without a change. Of calls at the same time, on any node, only one gets it.
    fn take_ticket<'a>(
        &'a self,
        kind: TicketKind,
        digest: &'a SecretDigest,
        at: UnixTime,
    ) -> StoreFuture<'a, Option<Ticket>> {
        let _ = (kind, digest, at);
        unsupported("taking a ticket")
    }

    /// Removes up to `max` tickets of any kind whose last valid second is before `before`. Returns
    /// their number.
    fn purge_tickets(&self, before: UnixTime, max: u32) -> StoreFuture<'_, u64> {
        let _ = (before, max);
        unsupported("removing expired tickets")
    }
}

/// A secret that is valid for a limited time, of which only the digest is stored.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a digest, which must not be logged")]
pub struct Ticket {
    /// The purpose of the secret.
    pub kind: TicketKind,
    /// The digest of the secret, unique among the tickets of this kind.
    pub digest: SecretDigest,
    /// The id of the actor that the ticket is for.
    pub actor_id: String,
    /// When the ticket was issued.
    pub issued_at: UnixTime,
    /// The last second in which the ticket is valid.
    pub expires_at: UnixTime,
}

impl Ticket {
    /// Returns whether the ticket has expired at `at`.
    pub fn has_expired(&self, at: UnixTime) -> bool {
        self.expires_at.whole() < at.whole()
    }
}

/// The purpose of a [`Ticket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketKind {
    /// A link with which a person signs in, once.
    Link,
    /// A browser in which a person is signed in.
    SignIn,
    /// A form that was sent.
    Form,
}

impl TicketKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Link, Self::SignIn, Self::Form];

    /// Returns the name: `link`, `sign-in` or `form`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::SignIn => "sign-in",
            Self::Form => "form",
        }
    }
}
