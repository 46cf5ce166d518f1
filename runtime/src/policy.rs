//! The host's policy on proposals of handlers, and the actors that a handler may speak for.

use crate::actor::{ActorId, VerifiedActor};
use crate::clock::{MAX_SECONDS, UnixTime};
use crate::error::{ErrorKind, LimitExceeded};
use crate::i_json::{self, Defect, Scalar};
use crate::limits::{LimitKind, Limits, MAX_TOKEN_ID_BYTES};
use crate::sanitize::{escape_untrusted, is_blank};
use crate::store::Record;
use crate::verdict::{Acceptance, IssueTime, Reason, Rejection, Restrictions, Verdict};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The actors that a handler may vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a grant of another kind must not be missed")]
pub enum Actors {
    /// All actors, including those without an id.
    Any,
    /// Actors whose id is a text that matches one of the patterns. An integer matches none, and
    /// neither does an actor without an id.
    Matching(Vec<ActorPattern>),
}

impl Actors {
    /// Parses patterns: each is an id, or a prefix followed by `*`.
    ///
    /// # Errors
    /// Returns the first pattern that is not valid.
    pub fn matching<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, InvalidPattern> {
        patterns
            .into_iter()
            .map(|pattern| ActorPattern::new(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self::Matching)
    }

    /// Returns whether they contain an actor with this text as its id.
    pub(crate) fn contains(&self, id: Option<&str>) -> bool {
        match (self, id) {
            (Self::Any, _) => true,
            (Self::Matching(patterns), Some(id)) => patterns.iter().any(|pattern| pattern.matches(id)),
            (Self::Matching(_), None) => false,
        }
    }
}

/// A pattern for actor ids: `partner:*` matches every id that starts with `partner:`; without a
/// `*`, only the id itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorPattern {
    text: String,
    is_prefix: bool,
}

impl ActorPattern {
    /// Parses a pattern. A `*` is allowed only at the end.
    ///
    /// # Errors
    /// The pattern has a `*` elsewhere, or matches no valid actor id.
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        let (text, is_prefix) = match pattern.strip_suffix('*') {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        let fits_none = if is_prefix { text.chars().any(char::is_control) } else { !is_actor_id(text) };
        if text.contains('*') || fits_none {
            return Err(InvalidPattern { pattern: escape_untrusted(pattern, 200) });
        }
        Ok(Self { text: text.to_owned(), is_prefix })
    }

    fn matches(&self, id: &str) -> bool {
        if self.is_prefix { id.starts_with(&self.text) } else { id == self.text }
    }
}

/// An [`ActorPattern`] that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not an actor pattern: use an id, or a prefix followed by `*`")]
pub struct InvalidPattern {
    pattern: String,
}

/// Returns whether `id` is valid as an actor's id: it has a visible character and no control
/// characters.
///
/// Spaces at either end are part of the id, as in Datasette: ` root` and `root` are two actors.
pub fn is_actor_id(id: &str) -> bool {
    !is_blank(id) && !id.chars().any(char::is_control)
}

/// Maximum length of a token's note ([`Record::description`](crate::store::Record::description)),
/// in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 4_096;

/// Returns whether `id` is valid as a token's id in logs, headers and revocations: 1 to 256
/// printable ASCII characters without a space at either end, which an operator who copies the id to
/// revoke the token would lose.
pub fn is_token_id(id: &str) -> bool {
    (1..=MAX_TOKEN_ID_BYTES).contains(&id.len())
        && id.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && !id.starts_with(' ')
        && !id.ends_with(' ')
}

/// Checks that the acceptance of a valid token stays within `limits`, if its handler reports
/// `actor` and the restrictions of its [`Record`].
///
/// # Errors
/// Returns the reason for which each verification of the token would fail or reject it.
pub fn check_acceptance(actor: &str, record: &Record, limits: &Limits) -> Result<(), String> {
    let Record { id, actor_id, restrictions, expires_at, .. } = record;
    if actor_id.len() > limits.actor_id_bytes {
        return Err(over(LimitKind::ActorId, actor_id.len(), limits.actor_id_bytes).to_string());
    }
    let passed = [actor.len(), id.len(), restrictions.as_ref().map_or(0, Restrictions::passed_bytes)];
    let passed = passed.into_iter().fold(0, usize::saturating_add);
    if passed > limits.host_call_bytes {
        return Err(over(LimitKind::HostBytes, passed, limits.host_call_bytes).to_string());
    }
    match write_actor(actor.to_owned(), restrictions.as_ref(), *expires_at, limits) {
        Ok(_) => Ok(()),
        Err(Unfit::TooLarge(what)) => Err(format!("is too large: its {what}")),
        Err(Unfit::Fault(fault)) => Err(fault.to_string()),
    }
}

/// A handler's acceptance of a token, before the policy has checked it.
pub(crate) struct Proposal {
    pub(crate) actor: String,
    pub(crate) restrictions: Option<Restrictions>,
    pub(crate) token_id: Option<String>,
    pub(crate) issued_at: Option<UnixTime>,
    pub(crate) expires_at: Option<UnixTime>,
}

/// The policy for one handler's proposals.
pub(crate) struct Policy {
    pub(crate) actors: Actors,
    /// The lifetime in seconds of tokens that were requested without one.
    pub(crate) default_ttl: Option<NonZeroU32>,
    /// Maximum lifetime in seconds.
    pub(crate) max_ttl: Option<u64>,
    /// Number of seconds without use after which a token expires.
    pub(crate) max_idle: Option<u64>,
    /// Maximum number of valid tokens per actor.
    pub(crate) max_tokens_per_actor: Option<u64>,
    /// Number of seconds by which a token's issue time may be in the future, for clocks that
    /// differ.
    pub(crate) leeway: u64,
}

/// The message about a token that has been idle for too long.
pub(crate) const IDLE: &str = "Token has not been used for too long";

impl Policy {
    /// Returns the lifetime for a new token from the requested lifetime `wanted`, the handler's
    /// defaults and the parent token's expiry, `parent_ends`. `None` means no expiry.
    ///
    /// # Errors
    /// Returns the reason that the request is refused, as a message for humans.
    pub(crate) fn lifetime(
        &self,
        wanted: Option<NonZeroU32>,
        parent_ends: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<Option<NonZeroU32>, String> {
        let lifetime = wanted.or(self.default_ttl);
        if let Some(max_ttl) = self.max_ttl
            && lifetime.is_none_or(|lifetime| u64::from(lifetime.get()) > max_ttl)
        {
            return Err(format!(
                "tokens of this handler expire after at most {max_ttl} seconds: request a shorter lifetime (`max_ttl`)"
            ));
        }
        let Some(left) = parent_ends.map(|end| end.seconds_since(now)) else { return Ok(lifetime) };
        let left = NonZeroU32::new(u32::try_from(left).unwrap_or(u32::MAX));
        let left = left.ok_or("the presented token expires now")?;
        if wanted.is_some_and(|wanted| wanted > left) {
            return Err(format!("the presented token expires in {left} seconds: request a shorter lifetime"));
        }
        Ok(Some(lifetime.map_or(left, |lifetime| lifetime.min(left))))
    }

    /// Returns whether a token that was last used or issued at `since` has been idle for too long
    /// at `now`.
    pub(crate) fn is_idle(&self, since: UnixTime, now: UnixTime) -> bool {
        self.max_idle.is_some_and(|idle| since.whole().later(idle) < now.whole())
    }

    /// Returns the time at or after which a token must have been used to be valid at `now`;
    /// `None` if tokens may be idle.
    pub(crate) fn idle_before(&self, now: UnixTime) -> Option<UnixTime> {
        self.max_idle.map(|idle| now.whole().earlier(idle))
    }

    /// Returns why a token is not valid according to its [`Record`]; `None` if it is valid.
    pub(crate) fn refuse_record(&self, record: &Record, now: UnixTime) -> Option<(Reason, &'static str)> {
        if record.ended.is_some() {
            Some((Reason::Revoked, "Token has been revoked"))
        } else if record.expires_at.is_some_and(|end| now.is_past(end)) {
            Some((Reason::Expired, "Token has expired"))
        } else if self.is_idle(record.idle_since(), now) {
            Some((Reason::Expired, IDLE))
        } else {
            None
        }
    }

    /// Judges a [`Proposal`].
    ///
    /// # Errors
    /// A broken result is a fault of the handler. A fact about the token that the policy does not
    /// allow is a [`Rejection`] instead; so is an actor that exceeds the limits, because a client
    /// may have requested its restrictions.
    pub(crate) fn judge(
        &self,
        handler: &Arc<str>,
        limits: &Limits,
        proposal: Proposal,
        now: UnixTime,
    ) -> Result<Verdict, ErrorKind> {
        self.judge_bounded(handler, limits, proposal, now, self.max_ttl)
    }

    /// Judges a handler's proposal about a session, which has neither an id nor a lifetime.
    ///
    /// # Errors
    /// As for [`judge`](Self::judge).
    pub(crate) fn judge_session(
        &self,
        handler: &Arc<str>,
        limits: &Limits,
        proposal: Proposal,
        now: UnixTime,
    ) -> Result<Verdict, ErrorKind> {
        let proposal = Proposal { token_id: None, issued_at: Some(now.whole()), expires_at: None, ..proposal };
        self.judge_bounded(handler, limits, proposal, now, None)
    }

    fn judge_bounded(
        &self,
        handler: &Arc<str>,
        limits: &Limits,
        proposal: Proposal,
        now: UnixTime,
        max_ttl: Option<u64>,
    ) -> Result<Verdict, ErrorKind> {
        match self.judge_within_limits(handler, limits, proposal, now, max_ttl) {
            Ok(verdict) => Ok(verdict),
            Err(Unfit::Fault(fault)) => Err(fault),
            Err(Unfit::TooLarge(what)) => {
                let message = format!("Token's {what}");
                Ok(Verdict::Rejected(Rejection { handler: None, reason: Reason::NotPermitted, message }))
            }
        }
    }

    fn judge_within_limits(
        &self,
        handler: &Arc<str>,
        limits: &Limits,
        proposal: Proposal,
        now: UnixTime,
        max_ttl: Option<u64>,
    ) -> Result<Verdict, Unfit> {
        let Proposal { actor, restrictions, token_id, issued_at, expires_at } = proposal;
        let object = read_actor(&actor, limits)?;
        if token_id.as_deref().is_some_and(|id| !is_token_id(id)) {
            return Err(
                bad("the token id is not 1 to 256 printable ASCII characters without a space at either end").into()
            );
        }
        if [issued_at, expires_at].into_iter().flatten().any(|time| time.seconds > MAX_SECONDS) {
            return Err(bad("a time is after the year 9999").into());
        }
        let id = match object.id {
            None => None,
            Some(Scalar::String(id)) if id.len() > limits.actor_id_bytes => {
                return Err(over(LimitKind::ActorId, id.len(), limits.actor_id_bytes).into());
            }
            Some(Scalar::String(id)) if is_actor_id(&id) => Some(ActorId::Text(id)),
            Some(Scalar::Integer(id)) => Some(ActorId::Integer(id)),
            Some(_) => {
                return Err(bad(
                    "the actor's id is neither an integer nor a string with a visible character and no control characters",
                ).into());
            }
        };
        let json = write_actor(object.text, restrictions.as_ref(), expires_at, limits)?;

        let reject = |reason, message: &str| {
            Ok(Verdict::Rejected(Rejection { handler: None, reason, message: message.to_owned() }))
        };
        if expires_at.is_some_and(|end| now.is_past(end)) {
            return reject(Reason::Expired, "Token has expired");
        }
        if issued_at.is_some_and(|start| start.whole() > now.whole().later(self.leeway)) {
            return reject(Reason::NotYetValid, "Token was issued in the future");
        }
        if let Some(max_ttl) = max_ttl {
            match expires_at {
                None => return reject(Reason::NotPermitted, "Token does not expire, but tokens of its handler must"),
                Some(end) if end.seconds_since(issued_at.unwrap_or(now)) > max_ttl => {
                    return reject(Reason::NotPermitted, "Token has a longer lifetime than its handler allows");
                }
                Some(_) => {}
            }
        }
        if !self.actors.contains(id.as_ref().and_then(ActorId::as_text)) {
            return reject(Reason::NotPermitted, "Token is for an actor that its handler may not vouch for");
        }
        Ok(Verdict::Accepted(Acceptance {
            handler: handler.clone(),
            actor: VerifiedActor::new_verified(json, id),
            restrictions,
            token_id,
            issued_at,
            expires_at,
            key: None,
            issue_time: IssueTime::Claimed,
        }))
    }
}

/// The reason that a [`Proposal`] is not accepted before its facts are judged.
enum Unfit {
    Fault(ErrorKind),
    /// The actor exceeds a limit, which the text names, such as "actor is nested …".
    TooLarge(String),
}

impl From<ErrorKind> for Unfit {
    fn from(fault: ErrorKind) -> Self {
        Self::Fault(fault)
    }
}

/// Returns a message if the actor of a new token would exceed the limits.
pub(crate) fn too_large(proposal: &Proposal, limits: &Limits) -> Option<String> {
    let written = read_actor(&proposal.actor, limits)
        .and_then(|object| write_actor(object.text, proposal.restrictions.as_ref(), proposal.expires_at, limits));
    match written {
        Err(Unfit::TooLarge(what)) => Some(format!("the token's {what}")),
        Ok(_) | Err(Unfit::Fault(_)) => None,
    }
}

fn read_actor(actor: &str, limits: &Limits) -> Result<i_json::Object, Unfit> {
    if actor.len() > limits.actor_bytes {
        return Err(over_bytes(actor.len(), limits.actor_bytes));
    }
    match i_json::check(actor, limits.actor_depth, &["_r", "token_expires"]) {
        Ok(object) if object.is_empty => Err(bad("the actor is the empty object `{}`").into()),
        Ok(object) => Ok(object),
        Err(Defect::Broken(what)) => Err(ErrorKind::BadResult(format!("the actor {what}")).into()),
        Err(Defect::TooDeep(depth)) => Err(Unfit::TooLarge(format!(
            "actor is nested {depth} levels deep, more than the {} allowed (`limits.actor_depth`)",
            limits.actor_depth
        ))),
    }
}

/// Adds the host's members to a non-empty object.
fn write_actor(
    text: String,
    restrictions: Option<&Restrictions>,
    expires_at: Option<UnixTime>,
    limits: &Limits,
) -> Result<String, Unfit> {
    let mut out = text.into_bytes();
    if restrictions.is_some() || expires_at.is_some() {
        out.pop();
        let lost = |error: &dyn fmt::Display| ErrorKind::Runtime(format!("the actor could not be serialized: {error}"));
        if let Some(restrictions) = restrictions {
            out.extend_from_slice(b",\"_r\":");
            serde_json::to_writer(&mut out, restrictions).map_err(|error| lost(&error))?;
        }
        if let Some(end) = expires_at {
            out.extend_from_slice(b",\"token_expires\":");
            serde_json::to_writer(&mut out, &end.seconds).map_err(|error| lost(&error))?;
        }
        out.push(b'}');
    }
    if out.len() > limits.actor_bytes {
        return Err(over_bytes(out.len(), limits.actor_bytes));
    }
    let lost = |error| ErrorKind::Runtime(format!("the actor could not be serialized: {error}")).into();
    String::from_utf8(out).map_err(lost)
}

fn over_bytes(used: usize, max: usize) -> Unfit {
    Unfit::TooLarge(format!(
        "actor and restrictions have {used} bytes, more than the {max} allowed (`limits.actor_bytes`)"
    ))
}

fn bad(what: &str) -> ErrorKind {
    ErrorKind::BadResult(what.to_owned())
}

fn over(limit: LimitKind, used: usize, of: usize) -> ErrorKind {
    ErrorKind::Limit(LimitExceeded { limit, used: used as u64, of: of as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime { seconds: 1_000, nanoseconds: 5 };

    fn policy() -> Policy {
        let actors = Actors::matching(["bob", "p:*"]).unwrap();
        Policy { actors, default_ttl: None, max_ttl: None, max_idle: None, max_tokens_per_actor: None, leeway: 60 }
    }

    fn proposal(actor: &str) -> Proposal {
        Proposal { actor: actor.into(), restrictions: None, token_id: None, issued_at: None, expires_at: None }
    }

    fn judge(policy: &Policy, proposal: Proposal) -> Result<Result<String, Reason>, &'static str> {
        match policy.judge(&"h".into(), &Limits::default(), proposal, NOW) {
            Ok(Verdict::Accepted(acceptance)) => Ok(Ok(acceptance.actor.json().to_owned())),
            Ok(Verdict::Rejected(rejection)) => Ok(Err(rejection.reason)),
            Ok(Verdict::NotMine) => panic!("the policy never returns not mine"),
            Err(fault) => Err(fault.code()),
        }
    }

    #[test]
    fn a_handler_vouches_only_for_allowed_actors() {
        for (actor, allowed) in [
            (r#"{"id":"bob"}"#, true),
            (r#"{"id":"p:"}"#, true),
            (r#"{"id":"p:x","n":1}"#, true),
            (r#"{"id":"bobby"}"#, false),
            (r#"{"id":"BOB"}"#, false),
            (r#"{"id":"root"}"#, false),
            (r#"{"id":5}"#, false),
            (r#"{"name":"bob"}"#, false),
        ] {
            let verdict = judge(&policy(), proposal(actor)).unwrap();
            assert_eq!(verdict, if allowed { Ok(actor.to_owned()) } else { Err(Reason::NotPermitted) });
            let any = Policy { actors: Actors::Any, ..policy() };
            assert_eq!(judge(&any, proposal(actor)).unwrap(), Ok(actor.to_owned()));
        }
    }

    #[test]
    fn broken_results_are_errors_for_any_actors() {
        let any = Policy { actors: Actors::Any, ..policy() };
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(1_025));
        for (actor, code) in [
            ("{}", "bad-result"),
            ("[]", "bad-result"),
            (r#"{"id":""}"#, "bad-result"),
            (r#"{"id":null}"#, "bad-result"),
            (r#"{"id":true}"#, "bad-result"),
            (r#"{"id":1.5}"#, "bad-result"),
            (r#"{"id":{}}"#, "bad-result"),
            (r#"{"id":"a\u000ab"}"#, "bad-result"),
            (r#"{"id":" "}"#, "bad-result"),
            (r#"{"id":"\u3164 \u200b\u2800"}"#, "bad-result"),
            (r#"{"id":"a","_r":{}}"#, "bad-result"),
            (r#"{"id":"a","token_expires":1}"#, "bad-result"),
            (&long, "limit-actor-id"),
        ] {
            assert_eq!(judge(&any, proposal(actor)), Err(code), "{actor}");
        }
    }

    #[test]
    fn an_actor_that_exceeds_the_limits_is_rejected() {
        let any = Policy { actors: Actors::Any, ..policy() };
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(32), "]".repeat(32));
        for actor in [&format!(r#"{{"x":"{}"}}"#, "x".repeat(64 << 10)), &deep] {
            assert_eq!(judge(&any, proposal(actor)), Ok(Err(Reason::NotPermitted)));
            assert!(too_large(&proposal(actor), &Limits::default()).is_some());
        }
        assert_eq!(too_large(&proposal(r#"{"id":"bob"}"#), &Limits::default()), None);
    }

    #[test]
    fn an_id_has_a_visible_character() {
        for (id, actor, token) in [
            ("a", true, true),
            ("a b", true, true),
            (" a", true, false),
            ("a ", true, false),
            ("é", true, false),
            ("\u{202e}a", true, false),
            ("", false, false),
            (" ", false, false),
            ("   ", false, false),
            ("\u{3164}", false, false),
            ("\u{200b}\u{2800} \u{e0041}", false, false),
            ("a\u{9b}", false, false),
            ("a\u{7f}", false, false),
        ] {
            assert_eq!((is_actor_id(id), is_token_id(id)), (actor, token), "{id:?}");
        }
    }

    #[test]
    fn times_are_checked_to_the_second() {
        let with = |issued_at: Option<u64>, expires_at: Option<u64>| {
            let [issued_at, expires_at] = [issued_at, expires_at].map(|time| time.map(UnixTime::from_seconds));
            let proposal = Proposal { issued_at, expires_at, ..proposal(r#"{"id":"bob"}"#) };
            judge(&Policy { max_ttl: Some(100), ..policy() }, proposal).map(|verdict| verdict.map(|_| ()))
        };
        assert_eq!(with(None, Some(1_000)), Ok(Err(Reason::Expired)), "5 ns late");
        assert_eq!(with(None, Some(1_001)), Ok(Ok(())));
        assert_eq!(with(Some(1_060), Some(1_160)), Ok(Ok(())));
        assert_eq!(with(Some(1_061), Some(1_161)), Ok(Err(Reason::NotYetValid)));
        assert_eq!(with(Some(950), Some(1_050)), Ok(Ok(())));
        assert_eq!(with(Some(950), Some(1_051)), Ok(Err(Reason::NotPermitted)));
        assert_eq!(with(None, Some(1_100)), Ok(Ok(())));
        assert_eq!(with(None, Some(1_101)), Ok(Err(Reason::NotPermitted)));
        assert_eq!(with(Some(950), None), Ok(Err(Reason::NotPermitted)));
        assert_eq!(with(Some(0), Some(u64::MAX)), Err("bad-result"));
        assert_eq!(with(Some(MAX_SECONDS + 1), None), Err("bad-result"));
    }

    #[test]
    fn the_host_adds_restrictions_and_expiry() {
        let given = |restrictions, expires_at: Option<u64>| {
            let expires_at = expires_at.map(UnixTime::from_seconds);
            let proposal = Proposal { restrictions, expires_at, ..proposal(r#"{ "id": "bob" }"#) };
            judge(&policy(), proposal).unwrap().unwrap()
        };
        assert_eq!(given(None, Some(2_000)), r#"{"id":"bob","token_expires":2000}"#);
        assert_eq!(given(Some(Restrictions::new()), None), r#"{"id":"bob","_r":{}}"#);
        let some =
            Restrictions::new().allow_resource("d\"", "t", "ir").allow_all("vi").allow_resource("d\"", "t", "ur");
        assert_eq!(
            given(Some(some), Some(2_000)),
            r#"{"id":"bob","_r":{"a":["vi"],"r":{"d\"":{"t":["ir","ur"]}}},"token_expires":2000}"#
        );
    }

    #[test]
    fn a_pattern_has_its_star_at_the_end() {
        for bad in ["", "a*b", "**", "a\n", "a\n*", " ", "\u{3164}"] {
            assert!(ActorPattern::new(bad).is_err(), "{bad:?}");
        }
        assert!(ActorPattern::new("*").unwrap().matches("x"));
    }
}
