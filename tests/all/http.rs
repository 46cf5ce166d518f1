//! The daemon over HTTP: the promises of `docs/serve.md`, and the responses to clients that violate
//! the protocol.

mod cases;
mod clients;
mod floods;
mod forward_auth;
mod hostile;
mod ids;
mod leaks;
mod listeners;
mod program;
mod rates;
mod running;
pub(crate) mod server;
mod slow;
mod tls;
mod vectors;
mod world;
