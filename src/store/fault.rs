//! What goes wrong with a store, said so that a person can mend it.

use std::{
    io::{self, Write},
    path::Path,
};

use crate::error::{Error, ErrorKind, Retry};

/// Why a store file cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It was made by another version, with migrations that this one does not know.
    OtherVersion,
    /// It is a database of another program.
    Foreign,
    /// It is damaged, or no database at all.
    Damaged(String),
    /// Anything else that the database says.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Unusable {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged(message(&error)),
            _ => Self::Database(error),
        }
    }
}

impl Unusable {
    /// The error for the person, about the store at `path`.
    pub(super) fn into_error(self, path: &Path) -> Error {
        let shown = path.display();
        match self {
            Self::OtherVersion => Error::new(ErrorKind::Store, format!("the store `{shown}` was made by a newer version"))
                .with_hint("use that version, or another store (`--store`); nothing in it was changed"),
            Self::Foreign => not_ours(path, "it is a database of another program"),
            Self::Damaged(why) => Error::new(ErrorKind::Store, format!("the store `{shown}` is damaged: {why}"))
                .with_hint("run again: the damaged file is then kept aside, and a new one is begun"),
            Self::Database(error) => database_failed(path, error),
        }
    }
}

/// A file that some other program, or a person, made: it is left alone.
pub(super) fn not_ours(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Store, format!("`{}` is not a store of this program: {why}", path.display()))
        .with_hint("name another file with `--store`; this one was left as it is")
}

/// An error of the file system.
pub(super) fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Store, format!("the store's `{}` {what}: {error}", path.display()))
        .with_hint(hint_for(&error))
        .with_source(error)
}

/// An error of the database at `path`.
pub(super) fn database_failed(path: &Path, error: sqlx::Error) -> Error {
    let folder = path.parent().unwrap_or(path);
    let (why, hint) = match primary_code(&error) {
        Some(FULL) => ("no space is left on its disk".to_owned(), ROOM),
        Some(BUSY | LOCKED) => ("another process kept it busy for too long".to_owned(), HANGS),
        Some(CORRUPT | NOT_A_DATABASE) => return Unusable::Damaged(message(&error)).into_error(path),
        // SQLite does not tell why: the file system does.
        Some(READ_ONLY | CANNOT_OPEN | INPUT_OUTPUT) => match write_test(folder) {
            Err(cause) => (format!("its folder cannot be written: {cause}"), hint_for(&cause)),
            Ok(()) => (message(&error), "see whether the file can be written, and whether its disk is well"),
        },
        _ => match &error {
            sqlx::Error::PoolTimedOut => ("another run kept it busy for too long".to_owned(), HANGS),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => (
                format!("it holds something that cannot be read: {}", message(&error)),
                "use the version that wrote it, or another store (`--store`)",
            ),
            _ => (message(&error), "see whether its disk is well"),
        },
    };
    let retry = if hint == HANGS { Retry::Later } else { Retry::Never };
    Error::new(ErrorKind::Store, format!("the store `{}` failed: {why}", path.display()))
        .with_hint(hint)
        .with_retry(retry)
        .with_source(error)
}

/// Makes, writes and removes a file in `folder`. Some file systems say that they are full only when the bytes go to the disk.
pub(super) fn write_test(folder: &Path) -> io::Result<()> {
    let probe = tempfile::Builder::new().prefix(".write-test-").tempfile_in(folder)?;
    probe.as_file().write_all(&[0; 4096])?;
    probe.as_file().sync_all()?;
    probe.close()
}

/// What is in the store, but does not read as what this version writes.
pub(super) fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn hint_for(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ROOM,
        _ => "choose a place that can be written with `--store`",
    }
}

fn message(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        other => other.to_string(),
    }
}

/// SQLite's primary result code (<https://www.sqlite.org/rescode.html>): the low byte of the extended one.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READ_ONLY: u32 = 8;
const INPUT_OUTPUT: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const NOT_A_DATABASE: u32 = 26;

const ROOM: &str = "make room on that disk, or choose another place with `--store`";
const HANGS: &str = "see whether another run of this program hangs";
