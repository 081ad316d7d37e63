//! The durable memory: the journal of records, what is known of orders, measured delays, and locks.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::{
    applications::ApplicationMemory,
    lock::{Lock, LockKey},
    notes::Note,
    notices::{Telling, Told},
    target::{PostgresUrl, Target},
    work::{Backlog, Moment, Settled, Work},
};
use self::{
    database::{Database, sql},
    fault::Place,
    leases::Leases,
};
use crate::{
    error::{Error, Result},
    name::Name,
    order::{Generation, OrderId},
    provider::{Handle, Zone},
    record::Record,
};

mod applications;
mod budgets;
mod database;
mod delays;
mod fault;
mod file_locks;
mod journal;
mod leases;
mod lock;
mod migrations;
mod notes;
mod notices;
mod orders;
mod postgres;
mod server_fault;
mod sqlite;
mod target;
mod work;

/// How long a machine that gives no sign of life keeps what it has locked, where the user does not say.
pub const LEASE: Duration = Duration::from_secs(30);

/// How soon a lease that is taken is tried again.
const FIRST_PAUSE_SHARED: Duration = Duration::from_millis(50);

/// How long giving back locks and ending connections may take each.
const CLOSING_PATIENCE: Duration = Duration::from_secs(2);

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

    /// A write that came too late, until it is taken back. The word has no `/`, so it is no order's.
    pub(crate) fn late_write() -> Self {
        Self("late-write".to_owned())
    }

    /// A test of a provider that goes on (`dv-verify test`). The word has no `/`, so it is no order's.
    pub(crate) fn trial(mark: &str) -> Self {
        Self(format!("test-{mark}"))
    }

    /// Whether a test holds it.
    pub(crate) fn is_trial(&self) -> bool {
        self.0.starts_with("test-") && !self.0.contains('/')
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
    /// The account whose run began it; empty for the one without a name.
    pub account: String,
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

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    place: Arc<Place>,
    locks: Locks,
    notice: Option<Arc<str>>,
    /// The account whose orders this run takes care of; empty for the one without a name.
    account: Arc<str>,
}

/// How runs keep out of one another's way.
#[derive(Clone, Debug)]
enum Locks {
    /// Files in this folder, for the runs of one machine.
    Files(Arc<PathBuf>),
    /// Rows of the database, for many machines.
    Leases(Leases),
}

impl Store {
    /// Opens or creates the store. `lease` is how long a machine keeps what it has locked without a sign of life, on PostgreSQL.
    ///
    /// # Errors
    /// As [`Store::open`] for a file. For PostgreSQL: `ErrorKind::Store` where the server cannot be reached, takes no writes, is full, or has the
    /// store of a newer version; `ErrorKind::Credentials` where it does not let us in; `ErrorKind::Rights` where we may not make tables;
    /// `ErrorKind::Config` where there is no such database.
    pub async fn open_at(target: &Target, lease: Duration) -> Result<Self> {
        let url = match target {
            Target::File(path) => return Self::open(path).await,
            Target::Postgres(url) => url,
        };
        let place = Place::Server(url.shown().to_owned());
        let pool = postgres::open(url, &place).await?;
        let run = format!("{} process {} run {:08x}", machine(), std::process::id(), rand::random::<u32>());
        let locks = Locks::Leases(Leases::new(pool.clone(), place.clone(), run, lease));
        Ok(Self { database: Database::Postgres(pool), place: Arc::new(place), locks, notice: None, account: "".into() })
    }

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
            database: Database::Sqlite(opened.pool),
            place: Arc::new(Place::File(opened.path)),
            locks: Locks::Files(Arc::new(opened.locks)),
            notice: opened.notice.map(Into::into),
            account: "".into(),
        })
    }

    /// The same store, for the orders of the account of this name.
    #[must_use]
    pub fn of_account(mut self, account: &str) -> Self {
        self.account = account.into();
        self
    }

    /// What a person should know about how the store was opened.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Whether several machines may share it.
    pub fn is_shared(&self) -> bool {
        matches!(self.locks, Locks::Leases(_))
    }

    /// How long a lock of a machine lasts that gives no sign of life; `None` where locks end with their process.
    pub fn lease(&self) -> Option<Duration> {
        match &self.locks {
            Locks::Files(_) => None,
            Locks::Leases(leases) => u64::try_from(leases.runs_for()).ok().map(Duration::from_millis),
        }
    }

    /// Gives back every lock and ends the connections. Without it other machines wait until the leases of this one have run out.
    pub async fn close(&self) {
        if let Locks::Leases(leases) = &self.locks {
            let _ = tokio::time::timeout(CLOSING_PATIENCE, leases.give_all_back()).await;
        }
        let _ = tokio::time::timeout(CLOSING_PATIENCE, self.database.close()).await;
    }

    /// Takes a lock if it is free.
    ///
    /// # Errors
    /// `ErrorKind::Store` where lock files cannot be made, or the database fails.
    pub async fn try_lock(&self, key: &LockKey) -> Result<Option<Lock>> {
        Ok(match &self.locks {
            Locks::Files(folder) => file_locks::try_lock(folder, key)?.map(|file| Lock(lock::Kind::File { _file: file })),
            Locks::Leases(leases) => leases.try_take(key).await?.map(|lease| Lock(lock::Kind::Lease(lease))),
        })
    }

    /// Takes a lock, waiting for it at most `patience`. Cancelled by dropping it.
    ///
    /// # Errors
    /// `ErrorKind::Held` when the time is up.
    pub async fn lock(&self, key: &LockKey, patience: Duration) -> Result<Lock> {
        let first_pause = if self.is_shared() { FIRST_PAUSE_SHARED } else { file_locks::FIRST_PAUSE };
        if let Some(lock) = lock::patiently(patience, first_pause, async || self.try_lock(key).await).await? {
            return Ok(lock);
        }
        let holder = match &self.locks {
            Locks::Files(folder) => file_locks::holder(folder, key),
            Locks::Leases(leases) => leases.holder(key).await,
        };
        Err(lock::held(key, patience, holder))
    }

    /// The name of this run, where machines share the store.
    fn run(&self) -> &str {
        match &self.locks {
            Locks::Files(_) => "",
            Locks::Leases(leases) => leases.run(),
        }
    }

    /// How long a claim lasts without a sign of life, in milliseconds. Processes on SQLite give none: theirs last until the next start.
    fn claim_lasts(&self) -> i64 {
        match &self.locks {
            Locks::Files(_) => i64::MAX / 2,
            Locks::Leases(leases) => leases.runs_for(),
        }
    }

    /// The time by the clock that all who share the store go by, in milliseconds since 1970.
    async fn now(&self) -> sqlx::Result<i64> {
        match &self.database {
            Database::Sqlite(_) => Ok(jiff::Timestamp::now().as_millisecond()),
            Database::Postgres(_) => sql(concat!("SELECT ", leases::now!(), " AS now")).fetch_one(self.on()).await?.number("now"),
        }
    }

    fn on(&self) -> database::On<'_> {
        self.database.on()
    }

    /// A transaction that writes.
    async fn begin(&self) -> sqlx::Result<database::Transaction> {
        self.database.begin().await
    }

    /// A transaction that writes beside others, and locks what it reads row by row.
    async fn begin_beside(&self) -> sqlx::Result<database::Transaction> {
        self.database.begin_beside().await
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        fault::database_failed(&self.place, error)
    }
}

/// The name of this machine.
pub fn machine() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
