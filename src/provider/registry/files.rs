//! Manifests of the user, read from files.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    language::t,
};

/// The largest manifest that is read, in bytes: the longest real ones have 2 kB.
const MAX_MANIFEST: u64 = 1024 * 1024;

/// The manifests in a folder, by path; none where it does not exist.
///
/// # Errors
/// `ErrorKind::Config` for what cannot be read.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let failed = |error: std::io::Error| {
        Error::config(t!("the folder of manifests `%{folder}` cannot be read: %{error}", folder = folder.display(), error))
    };
    let listing = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut paths = listing.map(|entry| entry.map(|it| it.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".toml") && !name.ends_with(".examples.toml") && !name.starts_with('.')
    });
    paths.sort();
    paths.into_iter().map(|path| read_manifest(&path).map(|text| (path, text))).collect()
}

/// The text of one manifest.
///
/// # Errors
/// As [`read_folder`]; also where it is longer than any manifest.
pub(super) fn read_manifest(path: &Path) -> Result<String> {
    let failed = |error: &dyn fmt::Display| {
        Error::config(t!("the manifest `%{path}` cannot be read: %{error}", path = path.display(), error))
    };
    let length = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if length > MAX_MANIFEST {
        return Err(failed(&t!("it has %{length} bytes, more than %{MAX_MANIFEST}", length, MAX_MANIFEST)));
    }
    std::fs::read_to_string(path).map_err(|error| failed(&error))
}
