//! Months in the life of a service, in random steps: a model of a few lines predicts the verdict on
//! every token at any time. `cargo xtask soak` runs longer.

mod prompt;
mod steps;

use super::{FOREVER, restrictions, store};
use crate::support::{RUNTIME, SIGNED, TestClock, time};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{Key, KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::{Filter, ListEntry, Revocation, Status, TokenStore};
use keyward_runtime::token::TokenId;
use keyward_runtime::{
    Acceptance, ActorId, Actors, CreateRequest, Creation, HandlerConfig, IssueOptions, Registry, Restrictions,
    StoreGrant, Verdict,
};
use keyward_store::{ImportOptions, Store};
use keyward_tests::postgres::block_on;
use prompt::Prompt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use sha1::{Digest, Sha1};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use std::collections::BTreeMap;
use std::env;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use steps::{KeyStep, Step, step};
use tempfile::TempDir;

const START: u64 = 1_767_225_600;
const DAY: u32 = 86_400;
const IDLE: u64 = 30 * DAY as u64;
/// Maximum number of an actor's tokens.
const MOST: usize = 12;
/// A client, and the maximum number of its tokens.
const CLIENT: (&str, usize) = ("app", 20);
const HANDLERS: [&str; 3] = ["stored", "signed", "managed"];
const ACTORS: [&str; 3] = ["ann", "bob", "cleo"];

/// Number of levels of restrictions, each within the previous one.
const LEVELS: usize = 3;

fn level(level: usize) -> Option<Restrictions> {
    match level {
        0 => None,
        1 => Some(restrictions(&[("own", None, None), ("view-table", Some("one"), None)])),
        _ => Some(restrictions(&[("view-table", Some("one"), Some("t"))])),
    }
}

/// The model of a token.
#[derive(Debug, Clone)]
struct Token {
    text: String,
    id: String,
    handler: usize,
    actor: usize,
    level: usize,
    issued: u64,
    end: Option<u64>,
    used: Option<u64>,
    /// The reason for its termination before its expiry.
    ended: Option<Status>,
    /// The number of its key, if its key is rotated.
    key: Option<u8>,
    /// The token that it was derived from.
    parent: Option<usize>,
    /// Set if it was issued for [`CLIENT`].
    by_client: bool,
}

/// The model: all tokens and keys.
#[derive(Default)]
struct Model {
    tokens: Vec<Token>,
    /// The keys that are not retired, and the active one.
    keys: Vec<u8>,
    active: u8,
    made: u8,
}

impl Model {
    fn status(&self, token: &Token, now: u64) -> Status {
        let is_over = token.end.is_some_and(|end| end < now) || token.used.unwrap_or(token.issued) + IDLE < now;
        token.ended.unwrap_or(if is_over { Status::Expired } else { Status::Active })
    }

    fn is_good(&self, token: &Token, now: u64) -> bool {
        self.status(token, now) == Status::Active && token.key.is_none_or(|key| self.keys.contains(&key))
    }

    fn has_room(&self, handler: usize, actor: usize, now: u64) -> bool {
        let of_actor = self.tokens.iter().filter(|token| (token.handler, token.actor) == (handler, actor));
        of_actor.filter(|token| self.status(token, now) == Status::Active).count() < MOST
    }

    fn client_has_room(&self, now: u64) -> bool {
        let is_counted =
            |token: &&Token| token.by_client && token.ended.is_none() && token.end.is_none_or(|end| end >= now);
        self.tokens.iter().filter(is_counted).count() < CLIENT.1
    }

    /// Returns whether a token was derived from another one, at any distance.
    fn is_descendant(&self, token: usize, of: usize) -> bool {
        let parent = self.tokens[token].parent;
        parent.is_some_and(|parent| parent == of || self.is_descendant(parent, of))
    }

    fn key_of(&self, handler: usize) -> Option<u8> {
        (HANDLERS[handler] == "signed").then_some(self.active)
    }
}

/// The service under test.
struct World {
    folder: TempDir,
    store: Arc<dyn TokenStore>,
    sqlite: Arc<Store>,
    revocations: Arc<Revocations>,
    registry: Registry,
    model: Model,
    now: u64,
}

impl World {
    fn new() -> Self {
        let (folder, sqlite) = store();
        let store: Arc<dyn TokenStore> = Arc::new(Prompt(sqlite.clone()));
        let revocations = Revocations::open(store.clone(), FOREVER).unwrap();
        let model = Model { keys: vec![0], made: 1, ..Model::default() };
        let registry = registry(&model, &store, &revocations);
        Self { folder, store, sqlite, revocations, registry, model, now: START }
    }

    /// Chooses a token, if there is one.
    fn pick(&self, number: usize) -> Option<usize> {
        (!self.model.tokens.is_empty()).then(|| number % self.model.tokens.len())
    }

    fn at(&mut self, now: u64) {
        self.now = now;
        TestClock.set(Some(UnixTime { seconds: now, nanoseconds: 0 }));
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        // Each step has its own second: a revocation also covers tokens created in its second.
        self.at(self.now + 1);
        match *step {
            Step::Create { handler, actor, seconds, level, twice, by_client } => {
                for _ in 0..=usize::from(twice) {
                    self.create(handler, actor, seconds, level, by_client)?;
                }
            }
            Step::Derive { token, handler, seconds, level } => {
                if let Some(token) = self.pick(token) {
                    self.derive(token, handler, seconds, level)?;
                }
            }
            Step::Verify { token } => {
                if let Some(token) = self.pick(token) {
                    self.verify(token)?;
                }
            }
            Step::Wait { seconds } => self.now += u64::from(seconds),
            Step::Outlive { token } => {
                let Some(token) = self.pick(token) else { return Ok(()) };
                let known = &self.model.tokens[token];
                let last = (known.used.unwrap_or(known.issued) + IDLE).min(known.end.unwrap_or(u64::MAX));
                if last > self.now {
                    // A use in its last second may extend its validity, so either second is chosen.
                    self.at(last + self.now % 2);
                    self.verify(token)?;
                }
            }
            Step::RevokeToken { token, keep_children } => {
                let Some(token) = self.pick(token) else { return Ok(()) };
                let Token { handler, id, .. } = self.model.tokens[token].clone();
                let (handler, token_id) = (Some(HANDLERS[handler].to_owned()), Some(id));
                let family: Vec<_> = (0..self.model.tokens.len())
                    .filter(|at| *at == token || (!keep_children && self.model.is_descendant(*at, token)))
                    .collect();
                let revocation = Revocation { handler, token_id, keep_children, ..Revocation::default() };
                self.revoke(revocation, |at, _| family.contains(&at))?;
            }
            Step::RevokeAll { handler, actor } => {
                let revocation = Revocation {
                    handler: handler.map(|handler| HANDLERS[handler].to_owned()),
                    actor_id: actor.map(|actor| ACTORS[actor].to_owned()),
                    ..Revocation::default()
                };
                self.revoke(revocation, |_, token| {
                    handler.is_none_or(|wanted| wanted == token.handler)
                        && actor.is_none_or(|wanted| wanted == token.actor)
                })?;
            }
            Step::Edit { token, seconds, level } => {
                if let Some(token) = self.pick(token) {
                    self.edit(token, seconds, level)?;
                }
            }
            Step::Rotate { token, overlap } => {
                if let Some(token) = self.pick(token) {
                    self.rotate(token, overlap)?;
                }
            }
            Step::Keys(step) => self.change_keys(step),
            Step::Import { actor, seconds } => self.import(actor, seconds),
            Step::List => self.list()?,
        }
        Ok(())
    }

    fn create(
        &mut self,
        handler: usize,
        actor: usize,
        seconds: Option<u32>,
        wanted: usize,
        by_client: bool,
    ) -> Result<(), TestCaseError> {
        let mut request = CreateRequest::new(ACTORS[actor]);
        request.expires_after = seconds.and_then(NonZeroU32::new);
        request.restrictions = level(wanted);
        request.client = by_client.then(|| CLIENT.0.to_owned());
        let client_may = !by_client || self.model.client_has_room(self.now);
        let may = client_may && self.model.has_room(handler, actor, self.now);
        let end = seconds.map(|seconds| self.now + u64::from(seconds));
        self.issue(request, may, (handler, actor, wanted, end, None))
    }

    /// Creates a token from another one. A token that is not valid is not a parent.
    fn derive(
        &mut self,
        token: usize,
        handler: usize,
        seconds: Option<u32>,
        wanted: usize,
    ) -> Result<(), TestCaseError> {
        self.verify(token)?;
        let known = self.model.tokens[token].clone();
        let Ok(Verdict::Accepted(parent)) = self.registry.verify_blocking(&known.text) else { return Ok(()) };
        let mut request = CreateRequest::new(ACTORS[known.actor]).parent(&parent);
        request.expires_after = seconds.and_then(NonZeroU32::new);
        request.restrictions = level(wanted);
        let end = seconds.map(|seconds| self.now + u64::from(seconds));
        let is_within = (wanted == 0 || wanted >= known.level)
            && known.end.is_none_or(|last| last > self.now && end.is_none_or(|end| end <= last));
        let may = is_within && self.model.has_room(handler, known.actor, self.now);
        let is_inherited = wanted == 0;
        let got = if is_inherited { known.level } else { wanted };
        self.issue(request, may, (handler, known.actor, got, end.or(known.end), Some(token)))
    }

    fn issue(
        &mut self,
        request: CreateRequest,
        may: bool,
        (handler, actor, level, end, parent): (usize, usize, usize, Option<u64>, Option<usize>),
    ) -> Result<(), TestCaseError> {
        let by_client = request.client.is_some();
        match self.registry.create_blocking(request.handler(HANDLERS[handler])).unwrap() {
            Creation::Created(created) => {
                prop_assert!(may, "created for {} with parent {parent:?}", ACTORS[actor]);
                let key = self.model.key_of(handler);
                prop_assert_eq!(created.expires_at, end.map(time));
                let is_new = |token: &Token| token.text != created.token;
                prop_assert!(self.model.tokens.iter().all(is_new), "issued twice");
                self.model.tokens.push(Token {
                    text: created.token,
                    id: created.token_id.unwrap(),
                    handler,
                    actor,
                    level,
                    issued: self.now,
                    end,
                    used: None,
                    ended: None,
                    key,
                    parent,
                    by_client,
                });
            }
            Creation::Denied(denied) => prop_assert!(!may, "{}", denied.message),
        }
        Ok(())
    }

    fn verify(&mut self, token: usize) -> Result<(), TestCaseError> {
        let known = &self.model.tokens[token];
        let good = self.model.is_good(known, self.now);
        match self.registry.verify_blocking(&known.text).unwrap() {
            Verdict::Accepted(acceptance) => {
                let actor = acceptance.actor_ignoring_restrictions().clone();
                let Acceptance { handler, restrictions, expires_at, token_id, .. } = acceptance;
                prop_assert!(good, "accepted: {:?}", known);
                let said = (&*handler, actor.id().and_then(ActorId::as_text), token_id.as_deref(), expires_at);
                let end = known.end.map(time);
                let wanted = (HANDLERS[known.handler], Some(ACTORS[known.actor]), Some(known.id.as_str()), end);
                prop_assert_eq!(said, wanted);
                prop_assert_eq!(restrictions, level(known.level));
                let known = &mut self.model.tokens[token];
                if known.used.is_none_or(|used| self.now >= used + 60) {
                    known.used = Some(self.now);
                }
            }
            verdict => prop_assert!(!good, "{verdict:?}: {known:?}"),
        }
        Ok(())
    }

    fn revoke(&mut self, revocation: Revocation, matches: impl Fn(usize, &Token) -> bool) -> Result<(), TestCaseError> {
        let ended = block_on(self.registry.revocations().unwrap().revoke(revocation)).unwrap();
        let now = self.now;
        let mut good = 0;
        for (at, token) in self.model.tokens.iter_mut().enumerate() {
            if matches(at, token) && token.ended.is_none() {
                good += u64::from(token.end.is_none_or(|end| end >= now));
                token.ended = Some(Status::Revoked);
            }
        }
        prop_assert_eq!(ended, good);
        Ok(())
    }

    fn edit(&mut self, token: usize, seconds: Option<u32>, wanted: usize) -> Result<(), TestCaseError> {
        let known = self.model.tokens[token].clone();
        let end = seconds.map(|seconds| self.now + u64::from(seconds));
        let amendment = TokenUpdate { description: None, expires_at: end.map(time), restrictions: level(wanted) };
        let is_sooner = end.is_none_or(|end| known.end.is_none_or(|known| end <= known));
        let changes_nothing = end.is_none() && wanted == 0;
        let may = HANDLERS[known.handler] != "signed" && self.model.status(&known, self.now) == Status::Active;
        let good =
            (may && is_sooner && (wanted == 0 || wanted >= known.level)) || (changes_nothing && known.ended.is_none());
        match block_on(
            self.registry.tokens().unwrap().edit(&TokenId::new(HANDLERS[known.handler], &known.id), amendment),
        )
        .unwrap()
        {
            UpdateOutcome::Done(_) => {
                prop_assert!(good, "edited: {known:?}");
                let changed = &mut self.model.tokens[token];
                changed.end = end.or(changed.end);
                changed.level = if wanted == 0 { changed.level } else { wanted };
            }
            UpdateOutcome::Denied(denied) => prop_assert!(!good, "{}: {known:?}", denied.message),
            UpdateOutcome::Unknown => prop_assert!(false, "no record: {known:?}"),
        }
        Ok(())
    }

    fn rotate(&mut self, token: usize, overlap: u32) -> Result<(), TestCaseError> {
        let known = self.model.tokens[token].clone();
        let has_time = known.end.is_none_or(|end| end > self.now);
        let may =
            HANDLERS[known.handler] != "signed" && self.model.status(&known, self.now) == Status::Active && has_time;
        let rotated = block_on(self.registry.tokens().unwrap().rotate(
            &TokenId::new(HANDLERS[known.handler], &known.id),
            Duration::from_secs(overlap.into()),
            IssueOptions::new(),
        ))
        .unwrap();
        match rotated.unwrap() {
            Creation::Created(created) => {
                prop_assert!(may, "rotated: {known:?}");
                prop_assert_eq!(created.expires_at, known.end.map(time));
                let old = &mut self.model.tokens[token];
                if overlap == 0 {
                    old.ended = Some(Status::Replaced);
                } else {
                    let cut = self.now + u64::from(overlap);
                    old.end = Some(old.end.map_or(cut, |end| end.min(cut)));
                }
                let (text, id) = (created.token, created.token_id.unwrap());
                let new = self.model.tokens.len();
                // Its children have the new token as their parent.
                self.model
                    .tokens
                    .iter_mut()
                    .filter(|child| child.parent == Some(token))
                    .for_each(|child| child.parent = Some(new));
                self.model.tokens.push(Token { text, id, issued: self.now, used: None, ..known });
            }
            // After a rotation, the actor or the client may have one token more than allowed.
            Creation::Denied(denied) => {
                let is_full = !self.model.has_room(known.handler, known.actor, self.now)
                    || (known.by_client && !self.model.client_has_room(self.now));
                prop_assert!(!may || is_full, "{}", denied.message);
            }
        }
        Ok(())
    }

    fn change_keys(&mut self, step: KeyStep) {
        let Model { keys, active, made, .. } = &mut self.model;
        match step {
            KeyStep::Add => {
                keys.push(*made);
                *made += 1;
            }
            // The newest one signs from now on, and the others still verify.
            KeyStep::Promote => *active = *keys.last().unwrap(),
            KeyStep::Retire => {
                if let Some(oldest) = keys.iter().position(|key| key != active) {
                    keys.remove(oldest);
                }
            }
        }
        self.registry = registry(&self.model, &self.store, &self.revocations);
    }

    /// Imports a token of datasette-auth-tokens, with a new number.
    fn import(&mut self, actor: usize, seconds: Option<u32>) {
        let number = 1 + self.model.tokens.len() * 2_000_000;
        let file = self.folder.path().join(format!("{number}.db"));
        block_on(async {
            let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
            let mut database = options.connect().await.unwrap();
            let table = "CREATE TABLE _datasette_auth_tokens (id INTEGER PRIMARY KEY, token_status TEXT, description TEXT, \
                 actor_id TEXT, permissions TEXT, created_timestamp INTEGER, last_used_timestamp INTEGER, \
                 expires_after_seconds INTEGER, ended_timestamp INTEGER, secret_version INTEGER DEFAULT 0)";
            database.execute(table).await.unwrap();
            let insert = "INSERT INTO _datasette_auth_tokens VALUES ($1, 'A', NULL, $2, 'null', $3, NULL, $4, NULL, 0)";
            let insert = sqlx::query(insert).bind(i64::try_from(number).unwrap()).bind(ACTORS[actor]);
            let insert = insert.bind(i64::try_from(self.now).unwrap()).bind(seconds);
            insert.execute(&mut database).await.unwrap();
        });
        block_on(self.sqlite.import("managed", file, ImportOptions { at: time(self.now), ..ImportOptions::default() }))
            .unwrap();
        let value = URL_SAFE_NO_PAD.encode(number.to_string());
        let key = Sha1::new().chain_update("dsatok").chain_update("signer").chain_update([255; 32]).finalize();
        let mac = Hmac::<Sha1>::new_from_slice(&key).unwrap().chain_update(&value).finalize().into_bytes();
        self.model.tokens.push(Token {
            text: format!("dsatok_{value}.{}", URL_SAFE_NO_PAD.encode(mac)),
            id: number.to_string(),
            handler: 2,
            actor,
            level: 0,
            issued: self.now,
            end: seconds.map(|seconds| self.now + u64::from(seconds)),
            used: None,
            ended: None,
            key: None,
            parent: None,
            by_client: false,
        });
    }

    /// Compares lists and counts with the model; listing changes nothing.
    fn list(&mut self) -> Result<(), TestCaseError> {
        let listed = block_on(self.registry.tokens().unwrap().list(Filter::default(), None, 100_000)).unwrap().entries;
        let said: BTreeMap<_, _> = listed
            .iter()
            .map(|ListEntry { handler, record }| {
                let status = self.registry.tokens().unwrap().status(handler, record).unwrap();
                let parent = record.parent.as_ref().map(|parent| (parent.handler.as_str(), parent.id.as_str()));
                ((handler.as_str(), record.id.as_str()), (record.actor_id.as_str(), status, record.expires_at, parent))
            })
            .collect();
        let known = self.model.tokens.iter().map(|token| {
            let status = self.model.status(token, self.now);
            let parent = token.parent.map(|parent| &self.model.tokens[parent]);
            let parent = parent.map(|parent| (HANDLERS[parent.handler], parent.id.as_str()));
            ((HANDLERS[token.handler], token.id.as_str()), (ACTORS[token.actor], status, token.end.map(time), parent))
        });
        prop_assert_eq!(said, known.collect::<BTreeMap<_, _>>());
        let mut wanted = BTreeMap::new();
        for token in &self.model.tokens {
            *wanted.entry((HANDLERS[token.handler], self.model.status(token, self.now))).or_insert(0) += 1;
        }
        let tally = block_on(self.registry.tokens().unwrap().tally()).unwrap();
        let said: BTreeMap<_, _> =
            tally.iter().map(|tally| ((tally.handler.as_str(), tally.status), tally.tokens)).collect();
        prop_assert_eq!(said, wanted);
        Ok(())
    }
}

/// Builds the registry as a reload does.
fn registry(model: &Model, store: &Arc<dyn TokenStore>, revocations: &Arc<Revocations>) -> Registry {
    let key = |key: &u8| {
        let (id, secret) = (format!("k{key}"), Secret::new([*key; 32]));
        if *key == model.active { Key::active(id, secret) } else { Key::verify_only(id, secret) }
    };
    let rotated = Arc::new(KeyRing::with_keys("main", model.keys.iter().map(key).collect()).unwrap());
    let datasette = Arc::new(KeyRing::new("datasette", Secret::new([255; 32]), vec![]).unwrap());
    let mut builder = Registry::builder(&RUNTIME)
        .records(store.clone(), revocations.clone())
        .client_tokens(CLIENT.0, CLIENT.1 as u64);
    for (name, component, prefix) in [
        ("stored", keyward_handlers::STORED.component(), "kwt_test_"),
        ("signed", SIGNED, "dstok_"),
        ("managed", keyward_handlers::AUTH_TOKENS.component(), "dsatok_"),
    ] {
        let mut handler = HandlerConfig::new(name, component, Actors::Any);
        handler.first_party = true;
        handler.prefixes = vec![prefix.into()];
        (handler.limits.wall, handler.limits.cpu) = (FOREVER, FOREVER);
        handler.max_idle = Some(Duration::from_secs(IDLE));
        handler.max_tokens_per_actor = Some(MOST as u64);
        match name {
            "stored" => drop(handler.settings.insert("prefix".into(), "\"kwt_test_\"".into())),
            "signed" => {
                handler.keys.insert("token".into(), KeyGrant::new(rotated.clone()));
                handler.settings.insert("unique_tokens".into(), "true".into());
            }
            _ => {
                let grant = KeyGrant::new(datasette.clone()).scheme(Scheme::Itsdangerous).namespace("dsatok");
                handler.keys.insert("token".into(), grant);
            }
        }
        if name != "signed" {
            handler.store = Some(StoreGrant { store: store.clone(), max: u64::MAX });
        }
        builder = builder.handler(handler);
    }
    builder.build().unwrap()
}

#[test]
fn every_verdict_agrees_with_the_model() {
    let steps = if env::var_os("KEYWARD_SOAK_SECONDS").is_some() { 10_000_000 } else { 100_000 };
    const A_LIFE: usize = 1_000;
    let config = Config {
        cases: u32::try_from(steps / A_LIFE).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config.clone(), TestRng::deterministic_rng(config.rng_algorithm));
    let lives = prop::collection::vec(step(), A_LIFE);
    // Keeps the compiled components in memory for the other registries.
    let _compiled = World::new();
    let result = runner.run(&lives, |steps| {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.step(step).map_err(|error| TestCaseError::fail(format!("step {number}, {step:?}: {error}")))?;
        }
        Ok(())
    });
    result.unwrap();
}
