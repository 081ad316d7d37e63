//! Older certificates beside the current one: how many stay.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::files::{about, failed};
use crate::error::Result;

/// Removes the certificates of a folder (`<out>/<name>`) but the one that `live` leads to and the `keep` others that were delivered last. Only folders that a
/// delivery made count; returns those that are gone.
///
/// # Errors
/// `ErrorKind::Delivery` naming what cannot be read or removed.
pub fn prune(folder: &Path, keep: usize) -> Result<Vec<PathBuf>> {
    let live = fs::canonicalize(folder.join("live")).map_err(|error| failed(folder, "has no current certificate", error))?;
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, "cannot be read", error))?;
    let mut older: Vec<(jiff::Timestamp, PathBuf)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !path.is_symlink() && path.is_dir() && fs::canonicalize(path).is_ok_and(|path| path != live))
        .filter_map(|path| {
            let delivered = about(&path)?.delivered;
            Some((delivered, path))
        })
        .collect();
    older.sort_by(|one, other| other.cmp(one));
    let mut gone = Vec::new();
    for (_, path) in older.into_iter().skip(keep) {
        fs::remove_dir_all(&path).map_err(|error| failed(&path, "cannot be removed", error))?;
        gone.push(path);
    }
    Ok(gone)
}
