//! Locks between runs: kernel file locks, gone with the process that held them.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{LockKey, failed};
use crate::error::{Error, ErrorKind, Result};

/// How often a lock that is taken is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A lock that this process holds; freed on drop, and by the kernel when the process dies.
#[derive(Debug)]
#[must_use]
pub struct Lock {
    _file: File,
}

/// Takes the lock in `folder` if it is free. Lock files stay: removing one that another process has just opened would give the lock twice.
pub(super) fn try_lock(folder: &Path, key: &LockKey) -> Result<Option<Lock>> {
    let path = path(folder, key);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| failed(&path, "cannot be opened", error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unsupported(&path, error)),
    }
}

/// Takes the lock, waiting for it at most `patience`.
pub(super) async fn lock(folder: &Path, key: &LockKey, patience: Duration) -> Result<Lock> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(lock) = try_lock(folder, key)? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(Error::new(ErrorKind::Held, format!("{key} was held by another run for {} s", patience.as_secs()))
                .with_hint("see whether another run of this program hangs"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn path(folder: &Path, key: &LockKey) -> PathBuf {
    let digest = Sha256::digest(key.to_string().as_bytes());
    folder.join(format!("{}.lock", data_encoding::HEXLOWER.encode(&digest[..16])))
}

fn unsupported(path: &Path, error: io::Error) -> Error {
    failed(path, "cannot be locked", error).with_hint("put the store on a local file system that has file locks (`--store`)")
}
