//! `GET /v1/tokens`: lists tokens page by page.

use super::ENDPOINT;
use super::token::{KnownToken, TokenStatus};
use crate::client;
use crate::config::Right;
use crate::context::Context;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::error::{ApiError, ErrorBody, json};
use crate::visibility::{self, VisibleToken};
use axum::extract::{Extension, RawQuery};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::policy::{is_actor_id, is_token_id};
use keyward_runtime::store::{Cursor, Filter, ListEntry, ListPage, Status};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Default number of tokens on a page.
const LIMIT: u32 = 50;

/// Maximum number of tokens on a page.
const MOST: u32 = 1_000;

/// Size of a page in bytes at which it ends before its limit.
const PAGE_BYTES: usize = 1 << 20;

/// Maximum number of records that are read at once, so that the memory for a page is bounded by its
/// size.
const BATCH: u32 = 100;

/// The query parameters of the token list. All filters are combined with AND; unknown or repeated
/// parameters are rejected.
#[derive(Debug, Default, PartialEq, Eq, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Filters by the actor's id: at most the largest limit of a handler, 1,024 bytes by default.
    #[param(nullable = false, min_length = 1, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    actor: Option<String>,
    /// Filters by handler.
    #[param(nullable = false)]
    handler: Option<String>,
    /// Filters by status.
    #[param(nullable = false, value_type = Option<TokenStatus>)]
    status: Option<Status>,
    /// Filters for tokens that were neither used nor issued at this time or later, in unix seconds.
    #[param(nullable = false, minimum = 0, maximum = 253402300799_u64)]
    unused_since: Option<u64>,
    /// Filters for tokens that do not expire.
    #[param(value_type = Option<bool>, nullable = false)]
    never_ends: bool,
    /// The `next` of the previous page.
    #[param(value_type = Option<String>, nullable = false, min_length = 1)]
    cursor: Option<Cursor>,
    /// Maximum number of tokens on the page. Default: 50.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A page of tokens, newest first. A page of about a megabyte ends before its limit, and so does
/// one that few tokens match: it may be empty although others match.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// The tokens.
    #[schema(value_type = Vec<KnownToken>)]
    tokens: Vec<Box<RawValue>>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    next: Option<String>,
}

/// Lists the tokens that this client may see: its own, or all of its handlers.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "applications",
    params(Page),
    responses(
        (status = 200, body = Tokens, description = "A page of tokens"),
        (status = 404, body = ErrorBody, description = "There is no such handler, this client may not use it, or no store is configured")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn list(
    Extension(context): Extension<Context>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (context, live) = (&context, &context.live);
    let client = client::authorize(context, &ENDPOINT, &headers, None, &[Right::List])?;
    let page = Page::read(query.as_deref().unwrap_or_default())?;
    live.registry.tokens().map_err(|error| ApiError::of_records(&error))?;
    let Page { actor, handler, status, unused_since, never_ends, cursor, limit } = page;
    if let Some(actor) = &actor {
        live.registry.check_actor_id(actor).map_err(ApiError::InvalidRequest)?;
    }
    if handler
        .as_ref()
        .is_some_and(|name| !(client.config().handlers.contains(name) && live.digests.contains_key(name)))
    {
        return Err(ApiError::NoSuchHandler);
    }
    let _slot = client::list_slot(context, client)?;
    let its = visibility::filter(client, live, handler.as_deref());
    let filter = Filter {
        actor_id: actor.clone(),
        status,
        unused_since: unused_since.map(UnixTime::from_seconds),
        never_ends,
        ..its
    };
    let limit = limit.unwrap_or(LIMIT);
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    let (mut tokens, mut bytes, mut after) = (Vec::new(), 0_usize, cursor);
    let next = 'page: loop {
        let left = limit.saturating_sub(u32::try_from(tokens.len()).unwrap_or(u32::MAX));
        // Requests one more to find out whether there is another page.
        let max = left.min(BATCH).saturating_add(1);
        let ListPage { entries, stopped_at } =
            match decision::list(context, handler.as_deref(), filter.clone(), after.as_ref(), max).await {
                Ok(found) => found,
                Err(error) => {
                    decision_log::failed(context, asked, &error);
                    return Err(ApiError::of_records(&error));
                }
            };
        let has_more = entries.len() == usize::try_from(max).unwrap_or(usize::MAX);
        for entry in entries {
            if tokens.len() == usize::try_from(limit).unwrap_or(usize::MAX) || bytes >= PAGE_BYTES {
                break 'page after.as_ref().map(cursor_of);
            }
            after = Some(entry.place());
            let ListEntry { handler, record } = entry;
            // The filter excludes the records that the client may not see.
            let Ok(seen) = VisibleToken::by(client, handler, record) else { continue };
            let known = KnownToken::of(&seen, &live.registry).map_err(|_| ApiError::NoAnswer)?;
            let known = serde_json::value::to_raw_value(&known).map_err(|_| ApiError::NoAnswer)?;
            bytes = bytes.saturating_add(known.get().len());
            tokens.push(known);
        }
        if !has_more {
            break stopped_at.as_ref().map(cursor_of);
        }
    };
    decision_log::listed(context, asked, handler.as_deref(), actor.as_deref(), tokens.len());
    Ok(json(StatusCode::OK, &Tokens { tokens, next }))
}

impl Page {
    /// Parses a query. The errors name the parameter but never echo the query, which may contain a
    /// token.
    fn read(query: &str) -> Result<Self, ApiError> {
        let bad = |text| Err(ApiError::InvalidRequest(text));
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
                    "`actor` must be one actor's id, with a visible character and no control characters",
                )?,
                "handler" => put(&mut page.handler, Some(value.to_owned()), "`handler` must not be repeated")?,
                "status" => put(
                    &mut page.status,
                    Status::named(value),
                    "`status` must be one of `active`, `expired`, `revoked` or `replaced`, and not repeated",
                )?,
                "unused_since" => put(
                    &mut page.unused_since,
                    number(value).filter(|second| *second <= UnixTime::MAX_SECONDS),
                    "`unused_since` must be a time in unix seconds, and not repeated",
                )?,
                "never_ends" => put(
                    &mut never_ends,
                    match value {
                        "true" => Some(true),
                        "false" => Some(false),
                        _ => None,
                    },
                    "`never_ends` must be `true` or `false`, and not repeated",
                )?,
                "cursor" => put(
                    &mut page.cursor,
                    place_of(value),
                    "`cursor` must be the `next` of another page, and not repeated; omit it for the first page",
                )?,
                "limit" => put(
                    &mut page.limit,
                    number(value)
                        .and_then(|limit| u32::try_from(limit).ok())
                        .filter(|limit| (1..=MOST).contains(limit)),
                    "`limit` must be a number from 1 to 1000, and not repeated",
                )?,
                _ => {
                    return bad(
                        "Unknown parameter: use `actor`, `handler`, `status`, `unused_since`, `never_ends`, `cursor` or `limit`",
                    );
                }
            }
        }
        page.never_ends = never_ends.unwrap_or_default();
        Ok(page)
    }
}

/// Sets a parameter; rejects invalid values and duplicates.
fn put<T>(place: &mut Option<T>, value: Option<T>, wanted: &'static str) -> Result<(), ApiError> {
    if place.is_some() || value.is_none() {
        return Err(ApiError::InvalidRequest(wanted));
    }
    *place = value;
    Ok(())
}

/// Parses a number that consists of digits only.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Encodes a cursor for the client. It determines where the list continues, never what the client
/// may see.
fn cursor_of(place: &Cursor) -> String {
    let Cursor { issued_at, handler, id } = place;
    BASE64_URL_SAFE_NO_PAD.encode(format!("{} {handler} {id}", issued_at.seconds))
}

fn place_of(cursor: &str) -> Option<Cursor> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let mut parts = text.splitn(3, ' ');
    let issued_at = number(parts.next()?).filter(|second| *second <= UnixTime::MAX_SECONDS)?;
    let is_name = |name: &&str| (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    let handler = parts.next().filter(is_name)?.to_owned();
    let id = parts.next().filter(|id| is_token_id(id))?.to_owned();
    Some(Cursor { issued_at: UnixTime::from_seconds(issued_at), handler, id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn invalid_and_repeated_parameters_are_rejected() {
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
            ("Actor=a", "Unknown parameter"),
            ("secret", "Unknown parameter"),
        ] {
            match Page::read(query) {
                Err(ApiError::InvalidRequest(text)) => assert!(text.contains(named), "{query}: {text}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn invalid_cursors_are_rejected() {
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
        fn cursors_round_trip(issued_at in 0..=UnixTime::MAX_SECONDS, handler in "[A-Za-z0-9_-]{1,64}", id in "[!-~]([ -~]{0,254}[!-~])?") {
            let place = Cursor { issued_at: UnixTime::from_seconds(issued_at), handler, id };
            let cursor = cursor_of(&place);
            prop_assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert_eq!(place_of(&cursor), Some(place));
        }

        #[test]
        fn any_query_is_parsed_without_a_panic(query in "((actor|limit|cursor|status|never_ends|x)(=[a-z0-9%+]{0,8})?&?){0,5}|\\PC{0,40}") {
            let _ = Page::read(&query);
        }
    }
}
