//! Web pages on which people see, create, rotate, narrow and revoke their own tokens.
//!
//! [`Pages`] answers requests whose path begins with `/tokens` below the path of [`Config::url`]. A
//! server passes it each such request with its [`Host`]: the registry, the audit log and the
//! address of the client. `keyward-server` does so if its configuration has pages.
//!
//! # Security
//!
//! * The signed-in person is determined in one place, which every page calls. A bearer token never
//!   signs in.
//! * Tokens of another actor are not found: the status, the page and the work are those of an id
//!   that does not exist.
//! * A secret is part of exactly one response, which is not stored. A form that was sent once does
//!   nothing the second time, on any node, except that of a revocation, which changes nothing then.
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
pub use response::{NotSignedIn, Response};

use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::Method;
use keyward_runtime::Error;
use request::Call;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Instant;

/// Maximum number of forms that a person sends in a minute, and at once.
const FORMS: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

/// Maximum number of pages that a person loads in a minute, and at once.
const LOADS: NonZeroU32 = NonZeroU32::MIN.saturating_add(599);

type Limiter = RateLimiter<String, HashMapStateStore<String>, MonotonicClock, NoOpMiddleware<Instant>>;

/// The pages of one configuration.
pub struct Pages {
    config: Config,
    forms: Limiter,
    loads: Limiter,
}

impl Pages {
    /// Creates the pages of a configuration.
    pub fn new(config: Config) -> Self {
        let limiter = |number| RateLimiter::hashmap_with_clock(Quota::per_minute(number), MonotonicClock);
        Self { config, forms: limiter(FORMS), loads: limiter(LOADS) }
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
        if let Some(asset) = response::asset(path) {
            return asset;
        }
        let page = self.page(path, host, request).await;
        page.unwrap_or_else(|error| response::unavailable(&self.config, &error))
    }

    /// Responds with the page at a path below `/tokens`.
    async fn page(&self, path: &str, host: Host<'_>, request: Request<'_>) -> Result<Response, Error> {
        let call = Call::new(self, host, request)?;
        if ![Method::GET, Method::POST].contains(call.request.method) {
            return Ok(response::wrong_method(&self.config));
        }
        if call.is_post() && !origin::is_same(&call) {
            return Ok(response::cross_site(&self.config));
        }
        if let Some(secret) = path.strip_prefix("/login/") {
            return login::answer(&call, secret).await;
        }
        let Some(person) = person::of(&call).await? else {
            let may_reload = origin::may_have_lost_cookies(&call);
            return Ok(if may_reload { response::reload(&call) } else { response::not_signed_in(&self.config) });
        };
        if is_too_fast(if call.is_post() { &self.forms } else { &self.loads }, &person.id) {
            return Ok(response::too_fast(&self.config));
        }
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (call.request.method, parts.as_slice()) {
            (&Method::GET, []) => list::list(&call, &person).await,
            (&Method::GET, ["new"]) => create::form(&call, &person),
            (&Method::POST, ["new"]) => create::answer(&call, &person).await,
            (&Method::POST, ["logout"]) => login::log_out(&call).await,
            (_, ["of", handler, id, rest @ ..]) => token::answer(&call, &person, (handler, id), rest).await,
            _ => Ok(response::not_found(&call, &person)),
        }
    }

    /// Returns the part of a path after `/tokens`, empty or beginning with a slash.
    fn within<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.config.url.prefix())?.strip_prefix("/tokens")?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// Counts a request of a person, and returns whether there were too many.
fn is_too_fast(requests: &Limiter, person: &str) -> bool {
    /// Number of people above which those that sent nothing lately are forgotten.
    const PEOPLE: usize = 4_096;
    if requests.len() > PEOPLE {
        requests.retain_recent();
    }
    requests.check_key(&person.to_owned()).is_err()
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("config", &self.config).finish_non_exhaustive()
    }
}
