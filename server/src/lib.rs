//! HTTP over a Keyward runtime: for host services that ask about tokens, and for their proxies.
//!
//! ```no_run
//! use keyward_runtime::{Registry, Runtime};
//! use keyward_server::{Caller, Config, Listeners, SecretDigest, Service};
//! use tokio::net::TcpListener;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let runtime = Runtime::new()?;
//!     let registry = Registry::builder(&runtime).build()?; // with `.handler(…)`: see `keyward_runtime`
//!
//!     let mut config = Config::default();
//!     let secret = SecretDigest::of("a secret of at least 32 random characters");
//!     let app = Caller { introspect: true, verify: true, ..Caller::new(secret) };
//!     config.callers.insert("app".to_owned(), app);
//!
//!     let service = Service::new(config, registry);
//!     let listeners = Listeners {
//!         service: TcpListener::bind("127.0.0.1:8787").await?,
//!         operations: Some(TcpListener::bind("127.0.0.1:8788").await?),
//!     };
//!     // Later, at any time: `service.replace(config, registry)`.
//!     let shutdown = async {
//!         let _ = tokio::signal::ctrl_c().await;
//!     };
//!     keyward_server::run(listeners, service, shutdown).await;
//!     Ok(())
//! }
//! ```
//!
//! What it answers, status by status, stands in `docs/serve.md`. It takes no argument, reads no environment and no file:
//! that is for whoever embeds it.
//!
//! Every decision is one [`tracing`] event with the target `keyward::decision`; other events have the target
//! `keyward::server`. None holds a token or a secret.

mod audit;
mod caller;
mod config;
mod connection;
mod context;
mod credential;
mod decision;
mod identity;
mod intent;
mod metrics;
mod operations;
mod original;
mod outcome;
mod problem;
mod receive;
mod routes;
mod seen;
mod service;
mod stock;
mod tls;

// The public interface is:
pub use config::{
    BadValue, Caller, Config, ForwardAuth, Handlers, Hosts, IdentityHeaders, Issuer, KeyAge, Limits, PathPattern,
    Policy, Realm, SecretDigest, Sees,
};
#[doc(hidden)]
pub use connection::serve_stream;
pub use connection::{Listeners, run};
pub use identity::scope;
pub use intent::{Intent, note_list};
pub use outcome::{Outcome, escape_json};
pub use service::Service;
pub use tls::Tls;
