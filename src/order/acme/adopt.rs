//! Taking over an account that another tool registered.

use std::path::{Path, PathBuf};

use pkcs8::{
    ObjectIdentifier, PrivateKeyInfoRef,
    der::{
        Encode,
        asn1::{AnyRef, OctetStringRef},
    },
    spki::AlgorithmIdentifierRef,
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

use super::{
    directory::Ca,
    state::{AccountFile, Folder},
};
use crate::{
    error::{Error, Result},
    language::t,
    secret::Secret,
};

/// The kind of key: on an elliptic curve (RFC 5480 section 2.1.1).
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// The curve P-256.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// An account that another tool registered.
#[derive(Debug)]
pub struct Foreign {
    /// The CA.
    pub ca: Ca,
    /// Where the account is at the CA.
    pub url: String,
    /// Its key, PEM.
    pub key: Secret,
}

/// Keeps the account in the state folder's folder of ACME CAs (`acme`), where there is none at that CA yet; tells whether it did. The CA is not
/// asked. `ca_file` holds the certificates that its server is trusted by, where they are not the system's.
///
/// # Errors
/// `ErrorKind::Config` for a key that is not ECDSA on P-256 or a URL that is not the CA's; `ErrorKind::Store` where the folder cannot be written.
pub fn adopt(acme: &Path, account: &Foreign, ca_file: Option<PathBuf>) -> Result<bool> {
    let folder = Folder::of(acme, &account.ca);
    let key = p256(&account.key)?;
    if url::Url::parse(&account.url).ok().and_then(|url| url.host_str().map(str::to_owned)).is_none() {
        return Err(Error::config(t!("`%{url}` is not the URL of an account", url = account.url)));
    }
    let _locked = folder.lock()?;
    if folder.account()?.is_some() {
        return Ok(false);
    }
    let text = Zeroizing::new(data_encoding::BASE64URL_NOPAD.encode(&key));
    let credentials = serde_json::json!({"id": account.url, "key_pkcs8": *text, "directory": account.ca.directory});
    let credentials = serde_json::from_value(credentials)
        .map_err(|error| Error::config(t!("the account's file is damaged: %{error}", error)))?;
    folder.keep_account(&AccountFile { ca: account.ca.name(), ca_file, eab_key_id: None, credentials })?;
    Ok(true)
}

/// The key in PKCS#8 (RFC 5958), DER; one in the older form (RFC 5915) is wrapped.
fn p256(key: &Secret) -> Result<Zeroizing<Vec<u8>>> {
    let unfit = || Error::config(t!("its key is not ECDSA on P-256, the only kind that this program has for accounts"));
    let der = match PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| unfit())? {
        PrivateKeyDer::Pkcs8(key) => Zeroizing::new(key.secret_pkcs8_der().to_vec()),
        PrivateKeyDer::Sec1(key) => {
            let algorithm = AlgorithmIdentifierRef { oid: ELLIPTIC, parameters: Some(AnyRef::from(&P256)) };
            let wrapped = OctetStringRef::new(key.secret_sec1_der())
                .and_then(|private| PrivateKeyInfoRef::new(algorithm, private).to_der());
            Zeroizing::new(wrapped.map_err(|_| unfit())?)
        }
        _ => return Err(unfit()),
    };
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new()).map_err(|_| unfit())?;
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(key: &str) -> Foreign {
        let url = "https://acme-v02.api.letsencrypt.org/acme/acct/1".to_owned();
        Foreign { ca: Ca::parse("letsencrypt").unwrap(), url, key: Secret::new(key) }
    }

    #[test]
    fn an_account_is_kept_once_and_never_replaced() {
        let home = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(adopt(home.path(), &account(&key), None).unwrap());
        let kept = Folder::of(home.path(), &account(&key).ca).account().unwrap().unwrap();
        assert_eq!(kept.ca, "letsencrypt");
        let der = rustls_pki_types::PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
        assert_eq!(kept.credentials.private_key().secret_pkcs8_der(), der.secret_pkcs8_der());
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(!adopt(home.path(), &account(&other), None).unwrap());
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        for key in [p384.as_str(), include_str!("../../../tests/data/pairs/rsa-pkcs8.key"), "no key"] {
            let error = adopt(home.path(), &account(key), None).unwrap_err();
            assert!(error.to_string().contains("P-256"), "{error}");
        }
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left");
    }
}
