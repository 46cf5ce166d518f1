//! Requests that pages of other sites cause.
//!
//! Browsers say in `Sec-Fetch-Site` which site caused a request, but only over `https` and to
//! localhost. `Origin` is part of every form that is sent with `POST`.

use crate::request::Call;

/// The parameter that marks a page which has reloaded itself.
pub(crate) const AGAIN: &str = "again";

/// Returns whether one of these pages caused a request, or the person without any page. A request
/// that does not show it, as of programs and very old browsers, counts as one of another site.
pub(crate) fn is_same(call: &Call<'_>) -> bool {
    match call.header("sec-fetch-site") {
        Some(site) => ["same-origin", "none"].contains(&site),
        None if call.request.headers.contains_key("sec-fetch-site") => false,
        None => call.header("origin").is_some_and(|origin| {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            let is_own = |own: &str| authority.is_some_and(|authority| authority.eq_ignore_ascii_case(own));
            is_own(call.pages.config.url.authority()) || call.header("host").is_some_and(is_own)
        }),
    }
}

/// Returns whether the browser may have left out cookies with `SameSite=Strict`, because a link of
/// another site led here. A page that reloads itself gets them.
pub(crate) fn may_have_lost_cookies(call: &Call<'_>) -> bool {
    !call.is_post()
        && !call.query().has(AGAIN)
        && call.header("sec-fetch-site").is_none_or(|site| !["same-origin", "none"].contains(&site))
}
