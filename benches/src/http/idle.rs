//! Memory of idle connections.

use crate::http::server::{PATH, Server, TOKEN};
use crate::stats::at_most;
use keyward_tests::daemon::wait_for;
use keyward_tests::http::{Connection, Request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CONNECTIONS: usize = 10_000;
const MIB: f64 = 200.0;

/// Opens ten thousand connections: at first silent, then kept alive after a request each.
pub(crate) fn run() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let server = Server::keyward();
    let request = Request::get(PATH).bearer(&*TOKEN);
    let ask = |connection: &mut Connection| assert_eq!(connection.ask(&request).unwrap().status, 200);
    ask(&mut Connection::open(server.address()).unwrap());
    let none = server.resident();

    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| Connection::open(server.address()).unwrap()).collect();
    let open = format!("\nkeyward_connections {CONNECTIONS}\n");
    wait_for("all connections to be accepted", || Request::get("/metrics").send(server.admin()).text().contains(&open));
    let silent = server.resident();
    connections.iter_mut().for_each(ask);
    let kept = server.resident();
    // All connections are still open.
    connections.iter_mut().for_each(ask);

    println!("resident memory of the daemon without connections: {none:.0} MiB");
    at_most(&format!("MiB, with {CONNECTIONS} silent connections"), &[silent], MIB);
    at_most(&format!("MiB, with {CONNECTIONS} connections kept alive after a request each"), &[kept], MIB);
}
