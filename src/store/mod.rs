//! The durable memory: the journal of records, what is known of orders, measured delays, and locks.

use std::{
    fmt,
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use self::locks::Lock;
use self::schema::Unusable;

use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
    order::{Generation, OrderId},
    provider::{Handle, Zone},
    record::Record,
};

mod journal;
mod locks;
mod orders;
mod schema;

/// How long a statement waits for another process.
const BUSY_PATIENCE: Duration = Duration::from_secs(15);

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
    /// Opens or creates the SQLite store at `path`, its folder with mode 0700 and the file with 0600. A file that is damaged, or no
    /// database, is kept aside and a new one is made; [`Store::notice`] says so.
    ///
    /// # Errors
    /// `ErrorKind::Store` with the path and the reason: no such folder and it cannot be made, read-only, full, made by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let locks = folder.join("locks");
        make_folder(folder)?;
        make_folder(&locks)?;
        make_file(path)?;
        let mut notice = None;
        let pool = match connect(path).await {
            Ok(pool) => pool,
            Err(Unusable::Newer) => {
                return Err(Error::new(ErrorKind::Store, format!("the store `{}` was made by a newer version", path.display()))
                    .with_hint("use that version, or another store (`--store`)"));
            }
            Err(Unusable::Database(error)) if schema::is_damage(&error) => {
                let aside = set_aside(path)?;
                make_file(path)?;
                notice = Some(
                    format!(
                        "the store `{}` is damaged ({error}); it is kept as `{}`, and a new one was begun: records that only it knew stay at the providers",
                        path.display(),
                        aside.display()
                    )
                    .into(),
                );
                connect(path).await.map_err(|unusable| match unusable {
                    Unusable::Database(error) => database_failed(path, error),
                    Unusable::Newer => {
                        Error::new(ErrorKind::Store, format!("the store `{}` cannot be made anew", path.display()))
                    }
                })?
            }
            Err(Unusable::Database(error)) => return Err(database_failed(path, error)),
        };
        Ok(Self { pool, path: Arc::new(path.to_owned()), locks: Arc::new(locks), notice })
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

    fn failed(&self, error: sqlx::Error) -> Error {
        database_failed(&self.path, error)
    }
}

async fn connect(path: &Path) -> Result<SqlitePool, Unusable> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // The journal must be on disk before a provider is called.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_PATIENCE);
    // One connection: writers take turns anyway, and each statement takes about a millisecond.
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(BUSY_PATIENCE * 4).connect_with(options).await?;
    let mut connection = pool.acquire().await?;
    schema::migrate(&mut connection).await?;
    drop(connection);
    Ok(pool)
}

fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(folder, "cannot be made", error))
}

/// SQLite would make the file readable for others.
fn make_file(path: &Path) -> Result<()> {
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| failed(path, "cannot be written", error))
}

/// Moves a damaged store and its side files away, and returns where it is now.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let with = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = with(&format!(".damaged-{stamp}"));
    std::fs::rename(path, &aside).map_err(|error| failed(path, "is damaged and cannot be set aside", error))?;
    for side in ["-wal", "-shm"] {
        // They belong to the damaged file, and would damage the new one.
        let _ = std::fs::remove_file(with(side));
    }
    Ok(aside)
}

/// An error of the file system.
fn failed(path: &Path, what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Store, format!("the store's `{}` {what}: {error}", path.display()))
        .with_hint("choose a place that can be written with `--store`")
        .with_source(error)
}

/// An error of the database.
fn database_failed(path: &Path, error: sqlx::Error) -> Error {
    let why = match &error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        sqlx::Error::PoolTimedOut => "another process kept it busy for too long".to_owned(),
        other => other.to_string(),
    };
    let hint = if why.contains("full") {
        "make room on that disk"
    } else if why.contains("readonly") || why.contains("unable to open") {
        "choose a place that can be written with `--store`"
    } else {
        "see whether another run of this program hangs, and whether the disk is well"
    };
    Error::new(ErrorKind::Store, format!("the store `{}` failed: {why}", path.display())).with_hint(hint).with_source(error)
}

#[cfg(test)]
mod tests;
