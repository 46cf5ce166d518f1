//! Headers for the responses that the HTTP library writes by itself, about a request that it could
//! not parse: an empty 400, 414 or 431, after which the connection is closed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The beginning of an error response of the library, up to the last two digits of its status.
const ERROR: &[u8] = b"HTTP/1.1 4";

/// A header of every response that this crate writes, by which they differ from the library's.
const OURS: &[u8] = b"\r\ncache-control: ";

/// A connection whose library responses get additional headers.
pub(crate) struct CompletedStream<S, F> {
    stream: S,
    /// Returns the additional headers for a status, each with a line end.
    headers: F,
    /// The bytes to write before any others.
    rest: Vec<u8>,
}

impl<S, F: FnMut(u16) -> String> CompletedStream<S, F> {
    pub(crate) fn new(stream: S, headers: F) -> Self {
        Self { stream, headers, rest: Vec::new() }
    }

    /// Returns the completed response if the bytes are one of the library.
    fn completed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        // The library writes such a head at once, as the last bytes of the connection.
        if !bytes.starts_with(ERROR) || !bytes.ends_with(b"\r\n\r\n") || has(bytes, OURS) {
            return None;
        }
        let status = str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?.checked_add(2)?;
        let (line, others) = bytes.split_at_checked(end)?;
        Some([line, (self.headers)(status).as_bytes(), others].concat())
    }
}

impl<S: AsyncWrite + Unpin, F> CompletedStream<S, F> {
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.drain(..written.min(self.rest.len()));
        }
        Poll::Ready(Ok(()))
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl<S: AsyncRead + Unpin, F: Unpin> AsyncRead for CompletedStream<S, F> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, bytes)
    }
}

impl<S: AsyncWrite + Unpin, F: FnMut(u16) -> String + Unpin> AsyncWrite for CompletedStream<S, F> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(context))?;
        match self.completed(bytes) {
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
            Some(completed) => {
                self.rest = completed;
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts.iter().find(|part| !part.is_empty()) {
            Some(first) if first.starts_with(ERROR) => self.poll_write(context, first),
            _ => {
                ready!(self.poll_rest(context))?;
                Pin::new(&mut self.stream).poll_write_vectored(context, parts)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_responses_of_the_library_are_completed() {
        let mut stream = CompletedStream::new((), |status| format!("x-status: {status}\r\n"));
        let of_library = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let wanted = b"HTTP/1.1 431 Request Header Fields Too Large\r\nx-status: 431\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(stream.completed(of_library).as_deref(), Some(&wanted[..]));
        for other in [
            &b"HTTP/1.1 401 Unauthorized\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(stream.completed(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
