//! Web pages on which people see, create, rotate, narrow and revoke their own tokens.
//!
//! [`Pages`] answers requests whose path begins with `/tokens` below the path of [`Config::url`]. A
//! server passes it each such request with its [`Host`]: the registry, the audit log and the
//! address of the client. `keyward-server` does so if its configuration has pages.
//!
//! # Security
//!
//! * Who is signed in is decided in one place, and every page needs it. A bearer token never
//!   signs in.
//! * Tokens of another actor are not found: the status, the page and the work are those of an id
//!   that does not exist.
//! * A secret is part of exactly one response, which is not stored. A form that was sent once does
//!   nothing the second time, on any node.
//! * Requests that another site caused change nothing: `Sec-Fetch-Site` or `Origin` must show that
//!   a form is from these pages, whatever the cookie.
//! * Text of clients, handlers and people is escaped, and control and direction characters are made
//!   visible.

mod config;
mod create;
mod fields;
mod list;
mod login;
mod once;
mod origin;
mod person;
mod request;
mod response;
mod token;
mod words;

pub use config::{Config, InvalidUrl, LINK_MINUTES, SignIn, Url};
pub use login::link;
pub use request::{CLIENT, Host, Request};
pub use response::Response;

use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::Method;
use person::SignedIn;
use request::Call;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Instant;

/// Maximum number of forms that a person sends in a minute, and at once.
const FORMS: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

type Limiter = RateLimiter<String, HashMapStateStore<String>, MonotonicClock, NoOpMiddleware<Instant>>;

/// The pages of one configuration.
pub struct Pages {
    config: Config,
    forms: Limiter,
}

impl Pages {
    /// Creates the pages of a configuration.
    pub fn new(config: Config) -> Self {
        let quota = Quota::per_minute(FORMS);
        Self { config, forms: RateLimiter::hashmap_with_clock(quota, MonotonicClock) }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns whether a path is one of the pages.
    pub fn contain(&self, path: &str) -> bool {
        self.within(path).is_some()
    }

    /// Responds to a request whose path is one of the pages.
    pub async fn answer(&self, host: Host<'_>, request: Request<'_>) -> Response {
        let path = self.within(request.path).unwrap_or_default();
        let call = match Call::new(self, host, request) {
            Ok(call) => call,
            Err(error) => return response::unavailable(&self.config, &error),
        };
        if let Some(asset) = response::asset(path) {
            return asset;
        }
        if call.is_post() && !origin::is_same(&call) {
            return response::cross_site(&self.config);
        }
        if let Some(secret) = path.strip_prefix("/login/") {
            return login::answer(&call, secret).await;
        }
        let person = match person::of(&call).await {
            SignedIn::As(person) => person,
            SignedIn::No if origin::may_have_lost_cookies(&call) => return response::reload(&call),
            SignedIn::No => return response::not_signed_in(&self.config),
            SignedIn::Unclear(error) => return response::unavailable(&self.config, &error),
        };
        if call.is_post() && self.is_too_fast(&person.id) {
            return response::too_fast(&self.config);
        }
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (call.request.method, parts.as_slice()) {
            (&Method::GET, []) => list::list(&call, &person).await,
            (&Method::GET, ["new"]) => create::form(&call, &person),
            (&Method::POST, ["new"]) => create::answer(&call, &person).await,
            (&Method::POST, ["logout"]) => login::log_out(&call).await,
            (_, ["of", handler, id, rest @ ..]) => token::answer(&call, &person, (handler, id), rest).await,
            _ => response::not_found(&call, &person),
        }
    }

    /// Returns the part of a path after `/tokens`, empty or beginning with a slash.
    fn within<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.config.url.prefix())?.strip_prefix("/tokens")?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// Counts a form of a person, and returns whether there were too many.
    fn is_too_fast(&self, person: &str) -> bool {
        /// Number of people above which those that sent nothing lately are forgotten.
        const PEOPLE: usize = 4_096;
        if self.forms.len() > PEOPLE {
            self.forms.retain_recent();
        }
        self.forms.check_key(&person.to_owned()).is_err()
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("config", &self.config).finish_non_exhaustive()
    }
}
