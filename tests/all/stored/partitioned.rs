//! A node whose connection to PostgreSQL is impaired: it learns of another node's revocation within
//! the bound, or it gives no verdict.

use super::node::{NOW, create, node, of_actor, of_token, outcome, revoke};
use crate::support::TestClock;
use keyward_runtime::Registry;
use keyward_runtime::store::{RevocationLog, TokenStore};
use keyward_store::{CHANNEL, Store};
use keyward_tests::daemon::wait_for;
use keyward_tests::http::DEADLINE;
use keyward_tests::postgres::{Cluster, block_on, cluster, connect};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Executor};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(1);

fn open(location: &str) -> Arc<Store> {
    Arc::new(Store::open(location.parse().unwrap()).unwrap())
}

fn node_at(location: &str) -> Registry {
    node(&(open(location) as Arc<dyn TokenStore>), PATIENCE)
}

/// Verifies a token until it is no longer accepted.
///
/// Returns the start of the last accepted call, relative to the response to the revocation, and the
/// outcome since.
fn last_yes(node: &Registry, token: &str, revoked: Instant) -> (Duration, String) {
    let mut last = Duration::ZERO;
    loop {
        let asked = Instant::now();
        match outcome(node, token).as_str() {
            "accepted" => last = asked.duration_since(revoked),
            other => return (last, other.to_owned()),
        }
        assert!(revoked.elapsed() < DEADLINE, "the token is still accepted");
    }
}

/// A fault between a node and the revocations of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The listening connection is terminated.
    Deaf,
    /// The revocation is written, but not notified.
    Untold,
    /// No data arrives any more.
    Silent,
    /// Connections are closed, and none can be opened.
    Cut,
}

#[test]
fn a_partitioned_node_learns_within_the_bound_or_gives_no_verdict() {
    let Some(cluster) = cluster() else { return };
    for fault in [Fault::Deaf, Fault::Untold, Fault::Silent, Fault::Cut] {
        TestClock.set(Some(NOW));
        let (location, name) = cluster.database();
        let wire = Wire::to(&location);
        let (near, far) = (node_at(&location), node_at(&wire.location));
        let token = create(&near, "signed", "alice");
        let other = create(&near, "signed", "bob");
        assert_eq!((outcome(&far, &token), outcome(&far, &other)), ("accepted".to_owned(), "accepted".to_owned()));
        let revocation = of_token(&near, &token);
        match fault {
            Fault::Deaf => put_out_who_listens(cluster, &name),
            Fault::Silent => wire.set(Mode::Silent),
            Fault::Cut => wire.set(Mode::Cut),
            Fault::Untold => {}
        }
        if fault == Fault::Untold {
            let id = revocation.token_id.unwrap();
            let sql = format!("INSERT INTO revocations (handler, token_id, at) VALUES ('signed', '{id}', 0)");
            block_on(connect(&location).execute(AssertSqlSafe(sql))).unwrap();
        } else {
            revoke(&near, revocation);
        }
        let revoked = Instant::now();
        let (last, told) = last_yes(&far, &token, revoked);
        println!("{fault:?}: the last accepted call started {last:?} after the response, then `{told}`");
        assert!(last <= PATIENCE, "{fault:?}: {last:?}");
        if matches!(fault, Fault::Silent | Fault::Cut) {
            assert_eq!(told, "store", "{fault:?}");
            assert!(!far.is_ready() && outcome(&far, &other) == "store", "{fault:?}");
        }
        wire.set(Mode::Whole);
        wait_for("the node to receive updates again", || outcome(&far, &other) == "accepted");
        assert_eq!(outcome(&far, &token), "revoked", "{fault:?}: it has read everything before it accepts any token");
    }
}

fn put_out_who_listens(cluster: &Cluster, database: &str) {
    let listening = format!("datname = '{database}' AND query LIKE 'LISTEN%{CHANNEL}%'");
    cluster.run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}"));
}

/// A notification reaches the waiting node, also after its listening connection was terminated.
#[test]
fn a_waiting_node_is_notified() {
    let Some(cluster) = cluster() else { return };
    let (location, name) = cluster.database();
    let (here, there) = (open(&location), open(&location));
    for turn in ["first", "put out"] {
        // A new listener is notified at once, because it may have missed notifications.
        assert!(there.wait_for_change(DEADLINE), "{turn}");
        assert!(!there.wait_for_change(Duration::from_millis(1)), "{turn}: there was no change");
        for _ in 0..3 {
            pollster::block_on(here.revoke(&of_actor("alice"), NOW.whole())).unwrap();
            assert!(there.wait_for_change(DEADLINE), "{turn}");
        }
        put_out_who_listens(cluster, &name);
    }
}

/// The connection from a node to its server.
struct Wire {
    location: String,
    mode: Arc<AtomicU8>,
    _folder: TempDir,
}

/// The handling of forwarded data.
#[derive(Clone, Copy)]
enum Mode {
    Whole,
    Silent,
    Cut,
}

impl Wire {
    fn to(location: &str) -> Self {
        let server = PgConnectOptions::from_str(location).unwrap();
        let folder = TempDir::new().unwrap();
        let port = server.get_port();
        let listener = UnixListener::bind(folder.path().join(format!(".s.PGSQL.{port}"))).unwrap();
        let mode = Arc::new(AtomicU8::new(Mode::Whole as u8));
        let location = format!("{location}&host={}", folder.path().display());
        let to = match server.get_socket() {
            Some(folder) => Ok(folder.join(format!(".s.PGSQL.{port}"))),
            None => Err(format!("{}:{port}", server.get_host())),
        };
        thread::spawn({
            let mode = mode.clone();
            move || {
                for client in listener.incoming() {
                    if mode.load(Ordering::SeqCst) != Mode::Cut as u8 {
                        let _ = join(client.unwrap(), &to, &mode);
                    }
                }
            }
        });
        Self { location, mode, _folder: folder }
    }

    fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }
}

fn join(client: UnixStream, to: &Result<PathBuf, String>, mode: &Arc<AtomicU8>) -> io::Result<()> {
    match to {
        Ok(socket) => {
            let server = UnixStream::connect(socket)?;
            pass_on(client.try_clone()?, server.try_clone()?, mode, |stream| stream.shutdown(Shutdown::Both));
            pass_on(server, client, mode, |stream| stream.shutdown(Shutdown::Both));
        }
        Err(address) => {
            let server = TcpStream::connect(address)?;
            pass_on(client.try_clone()?, server.try_clone()?, mode, |stream| stream.shutdown(Shutdown::Both));
            pass_on(server, client, mode, |stream| stream.shutdown(Shutdown::Both));
        }
    }
    Ok(())
}

/// Copies until one side closes, or the wire is cut.
fn pass_on<From: Read + Send + 'static, To: Write + Send + 'static>(
    mut from: From,
    mut to: To,
    mode: &Arc<AtomicU8>,
    end: fn(&To) -> io::Result<()>,
) {
    let mode = mode.clone();
    thread::spawn(move || {
        let mut buffer = [0; 8_192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while mode.load(Ordering::SeqCst) == Mode::Silent as u8 {
                thread::sleep(Duration::from_millis(1));
            }
            if mode.load(Ordering::SeqCst) == Mode::Cut as u8 || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = end(&to);
    });
}
