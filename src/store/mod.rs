//! The durable memory: the journal of records, what is known of orders, measured delays, and locks.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, SqlitePool, Transaction};

pub use self::{locks::Lock, notes::Note};
use crate::{
    error::{Error, Result},
    name::Name,
    order::{Generation, OrderId},
    provider::{Handle, Zone},
    record::Record,
};

mod delays;
mod fault;
mod journal;
mod locks;
mod notes;
mod orders;
mod sqlite;

/// Who needs a record: an order at an origin (`cas.aliyuncs.com/cas-cn-…`), or a person (`record add`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holder(String);

impl Holder {
    /// An order.
    pub fn order(origin: &str, id: &OrderId) -> Self {
        Self(format!("{origin}/{id}"))
    }

    /// A person, through `record add` or `--keep-record`.
    pub fn person() -> Self {
        Self("person".to_owned())
    }

    /// Whether a person holds it.
    pub fn is_person(&self) -> bool {
        self.0 == "person"
    }

    /// The holder as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes text that came out of the store.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The provider instance that writes it.
    pub provider: String,
    /// The zone at the provider.
    pub zone: Zone,
    /// The record.
    pub record: Record,
    /// Whether the value was there before us; then it is used, and left.
    pub was_there: bool,
}

/// The number of a journal entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub i64);

/// One record that is ours, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// The provider instance that wrote it.
    pub provider: String,
    /// The zone at the provider.
    pub zone: Zone,
    /// The record.
    pub record: Record,
    /// Whether the value was there before us.
    pub was_there: bool,
    /// The handle; `None` until the write was confirmed.
    pub handle: Option<Handle>,
    /// Who needs it, oldest first. An entry without holders waits for its withdrawal.
    pub holders: Vec<Holder>,
    /// When the entry was made.
    pub created: jiff::Timestamp,
}

/// What is known of an order from earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderMemory {
    /// Where it is read from.
    pub origin: String,
    /// Its id.
    pub id: OrderId,
    /// The generation that answered for it.
    pub generation: Generation,
    /// The names of the certificate.
    pub domains: Vec<Name>,
    /// The certificate that the source showed when the order was first seen waiting (`None`: none); tells a renewal from the old one.
    pub baseline_certificate: Option<String>,
    /// Whether the order was seen waiting by an earlier run.
    pub was_pending: bool,
    /// Whether nothing is left to do: delivered, refused, or gone.
    pub finished: bool,
    /// The folder of the delivered certificate, where there is one.
    pub delivered: Option<PathBuf>,
    /// Whether the hook of a delivery has yet to run.
    pub hook_pending: bool,
}

/// What a lock is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LockKey {
    /// One order: one run at a time works on it.
    Order(Holder),
    /// One owner name at one provider instance: writes take turns.
    Name {
        /// The provider instance.
        provider: String,
        /// The owner name, or the apex where a whole zone is locked.
        name: Name,
    },
}

impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(holder) => write!(f, "order {holder}"),
            Self::Name { provider, name } => write!(f, "name {name} at provider {provider}"),
        }
    }
}

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    path: Arc<PathBuf>,
    locks: Arc<PathBuf>,
    notice: Option<Arc<str>>,
}

impl Store {
    /// Opens or creates the SQLite store at `path`, its folder with mode 0700 and the file with 0600, and writes to it, so that a place
    /// that cannot be written is found now. A store that is damaged is kept aside as `<name>.corrupt-<time>` and a new one is begun;
    /// [`Store::notice`] says so. A file that never was a store of this program is left alone.
    ///
    /// # Errors
    /// `ErrorKind::Store` with the path and the reason: no such folder and it cannot be made, read-only, no permission, full, made by a
    /// newer version, a file of something else, or another process that hangs while it opens or writes the store.
    pub async fn open(path: &Path) -> Result<Self> {
        let opened = sqlite::open(path).await?;
        Ok(Self {
            pool: opened.pool,
            path: Arc::new(opened.path),
            locks: Arc::new(opened.locks),
            notice: opened.notice.map(Into::into),
        })
    }

    /// What a person should know about how the store was opened.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Takes a lock if it is free.
    ///
    /// # Errors
    /// `ErrorKind::Store` where lock files cannot be made.
    pub fn try_lock(&self, key: &LockKey) -> Result<Option<Lock>> {
        locks::try_lock(&self.locks, key)
    }

    /// Takes a lock, waiting for it at most `patience`. Cancelled by dropping it.
    ///
    /// # Errors
    /// `ErrorKind::Held` when the time is up.
    pub async fn lock(&self, key: &LockKey, patience: Duration) -> Result<Lock> {
        locks::lock(&self.locks, key, patience).await
    }

    /// A transaction that writes.
    async fn begin(&self) -> sqlx::Result<Transaction<'_, Sqlite>> {
        // Immediate: two processes that first read and then write would otherwise refuse each other.
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        fault::database_failed(&self.path, error)
    }
}

#[cfg(test)]
mod tests;
