//! Runs token handlers that nobody has to trust.
//!
//! ```no_run
//! use keyward_runtime::{Actors, HandlerConfig, KeyGrant, KeyRing, Registry, Runtime, Secret, Verdict};
//! use std::sync::Arc;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Lives as long as the process: engine, compiled components, threads.
//!     let runtime = Runtime::new()?;
//!
//!     // A handler, and all that it may touch.
//!     let ring = KeyRing::new("main", Secret::new(std::fs::read("secret.key")?), vec![])?;
//!     let mut partner = HandlerConfig::new("partner", std::fs::read("partner.wasm")?, Actors::matching(["partner:*"])?);
//!     partner.prefixes = vec!["ptn_".into()];
//!     partner.keys.insert("token".into(), KeyGrant::new(Arc::new(ring)));
//!
//!     // Compiles, checks and tries out. Immutable: to reload, build another one.
//!     let registry = Registry::builder(&runtime).handler(partner).build()?;
//!
//!     match registry.verify_blocking("ptn_…") {
//!         Ok(Verdict::Accepted(token)) => println!("{} says: {}", token.handler, token.actor.json()),
//!         Ok(Verdict::NotMine) => println!("nobody's token: look for other credentials"),
//!         Ok(Verdict::Rejected(no)) => println!("401: {}", no.message),
//!         Err(error) => println!("503: no verdict could be had, which is no yes: {error}"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! In async programs [`Registry::verify`] and [`Registry::create`] are futures that run on any
//! executor; nothing of theirs needs a timer or a thread of it. A call begins on the thread that
//! polls it and is nearly always done within microseconds. One that computes on moves to threads of
//! the runtime's own.
//!
//! # What a caller can count on
//!
//! * A [`Verdict`] is one of three answers; [`Error`] says that none could be had, and whose fault
//!   that is.
//! * A [`VerifiedActor`] comes out of a token that its handler accepted *and* that the host's
//!   policy let through.
//! * Each call has a fresh instance of the component and is bounded by [`Limits`]. Nothing is kept
//!   between calls.
//! * A handler sees the tokens that begin with its prefixes, and never a key.
//!
//! What a handler writes to its log, and nothing else, is emitted as [`tracing`] events with the
//! target `keyward::handler`.
//!
//! # What an embedding program should know
//!
//! wasmtime handles `SIGSEGV`, `SIGILL` and `SIGFPE` for traps of guests: another handler of these
//! signals in the process must pass on what is not its own. Build with `panic = "unwind"`, so that
//! a bug in a host function costs one call.

mod actor;
mod admission;
mod bindings;
mod checksum;
mod clock;
mod component;
mod conduct;
mod counts;
mod engine;
mod error;
mod grants;
mod handler;
mod host;
mod i_json;
mod keys;
mod lane;
mod limits;
#[cfg(test)]
mod model;
mod policy;
mod pool;
mod queries;
mod registry;
mod restrictions;
mod revocation_list;
mod runtime;
mod sandbox;
mod sanitize;
mod slice;
mod store;
mod sync;
mod token;
mod token_pattern;
mod usage;
mod verdict;
mod verdict_cache;

// The public interface is:
pub use actor::VerifiedActor;
pub use clock::{Clock, MonotonicClock, SystemClock, UnixTime};
pub use component::ComponentInfo;
pub use counts::Counts;
pub use error::{Blame, Error, ErrorKind, LimitExceeded, LimitKind, LoadError};
pub use grants::{HandlerConfig, StoreGrant};
pub use keys::{Key, KeyGrant, KeyRing, KeyRingError, KeyState, MIN_SECRET_BYTES, Scheme, Secret};
pub use limits::{Limits, RuntimeLimits};
pub use policy::{ActorPattern, Actors, InvalidPattern, is_actor_id, is_token_id};
pub use queries::{Query, QueryValue, Rows};
pub use registry::{HandlerInfo, Presented, Registry, RegistryBuilder, Requested, TokenUpdate, UpdateOutcome};
pub use restrictions::Permission;
pub use revocation_list::Revocations;
pub use runtime::Runtime;
pub use sanitize::{escape_untrusted, list_items, list_names, needs_escape};
pub use store::{
    CommitOutcome, CreatedBy, Cursor, Entry, Filter, KeyUsage, ListEntry, NewRecord, NodeStatus, Record, RecordUpdate,
    Revocation, Revoked, SecretDigest, Status, StatusCount, StoreError, StoreFuture, StoredRecord, Termination,
    TerminationReason, TokenStore, TokenTerms, Transaction,
};
pub use token::TokenDigest;
pub use verdict::{
    Acceptance, CreateRequest, Created, Creation, Denial, Denied, HookFuture, IssueHook, Parent, Reason, Rejection,
    Restrictions, RevocationHook, Verdict,
};
