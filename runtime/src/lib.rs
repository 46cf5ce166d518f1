//! Runs untrusted token handlers.
//!
//! ```no_run
//! use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime, Verdict};
//! use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
//! use std::sync::Arc;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Lives as long as the process: engine, compiled components, threads.
//!     let runtime = Runtime::new()?;
//!
//!     // A handler and its grants.
//!     let ring = KeyRing::new("main", Secret::new(std::fs::read("secret.key")?), vec![])?;
//!     let mut partner = HandlerConfig::new("partner", std::fs::read("partner.wasm")?, Actors::matching(["partner:*"])?);
//!     partner.prefixes = vec!["ptn_".into()];
//!     partner.keys.insert("token".into(), KeyGrant::new(Arc::new(ring)));
//!
//!     // Compiles, checks and instantiates every handler. Immutable: to reload, build another one.
//!     let registry = Registry::builder(&runtime).handler(partner).build()?;
//!
//!     match registry.verify_blocking("ptn_…") {
//!         Ok(Verdict::Accepted(token)) => println!("{} vouches for {}", token.handler, token.actor.json()),
//!         Ok(Verdict::NotMine) => println!("not a token of any handler: try other credentials"),
//!         Ok(Verdict::Rejected(no)) => println!("401: {}", no.message),
//!         Err(error) => println!("503: no verdict, so deny access: {error}"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! In async programs, [`Registry::verify`] and [`Registry::create`] return futures that run on any
//! executor and need no timer or thread of it. A call starts on the thread that polls it and nearly
//! always completes within microseconds. A call that computes for longer moves to the runtime's own
//! threads.
//!
//! # Guarantees
//!
//! * A [`Verdict`] is one of three decisions; an [`Error`] reports that no verdict is available,
//!   and who is to blame.
//! * A [`VerifiedActor`] exists only for a token that its handler accepted *and* that passed the
//!   host's policy.
//! * Each call gets a fresh instance of the component and is bounded by [`Limits`]. No state
//!   survives between calls.
//! * A handler sees only tokens that start with its prefixes, and never a key.
//!
//! Log lines of handlers are emitted as [`tracing`] events with the target `keyward::handler`. The
//! runtime's own events about token records and revocations have the target `keyward::store`.
//!
//! # Notes for embedders
//!
//! wasmtime handles `SIGSEGV`, `SIGILL` and `SIGFPE` for traps of guests: any other handler of
//! these signals in the process must forward the signals that are not its own. Build with
//! `panic = "unwind"`, so that a bug in a host function fails only one call.

#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod actor;
mod admission;
mod bindings;
mod checksum;
pub mod clock;
pub mod component;
mod conduct;
mod counts;
mod engine;
pub mod error;
mod grants;
mod handler;
pub mod hook;
mod host;
mod i_json;
pub mod keys;
mod lane;
pub mod limits;
#[cfg(test)]
mod model;
pub mod policy;
mod pool;
mod queries;
pub mod registry;
mod restrictions;
mod revocation_list;
mod runtime;
mod sandbox;
mod sanitize;
mod slice;
pub mod store;
mod sync;
pub mod token;
mod token_pattern;
mod usage;
mod verdict;
mod verdict_cache;

// The public interface: what every embedder uses is here, the rest is in the public modules.
pub use actor::{ActorId, VerifiedActor};
pub use counts::Counts;
pub use error::{Error, LoadError};
pub use grants::{HandlerConfig, StoreGrant};
pub use limits::{Limits, RuntimeLimits};
pub use policy::Actors;
pub use registry::{IssueOptions, Registry};
pub use restrictions::Permission;
pub use runtime::Runtime;
pub use verdict::{
    Acceptance, CreateRequest, Created, Creation, Denial, Denied, Parent, Reason, Rejection, Restrictions, Verdict,
};

/// The host's queries, which handlers read tables with.
pub mod query {
    pub use crate::queries::{Query, QueryValue, Rows};
}

/// The revocations that a process applies.
pub mod revocation {
    pub use crate::revocation_list::{PendingRevocation, PendingStatus, Revocations};
}

/// Untrusted text in messages, logs and on terminals.
pub mod text {
    pub use crate::sanitize::{escape_untrusted, list_items, list_names, needs_escape, suggest_name};
}
