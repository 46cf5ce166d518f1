//! Tokens from a table of the operator, as the SQL mode of datasette-auth-tokens reads them. A
//! token is `<id>-<secret>`.
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
//! The text before the hyphen is the parameter `:token_id`. The rest must equal the column
//! `token_secret` of the first row: the handler hashes both and compares them in constant time. The
//! actor consists of the columns whose names begin with `actor_`, with every `actor_` removed from
//! them: `actor_id` is its `id`, `actor_actor_name` its `name`. All other columns except one are
//! ignored:
//!
//! **`token_id`**, if the query selects it, is the token id for revocation. The id inside the token
//! is not used, because `1` may have other spellings in SQL, such as `01`. If the query has no such
//! column, or its value is neither a whole number nor 1 to 256 printable ASCII characters without
//! spaces, revoke the token in the table, or by its actor.
//!
//! Tokens are created in that table too: `create` is refused. They do not expire unless the query
//! says so: with SQLite `and expires_at > unixepoch()`.
//!
//! SQLite compares a column that is declared as an integer numerically, so that `01-…` and ` 1-…`
//! are tokens of row 1 as well. PostgreSQL compares text with text only: write `where
//! token_id::text = :token_id` there.
//!
//! # Verdicts
//!
//! A token without a hyphen is `not-mine`. A token with two or more hyphens, with characters other
//! than printable ASCII, or without a secret is malformed and costs neither a call nor a query. An
//! unknown id and a wrong secret get the same verdict. A secret in the table that is not text (a
//! number, NULL, bytes) or not ASCII matches no token.
//!
//! # Differences from datasette-auth-tokens
//!
//! * **An invalid token is rejected** with a reason. The plugin treats it as no token, and the
//!   request continues as anonymous.
//! * **Two hyphens, non-ASCII characters, or a secret in the table that is not text** are an
//!   internal error in the plugin.
//! * **An empty secret matches nothing.** In the plugin it matches an empty one in the table.
//! * **An unusable query is reported to the operator**: two columns that give the actor the same
//!   member, bytes or an infinity in the actor, no column for an actor, more rows than `rows`.

#[cfg(test)]
mod tests;

use keyward_sdk::queries::{self, Answer, QueryError, Value};
use keyward_sdk::{
    Acceptance, CreateError, CreateRequest, Created, Denial, Failure, Reason, TokenHandler, Verdict, digest,
};
use subtle::ConstantTimeEq;

/// The handler for tokens in the operator's database.
#[derive(Debug)]
pub struct Query;

keyward_sdk::handler!(
    Query,
    // A token without a hyphen is `not-mine`, which only the handler can decide.
    patterns: ["[^-]{0,65535}", "[ -,.-~]{0,65535}[-]{1}[ -,.-~]{1,65535}"]
);

const LABEL: &str = "token";
const PARAMETER: &str = "token_id";
const SECRET: &str = "token_secret";
const ACTOR: &str = "actor_";

impl TokenHandler for Query {
    fn create(_: CreateRequest) -> Result<Created, CreateError> {
        let message = "these tokens are created in the operator's database";
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
                // Takes as long as a secret that does not match.
                let _ = std::hint::black_box(fits(secret, ""));
                Ok(unknown())
            }
        }
    }
}

/// A column and its value.
type Cell = (String, Value);

fn first_row(answer: Answer) -> Option<Vec<Cell>> {
    let Answer { columns, rows } = answer;
    rows.into_iter().next().map(|row| columns.into_iter().zip(row).collect())
}

/// Checks the secret against the row of its token.
fn judge(row: &[Cell], secret: &str) -> Result<Verdict, Failure> {
    let mut secrets = row.iter().filter(|(column, _)| column == SECRET);
    let (Some((_, kept)), None) = (secrets.next(), secrets.next()) else {
        return Err(broken("must have exactly one column `token_secret`"));
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

/// Returns whether two secrets are equal. Hashing them first hides even their lengths.
fn fits(presented: &str, kept: &str) -> bool {
    let [presented, kept] = [presented, kept].map(|secret| digest::sha256(secret.as_bytes()));
    presented.ct_eq(&kept).into()
}

/// Returns the actor from the `actor_` columns of a row, as a JSON object.
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
        // Writing a string cannot fail; if it did, the host would reject the result as an actor.
        json.push_str(&serde_json::to_string(&name).unwrap_or_default());
        json.push(':');
        let value = member(value).ok_or_else(|| {
            broken(
                &["has a value that JSON cannot represent in `", column, "`: select it as text or as a number"]
                    .concat(),
            )
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

/// Returns a value as JSON, or `None` if JSON cannot represent it.
fn member(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("null".to_owned()),
        Value::Integer(integer) => Some(integer.to_string()),
        Value::Real(real) => real.is_finite().then(|| serde_json::to_string(real).ok())?,
        Value::Text(text) => serde_json::to_string(text).ok(),
        Value::Blob(_) => None,
    }
}

/// Returns the value as a token id, or `None` if the contract does not allow it as one.
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
