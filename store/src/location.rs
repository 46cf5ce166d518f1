//! Locations of stores.

use crate::OpenError;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The parameters allowed in a PostgreSQL URL. Others would be ignored, and their values logged.
const PARAMETERS: &[&str] =
    &["host", "hostaddr", "port", "dbname", "user", "password", "application_name", "sslmode", "options"];

/// The location of a store: a SQLite file, or a database on a PostgreSQL server.
///
/// Parsed from a URL that begins with `postgres://` or `postgresql://`, or from the path of a file.
/// Omitted parts of a URL come from `PGHOST`, `PGUSER`, `PGPASSWORD` and so on, and from
/// `~/.pgpass`, as with all PostgreSQL clients.
///
/// Its `Display` and `Debug` output contains neither password nor user.
#[derive(Clone)]
pub struct Location(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    // The `Debug` output of `PgConnectOptions` contains the password.
    Postgres(Box<PgConnectOptions>),
}

impl Location {
    /// Creates the location of a SQLite file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(path.into()))
    }

    /// Creates the location of a database on a PostgreSQL server, such as
    /// `postgres://user:password@host:5432/database`, or
    /// `postgres:///database?host=/run/postgresql` for a Unix socket.
    ///
    /// TLS is not supported: run the server on the same machine, or behind a tunnel.
    /// `sslmode=require` is refused when the store is opened.
    ///
    /// # Errors
    /// Returns an error, which does not repeat the URL, if the URL is not valid.
    pub fn postgres(url: &str) -> Result<Self, OpenError> {
        let query = url.split_once('?').map(|(_, query)| query.split('#').next().unwrap_or(query));
        let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        if parameters.any(|(name, _)| !PARAMETERS.contains(&&*name)) {
            return Err(OpenError::new(format!(
                "the PostgreSQL URL has an unknown parameter: known are {}. In a password, `?`, `#`, `/` and `@` are written as %3F, %23, %2F and %40",
                PARAMETERS.join(", ")
            )));
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            OpenError::new(
                "the PostgreSQL URL is not valid: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for what is special in URLs",
            )
        })?;
        Ok(Self(Place::Postgres(Box::new(options.disable_statement_logging()))))
    }
}

impl FromStr for Location {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self::postgres(text);
        }
        if text.is_empty() || text.contains("://") {
            return Err(OpenError::new(
                "not a store: write the path of a SQLite file, or a URL that begins with postgres://",
            ));
        }
        Ok(Self::sqlite(text))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => write!(f, "the SQLite store {}", path.display()),
            Place::Postgres(options) => {
                let database = options.get_database().unwrap_or("(the user's)");
                write!(f, "the PostgreSQL store {database} at ")?;
                match options.get_socket() {
                    Some(socket) => write!(f, "{}", socket.display()),
                    None => write!(f, "{}:{}", options.get_host(), options.get_port()),
                }
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_or_a_url() {
        let shown = |text: &str| text.parse::<Location>().map(|location| location.to_string());
        assert_eq!(shown("/var/lib/keyward.db").unwrap(), "the SQLite store /var/lib/keyward.db");
        assert_eq!(shown("postgres://u:p@h:1/d").unwrap(), "the PostgreSQL store d at h:1");
        assert_eq!(shown("postgresql:///d?host=/run/pg&user=u").unwrap(), "the PostgreSQL store d at /run/pg");
        for refused in ["", "mysql://h/d", "sqlite://x", "postgres://h:port/d", "postgres://h/d?sslmode=maybe"] {
            shown(refused).unwrap_err();
        }
    }

    #[test]
    fn no_message_contains_the_password() {
        for url in ["postgres://someone:hunter2@h/d", "postgres://h/d?password=hunter2", "postgres://h/d?hunter2=1"]
            .iter()
            .chain(&["postgres://someone:hunter2@h:port/d", "postgres://h/d?port=hunter2", "hunter2://h"])
        {
            let shown = match url.parse::<Location>() {
                Ok(location) => format!("{location} {location:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("hunter2") && !shown.contains("someone"), "{shown}");
        }
    }
}
