//! A daemon whose audit log cannot be written: changes are refused or made anyway, as configured.
//!
//! Tokens are verified in the meantime, and recovery requires no restart.

use super::records;
use crate::stored::{SECRET, folder_with, keyward as run};
use keyward_audit::{Audit, Entry, Event, Head, Settings, verify};
use keyward_tests::cli::{Folder, keyward};
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::{Request, Response};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

const NO_QUOTA: (&str, &str) = ("{ tokens = 5 }", "true");

const MAY_EDIT: (&str, &str) = (r#""revoke"]"#, r#""revoke", "list-all", "edit"]"#);

/// Larger than the store's journal ever becomes, so that a file size limit affects the audit log
/// only.
const LONG: u64 = 6 << 20;

/// A daemon, and the means to break its audit log.
struct Place {
    folder: Folder,
    daemon: Daemon,
    lock: Option<File>,
}

struct ErrorKind {
    name: &'static str,
    begin: fn(&mut Place),
    end: fn(&mut Place),
}

const FAULTS: &[ErrorKind] = &[
    ErrorKind {
        // Root's processes may use the reserved blocks of a full disk, but this limit applies to
        // them. It leaves space for half a line.
        name: "full",
        begin: |place| place.limit(Some(fs::metadata(place.audit()).unwrap().len() + 100)),
        end: |place| place.limit(None),
    },
    ErrorKind {
        name: "locked",
        begin: |place| {
            let file = File::open(place.audit()).unwrap();
            file.lock().unwrap();
            place.lock = Some(file);
        },
        end: |place| place.lock = None,
    },
    ErrorKind {
        name: "moved",
        begin: |place| {
            fs::rename(place.audit(), place.folder.path().join("away")).unwrap();
            fs::create_dir(place.audit()).unwrap();
        },
        end: |place| {
            fs::remove_dir(place.audit()).unwrap();
            fs::rename(place.folder.path().join("away"), place.audit()).unwrap();
        },
    },
];

/// A requested change, and its status on success.
struct Change {
    event: &'static str,
    actor: String,
    request: Request,
    done: u16,
}

impl Place {
    fn start(name: &str, when_stuck: &str) -> Self {
        let audit = format!(
            "[audit]\nfile = \"audit.jsonl\"\ndeadline_ms = 3000\nkeep_days = \"forever\"\nwhen_stuck = \"{when_stuck}\"\n\n[store]"
        );
        let changes = [NO_QUOTA, MAY_EDIT, ("[store]", &audit)];
        let folder = folder_with(&format!("audit-{name}-{when_stuck}"), &changes);
        fill(folder.path().join("audit.jsonl"));
        Self { daemon: serve(&folder), folder, lock: None }
    }

    fn audit(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    /// Limits the size of the daemon's files, or restores this process's own limit.
    fn limit(&self, max: Option<u64>) {
        let own = getrlimit(Resource::Fsize);
        let limit = Rlimit { current: max.or(own.current), maximum: own.maximum };
        prlimit(Some(self.daemon.pid()), Resource::Fsize, limit).unwrap();
    }

    fn ask(&self, request: &Request) -> Response {
        request.clone().bearer(SECRET).send(self.daemon.service())
    }

    fn create(&self, handler: &str, actor: &str) -> String {
        let mut token = None;
        // A busy machine may refuse it.
        wait_for("a token", || {
            let answer = self.ask(&making(handler, actor));
            token = (answer.status == 201).then(|| answer.json()["token"].as_str().unwrap().to_owned());
            token.is_some()
        });
        token.unwrap()
    }

    fn verify(&self, token: &str) -> u16 {
        Request::get("/v1/actor").bearer(token).send(self.daemon.service()).status
    }

    /// Creates tokens of actors whose names start with `who`, and returns one of each change for
    /// them.
    fn prepare(&self, who: &str) -> (Vec<String>, Vec<Change>) {
        let actor = |what: &str| format!("{who}-{what}");
        let make = |handler: &str, what: &str| self.create(handler, &actor(what));
        let kept = ["edit", "rotate", "revoke", "all"].map(|what| make("stored", what));
        let (dev, signed) = (make("dev", "dev"), make("signed", "signed"));
        let path = |token: &str| format!("/v1/tokens/stored/{}", &token["kwt_test_".len()..][..22]);
        let revoking = |token: &str| Request::form("/v1/revoke", format!("token={token}"));
        let edit = Request::new("PATCH", &path(&kept[0])).header("Content-Type", "application/json");
        let changes = [
            ("create", "new", making("stored", &actor("new")), 201),
            ("create", "signed-new", making("signed", &actor("signed-new")), 201),
            // The previous token would be replaced.
            ("create", "dev", making("dev", &actor("dev")), 201),
            ("edit", "edit", edit.body(json!({"description": "edited"}).to_string()), 200),
            ("rotate", "rotate", Request::json(&format!("{}/rotate", path(&kept[1])), &json!({})), 201),
            ("revoke", "revoke", revoking(&kept[2]), 200),
            ("revoke", "signed", revoking(&signed), 200),
            ("revoke", "all", Request::json("/v1/revocations", &json!({"actor": actor("all")})), 200),
        ];
        let changes =
            changes.map(|(event, what, request, done)| Change { event, actor: actor(what), request, done }).into();
        (kept.into_iter().chain([dev, signed]).collect(), changes)
    }

    /// Sends all requests at once, so that all wait for the same deadline.
    fn statuses(&self, changes: &[Change]) -> Vec<u16> {
        thread::scope(|scope| {
            let asked: Vec<_> = changes.iter().map(|change| scope.spawn(|| self.ask(&change.request).status)).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        })
    }

    /// Returns the content of the store, except for times of use.
    fn stored(&self) -> BTreeSet<String> {
        let ran = run(&self.folder, "tokens list --json --limit 1000", "");
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
        let tokens = ran.stdout.lines().map(|line| {
            let mut token: Value = serde_json::from_str(line).unwrap();
            token["last_used_at"].take();
            token.to_string()
        });
        tokens.collect()
    }

    /// Kills the daemon, and waits until it has exited.
    fn kill(&self) {
        self.daemon.signal(Signal::KILL);
        let process = format!("/proc/{}", self.daemon.pid().as_raw_nonzero());
        // Its other threads may exit later than the first one, and hold its files until then.
        wait_for("the daemon to exit", || {
            let is_zombie = fs::read_to_string(format!("{process}/stat")).is_ok_and(|stat| stat.contains(") Z "));
            is_zombie && fs::read_dir(format!("{process}/task")).is_ok_and(|threads| threads.count() == 1)
        });
    }

    fn metric(&self, name: &str) -> u64 {
        let text = Request::get("/metrics").send(self.daemon.admin());
        let line = text.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    fn last(&self) -> u64 {
        let head = fs::read_to_string(self.folder.path().join("audit.jsonl.head")).unwrap();
        head.split_whitespace().next().unwrap().parse::<Head>().unwrap().seq
    }

    /// Returns the changes after this record that were recorded as made, with their actors.
    fn written(&self, behind: u64) -> Vec<(String, String)> {
        let all = records(&self.audit());
        let failed: BTreeSet<u64> = all.iter().filter_map(|record| record.refers_to).collect();
        let changes = all.into_iter().filter(|record| record.seq > behind && !failed.contains(&record.seq));
        let changes = changes.filter(|record| record.outcome.is_none());
        changes.filter_map(|record| Some((record.event, record.actor?))).collect()
    }
}

fn serve(folder: &Folder) -> Daemon {
    let mut command = Command::new(keyward());
    command.args(["serve", "--config", "keyward.toml"]).current_dir(folder.path());
    Daemon::spawn(command).unwrap()
}

fn making(handler: &str, actor: &str) -> Request {
    Request::json("/v1/tokens", &json!({"actor": actor, "handler": handler}))
}

fn fill(file: PathBuf) {
    let settings = Settings { notes_per_second: u32::MAX, deadline: Duration::from_secs(60), ..Settings::new(&file) };
    let audit = Audit::open(settings, || Duration::from_secs(1_767_225_600)).unwrap();
    while fs::metadata(&file).unwrap().len() < LONG {
        for _ in 0..1_000 {
            let [request, detail] = ["r", "d"].map(|text| Some(text.repeat(1_000)));
            audit.note(Entry { request, detail, ..Entry::new(Event::Reload) });
        }
        assert!(audit.flush());
    }
}

/// The process is killed as soon as it has responded.
#[test]
fn a_revocation_that_is_not_recorded_survives_a_restart() {
    let place = &mut Place::start("restart", "refuse");
    let ErrorKind { begin, end, .. } = &FAULTS[1];
    let (token, signed) = (place.create("stored", "alice"), place.create("signed", "bob"));
    let behind = place.last();
    let revoking = [
        Request::form("/v1/revoke", format!("token={token}")),
        Request::json("/v1/revocations", &json!({"actor": "bob"})),
    ];
    begin(place);
    thread::scope(|scope| {
        let statuses: Vec<_> = revoking.iter().map(|request| scope.spawn(|| place.ask(request).status)).collect();
        assert!(statuses.into_iter().all(|status| status.join().unwrap() == 503));
    });
    place.kill();
    end(place);
    let pending = |place: &Place| {
        let ran = run(&place.folder, "status --json", "");
        let page: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(page["pending_revocations"]["may_be_lost"], false);
        page["pending_revocations"]["revocations"].as_u64().unwrap()
    };
    assert_eq!(pending(place), 2);
    let ran = run(&place.folder, "status", "");
    assert!(ran.stdout.contains("PENDING  2 revocations not written yet"), "{}", ran.stdout);

    place.daemon = serve(&place.folder);
    assert_eq!((place.verify(&token), place.verify(&signed)), (401, 401), "from the first request on");
    wait_for("the revocations to be recorded", || {
        let written = place.written(behind);
        ["alice", "bob"].iter().all(|actor| written.contains(&("revoke".to_owned(), (*actor).to_owned())))
    });
    let resumed = records(&place.audit()).into_iter().filter(|record| record.seq > behind && record.event == "revoke");
    for record in resumed.filter(|record| record.outcome.is_none()) {
        assert_eq!(record.client.as_deref(), Some("admin"));
        assert!(record.detail.unwrap().contains("before a restart"));
    }
    wait_for("the revocations to be written", || pending(place) == 0);
    assert_eq!(place.metric("keyward_revocations_pending"), 0);
    assert_eq!(place.metric("keyward_revocations_may_be_lost"), 0);
    place.kill();
    place.daemon = serve(&place.folder);
    assert_eq!((place.verify(&token), place.verify(&signed)), (401, 401));
}

/// Pending revocations drain once the audit log recovers, and take no room twice.
#[test]
fn pending_revocations_drain_when_the_audit_log_recovers() {
    let place = &mut Place::start("drain", "refuse");
    let ErrorKind { begin, end, .. } = &FAULTS[1];
    let behind = place.last();
    begin(place);
    thread::scope(|scope| {
        for number in 0..20 {
            // Twice each, at different times.
            let request = Request::json("/v1/revocations", &json!({"actor": format!("a{}", number % 10)}));
            let place = &*place;
            scope.spawn(move || assert_eq!(place.ask(&request).status, 503));
        }
    });
    assert_eq!(place.metric("keyward_revocations_pending"), 10);
    assert_eq!(place.metric("keyward_revocations_may_be_lost"), 0);
    let ready = Request::get("/readyz").send(place.daemon.admin());
    assert!(ready.status == 200 && ready.text().contains("revocations wait to be written"), "{ready:?}");
    end(place);
    wait_for("the revocations to be written", || place.metric("keyward_revocations_pending") == 0);
    assert_eq!(Request::get("/readyz").send(place.daemon.admin()).text(), "ok\n");
    let written: BTreeSet<_> = place.written(behind).into_iter().filter(|(event, _)| event == "revoke").collect();
    assert_eq!(written.len(), 10);
}

/// The file is damaged, or an earlier version has left it.
#[test]
fn a_possible_loss_is_reported_until_it_is_accepted() {
    let place = &mut Place::start("lost", "refuse");
    let files = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let pending = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "pending")).unwrap();
    let lost = "revocations that were requested before the restart may be lost";
    let ready = |place: &Place| {
        let ready = Request::get("/readyz").send(place.daemon.admin());
        assert_eq!(ready.status, 200);
        ready.text().contains(lost)
    };
    let is_reported = |place: &Place| {
        let is_reported = ready(place);
        assert_eq!(place.metric("keyward_revocations_may_be_lost") == 1, is_reported);
        is_reported
    };
    assert!(!is_reported(place));
    place.kill();
    fs::write(&pending, "pending\n").unwrap();
    for turn in ["first", "second"] {
        place.daemon = serve(&place.folder);
        assert!(is_reported(place), "{turn}");
        wait_for("the report", || place.daemon.stderr().contains(lost));
        if turn == "first" {
            place.kill();
        }
    }
    let ran = run(&place.folder, "status", "");
    assert!(ran.stdout.contains("others may be lost"), "{}", ran.stdout);
    let accept = || run(&place.folder, "store accept --revocations", "");
    let accepted = accept();
    assert!(accepted.status == 0 && accepted.stdout.starts_with("accepted: "), "{accepted:?}");
    // The metric is another request, before which the acceptance may be seen.
    wait_for("the acceptance", || !ready(place));
    assert!(!is_reported(place));
    assert_eq!(accept().stdout, "no restart is known to have lost revocations\n");
    place.kill();
    place.daemon = serve(&place.folder);
    assert!(!is_reported(place) && !place.daemon.stderr().contains(lost));
    let accepts = records(&place.audit()).into_iter().filter(|record| record.event == "accept").count();
    assert_eq!(accepts, 1);
}

/// The configuration need not be changed again.
#[test]
fn a_configuration_that_could_not_be_applied_is_applied_later() {
    let place = &mut Place::start("reload", "refuse");
    let ErrorKind { begin, end, .. } = &FAULTS[1];
    let behind = place.last();
    begin(place);
    let text = fs::read_to_string(place.folder.path().join("keyward.toml")).unwrap();
    place.folder.write("keyward.toml", text + "# changed\n", 0o644);
    wait_for("the reload to be refused", || {
        place
            .daemon
            .stderr()
            .contains(r#""reload deferred until it can be recorded; keeping the previous configuration""#)
    });
    end(place);
    wait_for("the reload", || place.daemon.stderr().contains(r#""configuration reloaded""#));
    wait_for("the audit record", || {
        let all = records(&place.audit()).into_iter().filter(|record| record.seq > behind && record.event == "reload");
        let all: Vec<_> = all.map(|record| (record.outcome.unwrap(), record.reason)).collect();
        let refused = ("refused".to_owned(), Some("audit-unavailable".to_owned()));
        all.contains(&refused) && all.last() == Some(&("loaded".to_owned(), None))
    });
}

#[test]
fn a_change_that_cannot_be_recorded_is_refused() {
    for fault in FAULTS {
        run_through(fault, true);
    }
}

#[test]
fn a_change_that_cannot_be_recorded_is_made_if_configured() {
    for fault in FAULTS {
        run_through(fault, false);
    }
}

fn run_through(fault: &ErrorKind, refuse: bool) {
    let ErrorKind { name, begin, end } = fault;
    println!("{name}, {refuse}");
    let place = &mut Place::start(name, if refuse { "refuse" } else { "continue" });
    let (tokens, changes) = place.prepare("amid");
    for token in &tokens {
        assert_eq!(place.verify(token), 200, "{name}");
    }
    let (before, behind, refused) = (place.stored(), place.last(), place.metric("keyward_audit_refused_total"));

    let asked = changes.len() as u64;
    begin(place);
    let statuses = place.statuses(&changes);
    if refuse {
        assert_eq!(statuses, vec![503; changes.len()], "{name}");
        assert_eq!(place.metric("keyward_audit_refused_total") - refused, asked, "{name}");
        assert_eq!(place.stored(), before, "{name}");
    } else {
        assert_eq!(statuses, changes.iter().map(|change| change.done).collect::<Vec<_>>(), "{name}");
    }
    // The edited, rotated, revoked (singly and by actor), replaced and signed tokens.
    let good: Vec<bool> = tokens.iter().map(|token| place.verify(token) == 200).collect();
    // A token is rejected once its revocation is requested, even if that cannot be recorded.
    let left = [true, refuse, false, false, refuse, false];
    assert_eq!(good, left, "{name}");
    // Rejections are noted without waiting.
    for _ in 0..10 {
        assert_eq!(place.verify("dstok_wrong"), 401, "{name}");
    }
    assert!(place.metric("keyward_audit_stuck") == 1 && place.metric("keyward_audit_waiting") > 0, "{name}");
    if *name == "full" {
        let verified = verify(&place.audit(), None).unwrap();
        assert_eq!((verified.problem, verified.head.seq), (None, behind), "{name}: an incomplete line is not a defect");
    }

    end(place);
    let (_, later) = place.prepare("later");
    for change in &later {
        wait_for("a change to be made", || place.ask(&change.request).status == change.done);
    }
    let all_later = place.written(behind);
    let is_among = |written: &[(String, String)], change: &Change| {
        written.iter().any(|(event, actor)| event == change.event && *actor == change.actor)
    };
    assert!(later.iter().all(|change| is_among(&all_later, change)), "{name}: {all_later:?}");
    if refuse {
        // If the record was written after all, a later one says that the change was not made.
        let is_amid = |event: &str, actor: &str| event != "revoke" && actor.starts_with("amid-");
        wait_for("the audit record", || !place.written(behind).iter().any(|(event, actor)| is_amid(event, actor)));
        // Pending revocations need not be requested again.
        wait_for("revocations to be made", || {
            let all = place.written(behind);
            changes.iter().all(|change| change.event != "revoke" || is_among(&all, change))
        });
        let is_revoked =
            |token: &String| ["amid-revoke", "amid-all", "amid-signed\""].iter().any(|actor| token.contains(actor));
        wait_for("revocations to be stored", || {
            let stored = place.stored();
            let mut revoked = stored.iter().filter(|token| is_revoked(token));
            revoked.clone().count() == 3 && revoked.all(|token| token.contains(r#""status":"revoked""#))
        });
        let after = place.stored();
        assert!(before.iter().all(|token| is_revoked(token) || after.contains(token)), "{name}: {before:?}, {after:?}");
        assert!(!after.iter().any(|token| token.contains("amid-new") || token.contains("amid-signed-new")), "{name}");
        // The refused changes can be requested again.
        for change in &changes {
            wait_for("the change to be made", || place.ask(&change.request).status == change.done);
        }
    } else {
        wait_for("the late changes to be recorded", || {
            let all = records(&place.audit()).into_iter();
            all.filter(|record| record.event == "late").filter_map(|record| record.count).sum::<u64>() >= asked
        });
    }
    let all = place.written(behind);
    assert!(changes.iter().all(|change| is_among(&all, change)), "{name}: {all:?}");
    assert_eq!(place.metric("keyward_audit_stuck"), 0, "{name}");
    let verified = verify(&place.audit(), None).unwrap();
    assert_eq!((verified.problem, verified.unfinished, verified.lost), (None, false, 0), "{name}");
    println!("{} records", verified.records);
}
