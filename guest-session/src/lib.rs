//! The user that a site already knows: asks the site's API who the cookies of a request belong to,
//! as datasette-auth-existing-cookies does.
//!
//! ```toml
//! [endpoints.site]
//! url = "https://www.example/api/user"
//! cookies = ["sessionid"]                 # which the host adds to the request
//!
//! [[handlers]]
//! name = "site"
//! component = "builtin:session"
//! actors = ["user:*"]                     # required: the API may name any actor
//! http.site = "site"
//! session.cookies = ["sessionid"]
//! limits.wall_ms = 250
//! ```
//!
//! The label is `site`. A request without one of the cookies in `session.cookies`, or with empty
//! ones only, costs no request to the API. With the setting `anonymous = true` the API is asked
//! nevertheless.
//!
//! # Verdicts
//!
//! | response | verdict |
//! | --- | --- |
//! | 200 with a JSON object | the actor |
//! | 200 with `{}`, `null` or `[]`; 401, 403, 404 | `not-mine`: there is no such user |
//! | 200 with other JSON, or no JSON; any other status; no response | a failure: cannot tell |
//!
//! # Differences from datasette-auth-existing-cookies
//!
//! * **A failure of the API is a failure** (503), for requests with its cookies only. In the plugin
//!   it is an internal error for each request, or, for a status such as 500 or 429, an anonymous
//!   user.
//! * **The actor passes the handler's `actors`.** The plugin trusts `{"id": "root"}`. A member `_r`
//!   is an error.
//! * **JSON that is not an object is no actor**, such as `[1]` or `"x"`.
//! * **A redirect is an error**, which the operator sees: the URL should be the final one.
//! * **Without a cookie, there is no request.** The plugin sends one for each request, and with an
//!   empty list of names all cookies.

#[cfg(test)]
mod tests;

use keyward_sdk::http::{self, HttpError, Response};
use keyward_sdk::{Acceptance, Failure, SessionHandler, SessionRequest, Verdict, settings};
use serde_json::Value;

/// The handler for users of a site.
#[derive(Debug)]
pub struct Session;

keyward_sdk::session_handler!(Session, settings: ["anonymous: bool"]);

const LABEL: &str = "site";

impl SessionHandler for Session {
    fn identify(request: SessionRequest) -> Result<Verdict, Failure> {
        let has_cookie = request.cookies.iter().any(|(_, value)| !value.is_empty());
        if !has_cookie && settings::get("anonymous").as_deref() != Some("true") {
            return Ok(Verdict::NotMine);
        }
        let Response { status, body, .. } = http::send(LABEL, &[]).map_err(failure)?;
        match status {
            200 => actor(body),
            401 | 403 | 404 => Ok(Verdict::NotMine),
            status => Err(Failure::Unavailable(format!("the API responded with the status {status}"))),
        }
    }
}

/// Returns the verdict on the body of a response with the status 200.
fn actor(body: Vec<u8>) -> Result<Verdict, Failure> {
    let json: Value = serde_json::from_slice(&body)
        .map_err(|_| Failure::Unavailable("the API did not respond with JSON".to_owned()))?;
    match json {
        Value::Object(members) if members.is_empty() => Ok(Verdict::NotMine),
        Value::Null => Ok(Verdict::NotMine),
        Value::Array(items) if items.is_empty() => Ok(Verdict::NotMine),
        Value::Object(_) => {
            // The text itself, so that the host sees names that occur twice.
            let actor = String::from_utf8(body)
                .map_err(|_| Failure::Unavailable("the API did not respond with UTF-8".to_owned()))?;
            let (restrictions, token_id, issued_at, expires_at) = (None, None, None, None);
            Ok(Verdict::Accepted(Acceptance { actor, restrictions, token_id, issued_at, expires_at }))
        }
        _ => Err(Failure::Unavailable("the API responded with JSON that is not an object".to_owned())),
    }
}

fn failure(error: HttpError) -> Failure {
    match error {
        HttpError::NotGranted => {
            Failure::Internal(format!("the endpoint `{LABEL}` is not granted: add `http.{LABEL}`"))
        }
        HttpError::WrongParameter => Failure::Internal("the endpoint refuses a request without parameters".to_owned()),
        HttpError::TooLarge => Failure::Unavailable("the response of the API is too large".to_owned()),
        HttpError::Timeout => Failure::Unavailable("the API did not respond in time".to_owned()),
        HttpError::Refused => Failure::Unavailable("the API redirects, or its address is not allowed".to_owned()),
        HttpError::Unavailable => Failure::Unavailable("the API is not available".to_owned()),
    }
}
