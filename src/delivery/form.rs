//! The form of a delivery: which files there are, who may read them, and how many older pairs stay.

use std::{fs, path::Path};

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use pkcs8::{
    PrivateKeyInfoRef,
    der::{Decode, Encode, asn1::OctetStringRef},
    spki::SubjectPublicKeyInfoRef,
};
use zeroize::Zeroizing;

use super::{access::Access, pair::Pair};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    secret::Secret,
};

/// What a delivery looks like on disk.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Formats beside PEM, which is always written: it is what later deliveries are compared with.
    pub formats: Vec<Format>,
    /// What `cert.p12` is encrypted with; needed for [`Format::Pkcs12`].
    pub password: Option<Secret>,
    /// Who may read the files.
    pub access: Access,
    /// How many older pairs of the same folder stay; `None`: all.
    pub keep: Option<usize>,
}

/// A format of certificate files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `cert.pem`, `chain.pem`, `fullchain.pem`, `privkey.pem`.
    Pem,
    /// `cert.p12`: key and chain under a password (RFC 7292, AES-256 and HMAC-SHA256), for Java and Windows.
    Pkcs12,
    /// `combined.pem`: leaf, chain and key in one file, as HAProxy's `crt` wants it.
    Combined,
    /// `cert.der` (the leaf) and `privkey.der` (PKCS#8).
    Der,
}

impl Format {
    /// Every format with its word.
    pub const ALL: [(&str, Self); 4] =
        [("pem", Self::Pem), ("pkcs12", Self::Pkcs12), ("combined", Self::Combined), ("der", Self::Der)];
}

/// One file of a delivery.
pub(super) struct Content {
    pub(super) name: &'static str,
    pub(super) is_private: bool,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Content {
    pub(super) fn public(name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name, is_private: false, bytes: Zeroizing::new(bytes.into()) }
    }

    fn private(name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name, is_private: true, bytes: Zeroizing::new(bytes.into()) }
    }
}

/// The PEM files, which every delivery has.
pub(super) fn pem_files(pair: &Pair) -> Vec<Content> {
    let mut files = vec![
        Content::public("cert.pem", pair.certificate.as_str()),
        Content::public("chain.pem", pair.chain.as_str()),
        Content::public("fullchain.pem", format!("{}{}", pair.certificate, pair.chain)),
    ];
    if let Some(key) = pair.private_key() {
        files.push(Content::private("privkey.pem", key.expose()));
    }
    files
}

/// The names of the files that `formats` ask for beside PEM. Without a private key there is less.
fn further_names(form: &Form, has_key: bool) -> impl Iterator<Item = &'static str> {
    form.formats
        .iter()
        .flat_map(move |format| match (format, has_key) {
            (Format::Pkcs12, true) => &["cert.p12"][..],
            (Format::Combined, true) => &["combined.pem"],
            (Format::Der, true) => &["cert.der", "privkey.der"],
            (Format::Der, false) => &["cert.der"],
            (Format::Pem, _) | (Format::Pkcs12 | Format::Combined, false) => &[],
        })
        .copied()
}

/// The files that the form asks for and `folder` lacks.
pub(super) fn missing(pair: &Pair, form: &Form, folder: &Path) -> Vec<&'static str> {
    further_names(form, pair.key.is_some()).filter(|name| fs::symlink_metadata(folder.join(name)).is_err()).collect()
}

/// The content of a file beside the PEM ones. Encrypting `cert.p12` takes some milliseconds.
pub(super) fn further_file(pair: &Pair, form: &Form, name: &'static str) -> Result<Content> {
    Ok(match name {
        "cert.p12" => Content::private(name, pkcs12(pair, form.password.as_ref())?),
        "combined.pem" => {
            let key = pair.private_key();
            let key = key.as_ref().map_or("", Secret::expose);
            Content::private(name, format!("{}{}{key}", pair.certificate, pair.chain))
        }
        "privkey.der" => Content { name, is_private: true, bytes: pkcs8(pair)? },
        _ => Content::public(name, pair.certificates[0].as_slice()),
    })
}

fn cannot(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Delivery, t!("%{what} cannot be made: %{why}", what, why))
        .with_hint(t!("leave that format out of `--format`"))
}

/// The key as PKCS#8 (RFC 5958). A key of an older form is wrapped under the algorithm of its certificate's public key, which is the same.
fn pkcs8(pair: &Pair) -> Result<Zeroizing<Vec<u8>>> {
    let key = pair.key.as_ref().ok_or_else(|| cannot(t!("the key"), t!("there is none")))?;
    if key.label == "PRIVATE KEY" {
        return Ok(key.der.clone());
    }
    let wrapped = SubjectPublicKeyInfoRef::from_der(&pair.public_key)
        .and_then(|public| Ok(PrivateKeyInfoRef::new(public.algorithm, OctetStringRef::new(&key.der)?)))
        .and_then(|info| info.to_der());
    wrapped.map(Zeroizing::new).map_err(|error| cannot(t!("the key in PKCS#8"), error))
}

fn pkcs12(pair: &Pair, password: Option<&Secret>) -> Result<Vec<u8>> {
    let fails = |error: p12_keystore::error::Error| cannot("`cert.p12`", error);
    let password = password.ok_or_else(|| cannot("`cert.p12`", t!("there is no password")))?;
    let key = PrivateKey::from_der(&pkcs8(pair)?).map_err(fails)?;
    let chain = pair.certificates.iter().map(|der| Certificate::from_der(der)).collect::<std::result::Result<Vec<_>, _>>();
    let chain = PrivateKeyChain::new(pair.serial.as_str(), key, chain.map_err(fails)?);
    let mut store = KeyStore::new();
    // Java shows it as the alias, and wants one.
    store.add_entry(&pair.names[0].to_string(), KeyStoreEntry::PrivateKeyChain(chain));
    store.writer(password.expose()).write().map_err(fails)
}
