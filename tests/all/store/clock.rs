//! The newest time that a store has seen, and the operator's command that corrects it after a clock
//! was ahead.

use super::*;
use crate::support::time;
use keyward_runtime::store::RevocationLog;
use keyward_store::{Capped, ImportOptions};

#[test]
fn the_newest_time_goes_back_only_on_the_operators_command() {
    for place in Place::both() {
        let store = place.open();
        assert_eq!(wait(store.clock()), None);
        for (at, newest) in [(NOW, NOW), (NOW - 1, NOW), (NOW + 7, NOW + 7), (0, NOW + 7)] {
            wait(store.note_clock(time(at)));
            assert_eq!(wait(store.clock()), Some(time(newest)));
        }
        assert_eq!(wait(store.cap(time(NOW + 7))), Capped { cutoffs: 0, newest: false });
        assert_eq!(wait(store.cap(time(NOW))), Capped { cutoffs: 0, newest: true });
        assert_eq!(wait(place.open().clock()), Some(time(NOW)));
        assert_eq!(wait(store.entries(0, 10)), [], "without a time in the future nothing is written");
        store.note_clock(time(u64::MAX)).block_on().unwrap_err();
    }
}

#[test]
fn cutoffs_in_the_future_are_capped_once_by_an_entry_of_the_list() {
    for place in Place::both() {
        let store = place.open();
        let until = |actor: &str, until| Revocation { issued_until: Some(until), ..revocation("h", actor) };
        let numbers = [("past", NOW - 1), ("now", NOW), ("ahead", NOW + 1), ("years", NOW + 150_000_000)]
            .map(|(actor, end)| wait(store.revoke(&until(actor, time(end)), time(NOW))).number);
        assert!(numbers.is_sorted());
        assert_eq!(wait(store.cap(time(NOW))), Capped { cutoffs: 2, newest: false });
        let all = wait(store.entries(0, 10));
        let (number, entry) = &all[4];
        assert!(all.len() == 5 && *number > numbers[3] && *entry == Entry::Capped(time(NOW)), "{all:?}");
        assert_eq!(wait(store.cap(time(NOW))), Capped { cutoffs: 0, newest: false }, "accepted twice");
        assert_eq!(wait(store.cap(time(NOW + 5))), Capped { cutoffs: 0, newest: false });
        wait(store.revoke(&until("again", time(NOW + 9)), time(NOW)));
        assert_eq!(wait(store.cap(time(NOW + 5))), Capped { cutoffs: 1, newest: false });
    }
}

#[test]
fn a_revoked_token_is_revoked_when_it_is_imported() {
    for place in Place::both() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("internal.db");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut datasette = block_on(options.connect()).unwrap();
        let sql = "CREATE TABLE _datasette_auth_tokens (id INTEGER PRIMARY KEY, token_status TEXT, description TEXT, \
                   actor_id TEXT, permissions TEXT, created_timestamp INTEGER, last_used_timestamp INTEGER, \
                   expires_after_seconds INTEGER, secret_version INTEGER, ended_timestamp INTEGER); \
                   INSERT INTO _datasette_auth_tokens (id, token_status, actor_id, created_timestamp) VALUES \
                   (1, 'A', 'alice', 100), (2, 'A', 'bob', 100), (3, 'A', 'alice', 300)";
        block_on(datasette.execute(sql)).unwrap();
        block_on(datasette.close()).unwrap();
        let store = place.open();
        wait(store.revoke(&Revocation { issued_until: Some(time(200)), ..revocation("h", "alice") }, time(200)));
        // The rows have no permissions.
        let options = ImportOptions { at: time(NOW), unrestricted: true, ..ImportOptions::default() };
        let imported = wait(store.import("h", file, options));
        assert_eq!((imported.active, imported.ended), (2, 1));
        assert_eq!(["1", "2", "3"].map(|id| is_live(&store, "h", id)), [false, true, true]);
    }
}
