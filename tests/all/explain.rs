//! `keyward explain` has a page for each code that the runtime and the author kit may show.

use keyward_runtime::Reason;
use keyward_runtime::limits::LimitKind;
use keyward_tests::cli::Folder;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the codes in the functions `code` of a source file.
fn codes_in(file: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let codes = lines.filter_map(|(_, rest)| rest.strip_suffix("\","));
    let codes: Vec<_> = codes.map(str::to_owned).collect();
    assert!(!codes.is_empty(), "{file}");
    codes
}

#[test]
fn each_code_has_a_page() {
    let mut codes: BTreeSet<String> = LimitKind::ALL.iter().map(|limit| limit.code().to_owned()).collect();
    for file in ["runtime/src/error.rs", "kit/src/encode.rs", "kit/src/project.rs", "kit/src/template.rs"] {
        codes.extend(codes_in(file));
    }
    codes.extend(Reason::ALL.iter().map(|reason| reason.as_str().to_owned()));
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors")).unwrap();
    let pages = pages.map(|page| page.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    let pages: BTreeSet<_> = pages.filter(|page| page != "README").collect();
    assert_eq!(codes, pages);
}

#[test]
fn a_code_is_explained_with_or_without_its_brackets() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("explain"));
    for code in ["not-granted", "[not-granted]"] {
        let ran = folder.run(&["explain", code], "");
        assert!(ran.status == 0 && ran.stdout.starts_with("# `not-granted`\n"), "{ran:?}");
    }
    let listed = folder.run(&["explain"], "");
    assert!(listed.status == 0 && listed.stdout.contains("\nnot-granted "), "{listed:?}");
    let unknown = folder.run(&["explain", "not-grated"], "");
    assert_eq!(unknown.status, 2);
    assert_eq!(
        unknown.stderr,
        "keyward: there is no such code; `keyward explain` lists them; did you mean `not-granted`?\n"
    );
}
