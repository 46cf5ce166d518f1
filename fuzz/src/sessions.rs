//! Users of a site: random responses of its API, through `builtin:session` and the host.

use crate::boundary::RUNTIME;
use keyward_runtime::http::{Forwards, HttpAdditions, HttpEndpoint, HttpFuture, HttpResponse};
use keyward_runtime::session::{SessionGrant, SessionRequest};
use keyward_runtime::{Actors, HandlerConfig, Registry, Verdict};
use serde_json::Value;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

const COOKIE: &str = "user-0123456789-of-a-cookie";

/// An API as a function from the cookie `sid` to the status and the body of its response.
pub(crate) struct Site<F>(pub(crate) F);

impl<F: Fn(&str) -> (u16, Vec<u8>) + Send + Sync + 'static> HttpEndpoint for Site<F> {
    fn timeout(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn parameters(&self) -> &[String] {
        &[]
    }

    fn forwards(&self) -> &Forwards {
        static SID: LazyLock<Forwards> =
            LazyLock::new(|| Forwards { cookies: vec!["sid".to_owned()], ..Forwards::default() });
        &SID
    }

    fn send(&self, HttpAdditions { cookies, .. }: HttpAdditions) -> HttpFuture<'_> {
        let cookie = cookies.first().map_or("", |(_, value)| value);
        let (status, body) = self.0(cookie);
        Box::pin(async move { Ok(HttpResponse { status, content_type: None, body }) })
    }
}

/// Grants the cookie `sid`.
pub(crate) fn sid() -> SessionGrant {
    SessionGrant { cookies: ["sid".to_owned()].into(), ..SessionGrant::default() }
}

/// The response of the API to the next request.
static RESPONSE: Mutex<(u16, Vec<u8>)> = Mutex::new((500, Vec::new()));

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let site = Arc::new(Site(|_: &str| RESPONSE.lock().unwrap().clone()));
    let actors = Actors::matching(["user-*"]).unwrap();
    let mut config = HandlerConfig::new("site", keyward_handlers::SESSION.component().to_vec(), actors);
    config.limits.wall = Duration::from_secs(60);
    config.limits.cpu = Duration::from_secs(10);
    Registry::builder(&RUNTIME).handler(config.http("site", site).session(sid())).build().unwrap()
});

/// Lets the API respond with these bytes: the status as two bytes, and the body.
///
/// An actor is exactly the object of a response with the status 200, with a permitted id, and each
/// response that is not about a user is a failure. No id and no message has the cookie.
pub fn sessions(data: &[u8]) {
    let _ = identify(data);
}

/// Returns the word for the verdict.
fn identify(data: &[u8]) -> Option<&'static str> {
    // One response at a time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (status, body) = data.split_first_chunk::<2>()?;
    let status = u16::from_be_bytes(*status);
    *RESPONSE.lock().unwrap() = (status, body.to_vec());
    let request = SessionRequest::new("GET", "/").cookie("sid", COOKIE);
    let verdict = REGISTRY.identify_blocking("site", &request);
    let json = serde_json::from_slice::<Value>(body).ok();
    let is_empty = json.as_ref().is_some_and(|json| match json {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    });
    let no_user = matches!(status, 401 | 403 | 404) || (status == 200 && is_empty);
    match verdict {
        Ok(Verdict::Accepted(acceptance)) => {
            let actor = acceptance.actor_ignoring_restrictions();
            assert_eq!(status, 200);
            let seen: Value = serde_json::from_str(actor.json()).unwrap();
            let id = seen["id"].as_str().unwrap();
            // Ids are written to logs and headers.
            assert!(id.starts_with("user-") && !id.contains(COOKIE) && seen.get("_r").is_none());
            assert_eq!(Some(seen), json);
            Some("accepted")
        }
        Ok(Verdict::NotMine) => {
            assert!(no_user, "{status}");
            Some("not-mine")
        }
        Ok(Verdict::Rejected(rejection)) => {
            assert!(status == 200 && json.is_some_and(|json| json.is_object()), "{status}");
            assert_eq!(rejection.reason.as_str(), "not-permitted");
            assert!(!rejection.message.contains(COOKIE));
            Some("rejected")
        }
        Err(error) => {
            assert!(!no_user, "{status}: {error}");
            assert!(["unavailable", "bad-result"].contains(&error.code()), "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
            assert!(!error.to_string().contains(COOKIE));
            Some("failed")
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let bodies: [&[u8]; 14] = [
        br#"{"id":"user-1","name":"Ann"}"#,
        br#" {"name":{"first":["A",null,1.5e3]},"id":"user-\u00e9"} "#,
        br#"{"id":"root"}"#,
        br#"{"id":7}"#,
        br#"{"id":"user-1","_r":{"a":[]}}"#,
        br#"{"id":"user-1","id":"user-2"}"#,
        br#"{"id":"user-0123456789-of-a-cookie"}"#,
        b"{}",
        b" null",
        b"[ ]",
        b"[1]",
        b"\"x\"",
        b"<html>",
        b"{\"id\":\"user-\xff\"}",
    ];
    let of = |status: u16| move |body: &[u8]| [&status.to_be_bytes(), body].concat();
    let others = [0, 201, 204, 301, 302, 401, 403, 404, 429, 500, 503, 999].map(|status| of(status)(bodies[0]));
    bodies.into_iter().map(of(200)).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_have_every_verdict() {
        let seen: Vec<_> = seeds().iter().filter_map(|seed| identify(seed)).collect();
        for (verdict, number) in [("accepted", 2), ("not-mine", 6), ("rejected", 2), ("failed", 16)] {
            assert_eq!(seen.iter().filter(|word| **word == verdict).count(), number, "{verdict}: {seen:?}");
        }
    }
}
