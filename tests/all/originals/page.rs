//! Compares `docs/originals.md` with the results.

use super::{exchanges, vectors};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Held while a test reads and writes the page.
static PAGE: Mutex<()> = Mutex::new(());

/// Compares the page with these blocks, each of which is between the comments of its name. With
/// `KEYWARD_BLESS` the page is updated.
pub(super) fn compare(blocks: &[(String, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/originals.md");
    let _lock = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let page = fs::read_to_string(&path).unwrap();
    let mut wanted = page.clone();
    for (name, text) in blocks {
        let (begin, end) = (format!("<!-- {name}: written by the tests -->\n"), format!("<!-- end of {name} -->"));
        let from = wanted.find(&begin).unwrap_or_else(|| panic!("the page has no comments for {name}")) + begin.len();
        let to = wanted.find(&end).unwrap();
        wanted.replace_range(from..to, text);
    }
    for token in exchanges::tokens(&vectors()) {
        assert!(!wanted.contains(&token), "the page shows a token");
    }
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        fs::write(path, wanted).unwrap();
        return;
    }
    let differ = |(there, seen): (&str, &str)| (there != seen).then(|| format!("- {there}\n+ {seen}\n"));
    let lines: String = page.lines().zip(wanted.lines()).filter_map(differ).take(20).collect();
    assert!(page == wanted, "docs/originals.md differs from the results; KEYWARD_BLESS=1 updates it:\n{lines}");
}
