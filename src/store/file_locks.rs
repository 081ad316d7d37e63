//! Locks between runs of one machine: kernel file locks, gone with the process that held them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{LockKey, fault::failed, lock::patiently};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
};

/// How soon a lock that is taken is tried again.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// A lock that this process holds; freed on drop, and by the kernel when the process dies.
#[derive(Debug)]
#[must_use]
pub(super) struct FileLock {
    file: File,
    path: PathBuf,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // While it is locked, so that whoever opened it before sees in [`claim`] that it is no longer the one to lock.
        if is_current(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes the lock in `folder` if it is free.
pub(super) fn try_lock(folder: &Path, key: &LockKey) -> Result<Option<FileLock>> {
    let path = path(folder, key);
    loop {
        match claim(open(&path)?, &path)? {
            Claim::Taken(lock) => return Ok(Some(lock)),
            Claim::Held => return Ok(None),
            Claim::Stale => {}
        }
    }
}

/// What becomes of an open lock file.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is ours.
    Taken(FileLock),
    /// Somebody else has it.
    Held,
    /// The holder before removed it between our opening and locking it: it locks nothing any more.
    Stale,
}

/// Locks an open file, if nobody has and it still is the one that others open.
pub(super) fn claim(mut file: File, path: &Path) -> Result<Claim> {
    if !lock_file(&file, path)? {
        return Ok(Claim::Held);
    }
    if !is_current(&file, path) {
        return Ok(Claim::Stale);
    }
    // For people who wonder who holds it; a disk that is full does not matter here.
    let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    Ok(Claim::Taken(FileLock { file, path: path.to_owned() }))
}

/// The process that holds the lock, where its file tells.
pub(super) fn holder(folder: &Path, key: &LockKey) -> Option<String> {
    let process: u32 = fs::read_to_string(path(folder, key)).ok()?.trim().parse().ok()?;
    Some(format!("process {process}"))
}

/// The lock under which the store at `store` is opened. Its file stays: it is not empty where a store was opened before.
pub(super) async fn opening(folder: &Path, store: &Path, patience: Duration) -> Result<File> {
    let name = store.file_name().unwrap_or_default().as_bytes();
    let path = folder.join(format!("opening-{}.lock", digest(name)));
    let file = open(&path)?;
    let attempt = async || Ok(lock_file(&file, &path)?.then_some(()));
    let waited = patiently(patience, FIRST_PAUSE, attempt).await?;
    waited.map(|()| file).ok_or_else(|| {
        Error::new(
            ErrorKind::Store,
            t!(
                "another run has been opening the store `%{store}` for %{patience} s",
                store = store.display(),
                patience = patience.as_secs()
            ),
        )
        .with_hint(t!("see whether another run of this program hangs"))
        .with_retry(Retry::Later)
    })
}

/// Opens or makes a lock file.
pub(super) fn open(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    opened.map_err(|error| failed(path, t!("cannot be opened"), error))
}

/// Locks the file; false where somebody else has.
fn lock_file(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(unsupported(path, error)),
    }
}

/// Whether `path` still leads to `file`.
fn is_current(file: &File, path: &Path) -> bool {
    let identity = |data: fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

pub(super) fn path(folder: &Path, key: &LockKey) -> PathBuf {
    folder.join(format!("{}.lock", digest(key.to_string().as_bytes())))
}

fn digest(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

fn unsupported(path: &Path, error: io::Error) -> Error {
    failed(path, t!("cannot be locked"), error)
        .with_hint(t!("put the store on a local file system that has file locks (`--store`)"))
}
