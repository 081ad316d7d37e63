//! Files that the user names.

use std::path::Path;

use crate::{
    error::{Error, Result},
    language::t,
};

/// The text of a file.
///
/// # Errors
/// `ErrorKind::Config` with the path and the reason.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::config(t!("`%{path}` cannot be read: %{error}", path = path.display(), error)))
}
