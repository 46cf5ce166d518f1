//! Keyward's runtime.

mod bindings;
mod clock;
mod component;
mod engine;
mod error;
mod grants;
mod handler;
mod host;
mod json;
mod keys;
mod limits;
mod policy;
mod pool;
mod registry;
mod runtime;
mod sandbox;
mod text;
mod verdict;

// The public interface is:
pub use clock::{Clock, SystemClock, UnixTime};
pub use component::ComponentInfo;
pub use error::{Blame, Error, Fault, LimitHit, LimitName, LoadError};
pub use grants::HandlerConfig;
pub use keys::{KeyGrant, KeyRing, MIN_SECRET_BYTES, Scheme, Secret, ShortSecret};
pub use limits::{Limits, RuntimeLimits};
pub use policy::{ActorPattern, Actors, BadPattern, VerifiedActor};
pub use registry::{HandlerInfo, Registry, RegistryBuilder};
pub use runtime::Runtime;
pub use verdict::{
    Acceptance, CreateRequest, Created, Creation, Denial, Denied, Reason, Rejection, Restrictions, Verdict,
};
