//! Imports the tokens of datasette-auth-tokens: the rows of its table in a database of Datasette.

use crate::database::{Connection, DbError, Row};
use crate::pool::{Pool, PooledConnection};
use crate::record_row::{digest_of_token, read_restrictions};
use crate::records::insert_one;
use crate::revocations::LOCK;
use crate::{is_storable, to_time};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::policy::{check_acceptance, is_actor_id};
use keyward_runtime::store::{Record, Revocation, Status, StoredRecord, Termination, TerminationReason};
use keyward_runtime::token::TokenDigest;
use keyward_runtime::{Limits, Restrictions};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The distance of new ids from the greatest imported one. The plugin reuses the id of a deleted
/// row, and a token names the id of its row: a client that holds a token for an unused id must not
/// see that id issued again.
const GAP: i64 = 1_000_000;

/// The options of an import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The current time.
    pub at: UnixTime,
    /// The limits of the handler that the tokens are imported for. A valid token that would exceed
    /// one of them at each verification is refused.
    pub limits: Limits,
    /// Set to import valid tokens whose `permissions` are NULL, without restrictions. Otherwise
    /// they are refused.
    pub unrestricted: bool,
    /// The progress, for another thread to read.
    pub progress: Arc<ImportProgress>,
}

/// The progress of an import.
#[derive(Debug, Default)]
pub struct ImportProgress {
    done: AtomicU64,
    total: AtomicU64,
}

impl ImportProgress {
    /// Returns the number of imported tokens.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Returns the number of tokens to import; 0 until they have been read.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// The result of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Number of active tokens.
    pub active: u64,
    /// Number of tokens that were revoked, had expired, or are in an unknown state.
    pub ended: u64,
}

/// Imports all rows or none. An unexpected value is reported with its row, and never makes a token
/// less restricted.
pub(crate) async fn import(
    pool: Arc<Pool>,
    handler: String,
    file: &Path,
    options: &ImportOptions,
) -> Result<Imported, DbError> {
    let (records, at) = (read(file, options).await?, options.at.whole());
    options.progress.total.store(u64::try_from(records.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    let mut imported = Imported::default();
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    let mut last = 0;
    // A live record outlasts all earlier revocations, so a token that was revoked before the import
    // must be imported as revoked.
    lease.lock(LOCK).await?;
    let revocations = of_handler(&mut lease, &handler).await?;
    for (id, mut record) in records {
        if record.ended.is_none() && revocations.iter().any(|revocation| matches(revocation, &record)) {
            record.ended = Some(Termination { at, why: TerminationReason::Revoked });
        }
        match record.status(at, None) {
            Status::Active => imported.active = imported.active.saturating_add(1),
            _ => imported.ended = imported.ended.saturating_add(1),
        }
        last = last.max(id);
        if !is_new(&mut lease, &handler, &record.id).await? {
            return Err(DbError::new(format!("handler `{handler}` already has a record {id}: nothing was imported")));
        }
        insert_one(&mut lease, &handler, StoredRecord { record, digest: None, token_digest: None }).await?;
        options.progress.done.fetch_add(1, Ordering::Relaxed);
    }
    let sql = "INSERT INTO serials (handler, last) VALUES ($1, $2) \
               ON CONFLICT (handler) DO UPDATE SET last = CASE WHEN serials.last > $2 THEN serials.last ELSE $2 END";
    lease.change(sql, vec![handler.as_str().into(), last.saturating_add(GAP).into()]).await?;
    lease.commit().await?;
    Ok(imported)
}

/// Returns the revocations that cover tokens of a handler.
async fn of_handler(lease: &mut PooledConnection, handler: &str) -> Result<Vec<Revocation>, DbError> {
    let sql = "SELECT token_id, actor_id, issued_until, token_digest FROM revocations \
               WHERE capped_at IS NULL AND (handler IS NULL OR handler = $1)";
    let rows = lease.rows(sql, vec![handler.into()]).await?;
    let revocation = |row: &Row| {
        let issued_until = row.get::<Option<i64>>(2)?.map(to_time).transpose()?;
        let (token_id, actor_id, token_digest) = (row.get(0)?, row.get(1)?, digest_of_token(row, 3)?);
        let handler = None;
        Ok(Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children: false })
    };
    rows.iter().map(revocation).collect()
}

fn matches(revocation: &Revocation, record: &Record) -> bool {
    let Revocation { handler: _, token_id, token_digest, actor_id, issued_until, keep_children: _ } = revocation;
    // A digest is that of a token, which an imported record does not have, or of an id that
    // resembled a token.
    let is_named = match (token_id, token_digest) {
        (None, None) => true,
        (id, digest) => {
            id.as_ref() == Some(&record.id) || digest.is_some_and(|digest| digest == TokenDigest::of(&record.id))
        }
    };
    is_named
        && actor_id.as_ref().is_none_or(|id| *id == record.actor_id)
        && issued_until.is_none_or(|until| record.issued_at <= until)
}

async fn is_new(lease: &mut PooledConnection, handler: &str, id: &str) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM tokens WHERE handler = $1 AND id = $2";
    Ok(lease.rows(sql, vec![handler.into(), id.into()]).await?.is_empty())
}

/// Reads the rows with their ids. The database is only read.
async fn read(file: &Path, options: &ImportOptions) -> Result<Vec<(i64, Record)>, DbError> {
    let rows = read_rows(file).await.map_err(|error| unreadable(file, &error))?;
    rows.iter().map(|row| record(row, options)).collect()
}

async fn read_rows(file: &Path) -> Result<Vec<Row>, DbError> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).create_if_missing(false);
    // A slow statement would be logged with its text.
    let mut database = Connection::Sqlite(options.disable_statement_logging().connect().await?);
    // With casts, because SQLite stores any type in any column.
    let sql = "SELECT CAST(id AS INTEGER), CAST(token_status AS TEXT), CAST(description AS TEXT), \
               CAST(actor_id AS TEXT), CAST(permissions AS TEXT), CAST(created_timestamp AS INTEGER), \
               CAST(last_used_timestamp AS INTEGER), CAST(expires_after_seconds AS INTEGER), \
               CAST(ended_timestamp AS INTEGER) FROM _datasette_auth_tokens ORDER BY id";
    database.rows(sql, Vec::new()).await
}

/// Returns the error for a database that cannot be read, with the remedy.
fn unreadable(file: &Path, error: &DbError) -> DbError {
    const NAME_IT: &str = "name the database in which datasette-auth-tokens keeps its tokens";
    let (file, text) = (file.display(), error.to_string());
    DbError::new(match (error.sqlite_code(), text.split_once(": ")) {
        (_, Some(("no such table", table))) => format!("`{file}` has no table `{table}`: {NAME_IT}"),
        (_, Some(("no such column", column))) => format!(
            "`{file}` has no column `{column}`: start Datasette once with datasette-auth-tokens 0.4a13, which adds it"
        ),
        (Some(14), _) => format!("`{file}` cannot be opened ({text}): {NAME_IT}"),
        (Some(26), _) => format!("`{file}` is not a SQLite database: {NAME_IT}"),
        (Some(5 | 6), _) => format!("`{file}` cannot be read ({text}): stop Datasette, and retry"),
        _ => format!("`{file}` cannot be read ({text}): repair it, or import a backup of it"),
    })
}

fn record(row: &Row, options: &ImportOptions) -> Result<(i64, Record), DbError> {
    let (id, at) = (row.get::<i64>(0)?, options.at.whole());
    let odd = |what: &str| DbError::new(format!("token {id} {what}: nothing was imported; correct or delete its row"));
    let text = |column: usize, name: &str| {
        row.get::<Option<String>>(column).map_err(|_| odd(&format!("has {name} that is not UTF-8")))
    };
    let time = |column: usize| row.get::<Option<i64>>(column).map(|time| time.and_then(|time| to_time(time).ok()));
    if id < 1 {
        return Err(odd("has an id below 1"));
    }
    let created = row.get::<Option<i64>>(5)?.ok_or_else(|| odd("has no creation time"))?;
    let ended_at = time(8)?.unwrap_or(at).min(at);
    let (ended, expired_at) = match text(1, "a status")?.as_deref() {
        // `L` is an older name of `A`.
        Some("A" | "L") => (None, None),
        // Expired, whatever its lifetime is.
        Some("E") => (None, Some(ended_at.min(UnixTime::from_seconds(at.seconds.saturating_sub(1))))),
        _ => (Some(Termination { at: ended_at, why: TerminationReason::Revoked }), None),
    };
    let expires_at = row.get::<Option<i64>>(7)?.and_then(|lifetime| expiry(created, lifetime));
    let actor_id = text(3, "an actor id")?.filter(|id| !id.is_empty()).ok_or_else(|| odd("has no actor"))?;
    // A token that was issued in the future would be rejected until then.
    let issued_at = to_time(created).unwrap_or_default().min(at);
    let record = Record {
        description: text(2, "a description")?,
        expires_at: expires_at.into_iter().chain(expired_at).min(),
        last_used_at: time(6)?.map(|time| time.min(at)),
        ended,
        ..Record::new(id.to_string(), actor_id, issued_at)
    };
    let is_active = record.status(at, None) == Status::Active;
    let restrictions = match text(4, "`permissions`")? {
        Some(text) => read_permissions(&text).ok_or_else(|| odd("has restrictions that cannot be read"))?,
        None if is_active && !options.unrestricted => {
            return Err(DbError::new(format!(
                "token {id} has `permissions` that are NULL, which the plugin cannot read: nothing was imported; \
                 use `--unrestricted` to import it without restrictions"
            )));
        }
        None if is_active => None,
        None => Some(Restrictions::new()),
    };
    let record = Record { restrictions, ..record };
    if !is_storable(&record.actor_id) || (is_active && !is_actor_id(&record.actor_id)) {
        return Err(odd("has an actor id with control characters, or without a visible one"));
    }
    if !record.description.as_deref().is_none_or(is_storable) {
        return Err(odd("has a description with a NUL"));
    }
    if is_active {
        check_active(created, &record, &options.limits).map_err(|what| odd(&what))?;
    }
    Ok((id, record))
}

/// Checks that the token of an active record can be verified.
///
/// # Errors
/// Returns the reason, as a predicate for the subject "token 2".
fn check_active(created: i64, record: &Record, limits: &Limits) -> Result<(), String> {
    let created = u64::try_from(created).map_err(|_| "was created before 1970")?;
    if created > UnixTime::MAX_SECONDS {
        return Err("was created after the year 9999".to_owned());
    }
    let actor = serde_json::to_string(&record.actor_id).map_err(|error| error.to_string())?;
    // The actor as the handler reports it.
    let actor = format!("{{\"id\":{actor},\"token\":\"dsatok\",\"token_id\":{}}}", record.id);
    check_acceptance(&actor, record, limits)
}

/// Returns the last second in which the plugin accepts a token; `None` if that is after the year
/// 9999, where a lifetime means "never".
fn expiry(created: i64, lifetime: i64) -> Option<UnixTime> {
    // Times before 1970 are clamped to 1970.
    let end = to_time(created.saturating_add(lifetime)).unwrap_or_default();
    (end.seconds <= UnixTime::MAX_SECONDS).then_some(end)
}

/// Parses `permissions` as written by the plugin. There, an empty object restricts nothing, and
/// neither does it here.
fn read_permissions(text: &str) -> Option<Option<Restrictions>> {
    match text {
        "null" | "{}" => Some(None),
        text => read_restrictions(text).ok().map(Some),
    }
}
