//! Where the store is, how long its leases last, and files that hold a secret.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{layers::Layers, parse};
use crate::{
    error::{Error, Result},
    language::t,
    secret::Secret,
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
        return Err(Error::config(t!("two places for the store: %{one} and %{other}", one = origins[0], other = origins[1]))
            .with_hint(t!("take one of them away")));
    }
    Ok(stated.or(filed))
}

fn place_in_file(path: &str) -> Result<Target> {
    Target::parse_private(private_file(path, t!("the store's URL"))?.expose())
}

/// The text of a file that nobody else may read, without the white space around it. `content` says what it should hold.
pub(super) fn private_file(path: &str, content: &str) -> Result<Secret> {
    let wrong = |why: String, hint: String| Error::config(format!("`{path}` {why}")).with_hint(hint);
    let unreadable = |error: std::io::Error| {
        wrong(t!("cannot be read: %{error}", error), t!("name a file that holds one line: %{content}", content))
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(wrong(t!("can be read by others, and holds a secret").into(), format!("`chmod 600 {path}`")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    let line = text.trim();
    if line.is_empty() {
        return Err(wrong(t!("is empty").into(), t!("put %{content} into it", content)));
    }
    Ok(Secret::new(line))
}

/// How long a machine keeps what it has locked without a sign of life.
pub(super) fn lease(layers: &Layers) -> Result<Duration> {
    Ok(layers.one("lease", parse_lease)?.unwrap_or(store::LEASE))
}

fn parse_lease(text: &str) -> Result<Duration> {
    let lease = parse::duration(text)?;
    if lease < LEAST_LEASE {
        return Err(Error::config(t!("`%{text}` is too short: at least %{least} s", text, least = LEAST_LEASE.as_secs())));
    }
    Ok(lease)
}
