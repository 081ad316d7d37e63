//! When the CA wants a certificate to be renewed (ARI, RFC 9773).

use instant_acme::CertificateIdentifier;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, Der, pem::PemObject};
use x509_parser::{extensions::ParsedExtension, parse_x509_certificate};

use super::{directory::Ca, failure::of_library, source::Acme};
use crate::{error::Result, order::renewal::Window};

/// How a CA calls one of its certificates (RFC 9773 section 4.1); `None` for one that has no authority key identifier, or is no certificate.
pub fn certificate_identifier(pem: &str) -> Option<CertificateIdentifier<'static>> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = parse_x509_certificate(&der).ok()?;
    let key = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    })?;
    Some(CertificateIdentifier::new(Der::from_slice(key), Der::from_slice(certificate.raw_serial())))
}

impl Acme {
    /// The time in which the CA wants this certificate to be renewed; `None` where it does not say.
    ///
    /// # Errors
    /// The CA cannot be reached, or answers what cannot be understood.
    pub async fn renewal_window(&self, ca: &Ca, certificate: &CertificateIdentifier<'_>) -> Result<Option<Window>> {
        let at = self.at_ca(ca);
        match self.opened(&at).await?.account.renewal_info(certificate).await {
            Ok((information, _)) => {
                let moment = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
                let window = &information.suggested_window;
                Ok(Some(Window {
                    start: moment(window.start.unix_timestamp()),
                    end: moment(window.end.unix_timestamp()),
                    explanation: information.explanation_url,
                }))
            }
            Err(instant_acme::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(of_library(&ca.label, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9773 appendix A.
    #[test]
    fn a_certificate_is_called_as_the_standard_says() {
        let pem = include_str!("../../../tests/data/rfc9773.pem");
        let id = certificate_identifier(pem).unwrap();
        assert_eq!(id.to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
        assert!(certificate_identifier("no certificate").is_none());
    }
}
