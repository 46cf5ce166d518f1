//! Queries through the program.

use super::{TOKENS, folder, operators};
use keyward_tests::cli::Folder;

const CONFIG: &str = r#"
[queries.tokens]
PLACE
sql = """
    select id as token_id, token_secret, actor_id, actor_name
    from tokens where cast(id as text) = :token_id
"""
deadline_ms = 30000

[[handlers]]
name = "partners"
component = "builtin:query"
queries.token = "tokens"
limits = { wall_ms = 60000 }
"#;

#[test]
fn a_table_is_queried_as_configured() {
    for operator in operators(TOKENS) {
        let kind = if operator.is_sqlite { "sqlite" } else { "postgres" };
        let mut folder = Folder::new(folder(kind));
        let place = match operator.is_sqlite {
            true => format!("sqlite = \"{}\"", operator.place),
            false => "postgres = { env = \"TOKENS_URL\" }".to_owned(),
        };
        folder.set("TOKENS_URL", &operator.place);
        folder.write("keyward.toml", CONFIG.replace("PLACE", &place), 0o644);
        let ran = folder.run(
            &["verify", "--config", "keyward.toml", "--json"],
            "1-bd3c94f51fcd\n1-one-one\n1-sécret\n1-wrong\n9-bd3c94f51fcd\nnothing\n",
        );
        assert_eq!((ran.status, ran.stderr.as_str()), (1, ""), "{}", ran.stdout);
        let wanted = [
            r#"{"outcome":"accepted","handler":"partners","actor":{"id":"cleo","name":"Cleopaws"},"token_id":"1","issued_at":null,"expires_at":null}"#,
            r#"{"outcome":"rejected","handler":"partners","reason":"malformed","message":"Invalid token: wrong format"}"#,
            r#"{"outcome":"rejected","handler":"partners","reason":"malformed","message":"Invalid token: wrong format"}"#,
            r#"{"outcome":"rejected","handler":"partners","reason":"unknown","message":"Invalid token"}"#,
            r#"{"outcome":"rejected","handler":"partners","reason":"unknown","message":"Invalid token"}"#,
            r#"{"outcome":"not-mine"}"#,
        ];
        assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), wanted);

        let ran = folder.run(&["create", "--config", "keyward.toml", "--actor", "ann"], "");
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("created in the operator's database"), "{}", ran.stderr);

        let ran = folder.run(&["check", "builtin:query", "--config", "keyward.toml"], "");
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
        assert!(ran.stdout.contains("  queries: granted: token\n"), "{}", ran.stdout);

        operator.run("drop table tokens");
        let ran = folder.run(&["check", "builtin:query", "--config", "keyward.toml"], "");
        assert_eq!(ran.status, 2);
        assert!(ran.stderr.starts_with("keyward: keyward.toml:4: query `tokens`: the "), "{}", ran.stderr);
        assert!(ran.stderr.contains("tokens"), "{}", ran.stderr);
    }
}

/// Whatever spelling of the id the presented token uses.
#[test]
fn a_token_is_revoked_by_the_id_in_its_row() {
    for operator in operators(TOKENS) {
        let mut folder = Folder::new(folder(if operator.is_sqlite { "sqlite-revoked" } else { "postgres-revoked" }));
        let place = match operator.is_sqlite {
            true => format!("sqlite = \"{}\"", operator.place),
            false => "postgres = { env = \"TOKENS_URL\" }".to_owned(),
        };
        folder.set("TOKENS_URL", &operator.place);
        let compared = if operator.is_sqlite { "id = :token_id" } else { "id = cast(trim(:token_id) as int)" };
        let config = CONFIG.replace("PLACE", &place).replace("cast(id as text) = :token_id", compared);
        folder.write("keyward.toml", format!("[store]\nsqlite = \"keyward.db\"\n{config}"), 0o644);
        let verify = || {
            let ran = folder.run(
                &["verify", "--config", "keyward.toml", "--json"],
                "1-bd3c94f51fcd\n01-bd3c94f51fcd\n 1-bd3c94f51fcd\n",
            );
            assert_eq!(ran.stderr, "");
            ran.stdout
        };
        assert_eq!(verify().matches(r#""outcome":"accepted""#).count(), 3);
        let ran = folder.run(&["tokens", "revoke", "--config", "keyward.toml", "-"], "01-bd3c94f51fcd\n");
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
        assert_eq!(verify().matches(r#""reason":"revoked""#).count(), 3);
    }
}
