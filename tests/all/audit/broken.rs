//! Any tampering with the files is detected, at its first position.

use super::{Place, any_entry, entry};
use keyward_audit::{AnchorCheck, Audit, Defect, Head, Problem, verify};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

/// All lines, file by file, with their line feeds.
type Lines = Vec<(PathBuf, Vec<Vec<u8>>)>;

fn read(place: &Place) -> Lines {
    let split = |file: PathBuf| {
        let lines = fs::read(&file).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        (file, lines)
    };
    place.files().into_iter().map(split).collect()
}

fn write(lines: &Lines) {
    for (file, lines) in lines {
        fs::write(file, lines.concat()).unwrap();
    }
}

/// Returns the position of a record: file and line, both from 0.
fn find(lines: &Lines, seq: usize) -> (usize, usize) {
    let mut before = 0;
    for (number, (_, lines)) in lines.iter().enumerate() {
        if seq <= before + lines.len() {
            return (number, seq - before - 1);
        }
        before += lines.len();
    }
    panic!("no record {seq}");
}

/// A kind of tampering. Numbers choose a position, modulo its range.
#[derive(Debug, Clone)]
enum Harm {
    Remove(usize),
    Change(usize, usize, u8),
    Repeat(usize),
    Swap(usize, usize),
    Truncate(usize, usize),
    RemoveFile(usize),
}

fn any_harm() -> impl Strategy<Value = Harm> {
    let n = || any::<usize>();
    prop_oneof![
        n().prop_map(Harm::Remove),
        (n(), n(), any::<u8>()).prop_map(|(line, at, byte)| Harm::Change(line, at, byte)),
        n().prop_map(Harm::Repeat),
        (n(), n()).prop_map(|(one, other)| Harm::Swap(one, other)),
        (n(), n()).prop_map(|(file, at)| Harm::Truncate(file, at)),
        n().prop_map(Harm::RemoveFile),
    ]
}

/// The required position of the defect (file, line and number), and its possible kinds.
type Wanted = (PathBuf, usize, usize, &'static [Defect]);

/// Returns the position of the next line, after lines at this position were removed.
fn behind(lines: &Lines, mut file: usize, line: usize) -> Option<(PathBuf, usize)> {
    if line < lines[file].1.len() {
        return Some((lines[file].0.clone(), line + 1));
    }
    loop {
        file += 1;
        if !lines.get(file)?.1.is_empty() {
            return Some((lines[file].0.clone(), 1));
        }
    }
}

/// Returns the position after the last line.
fn end(lines: &Lines) -> (PathBuf, usize) {
    let (file, lines) = lines.last().unwrap();
    (file.clone(), lines.len() + 1)
}

/// Returns the defect after a removal: truncation if no line follows.
fn gone(lines: &Lines, file: usize, line: usize, seq: usize) -> Wanted {
    if lines[file].1.is_empty() && file + 1 < lines.len() {
        // A file without lines is never rotated.
        return (lines[file].0.clone(), 1, seq, &[Defect::Truncated]);
    }
    match behind(lines, file, line) {
        Some((file, line)) => (file, line, seq, &[Defect::Removed]),
        None => {
            let (file, line) = end(lines);
            (file, line, seq, &[Defect::Truncated])
        }
    }
}

/// Tampers with the lines. Returns `None` if that changes nothing.
fn harm(lines: &mut Lines, harm: &Harm) -> Option<Wanted> {
    let count: usize = lines.iter().map(|(_, lines)| lines.len()).sum();
    let at = |lines: &Lines, seq: usize| {
        let (file, line) = find(lines, seq);
        (file, line, lines[file].0.clone())
    };
    match harm {
        Harm::Remove(seq) => {
            let seq = seq % count + 1;
            let (file, line, _) = at(lines, seq);
            lines[file].1.remove(line);
            Some(gone(lines, file, line, seq))
        }
        Harm::Change(seq, place, byte) => {
            let seq = seq % count + 1;
            let (file, line, path) = at(lines, seq);
            let text = &mut lines[file].1[line];
            let place = place % text.len();
            let changed = std::mem::replace(&mut text[place], *byte) != *byte;
            changed.then_some((path, line + 1, seq, &[Defect::Changed, Defect::Unreadable, Defect::Truncated]))
        }
        Harm::Repeat(seq) => {
            let seq = seq % count + 1;
            let (file, line, path) = at(lines, seq);
            let text = lines[file].1[line].clone();
            lines[file].1.insert(line, text);
            Some((path, line + 2, seq + 1, &[Defect::Reordered]))
        }
        Harm::Swap(one, other) => {
            let (one, other) = (one % count + 1, other % count + 1);
            let (one, other) = (one.min(other), one.max(other));
            let ((file, line, path), (other_file, other_line, _)) = (at(lines, one), at(lines, other));
            let text = lines[file].1[line].clone();
            let other_text = std::mem::replace(&mut lines[other_file].1[other_line], text);
            lines[file].1[line] = other_text;
            (one != other).then_some((path, line + 1, one, &[Defect::Reordered]))
        }
        Harm::Truncate(file, place) => {
            let file = file % lines.len();
            let mut text = lines[file].1.concat();
            let place = place % text.len();
            text.truncate(place);
            let first = 1 + lines[..file].iter().map(|(_, lines)| lines.len()).sum::<usize>();
            lines[file].1 = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let left = text.iter().filter(|byte| **byte == b'\n').count();
            if left < lines[file].1.len() {
                return Some((lines[file].0.clone(), left + 1, first + left, &[Defect::Truncated]));
            }
            Some(gone(lines, file, left, first + left))
        }
        Harm::RemoveFile(file) => {
            let file = file % lines.len();
            let first = 1 + lines[..file].iter().map(|(_, lines)| lines.len()).sum::<usize>();
            let (path, _) = lines.remove(file);
            fs::remove_file(path).unwrap();
            if file < lines.len() {
                return Some(gone(lines, file, 0, first));
            }
            // Only the head file is left.
            let (path, line) = lines.last().map_or_else(|| (PathBuf::from("audit.jsonl"), 1), |_| end(lines));
            Some((path, line, first, &[Defect::Truncated]))
        }
    }
}

#[track_caller]
fn is_found(place: &Place, (file, line, seq, wrongs): Wanted) {
    let verified = verify(place.file(), None).unwrap();
    let Some(problem) = &verified.problem else { panic!("not detected: {file:?}:{line}: {seq} {wrongs:?}") };
    let found = (problem.file.file_name(), problem.line, problem.seq);
    assert_eq!(found, (file.file_name(), line as u64, seq as u64), "{problem:?}, wanted {wrongs:?}");
    assert!(wrongs.contains(&problem.wrong), "{problem:?}, wanted {wrongs:?}");
    assert_eq!(verified.records + 1, seq as u64, "everything before it is intact");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn tampering_is_detected_at_its_position(
        entries in proptest::collection::vec(any_entry(), 1..10),
        rotate in prop_oneof![Just(1), 300..3_000_u64, Just(u64::MAX)],
        done in any_harm(),
    ) {
        let mut place = Place::new();
        place.settings.rotate_bytes = rotate;
        let count = entries.len();
        let heads = place.write(entries);
        let verified = verify(place.file(), heads.first()).unwrap();
        prop_assert_eq!(&verified.problem, &None);
        prop_assert_eq!((verified.records, verified.head, verified.noted), (count as u64, place.head(), AnchorCheck::Found));
        let mut lines = read(&place);
        prop_assert!(lines.iter().flat_map(|(_, lines)| lines).all(|line| {
            line.len() < 16 << 10 && line[..line.len() - 1].iter().all(|byte| matches!(byte, b' '..=b'~'))
        }), "printable, and no line is long");
        if let Some(wanted) = harm(&mut lines, &done) {
            write(&lines);
            is_found(&place, wanted);
            // The next writer does not hide the defect.
            let next = Audit::open(place.settings.clone(), place.hand.clock()).and_then(|audit| audit.record_blocking(entry("next")));
            let problem = verify(place.file(), None).unwrap().problem;
            prop_assert!(problem.is_some(), "{:?}", next);
        }
    }
}

#[test]
fn every_byte_counts() {
    let place = Place::new();
    place.write(["a", "b", "c"].map(entry));
    let whole = fs::read(place.file()).unwrap();
    let mut line = 1;
    for (at, byte) in whole.iter().enumerate() {
        for other in [byte ^ 1, byte ^ 0x20, b'\n', b'0', b' ', 0xff] {
            if other == *byte {
                continue;
            }
            let mut changed = whole.clone();
            changed[at] = other;
            fs::write(place.file(), changed).unwrap();
            let Some(Problem { line: found, seq, .. }) = verify(place.file(), None).unwrap().problem else {
                panic!("byte {at} as {other}")
            };
            assert_eq!((found, seq), (line, line), "byte {at} as {other}");
        }
        line += u64::from(*byte == b'\n');
    }
    assert_eq!(line, 4);
}

/// Anyone who can write the file can write another history, which a head recorded elsewhere
/// detects.
#[test]
fn another_history_does_not_lead_to_the_recorded_head() {
    let place = Place::new();
    let heads = place.write((1..=9).map(entry));
    for (number, head) in (1..).zip(&heads) {
        assert_eq!(head.seq, number);
        assert_eq!(verify(place.file(), Some(head)).unwrap().noted, AnchorCheck::Found);
    }
    let other = Place::new();
    other.write((1..=9).map(|number| entry(if number == 4 { 40 } else { number })));
    for head in &heads {
        let verified = verify(other.file(), Some(head)).unwrap();
        match head.seq {
            1..=3 => assert_eq!((verified.noted, verified.problem), (AnchorCheck::Found, None)),
            seq => {
                let problem = verified.problem.unwrap();
                assert_eq!((problem.wrong, problem.line, problem.seq), (Defect::Changed, seq, seq));
            }
        }
    }
    let beyond = Head { seq: 10, ..heads[8] };
    let problem = verify(place.file(), Some(&beyond)).unwrap().problem.unwrap();
    assert_eq!((problem.wrong, problem.line, problem.seq), (Defect::Truncated, 10, 10));
}

/// The next writer records the truncation, so the original head is no longer needed.
#[test]
fn a_truncation_is_recorded() {
    let place = Place::new();
    let heads = place.write((1..=5).map(entry));
    let whole = fs::read(place.file()).unwrap();
    let third = whole.split_inclusive(|byte| *byte == b'\n').take(3).map(<[u8]>::len).sum::<usize>();
    for (cut, records) in [(third, 3), (third - 1, 2), (third + 10, 3), (0, 0)] {
        fs::write(place.file(), &whole[..cut]).unwrap();
        fs::write(place.folder.path().join("audit.jsonl.head"), format!("{}\n", heads[4])).unwrap();
        place.write([entry("next")]);
        let problem = verify(place.file(), None).unwrap().problem.unwrap();
        assert_eq!((problem.wrong, problem.line), (Defect::Truncated, problem.seq), "{cut}");
        let all = place.records();
        let events: Vec<&str> = all[records..].iter().map(|record| record.event.as_str()).collect();
        let whole_lines = cut == 0 || cut == third;
        assert_eq!(events, if whole_lines { vec!["missing", "create"] } else { vec!["cut", "missing", "create"] });
        let missing = all.iter().find(|record| record.event == "missing").unwrap();
        assert_eq!(missing.up_to, Some(heads[4].to_string()));
    }
}

/// An incomplete line, whether still being written or left by a process that exited, is not a
/// defect.
#[test]
fn an_incomplete_line_is_removed_and_that_is_recorded() {
    let place = Place::new();
    place.write([entry("a"), entry("b")]);
    let whole = fs::read(place.file()).unwrap();
    let next = whole.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    for len in 1..next.len() {
        fs::write(place.file(), [whole.as_slice(), &next[..len]].concat()).unwrap();
        let verified = verify(place.file(), None).unwrap();
        assert_eq!((verified.problem, verified.records, verified.unfinished), (None, 2, true));
        if len % 10 == 0 {
            place.write([entry("c")]);
            let verified = verify(place.file(), None).unwrap();
            assert_eq!((verified.problem, verified.records, verified.cut), (None, 4, 1));
            let cut = &place.records()[2];
            assert_eq!((cut.event.as_str(), cut.bytes), ("cut", Some(len as u64)));
            fs::write(place.file(), &whole).unwrap();
            fs::remove_file(place.folder.path().join("audit.jsonl.head")).unwrap();
        }
    }
}

/// After a power failure, zeros may appear instead of data that was not durable, even before data
/// that was.
#[test]
fn unacknowledged_zeros_are_removed() {
    let place = Place::new();
    // More data than a last line, as one write may contain.
    let heads = place.write((1..=400).map(entry));
    let whole = fs::read(place.file()).unwrap();
    assert!(whole.len() > 64 << 10);
    let third = whole.split_inclusive(|byte| *byte == b'\n').take(2).map(<[u8]>::len).sum::<usize>() + 20;
    let mut torn = whole.clone();
    torn[third..third + 100].fill(0);
    fs::write(place.file(), &torn).unwrap();
    fs::write(place.folder.path().join("audit.jsonl.head"), format!("{}\n", heads[1])).unwrap();
    place.write([entry("next")]);
    place.is_whole();
    let events: Vec<_> = place.records().into_iter().map(|record| record.event).collect();
    assert_eq!(events, ["create", "create", "cut", "create"]);

    // Acknowledged data stays, whatever has become of it.
    fs::write(place.file(), &torn).unwrap();
    fs::write(place.folder.path().join("audit.jsonl.head"), format!("{}\n", heads[399])).unwrap();
    place.write([entry("next")]);
    assert!(fs::read(place.file()).unwrap().starts_with(&torn));
    let problem = verify(place.file(), None).unwrap().problem.unwrap();
    assert_eq!((problem.wrong, problem.line, problem.seq), (Defect::Unreadable, 3, 3));
}

/// A file whose last line is not an audit record is not continued.
#[test]
fn a_file_that_is_not_an_audit_log_is_left_unchanged() {
    for text in [
        "hello\n",
        "{}\n",
        "{\"seq\":1}\nx\n",
        "a secret without a line feed",
        "SQLite format 3\0\u{10}\0",
        "\0\u{1}\0",
        "\0\0hello\u{7f}",
        "{\"sec",
    ] {
        let place = Place::new();
        fs::write(place.file(), text).unwrap();
        let error = Audit::open(place.settings.clone(), place.hand.clock()).unwrap_err().to_string();
        assert!(error.contains("audit.jsonl: the last line is not an audit record"), "{error}");
        assert_eq!(fs::read_to_string(place.file()).unwrap(), text);
        let problem = verify(place.file(), None).unwrap().problem.unwrap();
        assert_eq!(problem.wrong, Defect::Unreadable, "{text}");
    }
    let place = Place::new();
    fs::create_dir(place.file()).unwrap();
    let error = Audit::open(place.settings.clone(), place.hand.clock()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
    assert!(verify(place.file(), None).unwrap_err().to_string().contains("not a regular file"));
}
