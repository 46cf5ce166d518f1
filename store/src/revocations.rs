//! The revocation list, in order.

use crate::database::{DbError, Value};
use crate::pool::{Pool, PooledConnection};
use crate::record_row::{digest_of_token, of_token};
use crate::{CHANNEL, reject_nul, time_to_i64, to_i64, to_time, to_u64};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{Entry, Revocation, Revoked};
use keyward_runtime::token::TokenId;
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The lock that a transaction holds from before it draws the number of a revocation until it
/// commits, so that entries become visible in the order of their numbers.
pub(crate) const LOCK: &str = "revocations";

/// The condition that a record is valid at `$1`.
pub(crate) const GOOD: &str = "ended_at IS NULL AND (expires_at IS NULL OR expires_at >= $1)";

/// The condition that a record has expired at `$1`. Expired records are revoked too: a clock that
/// was wrong must not make them valid again. The `+` keeps SQLite from scanning all expired
/// records.
const EXPIRED: &str = "ended_at IS NULL AND +expires_at < $1";

/// The tokens that were requested with the token `$3` of the handler `$2`, directly or not.
const DESCENDANTS: &str = "WITH RECURSIVE descendants (handler, id) AS (\
     SELECT handler, id FROM tokens WHERE parent_handler = $2 AND parent_id = $3 \
     UNION SELECT child.handler, child.id FROM tokens child \
     JOIN descendants ON child.parent_handler = descendants.handler AND child.parent_id = descendants.id) ";

/// The condition that a record is that of a descendant.
const IS_DESCENDANT: &str = "(handler, id) IN (SELECT handler, id FROM descendants)";

pub(crate) async fn count(pool: Arc<Pool>, revocation: Revocation, at: UnixTime) -> Result<u64, DbError> {
    let revocation = of_all_that_exists(&revocation, at);
    let at = time_to_i64(at)?;
    let (matches, values) = matches(&revocation, at)?;
    let mut lease = pool.lease().await?;
    let named = named(&mut lease, &revocation, at).await?;
    let count = if named.is_empty() {
        let sql = format!("SELECT count(*) FROM tokens WHERE {GOOD}{matches}");
        to_u64(lease.row(AssertSqlSafe(sql), values).await?.get(0)?)?
    } else {
        // A descendant may match as well, or descend from two tokens.
        let sql = format!("SELECT handler, id FROM tokens WHERE {GOOD}{matches}");
        let mut covered: BTreeSet<_> = tokens(&mut lease, sql, values).await?.into_iter().collect();
        for token in named {
            let sql = format!("{DESCENDANTS}SELECT handler, id FROM tokens WHERE {GOOD} AND {IS_DESCENDANT}");
            covered.extend(tokens(&mut lease, sql, of_descendants(&token, at)).await?);
        }
        u64::try_from(covered.len()).unwrap_or(u64::MAX)
    };
    lease.done();
    Ok(count)
}

pub(crate) async fn revoke(pool: Arc<Pool>, revocation: Revocation, at: UnixTime) -> Result<Revoked, DbError> {
    let covers_everything_issued = covers_everything_issued(&revocation, at);
    let of_all_that_exists = of_all_that_exists(&revocation, at);
    let at = time_to_i64(at)?;
    // Validate before changing anything.
    matches(&revocation, at)?;
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    lease.lock(LOCK).await?;
    let number = append(&mut lease, &revocation, at).await?;
    let named = named(&mut lease, &of_all_that_exists, at).await?;
    let good = end(&mut lease, GOOD, &revocation, at).await?;
    end(&mut lease, EXPIRED, &revocation, at).await?;
    let ahead = if covers_everything_issued { revoke_future_dated(&mut lease, revocation, at).await? } else { 0 };
    let (good_descendants, descendants) = end_descendants(&mut lease, &named, at).await?;
    notify(&mut lease).await?;
    lease.commit().await?;
    let ended = [good, good_descendants, ahead].into_iter().fold(0, u64::saturating_add);
    Ok(Revoked { ended, number, descendants })
}

/// Returns the tokens whose descendants a revocation ends too.
async fn named(lease: &mut PooledConnection, revocation: &Revocation, at: i64) -> Result<Vec<TokenId>, DbError> {
    let Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children } = revocation;
    if *keep_children || (token_id.is_none() && token_digest.is_none()) {
        return Ok(Vec::new());
    }
    let (matches, values) = matches(revocation, at)?;
    let sql = format!("SELECT handler, id FROM tokens WHERE CAST($1 AS bigint) IS NOT NULL{matches}");
    let mut tokens = tokens(lease, sql, values).await?;
    // A token that was issued elsewhere has no record, but its children have.
    if let (Some(handler), Some(id), None, None) = (handler, token_id, actor_id, issued_until) {
        tokens.push(TokenId { handler: handler.clone(), id: id.clone() });
        tokens.sort();
        tokens.dedup();
    }
    Ok(tokens)
}

/// Returns the tokens in the first two columns of a statement's result.
async fn tokens(lease: &mut PooledConnection, sql: String, values: Vec<Value>) -> Result<Vec<TokenId>, DbError> {
    let rows = lease.rows(AssertSqlSafe(sql), values).await?;
    rows.iter().map(|row| Ok(TokenId { handler: row.get(0)?, id: row.get(1)? })).collect()
}

/// Revokes the descendants of tokens, within a transaction that holds the [`LOCK`]. Returns the
/// number of those that were valid, and all of them.
pub(crate) async fn end_descendants(
    lease: &mut PooledConnection,
    tokens: &[TokenId],
    at: i64,
) -> Result<(u64, Vec<TokenId>), DbError> {
    let (mut good, mut ended) = (0_u64, Vec::new());
    for token in tokens {
        let sql = format!(
            "{DESCENDANTS}UPDATE tokens SET ended_at = $1, ended_why = 'revoked' \
             WHERE ended_at IS NULL AND {IS_DESCENDANT} RETURNING handler, id, expires_at"
        );
        for row in lease.rows(AssertSqlSafe(sql), of_descendants(token, at)).await? {
            let token = TokenId { handler: row.get(0)?, id: row.get(1)? };
            let is_good = row.get::<Option<i64>>(2)?.is_none_or(|end| end >= at);
            good = good.saturating_add(u64::from(is_good));
            append(lease, &token.clone().into(), at).await?;
            ended.push(token);
        }
    }
    Ok((good, ended))
}

fn of_descendants(token: &TokenId, at: i64) -> Vec<Value> {
    vec![at.into(), token.handler.as_str().into(), token.id.as_str().into()]
}

/// Returns at most `max` entries behind `after`.
pub(crate) async fn list(pool: Arc<Pool>, after: u64, max: u32) -> Result<Vec<(u64, Entry)>, DbError> {
    let last_read = to_i64(after)?;
    let mut lease = pool.lease().await?;
    let sql = "SELECT seq, handler, token_id, actor_id, issued_until, capped_at, token_digest FROM revocations \
               WHERE seq > $1 ORDER BY seq LIMIT $2";
    let rows = lease.rows(sql, vec![last_read.into(), i64::from(max).into()]).await?;
    lease.done();
    let time = |time: Option<i64>| time.map(to_time).transpose();
    let entries = rows.iter().map(|row| {
        let entry = match time(row.get(5)?)? {
            Some(at) => Entry::Capped(at),
            None => Entry::Revoked(Revocation {
                handler: row.get(1)?,
                token_id: row.get(2)?,
                token_digest: digest_of_token(row, 6)?,
                actor_id: row.get(3)?,
                issued_until: time(row.get(4)?)?,
                keep_children: false,
            }),
        };
        Ok((to_u64(row.get(0)?)?, entry))
    });
    entries.collect()
}

/// Appends a revocation within a transaction that holds the [`LOCK`], and returns its number.
pub(crate) async fn append(lease: &mut PooledConnection, revocation: &Revocation, at: i64) -> Result<u64, DbError> {
    let Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children: _ } = revocation.clone();
    let values = vec![
        handler.into(),
        token_id.into(),
        actor_id.into(),
        issued_until.map(time_to_i64).transpose()?.into(),
        at.into(),
        of_token(token_digest),
    ];
    let sql = "INSERT INTO revocations (handler, token_id, actor_id, issued_until, at, token_digest) \
               VALUES ($1, $2, $3, $4, $5, $6) RETURNING seq";
    to_u64(lease.row(sql, values).await?.get(0)?)
}

/// Notifies other nodes, once the transaction is committed.
pub(crate) async fn notify(lease: &mut PooledConnection) -> Result<(), DbError> {
    if lease.is_sqlite() {
        return Ok(());
    }
    lease.rows("SELECT pg_notify($1, '')", vec![CHANNEL.into()]).await.map(drop)
}

async fn end(lease: &mut PooledConnection, which: &str, revocation: &Revocation, at: i64) -> Result<u64, DbError> {
    let (matches, values) = matches(revocation, at)?;
    let sql = format!("UPDATE tokens SET ended_at = $1, ended_why = 'revoked' WHERE {which}{matches}");
    lease.change(AssertSqlSafe(sql), values).await
}

/// Returns `true` if the revocation covers everything issued up to now.
fn covers_everything_issued(revocation: &Revocation, at: UnixTime) -> bool {
    revocation.issued_until.is_some_and(|until| until.whole() >= at.whole())
}

/// Returns a revocation without a cutoff if everything issued up to now is covered: then all
/// matching records are, also those whose `issued_at` is in the future.
fn of_all_that_exists(revocation: &Revocation, at: UnixTime) -> Revocation {
    let issued_until = revocation.issued_until.filter(|_| !covers_everything_issued(revocation, at));
    Revocation { issued_until, ..revocation.clone() }
}

/// Also revokes, one by one, the records whose `issued_at` is in the future because another node's
/// clock was ahead.
async fn revoke_future_dated(lease: &mut PooledConnection, revocation: Revocation, at: i64) -> Result<u64, DbError> {
    let (matches, mut values) = matches(&Revocation { issued_until: None, ..revocation.clone() }, at)?;
    values.push(revocation.issued_until.map(time_to_i64).transpose()?.into());
    let sql = format!(
        "UPDATE tokens SET ended_at = $1, ended_why = 'revoked' WHERE ended_at IS NULL{matches} AND issued_at > ${} \
         RETURNING handler, id",
        values.len()
    );
    let tokens = tokens(lease, sql, values).await?;
    let count = u64::try_from(tokens.len()).unwrap_or(u64::MAX);
    for token in tokens {
        append(lease, &token.into(), at).await?;
    }
    Ok(count)
}

/// Returns the SQL conditions for the records that the revocation covers, built from constant text,
/// and their values; `$1` is `at`.
fn matches(revocation: &Revocation, at: i64) -> Result<(String, Vec<Value>), DbError> {
    let Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children: _ } = revocation;
    reject_nul([handler, token_id, actor_id].into_iter().flatten().map(String::as_str))?;
    if token_id.is_some() && handler.is_none() {
        return Err(DbError::new("revoking a token by its id requires its handler"));
    }
    let mut values = vec![at.into()];
    let mut bind = |value: Value| {
        values.push(value);
        format!("${}", values.len())
    };
    let mut conditions = Vec::new();
    conditions.extend(handler.as_deref().map(|handler| format!("handler = {}", bind(handler.into()))));
    // Either one identifies the token.
    let by_id = token_id.as_deref().map(|id| format!("id = {}", bind(id.into())));
    let by_digest = token_digest.map(|token| format!("token_digest = {}", bind(of_token(Some(token)))));
    let named: Vec<_> = by_id.into_iter().chain(by_digest).collect();
    if !named.is_empty() {
        conditions.push(format!("({})", named.join(" OR ")));
    }
    conditions.extend(actor_id.as_deref().map(|actor| format!("actor_id = {}", bind(actor.into()))));
    if let Some(until) = issued_until {
        conditions.push(format!("issued_at <= {}", bind(time_to_i64(*until)?.into())));
    }
    let sql = conditions.iter().map(|condition| format!(" AND {condition}")).collect();
    Ok((sql, values))
}
