//! `keyward test` finds what is wrong with broken handlers, and nothing wrong with good ones.

use keyward_tests::cli::Folder;
use keyward_tests::hostile;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The faults of `tests/broken`.
const FAULTS: [&str; 17] = [
    "accepts-everything",
    "drops-restrictions",
    "expires-early",
    "fails",
    "grows",
    "forgets-expiry",
    "ignores-signature",
    "junk",
    "loops",
    "moving-id",
    "no-id",
    "other-actor",
    "panics",
    "same-id",
    "spellings",
    "trims",
    "none",
];

fn folder(name: &str) -> Folder {
    Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance").join(name))
}

#[test]
fn each_broken_handler_fails_with_its_reason() {
    let folder = folder("broken");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    folder.write("broken.wasm", keyward_guests::build("keyward-tests-broken", &target).unwrap(), 0o644);
    let mut seen = String::new();
    for fault in FAULTS {
        let ran = folder.run(&["test", "broken.wasm", "--setting", &format!("fault=\"{fault}\"")], "");
        assert_eq!(ran.status, i32::from(fault != "none"), "{fault}: {ran:?}");
        assert_eq!(ran.stderr.contains("there is no signature"), fault == "panics", "the log has the panic: {ran:?}");
        // Those that pass are the same for all, and the use of CPU time differs.
        let lines = ran.stdout.lines().filter(|line| !line.starts_with("passed") && !line.starts_with("used of"));
        let lines: Vec<_> = lines.map(without_place).collect();
        let _ = writeln!(seen, "== {fault}\n{}", lines.join("\n"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/conformance.txt");
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        fs::write(&path, &seen).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap();
    let differ = wanted.lines().zip(seen.lines()).find(|(wanted, seen)| wanted != seen);
    assert!(wanted == seen, "KEYWARD_BLESS=1 updates tests/cases/conformance.txt: {differ:?}");
}

/// Returns a line without the place of a changed character, which differs between tokens.
fn without_place(line: &str) -> String {
    match line.split_once("whose character ").and_then(|(before, after)| Some((before, after.split_once(" is `")?.1))) {
        Some((before, after)) => {
            format!("{before}whose character … is `…{}", after.chars().skip(1).collect::<String>())
        }
        None => line.to_owned(),
    }
}

#[test]
fn good_handlers_pass() {
    let folder = folder("good");
    let ran = folder.run(&["test", "builtin:signed", "--setting", "unique_tokens=true", "--json"], "");
    assert_eq!(ran.status, 0, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["outcome"], "passed");
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() >= 12 && checks.iter().all(|check| check["outcome"] == "passed"), "{report}");
    assert!(report["limits"].as_array().unwrap().iter().any(|used| used["setting"] == "limits.cpu_ms"), "{report}");
}

/// A handler about whose tokens nothing is known has not passed.
#[test]
fn what_cannot_be_judged_has_not_passed() {
    let folder = folder("unjudged");
    folder.write("denies.wasm", hostile::case("answer-denied-disabled").bytes, 0o644);
    for (component, reason) in [
        ("builtin:session", "session handler"),
        ("builtin:stored", "imports `store`"),
        ("denies.wasm", "issues no tokens"),
    ] {
        let ran = folder.run(&["test", component], "");
        assert!(ran.status == 3 && ran.stdout.contains("not judged") && ran.stdout.contains(reason), "{ran:?}");
        assert!(!ran.stdout.contains("passed"), "{ran:?}");
    }
}
