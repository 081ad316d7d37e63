//! What was delivered earlier and is current.

use std::path::{Path, PathBuf};

use super::{
    files::about,
    inventory::{self, Held},
};
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
    /// The link to its folder (`<out>/<name>/live`).
    pub live: PathBuf,
}

/// Every certificate that is current below `out`, with the order that it came from. What cannot be read is left out.
pub fn current(out: &Path) -> Vec<Current> {
    let with_order = |(Held { names, not_before, not_after, .. }, live, certificate): (Held, PathBuf, String)| {
        let order = OrderId::parse(&about(&live)?.order).ok()?;
        Some(Current { order, names, not_before, not_after, certificate, live })
    };
    inventory::read_all(out).into_iter().filter_map(with_order).collect()
}
