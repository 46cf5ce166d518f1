//! The daemon over HTTP: what `docs/serve.md` promises, and what clients that keep to nothing get.

mod callers;
mod cases;
mod floods;
mod forward_auth;
mod hostile;
mod leaks;
mod program;
mod running;
pub(crate) mod server;
mod slow;
mod tls;
mod vectors;
mod world;
