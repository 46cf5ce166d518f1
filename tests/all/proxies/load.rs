//! Reloads while a proxy is asked without a pause: no answer may be missing or wrong.

use super::cases::{self, Case};
use super::keyward::{Keyward, TOKENS};
use super::proxy::Proxy;
use keyward_tests::daemon::wait_for;
use keyward_tests::http::{Connection, Request, Response, is_end};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

/// Clients at a time.
const CLIENTS: usize = 2;

/// In CI, and where random tests run for long.
fn reloads() -> usize {
    if std::env::var_os("KEYWARD_SOAK_SECONDS").is_some() { 1_000 } else { 100 }
}

/// As many answers at least for each reload, or it would not be one under load.
const ANSWERS: usize = 3;

/// Reloads while clients ask, each request of `mix` with the status that it must have. Nothing may be missing or wrong.
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
        // The application answers with whom it takes the client for.
        let right = who.is_none_or(|token| [token.subject(true), token.subject(false)].contains(&response.text()));
        if response.status != *status || !right {
            return Err(format!("{}: {response:?}", case.name));
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// A client that keeps its connection for as long as it is let.
struct Client {
    to: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    fn ask(&mut self, request: &Request) -> io::Result<Response> {
        if let Some(mut connection) = self.connection.take() {
            match connection.ask(request) {
                Ok(response) => return Ok(self.keep(connection, response)),
                // A server may close a connection that idles, and then the request was not taken.
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
