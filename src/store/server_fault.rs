//! What goes wrong with a store on PostgreSQL, said so that a person can mend it.

use super::fault::{Place, message};
use crate::{
    error::{Error, ErrorKind, Retry},
    language::t,
};

/// An error of the server at `place`.
pub(super) fn server_failed(place: &Place, error: sqlx::Error) -> Error {
    let said = message(&error);
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
    let Said { kind, why, hint, retry } = match &error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            let why =
                if matches!(error, sqlx::Error::PoolTimedOut) { t!("no connection was free in time").to_owned() } else { said };
            Said::later(
                t!("the database cannot be reached: %{why}", why),
                t!("see whether the server runs, and can be reached from this machine"),
            )
        }
        sqlx::Error::Tls(_) => Said::never(
            ErrorKind::Store,
            t!("no encrypted connection: %{said}", said),
            t!("see `sslmode` and `sslrootcert` of the URL, or PGSSLMODE and PGSSLROOTCERT"),
        ),
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => Said::never(
            ErrorKind::Store,
            t!("it holds something that cannot be read: %{said}", said),
            t!("use the version that wrote it, or another store (`--store`)"),
        ),
        _ => of_code(&code, said),
    };
    let error_code = (!code.is_empty()).then_some(code);
    let failed = Error::new(kind, t!("the store `%{place}` failed: %{why}", place, why))
        .with_hint(hint)
        .with_retry(retry)
        .with_source(error);
    match error_code {
        Some(code) => failed.with_code(code),
        None => failed,
    }
}

struct Said {
    kind: ErrorKind,
    why: String,
    hint: &'static str,
    retry: Retry,
}

impl Said {
    fn never(kind: ErrorKind, why: String, hint: &'static str) -> Self {
        Self { kind, why, hint, retry: Retry::Never }
    }

    fn later(why: String, hint: &'static str) -> Self {
        Self { kind: ErrorKind::Store, why, hint, retry: Retry::Later }
    }
}

/// By PostgreSQL's error code (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn of_code(code: &str, said: String) -> Said {
    match code {
        "28P01" | "28000" => Said::never(
            ErrorKind::Credentials,
            t!("the server does not let us in: %{said}", said),
            t!("put the URL with the right user and password into the file of `--store-file`, or the password into PGPASSFILE"),
        ),
        "3D000" => Said::never(ErrorKind::Config, said, t!("make it with `createdb`, or name another one")),
        "42501" => Said::never(
            ErrorKind::Rights,
            said,
            "grant the user CREATE on the database, or make the schema `dv_verify` for it (docs/fleet.md)",
        ),
        "25006" => Said::never(
            ErrorKind::Store,
            t!("the database is read-only: %{said}", said),
            t!("name the primary server, or see why it does not take writes"),
        ),
        "53100" => Said::later(t!("no space is left on the disk of the server").to_owned(), t!("make room on that disk")),
        "53300" => Said::later(said, t!("raise `max_connections` of the server, or run fewer machines")),
        _ if code.starts_with("57P") || code.starts_with("08") => {
            Said::later(said, t!("see whether the server is being restarted"))
        }
        "25P03" | "25P04" | "55P03" | "57014" | "40P01" | "40001" => {
            Said::later(said, t!("see whether another machine hangs, or the server is too slow"))
        }
        _ => Said::never(ErrorKind::Store, said, t!("see the log of the server")),
    }
}
