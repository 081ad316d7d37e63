//! Verification of a pair before it touches the disk.

use rustls::{crypto::ring, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
    order::Bundle,
    secret::Secret,
};

/// A pair that fits: key, leaf, names and chain.
#[derive(Debug)]
pub(super) struct Pair {
    /// The leaf, PEM.
    pub(super) certificate: String,
    /// The rest of the chain, issuer by issuer, PEM; empty where the CA sent none.
    pub(super) chain: String,
    /// The private key, PEM, where the CA made it.
    pub(super) private_key: Option<Secret>,
    /// The names of the leaf, in its order.
    pub(super) names: Vec<Name>,
    /// The serial number, lower-case hex.
    pub(super) serial: String,
    /// The last second of the validity.
    pub(super) not_after: jiff::Timestamp,
}

fn unfit(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Delivery, why).with_hint(
        "nothing was written, the certificate that was there stays; fetch the certificate from the console and compare",
    )
}

/// Verifies that the key belongs to the leaf, that the leaf names every one of `domains` and has not expired at `now`, and brings the
/// chain in order.
pub(super) fn verify(bundle: &Bundle, domains: &[Name], now: jiff::Timestamp) -> Result<Pair> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(bundle.certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unfit(format!("the certificate is no PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(unfit("the order is issued, but its certificate has no PEM block"));
    }
    let key = match &bundle.private_key {
        Some(secret) => Some(
            PrivateKeyDer::from_pem_slice(secret.expose().as_bytes())
                .map_err(|error| unfit(format!("the private key is no PEM key of a known kind: {error}")))?,
        ),
        None => None,
    };
    let ordered = in_order(certificates, key.as_ref())?;
    let leaf = parse(&ordered[0])?;
    let names = names(&leaf)?;
    if let Some(missing) = domains.iter().find(|domain| !covers(&names, domain)) {
        let all = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(unfit(format!("the certificate does not name `{missing}`; it names {all}")));
    }
    let not_after = jiff::Timestamp::from_second(leaf.validity().not_after.timestamp())
        .map_err(|error| unfit(format!("the certificate's last day cannot be read: {error}")))?;
    if not_after < now {
        return Err(unfit(format!("the certificate expired on {not_after}")));
    }
    Ok(Pair {
        certificate: pem("CERTIFICATE", &ordered[0]),
        chain: ordered[1..].iter().map(|der| pem("CERTIFICATE", der)).collect(),
        private_key: key.map(|key| Secret::new(pem(key_label(&key), key.secret_der()))),
        names,
        serial: data_encoding::HEXLOWER.encode(leaf.raw_serial()),
        not_after,
    })
}

/// The leaf first, then each issuer. Where that cannot be told, as received.
fn in_order(
    mut rest: Vec<CertificateDer<'static>>,
    key: Option<&PrivateKeyDer<'static>>,
) -> Result<Vec<CertificateDer<'static>>> {
    let mut seen = Vec::new();
    rest.retain(|der| {
        let fresh = !seen.contains(der);
        seen.push(der.clone());
        fresh
    });
    let leaf = match key {
        Some(key) => leaf_of(&rest, key)?,
        None => 0,
    };
    let mut ordered = vec![rest.remove(leaf)];
    let received = rest.clone();
    while let Some(last) = ordered.last() {
        let issuer = parse(last)?.issuer().as_raw().to_vec();
        let subjects = rest.iter().map(|der| parse(der).map(|certificate| certificate.subject().as_raw().to_vec()));
        let Some(next) = subjects.collect::<Result<Vec<_>>>()?.iter().position(|subject| *subject == issuer) else { break };
        ordered.push(rest.remove(next));
    }
    if !rest.is_empty() {
        ordered.truncate(1);
        ordered.extend(received);
    }
    Ok(ordered)
}

/// The certificate that the key belongs to.
fn leaf_of(certificates: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<usize> {
    let provider = ring::default_provider();
    let mut reason = String::new();
    for (index, der) in certificates.iter().enumerate() {
        match CertifiedKey::from_der(vec![der.clone()], key.clone_key(), &provider) {
            Ok(_) => return Ok(index),
            Err(error) if index == 0 => reason = error.to_string(),
            Err(_) => {}
        }
    }
    Err(unfit(format!("the private key does not belong to the certificate: {reason}")))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>> {
    parse_x509_certificate(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| unfit(format!("the certificate cannot be read: {error}")))
}

/// The DNS names of the certificate: its subject alternative names, else its common name.
fn names(certificate: &X509Certificate<'_>) -> Result<Vec<Name>> {
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|error| unfit(format!("the certificate's names cannot be read: {error}")))?;
    let mut texts: Vec<&str> =
        alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(dns_name).collect();
    if texts.is_empty() {
        texts.extend(certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()));
    }
    let names: Vec<Name> = texts.into_iter().filter_map(|text| Name::parse(text).ok()).collect();
    if names.is_empty() { Err(unfit("the certificate names no domain")) } else { Ok(names) }
}

fn dns_name<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

/// Whether `domain` is named, or matched by a wildcard of its parent (RFC 6125 section 6.4.3).
fn covers(names: &[Name], domain: &Name) -> bool {
    names.iter().any(|name| {
        name == domain || !domain.is_wildcard() && name.is_wildcard() && domain.parent().as_ref() == Some(&name.base())
    })
}

fn key_label(key: &PrivateKeyDer<'_>) -> &'static str {
    match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    }
}

/// PEM with lines of 64 characters (RFC 7468 section 2).
fn pem(label: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
