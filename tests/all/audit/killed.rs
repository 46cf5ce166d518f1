//! Writing processes are killed at arbitrary moments: acknowledged records are present, and the
//! chain is intact.

use super::records;
use keyward_audit::{Audit, Entry, Event, Recorded, Settings, verify};
use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The variable with the file of a child.
const FILE: &str = "KEYWARD_TEST_AUDIT";

/// The variable with the name of a child.
const NODE: &str = "KEYWARD_TEST_AUDIT_NODE";

fn kills() -> u32 {
    if env::var_os("KEYWARD_SOAK_SECONDS").is_some() { 1_000 } else { 100 }
}

/// Not a test: the work of a child, which runs this program again.
#[test]
fn child() {
    let (Some(file), Some(node)) = (env::var_os(FILE), env::var_os(NODE)) else { return };
    let node = node.into_string().unwrap();
    let settings = Settings {
        node: node.clone(),
        rotate_bytes: 20_000,
        deadline: Duration::from_secs(60),
        ..Settings::new(PathBuf::from(file))
    };
    let audit = Audit::open(settings, || SystemTime::now().duration_since(UNIX_EPOCH).unwrap()).unwrap();
    thread::scope(|scope| {
        for thread in 0..3 {
            let (audit, node) = (&audit, &node);
            scope.spawn(move || {
                for number in 0.. {
                    let request = format!("{node}-{thread}-{number}");
                    let entry = Entry { request: Some(request.clone()), ..Entry::new(Event::Create) };
                    let Ok(Recorded::Written(seq)) = audit.record_blocking(entry) else { panic!("{request}") };
                    println!("\nanswered {seq} {request}");
                    audit.note(Entry::new(Event::Verify));
                }
            });
        }
    });
}

/// Starts a child through a shell that runs `prepare` first.
fn start(file: &Path, node: &str, prepare: &str) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{prepare}; exec \"$0\" \"$@\"")]).arg(env::current_exe().unwrap());
    command.args(["audit::killed::child", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(FILE, file).env(NODE, node).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Parses an acknowledged record of a child: number and request.
fn answered(line: &str) -> Option<(u64, String)> {
    let mut words = line.strip_prefix("answered ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
}

/// Root's processes may use the reserved blocks of a full disk, but this limit applies to them.
#[test]
fn a_file_that_cannot_grow() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let mut told = BTreeMap::new();
    for (node, blocks) in [("first", 8), ("second", 8), ("third", 12)] {
        // With the signal ignored, a write beyond the limit fails instead of killing the process.
        let prepare = format!("trap '' XFSZ; ulimit -f {blocks}");
        let output = start(&file, node, &prepare).wait_with_output().unwrap();
        assert!(!output.status.success(), "the child stops only when a write fails");
        let output = String::from_utf8(output.stdout).unwrap();
        let before = told.len();
        told.extend(output.lines().filter_map(answered));
        // A shorter record may still fit where the first did not.
        assert!(told.len() > before || node == "second", "{node}");
        assert_eq!(verify(&file, None).unwrap().problem, None);
    }
    let found: BTreeMap<u64, String> =
        records(&file).into_iter().filter_map(|record| Some((record.seq, record.request?))).collect();
    assert!(told.iter().all(|(seq, request)| found.get(seq) == Some(request)));
}

#[test]
fn acknowledged_records_are_present() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let mut told = BTreeMap::new();
    let mut seed = 7_u64;
    let mut draw = |max: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % max
    };
    for kill in 0..kills() / 2 {
        // Two at once, each killed at its own moment.
        let plans = [0, 1].map(|which| (format!("{kill}-{which}"), draw(40), Duration::from_micros(draw(3_000))));
        let new: Vec<_> = thread::scope(|scope| {
            let children = plans.map(|(node, steps, within)| {
                let file = &file;
                scope.spawn(move || run(file, &node, steps, within))
            });
            children.into_iter().flat_map(|child| child.join().unwrap()).collect()
        });
        told.extend(new);
        // Checking everything each time would dominate the run time.
        if kill < 50 || kill % 25 == 0 {
            let verified = verify(&file, None).unwrap();
            assert_eq!(verified.problem, None, "after {kill}");
        }
    }
    let found: BTreeMap<u64, String> =
        records(&file).into_iter().filter_map(|record| Some((record.seq, record.request?))).collect();
    for (seq, request) in &told {
        assert_eq!(found.get(seq), Some(request));
    }
    let verified = verify(&file, None).unwrap();
    println!(
        "{} answered, {} records in {} files, {} lines cut",
        told.len(),
        verified.records,
        verified.files,
        verified.cut
    );
    assert!(told.len() > 500 && verified.files > 3);
}

/// Lets a child write this number of records and a moment longer. Returns the acknowledged records:
/// number and request.
fn run(file: &Path, node: &str, steps: u64, within: Duration) -> Vec<(u64, String)> {
    let mut child = start(file, node, ":");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while (told.len() as u64) < steps {
        let line = lines.next().unwrap_or_else(|| panic!("{node} exited by itself")).unwrap();
        told.extend(answered(&line));
    }
    let since = Instant::now();
    while since.elapsed() < within {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The output before the kill. Only complete lines count.
    let mut rest: Vec<String> = lines.map_while(Result::ok).collect();
    rest.pop();
    told.extend(rest.iter().filter_map(|line| answered(line)));
    told
}
