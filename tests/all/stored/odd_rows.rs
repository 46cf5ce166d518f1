//! Rows of datasette-auth-tokens with unusual values: each is refused by its number, or its token
//! gets the verdict that it has in the original.

use super::{Folder, folder_with, keyward, verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use keyward_cli::{ExitStatus, Io};
use keyward_tests::daemon::wait_for;
use keyward_tests::postgres::block_on;
use sha1::{Digest, Sha1};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread;

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

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

const VALID: (&str, Option<u64>) = ("accepted", None);
const EXPIRED: (&str, Option<u64>) = ("expired", None);
const REVOKED: (&str, Option<u64>) = ("revoked", None);

/// Rows that are imported, each with the outcome of its token and its expiry if it is accepted.
const IMPORTED: &[(Row, (&str, Option<u64>))] = &[
    (ORDINARY, VALID),
    // Actors.
    (Row { actor: "' alice'", ..ORDINARY }, VALID),
    (Row { actor: "'\u{202e}é'", ..ORDINARY }, VALID),
    (Row { actor: "printf('%.*c', 1024, 'a')", ..ORDINARY }, VALID),
    (Row { actor: "7", ..ORDINARY }, VALID),
    (Row { description: "'two' || char(10) || 'lines'", ..ORDINARY }, VALID),
    // Lifetimes.
    (Row { lifetime: "4000000000", ..ORDINARY }, ("accepted", Some(5_700_000_000))),
    (Row { lifetime: "253402300799 - 1700000000", ..ORDINARY }, ("accepted", Some(LAST))),
    (Row { lifetime: "253402300800 - 1700000000", ..ORDINARY }, VALID),
    (Row { lifetime: "1000000000000", ..ORDINARY }, VALID),
    (Row { lifetime: "9223372036854775807", ..ORDINARY }, VALID),
    (Row { lifetime: "9e99", ..ORDINARY }, VALID),
    (Row { lifetime: "0", ..ORDINARY }, EXPIRED),
    (Row { lifetime: "-5", ..ORDINARY }, EXPIRED),
    (Row { lifetime: "-9223372036854775807 - 1", ..ORDINARY }, EXPIRED),
    (Row { lifetime: "'soon'", ..ORDINARY }, EXPIRED),
    // Times.
    (Row { created: "0", ..ORDINARY }, VALID),
    (Row { created: "4102444800", ..ORDINARY }, VALID),
    (Row { created: "253402300799", lifetime: "60", ..ORDINARY }, VALID),
    (Row { used: "4102444800", ..ORDINARY }, VALID),
    (Row { used: "9223372036854775807", ..ORDINARY }, VALID),
    (Row { used: "-1", ..ORDINARY }, VALID),
    // States.
    (Row { status: "'L'", ..ORDINARY }, VALID),
    (Row { status: "'E'", lifetime: "60", ended: "1700000100", ..ORDINARY }, EXPIRED),
    (Row { status: "'E'", ..ORDINARY }, EXPIRED),
    (Row { status: "'E'", lifetime: "1000000000000", ended: "4102444800", ..ORDINARY }, EXPIRED),
    (Row { status: "'R'", lifetime: "60", ended: "1700000100", ..ORDINARY }, REVOKED),
    (Row { status: "'R'", ended: "-1", ..ORDINARY }, REVOKED),
    (Row { status: "'R'", ended: "9223372036854775807", ..ORDINARY }, REVOKED),
    (Row { status: "'x'", ..ORDINARY }, REVOKED),
    (Row { status: "NULL", ..ORDINARY }, REVOKED),
    // An invalid token is reported with its reason, whatever else its row contains.
    (Row { status: "'R'", actor: "'a' || char(10)", ..ORDINARY }, REVOKED),
    (Row { status: "'R'", created: "1700000000000", ..ORDINARY }, REVOKED),
    (Row { status: "'R'", permissions: "NULL", ..ORDINARY }, REVOKED),
    (Row { lifetime: "60", actor: "printf('%.*c', 1025, 'a')", ..ORDINARY }, EXPIRED),
    (Row { lifetime: "60", permissions: "NULL", ..ORDINARY }, EXPIRED),
    // Restrictions.
    (Row { permissions: "'{}'", ..ORDINARY }, VALID),
    (Row { permissions: "CAST('null' AS BLOB)", ..ORDINARY }, VALID),
    (Row { permissions: "json_object('a', json_array('vi', 'vi'))", ..ORDINARY }, VALID),
    (Row { permissions: "json_object('a', json_array(printf('%.*c', 65400, 'a')))", ..ORDINARY }, VALID),
    (Row { permissions: "json_object('a', json_array('a' || char(0)))", ..ORDINARY }, VALID),
    // Each of the resources is passed to the handler with the name of its database.
    (Row { permissions: MANY_RESOURCES, ..ORDINARY }, VALID),
];

/// Restrictions of 4 KB, with which the handler returns nearly 256 KiB.
const MANY_RESOURCES: &str = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 124) \
    SELECT json_object('r', json_object(printf('%.*c', 2000, 'd'), json_group_object('t' || i, json_array('vt')))) FROM n)";

/// The same with one more resource, with which the handler would return more than 256 KiB.
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
    (Row { permissions: "NULL", ..ORDINARY }, "has `permissions` that are NULL"),
    (
        Row { permissions: "json_object('a', json_array(printf('%.*c', 65536, 'a')))", ..ORDINARY },
        "is too large: its actor and restrictions have 65596 bytes, more than the 65536 allowed (`limits.actor_bytes`)",
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

/// Returns the token of a row, as Datasette signs it with the secret `mysecret`.
fn token(id: usize) -> String {
    let value = URL_SAFE_NO_PAD.encode(id.to_string());
    let key = Sha1::new().chain_update("dsatok").chain_update("signer").chain_update("mysecret").finalize();
    let mac = Hmac::<Sha1>::new_from_slice(&key).unwrap().chain_update(&value).finalize().into_bytes();
    format!("dsatok_{value}.{}", URL_SAFE_NO_PAD.encode(mac))
}

#[test]
fn an_imported_token_keeps_its_verdict() {
    let rows: Vec<Row> = IMPORTED.iter().map(|(row, _)| *row).collect();
    let folder = folder("odd-imported", &rows);
    let ran = keyward(&folder, "tokens import --handler managed internal.db", "");
    let active = IMPORTED.iter().filter(|(_, (outcome, _))| *outcome == "accepted").count();
    let said = format!("imported {active} active tokens and {} inactive ones\n", rows.len() - active);
    assert_eq!((ran.status, ran.stdout, ran.stderr), (0, said, String::new()));
    let tokens: Vec<String> = (1..=rows.len()).map(token).collect();
    let outcomes = verify(&folder, &tokens.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(outcomes.len(), rows.len());
    for (outcome, (id, (_, (wanted, expires_at)))) in outcomes.iter().zip((1..).zip(IMPORTED)) {
        let word = ["reason", "code", "outcome"].iter().find_map(|name| outcome[*name].as_str());
        assert_eq!(word, Some(*wanted), "row {id}: {outcome}");
        assert_eq!(outcome["expires_at"].as_u64(), *expires_at, "row {id}: {outcome}");
    }
    // The status in the list agrees with the verdict, and the list can be printed.
    let ran = keyward(&folder, "tokens list --status expired --json", "");
    let expired = IMPORTED.iter().filter(|(_, (outcome, _))| *outcome == "expired").count();
    assert_eq!((ran.status, ran.stdout.lines().count()), (0, expired), "{}", ran.stderr);
    assert_eq!(keyward(&folder, "tokens list", "").status, 0);
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
fn null_permissions_are_imported_on_request_only() {
    let folder = folder("odd-null", &[ORDINARY, Row { permissions: "NULL", ..ORDINARY }]);
    let ran = keyward(&folder, "tokens import --handler managed internal.db", "");
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("token 2") && ran.stderr.contains("--unrestricted"), "{}", ran.stderr);
    let ran = keyward(&folder, "tokens import --handler managed --unrestricted internal.db", "");
    let said = "imported 2 active tokens and 0 inactive ones\n".to_owned();
    assert_eq!((ran.status, ran.stdout, ran.stderr), (0, said, String::new()));
    let outcome = &verify(&folder, &[&token(2)])[0];
    assert_eq!(outcome["outcome"], "accepted");
    assert!(outcome["actor"]["_r"].is_null(), "{outcome}");
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

/// A buffer that another thread can read while it is written to.
#[derive(Clone, Default)]
struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl SharedBuffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn progress_is_displayed_on_a_terminal() {
    let folder = folder("odd-progress", &[ORDINARY; 3]);
    let (config, file) = (folder.path().join("keyward.toml"), folder.path().join("internal.db"));
    let mut datasette = block_on(SqliteConnectOptions::new().filename(&file).connect()).unwrap();
    block_on(datasette.execute("BEGIN EXCLUSIVE")).unwrap();
    let words = ["keyward", "tokens", "import", "--handler", "managed", "--config"].map(OsString::from);
    let args = words.into_iter().chain([config.into(), file.into()]);
    let (mut stdout, stderr) = (Vec::new(), SharedBuffer::default());
    thread::scope(|scope| {
        let import = scope.spawn(|| {
            let (stdin, stderr) = (&mut io::empty(), &mut stderr.clone());
            let (stdout, stdout_is_terminal, stderr_is_terminal) = (&mut stdout, false, true);
            keyward_cli::run(
                args,
                Io {
                    stdin,
                    stdout,
                    stdout_is_terminal,
                    columns: 80,
                    stderr,
                    stderr_is_terminal,
                    env: &|_| None,
                    worker: keyward_tests::cli::keyward(),
                },
            )
        });
        wait_for("the progress", || stderr.text().contains("\rkeyward: reading tokens"));
        block_on(datasette.execute("COMMIT")).unwrap();
        assert_eq!(import.join().unwrap(), ExitStatus::Success, "{}", stderr.text());
    });
    assert_eq!(String::from_utf8(stdout).unwrap(), "imported 3 active tokens and 0 inactive ones\n");
    // At the end, the line is erased.
    assert!(stderr.text().ends_with("\r\u{1b}[K"), "{}", stderr.text());
}
