//! ACME (RFC 8555) as an order source: accounts at any number of CAs, and the orders of this run.
//!
//! An order's id is made of the CA and the names, so that the same application is the same order for every run: locks, journal and resumption
//! go by it. The CA is asked for an order when that id is read for the first time, under the order's lock.

use std::path::PathBuf;

pub(crate) use self::challenge::FILE_FOLDER;
pub use self::{
    account::Identity,
    adopt::{Foreign, adopt},
    directory::Ca,
    renewal_info::certificate_identifier,
    request::Request,
    source::{Acme, AcmeSettings, Manner, origin},
    state::{Kept, Remembered, remembered},
    wanted::{KeyType, Wanted, order_id},
};

mod account;
mod adopt;
mod challenge;
mod directory;
mod failure;
mod http;
mod key;
mod limits;
mod live;
mod renewal_info;
mod request;
mod seen;
mod source;
mod state;
mod wanted;

/// What the user says about the ACME CA and the account there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeOptions {
    /// The CA: a name that this program knows, or the URL of its directory (`--ca`).
    pub ca: Option<String>,
    /// The CA certificates that the ACME server's own certificate chains to, where they are not the system's (`--ca-file`).
    pub ca_file: Option<PathBuf>,
    /// Where the CA may write to (`--contact`).
    pub contact: Vec<String>,
    /// The id of the key of the external account binding (`--eab-key-id`).
    pub eab_key_id: Option<String>,
    /// The file with that key (`--eab-key-file`).
    pub eab_key_file: Option<PathBuf>,
    /// The kind of key that new certificates get (`--key-type`).
    pub key_type: KeyType,
    /// The CA's profile (`--profile`).
    pub profile: Option<String>,
}
