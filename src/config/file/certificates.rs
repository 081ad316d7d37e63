//! `[[certificate]]`: what `apply` applies for where no name is given.

use std::path::PathBuf;

use toml::{Spanned, de::DeValue};

use super::Source;
use crate::{
    error::{Error, Result},
    language::{message, say, t},
    name::Name,
    order::acme::KeyType,
};

/// One `[[certificate]]`; what is left out is as the options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Its names.
    pub names: Vec<Name>,
    /// The ACME CA.
    pub ca: Option<String>,
    /// The kind of its key.
    pub key_type: Option<KeyType>,
    /// The CA's profile.
    pub profile: Option<String>,
    /// A certificate request of the user's own.
    pub csr: Option<PathBuf>,
}

const SHAPE: &str =
    message!("write `[[certificate]]` on a line of its own, and below it `names = [\"example.com\", \"*.example.com\"]`");

impl Source<'_> {
    pub(super) fn certificates(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Certificate>> {
        let Some(items) = value.get_ref().as_array() else {
            return Err(self.error(&value.span(), t!("`certificate` must be a list of tables")).with_hint(say(SHAPE)));
        };
        items.iter().map(|item| self.certificate(item)).collect()
    }

    fn certificate(&self, item: &Spanned<DeValue<'_>>) -> Result<Certificate> {
        let Some(table) = item.get_ref().as_table() else {
            return Err(self.error(&item.span(), t!("a certificate must be a table")).with_hint(say(SHAPE)));
        };
        let mut certificate = Certificate::default();
        for (key, value) in table {
            let key_name = key.get_ref().as_ref();
            if key_name == "names" {
                certificate.names = self.names(value)?;
                continue;
            }
            let text = |value: &Spanned<DeValue<'_>>| -> Result<String, Error> {
                let text = value.get_ref().as_str().map(str::to_owned);
                text.ok_or_else(|| self.error(&value.span(), &t!("`%{key_name}` of a certificate must be text", key_name)))
            };
            match key_name {
                "ca" => certificate.ca = Some(text(value)?),
                "key_type" => {
                    let kind = value.get_ref().as_str().and_then(KeyType::of_word);
                    let words = || t!("`key_type` is one of %{words}", words = KeyType::WORDS.join(", "));
                    certificate.key_type = Some(kind.ok_or_else(|| self.error(&value.span(), &words()))?);
                }
                "profile" => certificate.profile = Some(text(value)?),
                "csr" => certificate.csr = Some(text(value)?.into()),
                other => {
                    return Err(self.error(&key.span(), &t!("a certificate has no key `%{other}`", other)).with_hint(say(SHAPE)));
                }
            }
        }
        if certificate.names.is_empty() && certificate.csr.is_none() {
            return Err(self.error(&item.span(), t!("a certificate needs `names`")).with_hint(say(SHAPE)));
        }
        Ok(certificate)
    }

    fn names(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Name>> {
        let wrong = || self.error(&value.span(), t!("`names` must be a list of names")).with_hint(say(SHAPE));
        let items = value.get_ref().as_array().ok_or_else(wrong)?;
        let name = |item: &Spanned<DeValue<'_>>| {
            let text = item.get_ref().as_str().ok_or_else(wrong)?;
            Name::parse(text).map_err(|error| self.error(&item.span(), error.message()))
        };
        items.iter().map(name).collect()
    }
}
