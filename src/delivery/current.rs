//! What was delivered earlier and is current.

use std::{fs, path::Path};

use super::{files::about, pair};
use crate::{name::Name, order::OrderId};

/// A certificate that is current.
#[derive(Clone, Debug)]
pub struct Current {
    /// The order that it came from.
    pub order: OrderId,
    /// Its names.
    pub names: Vec<Name>,
    /// The first second of its validity.
    pub not_before: jiff::Timestamp,
    /// The last second of its validity.
    pub not_after: jiff::Timestamp,
    /// The leaf, PEM.
    pub certificate: String,
}

/// Every certificate that is current below `out`, in the order of the folders' names. What cannot be read is left out.
pub fn current(out: &Path) -> Vec<Current> {
    let mut folders: Vec<_> = fs::read_dir(out).into_iter().flatten().flatten().map(|entry| entry.path().join("live")).collect();
    folders.sort();
    folders.iter().filter_map(|live| read(live)).collect()
}

fn read(live: &Path) -> Option<Current> {
    let certificate = fs::read_to_string(live.join("cert.pem")).ok()?;
    let (names, not_before, not_after) = pair::look_at(&certificate)?;
    let order = OrderId::parse(&about(live)?.order).ok()?;
    Some(Current { order, names, not_before, not_after, certificate })
}
