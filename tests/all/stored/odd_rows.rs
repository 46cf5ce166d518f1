//! Rows of datasette-auth-tokens with unusual values: each is refused by its number, or its token
//! gets the verdict that it has in the original.

use super::{Folder, folder_with, keyward};
use keyward_tests::postgres::block_on;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

/// The table as created by the plugin.
const TABLE: &str = "CREATE TABLE _datasette_auth_tokens (id INTEGER PRIMARY KEY, token_status TEXT, description TEXT, \
    actor_id TEXT, permissions TEXT, created_timestamp INTEGER, last_used_timestamp INTEGER, \
    expires_after_seconds INTEGER, ended_timestamp INTEGER, secret_version INTEGER DEFAULT 0)";

/// The columns of a row as SQL, with the values of an ordinary one.
#[derive(Clone, Copy)]
struct Row {
    status: &'static str,
    description: &'static str,
    actor: &'static str,
    permissions: &'static str,
    created: &'static str,
    used: &'static str,
    lifetime: &'static str,
    ended: &'static str,
}

const ORDINARY: Row = Row {
    status: "'A'",
    description: "NULL",
    actor: "'alice'",
    permissions: "'null'",
    created: "1700000000",
    used: "NULL",
    lifetime: "NULL",
    ended: "NULL",
};

/// Creates a folder with a database of Datasette that contains these rows, numbered from 1.
fn folder(name: &str, rows: &[Row]) -> Folder {
    let folder = folder_with(name, &[("[keys.main]", "[keys.main]\ndangerous_allow_short = true")]);
    folder.write("secret.key", "mysecret\n", 0o600);
    let file = folder.path().join("internal.db");
    block_on(async {
        let mut database = SqliteConnectOptions::new().filename(&file).create_if_missing(true).connect().await.unwrap();
        database.execute(TABLE).await.unwrap();
        for (row, id) in rows.iter().zip(1..) {
            let Row { status, description, actor, permissions, created, used, lifetime, ended } = row;
            let insert = format!(
                "INSERT INTO _datasette_auth_tokens VALUES \
                 ({id}, {status}, {description}, {actor}, {permissions}, {created}, {used}, {lifetime}, {ended}, 0)"
            );
            database.execute(AssertSqlSafe(insert)).await.unwrap();
        }
    });
    folder
}

#[test]
fn an_error_of_the_database_names_the_file_and_the_remedy() {
    for (change, wanted) in [
        ("DROP TABLE _datasette_auth_tokens", "has no table `_datasette_auth_tokens`"),
        ("ALTER TABLE _datasette_auth_tokens DROP COLUMN ended_timestamp", "has no column `ended_timestamp`"),
    ] {
        let folder = folder("odd-database", &[ORDINARY]);
        let file = folder.path().join("internal.db");
        block_on(async {
            let mut database = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
            database.execute(change).await.unwrap();
        });
        let ran = keyward(&folder, "tokens import --handler managed internal.db", "");
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
        for part in ["`internal.db`", wanted, "datasette-auth-tokens"] {
            assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
        }
    }
    let folder = folder("odd-database", &[]);
    folder.write("text.db", "not a database, but long enough to be read as the header of one", 0o644);
    for (file, wanted) in [("text.db", "is not a SQLite database"), ("nowhere.db", "cannot be opened")] {
        let ran = keyward(&folder, &format!("tokens import --handler managed {file}"), "");
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
        for part in [&format!("`{file}`"), wanted, "name the"] {
            assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
        }
    }
}

/// SQLite takes more than a second for the only row of this table, so that the library would log
/// the statement as slow.
#[test]
fn a_slow_import_prints_only_its_result() {
    let folder = folder("odd-slow", &[ORDINARY]);
    let file = folder.path().join("internal.db");
    block_on(async {
        let mut database = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
        database.execute("ALTER TABLE _datasette_auth_tokens RENAME TO kept").await.unwrap();
        let view = "CREATE VIEW _datasette_auth_tokens AS SELECT * FROM kept WHERE (WITH RECURSIVE n(i) AS \
                    (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000000) SELECT max(i) FROM n) > 1";
        database.execute(view).await.unwrap();
    });
    let ran = keyward(&folder, "tokens import --handler managed internal.db", "");
    let said = "imported 1 active tokens and 0 inactive ones\n".to_owned();
    assert_eq!((ran.status, ran.stdout, ran.stderr), (0, said, String::new()));
}
