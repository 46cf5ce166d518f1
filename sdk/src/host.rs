//! The imports of a handler: one module each.
//!
//! Compiled for wasm32, they call the host. Compiled for any other target, they call the
//! [`Host`](crate::testing::Host) of the running test.

/// The time. Always granted.
pub mod clock {
    pub use crate::bindings::keyward::handler::clock::Datetime;

    /// Returns the Unix time, which is the same for the whole call.
    #[must_use]
    pub fn now() -> Datetime {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::clock::now();
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.now());
    }
}

/// Message authentication with keys that the handler never sees. Granted label by label.
pub mod keys {
    pub use crate::bindings::keyward::handler::keys::KeyError;

    /// Returns the signature over `message` by the active key behind `label`: 20 bytes with the
    /// scheme `itsdangerous`, 32 with `hmac-sha256`. Works in `create` only.
    ///
    /// # Errors
    /// [`KeyError::NotGranted`] if the operator did not grant the label,
    /// [`KeyError::NotPermittedNow`] outside `create`.
    pub fn sign(label: &str, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::keys::sign(label, message);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.sign(label, message));
    }

    /// Returns the id of the key with which [`sign`] signs during the whole call, and its
    /// algorithm: the name in JWS, such as `HS256`, or otherwise that of the scheme. Works in
    /// `create` only.
    ///
    /// # Errors
    /// As for [`sign`].
    pub fn signing_key(label: &str) -> Result<(String, String), KeyError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::keys::signing_key(label);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.signing_key(label));
    }

    /// Returns whether `signature` is the full-length signature of `message` by any key behind
    /// `label`.
    ///
    /// # Errors
    /// [`KeyError::NotGranted`] if the operator did not grant the label.
    pub fn verify(label: &str, message: &[u8], signature: &[u8]) -> Result<bool, KeyError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::keys::verify(label, message, signature);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.verify(label, message, signature));
    }
}

/// Verification of signatures with public keys of issuers. Granted label by label.
pub mod public_keys {
    pub use crate::bindings::keyward::handler::public_keys::{Algorithm, PublicKeyError};

    /// Returns whether `signature` is the signature of the whole `message` by a key behind `label`
    /// that is for `algorithm`. `key_id` (RFC 7515 `kid`) narrows the keys to those with this id.
    ///
    /// # Errors
    /// [`PublicKeyError::NotGranted`] if the operator did not grant the label,
    /// [`PublicKeyError::NoSuchKey`] if no key has the id, [`PublicKeyError::WrongAlgorithm`] if
    /// the algorithm is not granted or not that of the key, and [`PublicKeyError::Unavailable`] if
    /// the key set cannot be read: then the handler cannot tell, and returns
    /// [`Failure::Unavailable`](crate::Failure::Unavailable).
    pub fn verify(
        label: &str,
        key_id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, PublicKeyError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::public_keys::verify(label, key_id, algorithm, message, signature);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.verify_public(label, key_id, algorithm, message, signature));
    }
}

/// Settings of this handler, which the operator configures. Always granted.
pub mod settings {
    /// Returns the setting as JSON text (`true`, `60`, `"text"`, `{…}`), or `None` if the operator
    /// did not set it.
    ///
    /// Read it strictly: a value of the wrong type is an operator's mistake, which a fallback to
    /// the default would hide. Return [`Failure::Internal`](crate::Failure::Internal) with the name
    /// of the setting.
    #[must_use]
    pub fn get(name: &str) -> Option<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::settings::get(name);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.setting(name));
    }
}

/// Secrets of the operator that a caller may present unchanged. Granted by naming at least one.
pub mod secrets {
    /// Returns the name of the configured secret that equals `candidate`, which the host compares
    /// in constant time.
    #[must_use]
    pub fn find(candidate: &str) -> Option<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::secrets::find(candidate);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.find_secret(candidate));
    }
}

/// Hashing on the host, which is faster than in a guest. Always granted.
pub mod digest {
    /// Returns the SHA-256 of `data`: 32 bytes. It has no key: to authenticate, use
    /// [`keys`](super::keys).
    #[must_use]
    pub fn sha256(data: &[u8]) -> Vec<u8> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::digest::sha256(data);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::sha256(data);
    }
}

/// Randomness from the operating system. Always granted.
pub mod random {
    /// Returns `count` unpredictable bytes. More than 65,536 at once trap.
    #[must_use]
    pub fn bytes(count: u32) -> Vec<u8> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::random::bytes(count);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.random(count));
    }
}

/// Lines for the operator's log. Always granted.
pub mod log {
    pub use crate::bindings::keyward::handler::log::Level;

    /// Writes one line. The host escapes it, truncates it to 1,024 bytes and keeps 50 lines of a
    /// call.
    ///
    /// Never write a token.
    pub fn write(level: Level, message: &str) {
        #[cfg(target_arch = "wasm32")]
        crate::bindings::keyward::handler::log::write(level, message);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::current(|host| host.log(level, message));
    }
}

/// Records of the tokens that this handler creates, kept by the host. Granted as a whole.
///
/// A handler sees only its own records, and neither secrets nor digests. The changes of a call are
/// committed atomically once the call has succeeded and the host has accepted its result; until
/// then no lookup returns them. If the store is unavailable, the host aborts the call, so none of
/// these functions returns an error.
///
/// Set [`Acceptance::token_id`](crate::Acceptance::token_id) to the record's id, so that the host
/// checks the record too.
pub mod store {
    pub use crate::bindings::keyward::handler::store::{Ending, IdForm, Token};

    /// Inserts the record of the token that this call of `create` returns, once per call, and
    /// returns its id. Actor, restrictions and description are those of the request. The host keeps
    /// only the SHA-256 of the secret, so draw it from [`random`](super::random): a guessable
    /// secret can be recovered from its digest.
    #[must_use]
    pub fn insert(id: IdForm, secret: Option<&str>, expires_at: Option<u64>) -> String {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::insert(id, secret, expires_at);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.insert(id, secret, expires_at, false));
    }

    /// Like [`insert`], and also ends all other records of the actor with this handler, so that an
    /// actor has at most one.
    #[must_use]
    pub fn replace(id: IdForm, secret: Option<&str>, expires_at: Option<u64>) -> String {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::replace(id, secret, expires_at);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.insert(id, secret, expires_at, true));
    }

    /// Returns the record with this id, ended or not.
    #[must_use]
    pub fn find(id: &str) -> Option<Token> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::find(id);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.find_record(|record| record.token.id == id));
    }

    /// Returns the record that was inserted with exactly this secret, ended or not.
    #[must_use]
    pub fn find_secret(secret: &str) -> Option<Token> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::find_secret(secret);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.find_record(|record| record.secret.as_deref() == Some(secret)));
    }

    /// Returns the record with this id, ended or not, if it was inserted with exactly this secret.
    /// A missing record takes as long as a wrong secret.
    #[must_use]
    pub fn check_secret(id: &str, secret: &str) -> Option<Token> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::check_secret(id, secret);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| {
            host.find_record(|record| record.token.id == id && record.secret.as_deref() == Some(secret))
        });
    }

    /// Revokes a record. If it has ended in another way in the meantime, the result of this call is
    /// discarded.
    pub fn end(id: &str) {
        #[cfg(target_arch = "wasm32")]
        crate::bindings::keyward::handler::store::end(id);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::current(|host| host.end(id));
    }
}

/// Rows from the operator's own databases, by queries that the operator has written. Granted label
/// by label.
///
/// If a database misses its deadline, the host aborts the call, so this is not among the errors.
pub mod queries {
    pub use crate::bindings::keyward::handler::queries::{Answer, QueryError, Value};

    /// Runs the query behind a label, with values for its parameters by name. Unused parameters are
    /// ignored.
    ///
    /// # Errors
    /// [`QueryError::NotGranted`] if the operator did not grant the label,
    /// [`QueryError::WrongParameters`] if a parameter of the query is missing, a parameter occurs
    /// twice, or a text contains a NUL.
    pub fn run(label: &str, parameters: &[(String, Value)]) -> Result<Answer, QueryError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::queries::run(label, parameters);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.run_query(label, parameters));
    }
}

/// Requests to endpoints that the operator configured. Granted label by label.
pub mod http {
    pub use crate::bindings::keyward::handler::http::{HttpError, Response};

    /// Requests the endpoint behind `label`, with `query` added to the query of its URL. The
    /// response may have any status but a redirect.
    ///
    /// # Errors
    /// [`HttpError::NotGranted`] if the operator did not grant the label,
    /// [`HttpError::WrongParameter`] if the operator does not allow a parameter, and any other
    /// [`HttpError`] if there is no response: then the handler cannot tell, and returns
    /// [`Failure::Unavailable`](crate::Failure::Unavailable).
    pub fn send(label: &str, query: &[(String, String)]) -> Result<Response, HttpError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::http::send(label, query);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.request(label, query));
    }
}
