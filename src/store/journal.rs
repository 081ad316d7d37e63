//! The journal: which records are ours, and who still needs them.

use super::{
    Entry, EntryId, Holder, Intent, Store,
    database::{Row, Transaction, sql},
    fault::undecodable,
};
use crate::{
    error::Result,
    name::Name,
    provider::{Handle, Zone},
    record::{Record, RecordType},
};

/// How long after it said that it would write a machine may still do so, in milliseconds.
const LATE_WRITE: i64 = 15 * 60 * 1000;

/// Entries with their holders, one row for each holder (one for an entry without any), oldest first.
macro_rules! select_entries {
    ($condition:literal) => {
        concat!(
            "SELECT e.id, e.provider, e.zone_name, e.zone_fields, e.name, e.record_type, e.value, e.was_there, e.handle, \
             e.created, e.account, h.holder FROM entries e LEFT JOIN holders h ON h.entry = e.id ",
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
        // Before the transaction: it has one connection, and must not wait for another.
        let now = self.now().await?;
        let mut transaction = self.begin().await?;
        let id = match number_of(&mut transaction, intent).await? {
            Some(id) => id,
            None => insert(&mut transaction, intent, &self.account).await?,
        };
        sql("INSERT INTO holders (entry, holder, position)
             SELECT $1, $2, COALESCE(MAX(position) + 1, 0) FROM holders WHERE entry = $1 ON CONFLICT DO NOTHING")
        .bind(id)
        .bind(holder.as_str())
        .execute(transaction.on())
        .await?;
        if self.is_shared() {
            sql("INSERT INTO writers (entry, run, since) VALUES ($1, $2, $3) ON CONFLICT (entry, run) DO UPDATE SET since = excluded.since")
                .bind(id)
                .bind(self.run())
                .bind(now)
                .execute(transaction.on())
                .await?;
        }
        let rows = sql(select_entries!("WHERE e.id = $1")).bind(id).fetch_all(transaction.on()).await?;
        let entry = gather(&rows)?.pop().ok_or(sqlx::Error::RowNotFound)?;
        transaction.commit().await?;
        Ok(entry)
    }

    /// Durably keeps the handle of a confirmed write. False where nobody holds the entry any more: another machine has taken the order over,
    /// finished it and withdrawn the record while this one wrote, so that what was written has to go again.
    pub async fn published(&self, id: EntryId, handle: &Handle) -> Result<bool> {
        self.try_published(id, handle).await.map_err(|error| self.failed(error))
    }

    async fn try_published(&self, id: EntryId, handle: &Handle) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        self.done_writing(id, &mut transaction).await?;
        sql("UPDATE entries SET handle = $1 WHERE id = $2")
            .bind(handle.0.to_string())
            .bind(id.0)
            .execute(transaction.on())
            .await?;
        let held = sql("SELECT entry FROM holders WHERE entry = $1").bind(id.0).fetch_optional(transaction.on()).await?;
        transaction.commit().await?;
        Ok(held.is_some())
    }

    /// Says that this run no longer writes the entry's value: the write failed.
    pub async fn gave_up_writing(&self, id: EntryId) -> Result<()> {
        if !self.is_shared() {
            return Ok(());
        }
        let given_up = async {
            let mut transaction = self.begin().await?;
            self.done_writing(id, &mut transaction).await?;
            transaction.commit().await
        };
        given_up.await.map_err(|error| self.failed(error))
    }

    async fn done_writing(&self, id: EntryId, transaction: &mut Transaction) -> sqlx::Result<()> {
        sql("DELETE FROM writers WHERE entry = $1 AND run = $2").bind(id.0).bind(self.run()).execute(transaction.on()).await?;
        Ok(())
    }

    /// Takes `holder` off the entry, and returns those that are left, oldest first.
    pub async fn release(&self, id: EntryId, holder: &Holder) -> Result<Vec<Holder>> {
        self.try_release(id, holder).await.map_err(|error| self.failed(error))
    }

    async fn try_release(&self, id: EntryId, holder: &Holder) -> sqlx::Result<Vec<Holder>> {
        let mut transaction = self.begin().await?;
        sql("DELETE FROM holders WHERE entry = $1 AND holder = $2")
            .bind(id.0)
            .bind(holder.as_str())
            .execute(transaction.on())
            .await?;
        let left =
            sql("SELECT holder FROM holders WHERE entry = $1 ORDER BY position").bind(id.0).fetch_all(transaction.on()).await?;
        transaction.commit().await?;
        left.iter().map(|row| row.text("holder").map(Holder::from_stored)).collect()
    }

    /// Removes an entry whose record is withdrawn. An entry that somebody holds stays, without its handle: whoever joined after the
    /// last holder had left still needs the record, and must find it in the journal.
    ///
    /// It stays, without holders, also while another machine may still be about to write the value: one that was frozen between asking
    /// whether it may write and writing. The next run then looks again, until that machine has said that it is done, or for 15 minutes.
    pub async fn forget(&self, id: EntryId) -> Result<()> {
        self.try_forget(id).await.map_err(|error| self.failed(error))
    }

    async fn try_forget(&self, id: EntryId) -> sqlx::Result<()> {
        let now = self.now().await?;
        let mut transaction = self.begin().await?;
        self.done_writing(id, &mut transaction).await?;
        sql("DELETE FROM entries WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM holders WHERE entry = $1)
             AND NOT EXISTS (SELECT 1 FROM writers WHERE entry = $1 AND since > $2)")
        .bind(id.0)
        .bind(now - LATE_WRITE)
        .execute(transaction.on())
        .await?;
        sql("UPDATE entries SET handle = NULL WHERE id = $1").bind(id.0).execute(transaction.on()).await?;
        transaction.commit().await
    }

    /// One entry as it is now; `None` where it was forgotten. Numbers are never given twice.
    pub async fn entry(&self, id: EntryId) -> Result<Option<Entry>> {
        let query = sql(select_entries!("WHERE e.id = $1")).bind(id.0);
        let rows = query.fetch_all(self.on()).await.map_err(|error| self.failed(error))?;
        Ok(gather(&rows).map_err(|error| self.failed(error))?.pop())
    }

    /// Whether an entry was begun by a run of the account that this store is opened for: the credentials that this run has for its provider
    /// are those that wrote it.
    pub fn is_of_this_account(&self, entry: &Entry) -> bool {
        entry.account == *self.account
    }

    /// All entries, of every account, oldest first.
    pub async fn entries(&self) -> Result<Vec<Entry>> {
        let rows = sql(select_entries!("")).fetch_all(self.on()).await.map_err(|error| self.failed(error))?;
        gather(&rows).map_err(|error| self.failed(error))
    }

    /// The entries that `holder` holds, oldest first.
    pub async fn entries_of(&self, holder: &Holder) -> Result<Vec<Entry>> {
        let query = sql(select_entries!("WHERE e.id IN (SELECT entry FROM holders WHERE holder = $1)"));
        let rows = query.bind(holder.as_str()).fetch_all(self.on()).await.map_err(|error| self.failed(error))?;
        gather(&rows).map_err(|error| self.failed(error))
    }
}

async fn number_of(transaction: &mut Transaction, intent: &Intent) -> sqlx::Result<Option<i64>> {
    let found =
        sql("SELECT id FROM entries WHERE provider = $1 AND zone_name = $2 AND name = $3 AND record_type = $4 AND value = $5")
            .bind(&intent.provider)
            .bind(intent.zone.name.as_str())
            .bind(intent.record.name.as_str())
            .bind(intent.record.record_type.as_str())
            .bind(&intent.record.value)
            .fetch_optional(transaction.on())
            .await?;
    found.map(|row| row.number("id")).transpose()
}

async fn insert(transaction: &mut Transaction, intent: &Intent, account: &str) -> sqlx::Result<i64> {
    let id = next_number(transaction, "entry").await?;
    sql("INSERT INTO entries (id, provider, zone_name, zone_fields, name, record_type, value, was_there, created, account)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
    .bind(id)
    .bind(&intent.provider)
    .bind(intent.zone.name.as_str())
    .bind(serde_json::to_string(&intent.zone.fields).map_err(undecodable)?)
    .bind(intent.record.name.as_str())
    .bind(intent.record.record_type.as_str())
    .bind(&intent.record.value)
    .bind(intent.was_there)
    .bind(jiff::Timestamp::now().as_millisecond())
    .bind(account)
    .execute(transaction.on())
    .await?;
    Ok(id)
}

/// The next number of a counter. An entry's number that were given again would let a run that still has it touch another's record.
pub(super) async fn next_number(transaction: &mut Transaction, counter: &'static str) -> sqlx::Result<i64> {
    sql("UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value")
        .bind(counter)
        .fetch_one(transaction.on())
        .await?
        .number("value")
}

/// Puts the rows of each entry together.
fn gather(rows: &[Row]) -> sqlx::Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for row in rows {
        let id = EntryId(row.number("id")?);
        if entries.last().is_none_or(|last| last.id != id) {
            entries.push(entry(row, id)?);
        }
        let holder: Option<String> = row.optional_text("holder")?;
        if let Some(entry) = entries.last_mut() {
            entry.holders.extend(holder.map(Holder::from_stored));
        }
    }
    Ok(entries)
}

fn entry(row: &Row, id: EntryId) -> sqlx::Result<Entry> {
    let text = |column: &str| row.text(column);
    let name = |column: &str| Name::try_from(text(column)?).map_err(undecodable);
    let handle: Option<String> = row.optional_text("handle")?;
    Ok(Entry {
        id,
        account: text("account")?,
        provider: text("provider")?,
        zone: Zone { name: name("zone_name")?, fields: serde_json::from_str(&text("zone_fields")?).map_err(undecodable)? },
        record: Record {
            name: name("name")?,
            record_type: RecordType::stored(&text("record_type")?).map_err(undecodable)?,
            value: text("value")?,
        },
        was_there: row.flag("was_there")?,
        handle: handle.map(|text| serde_json::from_str(&text).map(Handle)).transpose().map_err(undecodable)?,
        holders: Vec::new(),
        created: jiff::Timestamp::from_millisecond(row.number("created")?).map_err(undecodable)?,
    })
}
