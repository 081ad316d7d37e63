//! Version 2020-04-07, certificates.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::{call::Call, failure::Failure, reply::Fields};
use crate::{
    order::Generation,
    sandbox::{
        ca::{Certificate, ISSUER},
        orders::{Order, OrderBook},
    },
};

/// `GetUserCertificateDetail`: what is in a certificate; with `CertFilter=true` without its text and its key.
pub(super) fn get_user_certificate_detail(orders: &OrderBook, call: &Call) -> Result<Fields, Failure> {
    call.require("CertId")?;
    let id = call.number("CertId")?.unwrap_or_default();
    let (order, certificate) = orders.certificate(id).ok_or_else(|| Failure::not_found("certificate"))?;
    let hidden = call.get("CertFilter").is_some_and(|filter| filter.eq_ignore_ascii_case("true"));
    let today = Timestamp::now().to_zoned_datetime(TimeZone::UTC).date();
    let remaining = certificate.not_after.since(today).map_or(0, |span| span.get_days());
    let (not_before, not_after) =
        (Certificate::milliseconds(certificate.not_before), Certificate::milliseconds(certificate.not_after));
    let mut detail = json!({
        "Id": id,
        "Name": format!("cert-{}", order.number),
        "Common": certificate.common_name(),
        "Sans": sans(certificate),
        "CertIdentifier": format!("{id}-cn-hangzhou"),
        "Issuer": ISSUER,
        "Algorithm": "ECC",
        "SerialNo": certificate.serial,
        "Fingerprint": certificate.sha1,
        "Sha2": certificate.sha256,
        "CertSha2": certificate.sha256,
        "StartDate": certificate.not_before.to_string(),
        "EndDate": certificate.not_after.to_string(),
        "NotBefore": not_before,
        "NotAfter": not_after,
        "Expired": false,
        "BuyInAliyun": true,
        "CertChain": [{
            "CommonName": certificate.common_name(),
            "IssuerCommonName": ISSUER,
            "NotBefore": not_before,
            "NotAfter": not_after,
            "RemainDay": remaining,
        }],
    });
    match order.generation {
        Generation::Order => detail["OrderId"] = json!(order.number),
        _ => detail["InstanceId"] = json!(order.id),
    }
    if !hidden {
        detail["Cert"] = json!(certificate.chain);
        if !order.traits.own_key {
            detail["Key"] = json!(certificate.key);
        }
    }
    Ok(detail.as_object().cloned().unwrap_or_default())
}

/// A row of `ListUserCertificateOrder` with `OrderType=CERT`.
pub(super) fn row(id: u64, order: &Order, certificate: &Certificate) -> Value {
    json!({
        "CertificateId": id,
        "InstanceId": order.id,
        "Name": format!("cert-{}", order.number),
        "CommonName": certificate.common_name(),
        "Sans": sans(certificate),
        "SerialNo": certificate.serial,
        "Sha2": certificate.sha256,
        "Fingerprint": certificate.sha1,
        "Issuer": ISSUER,
        "StartDate": certificate.not_before.to_string(),
        "EndDate": certificate.not_after.to_string(),
        "Expired": false,
        "Upload": false,
    })
}

fn sans(certificate: &Certificate) -> String {
    certificate.domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
