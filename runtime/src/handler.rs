//! One loaded handler: its sandbox and the policy over what it says.

mod create;
mod record;

use crate::answers::Answers;
use crate::bindings::Answer;
use crate::checksum;
use crate::clock::UnixTime;
use crate::component::{CheckedComponent, ComponentInfo};
use crate::counts::Counts;
use crate::error::{Error, Fault, LoadError};
use crate::grants::{Bound, HandlerConfig};
use crate::limits::Limits;
use crate::policy::{Policy, Proposal};
use crate::runtime::Runtime;
use crate::sandbox::{Sandbox, Verified, trial_error};
use crate::store::{Changes, Committed, TokenStore};
use crate::text::{MAX_NAME, list_names, printable};
use crate::token::{TokenDigest, is_token_text};
use crate::verdict::{Acceptance, IssueTime, Reason, Rejection, Verdict};
use std::sync::Arc;

pub(crate) use create::Together;
use record::Presented;
#[cfg(feature = "phases")]
use std::time::{Duration, Instant};

/// The least time for which a token may have to be idle to end, in seconds.
const LEAST_IDLE: u64 = 600;

pub(crate) struct Handler {
    pub(crate) name: Arc<str>,
    /// Set where the host believes the token ids and issue times that the component reports.
    pub(crate) first_party: bool,
    pub(crate) prefixes: Vec<String>,
    /// Whether its tokens end with a checksum.
    checksum: bool,
    pub(crate) bound: Arc<Bound>,
    /// Held for as long as the handler is, so that one that replaces it does not compile it again.
    component: Arc<CheckedComponent>,
    runtime: Runtime,
    pub(crate) policy: Policy,
    /// Where the host keeps records of its tokens, if it keeps none itself.
    records: Option<Arc<dyn TokenStore>>,
    sandbox: Arc<Sandbox>,
    answers: Answers<Acceptance>,
}

impl Handler {
    /// Loads the component and tries it out.
    pub(crate) fn load(
        runtime: &Runtime,
        config: HandlerConfig,
        records: Option<Arc<dyn TokenStore>>,
    ) -> Result<Self, LoadError> {
        let shown = printable(&config.name, MAX_NAME);
        Self::load_unnamed(runtime, config, records).map_err(|error| error.in_handler(&shown))
    }

    fn load_unnamed(
        runtime: &Runtime,
        config: HandlerConfig,
        records: Option<Arc<dyn TokenStore>>,
    ) -> Result<Self, LoadError> {
        let HandlerConfig {
            name,
            component,
            sha256,
            first_party,
            prefixes,
            checksum,
            settings,
            keys,
            secrets,
            store,
            queries,
            actors,
            default_ttl,
            max_ttl,
            max_idle,
            max_tokens_per_actor,
            leeway,
            limits,
        } = config;
        check_name(&name)?;
        check_prefixes(&prefixes)?;
        check_limits(runtime, &limits)?;
        let policy = Policy { actors, default_ttl, max_ttl, max_idle, max_tokens_per_actor, leeway };
        check_policy(&policy, store.is_some() || records.is_some())?;
        let component = runtime.load(&component, limits.component_bytes, sha256)?;
        if let Some(unknown) = settings.keys().find(|name| !component.info.settings.contains(*name)) {
            return Err(LoadError::new(
                "unknown-setting",
                format!(
                    "the component knows no setting `{}`; it knows {}",
                    printable(unknown, MAX_NAME),
                    list_names(&component.info.settings)
                ),
            ));
        }
        let name: Arc<str> = name.into();
        let bound = Bound::new(name.clone(), limits, settings, keys, secrets, store, queries)?;
        check_grants(&component.info, &bound)?;
        let sandbox = Arc::new(Sandbox::new(runtime.shared().clone(), &component, bound)?);
        let now = UnixTime { seconds: 0, nanoseconds: 0 };
        pollster::block_on(sandbox.try_out(now)).map_err(|fault| trial_error(&Error::new(&name, fault)))?;
        Ok(Self {
            name,
            first_party,
            prefixes,
            checksum,
            bound: sandbox.bound.clone(),
            component,
            runtime: runtime.clone(),
            policy,
            records,
            answers: Answers::new(sandbox.bound.limits.answer_bytes),
            sandbox,
        })
    }

    /// What has been counted of it.
    pub(crate) fn counts(&self) -> Counts {
        self.bound.counters.read()
    }

    /// What it is made of.
    pub(crate) fn info(&self) -> &ComponentInfo {
        &self.component.info
    }

    /// Asks the handler about a token that is its own, and judges its answer. `digest` is that of the token.
    pub(crate) async fn verify(&self, token: &str, digest: TokenDigest) -> Result<Verdict, Error> {
        if self.checksum && !checksum::fits(token) {
            return Ok(Rejection::of(&self.name, Reason::Malformed, "Invalid token: wrong checksum"));
        }
        // A first-party handler gives the reason that the original it follows gives.
        if !self.first_party && self.is_only_prefix(token) {
            return Ok(self.refuse_prefix());
        }
        if !self.is_of_its_form(token) {
            return Ok(Rejection::of(&self.name, Reason::Malformed, "Invalid token: wrong form"));
        }
        let judged = async {
            let now = self.runtime.shared().now()?;
            let kept = self.answers.get(&digest, now.seconds);
            if let Some(kept) = kept.filter(|kept| kept.expires_at.is_none_or(|end| !now.is_past(end))) {
                self.bound.counters.kept.count();
                return Ok(Verdict::Accepted(Acceptance::clone(&kept)));
            }
            let (verdict, repeatable) = self.ask(token, &digest, now).await?;
            if matches!(verdict, Verdict::Accepted(_)) && self.is_only_prefix(token) {
                return Ok(self.refuse_prefix());
            }
            if let Verdict::Accepted(acceptance) = &verdict
                && repeatable
            {
                self.answers.keep(digest, now.seconds, size(acceptance), Arc::new(acceptance.clone()));
            }
            Ok(verdict)
        };
        judged.await.map_err(|fault| Error::new(&self.name, fault))
    }

    /// Returns whether its tokens end with a checksum.
    pub(crate) fn has_checksum(&self) -> bool {
        self.checksum
    }

    /// Returns whether a token has one of the forms that the component states, if it states any.
    fn is_of_its_form(&self, token: &str) -> bool {
        let forms = &self.component.forms;
        if forms.is_empty() {
            return true;
        }
        let prefix = self.prefixes.iter().filter(|prefix| token.starts_with(prefix.as_str())).map(String::len).max();
        let rest = token.get(prefix.unwrap_or(0)..).unwrap_or_default();
        forms.iter().any(|form| form.fits(rest))
    }

    fn refuse_prefix(&self) -> Verdict {
        Rejection::of(&self.name, Reason::Malformed, "Invalid token: nothing follows its prefix")
    }

    /// Returns whether a token is a prefix of this handler and nothing else: it holds no secret.
    pub(crate) fn is_only_prefix(&self, token: &str) -> bool {
        self.prefixes.iter().any(|prefix| prefix == token)
    }

    /// Calls the handler. Says too whether it would answer the same again in this second.
    async fn ask(&self, token: &str, digest: &TokenDigest, now: UnixTime) -> Result<(Verdict, bool), Fault> {
        let Verified { answer, records, key, repeatable } = self.sandbox.verify(token.into(), now).await?;
        let verdict = match answer {
            // Boxed, so that handlers without records need not carry the larger future.
            Answer::Proposal(proposal) if self.looks_up() => {
                let presented = Presented { token, digest, key };
                Box::pin(self.judge_with_record(proposal, presented, records, now)).await?
            }
            Answer::Proposal(proposal) => self.judge(proposal, token, key, now)?,
            Answer::NotMine => Verdict::NotMine,
            Answer::Rejected(reason, message) => Rejection::of(&self.name, reason, message),
        };
        // What is written in its record may change at any time.
        Ok((verdict, repeatable && self.bound.store.is_none()))
    }

    /// Judges what the handler says of a token.
    fn judge(&self, proposal: Proposal, token: &str, key: Option<Arc<str>>, now: UnixTime) -> Result<Verdict, Fault> {
        let mut verdict = self.policy.judge(&self.name, &self.bound.limits, proposal, now)?;
        if let Verdict::Accepted(acceptance) = &mut verdict {
            acceptance.key = key;
            if self.first_party {
                acceptance.issue_time = IssueTime::FirstParty;
            }
        }
        names_no_token(&verdict, token)?;
        Ok(verdict)
    }

    /// Where records of its tokens are kept, by itself or by the host.
    pub(crate) fn store(&self) -> Option<&Arc<dyn TokenStore>> {
        self.bound.store.as_ref().map(|grant| &grant.store).or(self.records.as_ref())
    }

    async fn commit(&self, mut changes: Changes, now: UnixTime) -> Result<Committed, Fault> {
        let Some(store) = self.store() else { return Ok(Committed::Done) };
        if changes.insert.is_none() && changes.end.is_empty() && changes.edit.is_none() {
            return Ok(Committed::Done);
        }
        changes.at = now.seconds;
        store.commit(&self.name, changes).await.map_err(|error| Fault::Store(error.to_string()))
    }

    /// Times the phases of one verify.
    #[cfg(feature = "phases")]
    pub(crate) async fn phases(&self, token: &str) -> Result<Vec<(&'static str, Duration)>, Fault> {
        let start = Instant::now();
        let now = self.runtime.shared().now()?;
        let (answer, mut times) = self.sandbox.phases(token, now).await?;
        let asked = Instant::now();
        if let Answer::Proposal(proposal) = answer {
            let _ = std::hint::black_box(self.policy.judge(&self.name, &self.bound.limits, proposal, now)?);
        }
        times.push(("policy", asked.elapsed()));
        times.push(("all of it, without room and pool", start.elapsed()));
        Ok(times)
    }
}

/// What the host keeps must be kept somewhere.
fn check_policy(policy: &Policy, has_records: bool) -> Result<(), LoadError> {
    let Policy { default_ttl, max_ttl, max_idle, max_tokens_per_actor, .. } = policy;
    let wrong = |text: &str| Err(LoadError::new("bad-policy", text));
    if default_ttl.zip(*max_ttl).is_some_and(|(default, max)| u64::from(default.get()) > max) {
        return wrong("`default_ttl` is greater than `max_ttl`: no token could be made without a lifetime");
    }
    if (max_idle.is_some() || max_tokens_per_actor.is_some()) && !has_records {
        return wrong("`max_idle` and `max_tokens_per_actor` need records of tokens: add `[store]`");
    }
    if max_idle.is_some_and(|idle| idle < LEAST_IDLE) {
        return wrong("`max_idle` is less than 600 seconds: when a token was last used is known to the minute or so");
    }
    Ok(())
}

/// How much memory a good answer takes, generously: its restrictions stand in it twice, once as text.
fn size(acceptance: &Acceptance) -> usize {
    let texts = [Some(acceptance.actor.json()), acceptance.actor.id(), acceptance.token_id.as_deref()];
    let bytes: usize = texts.into_iter().flatten().map(str::len).sum();
    let per_byte = if acceptance.restrictions.is_some() { 16 } else { 1 };
    bytes.saturating_mul(per_byte).saturating_add(512)
}

/// A token of which the ids are made would stand in logs and headers, where they go. Short ones are hard-coded by an
/// operator, and may well be part of an id.
fn names_no_token(verdict: &Verdict, token: &str) -> Result<(), Fault> {
    const SHORT: usize = 16;
    let Verdict::Accepted(Acceptance { actor, token_id, .. }) = verdict else { return Ok(()) };
    let named = [actor.id(), token_id.as_deref()].into_iter().flatten().any(|id| id.contains(token));
    if named && token.len() >= SHORT {
        return Err(Fault::BadResult("the token stands in the actor's id or in the token id".into()));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), LoadError> {
    let fine = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fine { Ok(()) } else { Err(LoadError::new("bad-name", "a handler's name is 1 to 64 of `A-Z a-z 0-9 _ -`")) }
}

fn check_prefixes(prefixes: &[String]) -> Result<(), LoadError> {
    match prefixes.iter().find(|prefix| prefix.is_empty() || prefix.len() > 256 || !is_token_text(prefix)) {
        None => Ok(()),
        Some(prefix) => Err(LoadError::new(
            "bad-prefix",
            format!("`{}` is no prefix: use 1 to 256 of `A-Z a-z 0-9 . _ ~ + / = -`", printable(prefix, MAX_NAME)),
        )),
    }
}

fn check_limits(runtime: &Runtime, limits: &Limits) -> Result<(), LoadError> {
    let most = &runtime.shared().limits;
    let too_high = |setting: &str, value: usize, most: usize| {
        Err(LoadError::new("bad-limit", format!("`{setting}` is {value}, more than this runtime's {most}")))
    };
    if limits.memory_bytes > most.memory_bytes {
        return too_high("limits.memory_mib", limits.memory_bytes >> 20, most.memory_bytes >> 20);
    }
    if limits.table_elements > most.table_elements {
        return too_high("limits.table_elements", limits.table_elements, most.table_elements);
    }
    match limits.concurrent_calls {
        Some(0) => Err(LoadError::new("bad-limit", "`limits.concurrent_calls` is 0: no call could ever run")),
        Some(calls) if calls > most.slots => too_high("limits.concurrent_calls", calls, most.slots),
        _ => Ok(()),
    }
}

/// What the component asks for, against what it was granted.
fn check_grants(info: &ComponentInfo, bound: &Bound) -> Result<(), LoadError> {
    let missing = |interface: &str, line: &str| {
        Err(LoadError::new(
            "not-granted",
            format!(
                "the component asks for `keyward:handler/{interface}`, which it is not granted: add `{line}` to this handler \
             if it should have it"
            ),
        ))
    };
    if info.imports.contains("keys") && bound.keys.is_empty() {
        return missing("keys", "keys.LABEL = { ring = \"…\" }");
    }
    if info.imports.contains("secrets") && bound.secrets.is_empty() {
        return missing("secrets", "secrets.NAME = { file = \"…\" }");
    }
    if info.imports.contains("store") && bound.store.is_none() {
        return missing("store", "store = true");
    }
    if info.imports.contains("queries") && bound.queries.is_empty() {
        return missing("queries", "queries.LABEL = \"…\"");
    }
    // Its tokens say themselves what they allow: whoever narrowed one by its record would narrow nothing.
    if bound.store.is_some() && !info.imports.contains("store") {
        return Err(LoadError::new(
            "keeps-no-records",
            "the component does not ask for `keyward:handler/store`, so it keeps no records: remove `store`; where there is a \
             `[store]`, the host keeps a record of each of its tokens all the same",
        ));
    }
    Ok(())
}
