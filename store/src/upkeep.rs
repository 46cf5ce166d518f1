//! Upkeep of a store: its journal, backups, and a check of the whole database.

use crate::connect::Role;
use crate::database::{Connection, DbError};
use crate::pool::Pool;
use crate::{clock, to_u64};
use keyward_runtime::clock::UnixTime;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The interval at which the journal is written into the file: a copy of the file alone lacks no
/// more than that.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// Maximum number of reported defects.
const DEFECTS: usize = 20;

/// Writes SQLite's journal into the file periodically, for as long as the store is open.
pub(crate) async fn checkpoint_now_and_then(pool: Arc<Pool>) {
    let mut ticks = interval(CHECKPOINT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // A failure does no harm: the journal keeps it, and the next checkpoint writes it.
        let _ = checkpoint(&pool, "PRAGMA wal_checkpoint(PASSIVE)").await;
    }
}

/// Writes the journal into the file and empties it, unless another process uses it.
pub(crate) async fn empty_journal(pool: Arc<Pool>) -> Result<(), DbError> {
    checkpoint(&pool, "PRAGMA wal_checkpoint(TRUNCATE)").await
}

async fn checkpoint(pool: &Arc<Pool>, sql: &'static str) -> Result<(), DbError> {
    if pool.database().file().is_none() {
        return Ok(());
    }
    let mut lease = pool.lease().await?;
    // A reader in another process may take long: do not wait for it.
    lease.run("PRAGMA busy_timeout = 200").await?;
    let done = lease.rows(sql, vec![]).await;
    lease.run("PRAGMA busy_timeout = 3000").await?;
    done?;
    lease.done();
    Ok(())
}

/// Copies a SQLite store to a new file, complete and durable, while it is in use.
pub(crate) async fn back_up(pool: Arc<Pool>, to: PathBuf) -> Result<(), DbError> {
    let shown = to.display();
    let failed = |error: io::Error| DbError::new(format!("{shown} cannot be created: {error}"));
    // SQLite fills an empty file, so an existing one is never overwritten, and only its owner can
    // read the copy.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to).map_err(failed)?;
    let copied = async {
        let path = to.to_str().ok_or_else(|| DbError::new(format!("{shown} is not UTF-8: choose another name")))?;
        // A separate connection keeps no writer waiting.
        let mut connection = pool.database().connect(Role::Writes).await?;
        let copied = connection.rows("VACUUM INTO $1", vec![path.into()]).await;
        copied.map_err(|trouble| DbError::new(format!("{shown} cannot be written: {trouble}")))?;
        pool.database().check_file()?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(&to).and_then(|file| file.sync_all()).map_err(failed)?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    };
    let copied = copied.await;
    if copied.is_err() {
        // A partial copy could be mistaken for a backup.
        let _ = fs::remove_file(&to);
        let _ = fs::remove_file(to.with_added_extension("-journal"));
    }
    copied
}

/// The findings of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Defects in the database file, in SQLite's words. PostgreSQL checks its own files.
    pub defects: Vec<String>,
    /// Tables that are not the store's.
    pub foreign: Vec<String>,
    /// Number of records.
    pub records: u64,
    /// The newest time that the store has seen.
    pub newest: Option<UnixTime>,
}

pub(crate) async fn check(pool: Arc<Pool>) -> Result<Checked, DbError> {
    // A separate connection keeps no caller waiting, however long this takes.
    let mut connection = pool.database().connect(Role::Writes).await?;
    let is_sqlite = pool.database().is_sqlite();
    let mut defects = Vec::new();
    if is_sqlite {
        defects = texts(&mut connection, "PRAGMA integrity_check(20)").await?;
        // SQLite may report several defects in one text, one per line.
        defects = defects.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
        defects.retain(|line| line != "ok" && !line.starts_with("***"));
        defects.truncate(DEFECTS);
    }
    let tables = match is_sqlite {
        true => "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name",
        false => "SELECT CAST(tablename AS text) FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename",
    };
    let mut foreign = texts(&mut connection, tables).await?;
    foreign.retain(|name| !OWN.contains(&name.as_str()));
    // Leaves out the sentinel row.
    let records = to_u64(connection.row("SELECT count(*) FROM tokens WHERE handler <> ''", vec![]).await?.get(0)?)?;
    Ok(Checked { defects, foreign, records, newest: clock::newest(pool).await? })
}

/// The tables of a store.
const OWN: &[&str] = &["tokens", "serials", "revocations", "nodes", "clock", "tickets", "keyward_migrations"];

async fn texts(connection: &mut Connection, sql: &'static str) -> Result<Vec<String>, DbError> {
    connection.rows(sql, vec![]).await?.iter().map(|row| row.get(0)).collect()
}
