//! A PostgreSQL for tests: the one that `KEYWARD_TEST_POSTGRES` names, or one of their own for as long as they run.

use crate::daemon::wait_for;
use crate::peers;
use rustix::process::geteuid;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::str::FromStr;
use std::sync::LazyLock;
use std::{env, fs};

/// Makes a cluster and runs its server until standard input ends: with the test, however that ends. Each line stops the server,
/// or starts it again. A server that has only begun to start ends on TERM, and one that runs without waiting for anybody on INT.
const SCRIPT: &str = r#"
trap : HUP INT TERM
cd "$1" || exit
start() { "$2/postgres" -D data -c listen_addresses= -c unix_socket_directories="$1" -c max_connections=300 >>log 2>&1 & }
stop() { kill -TERM $!; kill -INT $!; wait; }
"$2/initdb" --pgdata=data --username=keyward --auth=trust --encoding=UTF8 --locale=C >log 2>&1 || exit
start "$1" "$2"
while read -r _; do
  stop
  read -r _ || break
  start "$1" "$2"
done
stop
cd / && rm -rf "$1"
"#;

/// A server, and a role on it that may make databases.
#[expect(missing_debug_implementations, reason = "the URL may have a password in it")]
pub struct Cluster {
    /// Of a database that is there, with parameters.
    url: String,
    /// Where its files are, if it is the tests' own.
    folder: Option<PathBuf>,
    /// Its end is the server's.
    stdin: Option<ChildStdin>,
}

/// The server, or nothing where there is none, which is said.
///
/// # Panics
/// There is none, and `KEYWARD_REQUIRE_PROXIES` is set, as in CI; or it does not start.
#[must_use]
pub fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(Cluster::find);
    CLUSTER.as_ref()
}

/// A server of one test's own, that it may stop and look into, or nothing where there is none, which is said.
///
/// # Panics
/// As for [`cluster`].
#[must_use]
pub fn own_cluster() -> Option<Cluster> {
    let programs = programs();
    if programs.is_none() {
        peers::skip("PostgreSQL", "Debian's `postgresql` is not there");
    }
    programs.map(|programs| Cluster::start(&programs))
}

impl Cluster {
    fn find() -> Option<Self> {
        match env::var("KEYWARD_TEST_POSTGRES") {
            Ok(url) => {
                let parameters = if url.contains('?') { "" } else { "?application_name=tests" };
                Some(Self { url: url + parameters, folder: None, stdin: None })
            }
            Err(_) => match programs() {
                Some(programs) => Some(Self::start(&programs)),
                None => {
                    peers::skip("PostgreSQL", "neither KEYWARD_TEST_POSTGRES nor Debian's `postgresql` is there");
                    None
                }
            },
        }
    }

    #[expect(clippy::unwrap_used, reason = "a test cannot go on without the server")]
    fn start(programs: &Path) -> Self {
        // Short: the path of a socket has 108 bytes.
        let folder = env::temp_dir().join(format!("keyward-{:x}", random()));
        fs::create_dir(&folder).unwrap();
        let mut command = if geteuid().is_root() {
            // It refuses to run as root; Debian's package makes this user.
            assert!(Command::new("chown").arg("postgres").arg(&folder).status().unwrap().success());
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        command.args(["-c", SCRIPT, "sh"]).arg(&folder).arg(programs);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let url = format!("postgres:///postgres?host={}&user=keyward", folder.display());
        let cluster = Self { url, folder: Some(folder.clone()), stdin: child.stdin.take() };
        wait_for("PostgreSQL to start", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "no cluster could be made: {:?}", fs::read_to_string(folder.join("log")));
            cluster.answers()
        });
        cluster
    }

    fn answers(&self) -> bool {
        block_on(options(&self.url).connect()).is_ok()
    }

    /// Stops the server, and puts everybody out.
    ///
    /// # Panics
    /// It is none of the tests' own, or goes on.
    pub fn stop(&mut self) {
        self.tell();
        wait_for("PostgreSQL to stop", || !self.answers());
    }

    /// Starts it again.
    ///
    /// # Panics
    /// It does not.
    pub fn restart(&mut self) {
        self.tell();
        wait_for("PostgreSQL to start again", || self.answers());
    }

    #[expect(clippy::unwrap_used, reason = "a test cannot go on without the server")]
    fn tell(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Where its files and its log are, if it is the tests' own.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// A new and empty database: its URL, and its name.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn database(&self) -> (String, String) {
        let name = format!("keyward_{:x}", random());
        self.run(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        (format!("{}&dbname={name}", self.url), name)
    }

    /// Runs a statement on the server, in no database of a test.
    ///
    /// # Panics
    /// It fails.
    #[expect(clippy::unwrap_used, reason = "a test cannot go on after it")]
    pub fn run(&self, sql: &str) {
        let mut connection = connect(&self.url);
        block_on(connection.execute(AssertSqlSafe(sql.to_owned()))).unwrap();
        block_on(connection.close()).unwrap();
    }
}

/// A connection of the test's own to a database.
///
/// # Panics
/// There is none to be had.
#[must_use]
#[expect(clippy::unwrap_used, reason = "a test cannot go on without it")]
pub fn connect(url: &str) -> PgConnection {
    block_on(options(url).connect()).unwrap()
}

#[expect(clippy::unwrap_used, reason = "a test cannot go on without what it was told to use")]
fn options(url: &str) -> PgConnectOptions {
    PgConnectOptions::from_str(url).unwrap().disable_statement_logging()
}

/// Waits for what needs tokio.
///
/// # Panics
/// There are no more threads.
#[expect(clippy::unwrap_used, reason = "a test cannot go on without threads")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    RUNTIME.block_on(future)
}

/// Where Debian keeps the programs of its newest version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let folders = versions.map(|version| version.path().join("bin")).filter(|folder| folder.join("initdb").is_file());
    folders.max()
}

/// Another number each time.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
