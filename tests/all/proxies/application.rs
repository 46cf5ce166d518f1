//! The application behind a proxy: it records the requests that reach it, and responds with the
//! client's identity.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The handshake of a WebSocket and a frame of the client, from RFC 6455.
pub(super) const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const WEBSOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
pub(super) const FRAME: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
/// The response of the application to [`FRAME`]: the same text.
pub(super) const ECHO: &[u8] = b"\x81\x05Hello";

/// A path with which the application declines an upgrade.
pub(super) const DECLINES: &str = "/declines";

/// A request as it arrived.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    /// All headers, with names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The lines after a chunked body.
    pub(super) trailers: Vec<String>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, headers, body, trailers } = self;
        write!(f, "{method} {target} {headers:?}, a body of {} bytes, {trailers:?}", body.len())
    }
}

/// A running application, which stops at the end of the test.
#[derive(Debug, Clone)]
pub(super) struct Application {
    address: SocketAddr,
    seen: Arc<Mutex<VecDeque<Seen>>>,
}

/// Maximum number of recorded requests.
const REMEMBERED: usize = 200;

impl Application {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let application = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let serving = application.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // Broken connections are handled by the proxy.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        application
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the requests since the previous call.
    pub(super) fn take(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().drain(..).collect()
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut answers = stream.try_clone()?;
        let mut requests = BufReader::new(stream);
        while let Some(seen) = receive(&mut requests, &mut answers)? {
            let who: Vec<u8> = header(&seen, "x-auth-subject").unwrap_or_default().chars().map(|c| c as u8).collect();
            let length = who.len();
            let upgrades = header(&seen, "sec-websocket-key") == Some(WEBSOCKET_KEY)
                && header(&seen, "upgrade") == Some("websocket")
                && seen.target != DECLINES;
            let body = if seen.method == "HEAD" { Vec::new() } else { who };
            // Recorded before the client gets the response.
            let mut all = self.seen.lock().unwrap();
            if all.len() == REMEMBERED {
                all.pop_front();
            }
            all.push_back(seen);
            drop(all);
            if upgrades {
                return echo(&mut requests, &mut answers);
            }
            answers.write_all(
                &[format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes(), &body].concat(),
            )?;
        }
        Ok(())
    }
}

/// Accepts a WebSocket, and sends the first frame back.
fn echo(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    write!(
        to,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {WEBSOCKET_ACCEPT}\r\n\r\n"
    )?;
    if bytes(from, FRAME.len())? == FRAME {
        to.write_all(ECHO)?;
    }
    Ok(())
}

/// Returns the value of a header, the first one if there are several.
pub(super) fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    seen.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// Reads the next request, or returns `None` at the end of the connection.
fn receive(from: &mut impl BufRead, to: &mut impl Write) -> std::io::Result<Option<Seen>> {
    let first = line(from)?;
    if first.is_empty() {
        return Ok(None);
    }
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut seen = Seen { method, target, headers: Vec::new(), body: Vec::new(), trailers: Vec::new() };
    loop {
        let line = line(from)?;
        let Some((name, value)) = line.split_once(':') else { break };
        seen.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if header(&seen, "expect").is_some() {
        to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if let Some(length) = header(&seen, "content-length").and_then(|length| length.parse().ok()) {
        seen.body = bytes(from, length)?;
    } else if header(&seen, "transfer-encoding").is_some() {
        loop {
            let length = usize::from_str_radix(&line(from)?, 16).unwrap_or(0);
            if length == 0 {
                break;
            }
            seen.body.extend(bytes(from, length)?);
            line(from)?;
        }
        loop {
            let line = line(from)?;
            if line.is_empty() {
                break;
            }
            seen.trailers.push(line);
        }
    }
    Ok(Some(seen))
}

/// Reads a line without its end, with one character per byte.
fn line(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    Ok(line.into_iter().filter(|byte| !b"\r\n".contains(byte)).map(char::from).collect())
}

fn bytes(from: &mut impl Read, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
