//! Where the store is, and how long its leases last.

use std::{path::PathBuf, time::Duration};

use super::{layers::Layers, parse};
use crate::{
    error::{Error, Result},
    store::{self, Target},
};

/// The least `--lease`: a shorter one would be lost whenever the machine or the network is busy.
const LEAST_LEASE: Duration = Duration::from_secs(1);

/// Where the store is, as the one or the other option says.
pub(super) fn store(layers: &Layers) -> Result<Option<Target>> {
    let (stated, filed) = (layers.one("store", Target::parse)?, layers.one("store-file", place_in_file)?);
    if stated.is_some() && filed.is_some() {
        let origins =
            ["store", "store-file"].map(|name| layers.get(name).map(|given| given.origin.to_string()).unwrap_or_default());
        return Err(Error::config(format!("two places for the store: {} and {}", origins[0], origins[1]))
            .with_hint("take one of them away"));
    }
    Ok(stated.or(filed))
}

fn place_in_file(path: &str) -> Result<Target> {
    let wrong = |why: String, hint: String| Error::config(format!("`{path}` {why}")).with_hint(hint);
    let unreadable = |error: std::io::Error| {
        wrong(format!("cannot be read: {error}"), "name a file that holds one line: the store's URL".into())
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(wrong("can be read by others, and holds a password".into(), format!("`chmod 600 {path}`")));
    }
    let target = Target::parse_private(&std::fs::read_to_string(path).map_err(unreadable)?)?;
    if target == Target::File(PathBuf::new()) {
        return Err(wrong("is empty".into(), "put the store's URL into it".into()));
    }
    Ok(target)
}

/// How long a machine keeps what it has locked without a sign of life.
pub(super) fn lease(layers: &Layers) -> Result<Duration> {
    Ok(layers.one("lease", parse_lease)?.unwrap_or(store::LEASE))
}

fn parse_lease(text: &str) -> Result<Duration> {
    let lease = parse::duration(text)?;
    if lease < LEAST_LEASE {
        return Err(Error::config(format!("`{text}` is too short: at least {} s", LEAST_LEASE.as_secs())));
    }
    Ok(lease)
}
