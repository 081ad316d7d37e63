//! The journal: which records are ours, and who still needs them.

use sqlx::{Row, Sqlite, SqliteConnection, Transaction, sqlite::SqliteRow};

use super::{Entry, EntryId, Holder, Intent, Store};
use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
    provider::{Handle, Zone},
    record::{Record, RecordType},
};

const COLUMNS: &str = "SELECT id, provider, zone, name, type, value, was_there, handle, created FROM entry";

impl Store {
    /// Durably says what is about to be written and for whom, before it is. Where the same value is already in the journal, `holder`
    /// joins its holders, and the entry stays as it was (its `was_there` above all).
    ///
    /// # Errors
    /// `ErrorKind::Store`; then nothing may be written.
    pub async fn intend(&self, intent: &Intent, holder: &Holder) -> Result<Entry> {
        let Intent { provider, zone, record, was_there } = intent;
        let mut transaction = self.begin().await?;
        let zone_text = serde_json::to_string(zone).map_err(unreadable)?;
        sqlx::query(
            "INSERT INTO entry (provider, zone_name, zone, name, type, value, was_there, created)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(provider)
        .bind(zone.name.as_str())
        .bind(zone_text)
        .bind(record.name.as_str())
        .bind(record.record_type.as_str())
        .bind(&record.value)
        .bind(was_there)
        .bind(jiff::Timestamp::now().to_string())
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.failed(error))?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE provider = ? AND zone_name = ? AND name = ? AND type = ? AND value = ?"
        )))
        .bind(provider)
        .bind(zone.name.as_str())
        .bind(record.name.as_str())
        .bind(record.record_type.as_str())
        .bind(&record.value)
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| self.failed(error))?;
        let mut entry = entry(&row)?;
        sqlx::query(
            "INSERT INTO holder (entry, holder, position)
             SELECT ?1, ?2, COALESCE(MAX(position) + 1, 0) FROM holder WHERE entry = ?1 ON CONFLICT DO NOTHING",
        )
        .bind(entry.id.0)
        .bind(holder.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(|error| self.failed(error))?;
        entry.holders = holders(&mut transaction, entry.id).await.map_err(|error| self.failed(error))?;
        self.commit(transaction).await?;
        Ok(entry)
    }

    /// Durably keeps the handle of a confirmed write.
    pub async fn published(&self, id: EntryId, handle: &Handle) -> Result<()> {
        let handle = serde_json::to_string(handle).map_err(unreadable)?;
        sqlx::query("UPDATE entry SET handle = ? WHERE id = ?")
            .bind(handle)
            .bind(id.0)
            .execute(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Takes `holder` off the entry, and returns those that are left, oldest first.
    pub async fn release(&self, id: EntryId, holder: &Holder) -> Result<Vec<Holder>> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM holder WHERE entry = ? AND holder = ?")
            .bind(id.0)
            .bind(holder.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.failed(error))?;
        let left = holders(&mut transaction, id).await.map_err(|error| self.failed(error))?;
        self.commit(transaction).await?;
        Ok(left)
    }

    /// Removes an entry whose record is withdrawn.
    pub async fn forget(&self, id: EntryId) -> Result<()> {
        sqlx::query("DELETE FROM entry WHERE id = ?").bind(id.0).execute(&self.pool).await.map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// One entry as it is now; `None` where it was forgotten.
    pub async fn entry(&self, id: EntryId) -> Result<Option<Entry>> {
        let found = self.select(" WHERE id = ?", Some(Key::Id(id))).await?;
        Ok(found.into_iter().next())
    }

    /// All entries, oldest first.
    pub async fn entries(&self) -> Result<Vec<Entry>> {
        self.select("", None).await
    }

    /// The entries that `holder` holds, oldest first.
    pub async fn entries_of(&self, holder: &Holder) -> Result<Vec<Entry>> {
        self.select(" WHERE id IN (SELECT entry FROM holder WHERE holder = ?)", Some(Key::Holder(holder))).await
    }

    async fn select(&self, condition: &'static str, key: Option<Key<'_>>) -> Result<Vec<Entry>> {
        let mut connection = self.pool.acquire().await.map_err(|error| self.failed(error))?;
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS}{condition} ORDER BY id")));
        let query = match key {
            Some(Key::Id(id)) => query.bind(id.0),
            Some(Key::Holder(holder)) => query.bind(holder.as_str()),
            None => query,
        };
        let rows = query.fetch_all(&mut *connection).await.map_err(|error| self.failed(error))?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut entry = entry(row)?;
            entry.holders = holders(&mut connection, entry.id).await.map_err(|error| self.failed(error))?;
            entries.push(entry);
        }
        Ok(entries)
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'_, Sqlite>> {
        // Immediate: two processes that first read and then write would otherwise refuse each other.
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.failed(error))
    }

    pub(super) async fn commit(&self, transaction: Transaction<'_, Sqlite>) -> Result<()> {
        transaction.commit().await.map_err(|error| self.failed(error))
    }
}

enum Key<'a> {
    Id(EntryId),
    Holder(&'a Holder),
}

fn entry(row: &SqliteRow) -> Result<Entry> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unreadable);
    let zone: Zone = serde_json::from_str(&text("zone")?).map_err(unreadable)?;
    let handle: Option<String> = row.try_get("handle").map_err(unreadable)?;
    Ok(Entry {
        id: EntryId(row.try_get("id").map_err(unreadable)?),
        provider: text("provider")?,
        zone,
        record: Record {
            name: Name::parse(&text("name")?)?,
            record_type: RecordType::parse(&text("type")?)?,
            value: text("value")?,
        },
        was_there: row.try_get("was_there").map_err(unreadable)?,
        handle: handle.map(|text| serde_json::from_str(&text).map(Handle)).transpose().map_err(unreadable)?,
        holders: Vec::new(),
        created: text("created")?.parse().map_err(unreadable)?,
    })
}

async fn holders(connection: &mut SqliteConnection, id: EntryId) -> sqlx::Result<Vec<Holder>> {
    let rows =
        sqlx::query("SELECT holder FROM holder WHERE entry = ? ORDER BY position").bind(id.0).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0).map(Holder::from_stored)).collect()
}

/// What is in the store, but does not read as what this version writes.
pub(super) fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Store, format!("the store holds something that cannot be read: {error}")).with_source(error)
}
