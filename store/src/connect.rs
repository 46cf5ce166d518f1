//! Makes connections, and sees to it that what is committed on them is durable.

use crate::OpenError;
use crate::database::{Connection, Trouble};
use crate::location::{Location, Place};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqlSafeStr};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{self, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// For how long a store is opened, with migrations.
const OPENING: Duration = Duration::from_secs(30);

/// A connection that takes longer is not to be had.
const CONNECTING: Duration = Duration::from_millis(1_500);

/// For so long after a connection could not be made, none is tried: whoever asks is told at once.
const BREAK: Duration = Duration::from_millis(500);

/// Where sqlx writes down which migrations a database has. Not its own name for it, which others share a database with.
const MIGRATIONS: &str = "keyward_migrations";

/// Each as it was released, with its number: what a database has of them is compared.
pub(crate) const SQLITE: &[(i64, &str)] = &[
    (1, include_str!("../migrations/sqlite/1_tokens.sql")),
    (2, include_str!("../migrations/sqlite/2_management.sql")),
    (3, include_str!("../migrations/sqlite/3_issued.sql")),
    (4, include_str!("../migrations/sqlite/4_clock.sql")),
];
const POSTGRES: &[(i64, &str)] = &[
    (1, include_str!("../migrations/postgres/1_tokens.sql")),
    (2, include_str!("../migrations/postgres/2_management.sql")),
    (3, include_str!("../migrations/postgres/3_issued.sql")),
    (4, include_str!("../migrations/postgres/4_clock.sql")),
];

/// A database that has been opened.
pub(crate) struct Database {
    location: Location,
    /// The file that was opened, so that another one in its place is noticed.
    file: Option<(PathBuf, FileId)>,
    down: Mutex<Option<Down>>,
}

type FileId = (u64, u64);

struct Down {
    since: Instant,
    why: String,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Reads,
    Writes,
}

impl Database {
    /// Makes the file if it is not there, and brings the tables up to date.
    pub(crate) async fn open(mut location: Location) -> Result<(Self, Connection), OpenError> {
        if let Place::Sqlite(path) = &location.0 {
            // Relative paths mean something else after a change of the folder, and `file:` something else to SQLite.
            let absolute = path::absolute(path).map_err(|error| OpenError::of(&location, &error.to_string()))?;
            location = Location::sqlite(absolute);
        }
        let opened = match &location.0 {
            Place::Sqlite(path) => match make(path) {
                Ok(()) => timeout(OPENING, open_sqlite(path)).await,
                Err(text) => Ok(Err(Trouble::Other(text))),
            },
            Place::Postgres(options) => timeout(OPENING, open_postgres(options)).await,
        };
        let connection = match opened {
            Ok(Ok(connection)) => connection,
            Ok(Err(trouble)) => return Err(OpenError::of(&location, &trouble.to_string())),
            Err(_) => return Err(OpenError::of(&location, "it did not answer in time")),
        };
        let file = match &location.0 {
            Place::Sqlite(path) => {
                let id = file_id(path).map_err(|error| OpenError::of(&location, &error.to_string()))?;
                Some((path.clone(), id))
            }
            Place::Postgres(_) => None,
        };
        Ok((Self { location, file, down: Mutex::new(None) }, connection))
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.file.is_some()
    }

    /// The file, if it is one of SQLite's.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Another connection, or at once what was in its way a moment ago.
    pub(crate) async fn connect(&self, role: Role) -> Result<Connection, Trouble> {
        if let Some(down) = &*self.down()
            && down.since.elapsed() < BREAK
        {
            return Err(Trouble::new(down.why.clone()));
        }
        let connecting = async {
            match &self.location.0 {
                Place::Sqlite(path) => connect_sqlite(path, role).await,
                Place::Postgres(options) => connect_postgres(options, role).await,
            }
        };
        let connected = timeout(CONNECTING, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(Trouble::new("no connection could be made in time")));
        *self.down() = match &connected {
            Ok(_) => None,
            Err(trouble) => Some(Down { since: Instant::now(), why: trouble.to_string() }),
        };
        connected
    }

    /// An open file of SQLite's can be read and written when it has long been moved away or deleted, and what is
    /// committed is lost.
    pub(crate) fn check_file(&self) -> Result<(), Trouble> {
        let Some((path, opened)) = &self.file else { return Ok(()) };
        match file_id(path) {
            Ok(found) if found == *opened => Ok(()),
            Ok(_) => Err(Trouble::new(
                "another file is in its place, which may have forgotten what was revoked: put the first one back, or restart to take this one",
            )),
            Err(error) => Err(Trouble::new(format!("the file cannot be reached: {error}"))),
        }
    }

    fn down(&self) -> MutexGuard<'_, Option<Down>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_id(path: &Path) -> io::Result<FileId> {
    // Never opened here: closing it would take away the locks that SQLite has on it in this process.
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// An empty file that nobody else can read, unless there is one.
fn make(path: &Path) -> Result<(), String> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => {
            // So that the file is still in its folder when the power has failed.
            let folder = path.parent().unwrap_or(path);
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| error.to_string())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("its folder is not there: make it, or correct the path ({error})"))
        }
        Err(error) => Err(format!("it cannot be made: {error}")),
    }
}

async fn open_sqlite(path: &Path) -> Result<Connection, Trouble> {
    loop {
        // Somebody who opens it for the first time at the same time is in the way for a moment, or for too long.
        match try_open_sqlite(path).await {
            Err(trouble) if trouble.is_locked() => sleep(Duration::from_millis(20)).await,
            opened => return opened,
        }
    }
}

async fn try_open_sqlite(path: &Path) -> Result<Connection, Trouble> {
    let mut connection = connect_sqlite(path, Role::Writes).await?;
    if let Connection::Sqlite(sqlite) = &mut connection {
        // One that two make at once is made once.
        let mut transaction = sqlite.begin_with("BEGIN IMMEDIATE").await?;
        let foreign = "SELECT count(*) > 0 AND count(*) FILTER (WHERE name = $1) = 0 FROM sqlite_schema";
        if sqlx::query_scalar(foreign).bind(MIGRATIONS).fetch_one(&mut *transaction).await? {
            return Err(Trouble::new("it holds the tables of another program: give the store a file of its own"));
        }
        migrator(SQLITE).run(&mut *transaction).await.map_err(migration)?;
        transaction.commit().await?;
    }
    Ok(connection)
}

async fn open_postgres(options: &PgConnectOptions) -> Result<Connection, Trouble> {
    let mut connection = connect_postgres(options, Role::Writes).await?;
    if let Connection::Postgres(postgres) = &mut connection {
        migrator(POSTGRES).run(postgres).await.map_err(migration)?;
    }
    Ok(connection)
}

async fn connect_sqlite(path: &Path, role: Role) -> Result<Connection, Trouble> {
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .thread_name(|_| "keyward-store".to_owned())
        .disable_statement_logging();
    // Below the deadlines, so that the answer says what was in the way.
    options = match role {
        Role::Reads => options.busy_timeout(Duration::from_secs(1)).pragma("query_only", "ON"),
        Role::Writes => options.busy_timeout(Duration::from_secs(3)),
    };
    let mut connection = Connection::Sqlite(options.connect().await?);
    let journal: String = connection.row("PRAGMA journal_mode", vec![]).await?.get(0)?;
    let synchronous: i64 = connection.row("PRAGMA synchronous", vec![]).await?.get(0)?;
    if journal != "wal" || synchronous != 2 {
        return Err(Trouble::new(
            "SQLite cannot keep it durably there (`journal_mode` is not `wal`, or `synchronous` not `full`): put it on a local file system",
        ));
    }
    Ok(connection)
}

async fn connect_postgres(options: &PgConnectOptions, role: Role) -> Result<Connection, Trouble> {
    // A node that has gone without a word must not keep its locks for long.
    let mut settings = vec![("idle_in_transaction_session_timeout", "10s"), ("lock_timeout", "4s")];
    settings.push(match role {
        Role::Reads => ("statement_timeout", "2s"),
        Role::Writes => ("statement_timeout", "60s"),
    });
    let options = options.clone().options(settings);
    let mut connection = Connection::Postgres(options.connect().await?);
    let row = connection
        .row(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_encoding'), pg_is_in_recovery()",
            vec![],
        )
        .await?;
    let (fsync, synchronous): (String, String) = (row.get(0)?, row.get(1)?);
    let (encoding, standby): (String, bool) = (row.get(2)?, row.get(3)?);
    if fsync != "on" {
        return Err(Trouble::new("the server has `fsync` off, so that what it says is done can be lost: switch it on"));
    }
    if encoding != "UTF8" {
        return Err(Trouble::new("the database is not encoded in UTF8: make one that is"));
    }
    if standby {
        return Err(Trouble::new("the server is a standby, which is behind: name the one that can be written to"));
    }
    if synchronous == "off" {
        connection.run("SET synchronous_commit = on").await?;
    }
    Ok(connection)
}

fn migrator(texts: &[(i64, &'static str)]) -> Migrator {
    let migrations = texts
        .iter()
        .map(|(version, text)| Migration::new(*version, "".into(), MigrationType::Simple, text.into_sql_str(), false));
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(MIGRATIONS);
    migrator
}

fn migration(error: MigrateError) -> Trouble {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Trouble::Sql(error),
        MigrateError::VersionMissing(version) => Trouble::Other(format!(
            "its tables were made by a newer version of this program (migration {version}): run that version, or a newer one"
        )),
        MigrateError::VersionMismatch(version) => Trouble::Other(format!(
            "its tables were made by something else than a version of this program (migration {version} differs): give the store a database of its own"
        )),
        MigrateError::Dirty(version) => {
            Trouble::Other(format!("migration {version} was left half done: restore a backup from before it"))
        }
        _ => Trouble::new("its tables cannot be brought up to date"),
    }
}
