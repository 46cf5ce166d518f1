//! What a handler may ask of its host: a module for each import.
//!
//! Compiled for wasm32 they call the host. Compiled for anything else they ask the
//! [`Host`](crate::testing::Host) of the test that runs.

/// The time. Always granted.
pub mod clock {
    pub use crate::bindings::keyward::handler::clock::Datetime;

    /// Unix time. The same value however often it is asked for in one call.
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

    /// The signature over `message` by the active key behind `label`: 20 bytes with the scheme
    /// `itsdangerous`, 32 with `hmac-sha256`. Works in `create` only.
    ///
    /// # Errors
    /// [`KeyError::NotGranted`] where the operator granted no such label,
    /// [`KeyError::NotPermittedNow`] outside `create`.
    pub fn sign(label: &str, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::keys::sign(label, message);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.sign(label, message));
    }

    /// Whether `signature` is, in full length, that of `message` by any key behind `label`.
    ///
    /// # Errors
    /// [`KeyError::NotGranted`] where the operator granted no such label.
    pub fn verify(label: &str, message: &[u8], signature: &[u8]) -> Result<bool, KeyError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::keys::verify(label, message, signature);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.verify(label, message, signature));
    }
}

/// What the operator set for this handler. Always granted.
pub mod settings {
    /// The setting as JSON text (`true`, `60`, `"text"`, `{…}`), or `None` where the operator set
    /// none.
    ///
    /// Read it strictly: a value of the wrong type is an operator's mistake, and taking the default
    /// instead would hide it. Answer [`Failure::Internal`](crate::Failure::Internal) and name the
    /// setting.
    #[must_use]
    pub fn get(name: &str) -> Option<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::settings::get(name);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.setting(name));
    }
}

/// Secrets of the operator that a caller may present as they are. Granted by naming at least one.
pub mod secrets {
    /// The name of the configured secret that equals `candidate`, compared in constant time by the
    /// host.
    #[must_use]
    pub fn find(candidate: &str) -> Option<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::secrets::find(candidate);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.find_secret(candidate));
    }
}

/// Hashing by the host's hardware. Always granted.
pub mod digest {
    /// SHA-256 of `data`: 32 bytes. There is no key in it: to authenticate, use
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
    /// That many unpredictable bytes. More than 65,536 at once end the call.
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

    /// Writes one line. The host makes it printable, cuts it at 1,024 bytes and keeps 50 lines of a
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

/// Records of the tokens that this handler makes, kept by the host. Granted by name.
///
/// A handler sees its own records only, and of those neither secrets nor digests. What a call
/// changes is kept when the call has ended well and the host has let its answer through, all of it
/// at once; until then no look-up shows it. A host that cannot have the records ends the call: none
/// of these functions has an error to answer.
///
/// Set [`Acceptance::token_id`](crate::Acceptance::token_id) to the record's id, so that the host
/// judges the record too.
pub mod store {
    pub use crate::bindings::keyward::handler::store::{Ending, IdForm, Token};

    /// Makes the record of the token that this call of `create` makes, once in a call, and gives
    /// its id. Actor, restrictions and description are those of the request. Of the secret the host
    /// keeps its SHA-256 only, so draw it from [`random`](super::random): what can be guessed can
    /// be found again.
    #[must_use]
    pub fn insert(id: IdForm, secret: Option<&str>, expires_at: Option<u64>) -> String {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::insert(id, secret, expires_at);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.insert(id, secret, expires_at, false));
    }

    /// Like [`insert`], and ends all other records of the actor that this handler has: an actor has
    /// at most one.
    #[must_use]
    pub fn replace(id: IdForm, secret: Option<&str>, expires_at: Option<u64>) -> String {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::replace(id, secret, expires_at);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.insert(id, secret, expires_at, true));
    }

    /// The record of that id, ended or not.
    #[must_use]
    pub fn find(id: &str) -> Option<Token> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::find(id);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.find_record(|record| record.token.id == id));
    }

    /// The record that was made with exactly this secret, ended or not.
    #[must_use]
    pub fn find_secret(secret: &str) -> Option<Token> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::find_secret(secret);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.find_record(|record| record.secret.as_deref() == Some(secret)));
    }

    /// The record of that id, ended or not, if it was made with exactly this secret. That there is
    /// no such record takes as long to say as that the secret is another.
    #[must_use]
    pub fn check_secret(id: &str, secret: &str) -> Option<Token> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::store::check_secret(id, secret);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| {
            host.find_record(|record| record.token.id == id && record.secret.as_deref() == Some(secret))
        });
    }

    /// Ends a record. If it has ended meanwhile in another way, the answer of this call does not
    /// count.
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
/// A host whose database does not answer ends the call: that is not among the errors.
pub mod queries {
    pub use crate::bindings::keyward::handler::queries::{Answer, QueryError, Value};

    /// The rows of the query behind a label, with values for its parameters by their names. What it
    /// has no use for is ignored.
    ///
    /// # Errors
    /// [`QueryError::NotGranted`] where the operator granted no such label,
    /// [`QueryError::WrongParameters`] where the query has a parameter that is not given, one is
    /// given twice, or a text has a NUL in it.
    pub fn run(label: &str, parameters: &[(String, Value)]) -> Result<Answer, QueryError> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::keyward::handler::queries::run(label, parameters);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::current(|host| host.run_query(label, parameters));
    }
}
