//! Locks between runs, of whatever kind the store has.

use std::time::Duration;

use tokio::time::Instant;

use super::{Holder, file_locks::FileLock, leases::Lease};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    name::Name,
};

/// The longest pause before a lock that is taken is tried again.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

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
    /// Nothing that others want: it tells them that this run watches the orders of an origin.
    Watcher {
        /// The origin.
        origin: String,
        /// The run.
        run: String,
    },
}

impl LockKey {
    /// What the names of all watchers of `origin` begin with.
    pub(super) fn watchers(origin: &str) -> String {
        format!("watcher of {origin}: ")
    }
}

impl std::fmt::Display for LockKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Order(holder) => write!(f, "order {holder}"),
            Self::Name { provider, name } => write!(f, "name {name} at provider {provider}"),
            Self::Watcher { origin, run } => write!(f, "{}{run}", Self::watchers(origin)),
        }
    }
}

/// A lock that this run holds; freed on drop.
#[derive(Debug)]
#[must_use]
pub struct Lock(pub(super) Kind);

/// What holds it.
#[derive(Debug)]
pub(super) enum Kind {
    /// The kernel, until this process ends.
    File { _file: FileLock },
    /// PostgreSQL, as long as this run says that it lives.
    Lease(Lease),
}

impl Lock {
    /// Makes sure that the lock is still ours, and stays so for a while: right before something is written. A kernel lock always is; a
    /// lease is not where this process was frozen, or cut off from the database, for longer than the lease runs.
    ///
    /// # Errors
    /// `ErrorKind::Held` where the lock is lost; `ErrorKind::Store` where that cannot be found out.
    pub async fn confirm(&self) -> Result<()> {
        match &self.0 {
            Kind::File { .. } => Ok(()),
            Kind::Lease(lease) => lease.confirm().await,
        }
    }
}

/// Tries until there is something or the time is up; the first time at once, the last time when it is up.
pub(super) async fn patiently<T>(
    patience: Duration,
    first_pause: Duration,
    mut attempt: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + patience;
    let mut pause = first_pause;
    loop {
        let found = attempt().await?;
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        tokio::time::sleep_until((Instant::now() + pause).min(deadline)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The error of a lock that was not free in time. `holder` is who has it, where that is known.
pub(super) fn held(key: &LockKey, patience: Duration, holder: Option<String>) -> Error {
    let (holder, hint) = match holder {
        Some(holder) => (t!("another run (%{holder})", holder), t!("see whether %{holder} hangs", holder)),
        None => (t!("another run").to_owned(), t!("see whether another run of this program hangs").to_owned()),
    };
    Error::new(
        ErrorKind::Held,
        t!("%{key} is held by %{holder}; waited %{patience} s", key, holder, patience = patience.as_secs()),
    )
    .with_hint(t!("wait for it to end, or %{hint}", hint))
    .with_retry(Retry::Later)
}
