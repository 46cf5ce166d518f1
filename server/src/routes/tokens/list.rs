//! `GET /v1/tokens`: the tokens that were made, page by page.

use super::one::{KnownToken, TokenStatus};
use crate::audit::{self, Asked};
use crate::caller;
use crate::config::Sees;
use crate::context::Context;
use crate::decision;
use crate::problem::{ErrorBody, Problem, json};
use crate::receive::LAST_SECOND;
use crate::seen::{self, Seen};
use axum::extract::{Extension, RawQuery};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Filter, Listed, Place, Status, is_actor_id, is_token_id};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

/// How many tokens stand on a page, unless it is said.
const LIMIT: u32 = 50;

/// How many may.
const MOST: u32 = 1_000;

/// Which tokens: those that fit all that is given. Each stands once, and no other may stand beside them.
#[derive(Debug, Default, PartialEq, Eq, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// For the actor with this id.
    #[param(nullable = false, min_length = 1, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    actor: Option<String>,
    /// Made by this handler.
    #[param(nullable = false)]
    handler: Option<String>,
    /// Of which this has become.
    #[param(nullable = false, value_type = Option<TokenStatus>)]
    status: Option<Status>,
    /// Not used and not made at this second or later, in unix seconds.
    #[param(nullable = false, minimum = 0, maximum = 253402300799_u64)]
    unused_since: Option<u64>,
    /// Only those that do not end by themselves.
    #[param(value_type = Option<bool>, nullable = false)]
    never_ends: bool,
    /// Where to go on: `next` of the page before.
    #[param(value_type = Option<String>, nullable = false, min_length = 1)]
    cursor: Option<Place>,
    /// How many at most; 50, unless it is given.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A page of tokens, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// The tokens.
    tokens: Vec<KnownToken>,
    /// The `cursor` of the next page; null behind the last token.
    #[schema(required)]
    next: Option<String>,
}

/// Which tokens were made? Those that this caller may see: its own, or all of its handlers'.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "applications",
    params(Page),
    responses(
        (status = 200, body = Tokens, description = "A page of them"),
        (status = 404, body = ErrorBody, description = "There is no such handler, this caller may not use it, or no store is configured")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn list(
    Extension(context): Extension<Context>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (context, live) = (&context, &context.live);
    let caller = caller::authorize(context, "tokens", &headers, None, |rights| rights.sees != Sees::Nothing)?;
    let page = Page::read(query.as_deref().unwrap_or_default())?;
    live.registry.records().map_err(|error| Problem::of_records(&error))?;
    let Page { actor, handler, status, unused_since, never_ends, cursor, limit } = page;
    if handler.as_ref().is_some_and(|name| !(caller.rights().handlers.include(name) && live.digests.contains_key(name)))
    {
        return Err(Problem::NoSuchHandler);
    }
    let its = seen::filter(caller, live, handler.as_deref());
    let filter = Filter { actor_id: actor.clone(), status, unused_since, never_ends, ..its };
    let limit = limit.unwrap_or(LIMIT);
    let asked = Asked { endpoint: "tokens", caller: Some(caller.id()), ..Asked::default() };
    // One more, to see whether there is one.
    let most = limit.saturating_add(1);
    let mut found = match decision::list(context, handler.as_deref(), filter, cursor.as_ref(), most).await {
        Ok(found) => found,
        Err(error) => {
            audit::failed(context, asked, &error);
            return Err(Problem::of_records(&error));
        }
    };
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > shown;
    found.truncate(shown);
    let next = found.last().filter(|_| has_more).map(|last| cursor_of(&last.place()));
    let seen = found.into_iter().filter_map(|Listed { handler, record }| Seen::by(caller, handler, record).ok());
    let tokens: Result<Vec<_>, _> = seen.map(|seen| KnownToken::of(&seen, &live.registry)).collect();
    let tokens = tokens.map_err(|_| Problem::NoAnswer)?;
    audit::listed(context, asked, handler.as_deref(), actor.as_deref(), tokens.len());
    Ok(json(StatusCode::OK, &Tokens { tokens, next }))
}

impl Page {
    /// Reads a query. What is wrong is named, and nothing of it is repeated: it may be a token.
    fn read(query: &str) -> Result<Self, Problem> {
        let bad = |text| Err(Problem::InvalidRequest(text));
        if percent_decode_str(query).decode_utf8().is_err() {
            return bad("The query is not UTF-8");
        }
        let mut page = Self::default();
        let mut never_ends = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = &*value;
            match &*name {
                "actor" => put(
                    &mut page.actor,
                    is_actor_id(value).then(|| value.to_owned()),
                    "`actor` stands once, and is an actor's id: a visible character and no control characters",
                )?,
                "handler" => put(&mut page.handler, Some(value.to_owned()), "`handler` stands once")?,
                "status" => put(
                    &mut page.status,
                    Status::named(value),
                    "`status` stands once, and is `active`, `expired`, `revoked` or `replaced`",
                )?,
                "unused_since" => put(
                    &mut page.unused_since,
                    number(value).filter(|second| *second <= LAST_SECOND),
                    "`unused_since` stands once, and is a time in unix seconds",
                )?,
                "never_ends" => put(
                    &mut never_ends,
                    match value {
                        "true" => Some(true),
                        "false" => Some(false),
                        _ => None,
                    },
                    "`never_ends` stands once, and is `true` or `false`",
                )?,
                "cursor" => put(
                    &mut page.cursor,
                    place_of(value),
                    "`cursor` stands once, and is what `next` of another page was: begin without it",
                )?,
                "limit" => put(
                    &mut page.limit,
                    number(value)
                        .and_then(|limit| u32::try_from(limit).ok())
                        .filter(|limit| (1..=MOST).contains(limit)),
                    "`limit` stands once, and is a number from 1 to 1000",
                )?,
                _ => {
                    return bad(
                        "A parameter is none of `actor`, `handler`, `status`, `unused_since`, `never_ends`, `cursor`, `limit`",
                    );
                }
            }
        }
        page.never_ends = never_ends.unwrap_or_default();
        Ok(page)
    }
}

/// Takes a value that is one, the first time.
fn put<T>(place: &mut Option<T>, value: Option<T>, wanted: &'static str) -> Result<(), Problem> {
    if place.is_some() || value.is_none() {
        return Err(Problem::InvalidRequest(wanted));
    }
    *place = value;
    Ok(())
}

/// Digits, and nothing else.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A place as a client carries it about. It says where to go on, never what may be seen.
fn cursor_of(place: &Place) -> String {
    let Place { issued_at, handler, id } = place;
    BASE64_URL_SAFE_NO_PAD.encode(format!("{issued_at} {handler} {id}"))
}

fn place_of(cursor: &str) -> Option<Place> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let mut parts = text.splitn(3, ' ');
    let issued_at = number(parts.next()?).filter(|second| *second <= LAST_SECOND)?;
    let is_name = |name: &&str| (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    let handler = parts.next().filter(is_name)?.to_owned();
    let id = parts.next().filter(|id| is_token_id(id))?.to_owned();
    Some(Place { issued_at, handler, id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_parameter_stands_once_and_is_what_it_says() {
        let all = "actor=a%20b%2Bc+%C3%A9&handler=h&status=revoked&unused_since=7&never_ends=true&limit=1000";
        let wanted = Page {
            actor: Some("a b+c é".to_owned()),
            handler: Some("h".to_owned()),
            status: Some(Status::Revoked),
            unused_since: Some(7),
            never_ends: true,
            cursor: None,
            limit: Some(1_000),
        };
        assert_eq!(Page::read(all), Ok(wanted));
        for nothing in ["", "&", "never_ends=false"] {
            assert_eq!(Page::read(nothing), Ok(Page::default()), "{nothing:?}");
        }
        for (query, named) in [
            ("actor=", "`actor`"),
            ("actor=a&actor=a", "`actor`"),
            ("actor=a%00", "`actor`"),
            ("handler=a&handler=b", "`handler`"),
            ("status=Active", "`status`"),
            ("status=", "`status`"),
            ("unused_since=-1", "`unused_since`"),
            ("unused_since=%2B1", "`unused_since`"),
            ("unused_since=1767225600000", "`unused_since`"),
            ("unused_since=99999999999999999999", "`unused_since`"),
            ("never_ends", "`never_ends`"),
            ("never_ends=1", "`never_ends`"),
            ("never_ends=false&never_ends=true", "`never_ends`"),
            ("limit=0", "`limit`"),
            ("limit=1001", "`limit`"),
            ("limit=", "`limit`"),
            ("limit=5&limit=5", "`limit`"),
            ("cursor=", "`cursor`"),
            ("cursor=x", "`cursor`"),
            ("actor=%FF", "not UTF-8"),
            ("Actor=a", "none of"),
            ("secret", "none of"),
        ] {
            match Page::read(query) {
                Err(Problem::InvalidRequest(text)) => assert!(text.contains(named), "{query}: {text}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_place_is_no_cursor() {
        let bad =
            ["", "1 h", "1 h ", "1  x", "x h i", "-1 h i", "253402300800 h i", "1 h \u{e9}", "1 h a\0", "1 h\n i"];
        for text in bad {
            assert_eq!(place_of(&BASE64_URL_SAFE_NO_PAD.encode(text)), None, "{text:?}");
        }
        let long = format!("1 h {}", "x".repeat(257));
        assert_eq!(place_of(&BASE64_URL_SAFE_NO_PAD.encode(long)), None);
    }

    proptest! {
        #[test]
        fn a_place_reads_back(issued_at in 0..=LAST_SECOND, handler in "[A-Za-z0-9_-]{1,64}", id in "[!-~]([ -~]{0,254}[!-~])?") {
            let place = Place { issued_at, handler, id };
            let cursor = cursor_of(&place);
            prop_assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert_eq!(place_of(&cursor), Some(place));
        }

        #[test]
        fn any_query_is_a_page_or_a_problem(query in "((actor|limit|cursor|status|never_ends|x)(=[a-z0-9%+]{0,8})?&?){0,5}|\\PC{0,40}") {
            let _ = Page::read(&query);
        }
    }
}
