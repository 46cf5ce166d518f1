//! The HTTP server of Keyward: token introspection, verification and administration for host
//! services, and forward-auth for their proxies.
//!
//! ```no_run
//! use keyward_runtime::{Registry, Runtime};
//! use keyward_server::{Client, Config, Listeners, Right, SecretDigest, Service};
//! use tokio::net::TcpListener;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let runtime = Runtime::new()?;
//!     let registry = Registry::builder(&runtime).build()?; // with `.handler(…)`: see `keyward_runtime`
//!
//!     let mut config = Config::default();
//!     let secret = SecretDigest::of("a secret of at least 32 random characters");
//!     let app = Client::new(secret, [Right::Introspect, Right::Verify]);
//!     config.clients.insert("app".to_owned(), app);
//!
//!     let service = Service::new(config, registry);
//!     let mut listeners = Listeners::new(TcpListener::bind("127.0.0.1:8787").await?);
//!     listeners.admin = Some(TcpListener::bind("127.0.0.1:8788").await?);
//!     // Later, at any time: `service.replace(config, registry)`.
//!     let shutdown = async {
//!         let _ = tokio::signal::ctrl_c().await;
//!     };
//!     keyward_server::run(listeners, service, shutdown).await;
//!     Ok(())
//! }
//! ```
//!
//! `docs/serve.md` documents the endpoints and their statuses. This crate reads no arguments, no
//! environment variables and no files: that is left to the embedder.
//!
//! Every decision is one [`tracing`] event with the target `keyward::decision`; other events have
//! the target `keyward::server`. No event contains a token or a secret.

mod admin;
mod body;
mod client;
mod completed;
mod config;
mod connection;
mod context;
mod credential;
mod decision;
mod decision_log;
mod endpoints;
mod error;
mod http1;
mod identity_headers;
mod invalid_value;
mod metrics;
mod pages;
mod peer;
mod proxied_request;
mod rate_limits;
mod refresh;
mod routes;
mod service;
mod session_cookies;
mod slots;
mod tls;
mod visibility;

// The public interface is:
pub use config::{
    Client, Config, ForwardAuth, Handlers, Hosts, IdentityHeaders, Issuer, Limits, PathPattern, Policy, Realm, Right,
    SecretDigest, SessionAccess,
};
#[doc(hidden)]
pub use connection::serve_stream;
pub use connection::{Listeners, run};
pub use identity_headers::scope;
pub use invalid_value::InvalidValue;
pub use service::Service;
pub use tls::Tls;
