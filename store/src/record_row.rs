//! Conversion between rows of `tokens` and records.

use crate::database::{DbError, Row, Value};
use crate::{reject_nul, time_to_i64, to_time};
use indexmap::IndexMap;
use keyward_runtime::Restrictions;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{Record, SecretDigest, StoredRecord, Termination, TerminationReason};
use keyward_runtime::token::{TokenDigest, TokenId};
use serde::Deserialize;

/// The columns of a [`record`], for [`concat!`].
macro_rules! columns {
    () => {
        "id, actor_id, description, restrictions, issued_at, expires_at, last_used_at, ended_at, ended_why, caller, key, \
         parent_handler, parent_id"
    };
}

pub(crate) use columns;

/// Number of these columns; other selected columns follow them.
pub(crate) const COLUMNS: usize = 13;

/// Reads a record, with the digests of its secret and of its token in the columns behind it.
pub(crate) fn stored(row: &Row) -> Result<StoredRecord, DbError> {
    let record = record(row)?;
    let digest = digest(row, COLUMNS)?.map(SecretDigest::new);
    let token_digest = digest_of_token(row, COLUMNS.saturating_add(1))?;
    Ok(StoredRecord { record, digest, token_digest })
}

/// Reads the digest of a token from a column.
pub(crate) fn digest_of_token(row: &Row, column: usize) -> Result<Option<TokenDigest>, DbError> {
    Ok(digest(row, column)?.map(TokenDigest::new))
}

fn digest(row: &Row, column: usize) -> Result<Option<[u8; 32]>, DbError> {
    let bytes = row.get::<Option<Vec<u8>>>(column)?.map(TryInto::try_into).transpose();
    bytes.map_err(|_| DbError::new("a digest in the database is not 32 bytes long"))
}

/// Reads a record. An unexpected value never makes a token more valid.
pub(crate) fn record(row: &Row) -> Result<Record, DbError> {
    let mut columns = 0..COLUMNS;
    // In the order of the columns, as fields are evaluated in the order in which they are written.
    let mut next = || columns.next().unwrap_or(COLUMNS);
    let time = |column| row.get::<Option<i64>>(column)?.map(to_time).transpose();
    Ok(Record {
        id: row.get(next())?,
        actor_id: row.get(next())?,
        description: row.get(next())?,
        restrictions: row.get::<Option<String>>(next())?.as_deref().map(read_restrictions).transpose()?,
        issued_at: to_time(row.get(next())?)?,
        expires_at: time(next())?,
        last_used_at: time(next())?,
        ended: read_ended(time(next())?, row.get(next())?)?,
        client: row.get(next())?,
        key: row.get(next())?,
        parent: read_parent(row.get(next())?, row.get(next())?)?,
    })
}

fn read_ended(at: Option<UnixTime>, why: Option<String>) -> Result<Option<Termination>, DbError> {
    match (at, why.as_deref()) {
        (None, None) => Ok(None),
        (Some(at), Some("replaced")) => Ok(Some(Termination { at, why: TerminationReason::Replaced })),
        (Some(at), _) => Ok(Some(Termination { at, why: TerminationReason::Revoked })),
        (None, Some(_)) => Err(DbError::new("a record has a termination reason but no time")),
    }
}

fn read_parent(handler: Option<String>, id: Option<String>) -> Result<Option<TokenId>, DbError> {
    match (handler, id) {
        (None, None) => Ok(None),
        (Some(handler), Some(id)) => Ok(Some(TokenId { handler, id })),
        _ => Err(DbError::new("a record has a part of a parent")),
    }
}

/// Returns the values of a record to insert: its handler, the columns of a [`record`], and the
/// digests of its secret and of its token.
pub(crate) fn values(handler: &str, stored: StoredRecord) -> Result<Vec<Value>, DbError> {
    let StoredRecord { record, digest, token_digest } = stored;
    let Record {
        id,
        actor_id,
        description,
        restrictions,
        issued_at,
        expires_at,
        last_used_at,
        ended,
        client,
        key,
        parent,
    } = record;
    let (parent_handler, parent_id) = parent.map(|TokenId { handler, id }| (handler, id)).unzip();
    let optional = [&description, &client, &key, &parent_handler, &parent_id].into_iter().flatten();
    reject_nul([&id, &actor_id].into_iter().chain(optional).map(String::as_str))?;
    Ok(vec![
        handler.into(),
        id.as_str().into(),
        actor_id.as_str().into(),
        description.into(),
        write_restrictions(restrictions.as_ref())?.into(),
        time_to_i64(issued_at)?.into(),
        expires_at.map(time_to_i64).transpose()?.into(),
        last_used_at.map(time_to_i64).transpose()?.into(),
        ended.map(|ended| time_to_i64(ended.at)).transpose()?.into(),
        ended.map(|ended| why(ended.why).to_owned()).into(),
        client.into(),
        key.into(),
        parent_handler.into(),
        parent_id.into(),
        Value::Bytes(digest.map(|digest| digest.bytes().to_vec())),
        of_token(token_digest),
    ])
}

/// Returns the stored form of a termination reason.
pub(crate) fn why(ending: TerminationReason) -> &'static str {
    match ending {
        TerminationReason::Revoked => "revoked",
        TerminationReason::Replaced => "replaced",
    }
}

/// Returns the stored form of restrictions: Datasette's `_r`.
pub(crate) fn write_restrictions(restrictions: Option<&Restrictions>) -> Result<Option<String>, DbError> {
    let text = restrictions.map(serde_json::to_string).transpose();
    text.map_err(|_| DbError::new("the restrictions cannot be written"))
}

/// Datasette's `_r`, as the runtime serializes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    a: Vec<String>,
    #[serde(default)]
    d: IndexMap<String, Vec<String>>,
    #[serde(default)]
    r: IndexMap<String, IndexMap<String, Vec<String>>>,
}

/// Parses restrictions. Fails closed: ignoring invalid ones would grant all permissions.
pub(crate) fn read_restrictions(text: &str) -> Result<Restrictions, DbError> {
    // Serde would accept a list as an object.
    let object = Some(text).filter(|text| text.trim_start().starts_with('{'));
    let read = object.and_then(|text| serde_json::from_str(text).ok());
    let Written { a, d, r } = read.ok_or_else(|| DbError::new("restrictions in the database cannot be read"))?;
    let mut restrictions = Restrictions::new();
    for action in a {
        restrictions = restrictions.allow_all(action);
    }
    for (database, actions) in d {
        for action in actions {
            restrictions = restrictions.allow_database(database.as_str(), action);
        }
    }
    for (database, resources) in r {
        for (resource, actions) in resources {
            for action in actions {
                restrictions = restrictions.allow_resource(database.as_str(), resource.as_str(), action);
            }
        }
    }
    Ok(restrictions)
}

/// Returns the digest of a token as a value.
pub(crate) fn of_token(token: Option<TokenDigest>) -> Value {
    Value::Bytes(token.map(|token| token.bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrictions_round_trip_and_invalid_ones_are_rejected() {
        let written = Restrictions::new()
            .allow_all("view")
            .allow_all("a\"\0\u{1f980}")
            .allow_database("d", "x")
            .allow_database("", "y")
            .allow_resource("d", "t", "z");
        let text = serde_json::to_string(&written).unwrap();
        assert!(read_restrictions(&text).ok() == Some(written), "{text}");
        assert!(read_restrictions("{}").ok() == Some(Restrictions::new()), "restrictions that allow nothing");
        for text in [
            "",
            "null",
            "[",
            "[]",
            "[[\"x\"]]",
            "1",
            r#"{"a":null}"#,
            r#"{"a":["x"],"b":[]}"#,
            r#"{"d":{"x":"y"}}"#,
            r#"{"a":[1]}"#,
        ] {
            assert!(read_restrictions(text).is_err(), "{text}");
        }
    }
}
