//! Keys that never leave: secrets, rings of them, and what a handler is granted of them.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The shortest secret of a key ring in bytes, unless its operator says otherwise: 256 bits, so that HMAC-SHA-256 is as
/// strong as it can be (RFC 2104 section 3 advises at least the length of the hash).
pub const MIN_SECRET_BYTES: usize = 32;

/// Bytes that nobody may see. It has no `Debug` and no `PartialEq`, and is wiped from memory when dropped.
#[expect(missing_debug_implementations, reason = "so that no secret is printed by accident")]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the two are the same, in time that depends on their lengths only.
    pub(crate) fn equals(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }

    /// The one way out: for the derivation below, and for asking whom a secret that callers present would be shown to.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// An active secret, which signs and verifies, and earlier ones, which only verify: so rotation breaks no live token.
pub struct KeyRing {
    name: String,
    secrets: Vec<Secret>,
}

impl KeyRing {
    /// A ring of that name. Refuses secrets of fewer than [`MIN_SECRET_BYTES`].
    pub fn new(name: impl Into<String>, active: Secret, previous: Vec<Secret>) -> Result<Self, ShortSecret> {
        let ring = Self::dangerous_allow_short(name, active, previous)?;
        match ring.secrets.iter().map(Secret::len).find(|len| *len < MIN_SECRET_BYTES) {
            Some(len) => Err(ShortSecret { len }),
            None => Ok(ring),
        }
    }

    /// A ring whose secrets may be short, for the secrets that Datasette has always accepted. Empty ones are refused all
    /// the same: anybody could sign with them.
    pub fn dangerous_allow_short(
        name: impl Into<String>,
        active: Secret,
        previous: Vec<Secret>,
    ) -> Result<Self, ShortSecret> {
        let mut secrets = vec![active];
        secrets.extend(previous);
        if secrets.iter().any(Secret::is_empty) {
            return Err(ShortSecret { len: 0 });
        }
        Ok(Self { name: name.into(), secrets })
    }

    /// The name that the operator gave it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("name", &self.name).field("secrets", &self.secrets.len()).finish()
    }
}

/// A secret is too short to sign with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret has {len} bytes, fewer than {MIN_SECRET_BYTES}")]
pub struct ShortSecret {
    /// How many it has.
    pub len: usize,
}

/// How a ring's secret becomes a key, and which MAC it makes. It is a property of the grant, never of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scheme {
    /// HMAC-SHA-256 with a key from HKDF-SHA-256 (RFC 5869) of the secret, over the namespace and the label.
    #[default]
    HmacSha256,
    /// What itsdangerous' `Signer` does by default and so Datasette: HMAC-SHA-1 with the key
    /// SHA-1(namespace ‖ `signer` ‖ secret). For compatibility only.
    Itsdangerous,
}

impl Scheme {
    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Itsdangerous => "itsdangerous",
        }
    }
}

/// What binds a label: the handler that is granted it can sign and verify under it, and can name nothing of this.
#[derive(Debug, Clone)]
pub struct KeyGrant {
    /// The ring.
    pub ring: Arc<KeyRing>,
    /// The scheme.
    pub scheme: Scheme,
    /// The namespace; `None` is the handler's name. Stated, a renamed handler keeps its tokens.
    pub namespace: Option<String>,
}

impl KeyGrant {
    /// The label `label` on `ring`, with the default scheme and namespace.
    pub fn new(ring: Arc<KeyRing>) -> Self {
        Self { ring, scheme: Scheme::default(), namespace: None }
    }
}

/// The keys of one label, derived and scheduled once: active first.
pub(crate) struct BoundKeys(Vec<MacKey>);

impl BoundKeys {
    pub(crate) fn derive(grant: &KeyGrant, namespace: &str, label: &str) -> Self {
        let derive = |secret: &Secret| match grant.scheme {
            Scheme::HmacSha256 => hmac_sha256_key(secret, namespace, label),
            Scheme::Itsdangerous => itsdangerous_key(secret, namespace),
        };
        Self(grant.ring.secrets.iter().map(derive).collect())
    }

    /// The active key's signature.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.first().map(|key| key.sign(message)).unwrap_or_default()
    }

    /// Whether any key made this signature. Every key is tried, so that the time does not tell which one it was.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().fold(false, |good, key| good | key.verify(message, signature))
    }

    /// Whether a key of the one makes the same signatures as a key of the other.
    pub(crate) fn overlap(&self, other: &Self) -> bool {
        let probe = b"keyward: do two grants share a key?";
        self.0.iter().any(|key| other.verify(probe, &key.sign(probe)))
    }
}

/// A MAC with its key schedule done: cloning it costs less than half of setting it up.
#[derive(Clone)]
enum MacKey {
    Sha256(Hmac<Sha256>),
    Sha1(Hmac<Sha1>),
}

impl MacKey {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self.clone() {
            Self::Sha256(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha1(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
        }
    }

    /// Compares in constant time, and refuses a signature of another length.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.clone() {
            Self::Sha256(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
            Self::Sha1(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
        }
    }
}

/// HKDF-SHA-256 with both names length-coded, so that no two pairs of names give the same key.
fn hmac_sha256_key(secret: &Secret, namespace: &str, label: &str) -> MacKey {
    let mut info = b"keyward hmac-sha256 v1".to_vec();
    for name in [namespace, label] {
        info.extend((name.len() as u64).to_be_bytes());
        info.extend(name.as_bytes());
    }
    let mut key = Zeroizing::new([0; 32]);
    #[expect(clippy::expect_used, reason = "HKDF refuses only outputs of more than 255 hashes; this is one")]
    Hkdf::<Sha256>::new(None, secret.expose()).expand(&info, &mut *key).expect("32 bytes");
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    MacKey::Sha256(Hmac::new_from_slice(&*key).expect("any length"))
}

/// itsdangerous' key derivation `django-concat`.
fn itsdangerous_key(secret: &Secret, namespace: &str) -> MacKey {
    let digest = Sha1::new().chain_update(namespace).chain_update("signer").chain_update(secret.expose());
    let key = Zeroizing::new(<[u8; 20]>::from(digest.finalize()));
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    MacKey::Sha1(Hmac::new_from_slice(&*key).expect("any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(secrets: &[&str], scheme: Scheme) -> KeyGrant {
        let mut secrets = secrets.iter().map(|secret| Secret::new(secret.as_bytes()));
        let active = secrets.next().unwrap();
        let ring = KeyRing::dangerous_allow_short("main", active, secrets.collect()).unwrap();
        KeyGrant { ring: Arc::new(ring), scheme, namespace: None }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn itsdangerous_is_byte_for_byte() {
        let keys = BoundKeys::derive(&grant(&["mysecret"], Scheme::Itsdangerous), "token", "any");
        let mac = keys.sign(b"eyJhIjoicm9vdCIsInQiOjE2NzA5MDcyNDZ9");
        assert_eq!(hex(&mac), "704ff3e1e9e7dd2f80c024c77f7443548c52d196");
    }

    #[test]
    fn rotation_signs_with_the_active_key_and_verifies_with_all() {
        for scheme in [Scheme::HmacSha256, Scheme::Itsdangerous] {
            let old = BoundKeys::derive(&grant(&["old"], scheme), "n", "l");
            let both = BoundKeys::derive(&grant(&["new", "old"], scheme), "n", "l");
            let new = BoundKeys::derive(&grant(&["new"], scheme), "n", "l");
            let signed_before = old.sign(b"message");
            assert!(both.verify(b"message", &signed_before));
            assert!(!new.verify(b"message", &signed_before), "retired");
            assert!(new.verify(b"message", &both.sign(b"message")), "signed by the active one");
        }
    }

    #[test]
    fn a_signature_counts_in_full_only() {
        let keys = BoundKeys::derive(&grant(&["secret"], Scheme::HmacSha256), "n", "l");
        let mac = keys.sign(b"message");
        assert_eq!(mac.len(), 32);
        for bit in 0..mac.len() * 8 {
            let mut flipped = mac.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!keys.verify(b"message", &flipped));
        }
        assert!(!keys.verify(b"message", &mac[..31]));
        assert!(!keys.verify(b"message", &[&mac[..], b"\0"].concat()));
        assert!(!keys.verify(b"message", b""));
        assert!(!keys.verify(b"other", &mac));
    }

    #[test]
    fn no_two_names_share_a_key() {
        let names = ["", "a", "aa", "ab", "b", "a\0", "token", "signed", "tokensigned"];
        let pairs: Vec<_> = names.iter().flat_map(|n| names.iter().map(move |l| (*n, *l))).collect();
        for scheme in [Scheme::HmacSha256, Scheme::Itsdangerous] {
            let keys = |(n, l): (&str, &str)| BoundKeys::derive(&grant(&["secret"], scheme), n, l);
            for (at, one) in pairs.iter().enumerate() {
                for other in &pairs[at + 1..] {
                    let same = scheme == Scheme::Itsdangerous && one.0 == other.0;
                    assert_eq!(keys(*one).overlap(&keys(*other)), same, "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn short_secrets_need_a_word() {
        let short = || Secret::new(*b"thirty-one bytes are not enough");
        assert_eq!(KeyRing::new("r", short(), vec![]).unwrap_err(), ShortSecret { len: 31 });
        assert!(KeyRing::dangerous_allow_short("r", short(), vec![]).is_ok());
        assert!(KeyRing::dangerous_allow_short("r", Secret::new(""), vec![]).is_err());
        assert!(KeyRing::new("r", Secret::new([1; 32]), vec![short()]).is_err(), "verify-only ones count too");
    }
}
