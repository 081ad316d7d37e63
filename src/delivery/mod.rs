//! Delivery: certificate files that are never half written, and the hook that tells the services.

use std::path::{Path, PathBuf};

pub(crate) use self::hook::variables;
pub use self::{
    access::Access,
    current::{Current, current},
    form::{Form, Format},
    hook::run_hook,
    inventory::{Held, inventory},
};
use crate::{
    error::Result,
    failpoint,
    name::Name,
    order::{Bundle, OrderId},
    secret::Secret,
};

mod access;
mod current;
mod files;
mod folder;
mod form;
mod hook;
mod inventory;
mod older;
mod pair;
mod pem;

/// Where a certificate goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The folder of all certificates (`--out`).
    pub out: PathBuf,
    /// The folder name that the user chose (`--name`); `None`: the first name of the certificate.
    pub name: Option<String>,
    /// The order.
    pub order: OrderId,
    /// The names that the certificate must cover; empty where the API does not tell them.
    pub domains: Vec<Name>,
    /// Which files, for whom.
    pub form: Form,
}

/// A delivered certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The folder of this pair: `<out>/<name>/<serial>`, with a counter where something else has that name (`<serial>.2`).
    pub folder: PathBuf,
    /// The symlink to it: `<out>/<name>/live`.
    pub live: PathBuf,
    /// The names in the certificate.
    pub names: Vec<Name>,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// The last second of its validity.
    pub not_after: jiff::Timestamp,
    /// Whether `live` moved, or what it points at got a further format. False where it holds the same pair, or a newer one for the same
    /// names: no hook is due.
    pub changed: bool,
    /// Whether there is a `privkey.pem` (not where the CSR was the user's).
    pub has_private_key: bool,
}

/// Makes sure, before anything is published, that certificates can be written below `out`: makes the folder, and makes, renames and
/// removes a file and a symbolic link.
///
/// # Errors
/// `ErrorKind::Delivery` naming the path and the reason (read-only, full, no permission).
pub fn check_writable(out: &Path) -> Result<()> {
    files::check_writable(out)
}

/// Makes sure, before anything is published, that `name` can be a certificate's folder (`--name`).
///
/// # Errors
/// `ErrorKind::Usage` with what is wrong.
pub fn check_name(name: &str) -> Result<()> {
    folder::check_name(name)
}

/// Verifies the pair (key belongs to leaf, leaf names every domain and has not expired, chain in order), writes it whole and makes it
/// current. The same pair again writes nothing. Blocks for a few milliseconds, at most 30 s while another delivery holds `out`.
///
/// # Errors
/// `ErrorKind::Delivery`: a pair that does not fit (what and why), or files that cannot be written. `live` stays as it was.
pub fn deliver(bundle: &Bundle, target: &Target) -> Result<Delivered> {
    let pair = pair::verify(bundle, &target.domains, failpoint::now())?;
    files::write(&pair, target, &mut |step| {
        failpoint::reach(match step {
            "write" => "files.write",
            "place" => "files.place",
            _ => "files.live",
        });
        Ok(())
    })
}

/// A certificate with its key, both verified, on its way to elsewhere than the disk.
#[derive(Debug)]
pub struct Verified {
    /// The leaf and the chain above it, in order, PEM.
    pub chain: String,
    /// The private key, PEM; `None` where none was given.
    pub private_key: Option<Secret>,
    /// The names of the leaf.
    pub names: Vec<Name>,
    /// The serial number, lower-case hex.
    pub serial: String,
}

/// Verifies a pair as [`deliver`] does, and writes nothing.
///
/// # Errors
/// `ErrorKind::Delivery`: a pair that does not fit (what and why).
pub fn verified(bundle: &Bundle) -> Result<Verified> {
    let pair = pair::verify(bundle, &[], failpoint::now())?;
    let private_key = pair.private_key();
    Ok(Verified { chain: pair.certificate + &pair.chain, private_key, names: pair.names, serial: pair.serial })
}

/// Whether a certificate of these names serves `host`: it is named, or matched by a wildcard of its parent (RFC 6125 section 6.4.3).
pub fn serves(names: &[Name], host: &Name) -> bool {
    pair::covers(names, host)
}

/// The names in a certificate (PEM, leaf first); `None` where it cannot be read, or names no domain.
pub fn names_in(certificate: &str) -> Option<Vec<Name>> {
    pair::look_at(certificate).map(|(names, _, _)| names)
}

/// Whether [`deliver`] would write nothing. Reads a few small files.
pub fn is_there(bundle: &Bundle, target: &Target) -> bool {
    pair::verify(bundle, &target.domains, failpoint::now()).is_ok_and(|pair| files::is_there(&pair, target))
}

#[cfg(test)]
mod tests;
