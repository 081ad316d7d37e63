//! Older pairs that nobody needs any more (`--keep`).

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::files;

/// Files that a delivery makes. A folder that holds anything else is somebody's, and stays.
const OURS: [&str; 9] = [
    "cert.pem",
    "chain.pem",
    "fullchain.pem",
    "privkey.pem",
    "order.json",
    "cert.p12",
    "combined.pem",
    "cert.der",
    "privkey.der",
];

/// Removes from the folder of a set of names the pairs that are neither `live` nor among the `keep` that were issued last before it.
/// What cannot be removed is said in the log, and is no failure: the certificate is there.
pub(super) fn remove(parent: &Path, live: &Path, keep: usize) {
    let current = fs::read_link(live).ok().map(PathBuf::into_os_string);
    let mut pairs: Vec<((jiff::Timestamp, jiff::Timestamp), OsString)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| Some(entry.file_name()) != current)
        // Of two that begin in the same second, the one that was delivered first is the older.
        .filter_map(|entry| files::about(&entry.path()).map(|about| ((about.not_before, about.delivered), entry.file_name())))
        .collect();
    pairs.sort();
    let surplus = pairs.len().saturating_sub(keep);
    for (_, name) in &pairs[..surplus] {
        let folder = parent.join(name);
        if let Some(foreign) = foreign_file(&folder) {
            tracing::warn!("`{}` stays: it holds `{}`, which is not ours", folder.display(), foreign.display());
        } else if let Err(error) = fs::remove_dir_all(&folder) {
            tracing::warn!("`{}` cannot be removed: {error}", folder.display());
        } else {
            tracing::info!("`{}` was removed: `--keep {keep}`", folder.display());
        }
    }
}

fn foreign_file(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| PathBuf::from(entry.file_name())).find(|name| OURS.iter().all(|ours| Path::new(ours) != name))
}
