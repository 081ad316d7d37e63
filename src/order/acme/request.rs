//! Certificate requests (PKCS#10): made here with a new key, or the user's own.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{
    certification_request::X509CertificationRequest, extensions::GeneralName, extensions::ParsedExtension, prelude::FromDer,
};

use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    secret::Secret,
};

/// A certificate request of the user's own; its key is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where it is.
    pub path: PathBuf,
    /// Its names: the subject alternative names, else the common name.
    pub names: Vec<Name>,
    /// The request, PEM, as it stands in the file.
    pub pem: String,
    pub(super) der: Vec<u8>,
}

impl Request {
    /// Reads a request in PEM.
    ///
    /// # Errors
    /// `ErrorKind::Config` naming the file: it cannot be read, is no request, or asks for no domain name or for something else beside.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: String| Error::config(t!("the certificate request `%{path}` %{why}", path = path.display(), why));
        let text = std::fs::read(path).map_err(|error| wrong(t!("cannot be read: %{error}", error)))?;
        let der = CertificateSigningRequestDer::from_pem_slice(&text).map_err(|_| {
            wrong(t!("has no block `CERTIFICATE REQUEST`").into())
                .with_hint(t!("`openssl req -new -key KEY -addext subjectAltName=DNS:example.com` makes one"))
        })?;
        let (_, request) =
            X509CertificationRequest::from_der(&der).map_err(|error| wrong(t!("cannot be read: %{error}", error)))?;
        let mut texts: Vec<String> = Vec::new();
        for extension in request.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(alternative) = extension else { continue };
            for name in &alternative.general_names {
                match name {
                    GeneralName::DNSName(name) => texts.push((*name).to_owned()),
                    other => return Err(wrong(t!("asks for `%{other}`, which is no domain name", other))),
                }
            }
        }
        let subject = &request.certification_request_info.subject;
        for common in subject.iter_common_name().filter_map(|name| name.as_str().ok()) {
            // A common name must be among the names that the CA is asked to prove.
            if !texts.iter().any(|text| text.eq_ignore_ascii_case(common)) {
                texts.push(common.to_owned());
            }
        }
        let names =
            texts.iter().map(|text| Name::parse(text)).collect::<Result<Vec<_>>>().map_err(|error| wrong(error.to_string()))?;
        if names.is_empty() {
            return Err(wrong(t!("names no domain").into()));
        }
        Ok(Self { path: path.to_owned(), names, pem: String::from_utf8_lossy(&text).into_owned(), der: der.to_vec() })
    }
}

/// The request for these names with this key, DER.
pub(super) fn sign(names: &[Name], key: &Secret) -> Result<Vec<u8>> {
    let key = KeyPair::from_pem(key.expose()).map_err(|error| failed(&error))?;
    let names: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(|error| failed(&error))?;
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(&key).map(|request| request.der().to_vec()).map_err(|error| failed(&error))
}

pub(super) fn failed(error: &rcgen::Error) -> Error {
    Error::new(ErrorKind::Unexpected, t!("no certificate request can be made: %{error}", error))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{key, wanted::KeyType},
        *,
    };

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn file(der: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.csr");
        let body = data_encoding::BASE64.encode(der);
        std::fs::write(&path, format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n"))
            .unwrap();
        (folder, path)
    }

    #[tokio::test]
    async fn what_is_made_is_read_with_all_its_names() {
        let names = [name("example.com"), name("*.example.com"), name("xn--bcher-kva.example")];
        for kind in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            let key = key::make(kind).await.unwrap();
            let (_folder, path) = file(&sign(&names, &key).unwrap());
            assert_eq!(Request::read(&path).unwrap().names, names);
        }
    }

    #[test]
    fn a_common_name_counts_and_an_address_is_refused() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "example.com");
        let (_folder, path) = file(params.serialize_request(&key).unwrap().der());
        assert_eq!(Request::read(&path).unwrap().names, [name("www.example.com"), name("example.com")]);
        let params = CertificateParams::new(vec!["192.0.2.1".to_owned()]).unwrap();
        let (_folder, path) = file(params.serialize_request(&key).unwrap().der());
        assert!(Request::read(&path).unwrap_err().to_string().contains("no domain name"));
    }

    #[test]
    fn what_is_no_request_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csr");
        assert!(Request::read(&path).unwrap_err().to_string().contains("x.csr` cannot be read"));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(Request::read(&path).unwrap_err().to_string().contains("CERTIFICATE REQUEST"));
    }
}
