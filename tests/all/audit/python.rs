//! Another program checks the chain, with the code in `docs/audit.md`.

use super::{Place, any_entry, entry};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::fs;
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/audit.md");

#[test]
fn a_few_lines_of_python_agree() {
    let script = PAGE.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let mut place = Place::new();
    (place.settings.rotate_bytes, place.settings.keep_files) = (4_000, Some(3));
    let mut runner = TestRunner::deterministic();
    place.write((0..60).map(|_| any_entry().new_tree(&mut runner).unwrap().current()));
    place.write([entry("last")]);
    assert_eq!(place.files().len(), 4);
    let check = |place: &Place| {
        let ran = Command::new("python3").args(["-c", script]).args(place.files()).output();
        let ran = match ran {
            Ok(ran) => ran,
            Err(error) => {
                println!("skipped: python3: {error}");
                return None;
            }
        };
        Some((ran.status.code(), String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap()))
    };
    let Some((status, told, error)) = check(&place) else { return };
    assert_eq!((status, told.trim(), error.as_str()), (Some(0), place.head().to_string().as_str(), ""));
    let text = fs::read_to_string(place.file()).unwrap();
    fs::write(place.file(), text.replace("\"request\":\"last\"", "\"request\":\"lasu\"")).unwrap();
    let (status, _, error) = check(&place).unwrap();
    assert_eq!(status, Some(1));
    assert!(error.contains("audit.jsonl"), "{error}");
}
