//! Requests to the admin listener of the daemon that runs on the same configuration.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Maximum length of a response, in bytes.
const MAX_RESPONSE: u64 = 4 << 20;

/// Returns the body of `GET path`, or `None` if there is no daemon at the address.
pub(crate) fn get(admin: SocketAddr, path: &str) -> Option<String> {
    const PATIENCE: Duration = Duration::from_secs(1);
    // With port 0, the daemon has chosen one.
    let mut stream = TcpStream::connect_timeout(&Some(admin).filter(|admin| admin.port() != 0)?, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").ok()?;
    let mut response = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 ").then(|| body.to_owned())
}
