//! A daemon while its store is faulty, and its recovery without intervention.
//!
//! Operations that require the store are neither performed nor confirmed, all others continue, and
//! tokens whose revocation was requested are rejected in the meantime.

use super::{SECRET, folder_with, outcomes};
use keyward_tests::cli::{Folder, keyward};
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::{Connection as TcpConnection, Request, Response};
use keyward_tests::postgres::{Cluster, block_on, own_cluster};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::cell::RefCell;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Time until the daemon must work again after the fault.
const BACK: Duration = Duration::from_secs(5);

/// A daemon, and its environment for faults.
struct Place {
    daemon: Daemon,
    /// Opened before the fault.
    connection: RefCell<TcpConnection>,
    folder: Folder,
    other: Option<SqliteConnection>,
    cluster: Option<Cluster>,
}

/// A fault of a store.
struct ErrorKind {
    name: &'static str,
    /// Set if records can still be read.
    readable: bool,
    begin: fn(&mut Place),
    end: fn(&mut Place),
}

/// Faults of a store in a file.
const SQLITE: &[ErrorKind] = &[
    ErrorKind {
        // Root's processes may use the reserved blocks of a full disk, but this limit applies to
        // them.
        name: "no file can grow",
        readable: true,
        begin: |place| place.limit(Resource::Fsize, Some(0)),
        end: |place| place.limit(Resource::Fsize, None),
    },
    ErrorKind {
        name: "another process holds a write transaction",
        readable: true,
        begin: |place| {
            let file = SqliteConnectOptions::new().filename(place.folder.path().join("keyward.db"));
            let mut other = block_on(file.disable_statement_logging().connect()).unwrap();
            block_on(other.execute("BEGIN IMMEDIATE")).unwrap();
            place.other = Some(other);
        },
        end: |place| block_on(place.other.take().unwrap().close()).unwrap(),
    },
    ErrorKind {
        name: "the file is moved away",
        readable: false,
        begin: |place| place.rename("keyward.db", "away.db"),
        end: |place| place.rename("away.db", "keyward.db"),
    },
];

/// Faults of a store on a server.
const POSTGRES: &[ErrorKind] = &[
    ErrorKind {
        name: "the server is stopped",
        readable: false,
        begin: |place| place.cluster.as_mut().unwrap().stop(),
        end: |place| place.cluster.as_mut().unwrap().restart(),
    },
    ErrorKind {
        name: "all connections are terminated, and the daemon has no file descriptor for another",
        readable: false,
        begin: |place| {
            place.limit(Resource::Nofile, Some(0));
            let others = "backend_type = 'client backend' AND pid <> pg_backend_pid()";
            let put_out = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}");
            place.cluster.as_ref().unwrap().run(&put_out);
        },
        end: |place| place.limit(Resource::Nofile, None),
    },
];

impl Place {
    fn start(folder: Folder, cluster: Option<Cluster>) -> Self {
        // With the signal ignored, a write beyond the limit fails instead of killing the process.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(keyward());
        command.args(["serve", "--config", "keyward.toml"]);
        command
            .current_dir(folder.path())
            .envs(folder.command().get_envs().filter_map(|(key, value)| Some((key, value?))));
        let daemon = Daemon::spawn(command).unwrap();
        let connection = RefCell::new(TcpConnection::open(daemon.service()).unwrap());
        Self { daemon, connection, folder, other: None, cluster }
    }

    /// Sets a resource limit of the daemon, or restores this process's own.
    fn limit(&mut self, what: Resource, max: Option<u64>) {
        let own = getrlimit(what);
        let limit = Rlimit { current: max.or(own.current), maximum: own.maximum };
        prlimit(Some(self.daemon.pid()), what, limit).unwrap();
    }

    fn ask(&self, request: Request) -> Response {
        self.connection.borrow_mut().ask(&request.bearer(SECRET)).unwrap()
    }

    fn rename(&mut self, from: &str, to: &str) {
        fs::rename(self.folder.path().join(from), self.folder.path().join(to)).unwrap();
    }

    fn try_create(&self, handler: &str, actor: &str) -> Result<String, u16> {
        let answer = self.ask(Request::json("/v1/tokens", &json!({"actor": actor, "handler": handler})));
        if answer.status == 201 { Ok(answer.json()["token"].as_str().unwrap().to_owned()) } else { Err(answer.status) }
    }

    fn create(&self, handler: &str, actor: &str) -> String {
        self.try_create(handler, actor).unwrap_or_else(|status| panic!("{handler}: {status}"))
    }

    fn verify(&self, token: &str) -> u16 {
        self.connection.borrow_mut().ask(&Request::get("/v1/actor").bearer(token)).unwrap().status
    }

    fn revoke(&self, token: &str) -> u16 {
        self.ask(Request::form("/v1/revoke", format!("token={token}"))).status
    }

    fn revoke_actor(&self, actor: &str) -> u16 {
        self.ask(Request::json("/v1/revocations", &json!({"actor": actor}))).status
    }
}

const NO_QUOTA: (&str, &str) = ("{ tokens = 5 }", "true");

/// Keeps signed tokens valid for the duration of the fault.
const PATIENT: (&str, &str) = ("[store]", "[store]\npatience_seconds = 3600");

#[test]
fn faults_of_a_file() {
    for (number, fault) in SQLITE.iter().enumerate() {
        let folder = folder_with(&format!("fault-{number}"), &[NO_QUOTA, PATIENT]);
        run(fault, &mut Place::start(folder, None));
    }
}

#[test]
fn faults_of_a_server() {
    for fault in POSTGRES {
        let Some(cluster) = own_cluster() else { return };
        let place = (r#"sqlite = "keyward.db""#, r#"postgres = { env = "DATABASE_URL" }"#);
        let mut folder = folder_with("fault-postgres", &[NO_QUOTA, PATIENT, place]);
        folder.set("DATABASE_URL", &cluster.database().0);
        run(fault, &mut Place::start(folder, Some(cluster)));
    }
}

fn run(fault: &ErrorKind, place: &mut Place) {
    let ErrorKind { name, readable, begin, end } = fault;
    println!("{name}");
    let [kept, kept_too, signed, signed_too] = [("stored", "a"), ("stored", "b"), ("signed", "c"), ("signed", "d")]
        .map(|(handler, actor)| place.create(handler, actor));
    let taken = [place.create("signed", "y")];
    let alices = [place.create("stored", "z"), place.create("signed", "z")];
    let status = |good: bool, status| if good { status } else { 503 };

    begin(place);
    for handler in ["stored", "dev", "signed"] {
        assert_eq!(place.try_create(handler, "e"), Err(503), "{name}: {handler}");
    }
    for (token, good) in [(&kept, *readable), (&kept_too, *readable), (&signed, true), (&signed_too, true)] {
        assert_eq!(place.verify(token), status(good, 200), "{name}: {token}");
    }
    for token in taken.iter().chain([&kept]) {
        for turn in ["first", "again"] {
            assert_eq!(place.revoke(token), 503, "{name}: {token}, {turn}");
        }
    }
    assert_eq!(place.revoke_actor("z"), 503, "{name}");
    for (token, known) in
        taken.iter().map(|token| (token, true)).chain([(&kept, *readable), (&alices[0], *readable), (&alices[1], true)])
    {
        assert_eq!(place.verify(token), status(known, 401), "{name}: {token} is rejected anyway");
    }

    end(place);
    let over = Instant::now();
    wait_for("the daemon to create tokens again", || place.try_create("stored", "f").is_ok());
    assert!(over.elapsed() < BACK, "{name}: after {:?}", over.elapsed());
    // The daemon writes the requested revocations by itself, as a process with no other information
    // confirms.
    let dead: Vec<&str> = taken.iter().chain(&alices).map(String::as_str).collect();
    wait_for("the revocations to be stored", || {
        outcomes(&place.folder, &dead).iter().all(|outcome| outcome == "revoked")
    });
    for token in &dead {
        assert_eq!(place.verify(token), 401, "{name}");
    }
    for token in [&kept_too, &signed, &signed_too] {
        assert_eq!(place.verify(token), 200, "{name}: {token}");
    }
    // If its record could not be read, the token could not be identified.
    assert_eq!(place.verify(&kept), if *readable { 401 } else { 200 }, "{name}");
    wait_for("the revocations to be confirmed", || place.revoke(&kept) == 200 && place.revoke(&taken[0]) == 200);
    assert_eq!(place.verify(&kept), 401, "{name}");
}
