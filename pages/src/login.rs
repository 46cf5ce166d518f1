//! Signing in with a link, and signing out.
//!
//! A link works once. Programs that look at links before a person does, such as virus scanners of
//! mail, only follow them: the page has a button, and the form that it sends uses the link up.

use crate::config::{Config, LINK_MINUTES};
use crate::once;
use crate::request::Call;
use crate::response::{self, Frame, Response};
use askama::Template;
use http::header::SET_COOKIE;
use http::{HeaderValue, Method, StatusCode};
use keyward_runtime::Error;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{StoreError, Ticket, TicketKind, TokenStore};
use keyward_runtime::text::escape_untrusted;

/// Creates a link that signs in `actor_id` on the pages, once, within [`LINK_MINUTES`].
///
/// # Errors
/// The store fails, or there is no randomness.
pub async fn link(
    store: &dyn TokenStore,
    config: &Config,
    actor_id: &str,
    now: UnixTime,
) -> Result<String, StoreError> {
    let secret = once::random()?;
    once::add(store, TicketKind::Link, &secret, actor_id, now, LINK_MINUTES * 60).await?;
    Ok(format!("{}/tokens/login/{secret}", config.url))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    secret: String,
    actor: String,
    hours: u64,
}

/// Responds to a request for a link.
pub(crate) async fn answer(call: &Call<'_>, secret: &str) -> Response {
    let digest = once::digest(TicketKind::Link, secret);
    let found = match *call.request.method {
        Method::GET => call.store.find_ticket(TicketKind::Link, &digest, call.now).await,
        Method::POST => call.store.take_ticket(TicketKind::Link, &digest, call.now).await,
        _ => Ok(None),
    };
    let is_revoked = |ticket: &Ticket| call.host.registry.is_actor_revoked(&ticket.actor_id, ticket.issued_at);
    let ticket = match found.map_err(Error::from) {
        Ok(Some(ticket)) => is_revoked(&ticket).map(|is_revoked| Some(ticket).filter(|_| !is_revoked)),
        other => other,
    };
    let config = &call.pages.config;
    match ticket {
        Err(error) => response::unavailable(config, &error),
        Ok(None) => response::used_link(config),
        Ok(Some(ticket)) if !call.is_post() => {
            let hours = config.session_time.as_secs().div_ceil(3_600);
            let frame = Frame::public(config, "Sign in");
            let actor = escape_untrusted(&ticket.actor_id, 256);
            response::page(StatusCode::OK, &LoginPage { frame, secret: secret.to_owned(), actor, hours })
        }
        Ok(Some(ticket)) => {
            signed_in(call, &ticket).await.unwrap_or_else(|error| response::unavailable(config, &error))
        }
    }
}

/// Signs in the browser with a new cookie: one that it had before is of no use.
async fn signed_in(call: &Call<'_>, ticket: &Ticket) -> Result<Response, Error> {
    let secret = once::random()?;
    let seconds = call.pages.config.session_time.as_secs();
    once::add(call.store, TicketKind::SignIn, &secret, &ticket.actor_id, call.now, seconds).await?;
    Ok(with_cookie(call, &secret, seconds))
}

/// Signs out: the sign-in ends on every node.
pub(crate) async fn log_out(call: &Call<'_>) -> Response {
    if let Some(secret) = call.cookie(call.pages.config.cookie_name()) {
        let digest = once::digest(TicketKind::SignIn, secret);
        if let Err(error) = call.store.take_ticket(TicketKind::SignIn, &digest, call.now).await {
            return response::unavailable(&call.pages.config, &error.into());
        }
    }
    with_cookie(call, "", 0)
}

/// Returns a redirection to the list that sets the cookie, for `seconds`.
fn with_cookie(call: &Call<'_>, value: &str, seconds: u64) -> Response {
    let config = &call.pages.config;
    let mut response = response::see_other(&format!("{}/tokens", config.url.prefix()));
    let secure = if config.url.is_https() { "; Secure" } else { "" };
    let cookie =
        format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", config.cookie_name());
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
