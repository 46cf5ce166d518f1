//! Runs untrusted token handlers.
//!
//! ```
#![doc = include_str!("../examples/verify.rs")]
//! ```
//!
//! More programs are in `examples/`: a reload under load, a store of one's own, and a web service
//! with axum that checks restrictions.
//!
//! # Threads
//!
//! | thread | runs |
//! | --- | --- |
//! | the caller's | A call starts here, and nearly always completes within microseconds |
//! | `keyward-steady` and `keyward-spare`, [`RuntimeLimits::slow_threads`] each | Calls that compute for longer than a slice of time; those of costly handlers |
//! | `keyward-timer` | Stops calls that exceed their wall time |
//! | `keyward-ticker` | Interrupts calls every millisecond; sleeps while no call runs |
//! | `keyward-revoked`, one for each [`Revocations`](revocation::Revocations) | Reads new revocations |
//!
//! [`Registry::verify`] and [`Registry::create`] return futures that run on any executor and need no
//! timer or thread of it. The forms that end in `_blocking` need no executor. A [`Registry`] is
//! immutable and cheap to clone: to reload, build another one on the same [`Runtime`] and replace
//! it. Calls that are in progress end with the registry that they started with.
//!
//! # Third-party components
//!
//! A [`Runtime`] loads the built-in components of `keyward-handlers`. Foreign ones are compiled in a
//! process of their own, whose program is given to the runtime, and kept in a cache:
//!
//! ```no_run
//! # use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime, compile::ArtifactCache};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let key = [0; 32];
//! let cache = ArtifactCache::open("/var/cache/my-service/keyward", key)?;
//! let runtime = Runtime::builder().worker("/usr/bin/keyward").cache(cache).build()?;
//! let partner = std::fs::read("partner.wasm")?;
//! let actors = Actors::matching(["partner:*"])?;
//! let partner = HandlerConfig::new("partner", partner, actors).prefix("ptn_");
//! let registry = Registry::builder(&runtime).handler(partner).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! `worker` may also be a program that calls [`compile::run_worker`], such as the embedding one. The
//! key is 32 random bytes that are used for nothing else. [`proofs`] attacks the sandbox before
//! tokens are served.
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
//! # Features and versions
//!
//! * `testing` (off by default): a store in memory and the conformance tests of stores, in
//!   [`store::testing`](store#testing).
//! * The minimum supported Rust version is that of `rust-version` in the manifest. Raising it is a
//!   minor change.
//! * Versions follow semver. Types that may grow are `#[non_exhaustive]`; every other public type
//!   states in its source why it is not. The traits of a store only get new methods with a default.
//!   The texts of errors may change, their codes do not. The contract of handlers, `wit/`, has a
//!   version of its own, and every handler names the one that it was built for.
//!
//! # Notes for embedders
//!
//! wasmtime handles `SIGSEGV`, `SIGILL` and `SIGFPE` for traps of guests: any other handler of
//! these signals in the process must forward the signals that are not its own. Build with
//! `panic = "unwind"`, so that a bug in a host function fails only one call.

#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod actor;
mod admission;
mod artifact;
mod bindings;
mod breaker;
mod checksum;
pub mod clock;
pub mod compile;
pub mod component;
mod conduct;
mod counts;
mod engine;
pub mod error;
mod grants;
mod handler;
pub mod hook;
mod host;
pub mod http;
mod i_json;
pub mod key_sets;
pub mod keys;
mod lane;
pub mod limits;
#[cfg(test)]
mod model;
mod peaks;
pub mod policy;
mod pool;
pub mod proofs;
mod queries;
pub mod registry;
mod restrictions;
mod revocation_list;
pub mod runtime;
mod sandbox;
mod sanitize;
pub mod session;
mod session_cache;
mod session_flights;
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
    pub use crate::registry::redact::resembles_token;
    pub use crate::sanitize::{escape_untrusted, list_items, list_names, needs_escape, suggest_name};
}
