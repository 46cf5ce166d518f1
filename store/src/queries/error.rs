//! Errors of queries, without the values that databases repeat in their messages.

use std::fmt;

/// The reason why a query failed.
pub(super) enum QueryError {
    /// The deadline has passed.
    Late,
    /// The connection is lost or unusable; another one may work.
    Gone(String),
    Other(String),
}

impl QueryError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// Converts an error, leaving out text that may repeat a parameter or a value.
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let error = match error {
            sqlx::Error::Database(error) => error,
            sqlx::Error::Io(error) => return Self::Gone(error.to_string()),
            sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
                return Self::Gone("the connection was lost".to_owned());
            }
            sqlx::Error::Tls(error) => return Self::Other(error.to_string()),
            _ => return Self::new("the database returned an unexpected response"),
        };
        let code = error.code().unwrap_or_default();
        let text = error.message().to_owned();
        if let Ok(number) = code.parse::<u32>()
            && code.len() != 5
        {
            // SQLite: the low byte is the primary code.
            return match number & 0xff {
                9 => Self::Late,
                1 if !text.starts_with("no such ") => Self::Other("the query failed (SQLITE_ERROR)".to_owned()),
                _ => Self::Other(text),
            };
        }
        match code.get(..2).unwrap_or_default() {
            _ if code == "57014" => Self::Late,
            // The server is stopping or starting, or the tables have changed since the query was
            // prepared.
            "57" => Self::Gone(text),
            "0A" | "26" => Self::Gone(format!("the query failed (SQLSTATE {code})")),
            // Connections, permissions, missing objects, resources, and read-only errors.
            "08" | "25" | "28" | "3D" | "42" | "53" | "55" | "58" => Self::Other(text),
            _ => Self::Other(format!("the query failed (SQLSTATE {code})")),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it did not respond in time"),
            Self::Gone(text) | Self::Other(text) => f.write_str(text),
        }
    }
}
