//! Message authentication with the keys that each [`Scheme`] derives from a secret.

use super::{Scheme, Secret};
use hkdf::Hkdf;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// A MAC with a computed key schedule. Cloning it costs less than half of creating it.
#[derive(Clone)]
pub(super) enum MacKey {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl MacKey {
    /// Derives the key of a label.
    pub(super) fn derive(scheme: Scheme, secret: &Secret, namespace: &str, label: &str) -> Self {
        match scheme {
            Scheme::HmacSha256 => Self::Sha256(keyed(&*derived(secret, namespace, label))),
            Scheme::Itsdangerous => Self::Sha1(keyed(&*of_itsdangerous(secret, namespace))),
            Scheme::RawHmacSha256 => Self::Sha256(keyed(secret.expose())),
            Scheme::RawHmacSha384 => Self::Sha384(keyed(secret.expose())),
            Scheme::RawHmacSha512 => Self::Sha512(keyed(secret.expose())),
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self.clone() {
            Self::Sha1(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha256(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha384(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha512(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
        }
    }

    /// Compares in constant time, and rejects a signature of any other length.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.clone() {
            Self::Sha1(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
            Self::Sha256(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
            Self::Sha384(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
            Self::Sha512(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
        }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn keyed<D: EagerHash>(key: &[u8]) -> Hmac<D> {
    Hmac::new_from_slice(key).expect("any length")
}

/// Derives a key with HKDF-SHA-256. Both names are prefixed with their length, so that different
/// pairs of names give different keys.
fn derived(secret: &Secret, namespace: &str, label: &str) -> Zeroizing<[u8; 32]> {
    let mut info = b"keyward hmac-sha256 v1".to_vec();
    for name in [namespace, label] {
        info.extend((name.len() as u64).to_be_bytes());
        info.extend(name.as_bytes());
    }
    let mut key = Zeroizing::new([0; 32]);
    #[expect(clippy::expect_used, reason = "HKDF refuses only outputs of more than 255 hashes; this is one")]
    Hkdf::<Sha256>::new(None, secret.expose()).expand(&info, &mut *key).expect("32 bytes");
    key
}

/// Derives a key as itsdangerous' `django-concat` does.
fn of_itsdangerous(secret: &Secret, namespace: &str) -> Zeroizing<[u8; 20]> {
    let digest = Sha1::new().chain_update(namespace).chain_update("signer").chain_update(secret.expose());
    Zeroizing::new(digest.finalize().into())
}
