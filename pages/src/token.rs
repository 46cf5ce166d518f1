//! `/tokens/of/HANDLER/ID`: a token of a person, and what can be done with it.

use crate::create;
use crate::fields::{Actions, Choice, Entry, FieldError, Rights, allow, check_description, digits, is_offered};
use crate::list::{self, Row};
use crate::once;
use crate::person::Person;
use crate::request::{Call, Values};
use crate::response::{self, Frame, Response};
use crate::words::{self, Moment, span};
use askama::Template;
use http::{Method, StatusCode};
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::store::{Record, Revocation, Status};
use keyward_runtime::token::TokenId;
use keyward_runtime::{Creation, Error, Restrictions};
use keyward_service::{Named, Operation};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::collections::HashSet;
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
    /// `true` if its terms can be changed.
    can_change: bool,
    can_renew: bool,
    /// Times before its expiry, in seconds.
    shorter: Vec<Choice>,
    /// Times for which it can stay valid after it is renewed, in seconds.
    overlaps: Vec<Choice>,
    /// Its rights one by one, each with its value in the form.
    entries: Vec<(String, String)>,
    /// The actions to choose from on everything, and on a database or resource, if it has all
    /// rights.
    actions: Option<[Actions; 2]>,
    /// The single-use value of each form.
    form: String,
    errors: Vec<FieldError>,
    done: Option<&'static str>,
}

impl TokenPage {
    fn errors_of(&self, field: &str) -> Vec<&str> {
        FieldError::of(&self.errors, field)
    }
}

#[derive(Template)]
#[template(path = "revoke.html")]
struct RevokePage {
    frame: Frame,
    row: Row,
    /// Number of other tokens that are revoked, because they were requested with this one.
    others: u64,
}

/// A record of a person's own token. Only [`find`] creates one.
struct Own {
    token: TokenId,
    record: Record,
}

/// Returns the record of a token, if it is one of the person's. The lookups for other tokens are
/// the same, so that their time reveals nothing.
async fn find(call: &Call<'_>, person: &Person, handler: &str, id: &str) -> Result<Option<Own>, Error> {
    let decoded = |text| percent_decode_str(text).decode_utf8().unwrap_or_default().into_owned();
    let token = TokenId::new(decoded(handler), decoded(id));
    // Not through the registry, which tells unknown handlers apart.
    let found = async { Ok(call.store.find(&token.handler, &token.id).await?) };
    let found = call
        .counted(Operation::Find, "-", &person.id, found, |found| if found.is_some() { "found" } else { "unknown" })
        .await?;
    let record = found.map(|stored| stored.record).filter(|record| record.actor_id == person.id);
    let is_known = call.host.registry.prefixes(&token.handler).is_some();
    Ok(record.filter(|_| is_known).map(|record| Own { token, record }))
}

/// Responds to a request about a token. `rest` is the path after its id.
pub(crate) async fn answer(
    call: &Call<'_>,
    person: &Person,
    (handler, id): (&str, &str),
    rest: &[&str],
) -> Result<Response, Error> {
    let Some(own) = find(call, person, handler, id).await? else { return Ok(response::not_found(call, person)) };
    match (call.request.method, rest) {
        (&Method::GET, []) => show(call, person, &own, Vec::new()),
        (&Method::GET, ["revoke"]) => confirm(call, person, &own).await,
        // Works as often as it is sent, and while the store cannot keep what was sent.
        (&Method::POST, ["revoke"]) => revoke(call, person, &own).await,
        (&Method::POST, [step @ ("edit" | "rotate")]) => {
            let values = call.form();
            if !once::is_first(call, &person.id, values.one("form")).await? {
                return Ok(response::sent_before(call, person));
            }
            if *step == "edit" {
                edit(call, person, own, &values).await
            } else {
                rotate(call, person, &own, &values).await
            }
        }
        _ => Ok(response::not_found(call, person)),
    }
}

/// Responds with the page of a token, and the errors of a form on it.
fn show(
    call: &Call<'_>,
    person: &Person,
    Own { token, record }: &Own,
    errors: Vec<FieldError>,
) -> Result<Response, Error> {
    let registry = call.host.registry;
    let row = Row::new(call, &token.handler, record);
    let is_before = |seconds: &u64| record.expires_at.is_none_or(|end| call.now.later(*seconds) < end);
    let choice = |seconds: u64, label: String| Choice::new(seconds.to_string(), label, false);
    let time = |seconds: u64| choice(seconds, format!("in {}", span(seconds)));
    let overlap = |seconds: u64| if seconds == 0 { choice(0, "at once".to_owned()) } else { time(seconds) };
    let can_change = row.is_active && registry.keeps_records(&token.handler);
    let done = match call.query().one("done") {
        "edited" => Some("The token is changed."),
        "revoked" => Some("The token is revoked: it is no longer valid."),
        _ => None,
    };
    let (status, title) = match errors.as_slice() {
        [] => (StatusCode::OK, row.title.clone()),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, format!("Error: {}", row.title)),
    };
    let page = TokenPage {
        frame: Frame::new(call, person, title),
        description: shown(record),
        can_change,
        can_renew: can_change && is_offered(call, &token.handler),
        shorter: SHORTER.into_iter().filter(is_before).map(time).collect(),
        overlaps: OVERLAPS.map(overlap).into(),
        actions: record
            .restrictions
            .is_none()
            .then(|| ["all", "action0"].map(|field| Actions::new(call, field.to_owned(), &[]))),
        entries: record.restrictions.iter().flat_map(|all| entries(call, all)).collect(),
        form: once::form(call.now)?,
        row,
        errors,
        done: done.filter(|_| !call.is_post()),
    };
    Ok(response::page(status, &page))
}

/// Returns the description of a token as its page shows it.
fn shown(record: &Record) -> String {
    record.description.as_deref().map(words::text).unwrap_or_default()
}

/// Returns the entries of restrictions in their order, each with its value in a form, and in words.
fn entries(call: &Call<'_>, restrictions: &Restrictions) -> Vec<(String, String)> {
    let words = |entry| words::rights(call.host.registry, Some(&allow(Restrictions::new(), entry))).concat();
    restrictions.iter().map(|entry| (field_value(entry), words(entry))).collect()
}

/// Returns the value of an entry in a form: its parts, percent-encoded. Its place in the list would
/// name another one if the token was changed after the form was made.
fn field_value((action, database, resource): Entry<'_>) -> String {
    let parts = [Some(action), database, resource].into_iter().flatten();
    parts.map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()).collect::<Vec<_>>().join("/")
}

/// Changes the description, shortens the lifetime, or leaves out rights.
async fn edit(call: &Call<'_>, person: &Person, own: Own, values: &Values) -> Result<Response, Error> {
    let mut update = TokenUpdate::default();
    let description = values.one("description").trim();
    if values.has("description") && description != shown(&own.record).trim() {
        if let Err(text) = check_description(description) {
            return show(call, person, &own, vec![FieldError::new("description", text)]);
        }
        update.description = Some(Some(description.to_owned()));
    }
    if let Some(seconds) = digits(values.one("expires")) {
        update.expires_at = Some(call.now.later(seconds.into()));
    }
    if let Some(restrictions) = own.record.restrictions.as_ref().filter(|_| values.has("narrow")) {
        let keep: HashSet<_> = values.all("keep").collect();
        let kept = restrictions.iter().filter(|entry| keep.contains(field_value(*entry).as_str()));
        let kept = kept.fold(Restrictions::new(), allow);
        if kept.iter().next().is_none() {
            let error = FieldError::new("keep", "Keep at least one right, or revoke the token.");
            return show(call, person, &own, vec![error]);
        }
        update.restrictions = Some(kept);
    }
    // Of a token that was restricted since, these may only be a part of its rights.
    let rights = Rights::read(values);
    if !values.has("narrow") && !rights.is_empty() {
        match rights.restrictions() {
            Ok(restrictions) => update.restrictions = Some(restrictions),
            Err(errors) => return show(call, person, &own, errors),
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
            show(call, person, &own, vec![FieldError::of_form(words::text(&denied.message))])
        }
        UpdateOutcome::Unknown => Ok(response::not_found(call, person)),
    }
}

/// Issues a token in the place of another one.
async fn rotate(call: &Call<'_>, person: &Person, own: &Own, values: &Values) -> Result<Response, Error> {
    let Own { token, record } = own;
    let overlap = values.one("overlap").parse().ok().filter(|overlap| OVERLAPS.contains(overlap)).unwrap_or(0);
    let restrictions = record.restrictions.as_ref();
    if !is_offered(call, &token.handler) {
        let error = FieldError::of_form("Tokens of this kind cannot be renewed here.");
        return show(call, person, own, vec![error]);
    }
    if !call.host.registry.is_covered(restrictions, person.bound.as_ref()) {
        let text = "You are signed in with fewer rights than this token has, so you cannot renew it.";
        return show(call, person, own, vec![FieldError::of_form(text)]);
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
            show(call, person, own, vec![FieldError::of_form(words::text(&denied.message))])
        }
        None => Ok(response::not_found(call, person)),
    }
}

/// Asks whether to revoke a token, and says what that does.
async fn confirm(call: &Call<'_>, person: &Person, own: &Own) -> Result<Response, Error> {
    let Own { token, record } = own;
    let covered = call.host.registry.revocations()?.count(Revocation::from(token.clone())).await?;
    // The count includes tokens that are not valid because they are idle.
    let is_counted = record.status(call.now, None) == Status::Active;
    let page = RevokePage {
        frame: Frame::new(call, person, "Revoke a token"),
        others: covered.saturating_sub(u64::from(is_counted)),
        row: Row::new(call, &token.handler, record),
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
