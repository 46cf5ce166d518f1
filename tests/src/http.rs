//! A blocking HTTP/1 client that keeps every byte in the hands of the test, good requests and bad ones alike.
//!
//! Nothing is added, corrected or followed. Every read has a deadline, so that no test hangs.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take. Long, because machines are busy; whoever waits that long has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A request, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: String,
    target: String,
    version: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// A request of HTTP/1.1 with `Host: localhost` and nothing else.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let headers = vec![("Host".to_owned(), b"localhost".to_vec())];
        let version = "HTTP/1.1".to_owned();
        Self { method: method.to_owned(), target: target.to_owned(), version, headers, body: Vec::new() }
    }

    /// `GET`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST` of this body, with its type and length.
    #[must_use]
    pub fn post(target: &str, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", target).header("Content-Type", content_type).body(body)
    }

    /// `POST` of a form, as it is encoded already.
    #[must_use]
    pub fn form(target: &str, body: impl AsRef<[u8]>) -> Self {
        Self::post(target, "application/x-www-form-urlencoded", body)
    }

    /// `POST` of JSON.
    #[must_use]
    pub fn json(target: &str, body: &serde_json::Value) -> Self {
        Self::post(target, "application/json", body.to_string())
    }

    /// In another version, such as `HTTP/1.0`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// With one more header, whatever its name is and whatever bytes are in it, also if it is there already.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Without the headers of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }

    /// With `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer(self, token: impl AsRef<[u8]>) -> Self {
        self.header("Authorization", [b"Bearer ", token.as_ref()].concat())
    }

    /// With `Authorization: Basic`, of these credentials as they are.
    #[must_use]
    pub fn basic(self, id: &str, secret: &str) -> Self {
        let credentials = base64(format!("{id}:{secret}").as_bytes());
        self.header("Authorization", format!("Basic {credentials}"))
    }

    /// With this body and its length.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        body.as_ref().clone_into(&mut self.body);
        let length = self.body.len().to_string();
        self.header("Content-Length", length)
    }

    /// The bytes.
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

    /// The answer, over a connection of its own.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    #[expect(clippy::panic, reason = "a test cannot go on without an answer")]
    pub fn send(&self, to: SocketAddr) -> Response {
        Connection::open(to)
            .and_then(|mut connection| connection.ask(self))
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.target))
    }
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// All headers in their order, names in lower case. Bytes beyond ASCII stand as Latin-1 has them.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    ///
    /// # Panics
    /// It stands more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "`{name}` stands twice: {self:?}");
        value
    }

    /// The body as text.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test cannot go on with such a body")]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    #[expect(clippy::panic, reason = "a test cannot go on with such a body")]
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

/// A connection that stays open between requests; `S` is the transport, plain TCP or TLS over it.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    /// What has been read and belongs to answers that nobody has asked for yet.
    read: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// That fails.
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self::over(stream))
    }

    /// Says that nothing more will be sent, and goes on reading.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

impl<S: Read + Write> Connection<S> {
    /// Over a transport whose reads have an end: a socket with a timeout of [`DEADLINE`].
    pub fn over(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The transport.
    pub fn transport(&self) -> &S {
        &self.stream
    }

    /// The transport, to be used beside the connection.
    pub fn transport_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// There is none.
    pub fn ask(&mut self, request: &Request) -> io::Result<Response> {
        let sent = self.send(request.to_bytes());
        // A server may answer and close before it has read all of a request.
        self.answer(request.method == "HEAD").or_else(|error| sent.and(Err(error)))
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// Nobody takes them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Waits for the next answer, those with a status of 1xx included; `to_head` says that it is one to `HEAD`.
    ///
    /// # Errors
    /// `UnexpectedEof`: the server closed before or within it. `TimedOut`: it did not come in time. `InvalidData`: it is
    /// no answer of HTTP/1.
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

    /// Everything up to the end of the connection. A reset is an end as well.
    ///
    /// # Errors
    /// `TimedOut`: it has none.
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
            // A socket's own timeout.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error),
        }
    }
}

/// Whether an error says that the other side has ended the connection.
#[must_use]
pub fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    [UnexpectedEof, ConnectionReset, ConnectionAborted, BrokenPipe].contains(&error.kind())
}

/// Base64 with padding, as `Authorization: Basic` has it.
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
    io::Error::new(io::ErrorKind::InvalidData, format!("no answer of HTTP/1: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// What a server that says this and closes is taken to have answered.
    fn answers(says: &'static [u8], to_head: bool, count: usize) -> Vec<io::Result<Response>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // In small pieces, as a network may deliver it.
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
    fn a_request_is_what_was_asked_for() {
        let request = Request::get("/x?y").header("A", b"\xff\r").header("a", "2").bearer("t").basic("i", "s");
        let bytes = b"GET /x?y HTTP/1.1\r\nHost: localhost\r\nA: \xff\r\r\na: 2\r\nAuthorization: Bearer t\r\n\
            Authorization: Basic aTpz\r\n\r\n";
        assert_eq!(request.to_bytes(), bytes);
        let request = Request::form("/", "a=b").without("host").version("HTTP/1.0");
        let text = "POST / HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b";
        assert_eq!(request.to_bytes(), text.as_bytes());
    }

    #[test]
    fn answers_are_told_apart() {
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
    fn what_is_no_whole_answer_is_none() {
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
