//! Alibaba Cloud's signature V3, ACS3-HMAC-SHA256.
//!
//! Source: <https://help.aliyun.com/zh/sdk/product-overview/v3-request-structure-and-signature>

use data_encoding::HEXLOWER;

use super::{Keys, Moment, Outgoing, canonical_headers, hmac_sha256, sha256_hex, sorted_query};

/// Adds the `x-acs-…` headers of every call and `Authorization`.
pub(super) fn sign(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    request.set_header("x-acs-date", moment.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    request.set_header("x-acs-signature-nonce", moment.nonce.as_str());
    request.set_header("x-acs-content-sha256", sha256_hex(&request.body));
    if let Some(token) = &keys.token {
        request.set_header("x-acs-security-token", token.as_str());
    }
    let (headers, signed) =
        canonical_headers(request, |name| name == "host" || name == "content-type" || name.starts_with("x-acs-"));
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{}",
        request.method,
        request.url.path(),
        sorted_query(request),
        sha256_hex(&request.body)
    );
    let to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256_hex(canonical.as_bytes()));
    let signature = HEXLOWER.encode(&hmac_sha256(keys.secret_key.as_bytes(), &to_sign));
    let credential = &keys.access_key;
    request.set_header(
        "Authorization",
        format!("ACS3-HMAC-SHA256 Credential={credential},SignedHeaders={signed},Signature={signature}"),
    );
}
