//! The database below the store: SQLite or PostgreSQL, behind one set of statements.
//!
//! sqlx's own `Any` driver is not used: it takes a URL only, so that SQLite could be given neither its options nor a path that looks like
//! a URL, and it hides the connection that tells whether a transaction has ended by itself.

use std::{future::Future, time::Duration};

use sqlx::{
    PgPool, Postgres, Row as _, Sqlite, SqlitePool, Transaction as Begun,
    postgres::{PgConnection, PgRow},
    sqlite::{SqliteConnection, SqliteRow},
};

use crate::language::t;

/// How long PostgreSQL may take to answer one statement: a machine that is cut off must notice.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);

/// Writers of one PostgreSQL database take turns under this advisory lock (the letters `dvvy`), as they do on SQLite by themselves.
pub(super) const WRITERS: &str = "SELECT pg_advisory_xact_lock(1685485177)";

/// An open database.
#[derive(Clone, Debug)]
pub(super) enum Database {
    /// A file.
    Sqlite(SqlitePool),
    /// A server.
    Postgres(PgPool),
}

impl Database {
    /// Where single statements run.
    pub(super) fn on(&self) -> On<'_> {
        match self {
            Self::Sqlite(pool) => On::SqlitePool(pool),
            Self::Postgres(pool) => On::PostgresPool(pool),
        }
    }

    /// Begins a transaction that writes. One at a time has the database, so that it may read first and then write what follows from it.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction> {
        match self {
            // Immediate: two processes that first read and then write would otherwise refuse each other.
            Self::Sqlite(pool) => Ok(Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?)),
            Self::Postgres(pool) => {
                let begun = async {
                    let mut transaction = pool.begin().await?;
                    sqlx::query(WRITERS).execute(&mut *transaction).await?;
                    Ok(transaction)
                };
                Ok(Transaction::Postgres(in_time(begun).await?))
            }
        }
    }

    /// Begins a transaction that does not wait for other writers on PostgreSQL.
    pub(super) async fn begin_beside(&self) -> sqlx::Result<Transaction> {
        match self {
            Self::Sqlite(_) => self.begin().await,
            Self::Postgres(pool) => Ok(Transaction::Postgres(in_time(pool.begin()).await?)),
        }
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A transaction; rolled back where it is dropped.
pub(super) enum Transaction {
    /// On SQLite.
    Sqlite(Begun<'static, Sqlite>),
    /// On PostgreSQL.
    Postgres(Begun<'static, Postgres>),
}

impl Transaction {
    /// Where statements of the transaction run.
    pub(super) fn on(&mut self) -> On<'_> {
        match self {
            Self::Sqlite(transaction) => On::Sqlite(transaction),
            Self::Postgres(transaction) => On::Postgres(transaction),
        }
    }

    /// Makes it last.
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => in_time(transaction.commit()).await,
        }
    }
}

/// Where a statement runs.
pub(super) enum On<'c> {
    SqlitePool(&'c SqlitePool),
    Sqlite(&'c mut SqliteConnection),
    PostgresPool(&'c PgPool),
    Postgres(&'c mut PgConnection),
}

/// A value of a statement.
pub(super) enum Value {
    /// Text, or nothing.
    Text(Option<String>),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// One statement, the same text for both engines: placeholders are `$1`, `$2` and so on.
pub(super) struct Statement {
    sql: &'static str,
    values: Vec<Value>,
}

/// Begins a statement.
pub(super) fn sql(sql: &'static str) -> Statement {
    Statement { sql, values: Vec::new() }
}

/// The statement as sqlx knows it, for one of its engines.
macro_rules! query {
    ($engine:ty, $statement:expr) => {{
        let Statement { sql, values } = $statement;
        values.into_iter().fold(sqlx::query::<$engine>(sql), |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
            Value::Flag(flag) => query.bind(flag),
        })
    }};
}

impl Statement {
    /// Gives the next placeholder its value.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it, and returns how many rows were changed.
    pub(super) async fn execute(self, on: On<'_>) -> sqlx::Result<u64> {
        Ok(match on {
            On::SqlitePool(pool) => query!(Sqlite, self).execute(pool).await?.rows_affected(),
            On::Sqlite(connection) => query!(Sqlite, self).execute(connection).await?.rows_affected(),
            On::PostgresPool(pool) => in_time(query!(Postgres, self).execute(pool)).await?.rows_affected(),
            On::Postgres(connection) => in_time(query!(Postgres, self).execute(connection)).await?.rows_affected(),
        })
    }

    /// Runs it, and returns all rows.
    pub(super) async fn fetch_all(self, on: On<'_>) -> sqlx::Result<Vec<Row>> {
        let sqlite = |rows: Vec<SqliteRow>| rows.into_iter().map(Row::Sqlite).collect();
        let postgres = |rows: Vec<PgRow>| rows.into_iter().map(Row::Postgres).collect();
        match on {
            On::SqlitePool(pool) => query!(Sqlite, self).fetch_all(pool).await.map(sqlite),
            On::Sqlite(connection) => query!(Sqlite, self).fetch_all(connection).await.map(sqlite),
            On::PostgresPool(pool) => in_time(query!(Postgres, self).fetch_all(pool)).await.map(postgres),
            On::Postgres(connection) => in_time(query!(Postgres, self).fetch_all(connection)).await.map(postgres),
        }
    }

    /// Runs it, and returns the first row, where there is one.
    pub(super) async fn fetch_optional(self, on: On<'_>) -> sqlx::Result<Option<Row>> {
        Ok(self.fetch_all(on).await?.into_iter().next())
    }

    /// Runs it, and returns the first row.
    pub(super) async fn fetch_one(self, on: On<'_>) -> sqlx::Result<Row> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }
}

/// One row of an answer.
pub(super) enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

impl Row {
    /// A column that is text.
    pub(super) fn text(&self, column: &str) -> sqlx::Result<String> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that is text, or nothing.
    pub(super) fn optional_text(&self, column: &str) -> sqlx::Result<Option<String>> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that is a whole number.
    pub(super) fn number(&self, column: &str) -> sqlx::Result<i64> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that is yes or no.
    pub(super) fn flag(&self, column: &str) -> sqlx::Result<bool> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// Ends what a server does not answer in time.
pub(super) async fn in_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let silent = || {
        std::io::Error::new(std::io::ErrorKind::TimedOut, t!("no answer within %{value} s", value = ANSWER_PATIENCE.as_secs()))
    };
    tokio::time::timeout(ANSWER_PATIENCE, work).await.unwrap_or_else(|_| Err(sqlx::Error::Io(silent())))
}
