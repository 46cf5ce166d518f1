//! Tokens from the operator's own tables: queries on both databases, as sent by the handler that
//! ships.

use crate::support::{self, captured_log, unhurried};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::query::Query;
use keyward_runtime::{Actors, Error, HandlerConfig, Registry, Runtime, Verdict};
use keyward_store::{Location, NamedQuery, QueryLimits, QueryThreads};
use keyward_tests::daemon::wait_for;
use keyward_tests::postgres;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;

mod opened;
mod program;

/// Long, because the machine may be busy.
const LONG: QueryLimits = QueryLimits { deadline: Duration::from_secs(30), rows: 3 };

/// For queries that never finish.
const SHORT: QueryLimits = QueryLimits { deadline: Duration::from_millis(50), rows: 3 };

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| support::runtime(Default::default(), UnixTime { seconds: 1_767_225_600, nanoseconds: 0 }));

static THREADS: LazyLock<QueryThreads> = LazyLock::new(|| QueryThreads::new().unwrap());

/// A database of an operator.
struct Operator {
    is_sqlite: bool,
    /// The path or the URL of the database.
    place: String,
    _folder: TempDir,
}

/// Returns a database with these tables on each available system.
fn operators(tables: &str) -> Vec<Operator> {
    [Some(sqlite(tables)), on_postgres(tables)].into_iter().flatten().collect()
}

fn sqlite(tables: &str) -> Operator {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokens.db");
    fs::write(&path, "").unwrap();
    let operator = Operator { is_sqlite: true, place: path.to_str().unwrap().to_owned(), _folder: folder };
    operator.run(tables);
    operator
}

fn on_postgres(tables: &str) -> Option<Operator> {
    let (place, _) = postgres::cluster()?.database();
    let operator = Operator { is_sqlite: false, place, _folder: TempDir::new().unwrap() };
    operator.run(tables);
    Some(operator)
}

impl Operator {
    /// Runs statements as the owner.
    fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_sqlite {
            postgres::block_on(connect(&self.place).execute(sql)).unwrap();
        } else {
            postgres::block_on(postgres::connect(&self.place).execute(sql)).unwrap();
        }
    }

    fn location(&self) -> Location {
        self.place.parse().unwrap()
    }

    fn open(&self, sql: &str, limits: QueryLimits) -> Result<NamedQuery, String> {
        NamedQuery::open(&THREADS, self.location(), sql, limits).map_err(|error| error.to_string())
    }

    /// Builds a registry whose only handler has this query.
    fn registry(&self, sql: &str, limits: QueryLimits) -> Registry {
        let query = self.open(sql, limits).unwrap();
        assert!(!format!("{query:?}").contains("tokens.db"), "{query:?}");
        registry("token", Arc::new(query))
    }
}

fn registry(label: &str, query: Arc<dyn Query>) -> Registry {
    let mut config = HandlerConfig::new("partners", keyward_handlers::QUERY, Actors::Any);
    config.queries.insert(label.to_owned(), query);
    unhurried(&mut config.limits);
    Registry::builder(&RUNTIME).handler(config).build().unwrap()
}

fn connect(path: &str) -> SqliteConnection {
    postgres::block_on(SqliteConnectOptions::new().filename(path).disable_statement_logging().connect()).unwrap()
}

/// Returns the verdict on a token: the actor and the token's id, the reason, or the code and text
/// of an error.
fn verify(registry: &Registry, token: &str) -> String {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(good)) => {
            let id = good.token_id.as_deref().unwrap_or_default();
            format!("{} {id}", good.actor_ignoring_restrictions().json())
        }
        Ok(Verdict::NotMine) => "not mine".to_owned(),
        Ok(Verdict::Rejected(rejection)) => rejection.reason.to_string(),
        Err(error) => said(&error),
    }
}

fn said(error: &Error) -> String {
    format!("{}: {error}", error.code())
}

const TOKENS: &str = "create table tokens (id integer primary key, token_secret text, actor_id text, actor_name text); \
    insert into tokens values (1, 'bd3c94f51fcd', 'cleo', 'Cleopaws'), (2, '86681b4d6f66', 'pan', null), \
    (3, 'one-one', 'hyphen', null), (4, 'sécret', 'ünï', '日本'), (5, '', 'empty', null), (6, null, 'null', null);";

const BY_ID: &str = "select id as token_id, token_secret, actor_id, actor_name, 'x' as note \
    from tokens where cast(id as text) = :token_id;";

#[test]
fn a_token_is_valid_if_its_row_has_its_secret() {
    for operator in operators(TOKENS) {
        let registry = operator.registry(BY_ID, LONG);
        for (token, wanted) in [
            ("1-bd3c94f51fcd", r#"{"id":"cleo","name":"Cleopaws"} 1"#),
            ("2-86681b4d6f66", r#"{"id":"pan","name":null} 2"#),
            ("1-86681b4d6f66", "unknown"),
            ("77-bd3c94f51fcd", "unknown"),
            ("-bd3c94f51fcd", "unknown"),
            ("' or 1=1 --bd3c94f51fcd", "malformed"),
            ("' or ''='-bd3c94f51fcd", "unknown"),
            (" 1-bd3c94f51fcd", "unknown"),
            ("1-", "malformed"),
            ("5-", "malformed"),
            ("6-None", "unknown"),
            ("3-one-one", "malformed"),
            ("4-sécret", "malformed"),
            ("4-s", "unknown"),
            ("ü-bd3c94f51fcd", "malformed"),
            ("1\0-bd3c94f51fcd", "malformed"),
            ("1bd3c94f51fcd", "not mine"),
            ("1-bd3c94f51fcd", r#"{"id":"cleo","name":"Cleopaws"} 1"#),
        ] {
            assert_eq!(verify(&registry, token), wanted, "{token} on {}", operator.place);
        }
        let counts = registry.handlers().next().unwrap().counts;
        assert_eq!(counts.lookups, 10, "texts that are not tokens cost no query");
        // A deleted row invalidates its token.
        operator.run("delete from tokens where id = 1");
        assert_eq!(verify(&registry, "1-bd3c94f51fcd"), "unknown");
        // Tables may change between queries.
        operator.run("drop table tokens; create table tokens (id bigint, token_secret varchar(9), actor_id bigint, actor_name real)");
        operator.run("insert into tokens values (1, 'new', 7, 0.5)");
        assert_eq!(verify(&registry, "1-new"), r#"{"id":7,"name":0.5} 1"#);
        operator.run("drop table tokens");
        let text = verify(&registry, "1-new");
        assert!(text.starts_with("store: ") && text.contains("tokens"), "{text}");
    }
}

#[test]
fn sqlite_compares_as_it_does_for_datasette() {
    let operator = sqlite(TOKENS);
    let registry = operator.registry(&BY_ID.replace("cast(id as text)", "id"), LONG);
    for id in ["1", "01", " 1", "1.0", "+1", "1e0"] {
        let wanted = r#"{"id":"cleo","name":"Cleopaws"} 1"#;
        assert_eq!(verify(&registry, &format!("{id}-bd3c94f51fcd")), wanted, "{id}");
    }
    for id in ["1x", "0x1", "", "one"] {
        assert_eq!(verify(&registry, &format!("{id}-bd3c94f51fcd")), "unknown", "{id}");
    }
}

#[test]
fn a_secret_that_is_not_text_matches_nothing() {
    for operator in operators("") {
        for secret in ["12345", "12345.0", "null", "BLOB", "cast('' as text)"] {
            let blob = if operator.is_sqlite { "x'3132333435'" } else { "'12345'::bytea" };
            let secret = secret.replace("BLOB", blob);
            let cast = if operator.is_sqlite || secret != "12345.0" { "" } else { "::double precision" };
            let sql = format!("select {secret}{cast} as token_secret, 'x' as actor_id where :token_id = 'n'");
            let registry = operator.registry(&sql, LONG);
            for token in ["n-12345", "n-12345.0", "n-null", "n-NULL", "n-\\x3132333435"] {
                assert_eq!(verify(&registry, token), "unknown", "{sql}: {token}");
            }
        }
    }
}

#[test]
fn an_actor_has_values_of_each_kind() {
    for operator in operators("") {
        let sql = "select 's' as token_secret, -9223372036854775807 as actor_id, cast(0.5 as real) as actor_real, \
            cast(null as text) as actor_none, 'é\"' as actor_text, :token_id as actor_key";
        let actor = r#"{"id":-9223372036854775807,"real":0.5,"none":null,"text":"é\"","key":"k"} "#;
        assert_eq!(verify(&operator.registry(sql, LONG), "k-s"), actor);
    }
}

#[test]
fn the_first_row_counts_and_too_many_rows_are_an_error() {
    let table = "create table t (s text, a text); insert into t values ('1', 'a'), ('2', 'b'), ('3', 'c'), ('4', 'd')";
    for operator in operators(table) {
        let sql = "select s as token_secret, a as actor_id from t where s <= :token_id order by s";
        let registry = operator.registry(sql, LONG);
        assert_eq!(verify(&registry, "3-1"), r#"{"id":"a"} "#);
        assert_eq!(verify(&registry, "3-2"), "unknown");
        let text = verify(&registry, "4-1");
        assert!(text.starts_with("store: ") && text.contains("the query `token`") && text.contains("`rows`"), "{text}");
        assert_eq!(verify(&registry, "3-1"), r#"{"id":"a"} "#);
    }
}

#[test]
fn a_huge_result_is_an_error() {
    for operator in operators("") {
        let filler = if operator.is_sqlite { "hex(zeroblob(:n + 0))" } else { "repeat('00', :n::int)" };
        let sql = format!("select 's' as token_secret, 'a' as actor_id, {filler} as filler").replace(":n", ":token_id");
        let registry = operator.registry(&sql, LONG);
        assert_eq!(verify(&registry, "1000-s"), r#"{"id":"a"} "#);
        let text = verify(&registry, "200000-s");
        assert!(text.starts_with("store: ") && text.contains("more than 262144 bytes"), "{text}");
    }
}

#[test]
fn an_endless_query_is_stopped() {
    // The query reads the table continuously, and would block any writer.
    let sql = "with recursive n(i) as (select 1 union all select i % 1000 + 1 from n where :token_id <> 'quick') \
        select max(token_secret) as token_secret, max(actor_id) as actor_id from n, tokens where tokens.id = 1";
    for operator in operators(TOKENS) {
        let registry = operator.registry(sql, SHORT);
        for _ in 0..3 {
            let text = verify(&registry, "1-bd3c94f51fcd");
            assert!(text.starts_with("store: ") && text.contains("no response within 50 ms (`deadline_ms`)"), "{text}");
        }
        if operator.is_sqlite {
            let mut other = connect(&operator.place);
            wait_for("SQLite to stop reading", || {
                let locked = postgres::block_on(other.execute("begin exclusive; rollback"));
                locked.is_ok()
            });
        } else {
            let mut other = postgres::connect(&operator.place);
            wait_for("PostgreSQL to stop computing", || {
                let active = "select count(*) from pg_stat_activity where datname = current_database() \
                    and state = 'active' and pid <> pg_backend_pid()";
                let count: i64 = postgres::block_on(sqlx::query_scalar(active).fetch_one(&mut other)).unwrap();
                count == 0
            });
        }
        let quick = operator.registry(sql, LONG);
        assert_eq!(verify(&quick, "quick-bd3c94f51fcd"), r#"{"id":"cleo"} "#);
    }
}

#[test]
fn a_locked_missing_or_replaced_file_is_detected() {
    let operator = sqlite(TOKENS);
    let registry = operator.registry(BY_ID, QueryLimits { deadline: Duration::from_millis(500), rows: 1 });
    let good = r#"{"id":"pan","name":null} 2"#;
    let verify = || verify(&registry, "2-86681b4d6f66");
    assert_eq!(verify(), good);

    let mut other = connect(&operator.place);
    postgres::block_on(other.execute("begin exclusive")).unwrap();
    let text = verify();
    assert!(text.starts_with("store: ") && text.contains("database is locked"), "{text}");
    postgres::block_on(other.execute("rollback")).unwrap();
    postgres::block_on(other.close()).unwrap();
    assert_eq!(verify(), good);

    let away = format!("{}.away", operator.place);
    fs::rename(&operator.place, &away).unwrap();
    let text = verify();
    assert!(text.starts_with("store: ") && text.contains("the file does not exist"), "{text}");
    let new = sqlite(&TOKENS.replace("'pan'", "'new'"));
    fs::rename(&new.place, &operator.place).unwrap();
    assert_eq!(verify(), good.replace("pan", "new"));
    fs::rename(&away, &operator.place).unwrap();
    assert_eq!(verify(), good);

    // Another process writes to the database while it is read.
    operator.run("pragma journal_mode = wal");
    let mut writer = connect(&operator.place);
    postgres::block_on(writer.execute("begin immediate; update tokens set actor_id = 'wal'")).unwrap();
    assert_eq!(verify(), good);
    postgres::block_on(writer.execute("commit")).unwrap();
    assert_eq!(verify(), good.replace("pan", "wal"));
}

#[test]
fn a_query_reconnects_when_the_server_returns() {
    let Some(operator) = on_postgres(TOKENS) else { return };
    let registry = operator.registry(BY_ID, LONG);
    let good = r#"{"id":"pan","name":null} 2"#;
    assert_eq!(verify(&registry, "2-86681b4d6f66"), good);

    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() \
        and pid <> pg_backend_pid()";
    operator.run(cut);
    assert_eq!(verify(&registry, "2-86681b4d6f66"), good, "a terminated connection is replaced");

    let name = operator.place.rsplit('=').next().unwrap();
    let cluster = postgres::cluster().unwrap();
    let others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = ";
    cluster.run(&format!("alter database {name} allow_connections false"));
    cluster.run(&format!("{others}'{name}'"));
    let text = verify(&registry, "2-86681b4d6f66");
    assert!(text.starts_with("store: ") && text.contains("not currently accepting connections"), "{text}");
    cluster.run(&format!("alter database {name} allow_connections true"));
    assert_eq!(verify(&registry, "2-86681b4d6f66"), good);
}

#[test]
fn a_function_that_writes_fails() {
    let function = "create table seen (id text); create sequence s; \
        create function see(id text) returns text language plpgsql as $$ \
        begin insert into seen values (id); return 's'; end $$;";
    let Some(operator) = on_postgres(function) else { return };
    for writes in ["see(:token_id)", "nextval('s')::text || :token_id"] {
        let registry = operator.registry(&format!("select {writes} as token_secret, 'a' as actor_id"), LONG);
        let text = verify(&registry, "1-s");
        assert!(text.starts_with("store: ") && text.contains("in a read-only transaction"), "{writes}: {text}");
    }
    let mut other = postgres::connect(&operator.place);
    let seen: i64 = postgres::block_on(sqlx::query_scalar("select count(*) from seen").fetch_one(&mut other)).unwrap();
    assert_eq!(seen, 0);
}

#[test]
fn a_label_that_is_not_granted_is_reported() {
    let operator = sqlite(TOKENS);
    let registry = registry("tokens", Arc::new(operator.open(BY_ID, LONG).unwrap()));
    let text = verify(&registry, "1-bd3c94f51fcd");
    assert!(text.starts_with("internal: ") && text.contains("add `queries.token"), "{text}");
}

#[test]
fn a_query_with_another_parameter_is_reported() {
    for operator in operators(TOKENS) {
        let registry = operator.registry(&BY_ID.replace(":token_id", ":id"), LONG);
        let text = verify(&registry, "1-bd3c94f51fcd");
        assert!(text.starts_with("internal: ") && text.contains("`:token_id`"), "{text}");
    }
}

#[test]
fn no_error_or_log_contains_a_value() {
    for operator in operators(TOKENS) {
        let casts = match operator.is_sqlite {
            true => ["json_extract(token_secret, '$')", "abs(-9223372036854775808) + json(:token_id)"],
            false => ["token_secret::int", "cast(:token_id || token_secret as int)"],
        };
        for cast in casts {
            let sql = format!("select token_secret, {cast} as actor_id from tokens where :token_id <> '' and id = 1");
            let log = captured_log(|| {
                let text = verify(&operator.registry(&sql, LONG), "presented-hunter2");
                assert!(text.starts_with("store: ") && text.contains("the query failed ("), "{text}");
                for value in ["bd3c94f51fcd", "presented", "hunter2"] {
                    assert!(!text.contains(value), "{text}");
                }
            });
            for value in ["bd3c94f51fcd", "presented", "hunter2"] {
                assert!(!log.contains(value), "{log}");
            }
        }
    }
}

/// Returns the working folder of the program.
fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("queries").join(name)
}
