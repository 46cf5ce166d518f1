//! `GET /tokens`: the tokens of a person.

use crate::fields::{Choice, digits, issuers};
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

/// Numbers of days without a use to choose from.
const UNUSED: [u32; 3] = [30, 90, 365];

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    filters: Vec<ListFilter>,
    /// `true` if the list is not filtered and this is its first page.
    is_whole: bool,
    /// The query of the next page.
    next: Option<String>,
    can_create: bool,
}

/// A choice of the tokens that are listed.
struct ListFilter {
    name: &'static str,
    label: &'static str,
    choices: Vec<Choice>,
}

impl ListFilter {
    /// Creates a filter with an empty value for all tokens.
    fn new(
        name: &'static str,
        label: &'static str,
        values: impl Iterator<Item = (String, String)>,
        chosen: Option<String>,
    ) -> Self {
        let chosen = chosen.unwrap_or_default();
        let values = [(String::new(), "all".to_owned())].into_iter().chain(values);
        let choices = values.map(|(value, label)| {
            let is_chosen = value == chosen;
            Choice::new(value, label, is_chosen)
        });
        Self { name, label, choices: choices.collect() }
    }
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

/// The choices of a person in a list.
struct Chosen {
    status: Option<Status>,
    /// Number of days without a use.
    unused_days: Option<u32>,
    /// The handler of the tokens.
    kind: Option<String>,
}

impl Chosen {
    /// Reads the choices in a query. `kinds` are the handlers to choose from.
    fn read(query: &Values, kinds: &[String]) -> Self {
        let unused_days = digits(query.one("unused")).filter(|days| UNUSED.contains(days));
        let kind = kinds.iter().find(|kind| *kind == query.one("kind")).cloned();
        Self { status: Status::named(query.one("status")), unused_days, kind }
    }

    fn is_any(&self) -> bool {
        let Self { status, unused_days, kind } = self;
        status.is_none() && unused_days.is_none() && kind.is_none()
    }

    fn filter(&self, person: &Person, kinds: &[String], now: UnixTime) -> Filter {
        let Self { status, unused_days, kind } = self;
        // The tokens of a handler that was removed have no page, and are not valid.
        let handlers = kind.as_ref().map_or_else(|| kinds.to_vec(), |kind| vec![kind.clone()]);
        let days_ago = |days: &u32| UnixTime::from_seconds(now.seconds.saturating_sub(u64::from(*days) * 86_400));
        Filter {
            actor_id: Some(person.id.clone()),
            handlers: Some(handlers),
            status: *status,
            unused_since: unused_days.as_ref().map(days_ago),
            ..Filter::default()
        }
    }

    /// Returns the filters of the page, with what is chosen.
    fn filters(&self, kinds: &[String]) -> Vec<ListFilter> {
        let Self { status, unused_days, kind } = self;
        let statuses = Status::ALL.into_iter().map(|status| (status.name().to_owned(), status.name().to_owned()));
        let times = UNUSED.into_iter().map(|days| (days.to_string(), format!("not for {days} days")));
        let names = kinds.iter().map(|kind| (kind.clone(), words::name(kind)));
        let mut filters = vec![
            ListFilter::new("status", "Status", statuses, status.map(|status| status.name().to_owned())),
            ListFilter::new("unused", "Used", times, unused_days.map(|days| days.to_string())),
        ];
        if kinds.len() > 1 {
            filters.push(ListFilter::new("kind", "Kind", names, kind.clone()));
        }
        filters
    }

    /// Returns the query of the page after a position.
    fn query_after(&self, Cursor { issued_at, handler, id }: &Cursor) -> String {
        let Self { status, unused_days, kind } = self;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(status.map(|status| ("status", status.name())));
        query.extend_pairs(unused_days.map(|days| ("unused", days.to_string())));
        query.extend_pairs(kind.as_ref().map(|kind| ("kind", kind)));
        query.append_pair("issued", &issued_at.seconds.to_string());
        query.append_pair("handler", handler).append_pair("id", id).finish()
    }
}

/// Responds with a page of the list.
pub(crate) async fn list(call: &Call<'_>, person: &Person) -> Result<Response, Error> {
    let (query, registry) = (call.query(), call.host.registry);
    let handlers = registry.handlers().filter(|handler| handler.component.handles_tokens());
    let kinds: Vec<_> = handlers.map(|handler| handler.name.to_owned()).collect();
    let chosen = Chosen::read(&query, &kinds);
    let after = cursor(&query);
    let listed = async {
        let filter = chosen.filter(person, &kinds, call.now);
        registry.tokens()?.list(filter, after.as_ref(), TOKENS).await
    };
    let page = call.counted(Operation::List, "-", &person.id, listed, |_| "listed").await?;
    let is_full = u32::try_from(page.entries.len()).is_ok_and(|number| number >= TOKENS);
    let next = page.stopped_at.clone().or_else(|| page.entries.last().filter(|_| is_full).map(ListEntry::place));
    let page = ListPage {
        frame: Frame::new(call, person, "Your API tokens"),
        rows: page.entries.iter().map(|ListEntry { handler, record }| Row::new(call, handler, record)).collect(),
        filters: chosen.filters(&kinds),
        is_whole: chosen.is_any() && after.is_none(),
        next: next.map(|cursor| chosen.query_after(&cursor)),
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
