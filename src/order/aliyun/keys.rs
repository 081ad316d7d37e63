//! Private keys that were made here, kept until the certificate for each is delivered: each file is named by its public key, so that a certificate finds its
//! key whatever became of the order in between.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use x509_parser::{certificate::X509Certificate, certification_request::X509CertificationRequest, prelude::FromDer as _};

use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    secret::Secret,
};

/// The folder of the keys.
#[derive(Clone, Debug)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// The keys in this folder; it is made when the first key is.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Makes a key (ECDSA P-256), keeps it with mode 0600, and returns a certificate request (PEM) for these names, the first one as its common name.
    ///
    /// # Errors
    /// `ErrorKind::Delivery` where the key cannot be kept; `ErrorKind::Usage` for names that no request can hold.
    pub fn new_request(&self, names: &[Name]) -> Result<String> {
        let failed =
            |error: rcgen::Error| Error::usage(t!("no certificate request can be made for these names: %{error}", error));
        let key = KeyPair::generate().map_err(failed)?;
        let texts: Vec<String> = names.iter().map(Name::to_string).collect();
        let mut params = CertificateParams::new(texts.clone()).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        // The service takes the names from `Domain` and from the common name.
        if let Some(first) = texts.into_iter().next() {
            params.distinguished_name.push(DnType::CommonName, first);
        }
        let request = params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)?;
        self.keep(&key.subject_public_key_info(), &Secret::new(key.serialize_pem()))?;
        Ok(request)
    }

    /// The key of a certificate (PEM, leaf first), where it was made here.
    pub fn of_certificate(&self, certificate: &str) -> Option<Secret> {
        let path = self.path(&public_key(certificate)?);
        fs::read_to_string(path).ok().map(Secret::new)
    }

    /// Forgets the key of a certificate, which now lies beside that.
    pub fn forget(&self, certificate: &str) {
        if let Some(public_key) = public_key(certificate) {
            let _ = fs::remove_file(self.path(&public_key));
        }
    }

    /// Forgets the key of a request (PEM) that led to nothing.
    pub fn forget_request(&self, request: &str) {
        if let Some(fingerprint) = key_of_request(request) {
            let _ = fs::remove_file(self.file(&fingerprint));
        }
    }

    fn file(&self, fingerprint: &str) -> PathBuf {
        self.0.join(format!("{fingerprint}.pem"))
    }

    fn path(&self, public_key: &[u8]) -> PathBuf {
        self.file(&fingerprint(public_key))
    }

    fn keep(&self, public_key: &[u8], key: &Secret) -> Result<()> {
        let path = self.path(public_key);
        write(&self.0, &path, key).map_err(|error| {
            Error::new(
                ErrorKind::Delivery,
                t!("the private key cannot be kept in `%{value}`: %{error}", value = self.0.display(), error),
            )
            .with_hint(t!("nothing was applied for; give this user the right to write in the state folder, or make room there"))
        })
    }
}

/// The key whole on the disk, in a folder of mode 0700.
fn write(folder: &Path, path: &Path, key: &Secret) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = tempfile::Builder::new().prefix(".key").tempfile_in(folder)?;
    file.write_all(key.expose().as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

/// The fingerprint of the public key in a certificate request (PEM): SHA-256 of its SubjectPublicKeyInfo in lower-case hexadecimal; `None` for what is no
/// request.
pub fn key_of_request(request: &str) -> Option<String> {
    let der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&der).ok()?;
    Some(fingerprint(request.certification_request_info.subject_pki.raw))
}

/// Whether one of the certificates (PEM, a leaf with its chain in any order) is for the key with this fingerprint.
pub fn is_for_key(certificates: &str, key: &str) -> bool {
    CertificateDer::pem_slice_iter(certificates.as_bytes())
        .flatten()
        .any(|der| public_key_of(&der).is_some_and(|public_key| fingerprint(&public_key) == key))
}

/// The public key of a certificate, as SubjectPublicKeyInfo in DER.
fn public_key(certificate: &str) -> Option<Vec<u8>> {
    public_key_of(&CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?)
}

fn public_key_of(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

fn fingerprint(public_key: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(public_key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::CertificateSigningRequestParams;

    use super::*;

    #[test]
    fn a_certificate_finds_its_key_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path().join("keys"));
        let names = ["example.com", "*.example.com"].map(|name| Name::parse(name).unwrap());
        let issuer = rcgen::Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
        let issue = || {
            let pem = keys.new_request(&names).unwrap();
            let request = CertificateSigningRequestParams::from_pem(&pem).unwrap();
            assert_eq!(request.params.subject_alt_names.len(), 2);
            let certificate = request.signed_by(&issuer).unwrap().pem();
            assert!(is_for_key(&certificate, &key_of_request(&pem).unwrap()));
            let another = key_of_request(&keys.new_request(&names).unwrap()).unwrap();
            assert!(!is_for_key(&certificate, &another));
            certificate
        };
        let (one, other) = (issue(), issue());
        let key = keys.of_certificate(&one).unwrap();
        assert!(key.expose().starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_ne!(key, keys.of_certificate(&other).unwrap());
        for entry in fs::read_dir(folder.path().join("keys")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        keys.forget(&one);
        assert!(keys.of_certificate(&one).is_none() && keys.of_certificate(&other).is_some());
        assert!(keys.of_certificate("no certificate").is_none());
        assert_eq!(key_of_request("no request"), None);
    }

    #[test]
    fn a_key_that_cannot_be_kept_is_said_before_anything_is_applied_for() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys"), "a file").unwrap();
        let error = KeyFolder::new(folder.path().join("keys")).new_request(&[Name::parse("example.com").unwrap()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Delivery);
        assert!(error.hint().unwrap().contains("nothing was applied for"));
    }
}
