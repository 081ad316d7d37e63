//! ACME (RFC 8555) as an order source.

use std::path::PathBuf;

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

/// The kind of key of a certificate. RSA keys are not made here: the crates of this program that make keys have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
}
