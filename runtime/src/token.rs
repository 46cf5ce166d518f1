//! The digest of a token, and its identity: a handler and an id.

use sha2::{Digest, Sha256};
use std::fmt;

/// The SHA-256 of a token's text.
///
/// A digest identifies the record of an issued token, and revokes exactly that token, whatever its
/// handler calls it. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Computes the digest of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Wraps a digest that was read from a store.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, for a store to keep.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenDigest").finish_non_exhaustive()
    }
}

/// Returns whether `text` has only characters allowed in issued tokens and prefixes: those of RFC
/// 6750's `b64token`.
pub(crate) fn is_token_text(text: &str) -> bool {
    text.bytes().all(is_token_byte)
}

/// Returns whether `byte` may be part of an issued token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._~+/=-".contains(&byte)
}

/// The identity of a token: its handler, and the id that is unique within the handler.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a handler and an id are the whole of an identity")]
pub struct TokenId {
    /// The name of the handler.
    pub handler: String,
    /// The id of the token.
    pub id: String,
}

impl TokenId {
    /// Creates the identity of a token.
    pub fn new(handler: impl Into<String>, id: impl Into<String>) -> Self {
        Self { handler: handler.into(), id: id.into() }
    }
}

/// Writes `handler/id`.
impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handler, id } = self;
        write!(f, "{handler}/{id}")
    }
}
