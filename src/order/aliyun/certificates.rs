//! Certificates in the account's store, whatever made them: which one it is, and putting in one from elsewhere. Nothing here reads a private key.

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::{Cas, call::Call, failure, order_2020, reply::Fields, signing::percent_encode, words};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    order::{OrderId, OrderState},
    secret::Secret,
};

const READ: &str = super::instance::CERTIFICATE;
const LIST: &str = "ListUserCertificateOrder";
const UPLOAD: &str = "UploadUserCertificate";

/// The documented default; no maximum is documented.
const PAGE_SIZE: u64 = 50;

/// The longest name that a certificate may have in the account, in characters.
const LONGEST_NAME: usize = 63;

/// A certificate of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its id (`CertId`).
    pub id: u64,
    /// Its names, as far as they can be read.
    pub names: Vec<Name>,
    /// Whether the service says that it is over.
    pub is_expired: bool,
}

impl Cas {
    /// A certificate by its id, without its text and its key.
    ///
    /// # Errors
    /// `ErrorKind::UnknownOrder` where the account has none of this id; else of the service.
    pub async fn stored(&self, id: u64) -> Result<Stored> {
        let call = Call::new(READ, order_2020::VERSION).with("CertId", id).with("CertFilter", true);
        let reply = self.client.call(&call).await.map_err(|error| match error.code() {
            Some(code) if code.to_ascii_lowercase().contains("notfound") || code.contains("NotExist") => Error::new(
                ErrorKind::UnknownOrder,
                t!("the account has no certificate %{id} at %{site}", id, site = self.client.site),
            )
            .with_source(error)
            .with_hint(t!(
                "the id is the CertId of the certificate console, not that of an order; `--region` chooses the other site"
            )),
            _ => error,
        })?;
        let names = words::domains(reply.text("Sans").or_else(|| reply.text("Common")).as_deref());
        let is_expired = reply.text("Expired").is_some_and(|word| word.eq_ignore_ascii_case("true"));
        Ok(Stored { id, names, is_expired })
    }

    /// The id that a certificate (PEM, leaf first) has in the account; `None` where it is not there. `name` is one of its names, which the account is
    /// searched for.
    ///
    /// # Errors
    /// Of the service.
    pub async fn stored_as(&self, certificate: &str, name: &Name) -> Result<Option<u64>> {
        let Some(fingerprints) = fingerprints(certificate) else { return Ok(None) };
        for kind in ["CERT", "UPLOAD"] {
            let mut received = 0;
            for number in 1.. {
                let call = Call::new(LIST, order_2020::VERSION)
                    .with("OrderType", kind)
                    .with("Keyword", name.base())
                    .with("CurrentPage", number)
                    .with("ShowSize", PAGE_SIZE);
                let page = self.client.call(&call).await?;
                let rows = page.rows("CertificateOrderList");
                if let Some(row) = rows.iter().find(|row| is_of(row, &fingerprints)) {
                    return row.number("CertificateId").map(Some).ok_or_else(|| row.lacks(LIST, "CertificateId"));
                }
                received += rows.len() as u64;
                if rows.is_empty() || page.number("TotalCount").is_some_and(|total| received >= total) {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// The id of the certificate that an order has.
    ///
    /// # Errors
    /// `ErrorKind::Usage` where it has none yet; else as [`OrderSource::read`](crate::order::OrderSource::read).
    pub async fn certificate_of(&self, id: &OrderId) -> Result<u64> {
        let order = self.read_state(id).await?;
        if let Some(number) = order.certificate_id.as_deref().and_then(|number| number.parse().ok()) {
            return Ok(number);
        }
        // An order of 2018 shows its certificate, and not the id of it.
        if let OrderState::Issued(bundle) = &order.state {
            let names = crate::delivery::names_in(&bundle.certificate).unwrap_or_default();
            if let Some(name) = names.first()
                && let Some(number) = self.stored_as(&bundle.certificate, name).await?
            {
                return Ok(number);
            }
        }
        Err(Error::usage(t!("order `%{id}` has no certificate yet", id))
            .with_hint(t!("`dv-verify --order %{id}` carries it through", id)))
    }

    /// Puts a certificate with its key into the account, once: what is there already is found. The key goes to the service and nowhere else. Returns
    /// its id, and whether it is new there.
    ///
    /// `called` is its name in the account; `chain` is the certificate with those above it, PEM.
    ///
    /// # Errors
    /// `ErrorKind::Usage` for a name that is too long, or that another certificate has; else of the service.
    pub async fn upload(&self, called: &str, name: &Name, chain: &str, key: &Secret) -> Result<(u64, bool)> {
        if called.is_empty() || called.chars().count() > LONGEST_NAME {
            return Err(Error::usage(t!("`%{called}` cannot be the name of a certificate in the account", called))
                .with_hint(t!("a name has 1 to %{LONGEST_NAME} characters", LONGEST_NAME)));
        }
        if let Some(id) = self.stored_as(chain, name).await? {
            return Ok((id, false));
        }
        self.learn_spellings(key);
        let token = fingerprints(chain).map(|[_, sha256]| sha256).unwrap_or_default();
        let call = Call::new(UPLOAD, order_2020::VERSION)
            .with("Name", called)
            .with("Cert", chain)
            .with("Key", key.expose())
            .with("ClientToken", &token);
        // May be sent again: the token tells the service that it is the same certificate.
        let error = match self.client.call(&call).await {
            Ok(reply) => return reply.number("CertId").map(|id| (id, true)).ok_or_else(|| reply.lacks(UPLOAD, "CertId")),
            Err(error) => error,
        };
        let is_named = error.code().is_some_and(|code| code.starts_with("NameAlreadyExist") || code.starts_with("NameRepeat"));
        if (is_named || failure::is_outcome_unknown(&error))
            && let Some(id) = self.stored_as(chain, name).await?
        {
            return Ok((id, true));
        }
        if is_named {
            return Err(Error::usage(t!("another certificate of the account is called `%{called}`", called))
                .with_source(error)
                .with_hint(t!("choose another name with `--as NAME`")));
        }
        Err(error)
    }

    /// A service repeats what was signed where it refuses a signature, in spellings of its own.
    fn learn_spellings(&self, key: &Secret) {
        let lines = key.expose().lines().filter(|line| !line.starts_with("-----"));
        for text in std::iter::once(key.expose()).chain(lines) {
            let once = percent_encode(text);
            self.client.redactor.learn(&Secret::new(percent_encode(&once)));
            self.client.redactor.learn(&Secret::new(once));
            self.client.redactor.learn(&Secret::new(text));
        }
    }
}

/// SHA-1 and SHA-256 of the leaf, lower-case hex.
fn fingerprints(certificate: &str) -> Option<[String; 2]> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    Some([data_encoding::HEXLOWER.encode(&Sha1::digest(&der)), data_encoding::HEXLOWER.encode(&Sha256::digest(&der))])
}

/// Whether a row of the list is about the certificate with these fingerprints.
fn is_of(row: &Fields, fingerprints: &[String; 2]) -> bool {
    let told = ["Fingerprint", "Sha2"].into_iter().filter_map(|field| row.text(field));
    told.map(|text| text.replace([':', ' '], "").to_ascii_lowercase()).any(|text| fingerprints.contains(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_known_in_any_dress() {
        let fingerprints = ["ab12".to_owned(), "cd34".to_owned()];
        assert!(is_of(&Fields::of_json(r#"{"Fingerprint":"AB:12"}"#), &fingerprints));
        assert!(is_of(&Fields::of_json(r#"{"Fingerprint":"x","Sha2":"cd34"}"#), &fingerprints));
        assert!(!is_of(&Fields::of_json(r#"{"Fingerprint":"ab","SerialNo":"cd34"}"#), &fingerprints));
    }
}
