//! Huawei Cloud's SDK-HMAC-SHA256.
//!
//! Source: <https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html>

use data_encoding::HEXLOWER;

use super::{Keys, Moment, Outgoing, canonical_headers, hmac_sha256, sha256_hex, sorted_query};

/// Adds `X-Sdk-Date`, `X-Security-Token` and `Authorization`.
pub(super) fn sign(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    let time = moment.time.strftime("%Y%m%dT%H%M%SZ").to_string();
    request.set_header("X-Sdk-Date", time.as_str());
    if let Some(token) = &keys.token {
        request.set_header("X-Security-Token", token.as_str());
    }
    let (headers, signed) = canonical_headers(request, |name| !name.contains('_'));
    let canonical = format!(
        "{}\n{}/\n{}\n{headers}\n{signed}\n{}",
        request.method,
        request.url.path().trim_end_matches('/'),
        sorted_query(request),
        sha256_hex(&request.body)
    );
    let to_sign = format!("SDK-HMAC-SHA256\n{time}\n{}", sha256_hex(canonical.as_bytes()));
    let signature = HEXLOWER.encode(&hmac_sha256(keys.secret_key.as_bytes(), &to_sign));
    let access = &keys.access_key;
    request
        .set_header("Authorization", format!("SDK-HMAC-SHA256 Access={access}, SignedHeaders={signed}, Signature={signature}"));
}
