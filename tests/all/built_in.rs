//! The components of `keyward-handlers`.

use keyward_guests::build as build_guest;
use keyward_handlers::ALL;
use sha2::{Digest, Sha256};
use std::path::Path;

#[test]
fn no_component_is_printed() {
    assert!(format!("{ALL:?}").len() < 1_000, "bytes of components would fill a log");
}

#[test]
fn the_components_are_those_of_the_sources() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../guests");
    for handler in ALL {
        let built = build_guest(&format!("keyward-guest-{}", handler.name()), &target).unwrap();
        assert!(built == handler.component(), "`{}` is outdated: run `cargo xtask handlers`", handler.name());
        assert_eq!(<[u8; 32]>::from(Sha256::digest(handler.component())), handler.sha256(), "{}", handler.name());
    }
}
