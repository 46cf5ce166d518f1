//! Session verdicts that are cached, and an API that is slow.

use crate::setup::{accepted, plain_request, runtime, signed, token};
use crate::stats::{at_most, median, nanos};
use keyward_runtime::http::{Forwards, HttpAdditions, HttpEndpoint, HttpFuture, HttpResponse};
use keyward_runtime::keys::Scheme;
use keyward_runtime::session::{SessionGrant, SessionRequest};
use keyward_runtime::{Actors, HandlerConfig, Registry};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The name of the handler.
pub(crate) const SITE: &str = "site";

const ROUNDS: usize = 101;
const CALLS: u32 = 2_000;

/// An API that knows every user, and responds after some time.
struct Api {
    delay: Duration,
}

impl HttpEndpoint for Api {
    fn timeout(&self) -> Duration {
        self.delay * 2
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
        Box::pin(async move {
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            let user = cookies.first().map_or("", |(_, value)| value);
            let body = format!(r#"{{"id":"user of {}","name":"Ann"}}"#, user.len()).into_bytes();
            Ok(HttpResponse { status: 200, content_type: None, body })
        })
    }
}

/// Returns a session handler over an API with this delay, which caches verdicts for `ttl`.
pub(crate) fn site(delay: Duration, ttl: Duration) -> HandlerConfig {
    let grant = SessionGrant { cookies: ["sid".to_owned()].into(), ttl, ..SessionGrant::default() };
    let mut config = HandlerConfig::new(SITE, keyward_handlers::SESSION, Actors::Any);
    config.limits.wall = delay * 4 + Duration::from_secs(1);
    config.http(SITE, Arc::new(Api { delay })).session(grant)
}

/// Returns the request of a browser with this session.
pub(crate) fn request(sid: &str) -> SessionRequest {
    let request = SessionRequest::new("GET", "/orders/2026")
        .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("accept-language", "en-GB,en;q=0.9,de;q=0.8")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-forwarded-proto", "https");
    request.cookie("theme", "dark").cookie("sid", sid).cookie("csrftoken", "0123456789abcdef0123456789abcdef")
}

/// Compares a cached session verdict with a cached verdict of a token.
pub(crate) fn run() {
    let mut tokens = signed(Scheme::HmacSha256);
    tokens.limits.verdict_cache_bytes = keyward_runtime::Limits::default().verdict_cache_bytes;
    let sessions = site(Duration::ZERO, Duration::from_secs(60));
    let registry = Registry::builder(&runtime()).handler(tokens).handler(sessions).build().unwrap();
    let token = token(&registry, plain_request());
    let request = request("0123456789abcdef0123456789abcdef");
    let (mut of_tokens, mut of_sessions) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let kept_token = nanos(CALLS, || accepted(registry.verify_blocking(&token)));
        let kept_session = nanos(CALLS, || accepted(registry.identify_blocking(SITE, &request)));
        if round > 0 {
            of_tokens.push(kept_token);
            of_sessions.push(kept_session);
        }
    }
    println!("| cached verdict of | ns |\n| --- | --- |");
    println!("| a token of {} bytes | {:.0} |", token.len(), median(of_tokens.iter().copied()));
    println!("| a session with six headers and three cookies | {:.0} |\n", median(of_sessions.iter().copied()));
    let ratios: Vec<f64> = of_sessions.iter().zip(&of_tokens).map(|(session, token)| session / token).collect();
    at_most("a cached session verdict, relative to one of a token", &ratios, 1.2);
}
