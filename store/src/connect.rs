//! Opens databases and connections, and ensures that commits on them are durable.

use crate::OpenError;
use crate::database::{Connection, DbError};
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

/// The deadline of opening a store, with migrations.
const OPENING: Duration = Duration::from_secs(30);

/// The timeout of connecting.
const CONNECTING: Duration = Duration::from_millis(1_500);

/// The time after a failed connection during which further attempts fail immediately.
const BREAK: Duration = Duration::from_millis(500);

/// The table in which sqlx records the applied migrations. Not sqlx's default name, which other
/// programs may use in a shared database.
const MIGRATIONS: &str = "keyward_migrations";

// `SQLITE` and `POSTGRES`: the migrations as released, with their numbers. sqlx compares them with
// those applied to a database.
include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// An open database.
pub(crate) struct Database {
    location: Location,
    /// The path and identity of the SQLite file, to detect its replacement.
    file: Option<(PathBuf, FileId)>,
    down: Mutex<Option<Down>>,
}

type FileId = (u64, u64);

struct Down {
    since: Instant,
    why: String,
}

/// The purpose of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Reads,
    Writes,
}

impl Database {
    /// Creates the file if it does not exist, and migrates the tables.
    pub(crate) async fn open(mut location: Location) -> Result<(Self, Connection), OpenError> {
        if let Place::Sqlite(path) = &location.0 {
            // A change of the working directory would change the meaning of a relative path, and
            // SQLite would interpret a `file:` prefix.
            let absolute = path::absolute(path).map_err(|error| OpenError::of(&location, &error.to_string()))?;
            location = Location::sqlite(absolute);
        }
        let opened = match &location.0 {
            Place::Sqlite(path) => match make(path) {
                Ok(()) => timeout(OPENING, open_sqlite(path)).await,
                Err(text) => Ok(Err(DbError::Other(text))),
            },
            Place::Postgres(options) => timeout(OPENING, open_postgres(options)).await,
        };
        let connection = match opened {
            Ok(Ok(connection)) => connection,
            Ok(Err(trouble)) => return Err(OpenError::of(&location, &trouble.to_string())),
            Err(_) => return Err(OpenError::of(&location, "it did not respond in time")),
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

    /// Returns the path of the file, if it is a SQLite database.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Opens a connection. Soon after a failure, returns the same error immediately.
    pub(crate) async fn connect(&self, role: Role) -> Result<Connection, DbError> {
        if let Some(down) = &*self.down()
            && down.since.elapsed() < BREAK
        {
            return Err(DbError::new(down.why.clone()));
        }
        let connecting = async {
            match &self.location.0 {
                Place::Sqlite(path) => connect_sqlite(path, role).await,
                Place::Postgres(options) => connect_postgres(options, role).await,
            }
        };
        let connected = timeout(CONNECTING, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(DbError::new("connecting timed out")));
        *self.down() = match &connected {
            Ok(_) => None,
            Err(trouble) => Some(Down { since: Instant::now(), why: trouble.to_string() }),
        };
        connected
    }

    /// Returns an error if the SQLite file was moved, deleted or replaced: it could still be read
    /// and written, but commits would be lost.
    pub(crate) fn check_file(&self) -> Result<(), DbError> {
        let Some((path, opened)) = &self.file else { return Ok(()) };
        match file_id(path) {
            Ok(found) if found == *opened => Ok(()),
            Ok(_) => Err(DbError::new(
                "another file is in its place, which may lack revocations: restore the original file, or restart to use this one",
            )),
            Err(error) => Err(DbError::new(format!("the file cannot be reached: {error}"))),
        }
    }

    fn down(&self) -> MutexGuard<'_, Option<Down>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_id(path: &Path) -> io::Result<FileId> {
    // Opening and closing the file here would release the locks that SQLite holds on it in this
    // process.
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Creates an empty file that only its owner can read, unless it exists.
fn make(path: &Path) -> Result<(), String> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => {
            // Otherwise the file might be missing from its folder after a power failure.
            let folder = path.parent().unwrap_or(path);
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| error.to_string())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("its folder does not exist: create it, or correct the path ({error})"))
        }
        Err(error) => Err(format!("it cannot be created: {error}")),
    }
}

async fn open_sqlite(path: &Path) -> Result<Connection, DbError> {
    loop {
        // Another process that opens the store for the first time holds the lock for a moment.
        match try_open_sqlite(path).await {
            Err(trouble) if trouble.is_locked() => sleep(Duration::from_millis(20)).await,
            opened => return opened,
        }
    }
}

async fn try_open_sqlite(path: &Path) -> Result<Connection, DbError> {
    let mut connection = connect_sqlite(path, Role::Writes).await?;
    if let Connection::Sqlite(sqlite) = &mut connection {
        // Two processes may create the same store at once.
        let mut transaction = sqlite.begin_with("BEGIN IMMEDIATE").await?;
        let foreign = "SELECT count(*) > 0 AND count(*) FILTER (WHERE name = $1) = 0 FROM sqlite_schema";
        if sqlx::query_scalar(foreign).bind(MIGRATIONS).fetch_one(&mut *transaction).await? {
            return Err(DbError::new("it contains the tables of another program: give the store its own file"));
        }
        migrator(SQLITE).run(&mut *transaction).await.map_err(migration)?;
        transaction.commit().await?;
    }
    Ok(connection)
}

async fn open_postgres(options: &PgConnectOptions) -> Result<Connection, DbError> {
    let mut connection = connect_postgres(options, Role::Writes).await?;
    if let Connection::Postgres(postgres) = &mut connection {
        migrator(POSTGRES).run(postgres).await.map_err(migration)?;
    }
    Ok(connection)
}

async fn connect_sqlite(path: &Path, role: Role) -> Result<Connection, DbError> {
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .thread_name(|_| "keyward-store".to_owned())
        .disable_statement_logging();
    // Below the deadlines, so that the error names the cause.
    options = match role {
        Role::Reads => options.busy_timeout(Duration::from_secs(1)).pragma("query_only", "ON"),
        Role::Writes => options.busy_timeout(Duration::from_secs(3)),
    };
    let mut connection = Connection::Sqlite(options.connect().await?);
    let journal: String = connection.row("PRAGMA journal_mode", vec![]).await?.get(0)?;
    let synchronous: i64 = connection.row("PRAGMA synchronous", vec![]).await?.get(0)?;
    if journal != "wal" || synchronous != 2 {
        return Err(DbError::new(
            "SQLite is not durable there (`journal_mode` is not `wal`, or `synchronous` is not `full`): use a local file system",
        ));
    }
    Ok(connection)
}

async fn connect_postgres(options: &PgConnectOptions, role: Role) -> Result<Connection, DbError> {
    // A node that has disappeared must not hold its locks for long.
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
        return Err(DbError::new("the server has `fsync` off, so committed changes can be lost: switch it on"));
    }
    if encoding != "UTF8" {
        return Err(DbError::new("the encoding of the database is not UTF8: create one with that encoding"));
    }
    if standby {
        return Err(DbError::new("the server is a read-only standby, which lags behind: connect to the primary"));
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

fn migration(error: MigrateError) -> DbError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => DbError::Sql(error),
        MigrateError::VersionMissing(version) => DbError::Other(format!(
            "its tables were created by a newer version of this program (migration {version}): run that version or a newer one"
        )),
        MigrateError::VersionMismatch(version) => DbError::Other(format!(
            "its tables were not created by this program (migration {version} differs): give the store its own database"
        )),
        MigrateError::Dirty(version) => {
            DbError::Other(format!("migration {version} is incomplete: restore a backup from before it"))
        }
        _ => DbError::new("its tables cannot be migrated"),
    }
}
