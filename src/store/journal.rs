//! The journal: which records are ours, and who still needs them.

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{Entry, EntryId, Holder, Intent, Store, fault::undecodable};
use crate::{
    error::Result,
    name::Name,
    provider::{Handle, Zone},
    record::{Record, RecordType},
};

/// Entries with their holders, one row for each holder (one for an entry without any), oldest first.
macro_rules! select_entries {
    ($condition:literal) => {
        concat!(
            "SELECT e.id, e.provider, e.zone_name, e.zone_fields, e.name, e.record_type, e.value, e.was_there, e.handle, \
             e.created, h.holder FROM entries e LEFT JOIN holders h ON h.entry = e.id ",
            $condition,
            " ORDER BY e.id, h.position"
        )
    };
}

impl Store {
    /// Durably says what is about to be written and for whom, before it is. Where the same value is already in the journal, `holder`
    /// joins its holders, and the entry stays as it was (its `was_there` above all).
    ///
    /// # Errors
    /// `ErrorKind::Store`; then nothing may be written.
    pub async fn intend(&self, intent: &Intent, holder: &Holder) -> Result<Entry> {
        self.try_intend(intent, holder).await.map_err(|error| self.failed(error))
    }

    async fn try_intend(&self, intent: &Intent, holder: &Holder) -> sqlx::Result<Entry> {
        let mut transaction = self.begin().await?;
        let id = match number_of(&mut transaction, intent).await? {
            Some(id) => id,
            None => insert(&mut transaction, intent).await?,
        };
        sqlx::query(
            "INSERT INTO holders (entry, holder, position)
             SELECT $1, $2, COALESCE(MAX(position) + 1, 0) FROM holders WHERE entry = $1 ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(holder.as_str())
        .execute(&mut *transaction)
        .await?;
        let rows = sqlx::query(select_entries!("WHERE e.id = $1")).bind(id).fetch_all(&mut *transaction).await?;
        let entry = gather(&rows)?.pop().ok_or(sqlx::Error::RowNotFound)?;
        transaction.commit().await?;
        Ok(entry)
    }

    /// Durably keeps the handle of a confirmed write.
    pub async fn published(&self, id: EntryId, handle: &Handle) -> Result<()> {
        sqlx::query("UPDATE entries SET handle = $1 WHERE id = $2")
            .bind(handle.0.to_string())
            .bind(id.0)
            .execute(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Takes `holder` off the entry, and returns those that are left, oldest first.
    pub async fn release(&self, id: EntryId, holder: &Holder) -> Result<Vec<Holder>> {
        self.try_release(id, holder).await.map_err(|error| self.failed(error))
    }

    async fn try_release(&self, id: EntryId, holder: &Holder) -> sqlx::Result<Vec<Holder>> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM holders WHERE entry = $1 AND holder = $2")
            .bind(id.0)
            .bind(holder.as_str())
            .execute(&mut *transaction)
            .await?;
        let left: Vec<String> = sqlx::query_scalar("SELECT holder FROM holders WHERE entry = $1 ORDER BY position")
            .bind(id.0)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(left.into_iter().map(Holder::from_stored).collect())
    }

    /// Removes an entry whose record is withdrawn. An entry that somebody holds stays, without its handle: whoever joined after the
    /// last holder had left still needs the record, and must find it in the journal.
    pub async fn forget(&self, id: EntryId) -> Result<()> {
        self.try_forget(id).await.map_err(|error| self.failed(error))
    }

    async fn try_forget(&self, id: EntryId) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM entries WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM holders WHERE entry = $1)")
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE entries SET handle = NULL WHERE id = $1").bind(id.0).execute(&mut *transaction).await?;
        transaction.commit().await
    }

    /// One entry as it is now; `None` where it was forgotten. Numbers are never given twice.
    pub async fn entry(&self, id: EntryId) -> Result<Option<Entry>> {
        let query = sqlx::query(select_entries!("WHERE e.id = $1")).bind(id.0);
        let rows = query.fetch_all(&self.pool).await.map_err(|error| self.failed(error))?;
        Ok(gather(&rows).map_err(|error| self.failed(error))?.pop())
    }

    /// All entries, oldest first.
    pub async fn entries(&self) -> Result<Vec<Entry>> {
        let rows = sqlx::query(select_entries!("")).fetch_all(&self.pool).await.map_err(|error| self.failed(error))?;
        gather(&rows).map_err(|error| self.failed(error))
    }

    /// The entries that `holder` holds, oldest first.
    pub async fn entries_of(&self, holder: &Holder) -> Result<Vec<Entry>> {
        let query = sqlx::query(select_entries!("WHERE e.id IN (SELECT entry FROM holders WHERE holder = $1)"));
        let rows = query.bind(holder.as_str()).fetch_all(&self.pool).await.map_err(|error| self.failed(error))?;
        gather(&rows).map_err(|error| self.failed(error))
    }
}

async fn number_of(connection: &mut SqliteConnection, intent: &Intent) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM entries WHERE provider = $1 AND zone_name = $2 AND name = $3 AND record_type = $4 AND value = $5",
    )
    .bind(&intent.provider)
    .bind(intent.zone.name.as_str())
    .bind(intent.record.name.as_str())
    .bind(intent.record.record_type.as_str())
    .bind(&intent.record.value)
    .fetch_optional(connection)
    .await
}

async fn insert(connection: &mut SqliteConnection, intent: &Intent) -> sqlx::Result<i64> {
    let id = next_number(connection, "entry").await?;
    sqlx::query(
        "INSERT INTO entries (id, provider, zone_name, zone_fields, name, record_type, value, was_there, created)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id)
    .bind(&intent.provider)
    .bind(intent.zone.name.as_str())
    .bind(serde_json::to_string(&intent.zone.fields).map_err(undecodable)?)
    .bind(intent.record.name.as_str())
    .bind(intent.record.record_type.as_str())
    .bind(&intent.record.value)
    .bind(intent.was_there)
    .bind(jiff::Timestamp::now().as_millisecond())
    .execute(connection)
    .await?;
    Ok(id)
}

/// The next number of a counter. An entry's number that were given again would let a run that still has it touch another's record.
pub(super) async fn next_number(connection: &mut SqliteConnection, counter: &'static str) -> sqlx::Result<i64> {
    sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value")
        .bind(counter)
        .fetch_one(connection)
        .await
}

/// Puts the rows of each entry together.
fn gather(rows: &[SqliteRow]) -> sqlx::Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for row in rows {
        let id = EntryId(row.try_get("id")?);
        if entries.last().is_none_or(|last| last.id != id) {
            entries.push(entry(row, id)?);
        }
        let holder: Option<String> = row.try_get("holder")?;
        if let Some(entry) = entries.last_mut() {
            entry.holders.extend(holder.map(Holder::from_stored));
        }
    }
    Ok(entries)
}

fn entry(row: &SqliteRow, id: EntryId) -> sqlx::Result<Entry> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let name = |column: &str| Name::try_from(text(column)?).map_err(undecodable);
    let handle: Option<String> = row.try_get("handle")?;
    Ok(Entry {
        id,
        provider: text("provider")?,
        zone: Zone { name: name("zone_name")?, fields: serde_json::from_str(&text("zone_fields")?).map_err(undecodable)? },
        record: Record {
            name: name("name")?,
            record_type: RecordType::parse(&text("record_type")?).map_err(undecodable)?,
            value: text("value")?,
        },
        was_there: row.try_get("was_there")?,
        handle: handle.map(|text| serde_json::from_str(&text).map(Handle)).transpose().map_err(undecodable)?,
        holders: Vec::new(),
        created: jiff::Timestamp::from_millisecond(row.try_get("created")?).map_err(undecodable)?,
    })
}
