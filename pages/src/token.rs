//! `/tokens/of/HANDLER/ID`: a token of a person, and what can be done with it.

use crate::create;
use crate::fields::{Actions, Draft, check_description, digits};
use crate::list::{self, Row};
use crate::once;
use crate::person::Person;
use crate::request::{Call, Values};
use crate::response::{self, Frame, Response};
use crate::words::{self, Moment, span};
use askama::Template;
use http::{Method, StatusCode};
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::store::{Record, Revocation};
use keyward_runtime::token::TokenId;
use keyward_runtime::{Creation, Error, Restrictions};
use keyward_service::{Named, Operation};
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// Times for which a replaced token stays valid, in seconds.
const OVERLAPS: [u64; 5] = [0, 300, 3_600, 86_400, 604_800];

/// Times in which a token can be made to expire, in seconds.
const SHORTER: [u64; 4] = [3_600, 86_400, 604_800, 2_592_000];

#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    frame: Frame,
    row: Row,
    description: String,
    /// `true` if its terms can be changed, and it can be rotated.
    can_change: bool,
    /// Times before its expiry, each with its seconds.
    shorter: Vec<(u64, String)>,
    overlaps: Vec<(u64, String)>,
    /// Its rights one by one, each with its place in the list.
    entries: Vec<(usize, String)>,
    /// The actions to choose from on everything, and on a database or resource, if it has all
    /// rights.
    actions: Option<[Actions; 2]>,
    /// The value that makes each form one that works once.
    form: String,
    error: Option<String>,
    done: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "revoke.html")]
struct RevokePage {
    frame: Frame,
    row: Row,
    /// Number of other tokens that are revoked, because they were requested with this one.
    others: u64,
    form: String,
}

/// A record of a person's own token. Only [`find`] creates one.
struct Own {
    token: TokenId,
    record: Record,
}

/// Returns the record of a token, if it is one of the person's. The work for others is the same.
async fn find(call: &Call<'_>, person: &Person, handler: &str, id: &str) -> Result<Option<Own>, Error> {
    let decoded = |text| percent_decode_str(text).decode_utf8().unwrap_or_default().into_owned();
    let token = TokenId::new(decoded(handler), decoded(id));
    if token.handler.contains('\0') || token.id.contains('\0') {
        return Ok(None);
    }
    // Not through the registry, which tells unknown handlers apart.
    let found = async { Ok(call.store.find(&token.handler, &token.id).await?) };
    let found = call
        .counted(Operation::Find, "-", &person.id, found, |found| if found.is_some() { "found" } else { "unknown" })
        .await?;
    let record = found.map(|stored| stored.record).filter(|record| record.actor_id == person.id);
    let is_known = call.host.registry.handlers().any(|known| known.name == token.handler);
    Ok(record.filter(|_| is_known).map(|record| Own { token, record }))
}

/// Responds to a request about a token. `rest` is the path after its id.
pub(crate) async fn answer(call: &Call<'_>, person: &Person, (handler, id): (&str, &str), rest: &[&str]) -> Response {
    let own = match find(call, person, handler, id).await {
        Ok(Some(own)) => own,
        Ok(None) => return response::not_found(call, person),
        Err(error) => return response::unavailable(&call.pages.config, &error),
    };
    let answered = match (call.request.method, rest) {
        (&Method::GET, []) => show(call, person, &own, StatusCode::OK, None),
        (&Method::GET, ["revoke"]) => confirm(call, person, &own).await,
        (&Method::POST, ["edit" | "rotate" | "revoke"]) => {
            let values = call.form();
            match once::is_first(call, &person.id, values.one("form")).await {
                Ok(true) => match rest {
                    ["edit"] => edit(call, person, own, &values).await,
                    ["rotate"] => rotate(call, person, &own, &values).await,
                    _ => revoke(call, person, &own).await,
                },
                Ok(false) => Ok(response::sent_before(call, person)),
                Err(error) => Err(error),
            }
        }
        _ => Ok(response::not_found(call, person)),
    };
    answered.unwrap_or_else(|error| response::unavailable(&call.pages.config, &error))
}

fn show(
    call: &Call<'_>,
    person: &Person,
    Own { token, record }: &Own,
    status: StatusCode,
    error: Option<String>,
) -> Result<Response, Error> {
    let registry = call.host.registry;
    let row = Row::new(call, &token.handler, record);
    let is_before = |seconds: &u64| record.expires_at.is_none_or(|end| call.now.later(*seconds) < end);
    let time = |seconds: u64| (seconds, span(seconds));
    let overlap =
        |seconds: u64| (seconds, if seconds == 0 { "at once".to_owned() } else { format!("in {}", span(seconds)) });
    let done = match call.query().one("done") {
        "edited" => Some("The token is changed."),
        "revoked" => Some("The token is revoked: it is no longer valid."),
        _ => None,
    };
    let page = TokenPage {
        frame: Frame::new(call, person, row.title.clone()),
        description: shown(record),
        can_change: row.is_active && registry.keeps_records(&token.handler),
        shorter: SHORTER.into_iter().filter(is_before).map(time).collect(),
        overlaps: OVERLAPS.map(overlap).into(),
        actions: record
            .restrictions
            .is_none()
            .then(|| ["all", "action0"].map(|field| Actions::new(call, field.to_owned(), &[]))),
        entries: record.restrictions.iter().flat_map(|all| entries(call, all)).enumerate().collect(),
        form: once::form(call.now)?,
        row,
        error,
        done: done.filter(|_| !call.is_post()),
    };
    Ok(response::page(status, &page))
}

/// Returns the description of a token as its page shows it.
fn shown(record: &Record) -> String {
    record.description.as_deref().map(words::text).unwrap_or_default()
}

/// Returns the entries of restrictions in words, in their order.
fn entries(call: &Call<'_>, restrictions: &Restrictions) -> Vec<String> {
    let entry = |(action, database, resource): (&str, Option<&str>, Option<&str>)| {
        words::rights(call.host.registry, Some(&alone(action, database, resource))).concat()
    };
    restrictions.iter().map(entry).collect()
}

fn alone(action: &str, database: Option<&str>, resource: Option<&str>) -> Restrictions {
    add(Restrictions::new(), action, database, resource)
}

fn add(to: Restrictions, action: &str, database: Option<&str>, resource: Option<&str>) -> Restrictions {
    match (database, resource) {
        (None, _) => to.allow_all(action),
        (Some(database), None) => to.allow_database(database, action),
        (Some(database), Some(resource)) => to.allow_resource(database, resource, action),
    }
}

/// Changes the description, shortens the lifetime, or leaves out rights.
async fn edit(call: &Call<'_>, person: &Person, own: Own, values: &Values) -> Result<Response, Error> {
    let mut update = TokenUpdate::default();
    let description = values.one("description").trim();
    if values.has("description") && description != shown(&own.record) {
        if let Err(text) = check_description(description) {
            return show(call, person, &own, StatusCode::UNPROCESSABLE_ENTITY, Some(text.to_owned()));
        }
        update.description = Some(Some(description.to_owned()));
    }
    if let Some(seconds) = digits(values.one("expires")) {
        update.expires_at = Some(call.now.later(seconds.into()));
    }
    if let Some(restrictions) = own.record.restrictions.as_ref().filter(|_| values.has("narrow")) {
        let is_kept = |place: usize| values.all("keep").any(|kept| kept == place.to_string());
        let kept = restrictions.iter().enumerate().filter(|(place, _)| is_kept(*place));
        let kept = kept
            .fold(Restrictions::new(), |all, (_, (action, database, resource))| add(all, action, database, resource));
        if kept.iter().next().is_none() {
            let text = "Keep at least one right, or revoke the token.".to_owned();
            return show(call, person, &own, StatusCode::UNPROCESSABLE_ENTITY, Some(text));
        }
        update.restrictions = Some(kept);
    }
    let draft = Draft::read(values, &[]);
    if own.record.restrictions.is_none() && draft.is_restricted {
        match draft.restrictions() {
            Ok(restrictions) => update.restrictions = Some(restrictions),
            Err(errors) => {
                let text = errors.into_iter().map(|error| error.text).collect::<Vec<_>>().join(" ");
                return show(call, person, &own, StatusCode::UNPROCESSABLE_ENTITY, Some(text));
            }
        }
    }
    let Own { token, record } = &own;
    let operations = call.operations();
    let edited = operations.edit(token, Some(&record.actor_id), update);
    let edited = call.counted(Operation::Edit, &token.handler, &person.id, edited, |edited| match edited {
        UpdateOutcome::Done(_) => "edited",
        UpdateOutcome::Denied(_) => "denied",
        UpdateOutcome::Unknown => "unknown",
    });
    match edited.await? {
        UpdateOutcome::Done(_) => Ok(done(call, &own, "edited")),
        UpdateOutcome::Denied(denied) => {
            show(call, person, &own, StatusCode::UNPROCESSABLE_ENTITY, Some(words::text(&denied.message)))
        }
        UpdateOutcome::Unknown => Ok(response::not_found(call, person)),
    }
}

/// Issues a token in the place of another one.
async fn rotate(call: &Call<'_>, person: &Person, own: &Own, values: &Values) -> Result<Response, Error> {
    let Own { token, record } = own;
    let overlap = values.one("overlap").parse().ok().filter(|overlap| OVERLAPS.contains(overlap)).unwrap_or(0);
    let restrictions = record.restrictions.as_ref();
    if !call.host.registry.is_covered(restrictions, person.bound.as_ref()) {
        let text = "You are signed in with fewer rights than this token has, so you cannot renew it.".to_owned();
        return show(call, person, own, StatusCode::UNPROCESSABLE_ENTITY, Some(text));
    }
    let operations = call.operations();
    let rotated = operations.rotate(token, Some(&record.actor_id), Duration::from_secs(overlap));
    let rotated = call.counted(Operation::Rotate, &token.handler, &person.id, rotated, |rotated| match rotated {
        Some(Creation::Created(_)) => "rotated",
        Some(Creation::Denied(_)) => "denied",
        None => "unknown",
    });
    match rotated.await? {
        Some(Creation::Created(created)) => {
            let end = Moment::new(call.now.later(overlap), call.now);
            let note = match overlap {
                0 => "The token that it replaces is no longer valid.".to_owned(),
                _ => format!("The token that it replaces is valid until {}.", end.full),
            };
            Ok(create::show(call, person, &created, restrictions, Some(note)))
        }
        Some(Creation::Denied(denied)) => {
            show(call, person, own, StatusCode::UNPROCESSABLE_ENTITY, Some(words::text(&denied.message)))
        }
        None => Ok(response::not_found(call, person)),
    }
}

/// Asks whether to revoke a token, and says what that does.
async fn confirm(call: &Call<'_>, person: &Person, own: &Own) -> Result<Response, Error> {
    let Own { token, record } = own;
    let covered = call.host.registry.revocations()?.count(Revocation::from(token.clone())).await?;
    let row = Row::new(call, &token.handler, record);
    let page = RevokePage {
        frame: Frame::new(call, person, "Revoke a token"),
        others: covered.saturating_sub(u64::from(row.is_active)),
        row,
        form: once::form(call.now)?,
    };
    Ok(response::page(StatusCode::OK, &page))
}

async fn revoke(call: &Call<'_>, person: &Person, own: &Own) -> Result<Response, Error> {
    let Own { token, record } = own;
    let named = Named { actor: Some(&record.actor_id), token_id: Some(&token.id), note: None };
    let operations = call.operations();
    let revoked = operations.revoke(Revocation::from(token.clone()), named);
    call.counted(Operation::Revoke, &token.handler, &person.id, revoked, |_| "revoked").await?;
    Ok(done(call, own, "revoked"))
}

/// Redirects to the page of a token after a change.
fn done(call: &Call<'_>, own: &Own, what: &str) -> Response {
    response::see_other(&format!("{}?done={what}", list::path(call, &own.token.handler, &own.token.id)))
}
