//! Signatures with the keys that each [`Scheme`] derives from a secret.

use super::{Scheme, Secret};
use hkdf::Hkdf;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A key that is ready to sign. Cloning a MAC with its key schedule costs less than half of
/// creating it.
#[derive(Clone)]
pub(super) enum Signer {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
    Ed25519(Arc<Ed25519KeyPair>),
}

impl Signer {
    /// Derives the key of a label; `None` if the secret is no private key, as [`Scheme::Ed25519`]
    /// needs it.
    pub(super) fn derive(scheme: Scheme, secret: &Secret, namespace: &str, label: &str) -> Option<Self> {
        Some(match scheme {
            Scheme::HmacSha256 => Self::hmac_sha256(secret, namespace, label),
            Scheme::Itsdangerous => Self::Sha1(keyed(&*of_itsdangerous(secret, namespace))),
            Scheme::RawHmacSha256 => Self::Sha256(keyed(secret.expose())),
            Scheme::RawHmacSha384 => Self::Sha384(keyed(secret.expose())),
            Scheme::RawHmacSha512 => Self::Sha512(keyed(secret.expose())),
            Scheme::Ed25519 => Self::Ed25519(Arc::new(key_pair(secret)?)),
        })
    }

    /// Derives a key with HKDF-SHA-256, for every secret.
    pub(super) fn hmac_sha256(secret: &Secret, namespace: &str, label: &str) -> Self {
        Self::Sha256(keyed(&*derived(secret, namespace, label)))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self.clone() {
            Self::Sha1(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha256(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha384(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha512(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// Compares in constant time, and rejects a signature of any other length.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.clone() {
            Self::Sha1(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
            Self::Sha256(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
            Self::Sha384(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
            Self::Sha512(mac) => mac.chain_update(message).verify_slice(signature).is_ok(),
            Self::Ed25519(pair) => {
                UnparsedPublicKey::new(&ED25519, pair.public_key()).verify(message, signature).is_ok()
            }
        }
    }

    /// Returns the public half of an Ed25519 key, 32 bytes; `None` for a symmetric key.
    pub(super) fn public(&self) -> Option<&[u8]> {
        match self {
            Self::Ed25519(pair) => Some(pair.public_key().as_ref()),
            Self::Sha1(_) | Self::Sha256(_) | Self::Sha384(_) | Self::Sha512(_) => None,
        }
    }
}

/// Reads a PKCS#8 private key (RFC 8410), in PEM or DER, with or without its public half.
fn key_pair(secret: &Secret) -> Option<Ed25519KeyPair> {
    let pem = PrivatePkcs8KeyDer::from_pem_slice(secret.expose());
    let der = match &pem {
        Ok(key) => key.secret_pkcs8_der(),
        Err(_) => secret.expose(),
    };
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()
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
