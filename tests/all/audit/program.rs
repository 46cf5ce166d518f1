//! `keyward audit …`, as run by an operator.

use super::{Hand, entry};
use keyward_audit::{Audit, Entry, Event, Settings, Verified, verify};
use keyward_tests::cli::{Folder, Ran};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const CONFIG: &str = r#"[audit]
file = "audit.jsonl"
node = "here"

[keys.main]
secret = { file = "secret.key" }

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }
"#;

struct World {
    folder: Folder,
    hand: Hand,
}

impl World {
    fn new(name: &str) -> Self {
        let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("audit").join(name));
        folder.write("keyward.toml", CONFIG, 0o644);
        Self { folder, hand: Hand::new() }
    }

    fn open(&self) -> Audit {
        let settings = Settings {
            node: "here".to_owned(),
            rotate_bytes: 2_000,
            keep_files: Some(9),
            deadline: Duration::from_secs(60),
            ..Settings::new(self.folder.path().join("audit.jsonl"))
        };
        Audit::open(settings, self.hand.clock()).unwrap()
    }

    /// Writes ten records, a minute apart.
    fn write(&self) {
        let audit = self.open();
        audit.record_blocking(Entry::new(Event::Start)).unwrap();
        for number in 0..9 {
            self.hand.forward(Duration::from_secs(60));
            let made = Entry {
                actor: Some(
                    ["alice", "bob\n\u{1b}[2J\u{202e}", "an actor with a very long name"][number % 3].to_owned(),
                ),
                handler: Some("signed".to_owned()),
                token_id: Some(format!("767ed2bf{number}")),
                outcome: Some("created".to_owned()),
                ..entry(number)
            };
            let denied = Entry { event: Event::Verify, reason: Some("expired".to_owned()), ..made.clone() };
            audit.record_blocking(if number % 2 == 0 { made } else { denied }).unwrap();
        }
    }

    fn run(&self, words: &str) -> Ran {
        let mut args = vec!["audit"];
        args.extend(words.split(' '));
        args.extend(["--config", "keyward.toml"]);
        self.folder.run(&args, "")
    }
}

#[test]
fn verify_reports_whether_the_log_is_intact() {
    let world = World::new("verify");
    let ran = world.run("verify");
    assert_eq!((ran.status, ran.stdout.as_str()), (3, ""));
    assert!(ran.stderr.contains("audit.jsonl does not exist"), "{}", ran.stderr);

    world.write();
    let ran = world.run("verify");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    let told: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(told[0], "intact: 10 records in 2 files");
    assert_eq!(told[1], "from 2026-11-22T14:00:00.000Z to 2026-11-22T14:09:00.000Z");
    let head = told[2].strip_prefix("head ").unwrap();
    assert!(head.starts_with("10:") && told.len() == 3 && told[2].len() <= 80, "{told:?}");

    let json: Value = serde_json::from_str(&world.run("verify --json").stdout).unwrap();
    let wanted = json!({"whole": true, "files": 2, "records": 10,
        "first": {"seq": 1, "time": "2026-11-22T14:00:00.000Z"}, "last": {"seq": 10, "time": "2026-11-22T14:09:00.000Z"},
        "head": head, "removed": null, "unfinished": false, "has_head": true, "cut": 0, "lost": 0, "noted": null, "problem": null});
    assert_eq!(json, wanted);

    let beside = world.folder.path().join("audit.jsonl.head");
    fs::remove_file(&beside).unwrap();
    let missing = "no .head file found: truncation of the last records cannot be detected";
    for (words, status, first) in [
        ("verify", 1, "not verified to the end: 10 records in 2 files are intact"),
        ("verify --no-head", 0, "intact: 10 records in 2 files"),
    ] {
        let ran = world.run(words);
        assert_eq!(ran.status, status);
        let told: Vec<_> = ran.stdout.lines().collect();
        let wanted = match status {
            0 => missing.to_owned(),
            _ => format!("{missing}; if this log never had one, use --no-head"),
        };
        assert_eq!((told[0], told[2]), (first, wanted.as_str()));
        let json: Value = serde_json::from_str(&world.run(&format!("{words} --json")).stdout).unwrap();
        assert_eq!((&json["whole"], &json["has_head"]), (&json!(status == 0), &json!(false)));
    }
    // An external head does not show what came after it.
    assert_eq!(world.run(&format!("verify --head {head}")).status, 1);
    // The end is cut, together with the file that would show it.
    let file = world.folder.path().join("audit.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let end = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
    fs::write(&file, &text[..end]).unwrap();
    assert_eq!(world.run("verify").status, 1);
    fs::write(&file, text).unwrap();

    world.open().record_blocking(entry("later")).unwrap();
    let ran = world.run(&format!("verify --head {head}"));
    assert_eq!(ran.status, 0);
    assert!(ran.stdout.contains("\ncontains the record of --head\n"), "{}", ran.stdout);
    let other = head.replace("10:", "3:");
    let ran = world.run(&format!("verify --json --head {other}"));
    assert_eq!(ran.status, 1);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&json["problem"]["wrong"], &json["problem"]["seq"]), (&json!("changed"), &json!(3)));
    let ran = world.run("verify --head 3:xyz");
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("not a head: expected SEQ:HASH"), "{}", ran.stderr);

    let file = world.folder.path().join("audit.jsonl.000000000001");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("created", "creatod", 1)).unwrap();
    let ran = world.run("verify");
    assert_eq!(ran.status, 1);
    let wanted = "not intact: audit.jsonl.000000000001:2: record 2 was changed, or does not follow from the record before it\n\
                  intact before that: 1 record in 2 files\n";
    assert!(ran.stdout.starts_with(wanted), "{}", ran.stdout);
}

#[test]
fn tail_fits_a_terminal() {
    let world = World::new("tail");
    world.write();
    let ran = world.run("tail -n 4");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80 && line.chars().all(|c| !c.is_control())));
    let wanted = "\
SEQ TIME (UTC)          EVENT  HANDLER TOKEN    ACTOR      RESULT
  7 2026-11-22 14:06:00 verify signed  767ed2b… an actor … expired
  8 2026-11-22 14:07:00 create signed  767ed2b… alice      created
  9 2026-11-22 14:08:00 verify signed  767ed2b… bob\\u{a}\\… expired
 10 2026-11-22 14:09:00 create signed  767ed2b… an actor … created
";
    assert_eq!(ran.stdout, wanted);
    // From any number of files.
    for (max, count) in [(1, 1), (9, 9), (10, 10), (11, 10)] {
        let ran = world.run(&format!("tail --json -n {max}"));
        let seqs: Vec<_> =
            ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone()).collect();
        assert_eq!(seqs, (11 - count..=10).map(Value::from).collect::<Vec<_>>());
    }
    assert_eq!(world.run("tail -n 0").status, 2);
}

#[test]
fn export_prints_the_selected_records_verbatim() {
    let world = World::new("export");
    world.write();
    let whole: String = ["audit.jsonl.000000000001", "audit.jsonl"]
        .map(|name| fs::read_to_string(world.folder.path().join(name)).unwrap())
        .concat();
    assert_eq!(world.run("export").stdout, whole);
    let seqs = |words: &str| -> Vec<u64> {
        let ran = world.run(words);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{words}");
        let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
        ran.stdout.lines().map(seq).collect()
    };
    for (words, wanted) in [
        ("export --event start", vec![1]),
        ("export --event create --actor alice", vec![2, 8]),
        ("export --token-id 767ed2bf3", vec![5]),
        ("export --handler signed --event verify", vec![3, 5, 7, 9]),
        ("export --since 1795356420", vec![8, 9, 10]),
        ("export --since 1795356420.001", vec![9, 10]),
        ("export --until 1795356060 --json", vec![1, 2]),
        ("export --client app", vec![]),
    ] {
        assert_eq!(seqs(words), wanted, "{words}");
    }
    let ran = world.run("export --event creat");
    assert_eq!((ran.status, ran.stderr.lines().count()), (2, 1), "{}", ran.stderr);

    // Readable records are printed, and others reported.
    let file = world.folder.path().join("audit.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("rubbish\n{text}")).unwrap();
    let ran = world.run("export");
    assert_eq!((ran.status, ran.stdout), (3, whole));
    assert!(ran.stderr.contains("audit.jsonl:1: not an audit record"), "{}", ran.stderr);

    // Only the current file may end in an incomplete line.
    fs::write(&file, &text[..text.len() - 9]).unwrap();
    assert_eq!(world.run("export").status, 0);
    fs::write(&file, &text).unwrap();
    let first = world.folder.path().join("audit.jsonl.000000000001");
    let text = fs::read_to_string(&first).unwrap();
    fs::write(&first, &text[..text.len() - 9]).unwrap();
    let ran = world.run("export");
    assert_eq!(ran.status, 3);
    let place = format!("audit.jsonl.000000000001:{}: not an audit record", text.lines().count());
    assert!(ran.stderr.contains(&place), "{}", ran.stderr);
}

/// A reader raises no false alarm, and does not disturb writers.
#[test]
fn readers_and_writers_do_not_disturb_each_other() {
    let world = World::new("beside");
    let audit = world.open();
    let done = AtomicBool::new(false);
    let (verified, ran) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::SeqCst) {
                audit.record_blocking(entry(number)).unwrap();
                number += 1;
            }
        });
        let file = world.folder.path().join("audit.jsonl");
        let mut verified: Vec<Verified> = Vec::new();
        // Until files have been removed by retention, too.
        while verified.len() < 60 || verified.last().is_none_or(|verified| verified.removed.is_none()) {
            verified.extend(verify(&file, None));
        }
        let ran = ["verify", "tail", "export", "verify --json"].map(|words| world.run(words));
        done.store(true, Ordering::SeqCst);
        (verified, ran)
    });
    for verified in &verified {
        assert!(verified.problem.is_none() && !verified.unfinished, "{verified:?}");
    }
    for ran in ran {
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    }
}
