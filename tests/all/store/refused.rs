//! A location that is not a reliable store is not opened; one message says why.

use super::*;
use crate::support::time;
use keyward_runtime::store::RevocationLog;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use std::time::Duration;

#[test]
fn a_new_file_is_accessible_to_its_owner_only() {
    let place = Place::sqlite();
    let store = place.open();
    commit(&store, "h", insert(record("a", "alice"), None));
    let folder = place.file();
    let files: Vec<_> = fs::read_dir(folder.parent().unwrap()).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn a_missing_folder() {
    let place = Place::sqlite();
    let missing = Place { location: format!("{}.d/tokens.db", place.location), folder: None };
    let refusal = missing.refusal();
    assert!(
        refusal.contains("tokens.db.d/tokens.db") && refusal.contains("its folder does not exist: create it"),
        "{refusal}"
    );
}

#[test]
fn a_folder_or_a_file_that_cannot_be_written_to() {
    let place = Place::sqlite();
    let folder = place.folder.as_ref().unwrap().path();
    let only = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // Root may do everything, so this thread drops its privileges, and with them those of the
    // threads it starts.
    thread::scope(|scope| {
        let unprivileged = scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
            set_capabilities(None, sets).unwrap();
            only(folder, 0o500);
            let refusal = place.refusal();
            assert!(refusal.contains("it cannot be created: Permission denied"), "{refusal}");
            only(folder, 0o700);
            drop(place.open());
            wait_for("the file to be closed", || fs::read_dir(folder).unwrap().count() == 1);
            only(&place.file(), 0o400);
            only(folder, 0o500);
            let refusal = place.refusal();
            assert!(refusal.contains("readonly") || refusal.contains("unable to open"), "{refusal}");
        });
        unprivileged.join().unwrap();
    });
    only(folder, 0o700);
    only(&place.file(), 0o600);
    place.open();
}

#[test]
fn a_file_that_is_not_a_database_or_of_another_program() {
    let place = Place::sqlite();
    fs::write(place.file(), "not a database, and long enough to be none. ".repeat(100)).unwrap();
    assert!(place.refusal().contains("file is not a database"), "{}", place.refusal());
    assert!(fs::read(place.file()).unwrap().starts_with(b"not a database"), "the file is unchanged");
    let place = Place::sqlite();
    place.run("CREATE TABLE _datasette_auth_tokens (id INTEGER PRIMARY KEY)");
    assert!(place.refusal().contains("the tables of another program"), "{}", place.refusal());
}

#[test]
fn tables_of_a_newer_version() {
    for place in Place::both() {
        drop(place.open());
        place.run(
            "INSERT INTO keyward_migrations (version, description, success, checksum, execution_time) \
                   SELECT 99, 'later', success, checksum, execution_time FROM keyward_migrations WHERE version = 1",
        );
        let refusal = place.refusal();
        assert!(refusal.contains("created by a newer version of this program (migration 99)"), "{refusal}");
        place.run("DELETE FROM keyward_migrations WHERE version = 99");
        place.run(if place.is_sqlite() {
            "UPDATE keyward_migrations SET checksum = x'00'"
        } else {
            "UPDATE keyward_migrations SET checksum = '\\x00'"
        });
        let refusal = place.refusal();
        assert!(refusal.contains("migration 1 differs"), "{refusal}");
    }
}

#[test]
fn a_new_store_may_be_opened_concurrently() {
    for place in Place::both() {
        race(8, |thread| {
            let store = place.open();
            commit(&store, "h", insert(record(&thread.to_string(), "alice"), None));
        });
        let store = place.open();
        assert_eq!(wait(store.count(&revocation("h", "alice"), time(NOW))), 8);
    }
}

#[test]
fn a_server_that_is_missing_or_denies_access() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = |url: &str| {
        let began = Instant::now();
        let error = Store::open(url.parse::<Location>().unwrap()).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(2));
        let said = format!("{error} {error:?}");
        assert!(!said.contains("hunter2"), "{said}");
        error.to_string()
    };
    let said = refused(&format!("postgres://someone:hunter2@127.0.0.1:{nobody}/d"));
    assert!(said.contains(&format!("d at 127.0.0.1:{nobody}")) && said.contains("refused"), "{said}");
    let Some(place) = Place::postgres() else { return };
    let and = |more: &str| refused(&format!("{}&{more}", place.location));
    assert!(and("dbname=nobodys").contains("\"nobodys\" does not exist"));
    assert!(and("user=nobody&password=hunter2").contains("nobody"));
    let said = and("sslmode=require&host=127.0.0.1");
    assert!(!said.is_empty());
}
