//! A token whose record is kept: what the look-up costs among few and among many, and what the sandbox adds to it.

use crate::setup::{NOW, accepted, runtime, token};
use crate::stats::{at_most, median, nanos, spread};
use keyward_runtime::{Actors, CreateRequest, HandlerConfig, Registry, StoreGrant, TokenStore};
use keyward_store::{Location, Store};
use keyward_tests::postgres;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tempfile::TempDir;

const ROUNDS: usize = 41;
/// Tokens that are asked about, one after the other.
const TOKENS: usize = 100;
const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
pub(crate) const PREFIX: &str = "kwt_live_";
const ID: usize = 22;
const SECRET: usize = 43;

/// A store with so many records, and the handler over it.
pub(crate) struct Kept {
    store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) tokens: Vec<String>,
}

/// In SQLite, with few records.
pub(crate) fn few(folder: &TempDir) -> Kept {
    sqlite(folder, FEW)
}

pub(crate) fn run() {
    println!("| store | native look-up µs | verify µs | ratio | two threads, one hot token: ratio to one |");
    println!("| --- | --- | --- | --- | --- |");
    let folder = TempDir::new().unwrap();
    let mut verdicts = vec![("SQLite", sizes("SQLite", |records| sqlite(&folder, records)))];
    if let Some(cluster) = postgres::cluster() {
        let (url, _) = cluster.database();
        let (other, _) = cluster.database();
        let urls = [url, other];
        let place = |records| postgresql(urls.get(usize::from(records == MANY)).unwrap(), records);
        verdicts.push(("PostgreSQL", sizes("PostgreSQL", place)));
    }
    for (what, ratios) in verdicts {
        at_most(&format!("{what}: verify at {MANY} tokens, of that at {FEW}"), &ratios, 1.3);
    }
}

/// Measures a store with few and one with many records, in turns; says how many times longer it takes with many.
fn sizes(what: &str, open: impl Fn(u32) -> Kept) -> Vec<f64> {
    let sizes = [FEW, MANY].map(|records| (records, open(records)));
    let mut rounds = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for ((_, kept), rounds) in sizes.iter().zip(&mut rounds) {
            let native = each(kept, |token| kept.look_up(token));
            let verify = each(kept, |token| accepted(kept.registry.verify_blocking(black_box(token))));
            let hot = kept.hot();
            // The first round warms everything up.
            if round > 0 {
                rounds.push((native, verify, hot));
            }
        }
    }
    for ((records, _), rounds) in sizes.iter().zip(&rounds) {
        println!(
            "| {what}, {records} tokens | {:.1} | {:.1} | **{}** | {} |",
            median(rounds.iter().map(|round| round.0)) / 1e3,
            median(rounds.iter().map(|round| round.1)) / 1e3,
            spread(&rounds.iter().map(|round| round.1 / round.0).collect::<Vec<_>>()),
            spread(&rounds.iter().map(|round| round.2).collect::<Vec<_>>()),
        );
    }
    let [few, many] = rounds;
    few.iter().zip(&many).map(|(few, many)| many.1 / few.1).collect()
}

/// Nanoseconds for each of the tokens.
fn each(kept: &Kept, mut ask: impl FnMut(&str)) -> f64 {
    let mut tokens = kept.tokens.iter().cycle();
    nanos(u32::try_from(TOKENS).unwrap(), || ask(tokens.next().unwrap()))
}

impl Kept {
    fn new(location: Location, fill: impl FnOnce()) -> Self {
        let store = Arc::new(Store::open(location).unwrap());
        fill();
        let mut config = HandlerConfig::new("stored", keyward_cli::builtin::STORED, Actors::Any);
        config.prefixes = vec![PREFIX.into()];
        config.checksum = true;
        config.settings.insert("prefix".into(), format!("\"{PREFIX}\""));
        config.store = Some(StoreGrant { store: store.clone(), most: u64::MAX });
        // To create one among a million is to count them.
        config.limits.wall = Duration::from_secs(60);
        let registry = Registry::builder(&runtime()).handler(config).build().unwrap();
        let tokens = (0..TOKENS).map(|_| token(&registry, CreateRequest::new("someone@example.com"))).collect();
        Self { store, registry, tokens }
    }

    /// What the host and the handler do together: id and secret out of the token, the record, its digest.
    fn look_up(&self, token: &str) {
        let rest = token.strip_prefix(PREFIX).unwrap();
        let (id, rest) = rest.split_at(ID);
        let presented = Sha256::digest(rest.get(..SECRET).unwrap());
        let stored = pollster::block_on(self.store.find("stored", black_box(id))).unwrap().unwrap();
        assert!(bool::from(presented.as_slice().ct_eq(stored.digest.unwrap().bytes())));
        assert!(stored.record.ended.is_none() && stored.record.expires_at.is_none_or(|end| end >= NOW.seconds));
        black_box(stored.record.actor_id);
    }

    /// How much longer a call takes while another thread asks about the same token.
    fn hot(&self) -> f64 {
        let token = self.tokens.first().unwrap();
        let calls = u32::try_from(TOKENS).unwrap();
        let work = || nanos(calls, || accepted(self.registry.verify_blocking(black_box(token))));
        let alone = work();
        let both = thread::scope(|scope| {
            let other = scope.spawn(work);
            (work() + other.join().unwrap()) / 2.0
        });
        both / alone
    }
}

fn sqlite(folder: &TempDir, records: u32) -> Kept {
    let path = folder.path().join(format!("{records}.db"));
    Kept::new(Location::sqlite(&path), || {
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {records}) \
             INSERT INTO tokens (handler, id, actor_id, issued_at, digest) \
             SELECT 'stored', hex(randomblob(11)), 'actor-' || i, {}, randomblob(32) FROM n",
            NOW.seconds
        );
        postgres::block_on(async {
            let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
            connection.close().await.unwrap();
        });
    })
}

fn postgresql(url: &str, records: u32) -> Kept {
    Kept::new(Location::postgres(url).unwrap(), || {
        let sql = format!(
            "INSERT INTO tokens (handler, id, actor_id, issued_at, digest) \
             SELECT 'stored', left(md5(i::text), 22), 'actor-' || i, {}, sha256(i::text::bytea) \
             FROM generate_series(1, {records}) AS i",
            NOW.seconds
        );
        let mut connection = postgres::connect(url);
        postgres::block_on(connection.execute(AssertSqlSafe(sql))).unwrap();
        postgres::block_on(connection.execute("ANALYZE tokens")).unwrap();
    })
}
