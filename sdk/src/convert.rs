//! Conversions and results that many handlers share.

use crate::store::{Ending, Token};
use crate::{Acceptance, CreateDenied, CreateError, CreateRequest, Denial, Reason, Rejection, Verdict, clock};

impl Verdict {
    /// Creates a [`Verdict::Rejected`] with a sentence for the caller.
    #[must_use]
    pub fn rejected(reason: Reason, message: impl Into<String>) -> Self {
        Self::Rejected(Rejection { reason, message: message.into() })
    }
}

impl CreateError {
    /// Creates a [`CreateError::Denied`] with a sentence for the caller.
    #[must_use]
    pub fn denied(denial: Denial, message: impl Into<String>) -> Self {
        Self::Denied(CreateDenied { denial, message: message.into() })
    }
}

impl CreateRequest {
    /// Returns when a token that is created now expires; `None` if it does not.
    ///
    /// # Errors
    /// [`CreateError::Denied`] if the expiry is after the year 9999, the last that the contract
    /// allows.
    pub fn expires_at(&self) -> Result<Option<u64>, CreateError> {
        const LAST: u64 = 253_402_300_799;
        let Some(seconds) = self.expires_after else { return Ok(None) };
        match clock::now().seconds.saturating_add(u64::from(seconds)) {
            second if second > LAST => {
                Err(CreateError::denied(Denial::InvalidRequest, "the token would expire after the year 9999"))
            }
            second => Ok(Some(second)),
        }
    }
}

impl Token {
    /// Returns the record's [`Verdict`] on a token whose secret or signature is correct. `actor`, a
    /// JSON object, is the actor that it speaks for. The token is valid unless the record has ended
    /// or has expired.
    #[must_use]
    pub fn verdict(self, actor: String) -> Verdict {
        match self.ended {
            Some(Ending::Revoked) => return Verdict::rejected(Reason::Revoked, "Token has been revoked"),
            Some(Ending::Replaced) => {
                return Verdict::rejected(Reason::Revoked, "Token has been replaced by a newer one");
            }
            None => {}
        }
        if self.expires_at.is_some_and(|last| clock::now().seconds > last) {
            return Verdict::rejected(Reason::Expired, "Token has expired");
        }
        Verdict::Accepted(Acceptance {
            actor,
            restrictions: self.restrictions,
            token_id: Some(self.id),
            issued_at: Some(self.issued_at),
            expires_at: self.expires_at,
        })
    }
}
