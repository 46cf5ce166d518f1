//! A database of an earlier version is migrated, with all of its content.

use super::*;
use crate::support::time;
use keyward_runtime::store::{CreatedBy, Filter, NodeDirectory, RecordStore, TicketStore, TokenIndex};
use keyward_runtime::token::TokenId;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The migrations for SQLite and PostgreSQL, and the first digits of their checksums.
const FIRST: [(&str, &str); 2] = [
    (include_str!("../../../store/migrations/sqlite/1_tokens.sql"), "c4667501221768cfa7767518c4d43e15"),
    (include_str!("../../../store/migrations/postgres/1_tokens.sql"), "79324fed104ec3e62018d779ba20cb5e"),
];

/// Checksums of the released files.
#[test]
fn a_released_migration_does_not_change() {
    for (text, checksum) in FIRST {
        let is: String = first(text).checksum.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(is.starts_with(checksum), "{is}: {text}");
    }
}

fn first(text: &'static str) -> Migration {
    Migration::new(1, "".into(), MigrationType::Simple, text.into_sql_str(), false)
}

#[test]
fn records_of_the_first_version_are_kept_and_usable() {
    for place in Place::both() {
        let (text, _) = FIRST[usize::from(!place.is_sqlite())];
        let mut migrator = Migrator::with_migrations(vec![first(text)]);
        migrator.dangerous_set_table_name("keyward_migrations");
        if place.is_sqlite() {
            block_on(migrator.run(&mut place.connect_sqlite())).unwrap();
        } else {
            block_on(migrator.run(&mut connect(&place.location))).unwrap();
        }
        place.run(
            "INSERT INTO tokens (handler, id, actor_id, description, restrictions, issued_at, expires_at, last_used_at, ended_at, ended_why) \
             VALUES ('h', 'good', 'alice', 'note', '{\"a\":[\"x\"]}', 10, 1767225700, 20, NULL, NULL), \
                    ('h', 'ended', 'alice', NULL, NULL, 11, NULL, NULL, 12, 'replaced')",
        );
        place.run("INSERT INTO serials VALUES ('h', 41)");
        place.run("INSERT INTO revocations (handler, at) VALUES ('x', 5)");
        race(4, |_| place.open());
        let store = place.open();
        let good = Record {
            description: Some("note".to_owned()),
            restrictions: Some(Restrictions::new().allow_all("x")),
            issued_at: time(10),
            expires_at: Some(time(1_767_225_700)),
            last_used_at: Some(time(20)),
            ..record("good", "alice")
        };
        let ended = Some(Termination { at: time(12), why: TerminationReason::Replaced });
        let ended = Record { issued_at: time(11), ended, ..record("ended", "alice") };
        assert_eq!(find(&store, "h", "good").unwrap(), good);
        let by_nobody = Filter { client: Some(CreatedBy::Operator), ..Filter::default() };
        let listed: Vec<_> =
            wait(store.list(&by_nobody, None, 10, time(NOW))).entries.into_iter().map(|listed| listed.record).collect();
        assert_eq!(listed, [ended, good]);
        assert_eq!(wait(store.key_uses(time(NOW))), []);
        assert_eq!((wait(store.next_serial("h")), wait(store.entries(0, 9)).len()), (42, 1));
        let parent = Some(TokenId { handler: "h".to_owned(), id: "good".to_owned() });
        let new = Record { client: Some("c".to_owned()), parent, ..record("new", "alice") };
        assert_eq!(commit(&store, "h", insert(new.clone(), None)), CommitOutcome::Done);
        assert_eq!(find(&store, "h", "new").unwrap(), new);
        wait(store.note_node("n", 1, time(NOW)));
        assert_eq!(wait(store.purge_tickets(time(NOW), 9)), 0);
        // A node of the first version continues to work.
        place.run(
            "INSERT INTO tokens (handler, id, actor_id, issued_at) VALUES ('h', 'late', 'alice', 13); \
             UPDATE tokens SET ended_at = 14, ended_why = 'revoked' WHERE id = 'late'",
        );
        assert!(!is_live(&store, "h", "late"));
    }
}
