//! What the user chose about the ACME CA.

use std::path::PathBuf;

use super::layers::Layers;
use crate::{
    error::{Error, Result},
    language::t,
    order::acme::{AcmeOptions, KeyType},
};

/// Reads the options of the group *ACME*.
pub(super) fn acme(layers: &Layers) -> Result<AcmeOptions> {
    let text = |name: &str| layers.one(name, |text| Ok(text.to_owned()));
    let path = |name: &str| layers.one(name, |text| Ok(PathBuf::from(text)));
    Ok(AcmeOptions {
        ca: text("ca")?,
        ca_file: path("ca-file")?,
        contact: layers.all("contact", contact)?,
        eab_key_id: text("eab-key-id")?,
        eab_key_file: path("eab-key-file")?,
        key_type: layers.one("key-type", |text| Ok(KeyType::of_word(text).unwrap_or_default()))?.unwrap_or_default(),
        profile: text("profile")?,
    })
}

/// A mail address, as far as a program can tell.
fn contact(text: &str) -> Result<String> {
    let address = text.trim().trim_start_matches("mailto:");
    let is_one = address.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
        && !address.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',');
    if is_one { Ok(address.to_owned()) } else { Err(Error::config(t!("`%{text}` is not a mail address", text))) }
}
