//! Tokens imported from datasette-auth-tokens: valid ones stay valid, byte for byte, and invalid
//! ones invalid.

use super::{create, folder_with, keyward, outcomes, verify};
use keyward_tests::cli::Folder;
use keyward_tests::postgres::block_on;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

/// The table as created by the plugin.
const TABLE: &str = "CREATE TABLE _datasette_auth_tokens (id INTEGER PRIMARY KEY, token_status TEXT, description TEXT, \
    actor_id TEXT, permissions TEXT, created_timestamp INTEGER, last_used_timestamp INTEGER, \
    expires_after_seconds INTEGER, ended_timestamp INTEGER, secret_version INTEGER DEFAULT 0)";

/// Created by Datasette with the secret `mysecret`, for 1, 2 and 1234.
const TOKENS: [&str; 3] = [
    "dsatok_MQ.MFkYPjtTFT1Mq--jPlLpOjmuRqs",
    "dsatok_Mg.waGJC7jPY7W8nzUMVeLsYOuygs8",
    "dsatok_MTIzNA.rZMvFBMsV4SMWJ-Qs7pnBTceNfU",
];

const RESTRICTED: &str = r#"{"a": ["vi"], "d": {"demo": ["es"]}, "r": {"demo": {"we ird": ["vt"]}}}"#;

/// Number, state, actor, permissions, lifetime.
type Row<'a> = (i64, &'a str, Option<&'a str>, &'a str, Option<i64>);

/// Creates a folder with a database of Datasette that contains these rows.
fn folder(name: &str, rows: &[Row<'_>]) -> Folder {
    let folder = folder_with(name, &[("[keys.main]", "[keys.main]\ndangerous_allow_short = true")]);
    folder.write("secret.key", "mysecret\n", 0o600);
    let file = folder.path().join("internal.db");
    block_on(async {
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut database = options.connect().await.unwrap();
        database.execute(TABLE).await.unwrap();
        for (id, status, actor, permissions, expires_after) in rows {
            let insert =
                "INSERT INTO _datasette_auth_tokens VALUES ($1, $2, 'a note', $3, $4, 1700000000, NULL, $5, NULL, 0)";
            let insert = sqlx::query(insert).bind(id).bind(status).bind(actor).bind(permissions).bind(expires_after);
            insert.execute(&mut database).await.unwrap();
        }
    });
    folder
}

fn import(folder: &Folder) -> (i32, String) {
    let ran = keyward(folder, "tokens import --handler managed internal.db", "");
    (ran.status, ran.stdout + &ran.stderr)
}

#[test]
fn valid_tokens_stay_valid_and_invalid_ones_invalid() {
    let rows = [
        (1, "A", Some("alice"), "null", None),
        (2, "R", Some("bob"), "null", None),
        (1234, "A", Some("7"), RESTRICTED, None),
    ];
    let folder = folder("import", &rows);
    assert_eq!(outcomes(&folder, &TOKENS), ["unknown"; 3]);
    assert_eq!(import(&folder), (0, "imported 2 active tokens and 1 inactive ones\n".to_owned()));
    assert_eq!(outcomes(&folder, &TOKENS), ["accepted", "revoked", "accepted"]);
    let outcomes = verify(&folder, &TOKENS);
    assert_eq!(outcomes[0]["actor"], json!({"id": "alice", "token": "dsatok", "token_id": 1}));
    let restricted: serde_json::Value = serde_json::from_str(RESTRICTED).unwrap();
    assert_eq!(outcomes[2]["actor"], json!({"id": "7", "token": "dsatok", "token_id": 1234, "_r": restricted}));
    // A number that the plugin may have used is not used again.
    let made = create(&folder, "managed", "");
    assert_eq!(verify(&folder, &[&made])[0]["token_id"], "1001235");
    // A second import is refused.
    let (status, said) = import(&folder);
    assert_eq!(status, 2);
    assert!(said.contains("already has a record 1: nothing was imported"), "{said}");
}

#[test]
fn states_lifetimes_and_restrictions_keep_their_meaning() {
    for (row, wanted) in [
        ((1, "A", Some("a"), "{}", None), "accepted"),
        ((1, "L", Some("a"), "null", None), "accepted"),
        ((1, "E", Some("a"), "null", None), "expired"),
        ((1, "x", Some("a"), "null", None), "revoked"),
        ((1, "A", Some("a"), "null", Some(4_000_000_000)), "accepted"),
        ((1, "A", Some("a"), "null", Some(60)), "expired"),
        ((1, "A", Some("a"), "null", Some(0)), "expired"),
        ((1, "A", Some("a"), "null", Some(-9_000_000_000)), "expired"),
    ] {
        let folder = folder("import-one", &[row]);
        assert_eq!(import(&folder).0, 0, "{row:?}");
        assert_eq!(outcomes(&folder, &TOKENS[..1]), [wanted], "{row:?}");
    }
    for (row, wanted) in [
        ((2, "A", Some("a"), "[]", None), "token 2 has restrictions that cannot be read: nothing was imported"),
        ((2, "A", Some("a"), "{\"a\":1}", None), "token 2 has restrictions that cannot be read"),
        ((2, "A", None, "null", None), "token 2 has no actor"),
        ((-2, "A", Some("a"), "null", None), "token -2 has an id below 1"),
    ] {
        let folder = folder("import-odd", &[(1, "A", Some("a"), "null", None), row]);
        let (status, said) = import(&folder);
        assert_eq!(status, 2, "{row:?}");
        assert!(said.contains(wanted), "{row:?}: {said}");
        assert_eq!(outcomes(&folder, &TOKENS[..1]), ["unknown"], "{row:?}: all or nothing");
    }
    let folder = folder("import-nothing", &[]);
    let ran = keyward(&folder, "tokens import --handler managed nowhere.db", "");
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("importing"), "{}", ran.stderr);
    assert!(!folder.path().join("nowhere.db").exists());
}
