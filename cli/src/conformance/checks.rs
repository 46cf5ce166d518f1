//! The checks of `keyward test`.

use crate::CliError;
use keyward_runtime::clock::{Clock, UnixTime};
use keyward_runtime::component::{Component, ComponentInfo};
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::registry::LimitPeak;
use keyward_runtime::{
    Acceptance, Actors, CreateRequest, Created, Creation, HandlerConfig, Registry, Restrictions, Runtime, Verdict,
};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time at which the checks begin: 2030-01-01T00:00:00Z.
const START: u64 = 1_893_456_000;

/// The lifetime of the tokens, in seconds.
const LIFETIME: u32 = 3_600;

const ACTOR: &str = "ann";

/// A clock that moves in steps.
#[derive(Clone)]
pub(super) struct Steps(Arc<AtomicU64>);

impl Default for Steps {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }
}

impl Clock for Steps {
    fn now(&self) -> Option<UnixTime> {
        Some(UnixTime::from_seconds(self.0.load(Ordering::SeqCst)))
    }

    fn is_chosen(&self) -> bool {
        true
    }
}

/// The outcome of a check: passed, not judged for a reason, or failed for a reason.
type Checked = Result<Option<String>, String>;

/// A check with its name in the report.
type Check = (&'static str, fn(&Lab) -> Checked);

/// All checks.
pub(super) const CHECKS: &[Check] = &[
    ("verifies what it issues", verifies),
    ("gives the same verdict each time", is_constant),
    ("gives each token a text and an id of its own", is_unique),
    ("keeps the lifetime, to the second", expires),
    ("keeps restrictions", keeps_restrictions),
    ("keeps empty restrictions", keeps_empty_restrictions),
    ("keeps ids of actors as they are", keeps_actors),
    ("rejects a token with a changed character", rejects_changes),
    ("rejects a token that was cut", rejects_parts),
    ("rejects a token with something added", rejects_additions),
    ("rejects texts that are no tokens", rejects_others),
    ("rejects tokens of another key", rejects_other_keys),
];

/// A handler with throw-away keys, and the same one with other keys.
pub(super) struct Lab {
    registry: Registry,
    other: Registry,
    clock: Steps,
}

/// The start of the checks.
pub(super) enum Start {
    Lab(Lab),
    /// There is nothing to judge, for this reason.
    NotJudged(String),
}

impl Lab {
    /// Loads the handler, and tries whether it issues tokens.
    pub(super) fn start(
        runtime: &Runtime,
        component: &Component,
        info: &ComponentInfo,
        labels: &[String],
        settings: &[(String, String)],
        clock: Steps,
    ) -> Result<Start, CliError> {
        const GRANTED: [&str; 6] = ["clock", "keys", "settings", "random", "digest", "log"];
        if !info.handles_tokens() {
            return Ok(Start::NotJudged("it is a session handler, which issues no tokens".to_owned()));
        }
        if let Some(import) = info.imports.iter().find(|import| !GRANTED.contains(&import.as_str())) {
            return Ok(Start::NotJudged(format!("it imports `{import}`, which is not available here")));
        }
        let load = |secret: u8| {
            let mut config = HandlerConfig::new("handler", component.clone(), Actors::Any);
            config.wasi = !info.wasi.is_empty();
            config.first_party = true;
            // Each verification is a call, which may take its time on a busy machine.
            config.limits.verdict_cache_bytes = 0;
            (config.limits.cpu, config.limits.wall) = (Duration::from_secs(1), Duration::from_secs(10));
            if info.imports.contains("keys") {
                for label in labels {
                    config = config.key(label.clone(), KeyGrant::new(ring(secret)?));
                }
            }
            for (name, value) in settings {
                config = config.setting(name.clone(), value.clone());
            }
            Registry::builder(runtime).handler(config).build().map_err(|error| CliError::Usage(error.to_string()))
        };
        let lab = Self { registry: load(1)?, other: load(2)?, clock };
        match lab.issue(CreateRequest::new(ACTOR)) {
            Ok(Err(denied)) => Ok(Start::NotJudged(format!("it issues no tokens: {denied}"))),
            Ok(Ok(_)) | Err(_) => Ok(Start::Lab(lab)),
        }
    }

    /// Returns the highest use of the limits.
    pub(super) fn peaks(&self) -> Vec<LimitPeak> {
        self.registry.handlers().flat_map(|handler| handler.peaks).collect()
    }

    /// Issues a token, or returns the reason that there is none.
    fn issue(&self, mut request: CreateRequest) -> Result<Result<Created, String>, String> {
        request.expires_after = NonZeroU32::new(LIFETIME);
        match self.registry.create_blocking(request) {
            Ok(Creation::Created(created)) => Ok(Ok(created)),
            Ok(Creation::Denied(denied)) if denied.handler.is_none() => {
                Err(format!("the host does not give its token away: {}", denied.message))
            }
            Ok(Creation::Denied(denied)) => Ok(Err(format!("it denies this request: {}", denied.message))),
            Err(error) => Err(format!("issuing failed: {error}")),
        }
    }

    /// Issues a token for an actor with all rights.
    fn token(&self) -> Result<Created, String> {
        self.issue(CreateRequest::new(ACTOR))?.map_err(|denied| format!("it denies what it granted before: {denied}"))
    }

    /// Verifies a token that must be valid.
    fn accepts(&self, token: &str) -> Result<Acceptance, String> {
        match self.registry.verify_blocking(token) {
            Ok(Verdict::Accepted(acceptance)) => Ok(acceptance),
            Ok(Verdict::NotMine) => Err("a new token is not its own".to_owned()),
            Ok(Verdict::Rejected(rejection)) => Err(format!("a new token is rejected as {}", rejection.reason)),
            Err(error) => Err(format!("verifying a new token failed: {error}")),
        }
    }

    /// Checks that a token is not accepted, and that the answer is a verdict.
    fn refuses(&self, token: &str, what: &str) -> Result<(), String> {
        match self.registry.verify_blocking(token) {
            Ok(Verdict::Accepted(_)) => Err(format!("accepts {what}")),
            Ok(Verdict::NotMine | Verdict::Rejected(_)) => Ok(()),
            Err(error) => Err(format!("fails on {what}, instead of rejecting it: {error}")),
        }
    }

    /// Calls `check` at another time.
    fn at<T>(&self, seconds: u64, check: impl FnOnce() -> T) -> T {
        let before = self.clock.0.swap(seconds, Ordering::SeqCst);
        let checked = check();
        self.clock.0.store(before, Ordering::SeqCst);
        checked
    }
}

/// Returns a ring whose secret is this byte, repeated.
fn ring(secret: u8) -> Result<Arc<KeyRing>, CliError> {
    let ring = KeyRing::new("test", Secret::new([secret; 32]), Vec::new());
    ring.map(Arc::new).map_err(|error| CliError::Unavailable(error.to_string()))
}

fn verifies(lab: &Lab) -> Checked {
    let created = lab.token()?;
    let acceptance = lab.accepts(&created.token)?;
    let id = acceptance.actor_ignoring_restrictions().id().and_then(|id| id.as_text().map(str::to_owned));
    if id.as_deref() != Some(ACTOR) {
        return Err(format!(
            "the actor of a token for `{ACTOR}` is {}",
            acceptance.actor_ignoring_restrictions().json()
        ));
    }
    if acceptance.restrictions.is_some() {
        return Err("a token without restrictions is verified with some".to_owned());
    }
    if acceptance.token_id != created.token_id {
        return Err("the token id of `verify` is not that of `create`".to_owned());
    }
    if acceptance.expires_at != created.expires_at {
        return Err("the expiry of `verify` is not that of `create`".to_owned());
    }
    Ok(None)
}

fn is_constant(lab: &Lab) -> Checked {
    let token = lab.token()?.token;
    let first = lab.accepts(&token)?;
    for _ in 0..3 {
        if lab.accepts(&token)? != first {
            return Err("the same token has two verdicts in one second".to_owned());
        }
    }
    Ok(None)
}

fn is_unique(lab: &Lab) -> Checked {
    let tokens = (0..8).map(|_| lab.token()).collect::<Result<Vec<_>, _>>()?;
    let texts: BTreeSet<_> = tokens.iter().map(|created| &created.token).collect();
    let ids: BTreeSet<_> = tokens.iter().map(|created| &created.token_id).collect();
    if texts.len() < tokens.len() {
        return Err("two tokens of one second are the same: add random bytes from the import `random`".to_owned());
    }
    if tokens.iter().any(|created| created.token_id.is_none()) {
        return Err("a token has no id, so it cannot be revoked alone: return a `token-id`".to_owned());
    }
    if ids.len() < tokens.len() {
        return Err("two tokens have one id: revoking one revokes the other".to_owned());
    }
    Ok(None)
}

fn expires(lab: &Lab) -> Checked {
    let created = lab.token()?;
    let end = START + u64::from(LIFETIME);
    if created.expires_at != Some(UnixTime::from_seconds(end)) {
        return Err("`expires-at` is not the time of issue and the lifetime".to_owned());
    }
    lab.at(end, || lab.accepts(&created.token)).map_err(|why| format!("in the last second, {why}"))?;
    lab.at(end + 1, || lab.refuses(&created.token, "a token in the second after `expires-at`"))?;
    lab.at(end + 1_000_000_000, || lab.refuses(&created.token, "a token thirty years after `expires-at`"))?;
    Ok(None)
}

fn keeps_restrictions(lab: &Lab) -> Checked {
    let restrictions = Restrictions::new()
        .allow_all("view-instance")
        .allow_database("a \"db\" \u{e9}", "view-database")
        .allow_resource("db", "1", "insert-row")
        .allow_resource("db", "__proto__", "update-row");
    keeps(lab, restrictions)
}

fn keeps_empty_restrictions(lab: &Lab) -> Checked {
    keeps(lab, Restrictions::new())
}

fn keeps(lab: &Lab, restrictions: Restrictions) -> Checked {
    let sorted = |of: &Restrictions| {
        let entries = of.iter().map(|(action, database, resource)| format!("{action:?} {database:?} {resource:?}"));
        entries.collect::<BTreeSet<_>>()
    };
    let created = match lab.issue(CreateRequest::new(ACTOR).restrictions(restrictions.clone()))? {
        Ok(created) => created,
        Err(denied) => return Ok(Some(denied)),
    };
    match lab.accepts(&created.token)?.restrictions {
        None => Err("a restricted token is verified without restrictions: it has all rights of its actor".to_owned()),
        Some(seen) if sorted(&seen) == sorted(&restrictions) => Ok(None),
        Some(_) => Err("a token is verified with other restrictions than it was issued with".to_owned()),
    }
}

fn keeps_actors(lab: &Lab) -> Checked {
    for id in ["a", "zo\u{eb}", "a\"b\\c", "https://example.org/u?1&2", "a b", "0", "null", "{}"] {
        let created = match lab.issue(CreateRequest::new(id))? {
            Ok(created) => created,
            Err(_) => continue,
        };
        let acceptance = lab.accepts(&created.token).map_err(|why| format!("for the actor `{id}`, {why}"))?;
        if acceptance.actor_ignoring_restrictions().id().and_then(|id| id.as_text().map(str::to_owned)).as_deref()
            != Some(id)
        {
            return Err(format!("the actor of a token for `{id}` is another one"));
        }
    }
    Ok(None)
}

fn rejects_changes(lab: &Lab) -> Checked {
    let token = lab.token()?.token;
    for (at, old) in token.char_indices() {
        for new in ['A', 'B', 'a', '0', '_', '-', '.', '='] {
            if new != old {
                let text: String = token.char_indices().map(|(place, c)| if place == at { new } else { c }).collect();
                lab.refuses(&text, &format!("a token whose character {} is `{new}`", at + 1))?;
            }
        }
    }
    Ok(None)
}

fn rejects_parts(lab: &Lab) -> Checked {
    let token = lab.token()?.token;
    for end in 0..token.len() {
        lab.refuses(token.get(..end).unwrap_or_default(), &format!("the first {end} characters of a token"))?;
    }
    for start in 1..token.len() {
        lab.refuses(token.get(start..).unwrap_or_default(), &format!("a token without its first {start} characters"))?;
    }
    Ok(None)
}

fn rejects_additions(lab: &Lab) -> Checked {
    let token = lab.token()?.token;
    for more in ["A", "=", "==", ".", ".A", "_", "-", "~", "+", "/", "AAAA"] {
        lab.refuses(&format!("{token}{more}"), &format!("a token followed by `{more}`"))?;
        lab.refuses(&format!("{more}{token}"), &format!("a token after `{more}`"))?;
    }
    lab.refuses(&format!("{token}{token}"), "a token twice")?;
    if token.to_uppercase() != token {
        lab.refuses(&token.to_uppercase(), "a token in upper case")?;
    }
    Ok(None)
}

fn rejects_others(lab: &Lab) -> Checked {
    let token = lab.token()?.token;
    let prefix = token.split_inclusive('_').next().unwrap_or_default();
    let long = "A".repeat(8_000);
    let texts = [
        "x",
        "null",
        "{}",
        "[]",
        "0",
        "-",
        "_",
        ".",
        "..",
        "=",
        "dstok_e30.x",
        "eyJhbGciOiJub25lIn0.e30.",
        "ghp_0123456789abcdef0123456789abcdef0123",
        "e30.",
        ".e30",
        "bnVsbA.bnVsbA",
        "W10.W10",
        "e30.e30",
        &long,
    ];
    for text in texts {
        let shown = text.get(..40.min(text.len())).unwrap_or_default();
        lab.refuses(text, &format!("the text `{shown}`"))?;
        let long_enough = prefix.len() + text.len() <= 8_192;
        if long_enough {
            lab.refuses(&format!("{prefix}{text}"), &format!("the text `{prefix}{shown}`"))?;
        }
    }
    Ok(None)
}

fn rejects_other_keys(lab: &Lab) -> Checked {
    let token = lab.token()?.token;
    match lab.other.verify_blocking(&token) {
        Ok(Verdict::Accepted(_)) => {
            Err("a token is valid under another key: sign it with the import `keys`, and verify that".to_owned())
        }
        Ok(_) => Ok(None),
        Err(error) => Err(format!("fails on a token of another key: {error}")),
    }
}
