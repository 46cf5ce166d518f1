//! What open connections cost while nothing happens on them.

use crate::http::server::{PATH, Server, TOKEN};
use crate::stats::at_most;
use keyward_tests::daemon::wait_for;
use keyward_tests::http::{Connection, Request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CONNECTIONS: usize = 10_000;
const MIB: f64 = 200.0;

/// Ten thousand connections: at first silent, then kept after a request each.
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
    wait_for("all connections to be accepted", || {
        Request::get("/metrics").send(server.operations()).text().contains(&open)
    });
    let silent = server.resident();
    connections.iter_mut().for_each(ask);
    let kept = server.resident();
    // All of them are still there.
    connections.iter_mut().for_each(ask);

    println!("resident memory of the daemon without connections: {none:.0} MiB");
    at_most(&format!("MiB, with {CONNECTIONS} that have said nothing"), &[silent], MIB);
    at_most(&format!("MiB, with {CONNECTIONS} that are kept after a request each"), &[kept], MIB);
}
