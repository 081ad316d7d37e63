//! What is applied for, and the id of its order.

use std::fmt::Write as _;

use instant_acme::CertificateIdentifier;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{directory::Ca, request::Request, state::Kept};
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    order::OrderId,
};

/// The kind of key of a certificate. Elliptic keys are made here, RSA keys by the machine's `openssl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

impl KeyType {
    /// The words of `--key-type`, in the order of the kinds.
    pub const WORDS: [&str; 5] = ["p256", "p384", "rsa2048", "rsa3072", "rsa4096"];

    /// All kinds.
    const ALL: [Self; 5] = [Self::P256, Self::P384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// The kind that a word of `--key-type` names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().position(|known| *known == word).map(|at| Self::ALL[at])
    }

    /// How many bits an RSA key has; `None` for elliptic ones.
    pub(super) fn rsa_bits(self) -> Option<u32> {
        match self {
            Self::P256 | Self::P384 => None,
            Self::Rsa2048 => Some(2048),
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
        }
    }
}

/// A certificate that is applied for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The order's id ([`order_id`]).
    pub id: OrderId,
    /// Who is to issue it.
    pub ca: Ca,
    /// Its names.
    pub names: Vec<Name>,
    /// The kind of its key.
    pub key_type: KeyType,
    /// The CA's profile.
    pub profile: Option<String>,
    /// The user's own request, with the key elsewhere.
    pub request: Option<Request>,
    /// The certificate that it takes the place of.
    pub replaces: Option<CertificateIdentifier<'static>>,
    /// Those of its names that are proven by a file (http-01); the others are by a record (dns-01).
    pub by_file: Vec<Name>,
}

impl Wanted {
    /// As it is kept for renewals.
    pub(super) fn kept(&self) -> Kept {
        Kept {
            id: self.id.clone(),
            names: self.names.clone(),
            key_type: self.key_type,
            profile: self.profile.clone(),
            csr: self.request.as_ref().map(|request| request.path.clone()),
        }
    }
}

/// The id of the order for these names at this CA: the same in whatever order the names are given, and for each renewal. Of the names it shows
/// the first in the alphabet, and that before its wildcard.
///
/// # Errors
/// `ErrorKind::Usage` where there are no names.
pub fn order_id(ca: &Ca, names: &[Name]) -> Result<OrderId> {
    let shown = names.iter().min_by_key(|name| (name.base(), name.is_wildcard()));
    let Some(shown) = shown else { return Err(Error::usage(t!("a certificate needs a name"))) };
    let mut sorted: Vec<&str> = names.iter().map(Name::as_str).collect();
    sorted.sort_unstable();
    let mut text = ca.directory.to_string();
    for name in sorted {
        let _ = write!(text, "\n{name}");
    }
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text));
    let shown: String = shown.as_str().replace('*', "_wildcard").chars().take(120).collect();
    OrderId::parse(&format!("{}-{shown}-{}", ca.label, &digest[..10]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_application_is_the_same_order() {
        let names = |texts: &[&str]| texts.iter().map(|text| Name::parse(text).unwrap()).collect::<Vec<_>>();
        let ca = Ca::parse("letsencrypt").unwrap();
        let id = order_id(&ca, &names(&["www.example.com", "example.com", "*.example.com"])).unwrap();
        assert!(id.as_str().starts_with("letsencrypt-example.com-"), "{id}");
        for other in [["*.example.com", "example.com", "www.example.com"], ["example.com", "www.example.com", "*.example.com"]] {
            assert_eq!(order_id(&ca, &names(&other)).unwrap(), id);
        }
        assert!(order_id(&ca, &names(&["*.example.com"])).unwrap().as_str().starts_with("letsencrypt-_wildcard.example.com-"));
        let hash = |id: &OrderId| id.as_str().rsplit('-').next().unwrap().to_owned();
        let both = order_id(&ca, &names(&["example.com", "*.example.com"])).unwrap();
        let elsewhere = order_id(&Ca::parse("letsencrypt-staging").unwrap(), &names(&["example.com", "*.example.com"])).unwrap();
        assert_ne!(hash(&both), hash(&elsewhere));
        assert_ne!(both, order_id(&ca, &names(&["example.com"])).unwrap());
        order_id(&ca, &[]).unwrap_err();
    }

    #[test]
    fn every_kind_of_key_has_one_word_for_people_and_for_files() {
        for (word, kind) in KeyType::WORDS.into_iter().zip(KeyType::ALL) {
            assert_eq!(KeyType::of_word(word), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), word);
        }
        assert_eq!(KeyType::of_word("rsa"), None);
        assert_eq!(KeyType::default(), KeyType::ALL[0]);
    }
}
