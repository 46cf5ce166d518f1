//! Checks when a query is opened.

use super::{BY_ID, LONG, Operator, TOKENS, operators, sqlite};
use keyward_runtime::query::Query;
use keyward_store::{Location, NamedQuery};
use std::fs;
use tempfile::TempDir;

/// Checks that a query opens, or that its error contains this text.
fn check(operator: &Operator, sql: &str, wanted: Result<(), &str>) {
    match (operator.open(sql, LONG).map(drop), wanted) {
        (Ok(()), Ok(())) => {}
        (Err(text), Err(part)) if text.contains(part) => {}
        (found, _) => panic!("{sql} on {}: {found:?}, not {wanted:?}", operator.place),
    }
}

#[test]
fn a_query_that_writes_or_is_unusable_is_refused() {
    for operator in operators(&format!("{TOKENS} create table seen (id text);")) {
        for (sql, wanted) in [
            ("select 1 as a", Ok(())),
            ("SELECT id FROM tokens -- where\n;\n", Ok(())),
            ("with t as (select 1 as a) select a from t", Ok(())),
            ("values (1)", Ok(())),
            ("select id from tokens where actor_id = :a or actor_name = :a and token_secret = :b limit 1", Ok(())),
            ("select id from tokens order by id limit 7", Ok(())),
            ("", Err("does not begin with SELECT")),
            ("insert into seen values ('x')", Err("does not begin with SELECT")),
            ("update seen set id = 'x' returning id", Err("does not begin with SELECT")),
            ("drop table seen", Err("does not begin with SELECT")),
            ("begin", Err("does not begin with SELECT")),
            ("explain select 1", Err("does not begin with SELECT")),
            ("select 1; insert into seen values ('x')", Err("more than one statement")),
            ("with t as (select 'x') insert into seen select * from t", Err("is not read-only")),
            ("with t as (select 'x') delete from seen returning id", Err("is not read-only")),
            ("select 1) as q; delete from seen; select * from (select 1", Err("more than one statement")),
            ("select 1) as q, (select 2", Err("\")\"")),
            ("select nothing from tokens", Err("nothing")),
            ("select * from nowhere", Err("nowhere")),
            ("select id from tokens where", Err("syntax error")),
            ("select id, actor_id as id from tokens", Err("two columns of the query are named `id`")),
            ("select id, id from tokens", Err("two columns of the query are named `id`")),
            ("select 'x", Err("a closing ' is missing")),
        ] {
            let wanted = match (operator.is_sqlite, sql) {
                // SQLite reports an incomplete statement as the end of input.
                (true, "select id from tokens where") => Err("incomplete input"),
                (true, "with t as (select 'x') delete from seen returning id") => Err("is not read-only"),
                (true, "select 1) as q, (select 2") => Err("near \")\""),
                _ => wanted,
            };
            check(&operator, sql, wanted);
        }
        let more: &[(&str, Result<(), &str>)] = match operator.is_sqlite {
            true => &[
                ("pragma query_only = off", Err("does not begin with SELECT")),
                ("attach 'x.db' as x", Err("does not begin with SELECT")),
                ("vacuum", Err("does not begin with SELECT")),
                ("select id from tokens where id = ?", Err("write `:name`")),
                ("select load_extension('x')", Ok(())),
            ],
            false => &[
                ("with t as (delete from seen returning id) select id from t", Err("is not read-only")),
                ("with t as (insert into seen values ('x') returning id) select id from t", Err("is not read-only")),
                ("select id into other from seen", Err("is not read-only")),
                ("select id from tokens where id = :id", Err("parameters are text: cast the parameter")),
                ("select id from tokens where id = :id::int", Ok(())),
                ("select now() as at", Err("the column `at` has the type TIMESTAMPTZ: cast it, as in `at::text`")),
                ("select true as a", Err("BOOL")),
                ("select now()::text as at, 1::smallint as a, 'x'::varchar as b, 'y'::name as c, 2::real as d", Ok(())),
                ("copy seen to stdout", Err("does not begin with SELECT")),
            ],
        };
        for (sql, wanted) in more {
            check(&operator, sql, *wanted);
        }
        // None of these statements was executed.
        let left = operator.open("select count(*) as n from seen", LONG).unwrap();
        let rows = pollster::block_on(left.run(vec![])).unwrap();
        assert!(rows.rows == [[keyward_runtime::query::QueryValue::Integer(0)]]);
    }
}

#[test]
fn parameters_come_from_the_text() {
    for operator in operators(TOKENS) {
        let query =
            operator.open("select id from tokens where actor_id = :b or actor_id = :a or ':c' = :b", LONG).unwrap();
        assert_eq!(query.parameters(), ["b", "a"]);
    }
}

#[test]
fn an_unavailable_database_is_reported_with_its_location() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("text.db");
    fs::write(&text, "this is text, and not a database at all; what is more, it is long enough to be one\n".repeat(9))
        .unwrap();
    let open = |location: Location| {
        NamedQuery::open(&super::THREADS, location, "select 1 as a from tokens", LONG).unwrap_err().to_string()
    };
    let missing = folder.path().join("missing.db");
    let said = open(Location::sqlite(&missing));
    assert!(said.starts_with(&format!("the SQLite database {}: ", missing.display())), "{said}");
    assert!(said.contains("the file does not exist") && !missing.exists(), "{said}");
    let said = open(Location::sqlite(&text));
    assert!(said.contains("not a database"), "{said}");
    let said = open(Location::sqlite(folder.path()));
    assert!(said.contains("it is a directory"), "{said}");
    let nobody = format!("postgres:///d?host={}&user=u&password=hunter2", folder.path().display());
    let said = open(Location::postgres(&nobody).unwrap());
    assert!(said.starts_with("the PostgreSQL database d at ") && !said.contains("hunter2"), "{said}");
}

#[test]
fn reading_leaves_no_trace() {
    let operator = sqlite(TOKENS);
    let before = fs::read(&operator.place).unwrap();
    let query = operator.open(BY_ID, LONG).unwrap();
    let values = vec![keyward_runtime::query::QueryValue::Text("1".into())];
    assert_eq!(pollster::block_on(query.run(values)).unwrap().rows.len(), 1);
    assert!(fs::read(&operator.place).unwrap() == before);
    let files = fs::read_dir(operator._folder.path()).unwrap().count();
    assert_eq!(files, 1, "no journal and no other file");
}
