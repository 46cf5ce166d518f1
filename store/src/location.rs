//! Where a store is.

use crate::OpenError;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What the query of a PostgreSQL URL may hold. Anything else would be ignored, and its value logged.
const PARAMETERS: &[&str] =
    &["host", "hostaddr", "port", "dbname", "user", "password", "application_name", "sslmode", "options"];

/// Where a store is: a file of SQLite's, or a database on a PostgreSQL server.
///
/// Read from text: a URL that begins with `postgres://` or `postgresql://`, or the path of a file. What such a URL leaves
/// out comes from `PGHOST`, `PGUSER`, `PGPASSWORD` and so on, and from `~/.pgpass`, as with every client of PostgreSQL.
///
/// It shows neither a password nor a user.
#[derive(Clone)]
pub struct Location(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    // Its own `Debug` shows the password.
    Postgres(Box<PgConnectOptions>),
}

impl Location {
    /// A file of SQLite's.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(path.into()))
    }

    /// A database on a PostgreSQL server, such as `postgres://user:password@host:5432/database`, or
    /// `postgres:///database?host=/run/postgresql` for a server's socket.
    ///
    /// TLS is not built in: the server belongs on the same machine, or behind a tunnel. `sslmode=require` is refused when
    /// the store is opened.
    ///
    /// # Errors
    /// It is no such URL. The error does not repeat it.
    pub fn postgres(url: &str) -> Result<Self, OpenError> {
        let query = url.split_once('?').map(|(_, query)| query.split('#').next().unwrap_or(query));
        let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        if parameters.any(|(name, _)| !PARAMETERS.contains(&&*name)) {
            return Err(OpenError::new(format!(
                "the URL of PostgreSQL has an unknown parameter: known are {}. In a password, `?`, `#`, `/` and `@` are written as %3F, %23, %2F and %40",
                PARAMETERS.join(", ")
            )));
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            OpenError::new(
                "the URL of PostgreSQL cannot be read: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for what is special in URLs",
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
                "a store is the path of a file of SQLite's, or a URL that begins with postgres://",
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
    fn no_text_of_it_has_the_password() {
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
