//! Verification of a pair before it touches the disk.

use rustls::crypto::ring;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

use super::pem::{self, Block};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    order::Bundle,
    secret::Secret,
};

/// A pair that fits: key, leaf, names and chain.
pub(super) struct Pair {
    /// The leaf, PEM.
    pub(super) certificate: String,
    /// The rest of the chain, issuer by issuer, PEM; empty where the CA sent none.
    pub(super) chain: String,
    /// Leaf and chain, DER.
    pub(super) certificates: Vec<Vec<u8>>,
    /// The private key as it came (PKCS#8, PKCS#1 or SEC1), where there is one.
    pub(super) key: Option<Block>,
    /// The leaf's SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), DER.
    pub(super) public_key: Vec<u8>,
    /// The names of the leaf, in its order.
    pub(super) names: Vec<Name>,
    /// The serial number, lower-case hex, without leading zero bytes.
    pub(super) serial: String,
    /// The first second of the validity.
    pub(super) not_before: jiff::Timestamp,
    /// The last second of the validity.
    pub(super) not_after: jiff::Timestamp,
}

impl Pair {
    /// The private key, PEM.
    pub(super) fn private_key(&self) -> Option<Secret> {
        self.key.as_ref().map(|key| pem::write(&key.label, &key.der))
    }
}

fn unfit(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Delivery, why).with_hint(t!(
        "nothing was written, the certificate that was there stays; fetch the certificate from the console and compare"
    ))
}

/// Verifies that the key belongs to the leaf, that the leaf names every one of `domains` and has not expired at `now`, and brings the
/// chain in order. A certificate that is not valid yet passes with a warning: more often than not this machine's clock is slow.
pub(super) fn verify(bundle: &Bundle, domains: &[Name], now: jiff::Timestamp) -> Result<Pair> {
    let mut certificates = pem::blocks(&bundle.certificate).map_err(|why| unfit(t!("the certificate is no PEM: %{why}", why)))?;
    certificates.retain(|block| matches!(block.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE"));
    if certificates.is_empty() {
        return Err(unfit(t!("the order is issued, but its certificate has no PEM block")));
    }
    let key = bundle.private_key.as_ref().map(read_key).transpose()?;
    let parsed = certificates.iter().map(|block| parse(&block.der)).collect::<Result<Vec<_>>>()?;
    let ordered = in_order(parsed, key.as_ref())?;
    let leaf = &ordered[0];
    let names = names(leaf)?;
    if let Some(missing) = domains.iter().find(|domain| !covers(&names, domain)) {
        let all = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(unfit(t!("the certificate does not name `%{missing}`; it names %{all}", missing, all)));
    }
    let moment = |time: x509_parser::time::ASN1Time| {
        jiff::Timestamp::from_second(time.timestamp())
            .map_err(|error| unfit(t!("the certificate's validity cannot be read: %{error}", error)))
    };
    let (not_before, not_after) = (moment(leaf.validity().not_before)?, moment(leaf.validity().not_after)?);
    if not_after < now {
        return Err(unfit(t!("the certificate expired on %{not_after}; this machine's clock says %{now}", not_after, now)));
    }
    if not_before > now {
        tracing::warn!(
            "the certificate is valid from {not_before} on, and this machine's clock says {now}: one of the two is wrong"
        );
    }
    let text = |certificate: &X509Certificate<'_>| pem::write("CERTIFICATE", certificate.as_raw()).expose().to_owned();
    Ok(Pair {
        certificate: text(leaf),
        chain: ordered[1..].iter().map(text).collect(),
        certificates: ordered.iter().map(|certificate| certificate.as_raw().to_vec()).collect(),
        public_key: leaf.public_key().raw.to_vec(),
        key,
        names,
        serial: serial(leaf),
        not_before,
        not_after,
    })
}

/// The names and the validity of a certificate that was delivered earlier, as far as they are needed to compare; `None` where it cannot
/// be read.
pub(super) fn look_at(certificate: &str) -> Option<(Vec<Name>, jiff::Timestamp, jiff::Timestamp)> {
    let blocks = pem::blocks(certificate).ok()?;
    let leaf = parse(&blocks.first()?.der).ok()?;
    let moment = |time: x509_parser::time::ASN1Time| jiff::Timestamp::from_second(time.timestamp()).ok();
    Some((names(&leaf).ok()?, moment(leaf.validity().not_before)?, moment(leaf.validity().not_after)?))
}

fn read_key(text: &Secret) -> Result<Block> {
    let refuse = |why: &str| unfit(t!("the private key cannot be used: %{why}", why));
    let mut blocks = pem::blocks(text.expose()).map_err(|why| refuse(&why))?;
    blocks.retain(|block| matches!(block.label.as_str(), "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY"));
    let key = blocks.pop().ok_or_else(|| refuse(t!("it is no PEM key in PKCS#8, PKCS#1 or SEC1 form")))?;
    if blocks.is_empty() { Ok(key) } else { Err(refuse(t!("there are several"))) }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>> {
    parse_x509_certificate(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| unfit(t!("a certificate of the chain cannot be read: %{error}", error)))
}

/// The leaf first, then each issuer. Doubles, and other certificates of an issuer that is in the chain already (cross-signed ones), are left
/// out; anything else that does not belong is an error, since then something is missing in between.
fn in_order<'a>(mut rest: Vec<X509Certificate<'a>>, key: Option<&Block>) -> Result<Vec<X509Certificate<'a>>> {
    let leaf = match key {
        Some(key) => leaf_of(&rest, key)?,
        None => leaf_among(&rest),
    };
    let mut ordered = vec![rest.remove(leaf)];
    while let Some(last) = ordered.last() {
        let issuer = last.issuer().as_raw();
        let is_new = |candidate: &X509Certificate<'_>| {
            candidate.subject().as_raw() == issuer && ordered.iter().all(|known| known.subject().as_raw() != issuer)
        };
        let Some(next) = rest.iter().position(is_new) else { break };
        ordered.push(rest.remove(next));
    }
    let stray = rest.iter().find(|left| ordered.iter().all(|known| known.subject().as_raw() != left.subject().as_raw()));
    match (stray, ordered.last()) {
        (Some(stray), Some(last)) => Err(unfit(t!(
            "the chain has a gap: the certificate of `%{subject}` was issued by `%{issuer}`, whose certificate is not there, but that of `%{stray}` is",
            subject = last.subject(),
            issuer = last.issuer(),
            stray = stray.subject()
        ))),
        _ => Ok(ordered),
    }
}

/// The certificate that the key belongs to.
fn leaf_of(certificates: &[X509Certificate<'_>], key: &Block) -> Result<usize> {
    let der = match key.label.as_str() {
        "RSA PRIVATE KEY" => PrivateKeyDer::from(PrivatePkcs1KeyDer::from(key.der.to_vec())),
        "EC PRIVATE KEY" => PrivateKeyDer::from(PrivateSec1KeyDer::from(key.der.to_vec())),
        _ => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.der.to_vec())),
    };
    match ring::default_provider().key_provider.load_private_key(der) {
        Ok(loaded) => {
            let public = loaded.public_key().ok_or_else(|| unfit(t!("the private key does not tell its public key")))?;
            certificates
                .iter()
                .position(|certificate| certificate.public_key().raw == public.as_ref())
                .ok_or_else(|| unfit(t!("the private key does not belong to the certificate")))
        }
        // A kind that the TLS library does not load (SM2, P-521). Such a key carries its public point (RFC 5915 section 3).
        Err(error) => certificates
            .iter()
            .position(|certificate| {
                is_elliptic(certificate) && contains(&key.der, &certificate.public_key().subject_public_key.data)
            })
            .ok_or_else(|| unfit(t!("the private key cannot be used, or does not belong to the certificate: %{error}", error))),
    }
}

/// Whether the public key is one of RFC 5480 section 2.1.1 (id-ecPublicKey), or SM2 under its own number (GB/T 33560).
fn is_elliptic(certificate: &X509Certificate<'_>) -> bool {
    let algorithm = certificate.public_key().algorithm.algorithm.to_id_string();
    matches!(algorithm.as_str(), "1.2.840.10045.2.1" | "1.2.156.10197.1.301")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.len() >= 33 && haystack.windows(needle.len()).any(|window| window == needle)
}

/// The leaf where there is no key to tell: the first that is no CA, else the first that issued none of the others.
fn leaf_among(certificates: &[X509Certificate<'_>]) -> usize {
    let issued_none = |candidate: &X509Certificate<'_>| {
        let subject = candidate.subject().as_raw();
        certificates.iter().all(|other| other.issuer().as_raw() != subject || other.subject().as_raw() == subject)
    };
    let no_authority = certificates.iter().position(|certificate| !certificate.is_ca());
    no_authority.or_else(|| certificates.iter().position(issued_none)).unwrap_or_default()
}

fn serial(certificate: &X509Certificate<'_>) -> String {
    let bytes = certificate.raw_serial();
    // DER puts a zero byte in front of a number whose first bit is set.
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    data_encoding::HEXLOWER.encode(&bytes[first..])
}

/// The DNS names of the certificate: its subject alternative names, else its common name.
fn names(certificate: &X509Certificate<'_>) -> Result<Vec<Name>> {
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|error| unfit(t!("the certificate's names cannot be read: %{error}", error)))?;
    let mut texts: Vec<&str> =
        alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(dns_name).collect();
    if texts.is_empty() {
        texts.extend(certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()));
    }
    let names: Vec<Name> = texts.into_iter().filter_map(|text| Name::parse(text).ok()).collect();
    if names.is_empty() { Err(unfit(t!("the certificate names no domain"))) } else { Ok(names) }
}

fn dns_name<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

/// Whether `domain` is named, or matched by a wildcard of its parent (RFC 6125 section 6.4.3).
pub(super) fn covers(names: &[Name], domain: &Name) -> bool {
    names.iter().any(|name| {
        name == domain || !domain.is_wildcard() && name.is_wildcard() && domain.parent().as_ref() == Some(&name.base())
    })
}
