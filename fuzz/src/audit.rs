//! The files of an audit, read as untrusted input.

use keyward_audit::{Audit, Entry, Event, Settings, Storage, last, lines, verify};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// The byte that separates a rotated file from the current one.
const NEXT_FILE: u8 = 1;

/// Reads `data` as the files of an audit.
///
/// A chain that is reported intact must be intact to an independent reader that knows only the
/// format. Opening the audit continues the chain or fails; an intact chain stays intact, and no
/// record of it is lost.
pub fn audit(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let (rotated, current) = match data.iter().position(|byte| *byte == NEXT_FILE) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (&data[..0], data),
    };
    if !rotated.is_empty() {
        fs::write(folder.path().join("audit.jsonl.000000000001"), rotated).unwrap();
    }
    fs::write(&file, current).unwrap();

    let before = verify(&file, None).unwrap();
    let all: Vec<_> = lines(&file).unwrap().collect();
    assert_eq!(last(&file, 3).unwrap(), all[all.len().saturating_sub(3)..]);
    let texts: Vec<String> = all.iter().flatten().map(|(text, _)| text.clone()).collect();
    if before.problem.is_none() {
        assert_eq!((texts.len() as u64, all.len()), (before.records, texts.len()));
        let head = independent(&texts);
        assert_eq!(head, (before.records > 0).then(|| before.head.to_string()));
    }

    let settings = Settings { keep_days: None, deadline: Duration::from_secs(60), ..Settings::new(&file) };
    let opened = Audit::open_on(settings, || Duration::from_secs(1_795_356_000), Box::new(Quick));
    let Ok(audit) = opened else {
        assert!(before.problem.is_some());
        return assert_eq!(fs::read(&file).unwrap(), current);
    };
    audit.record_blocking(Entry::new(Event::Create)).unwrap();
    drop(audit);
    let after = verify(&file, None).unwrap();
    // Zeros are left behind by a power failure. Opening removes them, which may repair the chain.
    if before.problem.is_none() || !current.contains(&0) {
        assert_eq!(after.problem.is_none(), before.problem.is_none(), "{before:?} {after:?}");
    }
    if before.problem.is_none() {
        let now: Vec<_> = lines(&file).unwrap().map(|line| line.unwrap().0).collect();
        assert!(now.starts_with(&texts) && now.len() == texts.len() + 1 + usize::from(before.unfinished));
    }
}

/// Checks a chain independently and returns its head.
fn independent(texts: &[String]) -> Option<String> {
    let records: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let first = records.first()?["seq"].as_u64().unwrap();
    let removed = records.iter().filter(|record| record["event"] == "removed").filter_map(|record| {
        let (seq, hash) = record["up_to"].as_str()?.split_once(':')?;
        (seq.parse() == Ok(first - 1)).then(|| hash.to_owned())
    });
    // One of the candidates has to be right.
    let starts: Vec<String> = if first == 1 { vec!["0".repeat(64)] } else { removed.collect() };
    let mut heads = starts.into_iter().filter_map(|mut hash| {
        for ((text, record), seq) in texts.iter().zip(&records).zip(first..) {
            let text = text.rsplit_once(",\"hash\":\"")?.0;
            let digest = Sha256::digest(format!("{hash}{text}}}"));
            hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            if record["seq"] != seq || record["hash"] != hash {
                return None;
            }
        }
        Some(format!("{}:{hash}", records.last()?["seq"]))
    });
    Some(heads.next().unwrap())
}

/// A disk that does not sync.
struct Quick;

impl Storage for Quick {
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&mut self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let now = Duration::from_secs(1_795_356_000);
    let settings = |rotate_bytes| Settings {
        rotate_bytes,
        keep_files: Some(1),
        notes_per_second: 1,
        deadline: Duration::from_secs(60),
        ..Settings::new(&file)
    };
    let write = |rotate_bytes, records: usize| {
        let audit = Audit::open_on(settings(rotate_bytes), move || now, Box::new(Quick)).unwrap();
        for _ in 0..records {
            let actor = Some("al\u{1f600}ice".to_owned());
            audit.record_blocking(Entry { actor, ..Entry::new(Event::Create) }).unwrap();
            audit.note(Entry { reason: Some("expired".to_owned()), ..Entry::new(Event::Verify) });
        }
    };
    write(u64::MAX, 2);
    let whole = fs::read(&file).unwrap();
    let unfinished = whole[..whole.len() - 20].to_vec();
    let mut zeros = whole.clone();
    zeros[whole.len() - 300..whole.len() - 1].fill(0);
    write(1, 0);
    write(u64::MAX, 1);
    let current = fs::read(&file).unwrap();
    let two = [whole.as_slice(), &[NEXT_FILE], &current].concat();
    write(1, 3);
    // Retention has removed the first files.
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end != "head" && end != "jsonl"));
    let removed = [fs::read(&files[0]).unwrap(), vec![NEXT_FILE], fs::read(&file).unwrap()].concat();
    vec![whole, unfinished, zeros, two, removed, b"{\"seq\":1}\n".to_vec()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are not intact would test nothing.
    #[test]
    fn seeds_are_what_they_are_for() {
        let seeds = seeds();
        let text = |seed: &[u8]| String::from_utf8_lossy(seed).into_owned();
        assert!(text(&seeds[0]).contains("\"lost\"") && text(&seeds[4]).contains("\"removed\""));
        seeds.iter().for_each(|seed| audit(seed));
        let whole = seeds.iter().filter(|seed| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("audit.jsonl");
            let mut files = seed.split(|byte| *byte == NEXT_FILE).collect::<Vec<_>>();
            fs::write(&file, files.pop().unwrap()).unwrap();
            for rotated in files {
                fs::write(folder.path().join("audit.jsonl.000000000001"), rotated).unwrap();
            }
            verify(&file, None).unwrap().problem.is_none()
        });
        assert_eq!(whole.count(), 4);
    }
}
