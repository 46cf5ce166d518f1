//! Built-in components with flipped bits, as a disk or an attacker may leave them.
//!
//! The format of components has no checksum: many flips load, and some make a handler accept tokens
//! that it should reject. This is why digests are pinned.

use crate::support::{self, TestClock};
use keyward_handlers::{BuiltIn, HARDCODED, SIGNED};
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, Runtime, Verdict};
use keyward_tests::hostile;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of flipped bits in a test run. With `KEYWARD_SOAK_SECONDS` in the environment, 2,000.
const FLIPS: usize = 60;

fn configured(name: &str, handler: BuiltIn, bytes: Vec<u8>) -> HandlerConfig {
    let ring = Arc::new(KeyRing::new("main", Secret::new([7; 32]), vec![]).unwrap());
    let mut config = HandlerConfig::new(name, bytes, Actors::Any);
    config.first_party = true;
    config.limits.verdict_cache_bytes = 0;
    if handler == SIGNED {
        config = config.prefix("dstok_").key("token", KeyGrant::new(ring));
    } else {
        config = config
            .prefix("fl_")
            .setting("actors", r#"{"bot":{"id":"bot"}}"#)
            .secret("bot", Secret::new(*b"fl_a-secret"));
    }
    config
}

/// Returns a token of the intact handler, and texts that it must reject.
fn tokens(handler: BuiltIn, runtime: &Runtime) -> (String, Vec<String>) {
    let registry = Registry::builder(runtime).handler(configured("h", handler, handler.component().to_vec()));
    let registry = registry.build().unwrap();
    let valid = match registry.create_blocking(CreateRequest::new("ann")) {
        Ok(Creation::Created(created)) => created.token,
        _ => "fl_a-secret".to_owned(),
    };
    assert!(matches!(registry.verify_blocking(&valid), Ok(Verdict::Accepted(_))), "{}", handler.name());
    let (start, end) = valid.split_at(valid.len() - 1);
    let other = if end == "A" { "B" } else { "A" };
    let invalid =
        vec![format!("{start}{other}"), start.to_owned(), format!("{valid}A"), "dstok_".to_owned(), "fl_x".to_owned()];
    for token in &invalid {
        assert!(!matches!(registry.verify_blocking(token), Ok(Verdict::Accepted(_))), "{token}");
    }
    (valid, invalid)
}

#[test]
fn a_flipped_bit_affects_no_other_handler_and_no_pinned_one() {
    let flips = if std::env::var_os("KEYWARD_SOAK_SECONDS").is_some() { 2_000 } else { FLIPS };
    TestClock.set(Some(support::time(1_767_225_660)));
    let runtime = support::runtime(Default::default(), TestClock);
    let mut outcomes = BTreeMap::<String, usize>::new();
    for handler in [SIGNED, HARDCODED] {
        let intact = handler.component();
        let (valid, invalid) = tokens(handler, &runtime);
        for number in 0..flips / 2 {
            let bit = (intact.len() * 8 / (flips / 2)) * number + number % 8;
            let mut flipped = intact.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);

            let pinned = configured("h", handler, flipped.clone()).sha256(handler.sha256());
            let refused = Registry::builder(&runtime).handler(pinned).build().map(drop);
            assert_eq!(refused.unwrap_err().code(), "digest-mismatch", "bit {bit}");

            let mut other = HandlerConfig::new("other", hostile::case("benign").bytes, Actors::Any).prefix("ho_");
            other.limits.verdict_cache_bytes = 0;
            let registry =
                Registry::builder(&runtime).handler(configured("h", handler, flipped)).handler(other).build();
            let outcome = match &registry {
                Err(_) => "refused when it is loaded",
                Ok(registry) => {
                    let wrong = |token: &String| matches!(registry.verify_blocking(token), Ok(Verdict::Accepted(_)));
                    let accepts_invalid = invalid.iter().any(wrong);
                    let is_intact = matches!(registry.verify_blocking(&valid), Ok(Verdict::Accepted(_)));
                    // Issuing may do anything but harm the host.
                    drop(registry.create_blocking(CreateRequest::new("ann").handler("h")));
                    assert!(matches!(registry.verify_blocking("ho_x"), Ok(Verdict::Accepted(_))), "bit {bit}");
                    match (accepts_invalid, is_intact) {
                        (true, _) => "ACCEPTS AN INVALID TOKEN",
                        (false, true) => "works",
                        (false, false) => "fails on its valid token",
                    }
                }
            };
            *outcomes.entry(format!("{}: {outcome}", handler.name())).or_default() += 1;
        }
    }
    println!("{flips} flipped bits: {outcomes:#?}");
    assert!(outcomes.keys().any(|outcome| outcome.ends_with("works")), "{outcomes:?}");
}
