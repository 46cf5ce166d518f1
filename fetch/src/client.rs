//! A request: look-up of the host, checks of its addresses, connection, exchange.

use crate::address::{Reach, reach};
use crate::endpoint::Endpoint;
use crate::error::FetchError;
use crate::resolve::Resolve;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use keyward_runtime::http::{HttpAdditions, HttpResponse};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Maximum number of addresses of a host, and of connection attempts.
const MAX_ADDRESSES: usize = 16;

/// Maximum number of headers of a response, and maximum size of its head in bytes.
const MAX_HEADERS: usize = 100;
const MAX_HEAD: usize = 64 << 10;

/// Requests an endpoint, with additions to the configured request. Must run on a thread of tokio.
///
/// # Errors
/// Returns a [`FetchError`] if there is no complete response within the limits of the endpoint.
pub(crate) async fn send(
    endpoint: &Endpoint,
    resolver: &dyn Resolve,
    additions: HttpAdditions,
) -> Result<HttpResponse, FetchError> {
    let HttpAdditions { query, headers, cookies } = additions;
    let target = endpoint.target_with(&query).ok_or(FetchError::LongQuery)?;
    let request = request(endpoint, target, headers, &cookies)?;
    let exchange = async {
        let stream = connect(endpoint, resolver).await?;
        match &endpoint.tls {
            None => exchange(endpoint, request, stream).await,
            Some((name, config)) => {
                let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await;
                exchange(endpoint, request, stream.map_err(FetchError::Tls)?).await
            }
        }
    };
    timeout(endpoint.timeout, exchange).await.unwrap_or(Err(FetchError::Timeout(endpoint.timeout)))
}

/// Returns the configured request with headers and cookies of a session.
fn request(
    endpoint: &Endpoint,
    target: Uri,
    more: Vec<(String, String)>,
    cookies: &[(String, String)],
) -> Result<Request<Empty<Bytes>>, FetchError> {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = endpoint.method.clone();
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    for (name, value) in more {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| FetchError::BadHeader)?;
        headers.append(name, HeaderValue::from_str(&value).map_err(|_| FetchError::BadHeader)?);
    }
    if !cookies.is_empty() {
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut cookie = HeaderValue::from_str(&pairs.join("; ")).map_err(|_| FetchError::BadHeader)?;
        cookie.set_sensitive(true);
        headers.insert(COOKIE, cookie);
    }
    headers.insert(HOST, endpoint.authority.clone());
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("keyward/", env!("CARGO_PKG_VERSION"))));
    Ok(request)
}

/// Connects to an address of the host. All of them are checked first: a name that has a forbidden
/// address beside a public one is an attack.
async fn connect(endpoint: &Endpoint, resolver: &dyn Resolve) -> Result<TcpStream, FetchError> {
    let mut addresses = resolver.addresses(&endpoint.host).await.map_err(FetchError::NoAddress)?;
    addresses.truncate(MAX_ADDRESSES);
    for address in &addresses {
        match reach(*address, &endpoint.private) {
            Reach::Special(kind) => return Err(FetchError::AddressRefused { address: *address, kind }),
            reach => endpoint.check_scheme(reach == Reach::Allowed)?,
        }
    }
    let mut last = FetchError::NoAddress(io::ErrorKind::NotFound.into());
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, endpoint.port)).await {
            Ok(stream) => {
                // A request is one write, so there is nothing to wait for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = FetchError::Connect(error),
        }
    }
    Err(last)
}

/// Sends the request on its own connection, and reads the response.
async fn exchange<S>(endpoint: &Endpoint, request: Request<Empty<Bytes>>, stream: S) -> Result<HttpResponse, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = http1::Builder::new();
    client.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(FetchError::Http)?;
    // Ends with this future, whatever the server does.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    read(endpoint, sender.send_request(request).await.map_err(FetchError::Http)?).await
}

async fn read(endpoint: &Endpoint, response: Response<Incoming>) -> Result<HttpResponse, FetchError> {
    let (head, body) = response.into_parts();
    if head.status.is_redirection() {
        return Err(FetchError::Redirect(head.status.as_u16()));
    }
    // A decompressed body could be a thousand times as large.
    if head.headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(FetchError::Compressed);
    }
    // Of a length that is known, nothing is read.
    if body.size_hint().lower() > endpoint.max_bytes as u64 {
        return Err(FetchError::TooLarge(endpoint.max_bytes));
    }
    let body = Limited::new(body, endpoint.max_bytes).collect().await.map_err(|error| {
        match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Http(*error),
            Err(_) => FetchError::TooLarge(endpoint.max_bytes),
        }
    })?;
    // `to_str` accepts printable ASCII only.
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(HttpResponse { status: head.status.as_u16(), content_type, body: body.to_bytes().into() })
}
