//! Which certificates are on disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::pair;
use crate::name::Name;

/// The current certificate of a folder below `--out`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// The name of the folder.
    pub folder: String,
    /// The names in the certificate.
    pub names: Vec<Name>,
    /// The first second of its validity.
    pub not_before: jiff::Timestamp,
    /// The last second of its validity.
    pub not_after: jiff::Timestamp,
}

impl Held {
    /// How many whole days it has left; negative where it has expired.
    pub fn days_left(&self, now: jiff::Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(24 * 60 * 60)
    }
}

/// The current certificates below `out`, the one that ends first in front. What cannot be read is left out. Blocks while it reads.
pub fn inventory(out: &Path) -> Vec<Held> {
    read_all(out).into_iter().map(|(held, ..)| held).collect()
}

/// The same, each with its link `live` and the PEM of the leaf.
pub(super) fn read_all(out: &Path) -> Vec<(Held, PathBuf, String)> {
    let mut all: Vec<(Held, PathBuf, String)> = fs::read_dir(out)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let live = entry.path().join("live");
            let text = fs::read_to_string(live.join("cert.pem")).ok()?;
            let (names, not_before, not_after) = pair::look_at(&text)?;
            Some((Held { folder: entry.file_name().into_string().ok()?, names, not_before, not_after }, live, text))
        })
        .collect();
    all.sort_by(|(a, ..), (b, ..)| (a.not_after, &a.folder).cmp(&(b.not_after, &b.folder)));
    all
}
