//! The checks of `keyward test`.

use super::lab::{ACTOR, Lab, START};
use crate::output::with_code;
use crate::trial::{Case, Want};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::{CreateRequest, Restrictions, Verdict};
use std::collections::BTreeSet;

/// The outcome of a check: passed, not judged for a reason, or failed for a reason.
pub(super) type Checked = Result<Option<String>, String>;

/// A check of a handler that issues tokens, with its name in the report.
type OfIssuing = (&'static str, fn(&Lab) -> Checked);

/// A check of a valid token.
type OfAToken = (&'static str, fn(&Lab, &str) -> Checked);

/// The checks of a handler that issues tokens. The others need the token of the first.
pub(super) const OF_ISSUING: &[OfIssuing] = &[
    ("verifies what it issues", verifies),
    ("issues what the host verifies", is_served),
    ("gives each token a text and an id of its own", is_unique),
    ("keeps the lifetime, to the second", expires),
    ("keeps restrictions", keeps_restrictions),
    ("keeps empty restrictions", keeps_empty_restrictions),
    ("keeps ids of actors as they are", keeps_actors),
    ("rejects tokens of another key", rejects_other_keys),
];

/// The checks of a valid token: one that was issued, or one of the cases, at its time.
pub(super) const OF_A_TOKEN: &[OfAToken] = &[
    ("gives the same verdict each time", is_constant),
    ("rejects a token with a changed character", rejects_changes),
    ("rejects a token that was cut", rejects_parts),
    ("rejects a token with something added", rejects_additions),
    ("rejects texts that are no tokens", rejects_others),
    ("keeps tokens out of its log and messages", keeps_secret),
];

fn verifies(lab: &Lab) -> Checked {
    let created = lab.token()?;
    let acceptance = lab.accepts(&created.token)?;
    if !acceptance.actor_ignoring_restrictions().has_text_id(ACTOR) {
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

/// Issues tokens under all checks of a daemon, which verifies each new token in the same call.
fn is_served(lab: &Lab) -> Checked {
    let plain = CreateRequest::new(ACTOR);
    let restricted = CreateRequest::new(ACTOR).restrictions(Restrictions::new().allow_all("view-instance"));
    for request in [plain, restricted] {
        let Ok(created) = lab.issue_by(&lab.served, request)? else { continue };
        match lab.served.verify_blocking(&created.token) {
            Ok(Verdict::Accepted(_)) => {}
            Ok(_) => return Err("a new token is rejected by a daemon".to_owned()),
            Err(error) => {
                return Err(with_code(format_args!("a daemon cannot verify a new token: {error}"), error.code()));
            }
        }
    }
    Ok(None)
}

fn is_constant(lab: &Lab, token: &str) -> Checked {
    let first = lab.accepts(token)?;
    for _ in 0..3 {
        if lab.accepts(token)? != first {
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
    let Some(lifetime) = lab.lifetime else {
        return Ok(Some("the handler denies requests with a lifetime".to_owned()));
    };
    let end = START + u64::from(lifetime.get());
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
        if !acceptance.actor_ignoring_restrictions().has_text_id(id) {
            return Err(format!("the actor of a token for `{id}` is another one"));
        }
    }
    Ok(None)
}

fn rejects_changes(lab: &Lab, token: &str) -> Checked {
    for (place, old) in token.chars().enumerate() {
        for new in ['A', 'B', 'a', '0', '_', '-', '.', '='].into_iter().filter(|new| *new != old) {
            lab.refuses(&changed(token, place, new), &format!("a token whose character {} is `{new}`", place + 1))?;
        }
    }
    Ok(None)
}

/// Returns a token with another character at a place.
fn changed(token: &str, place: usize, new: char) -> String {
    token.chars().enumerate().map(|(at, old)| if at == place { new } else { old }).collect()
}

fn rejects_parts(lab: &Lab, token: &str) -> Checked {
    for end in 0..token.len() {
        lab.refuses(token.get(..end).unwrap_or_default(), &format!("the first {end} characters of a token"))?;
    }
    for start in 1..token.len() {
        lab.refuses(token.get(start..).unwrap_or_default(), &format!("a token without its first {start} characters"))?;
    }
    Ok(None)
}

fn rejects_additions(lab: &Lab, token: &str) -> Checked {
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

fn rejects_others(lab: &Lab, token: &str) -> Checked {
    let prefix = prefix_of(lab, token);
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
        Err(error) => Err(with_code(format_args!("fails on a token of another key: {error}"), error.code())),
    }
}

/// Returns the beginning of a token that is no secret: a prefix of `cases.toml`, or else what ends
/// with the first `_`, if it is short.
fn prefix_of<'a>(lab: &Lab, token: &'a str) -> &'a str {
    /// Maximum length of a prefix that is not declared.
    const SHORT: usize = 16;
    let declared = lab.trial.cases.prefixes.iter().filter(|prefix| token.starts_with(prefix.as_str()));
    let usual = || token.find('_').map(|end| end + 1).filter(|length| *length <= SHORT);
    let length = declared.map(String::len).max().or_else(usual);
    token.get(..length.unwrap_or(0)).unwrap_or_default()
}

/// Checks messages on tokens, valid or not. Of the log, only the host sees the lines.
fn keeps_secret(lab: &Lab, token: &str) -> Checked {
    /// Number of characters of a token that no message contains by chance.
    const PART: usize = 12;
    let before = lab.redactions();
    // A digit is allowed in every alphabet.
    let other = |place| changed(token, place, if token.chars().nth(place) == Some('0') { '1' } else { '0' });
    let (middle, last) = (token.len() / 2, token.len().saturating_sub(1));
    let cut = token.get(..middle).unwrap_or_default().to_owned();
    let presented = [token.to_owned(), cut, format!("{token}A"), other(middle), other(last)];
    let times = [lab.now(), lab.now() + 1_000_000_000];
    for (presented, at) in presented.iter().flat_map(|token| times.map(|at| (token, at))) {
        let said = match lab.at(at, || lab.registry.verify_blocking(presented)) {
            Ok(Verdict::Rejected(rejection)) => rejection.message,
            Ok(Verdict::Accepted(_) | Verdict::NotMine) => continue,
            Err(error) => error.to_string(),
        };
        let secret: Vec<_> =
            presented.strip_prefix(prefix_of(lab, presented)).into_iter().flat_map(str::chars).collect();
        let mut parts = secret.windows(PART).map(|part| part.iter().collect::<String>());
        if parts.any(|part| said.contains(&part)) {
            return Err("a message contains a part of the token: the host only removes the whole one".to_owned());
        }
    }
    match lab.redactions() - before {
        0 => Ok(None),
        count => Err(format!("the host removed the token from {count} of its messages and log lines: leave it out")),
    }
}

/// Compares the verdict on a case with the wanted one.
pub(super) fn case(lab: &Lab, case: &Case) -> Checked {
    let Case { want, reason, actor, token_id, .. } = case;
    let verdict =
        lab.verdict(case).map_err(|error| with_code(format_args!("it has no verdict: {error}"), error.code()))?;
    let (seen, acceptance) = match &verdict {
        Verdict::Accepted(acceptance) => (Want::Accepted, Some(acceptance)),
        Verdict::NotMine => (Want::NotMine, None),
        Verdict::Rejected(rejection) => {
            if reason.as_ref().is_some_and(|reason| reason != rejection.reason.as_str()) {
                return Err(format!("it is rejected as {}: {}", rejection.reason, rejection.message));
            }
            (Want::Rejected, None)
        }
    };
    if seen != *want {
        return Err(match &verdict {
            Verdict::Accepted(acceptance) => {
                format!("it is accepted: {}", acceptance.actor_ignoring_restrictions().json())
            }
            Verdict::NotMine => "the verdict is `not-mine`".to_owned(),
            Verdict::Rejected(rejection) => format!("it is rejected as {}: {}", rejection.reason, rejection.message),
        });
    }
    let Some(acceptance) = acceptance else { return Ok(None) };
    let found: serde_json::Value =
        serde_json::from_str(acceptance.actor_ignoring_restrictions().json()).map_err(|error| error.to_string())?;
    let differs = actor.iter().flatten().find(|(name, wanted)| found.get(name) != Some(*wanted));
    if let Some((name, _)) = differs {
        return Err(format!("the actor has another `{name}`: {found}"));
    }
    if token_id.is_some() && acceptance.token_id != *token_id {
        return Err(format!("its token id is {}", acceptance.token_id.as_deref().unwrap_or("none")));
    }
    // The same request in the same second has one verdict.
    if !matches!(lab.verdict(case), Ok(Verdict::Accepted(again)) if again == *acceptance) {
        return Err("it has another verdict the second time".to_owned());
    }
    Ok(None)
}
