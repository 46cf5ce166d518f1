//! The HTTP/1 settings of both listeners: bounded in size and time.

use crate::config::Limits;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::TimeoutStream;

/// Wraps a stream so that a write times out if the client does not read the response.
pub(crate) fn bounded<S: AsyncRead + AsyncWrite>(stream: S, limits: &Limits) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.body_time));
    Box::pin(stream)
}

/// Returns hyper's settings, the same for every connection.
pub(crate) fn http(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(8_192))
        .half_close(true)
        .keep_alive(true);
    builder
}
