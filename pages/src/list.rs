//! `GET /tokens`: the tokens of a person.

use crate::fields::{Choice, issuers};
use crate::person::Person;
use crate::request::{CLIENT, Call, Values};
use crate::response::{self, Frame, Response};
use crate::words::{self, Moment};
use askama::Template;
use http::StatusCode;
use keyward_runtime::Error;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{Cursor, Filter, ListEntry, Record, Status};
use keyward_service::Operation;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Maximum number of tokens on a page.
const TOKENS: u32 = 25;

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    /// The statuses to choose from, each with its name.
    filters: Vec<Choice>,
    /// `true` if the list is not filtered and this is its first page.
    is_whole: bool,
    /// The query of the next page.
    next: Option<String>,
    can_create: bool,
}

/// A token in the list, or at the top of its own page.
pub(crate) struct Row {
    /// The path of the token's page.
    pub(crate) path: String,
    pub(crate) title: String,
    /// The prefix of the token, and the beginning of its id.
    pub(crate) hint: String,
    pub(crate) id: String,
    pub(crate) handler: String,
    pub(crate) status: &'static str,
    pub(crate) rights: Vec<String>,
    pub(crate) created: Moment,
    pub(crate) created_by: String,
    /// `None` if it was never used.
    pub(crate) used: Option<Moment>,
    /// `None` if it does not expire.
    pub(crate) expires: Option<Moment>,
    /// When it was revoked or replaced.
    pub(crate) ended: Option<Moment>,
    pub(crate) is_active: bool,
    /// `true` if it expires within a week.
    pub(crate) expires_soon: bool,
}

impl Row {
    pub(crate) fn new(call: &Call<'_>, handler: &str, record: &Record) -> Self {
        let registry = call.host.registry;
        // A clock that fails shows the token as it is stored.
        let status = registry.tokens().and_then(|tokens| tokens.status(handler, record));
        let status = status.unwrap_or_else(|_| record.status(call.now, None));
        let prefix = registry.prefixes(handler).and_then(<[String]>::first).map(String::as_str).unwrap_or_default();
        let beginning: String = record.id.chars().take(6).collect();
        let more = if record.id.chars().count() > 6 { "…" } else { "" };
        let moment = |at: UnixTime| Moment::new(at, call.now);
        let week = call.now.later(7 * 86_400);
        let is_active = status == Status::Active;
        Self {
            path: path(call, handler, &record.id),
            title: match record.description.as_deref().map(str::trim) {
                None | Some("") => "Token without a description".to_owned(),
                Some(description) => words::text(description),
            },
            hint: format!("{}… (id {}{more})", words::name(prefix), words::name(&beginning)),
            id: words::name(&record.id),
            handler: handler.to_owned(),
            status: status.name(),
            rights: words::rights(registry, record.restrictions.as_ref()),
            created: moment(record.issued_at),
            created_by: match record.client.as_deref() {
                None => "the operator".to_owned(),
                Some(CLIENT) => "you, on this page".to_owned(),
                Some(client) => format!("the application {}", words::name(client)),
            },
            used: record.last_used_at.map(moment),
            expires: record.expires_at.map(moment),
            ended: record.ended.map(|ended| moment(ended.at)),
            is_active,
            expires_soon: is_active && record.expires_at.is_some_and(|end| end < week),
        }
    }
}

/// Returns the path of the page of a token.
pub(crate) fn path(call: &Call<'_>, handler: &str, id: &str) -> String {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    format!("{}/tokens/of/{}/{}", call.pages.config.url.prefix(), encoded(handler), encoded(id))
}

/// Responds with a page of the list.
pub(crate) async fn list(call: &Call<'_>, person: &Person) -> Result<Response, Error> {
    let query = call.query();
    let status = Status::named(query.one("status"));
    let after = cursor(&query);
    let is_whole = status.is_none() && after.is_none();
    let filter = Filter { actor_id: Some(person.id.clone()), status, ..Filter::default() };
    let listed = async { call.host.registry.tokens()?.list(filter, after.as_ref(), TOKENS).await };
    let page = call.counted(Operation::List, "-", &person.id, listed, |_| "listed").await?;
    let is_full = u32::try_from(page.entries.len()).is_ok_and(|number| number >= TOKENS);
    let next = page.stopped_at.clone().or_else(|| page.entries.last().filter(|_| is_full).map(ListEntry::place));
    // The tokens of a handler that was removed have no page, and are not valid.
    let known = page.entries.iter().filter(|entry| call.host.registry.prefixes(&entry.handler).is_some());
    let rows = known.map(|ListEntry { handler, record }| Row::new(call, handler, record)).collect();
    let chosen = status.map_or("all", Status::name);
    let choice = |value: &str| Choice::new(value, value, value == chosen);
    let page = ListPage {
        frame: Frame::new(call, person, "Your API tokens"),
        rows,
        filters: ["all"].into_iter().chain(Status::ALL.map(Status::name)).map(choice).collect(),
        is_whole,
        next: next.map(|cursor| query_of(status, &cursor)),
        can_create: !issuers(call, person).is_empty(),
    };
    Ok(response::page(StatusCode::OK, &page))
}

/// Returns the position from the query of a next page; `None` if there is none.
fn cursor(query: &Values) -> Option<Cursor> {
    let issued_at = UnixTime::from_seconds(query.one("issued").parse().ok()?);
    let (handler, id) = (query.one("handler").to_owned(), query.one("id").to_owned());
    let is_text = !handler.contains('\0') && !id.contains('\0');
    is_text.then_some(Cursor { issued_at, handler, id })
}

fn query_of(status: Option<Status>, Cursor { issued_at, handler, id }: &Cursor) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(status) = status {
        query.append_pair("status", status.name());
    }
    query.append_pair("issued", &issued_at.seconds.to_string()).append_pair("handler", handler).append_pair("id", id);
    query.finish()
}
