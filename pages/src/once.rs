//! Random values of which the store keeps the digest: links, sign-ins and forms.

use crate::request::Call;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keyward_runtime::Error;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{SecretDigest, StoreError, Ticket, TicketKind};
use sha2::{Digest, Sha256};

/// The time for which a form can be sent, in seconds.
const FORM_TIME: u64 = 86_400;

/// Returns 256 random bits in base64url.
///
/// # Errors
/// The operating system has no randomness.
pub(crate) fn random() -> Result<String, StoreError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::new(format!("no randomness: {error}")))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

pub(crate) fn digest(kind: TicketKind, secret: &str) -> SecretDigest {
    // A value of one kind is of no use as another.
    SecretDigest::new(Sha256::new_with_prefix(kind.name()).chain_update([0]).chain_update(secret).finalize().into())
}

/// Creates the ticket of a secret.
pub(crate) fn ticket(
    kind: TicketKind,
    secret: &str,
    actor_id: &str,
    issued_at: UnixTime,
    expires_at: UnixTime,
) -> Ticket {
    let (issued_at, expires_at) = (issued_at.whole(), expires_at.whole());
    Ticket { kind, digest: digest(kind, secret), actor_id: actor_id.to_owned(), issued_at, expires_at }
}

/// Returns the single-use value of a new form: its time and a random text.
///
/// # Errors
/// The operating system has no randomness.
pub(crate) fn form(now: UnixTime) -> Result<String, StoreError> {
    Ok(format!("{}-{}", now.seconds, random()?))
}

/// Notes that a form was sent. Returns `false` if it was sent before, to this node or another, or
/// is so old that this is no longer known.
pub(crate) async fn is_first(call: &Call<'_>, person: &str, form: &str) -> Result<bool, Error> {
    /// Length of a random text.
    const LENGTH: usize = 43;
    /// Maximum number of expired tickets that are removed with a form.
    const PURGED: u32 = 100;
    let made = form.split_once('-').filter(|(_, random)| random.len() == LENGTH);
    let made = made.and_then(|(seconds, _)| seconds.parse().ok()).map(UnixTime::from_seconds);
    if made.is_none_or(|made| made.later(FORM_TIME) < call.now || made > call.now.later(FORM_TIME)) {
        return Ok(false);
    }
    // Two people may not use up each other's forms.
    let secret = format!("{form}{person}");
    // Known for longer than any node shows the form.
    let sent = ticket(TicketKind::Form, &secret, person, call.now, call.now.later(2 * FORM_TIME));
    let is_first = call.store.add_ticket(&sent).await?;
    // Tickets that stay are removed with a later form.
    let _ = call.store.purge_tickets(call.now, PURGED).await;
    Ok(is_first)
}
