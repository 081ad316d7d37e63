//! Which certificates are on disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::pair;
use crate::name::Name;

/// A certificate that services use: what `live` of its folder points to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// The symbolic link `live`.
    pub live: PathBuf,
    /// The names in the certificate.
    pub names: Vec<Name>,
    /// The last second of its validity.
    pub not_after: jiff::Timestamp,
}

impl Certificate {
    /// How many whole days it has left; negative where it has expired.
    pub fn days_left(&self, now: jiff::Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(24 * 60 * 60)
    }
}

/// The current certificates below `out`, the one that expires first at the front. What cannot be read is left out. Reads one small file for
/// each certificate.
pub fn certificates(out: &Path) -> Vec<Certificate> {
    let folders = fs::read_dir(out).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<Certificate> = folders
        .filter(|folder| !folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")))
        .filter_map(|folder| {
            let live = folder.join("live");
            let text = fs::read_to_string(live.join("cert.pem")).ok()?;
            let (names, _, not_after) = pair::look_at(&text)?;
            Some(Certificate { live, names, not_after })
        })
        .collect();
    found.sort_by(|one, other| (one.not_after, &one.live).cmp(&(other.not_after, &other.live)));
    found
}
