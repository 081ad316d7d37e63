//! A throw-away CA: a root, an intermediate, and the certificates that it issues.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use ring::digest;

use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
};

/// The common name of the intermediate.
pub(super) const ISSUER: &str = "dv-verify Sandbox DV TLS CA";

/// For how many days a certificate is valid.
const DAYS: i64 = 90;

/// For how many days root and intermediate are valid.
const ISSUER_DAYS: i64 = 3650;

/// The CA.
pub(super) struct CertificateAuthority {
    root: String,
    intermediate: CertifiedIssuer<'static, KeyPair>,
    age: i64,
}

/// An issued certificate.
#[derive(Debug)]
pub(super) struct Certificate {
    /// Its names, the common name first.
    pub(super) domains: Vec<Name>,
    /// The certificate and the intermediate, PEM.
    pub(super) chain: String,
    /// Its key: ECDSA P-256, PKCS#8, PEM; empty where it was requested for a key of somebody else.
    pub(super) key: String,
    /// Its serial number in hexadecimal.
    pub(super) serial: String,
    /// SHA-1 of its DER form in hexadecimal.
    pub(super) sha1: String,
    /// SHA-256 of its DER form in hexadecimal.
    pub(super) sha256: String,
    /// The first day of its validity, UTC.
    pub(super) not_before: Date,
    /// The last day of its validity, UTC.
    pub(super) not_after: Date,
}

impl CertificateAuthority {
    /// Makes a new root and a new intermediate. What it issues was valid from `age` days ago.
    ///
    /// # Errors
    /// `ErrorKind::Unexpected` where no key can be made.
    pub(super) fn new(age: u16) -> Result<Self> {
        let build = || -> Result<Self, rcgen::Error> {
            let root = CertifiedIssuer::self_signed(issuer("dv-verify Sandbox Root CA", 1)?, KeyPair::generate()?)?;
            let intermediate = CertifiedIssuer::signed_by(issuer(ISSUER, 0)?, KeyPair::generate()?, &root)?;
            Ok(Self { root: root.pem(), intermediate, age: age.into() })
        };
        build().map_err(|error| Error::new(ErrorKind::Unexpected, "the sandbox's CA cannot be made").with_source(error))
    }

    /// The root certificate, PEM.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// The intermediate certificate, PEM.
    pub(super) fn intermediate(&self) -> String {
        self.intermediate.pem()
    }

    /// Issues a certificate for these names, for the key of a request (PEM) or for a new one; `None` for no names, for names
    /// that no certificate can hold, and for what is no request.
    pub(super) fn issue(&self, domains: &[Name], csr: Option<&str>) -> Option<Arc<Certificate>> {
        let texts: Vec<String> = domains.iter().map(Name::to_string).collect();
        let mut params = CertificateParams::new(texts.clone()).ok()?;
        let serial = random_serial();
        let (not_before, not_after) = validity(&mut params, self.age, DAYS);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, texts.first()?.clone());
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let (certificate, key) = if let Some(csr) = csr {
            let mut request = CertificateSigningRequestParams::from_pem(csr).ok()?;
            request.params = params;
            (request.signed_by(&self.intermediate).ok()?, String::new())
        } else {
            let key = KeyPair::generate().ok()?;
            (params.signed_by(&key, &self.intermediate).ok()?, key.serialize_pem())
        };
        Some(Arc::new(Certificate {
            domains: domains.to_vec(),
            chain: format!("{}{}", certificate.pem(), self.intermediate()),
            key,
            serial: data_encoding::HEXLOWER.encode(&serial),
            sha1: fingerprint(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der()),
            sha256: fingerprint(&digest::SHA256, certificate.der()),
            not_before,
            not_after,
        }))
    }
}

impl Certificate {
    /// The common name.
    pub(super) fn common_name(&self) -> String {
        self.domains.first().map(Name::to_string).unwrap_or_default()
    }

    /// Midnight at the beginning of a day, in milliseconds since 1970, as the API has times.
    pub(super) fn milliseconds(day: Date) -> i64 {
        day.to_zoned_datetime(TimeZone::UTC).map_or(0, |start| start.timestamp().as_millisecond())
    }
}

fn issuer(name: &str, path_length: u8) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    validity(&mut params, 1, ISSUER_DAYS);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "dv-verify sandbox, not to be trusted");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Valid for so many days from tomorrow on, or for as many fewer as it is older than a day.
fn validity(params: &mut CertificateParams, age: i64, days: i64) -> (Date, Date) {
    let today = Timestamp::now().to_zoned_datetime(TimeZone::UTC).date();
    let (first, last) = (today.saturating_sub(age.days()), today.saturating_add((days + 1 - age).days()));
    let midnight = |day: Date| date_time_ymd(day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs());
    params.not_before = midnight(first);
    params.not_after = midnight(last);
    (first, last)
}

/// Sixteen bytes, positive and without a leading zero (RFC 5280 section 4.1.2.2).
fn random_serial() -> [u8; 16] {
    let mut serial: [u8; 16] = rand::random();
    serial[0] = (serial[0] & 0x7f) | 0x40;
    serial
}

fn fingerprint(algorithm: &'static digest::Algorithm, der: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(digest::digest(algorithm, der).as_ref())
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

    use super::*;

    #[test]
    fn a_certificate_names_its_domains_and_chains_to_the_root() {
        let ca = CertificateAuthority::new(1).unwrap();
        let names = ["example.com", "*.example.com"].map(|name| Name::parse(name).unwrap());
        let issued = ca.issue(&names, None).unwrap();
        let chain: Vec<CertificateDer<'_>> =
            CertificateDer::pem_slice_iter(issued.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(chain.len(), 2);
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        rustls::sign::CertifiedKey::from_der(chain.clone(), key, &provider).expect("the key belongs to the leaf");

        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.root().as_bytes()).unwrap()).unwrap();
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider)).build().unwrap();
        let verify = |name: &'static str| {
            let server = rustls::pki_types::ServerName::try_from(name).unwrap();
            let now = rustls::pki_types::UnixTime::now();
            rustls::client::danger::ServerCertVerifier::verify_server_cert(&*verifier, &chain[0], &chain[1..], &server, &[], now)
        };
        verify("example.com").unwrap();
        verify("a.example.com").unwrap();
        assert!(verify("example.net").is_err());
    }
}
