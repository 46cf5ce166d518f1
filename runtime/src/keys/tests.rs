use super::*;

fn grant(secrets: &[&str], scheme: Scheme) -> KeyGrant {
    let mut secrets = secrets.iter().map(|secret| Secret::new(secret.as_bytes()));
    let active = secrets.next().unwrap();
    let ring = KeyRing::dangerous_allow_short("main", active, secrets.collect()).unwrap();
    KeyGrant { ring: Arc::new(ring), scheme, namespace: None }
}

#[test]
fn itsdangerous_is_byte_for_byte() {
    let keys = DerivedKeys::derive(&grant(&["mysecret"], Scheme::Itsdangerous), "token", "any").unwrap();
    let (mac, _) = keys.sign(b"eyJhIjoicm9vdCIsInQiOjE2NzA5MDcyNDZ9");
    assert_eq!(hex::encode(&mac), "704ff3e1e9e7dd2f80c024c77f7443548c52d196");
}

#[test]
fn rotation_signs_with_the_active_key_and_verifies_with_all() {
    for scheme in [Scheme::HmacSha256, Scheme::Itsdangerous] {
        let old = DerivedKeys::derive(&grant(&["old"], scheme), "n", "l").unwrap();
        let both = DerivedKeys::derive(&grant(&["new", "old"], scheme), "n", "l").unwrap();
        let new = DerivedKeys::derive(&grant(&["new"], scheme), "n", "l").unwrap();
        let (signed_before, _) = old.sign(b"message");
        let (signed_now, by) = both.sign(b"message");
        let verify = |keys: &DerivedKeys, signature| keys.verify(b"message", signature).map(ToString::to_string);
        assert_eq!(&**by, "main/active");
        assert_eq!(verify(&both, &signed_before).as_deref(), Some("main/previous-1"));
        assert_eq!(verify(&both, &signed_now).as_deref(), Some("main/active"));
        assert_eq!(verify(&new, &signed_now).as_deref(), Some("main/active"), "signed by the active key");
        assert_eq!(verify(&new, &signed_before), None, "retired");
    }
}

#[test]
fn only_a_complete_signature_is_valid() {
    let keys = DerivedKeys::derive(&grant(&["secret"], Scheme::HmacSha256), "n", "l").unwrap();
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
fn a_raw_key_is_the_secret_and_belongs_to_one_grant() {
    // RFC 4231 test case 2.
    let wanted = [
        (Scheme::RawHmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            Scheme::RawHmacSha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            Scheme::RawHmacSha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ];
    for (scheme, mac) in wanted {
        let keys = DerivedKeys::derive(&grant(&["Jefe"], scheme), "n", "l").unwrap();
        assert_eq!(hex::encode(keys.sign(b"what do ya want for nothing?").0), mac);
        for other in Scheme::ALL.into_iter().filter(|other| *other != Scheme::Ed25519) {
            let other = |secret| DerivedKeys::derive(&grant(&[secret], other), "m", "k").unwrap();
            assert!(keys.overlap(&other("Jefe")) && other("Jefe").overlap(&keys));
            assert!(!keys.overlap(&other("Jeff")));
        }
    }
}

#[test]
fn different_names_give_different_keys() {
    let names = ["", "a", "aa", "ab", "b", "a\0", "token", "signed", "tokensigned"];
    let pairs: Vec<_> = names.iter().flat_map(|n| names.iter().map(move |l| (*n, *l))).collect();
    for scheme in [Scheme::HmacSha256, Scheme::Itsdangerous] {
        let keys = |(n, l): (&str, &str)| DerivedKeys::derive(&grant(&["secret"], scheme), n, l).unwrap();
        for (at, one) in pairs.iter().enumerate() {
            for other in &pairs[at + 1..] {
                let same = scheme == Scheme::Itsdangerous && one.0 == other.0;
                assert_eq!(keys(*one).overlap(&keys(*other)), same, "{one:?} {other:?}");
            }
        }
    }
}

#[test]
fn the_active_key_signs_and_all_but_retired_keys_verify() {
    let secret = |byte| Secret::new([byte; 32]);
    for scheme in [Scheme::HmacSha256, Scheme::Itsdangerous] {
        let bound = |keys| {
            let ring = Arc::new(KeyRing::with_keys("main", keys).unwrap());
            DerivedKeys::derive(&KeyGrant { ring, scheme, namespace: None }, "n", "l").unwrap()
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
fn invalid_rings_are_refused() {
    let secret = |byte| Secret::new([byte; 32]);
    let short = || Secret::new(*b"thirty-one bytes are not enough");
    let long = "x".repeat(65);
    let id = |id: &str| id.to_owned();
    for (keys, wanted) in [
        (vec![], KeyRingError::NoneActive),
        (
            vec![Key::pending("a", secret(1)), Key::verify_only("b", secret(2)), Key::retired("c")],
            KeyRingError::NoneActive,
        ),
        (
            vec![Key::active("a", secret(1)), Key::pending("b", secret(2)), Key::active("c", secret(3))],
            KeyRingError::TwoActive { id: id("c"), other: id("a") },
        ),
        (vec![Key::active("a", secret(1)), Key::pending("a", secret(2))], KeyRingError::SameId { id: id("a") }),
        (vec![Key::retired("a"), Key::active("a", secret(1))], KeyRingError::SameId { id: id("a") }),
        (
            vec![Key::pending("a", secret(1)), Key::active("b", secret(2)), Key::verify_only("c", secret(1))],
            KeyRingError::SameSecret { id: id("c"), other: id("a") },
        ),
        (
            vec![Key::verify_only("a", secret(1)), Key::active("b", secret(1))],
            KeyRingError::SameSecret { id: id("b"), other: id("a") },
        ),
        (vec![Key::active("", secret(1))], KeyRingError::BadId { id: id("") }),
        (vec![Key::active("a/b", secret(1))], KeyRingError::BadId { id: id("a/b") }),
        (vec![Key::active(&long, secret(1))], KeyRingError::BadId { id: long.clone() }),
        (vec![Key::active("a", short())], KeyRingError::ShortSecret { id: id("a"), len: 31 }),
        (
            vec![Key::active("a", secret(1)), Key::pending("b", short())],
            KeyRingError::ShortSecret { id: id("b"), len: 31 },
        ),
    ] {
        assert_eq!(KeyRing::with_keys("r", keys).unwrap_err(), wanted);
    }
    assert!(KeyRing::with_keys("r", vec![Key::active("x".repeat(64), secret(1)), Key::retired("A.b_c-9")]).is_ok());
}

#[test]
fn short_secrets_must_be_allowed_explicitly() {
    let short = || Secret::new(*b"thirty-one bytes are not enough");
    let refused = |id: &str, len| KeyRingError::ShortSecret { id: id.to_owned(), len };
    assert_eq!(KeyRing::new("r", short(), vec![]).unwrap_err(), refused("active", 31));
    assert!(KeyRing::dangerous_allow_short("r", short(), vec![]).is_ok());
    assert_eq!(KeyRing::dangerous_allow_short("r", Secret::new(""), vec![]).unwrap_err(), refused("active", 0));
    let wrong = KeyRing::new("r", Secret::new([1; 32]), vec![short()]).unwrap_err();
    assert_eq!(wrong, refused("previous-1", 31), "verify-only keys count, too");
}

#[test]
fn no_secret_is_printed() {
    let keys = vec![Key::active("a", Secret::new(*b"a secret that must not be printed")), Key::retired("b")];
    let printed = format!("{keys:?}") + &format!(" {:?}", KeyRing::with_keys("r", keys).unwrap());
    assert_eq!(
        printed,
        r#"[Key { id: "a", state: Active, .. }, Key { id: "b", state: Retired, .. }] KeyRing { name: "r", active: "a", others: [] }"#
    );
}

/// A key of `openssl genpkey -algorithm ed25519`, without its public half.
const PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

#[test]
fn an_ed25519_key_signs_what_its_public_half_verifies() {
    let der = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let ring = KeyRing::new("main", Secret::new(PEM), vec![Secret::new(der.as_ref())]).unwrap();
    let grant = KeyGrant::new(Arc::new(ring)).scheme(Scheme::Ed25519);
    let keys = DerivedKeys::derive(&grant, "n", "l").unwrap();
    assert_eq!(keys.signing_key(), ("active", "EdDSA"));
    let public: Vec<_> = keys.public_keys().collect();
    assert_eq!(public.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["active", "previous-1"]);
    // RFC 8037 appendix A.2.
    assert_eq!(hex::encode(public[0].1), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    // RFC 8037 appendix A.4.
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let (signature, name) = keys.sign(message);
    assert_eq!(
        hex::encode(&signature),
        "860c98d2297f3060a33f42739672d61b53cf3adefed3d3c672f320dc021b411e9d59b8628dc351e248b88b29468e0e41855b0fb7d83bb15be902bfccb8cd0a02"
    );
    assert_eq!(&**name, "main/active");
    assert_eq!(keys.verify(message, &signature).map(|name| &**name), Some("main/active"));
    assert_eq!(keys.verify(b"other", &signature), None);
    let hmac = DerivedKeys::derive(&KeyGrant { scheme: Scheme::HmacSha256, ..grant.clone() }, "n", "l").unwrap();
    assert!(hmac.public_keys().next().is_none() && hmac.overlap(&keys), "one secret, two schemes");
    for wrong in [&[7; 32][..], b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let ring = KeyRing::new("main", Secret::new(wrong), vec![]).unwrap();
        let grant = KeyGrant::new(Arc::new(ring)).scheme(Scheme::Ed25519);
        assert_eq!(DerivedKeys::derive(&grant, "n", "l").err(), Some(UnusableKey::NoPrivateKey("active".to_owned())));
    }
}
