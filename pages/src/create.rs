//! `/tokens/new`: the form of a new token, its review, and the token.

use crate::fields::{Actions, Choice, Draft, FieldError, Issuer, Place, Wanted, issuers, lifetimes};
use crate::list;
use crate::once;
use crate::person::Person;
use crate::request::{CLIENT, Call};
use crate::response::{self, Frame, Response};
use crate::words::{self, Moment, span};
use askama::Template;
use http::StatusCode;
use keyward_runtime::{CreateRequest, Created, Creation, Error, Restrictions};
use keyward_service::Operation;

#[derive(Template)]
#[template(path = "new.html")]
struct FormPage {
    frame: Frame,
    errors: Vec<FieldError>,
    /// The kinds of token, if there is more than one.
    handlers: Vec<Choice>,
    description: String,
    lifetimes: Vec<Choice>,
    days: String,
    is_restricted: bool,
    all: Actions,
    places: Vec<PlaceFields>,
    /// The rights of the session, if it is restricted.
    bound: Vec<String>,
}

struct PlaceFields {
    number: usize,
    database: String,
    resource: String,
    actions: Actions,
}

impl FormPage {
    fn errors_of(&self, field: &str) -> Vec<&str> {
        FieldError::of(&self.errors, field)
    }
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    /// The fields, hidden.
    fields: Vec<(String, String)>,
    /// The single-use value of the form.
    form: String,
    description: String,
    /// The kind of token, if there is more than one.
    handler: Option<String>,
    lifetime: Option<String>,
    rights: Vec<String>,
    error: Option<String>,
}

/// The only page that shows a new token.
#[derive(Template)]
#[template(path = "created.html")]
struct CreatedPage {
    frame: Frame,
    token: String,
    expires: Option<Moment>,
    rights: Vec<String>,
    path: Option<String>,
    /// A sentence about the token that it replaces.
    note: Option<String>,
}

/// Responds with the form, filled in from the query.
pub(crate) fn form(call: &Call<'_>, person: &Person) -> Result<Response, Error> {
    let issuers = issuers(call, person);
    let draft = Draft::read(&call.query(), &issuers);
    Ok(form_page(call, person, &issuers, draft, Vec::new()))
}

/// Responds to the form: with its review, with another place in it, or with the token.
pub(crate) async fn answer(call: &Call<'_>, person: &Person) -> Result<Response, Error> {
    let values = call.form();
    let issuers = issuers(call, person);
    let mut draft = Draft::read(&values, &issuers);
    let step = values.one("step");
    if step == "place" {
        draft.rights.add_place();
    }
    if step == "place" || step == "change" {
        return Ok(form_page(call, person, &issuers, draft, Vec::new()));
    }
    let wanted = match draft.checked(call, person, &issuers) {
        Ok(wanted) => wanted,
        Err(errors) => return Ok(form_page(call, person, &issuers, draft, errors)),
    };
    if step != "create" {
        return review(call, person, &issuers, &draft, &wanted, None);
    }
    if !once::is_first(call, &person.id, values.one("form")).await? {
        return Ok(response::sent_before(call, person));
    }
    match issue(call, person, &wanted).await? {
        Creation::Created(created) => Ok(show(call, person, &created, wanted.restrictions.as_ref(), None)),
        Creation::Denied(denied) => review(call, person, &issuers, &draft, &wanted, Some(words::text(&denied.message))),
    }
}

async fn issue(call: &Call<'_>, person: &Person, wanted: &Wanted) -> Result<Creation, Error> {
    let Wanted { handler, description, lifetime, restrictions } = wanted;
    let mut request = CreateRequest::new(&person.id).handler(handler).description(description).client(CLIENT);
    request.expires_after = *lifetime;
    request.restrictions.clone_from(restrictions);
    let operations = call.operations();
    call.counted(Operation::Create, handler, &person.id, operations.issue(request), |creation| match creation {
        Creation::Created(_) => "created",
        Creation::Denied(_) => "denied",
    })
    .await
}

/// Returns the form, with at least one place.
fn form_page(
    call: &Call<'_>,
    person: &Person,
    issuers: &[Issuer],
    mut draft: Draft,
    errors: Vec<FieldError>,
) -> Response {
    let registry = call.host.registry;
    if draft.rights.places.is_empty() {
        draft.rights.add_place();
    }
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let handler = |issuer: &Issuer| {
        let Issuer { name, .. } = issuer;
        Choice::new(name, words::name(name), *name == draft.handler)
    };
    let place = |(number, place): (usize, &Place)| PlaceFields {
        number,
        database: place.database.clone(),
        resource: place.resource.clone(),
        actions: Actions::new(call, format!("action{number}"), &place.actions),
    };
    let title = if errors.is_empty() { "Create a token" } else { "Error: create a token" };
    let page = FormPage {
        frame: Frame::new(call, person, title),
        errors,
        handlers: if issuers.len() > 1 { issuers.iter().map(handler).collect() } else { Vec::new() },
        lifetimes: lifetimes(issuers, &draft.lifetime),
        description: draft.description,
        days: draft.days,
        is_restricted: draft.is_restricted,
        all: Actions::new(call, "all".to_owned(), &draft.rights.all),
        places: draft.rights.places.iter().enumerate().map(place).collect(),
        bound: person.bound.as_ref().map(|bound| words::rights(registry, Some(bound))).unwrap_or_default(),
    };
    response::page(status, &page)
}

fn review(
    call: &Call<'_>,
    person: &Person,
    issuers: &[Issuer],
    draft: &Draft,
    wanted: &Wanted,
    error: Option<String>,
) -> Result<Response, Error> {
    let (status, title) = match error {
        None => (StatusCode::OK, "Review the token"),
        Some(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Error: the token was not created"),
    };
    let page = ReviewPage {
        frame: Frame::new(call, person, title),
        fields: draft.pairs(),
        form: once::form(call.now)?,
        description: words::text(&wanted.description),
        handler: (issuers.len() > 1).then(|| words::name(&wanted.handler)),
        lifetime: wanted.lifetime.map(|seconds| span(seconds.get().into())),
        rights: words::rights(call.host.registry, wanted.restrictions.as_ref()),
        error,
    };
    Ok(response::page(status, &page))
}

/// Responds with a new token. `note` is about the one that it replaces.
pub(crate) fn show(
    call: &Call<'_>,
    person: &Person,
    created: &Created,
    restrictions: Option<&Restrictions>,
    note: Option<String>,
) -> Response {
    let Created { handler, token, token_id, expires_at, .. } = created;
    let page = CreatedPage {
        frame: Frame::new(call, person, "Your new token"),
        token: token.clone(),
        expires: expires_at.map(|end| Moment::new(end, call.now)),
        rights: words::rights(call.host.registry, restrictions),
        path: token_id.as_ref().map(|id| list::path(call, handler, id)),
        note,
    };
    response::page(StatusCode::OK, &page)
}
