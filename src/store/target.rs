//! Where the store is, as the user says it.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::{
    error::{Error, Result},
    language::t,
    secret::Secret,
};

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of PostgreSQL.
    Postgres(PostgresUrl),
}

impl Target {
    /// Reads what `--store` and `DV_STORE` hold: a path, or a URL without a password.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a URL that holds a password (others can read it there), and for one of something else than PostgreSQL.
    pub fn parse(text: &str) -> Result<Self> {
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let url = PostgresUrl::parse(text)?;
        if url.has_password() {
            // The text is not shown.
            return Err(Error::config(t!("the URL of the store holds a password, which others can read there")).with_hint(t!(
                "put the URL into a file for `--store-file` (DV_STORE_FILE), or only the password into PGPASSFILE"
            )));
        }
        Ok(Self::Postgres(url))
    }

    /// Reads what a file of `--store-file` holds: the same, but a URL may have a password.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a URL of something else than PostgreSQL.
    pub fn parse_private(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.contains("://") { Ok(Self::Postgres(PostgresUrl::parse(text)?)) } else { Ok(Self::File(PathBuf::from(text))) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(url) => f.write_str(&url.shown),
        }
    }
}

/// The URL of a database of PostgreSQL, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    url: Secret,
    /// Without password and parameters.
    shown: String,
}

impl PostgresUrl {
    fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Err(Error::config(t!("the store is no URL of PostgreSQL: %{why}", why))
                .with_hint(t!("`postgres://USER@HOST:PORT/DATABASE`, or the path of a file for SQLite")))
        };
        // The text is not shown, nor what its parsers say about it: it may hold a password.
        let Ok(url) = Url::parse(text) else { return wrong(t!("it cannot be read")) };
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return wrong(t!("it does not begin with `postgres://`"));
        }
        if PgConnectOptions::from_str(text).is_err() {
            return wrong(t!("one of its parts cannot be read"));
        }
        let mut shown = url.clone();
        // Impossible only for URLs without a host, which hold no password there either.
        let _ = shown.set_password(None);
        shown.set_query(None);
        shown.set_fragment(None);
        Ok(Self { url: Secret::new(text), shown: shown.to_string() })
    }

    fn has_password(&self) -> bool {
        Url::parse(self.url.expose())
            .is_ok_and(|url| url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password"))
    }

    /// The password, for the list of what is never shown.
    pub fn password(&self) -> Option<Secret> {
        let url = Url::parse(self.url.expose()).ok()?;
        let in_query = url.query_pairs().find(|(key, _)| key == "password").map(|(_, value)| value.into_owned());
        let in_front = || url.password().map(|text| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned());
        in_query.or_else(in_front).map(Secret::new)
    }

    /// How the server is reached. What the URL does not say, sqlx takes from PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE and the like.
    pub(super) fn options(&self) -> sqlx::Result<PgConnectOptions> {
        PgConnectOptions::from_str(self.url.expose())
    }

    /// For messages.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls() {
        assert_eq!(Target::parse("/x/store.db").unwrap(), Target::File("/x/store.db".into()));
        let url = Target::parse("postgres://dv@db.example.com:5433/dv?sslmode=verify-full").unwrap();
        assert_eq!(url.to_string(), "postgres://dv@db.example.com:5433/dv");
        assert!(Target::parse("mysql://u@h/d").unwrap_err().to_string().contains("postgres://"));
        assert!(Target::parse("postgres://h:port/d").is_err());
    }

    #[test]
    fn a_password_is_taken_from_a_file_only_and_never_shown() {
        for text in ["postgres://dv:hunter2hunter2@h/d", "postgresql:///d?host=/run&password=hunter2hunter2"] {
            let error = Target::parse(text).unwrap_err();
            assert!(error.hint().unwrap().contains("--store-file"), "{error:?}");
            let Target::Postgres(url) = Target::parse_private(&format!("{text}\n")).unwrap() else { panic!("a file") };
            assert_eq!(url.password().unwrap().expose(), "hunter2hunter2");
            assert!(!format!("{error:?}{url:?}{}", url.shown()).contains("hunter2"));
        }
        let error = Target::parse_private("postgres://dv:hunter2@h:hunter2/d").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
