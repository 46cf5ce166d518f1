//! The person who is signed in. Only [`of`] creates a [`Person`].

use crate::config::SignIn;
use crate::once;
use crate::request::Call;
use ipnet::IpNet;
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

/// Returns the person who has sent a request; `None` if no one is signed in.
///
/// # Errors
/// The store or the session handler gives no answer.
pub(crate) async fn of(call: &Call<'_>) -> Result<Option<Person>, Error> {
    match &call.pages.config.sign_in {
        SignIn::Session(handler) => by_session(call, handler).await,
        SignIn::Header { name, proxies } => Ok(by_header(call, name, proxies)),
        SignIn::Link => by_cookie(call).await,
    }
}

async fn by_session(call: &Call<'_>, handler: &str) -> Result<Option<Person>, Error> {
    let mut request = SessionRequest::new(call.request.method.as_str(), call.request.path);
    for (name, value) in call.request.headers {
        // A token does not sign in.
        if name != http::header::AUTHORIZATION {
            request = request.received(name.as_str(), value.as_bytes());
        }
    }
    let Verdict::Accepted(acceptance) = call.host.registry.identify(handler, &request).await? else { return Ok(None) };
    let id = acceptance.actor_ignoring_restrictions().id().and_then(|id| id.as_text().map(str::to_owned));
    Ok(id.map(|id| Person { id, bound: acceptance.restrictions, can_sign_out: false }))
}

/// Returns the person named in the header of a trusted proxy, if it occurs once and in one
/// spelling: some servers treat `X_User` as `X-User`, and a proxy may remove only one of them.
fn by_header(call: &Call<'_>, name: &str, proxies: &[IpNet]) -> Option<Person> {
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
