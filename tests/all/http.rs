//! The daemon over HTTP: what `docs/serve.md` promises, and what clients that keep to nothing get.

mod cases;
mod floods;
mod forward_auth;
mod program;
mod running;
mod server;
mod slow;
mod vectors;
mod world;
