//! The guest boundary: random bytes as the component.

use crate::boundary::{RUNTIME, create, hostile, verify};
use crate::compile::is_one_line;
use keyward_runtime::Registry;
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_tests::hostile::case;
use std::sync::Arc;
use std::time::Duration;

/// Loads the bytes as a handler with every grant. Either it is rejected with a one-line error, or
/// it loads; then every result is a verdict or an error that blames it, and no actor is outside its
/// allow-list.
pub fn components(data: &[u8]) {
    let mut config = hostile(data.to_vec());
    let ring = Arc::new(KeyRing::new("ring", Secret::new([1; 32]), Vec::new()).unwrap());
    for label in ["token", "mine"] {
        config.keys.insert(label.into(), KeyGrant::new(ring.clone()));
    }
    config.secrets.push(("bot".into(), Secret::new(*b"ho_secret")));
    config.limits.cpu = Duration::from_millis(10);
    match Registry::builder(&RUNTIME).handler(config).build() {
        Ok(registry) => {
            assert_eq!(RUNTIME.inspect(data).unwrap().bytes, data.len());
            for token in ["ho_secret", "ho_eyJhIjoiaG9zdGlsZTphIn0.x", "ho_"] {
                verify(&registry, token);
            }
            if let Some(token) = create(&registry, Some("00".repeat(48))) {
                verify(&registry, &token);
            }
        }
        Err(error) => {
            assert_eq!(error.handler(), Some("hostile"));
            is_one_line(&error);
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    const SMALL: [&str; 12] = [
        "benign",
        "actor-root",
        "actor-lookalike",
        "answer-by-the-caller",
        "utf16-guest",
        "secrets-guess",
        "start-signs",
        "state-table",
        "stack-indirect",
        "memory-many",
        "trap-post-return",
        "table-second-grows",
    ];
    SMALL
        .iter()
        .map(|name| case(name).bytes)
        .chain([keyward_handlers::SIGNED.component().to_vec(), keyward_handlers::HARDCODED.component().to_vec()])
        .collect()
}
