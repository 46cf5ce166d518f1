//! Public keys of token issuers, and the verification of signatures with them.

mod jwk;
mod pem;
mod remote;
mod roca;

use crate::sanitize::{MAX_NAME, escape_untrusted};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

pub use remote::{KeySetStatus, Refresh, RefreshTimes, RemoteKeySet, RemoteStatus};

/// A signature algorithm of JWS (RFC 7518 section 3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256. A signature is the concatenation of `r` and `s`, 64 bytes.
    Es256,
    /// ECDSA on P-384 with SHA-384, 96 bytes.
    Es384,
    /// EdDSA with Ed25519, 64 bytes.
    EdDsa,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Returns the name in JWS, such as `RS256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Returns the algorithm with this name, or `None` if there is none. Names are case-sensitive.
    /// `Ed25519` is the newer name of `EdDSA` with that curve (RFC 9864).
    pub fn named(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Public keys of one issuer, by which its signatures are verified.
///
/// Each key has one algorithm, so a token cannot choose how its key is used. Symmetric keys are
/// never part of a set: they are [`KeyRing`](crate::keys::KeyRing)s.
pub struct KeySet {
    name: String,
    keys: Vec<Arc<PublicKey>>,
}

impl KeySet {
    /// Maximum number of keys of a set.
    pub const MAX_KEYS: usize = 64;

    /// Creates a set without keys.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), keys: Vec::new() }
    }

    /// Adds the keys of a JWK or a JWK Set (RFC 7517).
    ///
    /// A key that is not for signatures, or of a type or with an algorithm that is not supported,
    /// is left out. `algorithm` is that of RSA keys that name none.
    ///
    /// # Errors
    /// Returns a [`KeySetError`] if the text is not a JWK or a JWK Set, contains a private or
    /// symmetric key, or has no usable key.
    pub fn with_jwks(mut self, text: &str, algorithm: Option<Algorithm>) -> Result<Self, KeySetError> {
        self.extend(jwk::parse(&self.name, text, algorithm)?)?;
        self.checked()
    }

    /// Adds the keys of `PUBLIC KEY` sections in PEM (RFC 7468 section 13).
    ///
    /// `algorithm` is that of RSA keys; the other types have one algorithm each. Such a key is
    /// named by its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// Returns a [`KeySetError`] if the text has no public key, or a section of another kind.
    pub fn with_pem(mut self, text: &str, algorithm: Option<Algorithm>) -> Result<Self, KeySetError> {
        self.extend(pem::parse(&self.name, text, algorithm)?)?;
        self.checked()
    }

    /// Adds keys. A key that the set has already is left out.
    fn extend(&mut self, keys: Vec<PublicKey>) -> Result<(), KeySetError> {
        for key in keys {
            match self.keys.iter().find(|other| other.id == key.id && other.algorithm == key.algorithm) {
                None => self.keys.push(Arc::new(key)),
                Some(other) if **other == key => {}
                Some(_) => return Err(KeySetError::SameId(escape_untrusted(&key.id, MAX_NAME))),
            }
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, KeySetError> {
        if self.keys.len() > Self::MAX_KEYS { Err(KeySetError::TooMany(self.keys.len())) } else { Ok(self) }
    }

    /// Returns the name of the set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the id and the algorithm of each key.
    pub fn keys(&self) -> impl Iterator<Item = (&str, Algorithm)> {
        self.keys.iter().map(|key| (&*key.id, key.algorithm))
    }

    fn named_keys(&self) -> Vec<(String, Algorithm)> {
        self.keys().map(|(id, algorithm)| (id.to_owned(), algorithm)).collect()
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys().collect();
        f.debug_struct("KeySet").field("name", &self.name).field("keys", &keys).finish()
    }
}

/// The set of a [`KeySetGrant`].
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "a set either changes or does not")]
pub enum KeySource {
    /// A set that does not change.
    Fixed(Arc<KeySet>),
    /// A set that is refreshed.
    Remote(Arc<RemoteKeySet>),
}

impl From<Arc<KeySet>> for KeySource {
    fn from(set: Arc<KeySet>) -> Self {
        Self::Fixed(set)
    }
}

impl From<Arc<RemoteKeySet>> for KeySource {
    fn from(set: Arc<RemoteKeySet>) -> Self {
        Self::Remote(set)
    }
}

impl KeySource {
    /// Returns the current keys, or `None` if they are not available.
    fn current(&self, now: Instant) -> Option<Arc<KeySet>> {
        match self {
            Self::Fixed(set) => Some(set.clone()),
            Self::Remote(set) => set.current(now),
        }
    }

    /// Returns the state of the set.
    pub fn status(&self) -> KeySetStatus {
        match self {
            Self::Fixed(set) => KeySetStatus::fixed(set),
            Self::Remote(set) => set.status(),
        }
    }
}

/// A grant of a key set under a label. The handler can verify with its keys, but cannot choose the
/// set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeySetGrant {
    /// The [`KeySet`] or [`RemoteKeySet`].
    pub set: KeySource,
    /// The algorithms that the handler may use.
    pub algorithms: BTreeSet<Algorithm>,
}

impl KeySetGrant {
    /// Grants verification with these algorithms.
    pub fn new(set: impl Into<KeySource>, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        Self { set: set.into(), algorithms: algorithms.into_iter().collect() }
    }

    /// Returns a number that changes with the keys.
    pub(crate) fn generation(&self) -> u64 {
        match &self.set {
            KeySource::Fixed(_) => 0,
            KeySource::Remote(set) => set.generation(),
        }
    }

    /// Returns the keys that may have created a signature: those with `algorithm`, and with the id
    /// `key_id` if given. Requests a refresh of a remote set without such an id.
    ///
    /// # Errors
    /// Returns [`NoKey::WrongAlgorithm`] if the grant or every such key is for other algorithms,
    /// [`NoKey::NoSuchKey`] if the set has no key, or none with this id, and
    /// [`NoKey::Unavailable`] if this is unknown until a refresh has completed.
    pub(crate) fn candidates(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        now: Instant,
    ) -> Result<Vec<Arc<PublicKey>>, NoKey> {
        if !self.algorithms.contains(&algorithm) {
            return Err(NoKey::WrongAlgorithm);
        }
        let set = self.set.current(now).ok_or(NoKey::Unavailable)?;
        let mut named = set.keys.iter().filter(|key| key_id.is_none_or(|id| *key.id == *id)).peekable();
        if named.peek().is_none() {
            return Err(match &self.set {
                KeySource::Remote(set) if set.request_refresh(now) => NoKey::Unavailable,
                _ => NoKey::NoSuchKey,
            });
        }
        let keys: Vec<_> = named.filter(|key| key.algorithm == algorithm).cloned().collect();
        if keys.is_empty() { Err(NoKey::WrongAlgorithm) } else { Ok(keys) }
    }
}

/// The reason that no key can verify a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    NoSuchKey,
    WrongAlgorithm,
    Unavailable,
}

/// A public key with its one algorithm.
#[derive(PartialEq, Eq)]
pub(crate) struct PublicKey {
    id: Arc<str>,
    /// The full name of the key, `set/id`.
    pub(crate) name: Arc<str>,
    algorithm: Algorithm,
    material: Material,
}

/// The numbers of a public key.
#[derive(Debug, PartialEq, Eq)]
enum Material {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point (SEC 1), 65 bytes.
    P256(Vec<u8>),
    /// An uncompressed point, 97 bytes.
    P384(Vec<u8>),
    /// 32 bytes.
    Ed25519(Vec<u8>),
}

/// Sizes of an RSA modulus in bits. Smaller ones can be factored; larger ones cost milliseconds.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

impl PublicKey {
    /// Returns whether `signature` is this key's signature of `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let point = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Rsa { n, e } => rsa_parameters(self.algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
            Material::P256(key) => point(&signature::ECDSA_P256_SHA256_FIXED, key),
            Material::P384(key) => point(&signature::ECDSA_P384_SHA384_FIXED, key),
            Material::Ed25519(key) => point(&signature::ED25519, key),
        }
    }

    /// Returns the work of a verification, without hashing the message, in bytes that could be
    /// hashed in the same time.
    pub(crate) fn work(&self) -> usize {
        const POINT: usize = 160 << 10;
        /// For 2,048 bits; the time grows with the square of the size.
        const RSA: usize = 64 << 10;
        match &self.material {
            Material::Rsa { n, .. } => RSA.saturating_mul((n.len() / 256).max(1).pow(2)),
            Material::P256(_) | Material::P384(_) | Material::Ed25519(_) => POINT,
        }
    }
}

/// Returns the parameters of an RSA algorithm, or `None` for another one.
fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}

/// The reason that a text is no [`KeySet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// The text is not a JWK or a JWK Set.
    #[error("it is not a JWK or a JWK Set: {0}")]
    NotJwk(String),
    /// The text is not PEM with public keys.
    #[error(
        "it has no `PUBLIC KEY` in PEM: convert it, such as with `openssl x509 -pubkey -noout` or `openssl pkey -pubin`"
    )]
    NotPem,
    /// The text contains a private or a symmetric key.
    #[error("it contains a {0} key, which must not leave its owner: use the public key")]
    NotPublic(&'static str),
    /// No key of the text can be used.
    #[error("it has no key that verifies signatures: {0}")]
    NoneUsable(String),
    /// Two keys have the same id and algorithm, so the id does not tell which one signed a token.
    #[error("it has two keys with the id `{0}` and the same algorithm: remove one of them")]
    SameId(String),
    /// There are too many keys.
    #[error("it has {0} keys, more than the {max} allowed: remove the old ones", max = KeySet::MAX_KEYS)]
    TooMany(usize),
}

#[cfg(test)]
mod tests;
