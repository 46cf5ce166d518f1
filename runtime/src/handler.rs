//! A loaded handler: its sandbox, and the policy that judges its results.

mod identify;
mod issue;
mod verify_record;

use crate::actor::ActorId;
use crate::bindings::Answer;
use crate::breaker::BreakerState;
use crate::checksum;
use crate::clock::UnixTime;
use crate::component::{CheckedComponent, ComponentInfo};
use crate::counts::Counts;
use crate::error::{Error, ErrorKind, LoadError, LoadErrorKind};
use crate::grants::{BoundGrants, Grants, HandlerConfig};
use crate::limits::Limits;
use crate::policy::{Policy, Proposal};
use crate::runtime::Runtime;
use crate::sandbox::{Sandbox, VerifyOutcome, trial_error};
use crate::sanitize::{MAX_NAME, escape_untrusted, list_names};
use crate::session::SessionHasher;
use crate::session_cache::SessionCache;
use crate::session_flights::Flights;
use crate::store::{CommitOutcome, RecordStore, Revocation, Transaction};
use crate::token::{TokenDigest, is_token_text};
use crate::verdict::{Acceptance, IssueTime, Reason, Rejection, Verdict};
use crate::verdict_cache::{Moment, VerdictCache};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use issue::{IssueContext, PARENT_REVOKED};
use verify_record::Presented;

/// A loaded handler with its [`Sandbox`] and [`Policy`].
pub(crate) struct Handler {
    pub(crate) name: Arc<str>,
    /// Set if the host trusts the token ids and issue times that the component reports.
    pub(crate) first_party: bool,
    pub(crate) prefixes: Vec<String>,
    /// Set if its tokens end with a checksum.
    checksum: bool,
    pub(crate) bound: Arc<BoundGrants>,
    /// Held for the life of the handler, so that its replacement does not compile it again.
    component: Arc<CheckedComponent>,
    runtime: Runtime,
    pub(crate) policy: Policy,
    /// The store in which the host keeps records of its tokens, if the handler keeps none itself.
    records: Option<Arc<dyn RecordStore>>,
    sandbox: Arc<Sandbox>,
    answers: VerdictCache<Acceptance>,
    sessions: Sessions,
    flights: Flights,
}

/// The cache of verdicts on sessions.
struct Sessions {
    hasher: SessionHasher,
    cache: Option<SessionCache>,
    /// The name under which its sessions are revoked apart from its tokens.
    scope: String,
}

impl Handler {
    /// Loads the component and instantiates it once as a trial.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the configuration, the component or the trial is not acceptable.
    pub(crate) fn load(
        runtime: &Runtime,
        config: HandlerConfig,
        records: Option<Arc<dyn RecordStore>>,
        deadline: Instant,
    ) -> Result<Self, LoadError> {
        let shown = escape_untrusted(&config.name, MAX_NAME);
        Self::load_unnamed(runtime, config, records, deadline).map_err(|error| error.in_handler(&shown))
    }

    fn load_unnamed(
        runtime: &Runtime,
        config: HandlerConfig,
        records: Option<Arc<dyn RecordStore>>,
        deadline: Instant,
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
            public_keys,
            secrets,
            store,
            queries,
            http,
            wasi,
            session,
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
        let policy = Policy {
            actors,
            default_ttl: default_ttl.map(lifetime).transpose()?,
            max_ttl: max_ttl.map(|ttl| ttl.as_secs()),
            max_idle: max_idle.map(|idle| idle.as_secs()),
            max_tokens_per_actor,
            leeway: leeway.as_secs(),
        };
        check_policy(&policy, store.is_some() || records.is_some())?;
        let component = runtime.load(&component, limits.component_bytes, sha256, deadline)?;
        for (setting, value) in &settings {
            let Some(kind) = component.info.settings.get(setting) else {
                return Err(LoadError::new(
                    LoadErrorKind::UnknownSetting,
                    format!(
                        "unknown setting `{}`; the component declares {}",
                        escape_untrusted(setting, MAX_NAME),
                        list_names(component.info.settings.keys())
                    ),
                ));
            };
            kind.check(setting, value)?;
        }
        let name: Arc<str> = name.into();
        let bound = BoundGrants::new(
            name.clone(),
            limits,
            Grants { settings, keys, public_keys, secrets, store, queries, http, wasi, session },
        )?;
        check_grants(&component.info, &bound)?;
        if !component.info.handles_tokens() && !prefixes.is_empty() {
            let text = "the component is no token handler, so it has no tokens: remove `prefixes`";
            return Err(LoadError::new(LoadErrorKind::BadPrefix, text));
        }
        let sandbox = Arc::new(Sandbox::new(runtime.shared().clone(), &component, bound)?);
        let now = UnixTime { seconds: 0, nanoseconds: 0 };
        pollster::block_on(sandbox.try_out(now)).map_err(|fault| trial_error(&Error::new(&name, fault)))?;
        let sessions = Sessions {
            hasher: SessionHasher::new().map_err(|error| {
                LoadError::new(LoadErrorKind::Runtime, format!("the system gives no random bytes: {error}"))
            })?,
            cache: SessionCache::new(&sandbox.bound.session, sandbox.bound.limits.verdict_cache_bytes),
            scope: Revocation::scope_of_sessions(&name),
        };
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
            answers: VerdictCache::new(sandbox.bound.limits.verdict_cache_bytes),
            sessions,
            flights: Flights::default(),
            sandbox,
        })
    }

    /// Returns the [`Counts`] of the handler.
    pub(crate) fn counts(&self) -> Counts {
        self.bound.counters.read()
    }

    /// Returns the state of its breaker, and how often that has opened.
    pub(crate) fn breaker(&self) -> (BreakerState, u64) {
        (self.sandbox.breaker.state(Instant::now()), self.sandbox.breaker.openings.read())
    }

    /// Returns the [`ComponentInfo`] of its component.
    pub(crate) fn info(&self) -> &ComponentInfo {
        &self.component.info
    }

    /// Verifies a token of this handler, whose digest is `digest`: calls the handler and judges its
    /// result, unless the verdict is cached.
    ///
    /// # Errors
    /// Returns an [`Error`] if no verdict is available.
    pub(crate) async fn verify(&self, token: &str, digest: TokenDigest) -> Result<Verdict, Error> {
        if self.checksum && !checksum::matches(token) {
            return Ok(Rejection::of(&self.name, Reason::Malformed, "Invalid token: wrong checksum"));
        }
        // A first-party handler gives the same reason as the system that it emulates.
        if !self.first_party && self.is_only_prefix(token) {
            return Ok(self.refuse_prefix());
        }
        if !self.is_of_its_form(token) {
            return Ok(Rejection::of(&self.name, Reason::Malformed, "Invalid token: wrong format"));
        }
        let judged = async {
            let now = self.runtime.shared().now()?;
            let moment = Moment { second: now.seconds, generation: self.bound.generation() };
            let kept = self.answers.get(&digest, moment);
            if let Some(kept) = kept.filter(|kept| kept.expires_at.is_none_or(|end| !now.is_past(end))) {
                self.bound.counters.cache_hits.count();
                return Ok(Verdict::Accepted(Acceptance::clone(&kept)));
            }
            let asked = self.ask(token, &digest, now).await;
            let breaker = &self.sandbox.breaker;
            let (verdict, repeatable) = asked.inspect_err(|fault| breaker.failed(&digest, fault, Instant::now))?;
            if matches!(verdict, Verdict::Accepted(_)) {
                breaker.accepted(&digest, Instant::now);
            }
            if matches!(verdict, Verdict::Accepted(_)) && self.is_only_prefix(token) {
                return Ok(self.refuse_prefix());
            }
            if let Verdict::Accepted(acceptance) = &verdict
                && repeatable
            {
                self.answers.keep(digest, moment, size(acceptance), || Arc::new(acceptance.clone()));
            }
            Ok(verdict)
        };
        judged.await.map_err(|fault| Error::new(&self.name, fault))
    }

    /// Returns whether the tokens of this handler end with a checksum.
    pub(crate) fn has_checksum(&self) -> bool {
        self.checksum
    }

    /// Returns whether `token` matches one of the patterns that the component declares. `true` if
    /// it declares none.
    pub(crate) fn is_of_its_form(&self, token: &str) -> bool {
        let patterns = &self.component.patterns;
        if patterns.is_empty() {
            return true;
        }
        let prefix = self.prefixes.iter().filter(|prefix| token.starts_with(prefix.as_str())).map(String::len).max();
        let rest = token.get(prefix.unwrap_or(0)..).unwrap_or_default();
        patterns.iter().any(|form| form.matches(rest))
    }

    fn refuse_prefix(&self) -> Verdict {
        Rejection::of(&self.name, Reason::Malformed, "Invalid token: nothing follows its prefix")
    }

    /// Returns whether `token` is only a prefix of this handler, and therefore contains no secret.
    pub(crate) fn is_only_prefix(&self, token: &str) -> bool {
        self.prefixes.iter().any(|prefix| prefix == token)
    }

    /// Calls the handler and judges its result. Also returns whether the verdict may be cached.
    async fn ask(&self, token: &str, digest: &TokenDigest, now: UnixTime) -> Result<(Verdict, bool), ErrorKind> {
        let VerifyOutcome { answer, records, key, repeatable } = self.sandbox.verify(token, now).await?;
        let verdict = match answer {
            // Boxed, to keep the future of handlers without records small.
            Answer::Proposal(proposal) if self.looks_up() => {
                let presented = Presented { token, digest, key };
                Box::pin(self.judge_with_record(proposal, presented, records, now)).await?
            }
            Answer::Proposal(proposal) => self.judge(proposal, token, key, now)?,
            Answer::NotMine => Verdict::NotMine,
            Answer::Rejected(reason, message) => Rejection::of(&self.name, reason, message),
        };
        // A record may change at any time, so verdicts that depend on one are not cached.
        Ok((verdict, repeatable && self.bound.store.is_none()))
    }

    /// Judges a handler's proposal about a token.
    fn judge(
        &self,
        proposal: Proposal,
        token: &str,
        key: Option<Arc<str>>,
        now: UnixTime,
    ) -> Result<Verdict, ErrorKind> {
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

    /// Returns the store of its token records, whether the handler or the host keeps them. `None`
    /// if there are no records.
    pub(crate) fn store(&self) -> Option<&Arc<dyn RecordStore>> {
        self.bound.store.as_ref().map(|grant| &grant.store).or(self.records.as_ref())
    }

    async fn commit(&self, mut changes: Transaction, now: UnixTime) -> Result<CommitOutcome, ErrorKind> {
        let Some(store) = self.store() else { return Ok(CommitOutcome::Done) };
        if changes.insert.is_none() && changes.end.is_empty() && changes.edit.is_none() {
            return Ok(CommitOutcome::Done);
        }
        changes.at = now.whole();
        Ok(store.commit(&self.name, changes).await?)
    }
}

/// Converts a lifetime to the unit of the contract.
fn lifetime(ttl: Duration) -> Result<NonZeroU32, LoadError> {
    let text = "`default_ttl` must be 1 to 4,294,967,295 seconds";
    let seconds = u32::try_from(ttl.as_secs()).ok().and_then(NonZeroU32::new);
    seconds.ok_or_else(|| LoadError::new(LoadErrorKind::BadPolicy, text))
}

/// Checks that the lifetimes are consistent, and that a policy that needs records has a store.
fn check_policy(policy: &Policy, has_records: bool) -> Result<(), LoadError> {
    let Policy { default_ttl, max_ttl, max_idle, max_tokens_per_actor, .. } = policy;
    let wrong = |text: &str| Err(LoadError::new(LoadErrorKind::BadPolicy, text));
    if default_ttl.zip(*max_ttl).is_some_and(|(default, max)| u64::from(default.get()) > max) {
        return wrong(
            "`default_ttl` is greater than `max_ttl`, so no token could be created without a lifetime: lower `default_ttl`",
        );
    }
    if (max_idle.is_some() || max_tokens_per_actor.is_some()) && !has_records {
        return wrong("`max_idle` and `max_tokens_per_actor` require token records: add a `[store]` section");
    }
    if max_idle.is_some_and(|idle| idle < HandlerConfig::MIN_IDLE.as_secs()) {
        return wrong(
            "`max_idle` is less than 600 seconds: use at least 600, because the last use is only recorded to about the minute",
        );
    }
    Ok(())
}

/// Returns a generous estimate of the memory of a cached [`Acceptance`]. Its restrictions are
/// stored twice, once as text.
fn size(acceptance: &Acceptance) -> usize {
    let texts =
        [Some(acceptance.actor.json()), acceptance.actor.id().map(ActorId::as_str), acceptance.token_id.as_deref()];
    let bytes: usize = texts.into_iter().flatten().map(str::len).sum();
    let per_byte = if acceptance.restrictions.is_some() { 16 } else { 1 };
    bytes.saturating_mul(per_byte).saturating_add(512)
}

/// Refuses an acceptance whose ids contain the token, because ids are written to logs and headers.
/// Short tokens are exempt: an operator hard-coded them, and they may well be part of an id.
fn names_no_token(verdict: &Verdict, token: &str) -> Result<(), ErrorKind> {
    const SHORT: usize = 16;
    let Verdict::Accepted(Acceptance { actor, token_id, .. }) = verdict else { return Ok(()) };
    let named =
        [actor.id().map(ActorId::as_str), token_id.as_deref()].into_iter().flatten().any(|id| id.contains(token));
    if named && token.len() >= SHORT {
        return Err(ErrorKind::BadResult("the actor id or the token id contains the token".into()));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), LoadError> {
    let fine = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fine {
        Ok(())
    } else {
        Err(LoadError::new(LoadErrorKind::BadName, "a handler name must be 1 to 64 characters of `A-Z a-z 0-9 _ -`"))
    }
}

fn check_prefixes(prefixes: &[String]) -> Result<(), LoadError> {
    match prefixes.iter().find(|prefix| prefix.is_empty() || prefix.len() > 256 || !is_token_text(prefix)) {
        None => Ok(()),
        Some(prefix) => Err(LoadError::new(
            LoadErrorKind::BadPrefix,
            format!(
                "`{}` is not a valid prefix: use 1 to 256 characters of `A-Z a-z 0-9 . _ ~ + / = -`",
                escape_untrusted(prefix, MAX_NAME)
            ),
        )),
    }
}

fn check_limits(runtime: &Runtime, limits: &Limits) -> Result<(), LoadError> {
    let max = &runtime.shared().limits;
    let too_high = |setting: &str, value: usize, max: usize| {
        Err(LoadError::new(
            LoadErrorKind::BadLimit,
            format!("`{setting}` is {value}, more than this runtime's maximum of {max}"),
        ))
    };
    if limits.memory_bytes > max.memory_bytes {
        return too_high("limits.memory_mib", limits.memory_bytes >> 20, max.memory_bytes >> 20);
    }
    if limits.table_elements > max.table_elements {
        return too_high("limits.table_elements", limits.table_elements, max.table_elements);
    }
    if let Some(setting) = limits.zero() {
        return Err(LoadError::new(
            LoadErrorKind::BadLimit,
            format!("`limits.{setting}` is 0, so no call could succeed: use at least 1"),
        ));
    }
    match limits.concurrent_calls {
        Some(calls) if calls > max.slots => too_high("limits.concurrent_calls", calls, max.slots),
        _ => Ok(()),
    }
}

/// Checks that every import of the component is granted.
fn check_grants(info: &ComponentInfo, bound: &BoundGrants) -> Result<(), LoadError> {
    let missing = |interface: &str, line: &str| {
        Err(LoadError::new(
            LoadErrorKind::NotGranted,
            format!(
                "the component imports `keyward:handler/{interface}`, which is not granted: to grant it, add `{line}` to \
             this handler"
            ),
        ))
    };
    if !info.wasi.is_empty() && !bound.wasi {
        let text = format!(
            "the component imports {}, and WASI is not granted: to grant it (the time of the call, random bytes and the log, \
             but no files, sockets and variables), add `wasi = true` to this handler; to avoid it, build without WASI (in \
             Rust, with `--target wasm32-unknown-unknown`)",
            list_names(info.wasi.iter())
        );
        return Err(LoadError::new(LoadErrorKind::NotGranted, text));
    }
    // A handler that verifies with both kinds of keys needs only one of them.
    let has_keys = info.imports.contains("keys") && !bound.keys.is_empty();
    let has_public_keys = info.imports.contains("public-keys") && !bound.public_keys.is_empty();
    if info.imports.contains("public-keys") && !has_keys && !has_public_keys {
        return missing("public-keys", "public_keys.LABEL = { set = \"…\", algorithms = [\"RS256\"] }");
    }
    if info.imports.contains("keys") && !has_keys && !has_public_keys {
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
    if info.imports.contains("http") && bound.http.is_empty() {
        return missing("http", "http.LABEL = \"…\"");
    }
    // The handler does not read records, so narrowing one would not narrow its token.
    if bound.store.is_some() && !info.imports.contains("store") {
        return Err(LoadError::new(
            LoadErrorKind::KeepsNoRecords,
            "the component does not import `keyward:handler/store`, so it keeps no records: remove `store`; with a `[store]` \
             section, the host keeps a record of each of its tokens anyway",
        ));
    }
    Ok(())
}
