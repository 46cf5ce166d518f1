//! What is no store, or not one that can be relied on, is not opened; one sentence says why.

use super::*;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

#[test]
fn a_new_file_is_its_owners_alone() {
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
fn no_folder() {
    let place = Place::sqlite();
    let missing = Place { location: format!("{}.d/tokens.db", place.location), folder: None };
    let refusal = missing.refusal();
    assert!(
        refusal.contains("tokens.db.d/tokens.db") && refusal.contains("its folder is not there: make it"),
        "{refusal}"
    );
}

#[test]
fn a_folder_or_a_file_that_cannot_be_written_to() {
    let place = Place::sqlite();
    let folder = place.folder.as_ref().unwrap().path();
    let only = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // Root may do everything, so this thread becomes less than that, and with it those that it starts.
    thread::scope(|scope| {
        let unprivileged = scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
            set_capabilities(None, sets).unwrap();
            only(folder, 0o500);
            let refusal = place.refusal();
            assert!(refusal.contains("it cannot be made: Permission denied"), "{refusal}");
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
fn what_is_no_database_or_another_programs() {
    let place = Place::sqlite();
    fs::write(place.file(), "not a database, and long enough to be none. ".repeat(100)).unwrap();
    assert!(place.refusal().contains("file is not a database"), "{}", place.refusal());
    assert!(fs::read(place.file()).unwrap().starts_with(b"not a database"), "it is left alone");
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
        assert!(refusal.contains("made by a newer version of this program (migration 99)"), "{refusal}");
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
fn many_may_open_a_new_one_at_once() {
    for place in Place::both() {
        race(8, |thread| {
            let store = place.open();
            commit(&store, "h", insert(record(&thread.to_string(), "alice"), None));
        });
        let store = place.open();
        assert_eq!(wait(store.count(&revocation("h", "alice"), NOW)), 8);
    }
}

#[test]
fn a_server_that_is_not_there_or_not_ours() {
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
