//! The codec: one spelling, complete streams, bounded sizes.

use miniz_oxide::deflate::compress_to_vec_zlib;
use proptest::prelude::*;

use super::*;
use crate::itsdangerous::{MAX_JSON, json, push_signature, push_value, split};

fn value(json: &str) -> String {
    let mut value = String::new();
    push_value(&mut value, json);
    value
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    push_signature(&mut text, bytes);
    text[1..].to_owned()
}

#[test]
fn tokens_equal_datasettes_worked_examples() {
    let host = host_with("mysecret", sha1_mac).at(1_670_907_246, 0);
    let token = "dstok_eyJhIjoicm9vdCIsInQiOjE2NzA5MDcyNDZ9.cE_z4enn3S-AwCTHf3RDVIxS0ZY";
    assert_eq!(create(&host, request("root")).token, token);
    let with_expiry = CreateRequest { expires_after: Some(3600), ..request("root") };
    let token = "dstok_eyJhIjoicm9vdCIsInQiOjE2NzA5MDcyNDYsImQiOjM2MDB9.g_JhUdLt6P8SsPo0qQ3tdVDFQcI";
    assert_eq!(create(&host, with_expiry).token, token);
    // Tokens of other programs and older versions.
    for token in [
        "dstok_.eJyrVkpUslIqys8vUdJRKlGyMjQzN7A0MDcyMdNRii9SsqoGyUcrlWUCpctKlGJ1lFJAgin5ycVg8UKl2FodpSKEGJguzU3NKwEryCwCaiwtAqoCAgB3eiBQ.SX3vuu8bqqx72CYsyAxENKOH6kc",
        "dstok_.eJxFizEKgDAMRe_y5w4qYrFXERGxDkVsMI0uxbubdjFL8l_ez1jhwEQCA6Fjjxp90qtkuHawzdjYrh8MFobLxZ_wBH0_gtnAF-hpS5VfmF8D_lnd97lHqUJgLd6sls4H1qwlhA.nH_7RecYHj5qSzvjhMU95iy0Xlc",
    ] {
        assert!(matches!(verify(&host, token), Verdict::Accepted(_)), "{token}");
    }
}

#[test]
fn compression_starts_where_itsdangerous_starts_it() {
    let json = |length| format!(r#"{{"a":"{}","t":1670907246}}"#, "x".repeat(length));
    assert!(!value(&json(11)).starts_with('.'));
    assert!(value(&json(12)).starts_with('.'));
}

/// An estimate decides whether zlib runs. It must find what is clearly worth compressing.
#[test]
fn compression_is_tried_where_it_pays() {
    let random = "k3;Zx)Vq7~Wm2^Tb9&Lr4!Jd8@Hs6#Gf1$Ya5%Uo0*Pi(Ne+Cv=B,wKz<XQ>tM?Rj|Dh[Sg]Ef}Al{u_Oy.Ib-Fn`Tz7vPq%3mW";
    let hexadecimal = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let names = r#"["documents","document_pages","document_authors","document_views","document_votes"]"#;
    for (text, is_compressed) in [(random, false), (hexadecimal, true), (names, true)] {
        assert_eq!(value(text).starts_with('.'), is_compressed, "{text}");
    }
}

#[test]
fn a_signature_of_any_length_is_split_off() {
    for length in [0, 1, 20, 32, 64] {
        let mac = vec![7; length];
        let signed = format!("VALUE.{}", base64(&mac));
        assert_eq!(split(&signed), Some(("VALUE", mac)));
    }
}

#[test]
fn a_zlib_stream_must_be_complete_and_alone() {
    let stream = compress_to_vec_zlib(br#"{"a":"aaaaaaaaaaaaaaaaaaaaaaa"}"#, 6);
    let read = |bytes: &[u8]| json(&format!(".{}", base64(bytes)));
    assert!(read(&stream).is_some());
    for cut in 0..stream.len() {
        assert_eq!(read(&stream[..cut]), None, "cut at {cut}");
    }
    assert_eq!(read(&[&stream[..], b"\0"].concat()), None);
    assert_eq!(read(&[&stream[..], &stream[..]].concat()), None);
    for checksum in 1..=4 {
        let mut wrong = stream.clone();
        let at = wrong.len() - checksum;
        wrong[at] ^= 1;
        assert_eq!(read(&wrong), None);
    }
}

#[test]
fn inflating_stops_at_64_kib() {
    let read = |length| json(&format!(".{}", base64(&compress_to_vec_zlib(&vec![b'1'; length], 6))));
    assert_eq!(read(MAX_JSON).unwrap().len(), MAX_JSON);
    assert_eq!(read(MAX_JSON + 1), None);
    assert_eq!(read(4 << 20), None);
}

/// Skipping compression for short texts without repeats must not change any realistic token.
#[test]
fn skipped_compression_would_not_have_been_shorter() {
    let mut skipped = 0;
    for id in ["root", "a", "simon", "user-3412", "x9", "Zoë", "日本", "bot_7", "me@x.org"] {
        for made in (1_500_000_000..2_500_000_000_u64).step_by(9_876_543) {
            for lifetime in [None, Some(60), Some(3600), Some(86_400)] {
                let json = crate::payload::write(id, made, lifetime, None, None);
                let shorter = compress_to_vec_zlib(json.as_bytes(), 6).len() + 1 < json.len();
                assert_eq!(value(&json).starts_with('.'), shorter, "{json}");
                skipped += u32::from(!shorter);
            }
        }
    }
    assert!(skipped > 1_000);
}

proptest! {
    #[test]
    fn written_values_read_back(text in "\\PC{0,300}", repeat in 1..4_usize) {
        let text = text.repeat(repeat);
        prop_assert_eq!(json(&value(&text)), Some(text));
    }

    /// Every byte sequence has one spelling, so no two signed texts share a value and a signature.
    #[test]
    fn there_is_one_spelling(text in "[A-Za-z0-9_=+/ -]{0,40}") {
        if let Some((_, mac)) = split(&format!(".{text}")) {
            prop_assert_eq!(base64(&mac), text);
        }
    }
}
