//! Reloads while a proxy gets continuous requests: every response must arrive and be correct.

use super::cases::{self, Case};
use super::keyward::{Keyward, TOKENS};
use super::proxy::Proxy;
use keyward_tests::daemon::wait_for;
use keyward_tests::http::{Connection, Request, Response, is_end};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

/// Number of concurrent clients.
const CLIENTS: usize = 2;

/// Returns the number of reloads, which is larger in CI and in long random tests.
fn reloads() -> usize {
    if std::env::var_os("KEYWARD_SOAK_SECONDS").is_some() { 1_000 } else { 100 }
}

/// Minimum number of responses for each reload, so that it happens under load.
const ANSWERS: usize = 3;

/// Reloads while clients send requests of `mix`, each with its required status. Every response must
/// arrive and be correct.
pub(super) fn reload(keyward: &Keyward, proxy: &Proxy, mix: &[(&Case, u16)]) -> Result<(), String> {
    let stop = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|at| {
                let (stop, answered) = (&stop, &answered);
                scope.spawn(move || ask_until(stop, answered, at, proxy.address(), mix))
            })
            .collect();
        for reloads in 1..=reloads() {
            keyward.reload();
            wait_for("answers", || {
                answered.load(Ordering::Relaxed) >= reloads * ANSWERS
                    || clients.iter().any(ScopedJoinHandle::is_finished)
            });
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().try_for_each(|client| client.join().unwrap())
    })
}

fn ask_until(
    stop: &AtomicBool,
    answered: &AtomicUsize,
    from: usize,
    to: SocketAddr,
    mix: &[(&Case, u16)],
) -> Result<(), String> {
    let mut client = Client { to, connection: None };
    for (case, status) in mix.iter().cycle().skip(from) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let response = client.ask(&(case.request)(&TOKENS)).map_err(|error| format!("{}: {error}", case.name))?;
        let who = match case.wanted {
            cases::Wanted::Passes(token) => Some(token(&TOKENS)),
            _ => None,
        };
        // The application responds with the client's identity.
        let right = who.is_none_or(|token| [token.subject(true), token.subject(false)].contains(&response.text()));
        if response.status != *status || !right {
            return Err(format!("{}: {response:?}", case.name));
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// A client that reuses its connection until it is closed.
struct Client {
    to: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    fn ask(&mut self, request: &Request) -> io::Result<Response> {
        if let Some(mut connection) = self.connection.take() {
            match connection.ask(request) {
                Ok(response) => return Ok(self.keep(connection, response)),
                // A server may close an idle connection, in which case it has not processed the
                // request.
                Err(error) if is_end(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut connection = Connection::open(self.to)?;
        let response = connection.ask(request)?;
        Ok(self.keep(connection, response))
    }

    fn keep(&mut self, connection: Connection, response: Response) -> Response {
        let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.connection = (!closes).then_some(connection);
        response
    }
}
