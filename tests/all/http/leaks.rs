//! No token and no secret leaks from the daemon: not through its log at the most verbose level, its
//! metrics, errors, headers or output, for valid and invalid requests of every kind. A token leaves
//! only in the 201 of `/v1/tokens`.

use super::program;
use super::world::{BAD, BOTS, CALLERS, KEY, secret, token};
use crate::support::forms;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::{Request, Response, base64 as basic};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;

const WRONG_SECRET: &str = "wrong-secret-that-nobody-has-0123456789";
const NEW_KEY: &str = "new-key-only-for-tests-new-key-only-for-tests";
const SHORT_KEY: &str = "short-key-for-tests";

/// A daemon, all of its output, and the texts that must not appear in it.
struct Watch {
    daemon: Daemon,
    seen: String,
    forbidden: BTreeSet<String>,
    asked: usize,
}

impl Watch {
    fn forbid(&mut self, text: &str) {
        self.forbidden.insert(text.to_owned());
    }

    /// Forbids the token's parts as well: none may appear alone.
    fn forbid_token(&mut self, token: &str) {
        self.forbid(token);
        let parts = token.trim_start_matches("dstok_").split('.').filter(|part| part.len() > 8);
        self.forbidden.extend(parts.map(str::to_owned));
    }

    fn ask(&mut self, request: &Request) -> Response {
        let answer = request.send(self.daemon.service());
        self.asked += 1;
        writeln!(self.seen, "{answer:?}").unwrap();
        answer
    }

    /// Sends a request whose response contains a token that is forbidden elsewhere.
    fn create(&mut self, request: &Request) -> String {
        let answer = request.send(self.daemon.service());
        assert_eq!(answer.status, 201, "{answer:?}");
        writeln!(self.seen, "{:?}", answer.headers).unwrap();
        answer.json()["token"].as_str().unwrap().to_owned()
    }
}

/// Returns the forbidden texts that a text contains, and their encodings.
fn found(text: &str, forbidden: &BTreeSet<String>) -> Vec<String> {
    let all = forbidden.iter().flat_map(|secret| forms(secret).into_iter().map(move |form| (secret, form)));
    all.filter(|(_, form)| text.contains(form.as_str())).map(|(secret, form)| format!("{secret} as {form}")).collect()
}

#[test]
fn a_text_is_found_in_every_encoding() {
    let secret = "a secret+of/some~length?";
    let around = |text: &str| format!("…{text}…");
    let forms = forms(secret);
    for before in ["", "x", "xy", "xyz", "user:"] {
        for after in ["", "x", "xy"] {
            let text = [before, secret, after].concat();
            let [one, other] = [basic(text.as_bytes()), URL_SAFE_NO_PAD.encode(&text)];
            for text in [around(&one), around(&other), around(&text)] {
                assert!(forms.iter().any(|form| text.contains(form)), "{text}");
            }
        }
    }
    for text in ["612073656372", "a%20secret%2Bof", "%61%20%73", "%2Bof%2fsome"] {
        let found = forms.iter().any(|form| form.to_lowercase().contains(&text.to_lowercase()));
        assert!(found, "{text}");
    }
}

#[test]
fn no_token_and_no_secret_leaves_the_daemon() {
    let mut folder = program::folder("leaks", "query_parameter = \"_auth_token\"", "");
    folder.set("KEYWARD_LOG", "debug");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let mut watch = Watch { daemon, seen: String::new(), forbidden: BTreeSet::new(), asked: 0 };
    for text in [KEY, WRONG_SECRET, NEW_KEY, SHORT_KEY] {
        watch.forbid(text);
    }
    for (id, ..) in CALLERS {
        watch.forbid(&secret(id));
    }
    let names = BOTS.as_object().unwrap().keys().map(String::as_str).chain(BAD);
    let names: Vec<_> = names.chain(["good", "ends", "narrow", "may-view-shop", "careless"]).collect();
    for name in &names {
        watch.forbid_token(&token(name));
    }

    for name in &names {
        tokens_where_they_belong(&mut watch, &token(name));
        tokens_where_they_do_not_belong(&mut watch, &token(name));
    }
    secrets_of_clients(&mut watch);
    created_tokens(&mut watch);
    reloads(&mut watch, &folder);

    let metrics = Request::get("/metrics").send(watch.daemon.admin());
    assert!(metrics.text().contains("keyward_calls_total"));
    watch.seen.push_str(metrics.text());
    assert!(watch.asked > 500, "{}", watch.asked);
    let Watch { daemon, seen, forbidden, .. } = watch;
    let ended = daemon.stop();
    assert!(ended.status.success());
    for what in ["keyward::decision", "keyward::handler", "[token]", "fewer than 32"] {
        assert!(ended.stderr.contains(what), "the verbose log does not mention `{what}`");
    }
    let all = [&seen, &ended.stdout, &ended.stderr].map(String::as_str).concat();
    // Confirms that the search finds a planted token.
    let planted = format!("{all}{}", basic(token("good").as_bytes()));
    assert!(!found(&planted, &forbidden).is_empty());
    assert_eq!(found(&all, &forbidden), [""; 0]);
}

/// Presents tokens in `Authorization`, in a form, in JSON, and in the query if the operator allows
/// it.
fn tokens_where_they_belong(watch: &mut Watch, token: &str) {
    let (id, secret) = ("app", &secret("app"));
    watch.ask(&Request::get("/v1/actor").bearer(token));
    watch.ask(&Request::get(&format!("/v1/actor?_auth_token={token}")));
    watch.ask(&Request::form("/v1/introspect", format!("token={token}")).basic(id, secret));
    watch.ask(&Request::form("/v1/introspect", format!("token={token}&client_id={id}&client_secret={secret}")));
    watch.ask(&Request::form("/v1/revoke", format!("token={token}")).basic(id, secret));
    watch.ask(&Request::form("/v1/revoke", format!("token={token}&client_id={id}&client_secret={secret}")));
    watch.ask(&Request::json("/v1/verify", &json!({ "token": token })).bearer(secret));
    watch.ask(&Request::json("/v1/verify", &json!({"tokens": [token, "x", token], "handler": "bots"})).bearer(secret));
    // A handler that creates no tokens.
    watch.ask(&Request::json("/v1/tokens", &json!({"parent": token, "handler": "bots"})).bearer(secret));
    for dialect in ["nginx", "forward", "envoy"] {
        for policy in ["members", "orders", "nothing"] {
            watch.ask(&Request::get(&format!("/v1/auth/{dialect}/{policy}")).bearer(token));
        }
    }
}

/// Presents tokens doubled, truncated, padded, quoted; under other schemes and names, in paths and
/// queries, in bodies of other types, and as other identifiers.
fn tokens_where_they_do_not_belong(watch: &mut Watch, token: &str) {
    let secret = &secret("app");
    for path in ["/v1/actor", "/v1/auth/nginx/members"] {
        let get = || Request::get(path);
        watch.ask(&get().bearer(token).bearer(token));
        watch.ask(&get().bearer(format!("{token}, Bearer {token}")));
        watch.ask(&get().bearer(format!("\"{token}\"")));
        watch.ask(&get().bearer(format!("{token}\u{e9}")));
        watch.ask(&get().bearer(format!("{token}=")));
        watch.ask(&get().bearer(&token[1..]));
        watch.ask(&get().bearer(token.repeat(100)));
        watch.ask(&get().bearer(format!("{token}\0")));
        watch.ask(&get().header("Authorization", token));
        watch.ask(&get().header("Authorization", format!("Token {token}")));
        watch.ask(&get().basic(token, token));
        for name in ["Cookie", "X-Api-Key", "Proxy-Authorization", "Referer", "User-Agent", "Origin", token] {
            watch.ask(&get().header(name, token));
        }
        watch.ask(&get().without("Host").header("Host", token));
    }
    watch.ask(&Request::get(&format!("/{token}")));
    watch.ask(&Request::get(&format!("/v1/actor/{token}")));
    watch.ask(&Request::get(&format!("/v1/auth/nginx/{token}")));
    let keeper = &super::world::secret("keeper");
    for path in
        [format!("/{token}/{token}"), format!("/signed/{token}"), format!("?actor={token}"), format!("?{token}=x")]
    {
        watch.ask(&Request::get(&format!("/v1/tokens{path}")).bearer(keeper));
    }
    watch.ask(&Request::json(&format!("/v1/tokens/signed/{token}/rotate"), &json!({})).bearer(keeper));
    watch.ask(&Request::new(&token.replace('.', "-"), "/v1/actor"));
    // Without a signature, the text after the prefix is any text.
    let rest = token.strip_prefix("dstok_").filter(|rest| rest.contains('.')).unwrap_or(token);
    for query in [format!("token={token}"), format!("_auth_token={token}&_auth_token={token}"), token.to_owned()] {
        for path in ["/v1/actor", "/v1/introspect", "/v1/revoke", "/v1/auth/envoy/members/x", "/openapi.json", "/"] {
            watch.ask(&Request::get(&format!("{path}?{query}")).bearer(token));
        }
        // The original request, as described by proxies.
        for uri in [format!("/x?{query}"), format!("/{token}"), format!("/x{token}/y?z"), format!("/feeds/{rest}/a")] {
            watch.ask(&Request::get("/v1/auth/nginx/members").bearer(token).header("X-Original-URI", &uri));
            watch.ask(&Request::get("/v1/auth/forward/members").bearer(token).header("X-Forwarded-Uri", &uri));
        }
    }
    for kind in ["application/json", "application/x-www-form-urlencoded", "text/plain", token] {
        for path in ["/v1/introspect", "/v1/verify", "/v1/session", "/v1/tokens", "/v1/revoke", "/v1/revocations"] {
            watch.ask(&Request::post(path, kind, token).bearer(secret));
            watch.ask(&Request::post(path, kind, format!("{{\"{token}\":\"{token}\"}}")).bearer(secret));
            watch.ask(&Request::post(path, kind, format!("token={token}&token={token}")).bearer(secret));
        }
    }
    watch.ask(&Request::json("/v1/verify", &json!({"token": "x", "handler": token})).bearer(secret));
    watch.ask(&Request::json("/v1/session", &json!({"handler": token, "cookies": {token: token}})).bearer(secret));
    watch.ask(
        &Request::json("/v1/session", &json!({"headers": {"authorization": format!("Bearer {token}")}})).bearer(secret),
    );
    watch.ask(&Request::json("/v1/tokens", &json!({"actor": "x", "handler": token})).bearer(secret));
    watch.ask(&Request::json("/v1/tokens", &json!({"actor": "x", "expires_after": token})).bearer(secret));
    watch.ask(&Request::json("/v1/tokens", &json!({"actor": {"x": token}})).bearer(secret));
    watch.ask(&Request::json("/v1/tokens", &json!({"parent": [token]})).bearer(secret));
    watch.ask(&Request::json("/v1/revocations", &json!({"handler": token})).bearer(secret));
    // Other tokens have no shape by which they could be recognized.
    let shaped = [rest.to_owned(), format!("x{token}"), format!("/feeds/{token}")];
    for id in shaped.iter().filter(|_| token.starts_with("dstok_")) {
        for path in [format!("/{id}"), format!("/a/{id}.xml"), format!("/{}", id.replace('_', "%5F"))] {
            watch.ask(&Request::get(&format!("/v1/auth/envoy/members{path}")).bearer("x"));
        }
        for body in
            [json!({"actor": id}), json!({"handler": "signed", "token_id": id}), json!({"actor": "x", "note": id})]
        {
            watch.ask(&Request::json("/v1/revocations", &body).bearer(keeper));
        }
        watch.ask(&Request::json("/v1/tokens", &json!({"actor": id, "description": id})).bearer(secret));
        watch.ask(&Request::get(&format!("/v1/tokens/signed/{id}")).bearer(keeper));
    }
    watch.ask(&Request::json("/v1/revocations", &json!({"handler": "bots", "issued_until": token})).bearer(secret));
}

/// Presents correct and wrong secrets in each place, for endpoints with and without permission.
fn secrets_of_clients(watch: &mut Watch) {
    for (id, ..) in CALLERS {
        for secret in [&secret(id), WRONG_SECRET] {
            for request in [
                Request::form("/v1/introspect", "token=x"),
                Request::form("/v1/revoke", "token=x"),
                Request::json("/v1/revocations", &json!({"handler": "bots", "dry_run": true})),
                Request::json("/v1/verify", &json!({"token": "x"})),
                Request::json("/v1/tokens", &json!({"actor": "x", "handler": "off"})),
                Request::get("/v1/actor"),
                Request::get("/v1/auth/forward/members"),
                Request::get("/nothing"),
            ] {
                watch.ask(&request.clone().basic(id, secret));
                watch.ask(&request.clone().bearer(secret));
                watch.ask(&request.clone().basic(secret, id));
                watch.ask(&request.clone().header("Authorization", format!("Basic {id}:{secret}")));
                watch.ask(&request.header("Authorization", secret));
            }
            watch.ask(&Request::form("/v1/introspect", format!("token={secret}")).basic(id, secret));
            watch.ask(&Request::form("/v1/introspect", format!("client_id={id}&client_secret={secret}&token=x")));
            watch.ask(&Request::form("/v1/introspect", format!("client_secret={secret}&client_secret={secret}")));
            watch.ask(&Request::get(&format!("/v1/actor?client_id={id}&client_secret={secret}")));
        }
    }
}

/// Creates tokens, which appear in the response only.
fn created_tokens(watch: &mut Watch) {
    for number in 0..20 {
        let body = json!({"actor": format!("user-{number}"), "description": "x", "expires_after": 60 + number});
        let token = watch.create(&Request::json("/v1/tokens", &body).basic("maker", &secret("maker")));
        watch.forbid_token(&token);
        tokens_where_they_belong(watch, &token);
    }
}

/// Reloads with other keys, and with invalid ones.
fn reloads(watch: &mut Watch, folder: &Folder) {
    let good = program::configuration("query_parameter = \"_auth_token\"", "");
    let secret_file = "secret = { file = \"secret.key\" }";
    assert!(good.contains(secret_file));
    let with = |secret: &str| good.replacen(secret_file, secret, 1);
    for (number, (key, mode, config)) in [
        (SHORT_KEY, 0o600, good.clone()),
        (NEW_KEY, 0o644, good.clone()),
        (NEW_KEY, 0o600, with(&format!("secret = \"{NEW_KEY}\""))),
        (NEW_KEY, 0o600, with(&format!("secret = {{ file = \"secret.key\", value = \"{NEW_KEY}\" }}"))),
        (NEW_KEY, 0o600, with(&format!("secret = {NEW_KEY}"))),
        (NEW_KEY, 0o600, format!("{NEW_KEY}\n{good}")),
        (NEW_KEY, 0o600, good.replacen("[clients.app]", &format!("[clients.app]\nsecret = \"{}\"", secret("app")), 1)),
        (NEW_KEY, 0o600, good.replacen("secret_sha256 = \"", &format!("secret_sha256 = \"{WRONG_SECRET}"), 1)),
        (NEW_KEY, 0o600, good.clone()),
        (KEY, 0o600, good.clone()),
    ]
    .into_iter()
    .enumerate()
    {
        folder.write("secret.key", key, mode);
        folder.write("keyward.toml", config, 0o644);
        let lines = || watch.daemon.stderr().lines().filter(|line| line.contains("keyward::server")).count();
        let before = lines();
        watch.daemon.signal(Signal::HUP);
        wait_for(&format!("reload {number} to be logged"), || lines() > before);
    }
    wait_for("the last reload to take effect", || {
        Request::get("/v1/actor").bearer(token("good")).send(watch.daemon.service()).status == 200
    });
}
