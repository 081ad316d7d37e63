//! Delivery: certificate files that are never half written, and the hook that tells the services.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    environment::Environment,
    error::{Error, Result},
    name::Name,
    order::{Bundle, OrderId},
};

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
}

/// A delivered certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The folder of this serial number: `<out>/<name>/<serial>`.
    pub folder: PathBuf,
    /// The symlink to it: `<out>/<name>/live`.
    pub live: PathBuf,
    /// The names in the certificate.
    pub names: Vec<Name>,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// The last second of its validity.
    pub not_after: jiff::Timestamp,
    /// False where the same pair was current already: nothing was written, and no hook is due.
    pub changed: bool,
    /// Whether there is a `privkey.pem` (not where the CSR was the user's).
    pub has_private_key: bool,
}

/// Makes sure, before anything is published, that certificates can be written below `out`: makes the folder, writes and removes a file.
///
/// # Errors
/// `ErrorKind::Delivery` naming the path and the reason (read-only, full, no permission).
pub fn check_writable(out: &Path) -> Result<()> {
    let _ = out;
    unimplemented!()
}

/// Verifies the pair (key belongs to leaf, leaf names every domain, chain in order), writes it whole and makes it current.
///
/// # Errors
/// `ErrorKind::Delivery`: a pair that does not fit (what and why), or files that cannot be written. `live` stays as it was.
pub fn deliver(bundle: &Bundle, target: &Target) -> Result<Delivered> {
    let _ = (bundle, target, Error::usage(""));
    unimplemented!()
}

/// What runs after a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A program without arguments (`--hook`).
    Program(PathBuf),
    /// A line for `/bin/sh -c` (`--hook-shell`).
    Shell(String),
}

/// Runs a hook with the paths in its environment (`DV_NAME`, `DV_CERT`, `DV_CHAIN`, `DV_FULLCHAIN`, `DV_PRIVKEY`, `DV_LIVE`,
/// `DV_SERIAL`, `DV_NOT_AFTER`, `DV_NAMES`, `DV_ORDER`) and without any credential variable (`hidden`). Standard input is empty; output is kept up to 64 KiB.
///
/// # Errors
/// `ErrorKind::Delivery`: it cannot start, fails (exit status and its last lines), or takes longer than `timeout` (it is ended then).
pub async fn run_hook(
    hook: &Hook,
    delivered: &Delivered,
    order: &OrderId,
    environment: &Environment,
    hidden: &[String],
    timeout: Duration,
) -> Result<()> {
    let _ = (hook, delivered, order, environment, hidden, timeout);
    unimplemented!()
}
