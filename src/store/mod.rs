//! The durable memory: the journal of records, what is known of orders, measured delays, and locks.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    name::Name,
    order::{Generation, OrderId},
    provider::{Handle, Zone},
    record::Record,
};

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

/// A lock that this process holds; freed on drop, and by the kernel when the process dies.
#[derive(Debug)]
#[must_use]
pub struct Lock {
    _file: std::fs::File,
}

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens or creates the SQLite store at `path`, its folder with mode 0700 and the file with 0600.
    ///
    /// # Errors
    /// `ErrorKind::Store` with the path and the reason (no such folder and it cannot be made, read-only, full, not a database, newer schema).
    pub async fn open(path: &std::path::Path) -> Result<Self> {
        let _ = (path, Error::usage(""));
        unimplemented!()
    }

    /// Takes a lock if it is free.
    pub fn try_lock(&self, key: &LockKey) -> Result<Option<Lock>> {
        let _ = key;
        unimplemented!()
    }

    /// Takes a lock, waiting for it at most `patience`.
    ///
    /// # Errors
    /// `ErrorKind::Held` when the time is up.
    pub async fn lock(&self, key: &LockKey, patience: Duration) -> Result<Lock> {
        let _ = (key, patience);
        unimplemented!()
    }

    /// Durably says what is about to be written and for whom, before it is. Where the same value is already in the journal, `holder`
    /// joins its holders, and the entry stays as it was (its `was_there` above all).
    pub async fn intend(&self, intent: &Intent, holder: &Holder) -> Result<Entry> {
        let _ = (intent, holder);
        unimplemented!()
    }

    /// Durably keeps the handle of a confirmed write.
    pub async fn published(&self, id: EntryId, handle: &Handle) -> Result<()> {
        let _ = (id, handle);
        unimplemented!()
    }

    /// Takes `holder` off the entry, and returns those that are left.
    pub async fn release(&self, id: EntryId, holder: &Holder) -> Result<Vec<Holder>> {
        let _ = (id, holder);
        unimplemented!()
    }

    /// Removes an entry whose record is withdrawn.
    pub async fn forget(&self, id: EntryId) -> Result<()> {
        let _ = id;
        unimplemented!()
    }

    /// All entries, oldest first.
    pub async fn entries(&self) -> Result<Vec<Entry>> {
        unimplemented!()
    }

    /// The entries that `holder` holds, oldest first.
    pub async fn entries_of(&self, holder: &Holder) -> Result<Vec<Entry>> {
        let _ = holder;
        unimplemented!()
    }

    /// Keeps what is known of an order, replacing what was known before.
    pub async fn remember(&self, memory: &OrderMemory) -> Result<()> {
        let _ = memory;
        unimplemented!()
    }

    /// What is known of an order.
    pub async fn recall(&self, origin: &str, id: &OrderId) -> Result<Option<OrderMemory>> {
        let _ = (origin, id);
        unimplemented!()
    }

    /// The orders of an origin that are not finished, or whose hook has yet to run.
    pub async fn unfinished(&self, origin: &str) -> Result<Vec<OrderMemory>> {
        let _ = origin;
        unimplemented!()
    }

    /// Keeps a measured delay between write and visibility. The latest 20 of a zone and provider instance are kept.
    pub async fn note_delay(&self, zone: &Name, provider: &str, delay: Duration) -> Result<()> {
        let _ = (zone, provider, delay);
        unimplemented!()
    }

    /// The measured delays of a zone and provider instance, latest last.
    pub async fn delays(&self, zone: &Name, provider: &str) -> Result<Vec<Duration>> {
        let _ = (zone, provider);
        unimplemented!()
    }
}
