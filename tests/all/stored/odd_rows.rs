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

/// Restrictions of 4 KB, with which the handler would return more than 256 KiB.
const TOO_MANY_RESOURCES: &str = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 125) \
    SELECT json_object('r', json_object(printf('%.*c', 2000, 'd'), json_group_object('t' || i, json_array('vt')))) FROM n)";

/// Rows that are refused, each with the reason.
const REFUSED: &[(Row, &str)] = &[
    (Row { actor: "NULL", ..ORDINARY }, "has no actor"),
    (Row { actor: "''", ..ORDINARY }, "has no actor"),
    (
        Row { actor: "'secret' || char(10)", ..ORDINARY },
        "has an actor id with control characters, or without a visible one",
    ),
    (
        Row { actor: "'secret' || char(155)", ..ORDINARY },
        "has an actor id with control characters, or without a visible one",
    ),
    (
        Row { actor: "'secret' || char(0)", ..ORDINARY },
        "has an actor id with control characters, or without a visible one",
    ),
    (Row { actor: "'  '", ..ORDINARY }, "has an actor id with control characters, or without a visible one"),
    (Row { actor: "CAST(x'73656372657480' AS TEXT)", ..ORDINARY }, "has an actor id that is not UTF-8"),
    (
        Row { actor: "printf('%.*c', 1025, 'a')", ..ORDINARY },
        "exceeded the actor id limit: used 1025 of 1024 bytes (`limits.actor_id_bytes`)",
    ),
    (Row { description: "'secret' || char(0)", ..ORDINARY }, "has a description with a NUL"),
    (Row { created: "NULL", ..ORDINARY }, "has no creation time"),
    (Row { created: "-1", ..ORDINARY }, "was created before 1970"),
    (Row { created: "253402300800", ..ORDINARY }, "was created after the year 9999"),
    (Row { created: "1700000000000", lifetime: "60000", ..ORDINARY }, "was created after the year 9999"),
    (Row { permissions: "'secret'", ..ORDINARY }, "has restrictions that cannot be read"),
    (Row { permissions: "'[]'", ..ORDINARY }, "has restrictions that cannot be read"),
    (
        Row { permissions: "json_object('a', json_array(printf('%.*c', 16384, 'a')))", ..ORDINARY },
        "exceeded the actor JSON limit: used 16444 of 16384 bytes (`limits.actor_bytes`)",
    ),
    (
        Row { permissions: TOO_MANY_RESOURCES, ..ORDINARY },
        "exceeded the host call data limit: used 262687 of 262144 bytes (`limits.host_call_bytes`)",
    ),
];

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
fn a_row_whose_token_could_not_be_verified_is_refused() {
    let mut folder = folder("odd-refused", &[]);
    for (row, wanted) in REFUSED {
        folder = self::folder("odd-refused", &[ORDINARY, *row]);
        let ran = keyward(&folder, "tokens import --handler managed internal.db", "");
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{wanted}");
        assert!(ran.stderr.contains(&format!("token 2 {wanted}")), "{wanted}: {}", ran.stderr);
        assert!(ran.stderr.contains("nothing was imported"), "{wanted}: {}", ran.stderr);
        assert!(!ran.stderr.contains("secret"), "{wanted}: {}", ran.stderr);
    }
    assert_eq!(keyward(&folder, "tokens list", "").stdout.lines().filter(|line| line.contains("managed")).count(), 0);
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
