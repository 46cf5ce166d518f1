//! A blocking HTTP/1 client that gives the test control over every byte, for valid and invalid
//! requests.
//!
//! The client adds, corrects and follows nothing. Every read has a deadline, so that no test hangs.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Time limit for a response. It is long because machines are busy, and only a failing test reaches
/// it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A request, as sent over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: String,
    target: String,
    version: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// Creates an HTTP/1.1 request with `Host: localhost` and nothing else.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let headers = vec![("Host".to_owned(), b"localhost".to_vec())];
        let version = "HTTP/1.1".to_owned();
        Self { method: method.to_owned(), target: target.to_owned(), version, headers, body: Vec::new() }
    }

    /// Creates a `GET` request.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Creates a `POST` request with this body, its type and its length.
    #[must_use]
    pub fn post(target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", target).header("Content-Type", content_type).body(body)
    }

    /// Creates a `POST` request with an already encoded form.
    #[must_use]
    pub fn form(target: &str, body: impl AsRef<[u8]>) -> Self {
        Self::post(target, "application/x-www-form-urlencoded", body)
    }

    /// Creates a `POST` request with a JSON body.
    #[must_use]
    pub fn json(target: &str, body: &serde_json::Value) -> Self {
        Self::post(target, "application/json", body.to_string())
    }

    /// Sets the version, such as `HTTP/1.0`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Adds a header with any name and any bytes, even if the name is already present.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Removes the headers with this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }

    /// Adds `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer(self, token: impl AsRef<[u8]>) -> Self {
        self.header("Authorization", [b"Bearer ", token.as_ref()].concat())
    }

    /// Adds `Authorization: Basic` with these credentials, unencoded.
    #[must_use]
    pub fn basic(self, id: &str, secret: &str) -> Self {
        let credentials = base64(format!("{id}:{secret}").as_bytes());
        self.header("Authorization", format!("Basic {credentials}"))
    }

    /// Adds this body and its length.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        body.as_ref().clone_into(&mut self.body);
        let length = self.body.len().to_string();
        self.header("Content-Length", length)
    }

    /// Returns the bytes of the request.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { method, target, version, headers, body } = self;
        let mut bytes = format!("{method} {target} {version}\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    }

    /// Sends the request over a new connection, and returns the response.
    ///
    /// # Panics
    ///
    /// Panics if there is no response.
    #[must_use]
    #[expect(clippy::panic, reason = "a test cannot continue without a response")]
    pub fn send(&self, to: SocketAddr) -> Response {
        Connection::open(to)
            .and_then(|mut connection| connection.ask(self))
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.target))
    }
}

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// All headers in order, with names in lower case. Bytes beyond ASCII are decoded as Latin-1.
    pub headers: Vec<(String, String)>,
    /// The body, without chunked framing.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a header.
    ///
    /// # Panics
    ///
    /// Panics if the header occurs more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "duplicate header `{name}`: {self:?}");
        value
    }

    /// Returns the body as text.
    ///
    /// # Panics
    ///
    /// Panics if the body is not UTF-8.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test cannot continue with such a body")]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    ///
    /// Panics if the body is not JSON.
    #[must_use]
    #[expect(clippy::panic, reason = "a test cannot continue with such a body")]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            write!(f, " | {name}: {value}")?;
        }
        write!(f, " | {}", String::from_utf8_lossy(&self.body))
    }
}

/// A persistent connection; `S` is the transport, plain TCP or TLS over it.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    /// Bytes that belong to responses that have not been requested yet.
    read: Vec<u8>,
}

impl Connection {
    /// Connects to `to`.
    ///
    /// # Errors
    ///
    /// Returns the error of the connection attempt.
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self::over(stream))
    }

    /// Shuts down the sending direction, and keeps reading.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection is gone.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

impl<S: Read + Write> Connection<S> {
    /// Wraps a transport whose reads time out: a socket with a timeout of [`DEADLINE`].
    pub fn over(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Returns the transport.
    pub fn transport(&self) -> &S {
        &self.stream
    }

    /// Returns the transport for direct use.
    pub fn transport_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends a request and waits for its response.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no response.
    pub fn ask(&mut self, request: &Request) -> io::Result<Response> {
        let sent = self.send(request.to_bytes());
        // A server may respond and close before it has read the whole request.
        self.answer(request.method == "HEAD").or_else(|error| sent.and(Err(error)))
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the other side does not accept them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Waits for the next response, including those with a 1xx status.
    ///
    /// `to_head` is set if it responds to `HEAD`.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof`: the server closed the connection before or within the response. `TimedOut`:
    /// the response did not arrive in time. `InvalidData`: it is not an HTTP/1 response.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Response> {
        let until = Instant::now() + DEADLINE;
        let head = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break self.take(end + 4);
            }
            self.more(until)?;
        };
        let head: String = head.into_iter().map(char::from).collect();
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let status = lines.next().and_then(status).ok_or_else(|| no_answer(&head))?;
        let headers: Option<Vec<_>> = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())))
            .collect();
        let headers = headers.ok_or_else(|| no_answer(&head))?;
        let get = |name: &str| headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let body = if to_head || (100..200).contains(&status) || status == 204 || status == 304 {
            Vec::new()
        } else if let Some(coding) = get("transfer-encoding") {
            if coding != "chunked" {
                return Err(no_answer(&head));
            }
            self.chunks(until)?
        } else if let Some(length) = get("content-length") {
            let length = length.parse().map_err(|_| no_answer(&head))?;
            while self.read.len() < length {
                self.more(until)?;
            }
            self.take(length)
        } else {
            self.rest_until(until)?
        };
        Ok(Response { status, headers, body })
    }

    /// Returns everything up to the end of the connection. A reset is an end as well.
    ///
    /// # Errors
    ///
    /// `TimedOut`: the connection stays open.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.rest_until(Instant::now() + DEADLINE)
    }

    fn rest_until(&mut self, until: Instant) -> io::Result<Vec<u8>> {
        loop {
            match self.more(until) {
                Ok(()) => {}
                Err(error) if is_end(&error) => return Ok(std::mem::take(&mut self.read)),
                Err(error) => return Err(error),
            }
        }
    }

    fn chunks(&mut self, until: Instant) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = find(&self.read, b"\r\n") {
                    break self.take(end + 2);
                }
                self.more(until)?;
            };
            let line = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(line.trim_end(), 16).map_err(|_| no_answer(&line))?;
            while self.read.len() < size + 2 {
                self.more(until)?;
            }
            body.extend(self.take(size));
            self.take(2);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    fn more(&mut self, until: Instant) -> io::Result<()> {
        if Instant::now() > until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.read.extend(buffer.iter().take(count));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            // The timeout of the socket.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error),
        }
    }
}

/// Returns whether an error means that the other side has closed the connection.
#[must_use]
pub fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    [UnexpectedEof, ConnectionReset, ConnectionAborted, BrokenPipe].contains(&error.kind())
}

/// Encodes bytes as base64 with padding, as in `Authorization: Basic`.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn status(line: &str) -> Option<u16> {
    let mut words = line.splitn(3, ' ');
    let version = words.next()?;
    let status = words.next()?;
    (version.starts_with("HTTP/1.") && status.len() == 3).then(|| status.parse().ok())?
}

fn no_answer(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP/1 response: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Returns the responses parsed from a server that sends these bytes and closes.
    fn answers(says: &'static [u8], to_head: bool, count: usize) -> Vec<io::Result<Response>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Small pieces, as a network may deliver them.
            for piece in says.chunks(3) {
                stream.write_all(piece).unwrap();
            }
        });
        let mut connection = Connection::open(to).unwrap();
        let answers = (0..count).map(|_| connection.answer(to_head)).collect();
        server.join().unwrap();
        answers
    }

    fn body(answer: &io::Result<Response>) -> &str {
        answer.as_ref().unwrap().text()
    }

    #[test]
    fn a_request_is_serialized_as_built() {
        let request = Request::get("/x?y").header("A", b"\xff\r").header("a", "2").bearer("t").basic("i", "s");
        let bytes = b"GET /x?y HTTP/1.1\r\nHost: localhost\r\nA: \xff\r\r\na: 2\r\nAuthorization: Bearer t\r\n\
            Authorization: Basic aTpz\r\n\r\n";
        assert_eq!(request.to_bytes(), bytes);
        let request = Request::form("/", "a=b").without("host").version("HTTP/1.0");
        let text = "POST / HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b";
        assert_eq!(request.to_bytes(), text.as_bytes());
    }

    #[test]
    fn responses_are_separated() {
        let two = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: \xe9\r\nx: 2\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 \
            404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP/1.0 200 OK\r\n\r\nrest";
        let answers = answers(two, false, 5);
        let statuses: Vec<_> = answers.iter().take(4).map(|answer| answer.as_ref().unwrap().status).collect();
        assert_eq!(statuses, [100, 200, 404, 200]);
        assert_eq!([1, 2, 3].map(|at| body(&answers[at])), ["ok", "abc0123456789", "rest"]);
        let headers = &answers[1].as_ref().unwrap().headers;
        let wanted = [("x", "é"), ("x", "2"), ("content-length", "2")];
        assert_eq!(headers[..], wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(answers[4].as_ref().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_incomplete_response_is_an_error() {
        for (says, kind) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"[..], io::ErrorKind::UnexpectedEof),
            (b"HTTP/1.1 200 OK\r\nContent-Le", io::ErrorKind::UnexpectedEof),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", io::ErrorKind::UnexpectedEof),
            (b"SSH-2.0-server\r\n\r\n", io::ErrorKind::InvalidData),
            (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", io::ErrorKind::InvalidData),
        ] {
            assert_eq!(answers(says, false, 1)[0].as_ref().unwrap_err().kind(), kind);
        }
        let to_head = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, 1);
        assert_eq!(body(&to_head[0]), "");
    }
}
