//! The pages for plugin authors, followed as a reader does. Those of the languages are in
//! `languages.rs`.

use keyward_tests::cli::Folder;
use keyward_tests::page::Page;
use keyward_tests::peers;
use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

#[test]
fn the_tutorial_leads_to_a_handler_in_a_daemon() {
    if let Some(missing) = ["curl", "patch"].into_iter().find(|name| peers::program(name).is_none()) {
        return peers::skip("the tutorial", &format!("{missing} is not installed"));
    }
    // Both are free at the same time, so they differ.
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [service, admin] = free.map(|port| port.local_addr().unwrap().to_string());
    follow("tutorial.md", &[("127.0.0.1:8450", &service), ("127.0.0.1:8451", &admin)]);
}

#[test]
fn the_first_page_leads_to_a_tested_handler() {
    follow("README.md", &[]);
}

/// Follows a page whose project is in Rust.
fn follow(page: &str, replaced: &[(&str, &str)]) {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("authors").join(page));
    Page::read(page, replaced).follow(folder.path(), &lock());
}

/// Returns the command that gives a project the versions that the workspace is tested with, which
/// need no download.
pub(crate) fn lock() -> String {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    format!("cp '{}' Cargo.lock", lock.display())
}
