//! Tencent Cloud's TC3-HMAC-SHA256.
//!
//! Source: <https://cloud.tencent.com/document/api/1427/56189>

use data_encoding::HEXLOWER;

use super::{Keys, Moment, Outgoing, canonical_headers, hmac_sha256, sha256_hex};

/// Adds `X-TC-Timestamp`, `X-TC-Token`, `X-TC-Region` and `Authorization`.
pub(super) fn sign(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    let timestamp = moment.time.as_second().to_string();
    let date = moment.time.strftime("%Y-%m-%d").to_string();
    request.set_header("X-TC-Timestamp", timestamp.as_str());
    if let Some(token) = &keys.token {
        request.set_header("X-TC-Token", token.as_str());
    }
    if !keys.region.is_empty() {
        request.set_header("X-TC-Region", keys.region.as_str());
    }
    // Only these two are required, and they are what Tencent's own clients sign; values are lower-case in the signed text.
    let (headers, signed) = canonical_headers(request, |name| name == "host" || name == "content-type");
    let canonical = format!(
        "{}\n{}\n{}\n{}\n{signed}\n{}",
        request.method,
        request.url.path(),
        request.url.query().unwrap_or_default(),
        headers.to_lowercase(),
        sha256_hex(&request.body)
    );
    let scope = format!("{date}/{}/tc3_request", keys.service);
    let to_sign = format!("TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let first = hmac_sha256(format!("TC3{}", keys.secret_key).as_bytes(), &date);
    let key = [keys.service.as_str(), "tc3_request"].iter().fold(first, |key, part| hmac_sha256(&key, part));
    let signature = HEXLOWER.encode(&hmac_sha256(&key, &to_sign));
    let credential = &keys.access_key;
    request.set_header(
        "Authorization",
        format!("TC3-HMAC-SHA256 Credential={credential}/{scope}, SignedHeaders={signed}, Signature={signature}"),
    );
}
