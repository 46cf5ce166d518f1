//! A PostgreSQL server for tests: the one at `KEYWARD_TEST_POSTGRES`, or a temporary cluster.

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

/// Creates a cluster and runs its server until standard input closes, which happens when the test
/// exits for any reason.
///
/// Each line on standard input stops or restarts the server. A server that is still starting stops
/// on TERM; one that is running stops on INT without waiting for its clients.
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

/// A server with a role that may create databases.
#[expect(missing_debug_implementations, reason = "the URL may have a password in it")]
pub struct Cluster {
    /// The URL of an existing database, with parameters.
    url: String,
    /// The folder of its files, if it is a temporary cluster.
    folder: Option<PathBuf>,
    /// Standard input of the script. Closing it stops the server.
    stdin: Option<ChildStdin>,
}

/// Returns the shared server, or `None` after reporting that there is none.
///
/// # Panics
///
/// Panics if the server does not start, or if there is none although `KEYWARD_REQUIRE_PROXIES` is
/// set, as in CI.
#[must_use]
pub fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(Cluster::find);
    CLUSTER.as_ref()
}

/// Returns a server for one test, which may stop and inspect it, or `None` after reporting that
/// there is none.
///
/// # Panics
///
/// Panics as [`cluster`] does.
#[must_use]
pub fn own_cluster() -> Option<Cluster> {
    let programs = programs();
    if programs.is_none() {
        peers::skip("PostgreSQL", "Debian's `postgresql` is not installed");
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
                    peers::skip(
                        "PostgreSQL",
                        "KEYWARD_TEST_POSTGRES is not set and Debian's `postgresql` is not installed",
                    );
                    None
                }
            },
        }
    }

    #[expect(clippy::unwrap_used, reason = "a test cannot continue without the server")]
    fn start(programs: &Path) -> Self {
        // Short, because the path of a socket is limited to 108 bytes.
        let folder = env::temp_dir().join(format!("keyward-{:x}", random()));
        fs::create_dir(&folder).unwrap();
        let mut command = if geteuid().is_root() {
            // PostgreSQL refuses to run as root; Debian's package creates this user.
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
            assert!(ended.is_none(), "the cluster could not be created: {:?}", fs::read_to_string(folder.join("log")));
            cluster.answers()
        });
        cluster
    }

    fn answers(&self) -> bool {
        block_on(options(&self.url).connect()).is_ok()
    }

    /// Stops the server, and disconnects all clients.
    ///
    /// # Panics
    ///
    /// Panics if the server is not a temporary cluster, or does not stop.
    pub fn stop(&mut self) {
        self.tell();
        wait_for("PostgreSQL to stop", || !self.answers());
    }

    /// Starts the server again.
    ///
    /// # Panics
    ///
    /// Panics if the server does not start.
    pub fn restart(&mut self) {
        self.tell();
        wait_for("PostgreSQL to start again", || self.answers());
    }

    #[expect(clippy::unwrap_used, reason = "a test cannot continue without the server")]
    fn tell(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Returns the folder of its files and its log, if it is a temporary cluster.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Creates an empty database, and returns its URL and its name.
    ///
    /// # Panics
    ///
    /// Panics if the database cannot be created.
    #[must_use]
    pub fn database(&self) -> (String, String) {
        let name = format!("keyward_{:x}", random());
        self.run(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        (format!("{}&dbname={name}", self.url), name)
    }

    /// Runs a statement on the server, outside of the tests' databases.
    ///
    /// # Panics
    ///
    /// Panics if the statement fails.
    #[expect(clippy::unwrap_used, reason = "a test cannot continue after a failed statement")]
    pub fn run(&self, sql: &str) {
        let mut connection = connect(&self.url);
        block_on(connection.execute(AssertSqlSafe(sql.to_owned()))).unwrap();
        block_on(connection.close()).unwrap();
    }
}

/// Opens a connection to a database.
///
/// # Panics
///
/// Panics if the connection fails.
#[must_use]
#[expect(clippy::unwrap_used, reason = "a test cannot continue without the connection")]
pub fn connect(url: &str) -> PgConnection {
    block_on(options(url).connect()).unwrap()
}

#[expect(clippy::unwrap_used, reason = "a test cannot continue without the configured server")]
fn options(url: &str) -> PgConnectOptions {
    PgConnectOptions::from_str(url).unwrap().disable_statement_logging()
}

/// Blocks on a future that requires tokio.
///
/// # Panics
///
/// Panics if no thread can be spawned.
#[expect(clippy::unwrap_used, reason = "a test cannot continue without threads")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    RUNTIME.block_on(future)
}

/// Returns the folder of the newest PostgreSQL that Debian has installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let folders = versions.map(|version| version.path().join("bin")).filter(|folder| folder.join("initdb").is_file());
    folders.max()
}

/// Returns a different number on each call.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
