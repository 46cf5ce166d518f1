//! Stores with few and with many token records, and the handler over them.

use crate::setup::{NOW, runtime, token};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::{Actors, CreateRequest, HandlerConfig, Registry, StoreGrant};
use keyward_store::{Location, Store};
use keyward_tests::checksum::with_checksum;
use keyward_tests::postgres;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const FEW: u32 = 1_000;
pub(crate) const MANY: u32 = 1_000_000;
/// Number of tokens that can be presented.
pub(crate) const TOKENS: u32 = 100;
/// The actor of these tokens. Every other actor has one token.
pub(crate) const ACTOR: &str = "someone@example.com";
/// The name of the handler.
pub(crate) const HANDLER: &str = "stored";
pub(crate) const PREFIX: &str = "kwt_live_";
/// Length of an id in characters.
pub(crate) const ID: usize = 22;

/// A store with a number of records, and the handler over it.
pub(crate) struct Kept {
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) tokens: Vec<String>,
}

/// Creates a SQLite store with few records.
pub(crate) fn few(folder: &TempDir) -> Kept {
    sqlite(folder, FEW)
}

/// Measures each available kind of store, with each of the given numbers of records.
pub(crate) fn each_kind<T, const N: usize>(
    records: [u32; N],
    mut measure: impl FnMut(&'static str, [Kept; N]) -> T,
) -> Vec<(&'static str, T)> {
    let folder = TempDir::new().unwrap();
    let mut measured = vec![("SQLite", measure("SQLite", records.map(|records| sqlite(&folder, records))))];
    if let Some(cluster) = postgres::cluster() {
        let kept = records.map(|records| postgresql(&cluster.database().0, records));
        measured.push(("PostgreSQL", measure("PostgreSQL", kept)));
    }
    measured
}

impl Kept {
    fn new(location: Location, fill: impl FnOnce()) -> Self {
        let store = Arc::new(Store::open(location).unwrap());
        fill();
        let mut config = HandlerConfig::new(HANDLER, keyward_handlers::STORED, Actors::Any);
        config.prefixes = vec![PREFIX.into()];
        config.checksum = true;
        config.settings.insert("prefix".into(), format!("\"{PREFIX}\""));
        config.store = Some(StoreGrant { store: store.clone(), max: u64::MAX });
        // A call that waits for the disk waits as long as the disk takes.
        config.limits.wall = Duration::from_secs(60);
        let revocations = Revocations::open(store.clone(), Duration::from_secs(3600)).unwrap();
        let builder = Registry::builder(&runtime()).records(store.clone(), revocations);
        let registry = builder.handler(config).build().unwrap();
        let tokens = (0..TOKENS).map(|_| token(&registry, CreateRequest::new(ACTOR))).collect();
        Self { store, registry, tokens }
    }
}

/// Creates one record per second, up to now.
fn sqlite(folder: &TempDir, records: u32) -> Kept {
    let path = folder.path().join(format!("{records}.db"));
    Kept::new(Location::sqlite(&path), || {
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {records}) \
             INSERT INTO tokens (handler, id, actor_id, issued_at, digest) \
             SELECT '{HANDLER}', hex(randomblob(11)), 'actor-' || i, {} - i, randomblob(32) FROM n",
            NOW.seconds
        );
        postgres::block_on(async {
            let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
            connection.close().await.unwrap();
        });
    })
}

/// Creates the same records in PostgreSQL.
fn postgresql(url: &str, records: u32) -> Kept {
    Kept::new(Location::postgres(url).unwrap(), || {
        let sql = format!(
            "INSERT INTO tokens (handler, id, actor_id, issued_at, digest) \
             SELECT '{HANDLER}', left(md5(i::text), 22), 'actor-' || i, {} - i, sha256(i::text::bytea) \
             FROM generate_series(1, {records}) AS i",
            NOW.seconds
        );
        let mut connection = postgres::connect(url);
        postgres::block_on(connection.execute(AssertSqlSafe(sql))).unwrap();
        postgres::block_on(connection.execute("ANALYZE tokens")).unwrap();
    })
}

/// Returns the token with another character at `at`, and the checksum that matches it.
pub(crate) fn changed(token: &str, at: usize) -> String {
    let text = with_another(token, at);
    with_checksum(text.get(..text.len().saturating_sub(6)).unwrap())
}

/// Returns the text with another character at `at`.
pub(crate) fn with_another(text: &str, at: usize) -> String {
    let another = |c| if c == 'a' { 'b' } else { 'a' };
    text.chars().enumerate().map(|(place, c)| if place == at { another(c) } else { c }).collect()
}
