//! Tokens from a table of the operator's: what the SQL mode of datasette-auth-tokens reads. A token is `<id>-<secret>`.
//!
//! ```toml
//! [queries.tokens]
//! sqlite = "tokens.db"                    # or: postgres = { env = "TOKENS_URL" }
//! sql = """
//!     select token_id, token_secret, actor_id, actor_name
//!     from tokens where token_id = :token_id
//! """
//!
//! [[handlers]]
//! name = "partners"
//! component = "builtin:query"
//! queries.token = "tokens"
//! ```
//!
//! What stands before the hyphen is the parameter `:token_id`, as text. The rest must equal the column `token_secret` of the
//! first row: both are hashed and compared in constant time, in the handler. The actor is made of the columns whose names begin
//! with `actor_`, less every `actor_` in them: `actor_id` is its `id`, `actor_actor_name` its `name`. Other columns do nothing,
//! but for one:
//!
//! **`token_id`**, where the query selects it, is what a token is called when it is taken back. What stands in the token is not,
//! because `1` may have other spellings in SQL, such as `01`. Tokens of a query without this column, or in whose row it is not
//! 1 to 256 printable ASCII characters without spaces or a whole number, are taken back in the table, or by their actor.
//!
//! Tokens are made in that table too: `create` is refused. They do not expire, unless the query says when: with SQLite
//! `and expires_at > unixepoch()`.
//!
//! In SQLite a column that is declared as an integer is compared as one, so that `01-…` and ` 1-…` are tokens of the row 1 as
//! well. PostgreSQL compares text with text only: write `where token_id::text = :token_id` there.
//!
//! # Answers
//!
//! A token without a hyphen is not this handler's. One with two or more, or with characters other than printable ASCII, or
//! without a secret, is malformed, and costs neither a call nor a query. An unknown id and a wrong secret get the same answer. A secret in the table
//! that is no text (a number, NULL, bytes) or no ASCII is one that no token has.
//!
//! # Differences from datasette-auth-tokens
//!
//! * **A bad token is refused**, and the reason told. There it is the same as none, and the request goes on as anonymous.
//! * **Two hyphens, other characters than ASCII, or a secret in the table that is no text** are an internal error there.
//! * **An empty secret fits nothing.** There it fits an empty one in the table.
//! * **A query that cannot be used is said to the operator**: two columns that give the actor a member of the same name, bytes
//!   or an infinity in the actor, no column for an actor, more rows than `rows`.

#[cfg(test)]
mod tests;

use keyward_sdk::queries::{self, Answer, QueryError, Value};
use keyward_sdk::{
    Acceptance, CreateError, CreateRequest, Created, Denial, Failure, Reason, TokenHandler, Verdict, digest,
};
use subtle::ConstantTimeEq;

/// The handler.
#[derive(Debug)]
pub struct Query;

keyward_sdk::handler!(
    Query,
    // Without a hyphen it is not one of ours, which is for us to say.
    forms: ["[^-]{0,65535}", "[ -,.-~]{0,65535}[-]{1}[ -,.-~]{1,65535}"]
);

const LABEL: &str = "token";
const PARAMETER: &str = "token_id";
const SECRET: &str = "token_secret";
const ACTOR: &str = "actor_";

impl TokenHandler for Query {
    fn create(_: CreateRequest) -> Result<Created, CreateError> {
        let message = "these tokens are made in the operator's database";
        Err(CreateError::denied(Denial::Disabled, message))
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        let Some((id, secret)) = token.split_once('-') else { return Ok(Verdict::NotMine) };
        let is_plain = token.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if secret.is_empty() || secret.contains('-') || !is_plain {
            return Ok(Verdict::rejected(Reason::Malformed, "Invalid token: not an id, a hyphen and a secret"));
        }
        let answer = queries::run(LABEL, &[(PARAMETER.to_owned(), Value::Text(id.to_owned()))]).map_err(failure)?;
        match first_row(answer) {
            Some(row) => judge(&row, secret),
            None => {
                // So that this takes as long as a secret that does not fit.
                let _ = std::hint::black_box(fits(secret, ""));
                Ok(unknown())
            }
        }
    }
}

/// A column and what stands in it.
type Cell = (String, Value);

fn first_row(answer: Answer) -> Option<Vec<Cell>> {
    let Answer { columns, rows } = answer;
    rows.into_iter().next().map(|row| columns.into_iter().zip(row).collect())
}

/// Judges a secret by the row of its token.
fn judge(row: &[Cell], secret: &str) -> Result<Verdict, Failure> {
    let mut secrets = row.iter().filter(|(column, _)| column == SECRET);
    let (Some((_, kept)), None) = (secrets.next(), secrets.next()) else {
        return Err(broken("must have one column `token_secret`"));
    };
    let (kept, is_text) = match kept {
        Value::Text(text) => (text.as_str(), true),
        _ => ("", false),
    };
    if !fits(secret, kept) || !is_text {
        return Ok(unknown());
    }
    Ok(Verdict::Accepted(Acceptance {
        actor: actor(row)?,
        restrictions: None,
        token_id: row.iter().find(|(column, _)| column == PARAMETER).and_then(|(_, value)| token_id(value)),
        issued_at: None,
        expires_at: None,
    }))
}

/// Whether two secrets are the same. Hashed first, so that not even their lengths are compared.
fn fits(presented: &str, kept: &str) -> bool {
    let [presented, kept] = [presented, kept].map(|secret| digest::sha256(secret.as_bytes()));
    presented.ct_eq(&kept).into()
}

/// The columns that speak of the actor, as a JSON object.
fn actor(row: &[Cell]) -> Result<String, Failure> {
    let mut names: Vec<String> = Vec::new();
    let mut json = String::from("{");
    for (column, value) in row.iter().filter(|(column, _)| column.starts_with(ACTOR)) {
        let name = column.replace(ACTOR, "");
        if names.contains(&name) {
            return Err(broken(&["has two columns for the actor's `", &name, "`"].concat()));
        }
        if !names.is_empty() {
            json.push(',');
        }
        // To write a string cannot fail; if it did, the host would not take this for an actor.
        json.push_str(&serde_json::to_string(&name).unwrap_or_default());
        json.push(':');
        let value = member(value).ok_or_else(|| {
            broken(&["has what JSON has not in `", column, "`: select it as text or as a number"].concat())
        })?;
        json.push_str(&value);
        names.push(name);
    }
    if names.is_empty() {
        return Err(broken("must have a column whose name begins with `actor_`"));
    }
    json.push('}');
    Ok(json)
}

/// A value as JSON, if there is such a thing.
fn member(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("null".to_owned()),
        Value::Integer(integer) => Some(integer.to_string()),
        Value::Real(real) => real.is_finite().then(|| serde_json::to_string(real).ok())?,
        Value::Text(text) => serde_json::to_string(text).ok(),
        Value::Blob(_) => None,
    }
}

/// What the contract takes for a token id, if it is that.
fn token_id(value: &Value) -> Option<String> {
    let id = match value {
        Value::Integer(integer) => integer.to_string(),
        Value::Text(text) => text.clone(),
        _ => return None,
    };
    let fine = (1..=256).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    fine.then_some(id)
}

fn failure(error: QueryError) -> Failure {
    match error {
        QueryError::NotGranted => Failure::Internal(
            "the query `token` is not granted: add `queries.token = \"…\"` to this handler".to_owned(),
        ),
        QueryError::WrongParameters => broken("must have the parameter `:token_id` and no other"),
    }
}

fn broken(how: &str) -> Failure {
    Failure::Internal(["the query `token` ", how].concat())
}

fn unknown() -> Verdict {
    Verdict::rejected(Reason::Unknown, "Invalid token")
}
