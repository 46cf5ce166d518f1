//! Keys that never leave: secrets, rings of them, and what a handler is granted of them.

use crate::text::{MAX_NAME, printable};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::collections::HashSet;
use std::fmt;
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

/// What a key of a ring may do. A key goes from the first to the last, by what its operator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Verifies, and does not sign yet: until every node knows it, a token that it signed would be refused by some.
    Pending,
    /// Signs and verifies. One key of a ring does.
    Active,
    /// Verifies what it has signed, and signs no more.
    VerifyOnly,
    /// Does neither. It has no secret here; its id is kept, so that no other key gets it.
    Retired,
}

impl KeyState {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::VerifyOnly, Self::Retired];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::VerifyOnly => "verify-only",
            Self::Retired => "retired",
        }
    }
}

/// A key of a ring: a secret under the id that its operator gave it. The id is for people and for records; it says nothing of
/// the secret.
pub struct Key {
    id: String,
    state: KeyState,
    /// `None` for a retired one.
    secret: Option<Secret>,
}

impl Key {
    /// One that only verifies so far.
    pub fn pending(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), state: KeyState::Pending, secret: Some(secret) }
    }

    /// The one that signs.
    pub fn active(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), state: KeyState::Active, secret: Some(secret) }
    }

    /// One that only verifies from now on.
    pub fn verify_only(id: impl Into<String>, secret: Secret) -> Self {
        Self { id: id.into(), state: KeyState::VerifyOnly, secret: Some(secret) }
    }

    /// One that is not used any more.
    pub fn retired(id: impl Into<String>) -> Self {
        Self { id: id.into(), state: KeyState::Retired, secret: None }
    }

    /// Whether a text can be the id of a key: 1 to 64 of `A-Z a-z 0-9 . _ -`.
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

/// An active key, which signs and verifies, and others, which only verify: so rotation breaks no live token.
pub struct KeyRing {
    name: String,
    active: (String, Secret),
    /// Those that only verify, not yet or not any more.
    others: Vec<(String, Secret)>,
}

impl KeyRing {
    /// A ring of that name with an active key of the id `active`, and earlier ones, `previous-1` and so on. Refuses secrets of
    /// fewer than [`MIN_SECRET_BYTES`]. Where it is to be remembered which key signed a token, name them: [`with_keys`].
    ///
    /// [`with_keys`]: Self::with_keys
    pub fn new(name: impl Into<String>, active: Secret, previous: Vec<Secret>) -> Result<Self, RingError> {
        Self::with_keys(name, by_position(active, previous))
    }

    /// A ring whose secrets may be short, for the secrets that Datasette has always accepted. Empty ones are refused all
    /// the same: anybody could sign with them.
    pub fn dangerous_allow_short(
        name: impl Into<String>,
        active: Secret,
        previous: Vec<Secret>,
    ) -> Result<Self, RingError> {
        Self::dangerous_allow_short_keys(name, by_position(active, previous))
    }

    /// A ring of these keys. One of them is active; each has an id and a secret of its own. Refuses secrets of fewer than
    /// [`MIN_SECRET_BYTES`].
    pub fn with_keys(name: impl Into<String>, keys: Vec<Key>) -> Result<Self, RingError> {
        Self::build(name.into(), keys, MIN_SECRET_BYTES)
    }

    /// A ring of these keys, whose secrets may be short, but not empty.
    pub fn dangerous_allow_short_keys(name: impl Into<String>, keys: Vec<Key>) -> Result<Self, RingError> {
        Self::build(name.into(), keys, 1)
    }

    fn build(name: String, keys: Vec<Key>, least: usize) -> Result<Self, RingError> {
        let mut ids = HashSet::new();
        let mut active = None;
        let mut others: Vec<(String, Secret)> = Vec::new();
        for Key { id, state, secret } in keys {
            if !Key::is_id(&id) {
                return Err(RingError::BadId { id: printable(&id, MAX_NAME) });
            }
            if !ids.insert(id.clone()) {
                return Err(RingError::SameId { id });
            }
            let Some(secret) = secret else { continue };
            if secret.len() < least {
                return Err(RingError::ShortSecret { id, len: secret.len() });
            }
            let same = active.iter().chain(&others).find(|(_, other)| other.equals(secret.expose()));
            if let Some((other, _)) = same {
                return Err(RingError::SameSecret { id, other: other.clone() });
            }
            match (state, active.take()) {
                (KeyState::Active, None) => active = Some((id, secret)),
                (KeyState::Active, Some((other, _))) => return Err(RingError::TwoActive { id, other }),
                (_, still) => {
                    active = still;
                    others.push((id, secret));
                }
            }
        }
        active.map(|active| Self { name, active, others }).ok_or(RingError::NoneActive)
    }

    /// The name that the operator gave it.
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

/// Keys that make no ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// A secret is too short to sign with.
    #[error("the secret of the key `{id}` has {len} bytes, fewer than the {MIN_SECRET_BYTES} that are safe")]
    ShortSecret {
        /// Whose.
        id: String,
        /// How many it has.
        len: usize,
    },
    /// Nothing could sign.
    #[error("none of its keys is active, so none could sign: make one active")]
    NoneActive,
    /// Nobody could say which one signs.
    #[error(
        "the keys `{other}` and `{id}` are both active, and one key signs: make one of them `pending` or `verify-only`"
    )]
    TwoActive {
        /// The later one.
        id: String,
        /// The earlier one.
        other: String,
    },
    /// An id that is none.
    #[error("`{id}` is no id of a key: use 1 to 64 of `A-Z a-z 0-9 . _ -`")]
    BadId {
        /// As it was given, made printable.
        id: String,
    },
    /// An id means one key.
    #[error("two keys have the id `{id}`: give each its own, and none that a retired key had")]
    SameId {
        /// Which.
        id: String,
    },
    /// One secret under two ids: to retire the one would retire nothing.
    #[error("the keys `{other}` and `{id}` have the same secret: give each its own")]
    SameSecret {
        /// The later one.
        id: String,
        /// The earlier one.
        other: String,
    },
}

impl RingError {
    /// The key that it is about, or the later of two.
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
    /// The namespace; `None` is the handler's name. Stated, a renamed handler keeps its tokens, also those that were revoked: a
    /// revocation is of the handler's name.
    pub namespace: Option<String>,
}

impl KeyGrant {
    /// The label `label` on `ring`, with the default scheme and namespace.
    pub fn new(ring: Arc<KeyRing>) -> Self {
        Self { ring, scheme: Scheme::default(), namespace: None }
    }
}

/// The keys of one label, derived and scheduled once.
pub(crate) struct BoundKeys {
    active: BoundKey,
    others: Vec<BoundKey>,
}

struct BoundKey {
    /// `ring/id`.
    name: Arc<str>,
    mac: MacKey,
}

impl BoundKeys {
    pub(crate) fn derive(grant: &KeyGrant, namespace: &str, label: &str) -> Self {
        let KeyRing { name, active, others } = &*grant.ring;
        let derive = |(id, secret): &(String, Secret)| BoundKey {
            name: format!("{name}/{id}").into(),
            mac: match grant.scheme {
                Scheme::HmacSha256 => hmac_sha256_key(secret, namespace, label),
                Scheme::Itsdangerous => itsdangerous_key(secret, namespace),
            },
        };
        Self { active: derive(active), others: others.iter().map(derive).collect() }
    }

    /// Returns how many keys there are: so often a message is read to verify its signature.
    pub(crate) fn len(&self) -> usize {
        self.others.len().saturating_add(1)
    }

    /// The active key's signature, and its name.
    pub(crate) fn sign(&self, message: &[u8]) -> (Vec<u8>, &Arc<str>) {
        let BoundKey { name, mac } = &self.active;
        (mac.sign(message), name)
    }

    /// The key that made this signature, if one did. Every key is tried, so that the time does not tell which one it was.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Option<&Arc<str>> {
        self.all().fold(None, |found, key| if key.mac.verify(message, signature) { Some(&key.name) } else { found })
    }

    /// Whether a key of the one makes the same signatures as a key of the other.
    pub(crate) fn overlap(&self, other: &Self) -> bool {
        let probe = b"keyward: do two grants share a key?";
        self.all().any(|key| other.verify(probe, &key.mac.sign(probe)).is_some())
    }

    fn all(&self) -> impl Iterator<Item = &BoundKey> {
        std::iter::once(&self.active).chain(&self.others)
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
        let (mac, _) = keys.sign(b"eyJhIjoicm9vdCIsInQiOjE2NzA5MDcyNDZ9");
        assert_eq!(hex(&mac), "704ff3e1e9e7dd2f80c024c77f7443548c52d196");
    }

    #[test]
    fn rotation_signs_with_the_active_key_and_verifies_with_all() {
        for scheme in [Scheme::HmacSha256, Scheme::Itsdangerous] {
            let old = BoundKeys::derive(&grant(&["old"], scheme), "n", "l");
            let both = BoundKeys::derive(&grant(&["new", "old"], scheme), "n", "l");
            let new = BoundKeys::derive(&grant(&["new"], scheme), "n", "l");
            let (signed_before, _) = old.sign(b"message");
            let (signed_now, by) = both.sign(b"message");
            let verify = |keys: &BoundKeys, signature| keys.verify(b"message", signature).map(ToString::to_string);
            assert_eq!(&**by, "main/active");
            assert_eq!(verify(&both, &signed_before).as_deref(), Some("main/previous-1"));
            assert_eq!(verify(&both, &signed_now).as_deref(), Some("main/active"));
            assert_eq!(verify(&new, &signed_now).as_deref(), Some("main/active"), "signed by the active one");
            assert_eq!(verify(&new, &signed_before), None, "retired");
        }
    }

    #[test]
    fn a_signature_counts_in_full_only() {
        let keys = BoundKeys::derive(&grant(&["secret"], Scheme::HmacSha256), "n", "l");
        let (mac, _) = keys.sign(b"message");
        assert_eq!(mac.len(), 32);
        for bit in 0..mac.len() * 8 {
            let mut flipped = mac.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.verify(b"message", &flipped).is_none());
        }
        assert!(keys.verify(b"message", &mac[..31]).is_none());
        assert!(keys.verify(b"message", &[&mac[..], b"\0"].concat()).is_none());
        assert!(keys.verify(b"message", b"").is_none());
        assert!(keys.verify(b"other", &mac).is_none());
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
    fn every_key_but_a_retired_one_verifies_and_the_active_one_signs() {
        let secret = |byte| Secret::new([byte; 32]);
        for scheme in [Scheme::HmacSha256, Scheme::Itsdangerous] {
            let bound = |keys| {
                let ring = Arc::new(KeyRing::with_keys("main", keys).unwrap());
                BoundKeys::derive(&KeyGrant { ring, scheme, namespace: None }, "n", "l")
            };
            let keys = bound(vec![
                Key::retired("1"),
                Key::verify_only("2", secret(2)),
                Key::active("3", secret(3)),
                Key::pending("4", secret(4)),
            ]);
            assert_eq!(&**keys.sign(b"m").1, "main/3");
            for (byte, wanted) in [(1, None), (2, Some("main/2")), (3, Some("main/3")), (4, Some("main/4"))] {
                let (signature, _) = bound(vec![Key::active("x", secret(byte))]).sign(b"m");
                assert_eq!(keys.verify(b"m", &signature).map(|name| &**name), wanted);
            }
        }
    }

    #[test]
    fn what_is_no_ring_is_refused() {
        let secret = |byte| Secret::new([byte; 32]);
        let short = || Secret::new(*b"thirty-one bytes are not enough");
        let long = "x".repeat(65);
        let id = |id: &str| id.to_owned();
        for (keys, wanted) in [
            (vec![], RingError::NoneActive),
            (
                vec![Key::pending("a", secret(1)), Key::verify_only("b", secret(2)), Key::retired("c")],
                RingError::NoneActive,
            ),
            (
                vec![Key::active("a", secret(1)), Key::pending("b", secret(2)), Key::active("c", secret(3))],
                RingError::TwoActive { id: id("c"), other: id("a") },
            ),
            (vec![Key::active("a", secret(1)), Key::pending("a", secret(2))], RingError::SameId { id: id("a") }),
            (vec![Key::retired("a"), Key::active("a", secret(1))], RingError::SameId { id: id("a") }),
            (
                vec![Key::pending("a", secret(1)), Key::active("b", secret(2)), Key::verify_only("c", secret(1))],
                RingError::SameSecret { id: id("c"), other: id("a") },
            ),
            (
                vec![Key::verify_only("a", secret(1)), Key::active("b", secret(1))],
                RingError::SameSecret { id: id("b"), other: id("a") },
            ),
            (vec![Key::active("", secret(1))], RingError::BadId { id: id("") }),
            (vec![Key::active("a/b", secret(1))], RingError::BadId { id: id("a/b") }),
            (vec![Key::active(&long, secret(1))], RingError::BadId { id: long.clone() }),
            (vec![Key::active("a", short())], RingError::ShortSecret { id: id("a"), len: 31 }),
            (
                vec![Key::active("a", secret(1)), Key::pending("b", short())],
                RingError::ShortSecret { id: id("b"), len: 31 },
            ),
        ] {
            assert_eq!(KeyRing::with_keys("r", keys).unwrap_err(), wanted);
        }
        assert!(KeyRing::with_keys("r", vec![Key::active("x".repeat(64), secret(1)), Key::retired("A.b_c-9")]).is_ok());
    }

    #[test]
    fn short_secrets_need_a_word() {
        let short = || Secret::new(*b"thirty-one bytes are not enough");
        let refused = |id: &str, len| RingError::ShortSecret { id: id.to_owned(), len };
        assert_eq!(KeyRing::new("r", short(), vec![]).unwrap_err(), refused("active", 31));
        assert!(KeyRing::dangerous_allow_short("r", short(), vec![]).is_ok());
        assert_eq!(KeyRing::dangerous_allow_short("r", Secret::new(""), vec![]).unwrap_err(), refused("active", 0));
        let wrong = KeyRing::new("r", Secret::new([1; 32]), vec![short()]).unwrap_err();
        assert_eq!(wrong, refused("previous-1", 31), "verify-only ones count too");
    }

    #[test]
    fn no_secret_is_printed() {
        let keys = vec![Key::active("a", Secret::new(*b"a secret that nobody may ever see")), Key::retired("b")];
        let printed = format!("{keys:?}") + &format!(" {:?}", KeyRing::with_keys("r", keys).unwrap());
        assert_eq!(
            printed,
            r#"[Key { id: "a", state: Active, .. }, Key { id: "b", state: Retired, .. }] KeyRing { name: "r", active: "a", others: [] }"#
        );
    }
}
