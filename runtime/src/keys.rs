//! Secrets, key rings, and the keys derived from them for handlers. Keys never leave the host.

mod signer;

use crate::sanitize::{MAX_NAME, escape_untrusted};
use signer::Signer;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Minimum length of a key ring's secret in bytes, unless its operator allows short secrets.
///
/// 256 bits give HMAC-SHA-256 its full strength (RFC 2104 section 3 advises at least the length of
/// the hash).
pub const MIN_SECRET_BYTES: usize = 32;

/// A secret byte string. It has no `Debug` and no `PartialEq`, and is wiped from memory when
/// dropped.
#[expect(missing_debug_implementations, reason = "so that no secret is printed by accident")]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Creates a secret from `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if the secret is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the secret equals `other`, in time that depends only on the lengths.
    pub(crate) fn equals(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }

    /// Returns the bytes. Only for key derivation, and to find the handlers that would see a secret
    /// presented as a token.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// The state of a [`Key`]. The operator moves a key from the first state to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "tools that rotate keys must handle every state")]
pub enum KeyState {
    /// Verifies, but does not sign yet: nodes that do not know the key would reject its tokens.
    Pending,
    /// Signs and verifies. Exactly one key of a ring is active.
    Active,
    /// Verifies earlier signatures, but does not sign any more.
    VerifyOnly,
    /// Neither signs nor verifies. It has no secret; only its id is kept, so that it is not reused.
    Retired,
}

impl KeyState {
    /// All states, in the order in which a key passes through them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::VerifyOnly, Self::Retired];

    /// Returns the name used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::VerifyOnly => "verify-only",
            Self::Retired => "retired",
        }
    }
}

/// A key of a [`KeyRing`]: a [`Secret`] with an id that the operator chose. The id is for operators
/// and records, and reveals nothing about the secret.
pub struct Key {
    id: String,
    state: KeyState,
    /// `None` for a retired key.
    secret: Option<Secret>,
}

impl Key {
    /// Creates a key that does not sign yet: [`KeyState::Pending`].
    pub fn pending(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), state: KeyState::Pending, secret: Some(secret) }
    }

    /// Creates the key that signs: [`KeyState::Active`].
    pub fn active(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), state: KeyState::Active, secret: Some(secret) }
    }

    /// Creates a key that does not sign any more: [`KeyState::VerifyOnly`].
    pub fn verify_only(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), state: KeyState::VerifyOnly, secret: Some(secret) }
    }

    /// Creates a key that is no longer used: [`KeyState::Retired`].
    pub fn retired(id: impl Into<String>) -> Self {
        Self { id: id.into(), state: KeyState::Retired, secret: None }
    }

    /// Returns whether `text` is a valid key id: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    pub fn is_id(text: &str) -> bool {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// A key ring: an active key, which signs and verifies, and other keys, which only verify, so that
/// a rotation does not invalidate live tokens.
pub struct KeyRing {
    name: String,
    active: (String, Secret),
    /// The keys that only verify: pending and verify-only.
    others: Vec<(String, Secret)>,
    /// `true` if its operator allows short secrets.
    allows_short: bool,
}

impl KeyRing {
    /// Creates a ring with an active key of the id `active` and earlier keys `previous-1` and so
    /// on.
    ///
    /// To record which key signed a token, name the keys: see [`with_keys`](Self::with_keys).
    ///
    /// # Errors
    /// Returns a [`KeyRingError`] if a secret has fewer than [`MIN_SECRET_BYTES`], or if two are
    /// equal.
    pub fn new(name: impl Into<String>, active: Secret, previous: Vec<Secret>) -> Result<Self, KeyRingError> {
        Self::with_keys(name, by_position(active, previous))
    }

    /// Creates a ring like [`new`](Self::new), but allows short secrets, because Datasette has
    /// always accepted them.
    ///
    /// # Errors
    /// Returns a [`KeyRingError`] if two secrets are equal, or if one is empty: anyone could forge
    /// its signatures.
    pub fn dangerous_allow_short(
        name: impl Into<String>,
        active: Secret,
        previous: Vec<Secret>,
    ) -> Result<Self, KeyRingError> {
        Self::dangerous_allow_short_keys(name, by_position(active, previous))
    }

    /// Creates a ring of `keys`.
    ///
    /// # Errors
    /// Returns a [`KeyRingError`] unless exactly one key is [active](KeyState::Active), all ids are
    /// valid, ids and secrets are unique, and each secret has at least [`MIN_SECRET_BYTES`].
    pub fn with_keys(name: impl Into<String>, keys: Vec<Key>) -> Result<Self, KeyRingError> {
        Self::build(name.into(), keys, false)
    }

    /// Creates a ring like [`with_keys`](Self::with_keys), but allows short secrets.
    ///
    /// # Errors
    /// Returns a [`KeyRingError`] as `with_keys` does, but of short secrets only for an empty one.
    pub fn dangerous_allow_short_keys(name: impl Into<String>, keys: Vec<Key>) -> Result<Self, KeyRingError> {
        Self::build(name.into(), keys, true)
    }

    fn build(name: String, keys: Vec<Key>, allows_short: bool) -> Result<Self, KeyRingError> {
        let min = if allows_short { 1 } else { MIN_SECRET_BYTES };
        let mut ids = HashSet::new();
        let mut active = None;
        let mut others: Vec<(String, Secret)> = Vec::new();
        for Key { id, state, secret } in keys {
            if !Key::is_id(&id) {
                return Err(KeyRingError::BadId { id: escape_untrusted(&id, MAX_NAME) });
            }
            if !ids.insert(id.clone()) {
                return Err(KeyRingError::SameId { id });
            }
            let Some(secret) = secret else { continue };
            if secret.len() < min {
                return Err(KeyRingError::ShortSecret { id, len: secret.len() });
            }
            let same = active.iter().chain(&others).find(|(_, other)| other.equals(secret.expose()));
            if let Some((other, _)) = same {
                return Err(KeyRingError::SameSecret { id, other: other.clone() });
            }
            match (state, active.take()) {
                (KeyState::Active, None) => active = Some((id, secret)),
                (KeyState::Active, Some((other, _))) => return Err(KeyRingError::TwoActive { id, other }),
                (_, still) => {
                    active = still;
                    others.push((id, secret));
                }
            }
        }
        active.map(|active| Self { name, active, others, allows_short }).ok_or(KeyRingError::NoneActive)
    }

    /// Returns the name of the ring.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn by_position(active: Secret, previous: Vec<Secret>) -> Vec<Key> {
    let previous = (1..).zip(previous).map(|(n, secret): (u64, _)| Key::verify_only(format!("previous-{n}"), secret));
    std::iter::once(Key::active("active", active)).chain(previous).collect()
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others: Vec<_> = self.others.iter().map(|(id, _)| id).collect();
        let Self { name, active: (active, _), .. } = self;
        f.debug_struct("KeyRing").field("name", name).field("active", active).field("others", &others).finish()
    }
}

/// The reason that keys do not form a [`KeyRing`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// A secret is too short.
    #[error("the secret of the key `{id}` has {len} bytes, fewer than the required {MIN_SECRET_BYTES}")]
    ShortSecret {
        /// The id of the key.
        id: String,
        /// Number of bytes in the secret.
        len: usize,
    },
    /// No key is active.
    #[error("none of its keys is active, so it cannot sign: make one key active")]
    NoneActive,
    /// Two keys are active.
    #[error("the keys `{other}` and `{id}` are both active: make one of them `pending` or `verify-only`")]
    TwoActive {
        /// The id of the later key.
        id: String,
        /// The id of the earlier key.
        other: String,
    },
    /// The id of a key is not valid.
    #[error("`{id}` is not a valid key id: use 1 to 64 characters of `A-Z a-z 0-9 . _ -`")]
    BadId {
        /// The id, escaped and truncated.
        id: String,
    },
    /// Two keys have the same id.
    #[error("two keys have the id `{id}`: use a unique id for each, and do not reuse that of a retired key")]
    SameId {
        /// The id.
        id: String,
    },
    /// Two keys have the same secret, so retiring one of them would have no effect.
    #[error("the keys `{other}` and `{id}` have the same secret: use a different secret for each")]
    SameSecret {
        /// The id of the later key.
        id: String,
        /// The id of the earlier key.
        other: String,
    },
}

impl KeyRingError {
    /// Returns the id of the key concerned, the later one of two; `None` if no key is active.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::NoneActive => None,
            Self::ShortSecret { id, .. }
            | Self::TwoActive { id, .. }
            | Self::BadId { id }
            | Self::SameId { id }
            | Self::SameSecret { id, .. } => Some(id),
        }
    }
}

/// The key derivation and MAC of a [`KeyGrant`]. A token cannot choose its scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scheme {
    /// HMAC-SHA-256 with a key that HKDF-SHA-256 (RFC 5869) derives from the secret, the namespace
    /// and the label.
    #[default]
    HmacSha256,
    /// The default of itsdangerous' `Signer`, and therefore of Datasette: HMAC-SHA-1 with the key
    /// SHA-1(namespace ‖ `signer` ‖ secret). For compatibility only.
    Itsdangerous,
    /// HMAC-SHA-256 with the secret itself: `HS256` of JWS (RFC 7518 section 3.2). Without a
    /// derivation, the ring belongs to one label of one handler.
    RawHmacSha256,
    /// HMAC-SHA-384 with the secret itself: `HS384`.
    RawHmacSha384,
    /// HMAC-SHA-512 with the secret itself: `HS512`.
    RawHmacSha512,
    /// Ed25519 (RFC 8032), `EdDSA` of JWS, with the private key that the secret is: PKCS#8, in PEM
    /// or DER. Its public half verifies elsewhere.
    Ed25519,
}

impl Scheme {
    /// All schemes.
    pub const ALL: [Self; 6] = [
        Self::HmacSha256,
        Self::Itsdangerous,
        Self::RawHmacSha256,
        Self::RawHmacSha384,
        Self::RawHmacSha512,
        Self::Ed25519,
    ];

    /// Returns the name used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Itsdangerous => "itsdangerous",
            Self::RawHmacSha256 => "raw-hmac-sha256",
            Self::RawHmacSha384 => "raw-hmac-sha384",
            Self::RawHmacSha512 => "raw-hmac-sha512",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Returns the minimum length of a secret in bytes, unless the ring allows short secrets. That
    /// of a raw key is the length of its hash (RFC 7518 section 3.2).
    pub fn min_secret_bytes(self) -> usize {
        match self {
            Self::RawHmacSha384 => 48,
            Self::RawHmacSha512 => 64,
            Self::HmacSha256 | Self::Itsdangerous | Self::RawHmacSha256 | Self::Ed25519 => MIN_SECRET_BYTES,
        }
    }

    /// Returns whether the secret is the key, the same for each namespace and label.
    fn is_raw(self) -> bool {
        !matches!(self, Self::HmacSha256 | Self::Itsdangerous)
    }
}

/// A grant of a key label. The handler can sign and verify under the label, but cannot see or
/// choose the ring, scheme or namespace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeyGrant {
    /// The [`KeyRing`].
    pub ring: Arc<KeyRing>,
    /// The [`Scheme`].
    pub scheme: Scheme,
    /// The namespace; `None` for the handler's name.
    ///
    /// With an explicit namespace, a renamed handler still accepts its earlier tokens. This
    /// includes revoked tokens, because revocations apply to the handler's name.
    pub namespace: Option<String>,
}

impl KeyGrant {
    /// Creates a grant of `ring` with the default scheme and namespace.
    pub fn new(ring: Arc<KeyRing>) -> Self {
        Self { ring, scheme: Scheme::default(), namespace: None }
    }

    /// Sets the scheme.
    #[must_use]
    pub fn scheme(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// Sets the [namespace](Self::namespace).
    #[must_use]
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }
}

/// The keys of one label, with derivation and key schedule already computed.
pub(crate) struct DerivedKeys {
    scheme: Scheme,
    active: BoundKey,
    others: Vec<BoundKey>,
}

struct BoundKey {
    /// The full name of the key, `ring/id`.
    name: Arc<str>,
    signer: Signer,
    /// A text that two keys share if they have the same secret.
    secret_mark: Vec<u8>,
}

impl BoundKey {
    /// Returns the id of the key in its ring.
    fn id(&self) -> &str {
        self.name.rsplit_once('/').map_or(&*self.name, |(_, id)| id)
    }
}

/// The reason that a scheme cannot use the secret of a key, with the key's id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UnusableKey {
    NoPrivateKey(String),
    /// With the number of bytes that the secret has.
    TooShort(String, usize),
}

impl DerivedKeys {
    pub(crate) fn derive(grant: &KeyGrant, namespace: &str, label: &str) -> Result<Self, UnusableKey> {
        let KeyRing { name, active, others, allows_short } = &*grant.ring;
        let derive = |(id, secret): &(String, Secret)| {
            if !allows_short && secret.len() < grant.scheme.min_secret_bytes() {
                return Err(UnusableKey::TooShort(id.clone(), secret.len()));
            }
            let signer = Signer::derive(grant.scheme, secret, namespace, label);
            Ok(BoundKey {
                name: format!("{name}/{id}").into(),
                signer: signer.ok_or_else(|| UnusableKey::NoPrivateKey(id.clone()))?,
                secret_mark: Signer::hmac_sha256(secret, "", "").sign(b"keyward: the same secret?"),
            })
        };
        let others = others.iter().map(derive).collect::<Result<_, _>>()?;
        Ok(Self { scheme: grant.scheme, active: derive(active)?, others })
    }

    /// Returns the number of keys, which is how often a message is hashed to verify its signature.
    pub(crate) fn len(&self) -> usize {
        self.others.len().saturating_add(1)
    }

    /// Returns the active key's signature of `message`, and the key's name.
    pub(crate) fn sign(&self, message: &[u8]) -> (Vec<u8>, &Arc<str>) {
        let BoundKey { name, signer, .. } = &self.active;
        (signer.sign(message), name)
    }

    /// Returns the id of the active key, and its algorithm as the contract names it.
    pub(crate) fn signing_key(&self) -> (&str, &'static str) {
        let algorithm = match self.scheme {
            Scheme::RawHmacSha256 => "HS256",
            Scheme::RawHmacSha384 => "HS384",
            Scheme::RawHmacSha512 => "HS512",
            Scheme::Ed25519 => "EdDSA",
            Scheme::HmacSha256 | Scheme::Itsdangerous => self.scheme.as_str(),
        };
        (self.active.id(), algorithm)
    }

    /// Returns the ids and public halves of the keys, the pending ones too; none of a symmetric
    /// scheme.
    pub(crate) fn public_keys(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.all().filter_map(|key| Some((key.id(), key.signer.public()?)))
    }

    /// Returns the work of one signature or verification, without hashing the message, in bytes
    /// that could be hashed in the same time.
    pub(crate) fn work(&self) -> usize {
        if self.scheme == Scheme::Ed25519 { 160 << 10 } else { 0 }
    }

    /// Returns the name of the key that created `signature`, or `None`. Every key is tried, so that
    /// the duration does not reveal which one it was.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Option<&Arc<str>> {
        self.all().fold(None, |found, key| if key.signer.verify(message, signature) { Some(&key.name) } else { found })
    }

    /// Returns whether a key of `self` creates the same signatures as a key of `other`, or might
    /// create those that another handler expects of it: a raw key shares its secret with no other.
    pub(crate) fn overlap(&self, other: &Self) -> bool {
        let probe = b"keyward: do two grants share a key?";
        let share_secret = || self.all().any(|key| other.all().any(|other| key.secret_mark == other.secret_mark));
        (self.scheme.is_raw() || other.scheme.is_raw()) && share_secret()
            || self.all().any(|key| other.verify(probe, &key.signer.sign(probe)).is_some())
    }

    fn all(&self) -> impl Iterator<Item = &BoundKey> {
        std::iter::once(&self.active).chain(&self.others)
    }
}

impl KeyGrant {
    /// Returns whether a key whose secret is the key has the public text of another one: anyone
    /// could sign with it.
    pub(crate) fn is_public(&self) -> bool {
        let KeyRing { active, others, .. } = &*self.ring;
        let is_pem = |secret: &Secret| secret.expose().windows(11).any(|text| text == b"-----BEGIN ");
        self.scheme.is_raw()
            && self.scheme != Scheme::Ed25519
            && std::iter::once(active).chain(others).any(|(_, secret)| is_pem(secret))
    }
}

#[cfg(test)]
mod tests;
