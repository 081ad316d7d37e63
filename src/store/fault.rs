//! What goes wrong with a store, said so that a person can mend it.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use crate::{
    error::{Error, ErrorKind, Retry},
    language::{message, say, t},
};

/// Where a store is, for messages.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// This file.
    File(PathBuf),
    /// This server, user and database; without a password.
    Server(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(shown) => f.write_str(shown),
        }
    }
}

/// Why a store cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It was made by another version, with migrations that this one does not know.
    OtherVersion,
    /// It was made by a build from before the first release, with other tables.
    Development,
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
    /// The error for the person, about the store at `place`.
    pub(super) fn into_error(self, place: &Place) -> Error {
        match self {
            Self::OtherVersion => Error::new(ErrorKind::Store, t!("the store `%{place}` was made by a newer version", place))
                .with_hint(t!("use that version, or another store (`--store`); nothing in it was changed")),
            Self::Development => Error::new(
                ErrorKind::Store,
                t!("the store `%{place}` was made by an older development build, with other tables", place),
            )
            .with_hint(t!(
                "let that build end what it began (its `clean` removes its records), then take the store away; or use another one (`--store`); nothing in it was changed"
            )),
            Self::Foreign => not_ours(place, t!("it is a database of another program")),
            Self::Damaged(why) => Error::new(ErrorKind::Store, t!("the store `%{place}` is damaged: %{why}", place, why))
                .with_hint(t!("run again: the damaged file is then kept aside, and a new one is begun")),
            Self::Database(error) => database_failed(place, error),
        }
    }
}

/// A file that some other program, or a person, made: it is left alone.
pub(super) fn not_ours(place: &Place, why: &str) -> Error {
    Error::new(ErrorKind::Store, t!("`%{place}` is not a store of this program: %{why}", place, why))
        .with_hint(t!("name another one with `--store`; this one was left as it is"))
}

/// An error of the file system.
pub(super) fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Store, t!("the store's `%{path}` %{what}: %{error}", path = path.display(), what, error))
        .with_hint(hint_for(&error))
        .with_source(error)
}

/// An error of the database at `place`.
pub(super) fn database_failed(place: &Place, error: sqlx::Error) -> Error {
    match place {
        Place::File(path) => file_failed(path, place, error),
        Place::Server(_) => super::server_fault::server_failed(place, error),
    }
}

fn file_failed(path: &Path, place: &Place, error: sqlx::Error) -> Error {
    let folder = path.parent().unwrap_or(path);
    let (why, hint) = match primary_code(&error) {
        Some(FULL) => (t!("no space is left on its disk").to_owned(), say(ROOM)),
        Some(BUSY | LOCKED) => (t!("another process kept it busy for too long").to_owned(), say(HANGS)),
        Some(CORRUPT | NOT_A_DATABASE) => return Unusable::Damaged(message(&error)).into_error(place),
        // SQLite does not tell why: the file system does.
        Some(READ_ONLY | CANNOT_OPEN | INPUT_OUTPUT) => match write_test(folder) {
            Err(cause) => (t!("its folder cannot be written: %{cause}", cause), hint_for(&cause)),
            Ok(()) => (message(&error), t!("see whether the file can be written, and whether its disk is well")),
        },
        _ => match &error {
            sqlx::Error::PoolTimedOut => (t!("another run kept it busy for too long").to_owned(), say(HANGS)),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => (
                t!("it holds something that cannot be read: %{error}", error = message(&error)),
                t!("use the version that wrote it, or another store (`--store`)"),
            ),
            _ => (message(&error), t!("see whether its disk is well")),
        },
    };
    let retry = if hint == HANGS { Retry::Later } else { Retry::Never };
    Error::new(ErrorKind::Store, t!("the store `%{place}` failed: %{why}", place, why))
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
        // It has no word in the standard library. More orders went at the same time than there is room for.
        _ if Errno::from_io_error(error) == Some(Errno::MFILE) => {
            t!("let this process have more files open (`ulimit -n`), or fewer orders at the same time (`--parallel`)")
        }
        _ => t!("choose a place that can be written with `--store`"),
    }
}

/// What the database said, in its own words.
pub(super) fn message(error: &sqlx::Error) -> String {
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

const ROOM: &str = message!("make room on that disk, or choose another place with `--store`");
const HANGS: &str = message!("see whether another run of this program hangs");
