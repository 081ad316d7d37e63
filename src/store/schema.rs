//! The tables, and how an older store becomes a current one.

use sqlx::{Row, SqliteConnection, sqlite::SqliteError};

/// The steps from an empty store to the current one. A step is never changed once it is released; a new one is added.
const STEPS: &[&[&str]] = &[&[
    "CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        provider TEXT NOT NULL,
        zone_name TEXT NOT NULL,
        zone TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT NOT NULL,
        value TEXT NOT NULL,
        was_there INTEGER NOT NULL,
        handle TEXT,
        created TEXT NOT NULL,
        UNIQUE (provider, zone_name, name, type, value)
    )",
    "CREATE TABLE holder (
        entry INTEGER NOT NULL REFERENCES entry (id) ON DELETE CASCADE,
        holder TEXT NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (entry, holder)
    )",
    "CREATE INDEX holder_by_name ON holder (holder)",
    "CREATE TABLE orders (
        origin TEXT NOT NULL,
        id TEXT NOT NULL,
        generation TEXT NOT NULL,
        domains TEXT NOT NULL,
        baseline_certificate TEXT,
        was_pending INTEGER NOT NULL,
        finished INTEGER NOT NULL,
        delivered TEXT,
        hook_pending INTEGER NOT NULL,
        PRIMARY KEY (origin, id)
    )",
    "CREATE TABLE delay (
        id INTEGER PRIMARY KEY,
        zone_name TEXT NOT NULL,
        provider TEXT NOT NULL,
        milliseconds INTEGER NOT NULL
    )",
    "CREATE INDEX delay_by_zone ON delay (zone_name, provider)",
]];

/// Why a store cannot be used.
pub(super) enum Unusable {
    /// It was made by a newer version.
    Newer,
    /// The database says so.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Unusable {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Brings the store up to date, in one transaction. Two processes that do it at the same time take turns.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), Unusable> {
    let current = version(connection).await?;
    if current == STEPS.len() {
        return Ok(());
    }
    if current > STEPS.len() {
        return Err(Unusable::Newer);
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let outcome = steps(connection).await;
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    sqlx::query(end).execute(&mut *connection).await?;
    outcome
}

async fn steps(connection: &mut SqliteConnection) -> Result<(), Unusable> {
    // Again, now that nobody else can change it.
    let current = version(connection).await?;
    if current > STEPS.len() {
        return Err(Unusable::Newer);
    }
    for statement in STEPS.iter().skip(current).copied().flatten() {
        sqlx::query(*statement).execute(&mut *connection).await?;
    }
    let number = format!("PRAGMA user_version = {}", STEPS.len());
    sqlx::query(sqlx::AssertSqlSafe(number)).execute(&mut *connection).await?;
    Ok(())
}

async fn version(connection: &mut SqliteConnection) -> Result<usize, Unusable> {
    let row = sqlx::query("PRAGMA user_version").fetch_one(connection).await?;
    let number: i64 = row.try_get(0)?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Whether the error says that the file is damaged, or is no database: SQLITE_CORRUPT (11) and SQLITE_NOTADB (26), with their extended codes.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.try_downcast_ref::<SqliteError>().and_then(|_| error.code()).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
}
