//! Files and folders that others can write to: Keyward refuses to use them.

use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A configuration with every kind of file in a folder of its own.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[store]
sqlite = "store/keyward.db"
pending_file = "pending/keyward.pending"

[audit]
file = "audit/audit.jsonl"

[[handlers]]
name = "stored"
component = "builtin:stored"
prefixes = ["kwt_test_"]
settings = { prefix = "kwt_test_" }
store = true
"#;

/// The line of the setting that names a path; `None` for the configuration itself.
const PATHS: [(&str, Option<&str>); 12] = [
    ("keyward.toml", None),
    (".", None),
    ("store/keyward.db", Some("keyward.toml:7: `store`: ")),
    ("store/keyward.db-wal", Some("keyward.toml:7: `store`: ")),
    ("store/keyward.db-shm", Some("keyward.toml:7: `store`: ")),
    ("store", Some("keyward.toml:7: `store`: ")),
    ("pending/keyward.pending", Some("keyward.toml: `pending_file`: ")),
    ("pending", Some("keyward.toml: `pending_file`: ")),
    ("audit/audit.jsonl", Some("keyward.toml:11: `audit`: ")),
    ("audit/audit.jsonl.head", Some("keyward.toml:11: `audit`: ")),
    ("audit/audit.jsonl.000000000001", Some("keyward.toml:11: `audit`: ")),
    ("audit", Some("keyward.toml:11: `audit`: ")),
];

const LIST: [&str; 4] = ["tokens", "list", "--config", "keyward.toml"];

fn folder(name: &str) -> Folder {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("shared-files").join(name));
    for name in ["store", "pending", "audit"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        set_mode(&folder, name, 0o755);
    }
    folder.write("keyward.toml", CONFIG, 0o644);
    folder
}

fn set_mode(folder: &Folder, name: &str, mode: u32) {
    fs::set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
}

fn sentence(path: &str, is_folder: bool, mode: u32, place: Option<&str>) -> String {
    let (place, what) = (place.unwrap_or_default(), if is_folder { "the folder " } else { "" });
    format!(
        "keyward: {place}{what}{path} can be written by group or others (mode {mode:04o}): run `chmod go-w {path}`\n"
    )
}

#[test]
fn a_file_or_folder_that_others_can_write_is_refused() {
    let folder = folder("each");
    let made = folder.run(&["create", "--config", "keyward.toml", "--actor", "root"], "");
    assert_eq!((made.status, made.stderr.as_str()), (0, ""));
    for (path, place) in PATHS {
        let whole = folder.path().join(path);
        if !whole.exists() {
            folder.write(path, "", 0o600);
        }
        let before = fs::metadata(&whole).unwrap().permissions().mode() & 0o7777;
        for mode in [before | 0o020, before | 0o002] {
            set_mode(&folder, path, mode);
            let wanted = sentence(path, whole.is_dir(), mode, place);
            for args in
                [&LIST[..], &["audit", "tail", "--config", "keyward.toml"], &["status", "--config", "keyward.toml"]]
            {
                let ran = folder.run(args, "");
                assert_eq!(
                    (ran.status, ran.stdout.as_str(), ran.stderr.as_str()),
                    (2, "", wanted.as_str()),
                    "{args:?}"
                );
            }
        }
        let mut serve = folder.command();
        serve.args(["serve", "--config", "keyward.toml"]);
        let ended = Daemon::spawn(serve).unwrap_err();
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{path}");
        set_mode(&folder, path, before);
        // The test has added empty files, which are not those of a store or an audit log.
        if fs::metadata(&whole).unwrap().len() == 0 {
            fs::remove_file(&whole).unwrap();
        }
    }
    let ran = folder.run(&LIST, "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

/// Only the owner of an entry can rename or delete it in a sticky folder.
#[test]
fn a_sticky_folder_is_accepted() {
    let folder = folder("sticky");
    for name in [".", "store", "pending", "audit"] {
        set_mode(&folder, name, 0o1777);
    }
    let ran = folder.run(&LIST, "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

#[test]
fn the_target_of_a_link_and_its_folder_are_checked() {
    let folder = folder("links");
    for name in ["real", "links"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        set_mode(&folder, name, 0o755);
    }
    folder.write("keyward.toml", CONFIG.replace("store/", "links/"), 0o644);
    folder.write("real/keyward.db", "", 0o600);
    symlink("../real/keyward.db", folder.path().join("links/keyward.db")).unwrap();
    let real = folder.path().join("real").canonicalize().unwrap();
    let real = real.to_str().unwrap();
    let place = Some("keyward.toml:7: `store`: ");
    assert_eq!(folder.run(&LIST, "").status, 0);
    for (path, mode, shown, is_folder) in [
        ("real/keyward.db", 0o602, "links/keyward.db", false),
        ("real", 0o775, real, true),
        ("links", 0o757, "links", true),
    ] {
        let before = fs::metadata(folder.path().join(path)).unwrap().permissions().mode();
        set_mode(&folder, path, mode);
        let ran = folder.run(&LIST, "");
        let wanted = sentence(shown, is_folder, mode, place);
        assert_eq!((ran.status, ran.stderr.as_str()), (2, wanted.as_str()), "{path}");
        set_mode(&folder, path, before);
    }
}
