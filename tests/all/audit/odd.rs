//! Unexpected objects in place of the files, or concurrent changes to the files, never block
//! indefinitely.

use super::{Place, entry, records};
use keyward_audit::{Audit, Defect, Head, Settings, last, lines, verify};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// An object that is not a regular file, and its constructor.
type Odd = (&'static str, fn(&Path));

const ODD: [Odd; 3] = [
    ("a pipe without a writer", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
    ("a folder", |path| fs::create_dir(path).unwrap()),
    ("a file without an end", |path| symlink("/dev/zero", path).unwrap()),
];

fn head_of(place: &Place) -> std::path::PathBuf {
    place.folder.path().join("audit.jsonl.head")
}

/// A change to the files, given the heads of their lines.
type Harm = (&'static str, fn(&Place, &[Head]));

#[test]
fn a_head_that_is_not_a_regular_file_is_named() {
    for (what, make) in ODD {
        let place = Place::new();
        place.write([entry(1)]);
        let head = head_of(&place);
        fs::remove_file(&head).unwrap();
        make(&head);
        let named = format!("{} is not a regular file: move it away", head.display());
        let settings = Settings { deadline: Duration::from_secs(60), ..place.settings.clone() };
        let opened = Audit::open(settings, place.hand.clock()).unwrap_err().to_string();
        let errors =
            [opened, verify(place.file(), None).unwrap_err().to_string(), lines(place.file()).unwrap_err().to_string()];
        for error in errors {
            assert!(error.ends_with(&named), "{what}: {error}");
        }
    }
}

#[test]
fn an_earlier_file_that_is_not_regular_is_named_and_does_not_block_writing() {
    for (what, make) in ODD {
        let mut place = Place::new();
        (place.settings.rotate_bytes, place.settings.keep_files) = (1, Some(3));
        place.write((1..=3).map(entry));
        let first = place.files().remove(0);
        fs::remove_file(&first).unwrap();
        make(&first);
        let named = format!("{} is not a regular file: move it away", first.display());
        let errors = [
            verify(place.file(), None).unwrap_err().to_string(),
            lines(place.file()).unwrap().find_map(Result::err).unwrap().to_string(),
            last(place.file(), 9).unwrap().into_iter().find_map(Result::err).unwrap().to_string(),
        ];
        for error in errors {
            assert!(error.ends_with(&named), "{what}: {error}");
        }
        // Until it is gone, no later file is removed.
        place.write((4..=9).map(entry));
        assert_eq!(place.files().len(), 9, "{what}");
    }
}

/// No more is read than a head can contain.
#[test]
fn an_oversized_head_is_rejected() {
    let place = Place::new();
    place.write([entry(1)]);
    File::options().write(true).open(head_of(&place)).unwrap().set_len(1 << 40).unwrap();
    let verified = verify(place.file(), None).unwrap();
    assert_eq!((verified.problem, verified.records, verified.has_head), (None, 1, false));
    place.write([entry(2)]);
    assert_eq!((place.head().seq, verify(place.file(), None).unwrap().has_head), (2, true));
}

#[test]
fn an_empty_file_is_detected() {
    let mut place = Place::new();
    place.settings.rotate_bytes = 1;
    place.write((1..=3).map(entry));
    // No line is missing.
    let empty = place.folder.path().join("audit.jsonl.000000000009");
    fs::write(&empty, "").unwrap();
    let problem = verify(place.file(), None).unwrap().problem.unwrap();
    assert_eq!((problem.wrong, problem.file, problem.line, problem.seq), (Defect::Truncated, empty, 1, 3));
}

/// No line is missing, and none is out of order.
#[test]
fn a_renamed_file_is_detected() {
    let mut place = Place::new();
    (place.settings.rotate_bytes, place.settings.file) = (1, place.folder.path().join("audit.5"));
    place.write((1..=3).map(entry));
    place.is_whole();
    let [from, to] = ["audit.5.000000000002", "audit.5.000000000007"].map(|name| place.folder.path().join(name));
    fs::rename(from, &to).unwrap();
    let problem = verify(place.file(), None).unwrap().problem.unwrap();
    assert_eq!((problem.wrong, problem.file, problem.line, problem.seq), (Defect::Reordered, to, 1, 2));
}

/// Anyone who can write the files can adjust the head as well, but the process that has written the
/// lines detects it.
#[test]
fn a_running_writer_detects_missing_lines() {
    fn cut(place: &Place) {
        let text = fs::read_to_string(place.file()).unwrap();
        let left: String = text.split_inclusive('\n').take(2).collect();
        fs::write(place.file(), &left).unwrap();
    }
    let harms: [Harm; 4] = [
        ("the end, and its head", |place, heads| {
            cut(place);
            fs::write(head_of(place), format!("{}\n", heads[1])).unwrap();
        }),
        ("the end, and all heads", |place, _| {
            cut(place);
            fs::remove_file(head_of(place)).unwrap();
        }),
        ("all", |place, _| {
            fs::remove_file(place.file()).unwrap();
            fs::remove_file(head_of(place)).unwrap();
        }),
        ("all, rotated by another program", |place, _| {
            fs::rename(place.file(), place.folder.path().join("audit.jsonl.1")).unwrap();
            fs::rename(head_of(place), place.folder.path().join("audit.jsonl.1.head")).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let place = Place::new();
        let audit = place.open();
        let mut heads = Vec::new();
        for number in 1..=5 {
            audit.record_blocking(entry(number)).unwrap();
            heads.push(audit.status().head);
        }
        harm(&place, &heads);
        audit.record_blocking(entry("next")).unwrap();
        let missing = records(place.file()).into_iter().find(|record| record.event == "missing");
        let missing = missing.unwrap_or_else(|| panic!("{what}")).up_to.unwrap();
        assert_eq!(missing, heads[4].to_string(), "{what}");
        assert_eq!(verify(place.file(), None).unwrap().problem.unwrap().wrong, Defect::Truncated, "{what}");
        // Once is enough.
        audit.record_blocking(entry("later")).unwrap();
        assert_eq!(records(place.file()).iter().filter(|record| record.event == "missing").count(), 1, "{what}");
    }
}

/// Removing only the head creates a new one, but does not leave the writer with an unlinked file.
#[test]
fn a_removed_head_is_written_again() {
    let place = Place::new();
    let audit = place.open();
    audit.record_blocking(entry(1)).unwrap();
    fs::remove_file(head_of(&place)).unwrap();
    let verified = verify(place.file(), None).unwrap();
    assert_eq!((verified.problem, verified.has_head), (None, false));
    audit.record_blocking(entry(2)).unwrap();
    assert_eq!(place.head(), audit.status().head);
    place.is_whole();
}
