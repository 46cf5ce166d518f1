//! Signing in with a link, and signing out.
//!
//! A link works once. Programs that look at links before a person does, such as virus scanners of
//! mail, only follow them: the page has a button, and the form that it sends uses the link up.

use crate::config::{Config, LINK_MINUTES};
use crate::once;
use crate::request::{CLIENT, Call};
use crate::response::{self, Frame, Response};
use askama::Template;
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use keyward_audit::{Audit, Entry, Event};
use keyward_runtime::Error;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{Ticket, TicketKind, TokenStore};
use keyward_runtime::text::escape_untrusted;
use keyward_service::AuditedChange;

/// Creates a link that signs in `actor_id` on the pages, once, within [`LINK_MINUTES`].
///
/// # Errors
/// The store or the audit log fails, or there is no randomness.
pub async fn link(
    store: &dyn TokenStore,
    config: &Config,
    audit: Option<&Audit>,
    actor_id: &str,
    now: UnixTime,
) -> Result<String, Error> {
    let entry = Entry { actor: Some(actor_id.to_owned()), ..Entry::new(Event::SignInLink) };
    let change = AuditedChange::new(audit, entry).recorded().await?;
    let added = async {
        let secret = once::random()?;
        let ticket = once::ticket(TicketKind::Link, &secret, actor_id, now, now.later(LINK_MINUTES * 60));
        store.add_ticket(&ticket).await?;
        Ok(format!("{}/tokens/login/{secret}", config.url))
    };
    added.await.inspect_err(|error| change.failed(error))
}

/// Number of seconds by which the clock that a link was created with may be ahead.
const AHEAD: u64 = 60;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    secret: String,
    actor: String,
    hours: u64,
}

/// Responds to a request for a link.
pub(crate) async fn answer(call: &Call<'_>, secret: &str) -> Result<Response, Error> {
    let config = &call.pages.config;
    let link = call.store.find_ticket(TicketKind::Link, &once::digest(TicketKind::Link, secret), call.now).await?;
    // Links with a time of issue in the future would outlive a revocation.
    let link = link.filter(|link| link.issued_at <= call.now.later(AHEAD));
    let Some(link) = link else { return Ok(response::used_link(config)) };
    if call.host.registry.is_actor_revoked(&link.actor_id, link.issued_at)? {
        return Ok(response::used_link(config));
    }
    if call.is_post() {
        return sign_in(call, &link).await;
    }
    let hours = config.session_time.as_secs().div_ceil(3_600);
    let frame = Frame::public(config, "Sign in");
    let actor = escape_untrusted(&link.actor_id, 256);
    Ok(response::page(StatusCode::OK, &LoginPage { frame, secret: secret.to_owned(), actor, hours }))
}

/// Uses up a link, and signs in the browser with a new cookie, which replaces any earlier one.
async fn sign_in(call: &Call<'_>, link: &Ticket) -> Result<Response, Error> {
    let entry = Entry {
        request: Some(call.host.request_id.to_owned()),
        client: Some(CLIENT.to_owned()),
        actor: Some(call.host.registry.redact(&link.actor_id).into_owned()),
        ..Entry::new(Event::SignIn)
    };
    let change = AuditedChange::new(call.host.audit.map(|audit| &**audit), entry).recorded().await?;
    let seconds = call.pages.config.session_time.as_secs();
    let signed_in = async {
        if call.store.take_ticket(TicketKind::Link, &link.digest, call.now).await?.is_none() {
            return Ok(None);
        }
        let secret = once::random()?;
        // Issued with its link, so that it ends with whatever ends the link.
        let ends = call.now.later(seconds);
        let ticket = once::ticket(TicketKind::SignIn, &secret, &link.actor_id, link.issued_at.min(call.now), ends);
        call.store.add_ticket(&ticket).await?;
        Ok(Some(secret))
    };
    match signed_in.await {
        Ok(Some(secret)) => Ok(with_cookie(call, &secret, seconds)),
        // Another request was faster.
        Ok(None) => {
            change.denied("used");
            Ok(response::used_link(&call.pages.config))
        }
        Err(error) => {
            change.failed(&error);
            Err(error)
        }
    }
}

/// Signs out: the sign-in ends on every node.
pub(crate) async fn log_out(call: &Call<'_>) -> Result<Response, Error> {
    if let Some(secret) = call.cookie(call.pages.config.cookie_name()) {
        let digest = once::digest(TicketKind::SignIn, secret);
        call.store.take_ticket(TicketKind::SignIn, &digest, call.now).await?;
    }
    Ok(with_cookie(call, "", 0))
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
