//! Changes by commands are in the audit log, with all available details.

use super::records;
use crate::stored::{folder_with, keyward};
use keyward_audit::Record;
use keyward_tests::cli::Folder;
use std::fs::File;

fn folder(name: &str, when_stuck: &str) -> Folder {
    let audit =
        format!("[audit]\nfile = \"audit.jsonl\"\nwhen_stuck = \"{when_stuck}\"\nnotes_per_second = 0\n\n[store]");
    folder_with(&format!("audit-commands-{name}"), &[("[store]", &audit)])
}

fn written(folder: &Folder) -> Vec<Record> {
    records(&folder.path().join("audit.jsonl"))
}

/// Creates a token, and returns its id.
fn make(folder: &Folder, actor: &str) -> String {
    let ran = keyward(folder, &format!("create --handler stored --actor {actor}"), "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    ran.stdout["kwt_test_".len()..][..22].to_owned()
}

#[test]
fn edits_and_rotations_name_the_actor() {
    let folder = folder("whose", "refuse");
    let id = make(&folder, "alice");
    for (words, status) in [
        (format!("tokens edit --handler stored --id {id} --description x"), 0),
        (format!("tokens rotate --handler stored --id {id}"), 0),
        // The token is revoked.
        (format!("tokens edit --handler stored --id {id} --description y"), 1),
    ] {
        assert_eq!(keyward(&folder, &words, "").status, status, "{words}");
    }
    let all = written(&folder);
    let events: Vec<_> = all.iter().map(|record| record.event.as_str()).collect();
    // The outcome of a change is recorded, however many notes there are.
    assert_eq!(events, ["create", "edit", "rotate", "edit", "failed"]);
    assert_eq!(all[4].refers_to, Some(4));
    for record in all {
        assert_eq!(record.actor.as_deref(), Some("alice"), "{record:?}");
        assert_eq!(record.handler_sha256.as_ref().map(String::len), Some(64), "{record:?}");
    }
    // The counted records are intact.
    let ran = keyward(&folder, "tokens rotate --handler stored --id nobody", "");
    assert_eq!((ran.status, ran.stderr.lines().count()), (1, 1), "{}", ran.stderr);
    assert_eq!(written(&folder)[5].event, "lost");
}

#[test]
fn a_failed_import_is_recorded_as_failed() {
    let folder = folder("import", "refuse");
    let ran = keyward(&folder, "tokens import --handler managed nothing.db", "");
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    let all = written(&folder);
    let said: Vec<_> =
        all.iter().map(|record| (record.event.as_str(), record.refers_to, record.reason.as_deref())).collect();
    assert_eq!(said, [("import", None, None), ("failed", Some(1), Some("store"))]);
    for record in all {
        assert_eq!(record.handler.as_deref(), Some("managed"));
        assert_eq!(record.handler_sha256.as_ref().map(String::len), Some(64), "{record:?}");
    }
}

/// A command, unlike a daemon, cannot wait until the audit log works again.
#[test]
fn a_change_that_was_not_recorded_is_reported() {
    let folder = folder("stuck", "continue");
    make(&folder, "alice");
    let file = File::open(folder.path().join("audit.jsonl")).unwrap();
    file.lock().unwrap();
    let ran = keyward(&folder, "create --handler stored --actor bob", "");
    assert_eq!((ran.status, ran.stdout.lines().count()), (0, 1));
    let wanted = "audit.jsonl could not be written within 1000 ms: it lacks records of this command\n";
    assert!(ran.stderr.ends_with(wanted), "{}", ran.stderr);
    drop(file);
    assert_eq!(written(&folder).len(), 1);
    make(&folder, "carol");
}
