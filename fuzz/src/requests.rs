//! The daemon's connections: random bytes as everything that a client sends before it closes.

use crate::boundary::RUNTIME;
use crate::sessions::{Site, sid};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::{Actors, HandlerConfig, Permission, Registry};
use keyward_server::{Client, Config, PathPattern, Policy, Right, SecretDigest, Service, SessionAccess, serve_stream};
use keyward_tests::hostile;
use keyward_tests::http::Request;
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// The only valid token, and the actor that it speaks for.
const GOOD: &str = "token-of-bot-0123456789-0123456789";
const BOT: &str = "bot";

/// The only valid cookie of the site, which speaks for the same actor.
const COOKIE: &str = "cookie-of-bot-0123456789-0123456789";

/// The secret of the only client.
const SECRET: &str = "secret-of-app-0123456789-0123456789";

/// Every status of the daemon, and those of the HTTP library itself: 100, 414, 431 and 400 without
/// a body.
const STATUSES: [u16; 17] = [100, 200, 201, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 421, 429, 431, 503];

/// Sends the bytes on a connection as a client.
///
/// The daemon returns complete HTTP/1 responses, each with a known status and its required headers.
/// No request passes without the valid token or cookie among the bytes, whichever its handler
/// judges, and no response reveals anything about either without the client's secret among them.
/// None of the three is ever sent back.
pub fn requests(data: &[u8]) {
    let answered = ask(data);
    let [token, cookie, secret] = [GOOD, COOKIE, SECRET].map(|text| holds(data, text));
    assert!([GOOD, COOKIE, SECRET].iter().all(|text| !contains(&answered, text.as_bytes())));
    let has = |credential| match credential {
        Credential::Token => token,
        Credential::Cookie => cookie,
    };
    let mut rest = &answered[..];
    while let Some((answer, behind)) = Answer::read(rest) {
        answer.check(behind.is_empty());
        match answer.says() {
            Says::Nothing => {}
            Says::VerdictToClient { accepted } => assert!(secret && accepted.is_none_or(has), "{answer:?}"),
            Says::Identity(credential) => assert!(has(credential), "{answer:?}"),
            Says::Created => assert!(secret, "{answer:?}"),
        }
        rest = behind;
    }
    assert!(rest.is_empty(), "incomplete response: {:?}", String::from_utf8_lossy(rest));
}

/// Returns the daemon's responses.
fn ask(data: &[u8]) -> Vec<u8> {
    thread_local! {
        static EXECUTOR: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    }
    EXECUTOR.with(|executor| {
        executor.block_on(async {
            let (client, server) = duplex(16 << 10);
            let (mut read, mut write) = tokio::io::split(client);
            let mut answered = Vec::new();
            let send = async {
                // The daemon may close before it has read everything.
                let _ = write.write_all(data).await;
                let _ = write.shutdown().await;
            };
            let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let done = async {
                tokio::join!(serve_stream(server, peer, SERVICE.clone()), send, read.read_to_end(&mut answered))
            };
            let ((), (), all) = tokio::time::timeout(Duration::from_secs(60), done).await.unwrap();
            all.unwrap();
            answered
        })
    })
}

/// A response.
#[derive(Debug)]
struct Answer<'a> {
    status: u16,
    headers: Vec<(String, &'a str)>,
    body: &'a [u8],
    /// The declared length of the body, which a response to `HEAD` does not send.
    length: usize,
}

/// The information that a response reveals.
enum Says {
    /// None, or public information.
    Nothing,
    /// The validity of a token or a cookie, and if it is valid, its kind and its actor.
    VerdictToClient { accepted: Option<Credential> },
    /// The actor, to its bearer.
    Identity(Credential),
    /// A token.
    Created,
}

/// The kind of a credential.
#[derive(Debug, Clone, Copy)]
enum Credential {
    Token,
    Cookie,
}

impl Credential {
    /// Returns the kind that a handler judges.
    fn of(handler: Option<&str>) -> Self {
        if handler == Some("site") { Self::Cookie } else { Self::Token }
    }
}

impl<'a> Answer<'a> {
    /// Parses the first response in `bytes`, and returns it with the remaining bytes.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let headers = lines.map(|line| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value)));
        let mut answer = Self { status, headers: headers.collect::<Option<_>>()?, body: b"", length: 0 };
        answer.length = answer.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
        let rest = &bytes[end + 4..];
        // No body starts like a response, so this response is to `HEAD`.
        if rest.is_empty() || rest.starts_with(b"HTTP/1.") {
            return Some((answer, rest));
        }
        let (body, rest) = rest.split_at_checked(answer.length)?;
        answer.body = body;
        Some((answer, rest))
    }

    /// Returns the value of a header that must occur at most once.
    fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| *value);
        let value = values.next();
        assert!(values.next().is_none(), "`{name}` twice: {self:?}");
        value
    }

    fn json(&self) -> Option<Value> {
        assert!(self.header("content-type") == Some("application/json") || self.length == 0, "{self:?}");
        (!self.body.is_empty()).then(|| serde_json::from_slice(self.body).unwrap())
    }

    /// Checks the headers and the body of a response.
    fn check(&self, last: bool) {
        assert!(STATUSES.contains(&self.status), "{self:?}");
        assert!(self.header("transfer-encoding").is_none());
        if self.status == 100 {
            return;
        }
        assert!(self.header("content-length").is_some(), "{self:?}");
        if matches!(self.status, 400 | 414 | 431) && self.length == 0 {
            // The library found no request, and closes the connection.
            assert!(last, "{self:?}");
        }
        assert!(self.header("cache-control").is_some_and(|value| value.ends_with("no-store")), "{self:?}");
        let needs = match self.status {
            401 => "www-authenticate",
            405 => "allow",
            429 | 503 => "retry-after",
            _ => "x-request-id",
        };
        assert!(self.header(needs).is_some_and(|value| !value.is_empty()), "{self:?}");
        if self.status >= 400
            && let Some(body) = self.json()
        {
            let told = body["error"].is_string() || body["outcome"] == "failed";
            assert!(told && (body["ok"] == false || body.get("ok").is_none()), "{self:?}");
        }
    }

    fn says(&self) -> Says {
        match (self.status, self.json()) {
            (200, None) if self.length == 0 => {
                for name in ["x-auth-token-id", "x-auth-scopes", "x-auth-handler", "x-auth-expires"] {
                    assert!(self.header(name).is_some_and(|value| !value.is_empty()), "{self:?}");
                }
                assert_eq!(self.header("x-auth-subject"), Some(BOT));
                Says::Identity(Credential::of(self.header("x-auth-handler")))
            }
            // A response to `HEAD`.
            (200, None) => Says::Nothing,
            (200, Some(body)) => said(&body),
            (201, _) => Says::Created,
            _ => {
                assert!(self.header("x-auth-subject").is_none());
                Says::Nothing
            }
        }
    }
}

/// Returns the information that the body of a 200 reveals.
fn said(body: &Value) -> Says {
    if let Some(active) = body.get("active") {
        assert!(active == true || *body == json!({"active": false}));
        return Says::VerdictToClient { accepted: (active == true).then_some(Credential::Token) };
    }
    let accepted =
        |outcome: &Value| (outcome["outcome"] == "accepted").then(|| Credential::of(outcome["handler"].as_str()));
    if let Some(outcomes) = body.get("outcomes") {
        return Says::VerdictToClient { accepted: outcomes.as_array().unwrap().iter().find_map(accepted) };
    }
    if body.get("outcome").is_some() {
        return Says::VerdictToClient { accepted: accepted(body) };
    }
    match body.get("actor") {
        Some(Value::Null) => Says::Nothing,
        Some(actor) => {
            assert!(body["ok"] == true && actor["id"] == BOT);
            Says::Identity(Credential::Token)
        }
        None => {
            assert!(body.get("openapi").is_some() || body.get("issuer").is_some(), "{body}");
            Says::Nothing
        }
    }
}

/// Returns whether the bytes may contain the text: literally, percent-encoded, in base64, or
/// escaped in JSON.
fn holds(data: &[u8], text: &str) -> bool {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let plain = |data: &[u8]| contains(&percent_decode(data).collect::<Vec<_>>(), text.as_bytes());
    let mut words = data.split(|byte| !byte.is_ascii_alphanumeric() && !b"+/=".contains(byte));
    plain(data) || contains(data, b"\\u") || words.any(|word| BASE64.decode(word).is_ok_and(|decoded| plain(&decoded)))
}

fn contains(data: &[u8], what: &[u8]) -> bool {
    data.windows(what.len()).any(|window| window == what)
}

/// A daemon with all kinds of handlers and policies, and one client that may do everything.
static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let mut signed = handler("signed", keyward_handlers::SIGNED.component().to_vec(), &["dstok_"]);
    let ring =
        Arc::new(KeyRing::new("main", Secret::new("only-for-tests-only-for-tests-only-for-tests"), vec![]).unwrap());
    signed.keys.insert("token".into(), KeyGrant::new(ring).scheme(Scheme::Itsdangerous).namespace("token"));
    let mut bots = handler("bots", keyward_handlers::HARDCODED.component().to_vec(), &[]);
    bots.settings.insert("actors".into(), json!({"bot": {"id": BOT}}).to_string());
    bots.secrets = [("bot".to_owned(), Secret::new(GOOD))].into_iter().collect();
    let down = handler("down", hostile::case("answer-unavailable").bytes, &["dn_"]);
    let registry = Registry::builder(&RUNTIME).handler(signed).handler(bots).handler(down).handler(site());
    let registry = registry.action("view-instance", "vi").build().unwrap();

    let mut config = Config::default();
    config.query_parameter = Some("_auth_token".to_owned());
    let secret = SecretDigest::of(SECRET);
    let app = Client::new(secret, [Right::Introspect, Right::Verify, Right::Create, Right::Revoke]);
    config.clients.insert("app".to_owned(), app);
    let get = Policy {
        methods: Some(["GET".to_owned()].into()),
        paths: Some(vec![PathPattern::new("/api/*").unwrap()]),
        ..Policy::default()
    };
    let readers = Policy { permission: Some(Permission::new("view-instance")), ..Policy::default() };
    let users = Policy { session: Some(SessionAccess::new("site")), ..Policy::default() };
    let policies = [("members", Policy::default()), ("get", get), ("readers", readers), ("users", users)];
    config.policies = policies.map(|(name, policy)| (name.to_owned(), policy)).into();
    Service::new(config, registry)
});

/// Configures the handler for users of a site, whose API knows one cookie.
fn site() -> HandlerConfig {
    let site = Arc::new(Site(|cookie: &str| match cookie {
        COOKIE => (200, json!({"id": BOT}).to_string().into_bytes()),
        _ => (401, Vec::new()),
    }));
    handler("site", keyward_handlers::SESSION.component().to_vec(), &[]).http("site", site).session(sid())
}

/// Configures a handler with generous limits, because the machine may be busy.
fn handler(name: &str, component: Vec<u8>, prefixes: &[&str]) -> HandlerConfig {
    let mut config = HandlerConfig::new(name, component, Actors::Any);
    config.prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    config.limits.wall = Duration::from_secs(60);
    config.limits.cpu = Duration::from_secs(10);
    config
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let client = |request: Request| [request.clone().basic("app", SECRET), request.bearer(SECRET)];
    let mut requests = Vec::new();
    for token in [GOOD, "dstok_e30.x", "dn_x", "nobody"] {
        requests.extend(client(Request::form("/v1/introspect", format!("token={token}&token_type_hint=access_token"))));
        let posted = format!("client_id=app&client_secret={SECRET}&token={token}");
        requests.push(Request::form("/v1/introspect", posted));
        requests.extend(client(Request::json("/v1/verify", &json!({"token": token, "handler": null}))));
        requests.extend(client(Request::json("/v1/verify", &json!({"tokens": [token, "x"], "handler": "bots"}))));
        requests.push(Request::get("/v1/actor").bearer(token));
        requests.push(Request::get(&format!("/v1/actor?_auth_token={token}")));
        let nginx = Request::get("/v1/auth/nginx/get").header("X-Original-Method", "GET");
        requests.push(nginx.header("X-Original-URI", "/api/a?b").bearer(token));
        let forward = Request::new("POST", "/v1/auth/forward/get?x=y").header("X-Forwarded-Method", "GET");
        requests.push(forward.header("X-Forwarded-Uri", "/api/a%20b").bearer(token));
        requests.push(Request::new("HEAD", "/v1/auth/forward/readers").bearer(token));
        requests.push(Request::new("PUT", "/v1/auth/envoy/members/a/b?c").bearer(token).body("abc"));
        requests.push(Request::get("/v1/auth/envoy/get/api/x").version("HTTP/1.0").bearer(token));
    }
    for cookie in [COOKIE, "other"] {
        let sid = format!("a=b; sid={cookie}");
        let nginx = Request::get("/v1/auth/nginx/users").header("X-Original-Method", "GET").header("Cookie", &*sid);
        requests.push(nginx.clone().header("X-Original-URI", "/a"));
        requests.push(nginx.clone().bearer(GOOD));
        requests.push(nginx.header("cookie", "sid=other"));
        let forward = Request::get("/v1/auth/forward/users").header("Cookie", &*sid);
        requests.extend(["HEAD", "POST"].map(|method| forward.clone().header("X-Forwarded-Method", method)));
        requests.push(Request::get("/v1/auth/envoy/users/a").header("Cookie", &*sid));
        let body = json!({"cookies": {"sid": cookie}, "headers": {"X-A": "1"}, "method": "POST", "path": "/a"});
        requests.extend(client(Request::json("/v1/session", &body)));
        let token = json!({"cookies": {"sid": cookie}, "headers": {"Authorization": "Bearer x"}, "handler": "site"});
        requests.extend(client(Request::json("/v1/session", &token)));
    }
    let restrictions = json!({"all": ["view-instance"], "database": {"d": ["x"]}, "resource": {"d": {"r": ["y"]}}});
    let whole = json!({"actor": "root", "handler": "signed", "expires_after": 60, "restrictions": restrictions, "description": "d"});
    for body in [json!({"actor": "root"}), whole, json!({"actor": "root", "handler": "bots"})] {
        requests.extend(client(Request::json("/v1/tokens", &body)));
    }
    for path in ["/openapi.json", "/.well-known/oauth-authorization-server", "/", "/v1/verify"] {
        requests.push(Request::get(path));
        requests.push(Request::new("HEAD", path));
    }
    requests.push(Request::json("/v1/verify", &json!({})).header("Expect", "100-continue").basic("app", SECRET));
    let chunked = Request::new("POST", "/v1/verify").header("Content-Type", "application/json").basic("app", SECRET);
    let chunked = chunked.header("Transfer-Encoding", "chunked").to_bytes();
    let chunked = [&chunked[..], b"5\r\n{\"tok\r\n7\r\nens\":[]\r\n1;x=y\r\n}\r\n0\r\n\r\n"].concat();
    let single: Vec<_> = requests.iter().map(Request::to_bytes).chain([chunked]).collect();
    let several = single.windows(3).step_by(5).map(<[_]>::concat).collect::<Vec<_>>();
    single.into_iter().chain(several).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_reach_every_credential() {
        let (mut identities, mut verdicts) = ([0, 0], [0, 0]);
        for seed in seeds() {
            let answered = ask(&seed);
            let mut rest = &answered[..];
            while let Some((answer, behind)) = Answer::read(rest) {
                match answer.says() {
                    Says::Identity(credential) => identities[credential as usize] += 1,
                    Says::VerdictToClient { accepted: Some(credential) } => verdicts[credential as usize] += 1,
                    _ => {}
                }
                rest = behind;
            }
        }
        assert!(identities.iter().chain(&verdicts).all(|count| *count > 0), "{identities:?} {verdicts:?}");
    }
}
