//! The person who is signed in. Only [`of`] creates a [`Person`].

use crate::config::SignIn;
use crate::once;
use crate::request::{Call, cookies};
use keyward_runtime::policy::is_actor_id;
use keyward_runtime::session::SessionRequest;
use keyward_runtime::store::TicketKind;
use keyward_runtime::{Error, Restrictions, Verdict};

/// A person who is signed in.
pub(crate) struct Person {
    /// The id of the actor.
    pub(crate) id: String,
    /// The restrictions of the session, which bound everything that the person does; `None` if
    /// there are none.
    pub(crate) bound: Option<Restrictions>,
    /// `true` if the person is signed in here, and may sign out.
    pub(crate) can_sign_out: bool,
}

/// The outcome of the question who has sent a request.
pub(crate) enum SignedIn {
    As(Person),
    No,
    /// Unknown, because of this error.
    Unclear(Error),
}

/// Returns the person who has sent a request.
pub(crate) async fn of(call: &Call<'_>) -> SignedIn {
    let found = match &call.pages.config.sign_in {
        SignIn::Session(handler) => by_session(call, handler).await,
        SignIn::Header { name, .. } => Ok(by_header(call, name)),
        SignIn::Link => by_cookie(call).await,
    };
    match found {
        Ok(Some(person)) => SignedIn::As(person),
        Ok(None) => SignedIn::No,
        Err(error) => SignedIn::Unclear(error),
    }
}

async fn by_session(call: &Call<'_>, handler: &str) -> Result<Option<Person>, Error> {
    let mut request = SessionRequest::new(call.request.method.as_str(), call.request.path);
    for (name, value) in cookies(call.request.headers) {
        request = request.cookie(name, value);
    }
    for (name, value) in call.request.headers {
        // A token does not sign in.
        let is_seen = name != http::header::COOKIE && name != http::header::AUTHORIZATION;
        if let Some(value) = value.to_str().ok().filter(|_| is_seen) {
            request = request.header(name.as_str(), value);
        }
    }
    let Verdict::Accepted(acceptance) = call.host.registry.identify(handler, &request).await? else { return Ok(None) };
    let id = acceptance.actor_ignoring_restrictions().id().and_then(|id| id.as_text().map(str::to_owned));
    Ok(id.map(|id| Person { id, bound: acceptance.restrictions, can_sign_out: false }))
}

/// Believes the header of a trusted proxy, if it occurs once and in one spelling: some servers
/// treat `X_User` as `X-User`, and a proxy may remove only one of them.
fn by_header(call: &Call<'_>, name: &str) -> Option<Person> {
    let SignIn::Header { proxies, .. } = &call.pages.config.sign_in else { return None };
    let is_trusted = call.host.peer.is_none_or(|peer| proxies.iter().any(|network| network.contains(&peer)));
    let spelled = |header: &str| header.replace('_', "-");
    let same = call.request.headers.keys().filter(|header| spelled(header.as_str()) == spelled(name)).count();
    let id = call.header(name).filter(|id| is_trusted && same == 1 && is_actor_id(id))?;
    Some(Person { id: id.to_owned(), bound: None, can_sign_out: false })
}

async fn by_cookie(call: &Call<'_>) -> Result<Option<Person>, Error> {
    let Some(secret) = call.cookie(call.pages.config.cookie_name()) else { return Ok(None) };
    let digest = once::digest(TicketKind::SignIn, secret);
    let Some(ticket) = call.store.find_ticket(TicketKind::SignIn, &digest, call.now).await? else { return Ok(None) };
    if call.host.registry.is_actor_revoked(&ticket.actor_id, ticket.issued_at)? {
        return Ok(None);
    }
    Ok(Some(Person { id: ticket.actor_id, bound: None, can_sign_out: true }))
}
