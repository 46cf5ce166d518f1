//! Headers for the responses that the HTTP library writes by itself, about a request that it could
//! not parse: an empty 400, 414 or 431, after which the connection is closed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The beginnings of the responses of the library.
const HEADS: [&[u8]; 3] = [b"HTTP/1.1 400 ", b"HTTP/1.1 414 ", b"HTTP/1.1 431 "];

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
        if !HEADS.iter().any(|head| bytes.starts_with(head)) || !bytes.ends_with(b"\r\n\r\n") || has(bytes, OURS) {
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
        let mut filled = parts.iter().filter(|part| !part.is_empty());
        match (filled.next(), filled.next()) {
            // A response of the library has no body. One of this crate is written with its body.
            (Some(only), None) => self.poll_write(context, only),
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
    use tokio::io::AsyncWriteExt;

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
            b"HTTP/1.1 400 Bad Request\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(stream.completed(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    /// A stream that records the length of each write.
    #[derive(Default)]
    struct Writes(Vec<usize>);

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.poll_write(context, &bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_error_and_its_body_are_one_write() {
        let mut stream = CompletedStream::new(Writes::default(), |_| String::new());
        for head in ["HTTP/1.1 401 Unauthorized", "HTTP/1.1 400 Bad Request"] {
            let head = format!("{head}\r\ncache-control: no-store\r\ncontent-length: 2\r\n\r\n");
            let parts = [IoSlice::new(head.as_bytes()), IoSlice::new(b"{}")];
            assert_eq!(stream.write_vectored(&parts).await.unwrap(), head.len() + 2);
            assert_eq!(stream.stream.0, [head.len() + 2]);
            stream.stream.0.clear();
        }
    }
}
