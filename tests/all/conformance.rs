//! `keyward test` finds what is wrong with broken handlers, and nothing wrong with good ones.

use keyward_tests::cli::Folder;
use keyward_tests::hostile;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The faults of `tests/broken`.
const FAULTS: [&str; 23] = [
    "accepts-everything",
    "drops-restrictions",
    "expires-early",
    "fails",
    "grows",
    "forgets-expiry",
    "ignores-signature",
    "junk",
    "keeps-state",
    "leaks",
    "leaks-a-part",
    "leaks-without-prefix",
    "loops",
    "moving-id",
    "no-id",
    "old-issue-time",
    "other-actor",
    "panics",
    "prints",
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
        assert_eq!(ran.status, i32::from(!["none", "prints"].contains(&fault)), "{fault}: {ran:?}");
        assert_eq!(ran.stderr.contains("there is no signature"), fault == "panics", "the log has the panic: {ran:?}");
        // Those that pass are the same for all, and the use of CPU time differs.
        let lines = ran.stdout.lines().filter(|line| !line.starts_with("passed") && !line.starts_with("used of"));
        let lines: Vec<_> = lines.map(without_place).collect();
        let _ = writeln!(seen, "== {fault}\n{}", lines.join("\n"));
    }
    // Components that cannot be loaded.
    for name in ["load-version-0.2.0", "load-missing-create", "load-wasi-http", "load-threads", "load-type-result"] {
        folder.write("refused.wasm", hostile::case(name).bytes, 0o644);
        let ran = folder.run(&["test", "refused.wasm"], "");
        assert_eq!(ran.status, 2, "{name}: {ran:?}");
        let _ = writeln!(seen, "== {name}\n{}", ran.stderr.trim_end());
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

/// The cases of built-in handlers that issue no tokens, or need a store or a prefix.
#[test]
fn handlers_are_judged_by_their_cases() {
    let folder = folder("cases");
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/conformance")).unwrap() {
        let file = file.unwrap().path();
        let (name, text) = (file.file_stem().unwrap().to_str().unwrap(), fs::read_to_string(&file).unwrap());
        folder.write("cases.toml", &text, 0o644);
        let component = format!("builtin:{name}");
        let ran = folder.run(&["test", &component, "--cases", "cases.toml"], "");
        assert!(ran.status == 0 && ran.stdout.contains(": passed "), "{name}: {ran:?}");
        // Each case fails if another verdict is wanted.
        for (place, _) in text.match_indices("want = ") {
            let (before, after) = text.split_at(place);
            let (wanted, rest) = after.split_once('\n').unwrap();
            let other = if wanted == "want = \"accepted\"" { "want = \"not-mine\"" } else { "want = \"accepted\"" };
            folder.write("cases.toml", format!("{before}{other}\n{rest}"), 0o644);
            let ran = folder.run(&["test", &component, "--cases", "cases.toml"], "");
            assert!(ran.status == 1 && ran.stdout.contains("FAILED case: "), "{name}: {wanted}: {ran:?}");
        }
    }
}

/// A handler that issues nothing is judged by a token of its cases, at the time of that case.
#[test]
fn a_token_of_the_cases_is_changed_and_cut() {
    let folder = folder("decodes");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    folder.write("broken.wasm", keyward_guests::build("keyward-tests-broken", &target).unwrap(), 0o644);
    let test = ["test", "broken.wasm", "--key", "token", "--cases", "cases.toml"];
    let payload: String = format!("00\n{}\nann", 1_767_225_600).bytes().map(|byte| format!("{byte:02x}")).collect();
    let case = |token: &str, want: &str| format!("[[cases]]\nname = {token:?}\ntoken = {token:?}\nwant = {want:?}\n");
    let settings = "[settings]\nfault = \"only-decodes\"\n";
    let accepted = case(&format!("br_{payload}.00"), "accepted") + "at = 2026-01-01T00:00:00Z\n";
    folder.write("cases.toml", format!("{settings}{accepted}"), 0o644);
    let ran = folder.run(&test, "");
    assert!(ran.status == 1 && ran.stdout.contains("FAILED rejects a token that was cut"), "{ran:?}");
    folder.write("cases.toml", format!("{settings}{}", case("br_x", "rejected")), 0o644);
    let ran = folder.run(&test, "");
    assert!(ran.status == 3 && ran.stdout.contains("none of the cases is one that it accepts"), "{ran:?}");
}

/// A handler about whose tokens nothing is known has not passed.
#[test]
fn what_cannot_be_judged_has_not_passed() {
    let folder = folder("unjudged");
    folder.write("denies.wasm", hostile::case("answer-denied-disabled").bytes, 0o644);
    for (component, reason) in [
        ("builtin:session", "session handler"),
        ("builtin:query", "issues no tokens here"),
        ("denies.wasm", "issues no tokens"),
    ] {
        let ran = folder.run(&["test", component], "");
        assert!(ran.status == 3 && ran.stdout.contains("not judged") && ran.stdout.contains(reason), "{ran:?}");
        assert!(!ran.stdout.contains("passed"), "{ran:?}");
    }
}
