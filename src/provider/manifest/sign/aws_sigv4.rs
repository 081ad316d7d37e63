//! AWS Signature Version 4.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use data_encoding::HEXLOWER;

use super::{Keys, Moment, Outgoing, canonical_headers, encoded_path, hmac_sha256, sha256_hex, sorted_query};

/// Adds `X-Amz-Date`, `X-Amz-Security-Token` and `Authorization`.
pub(super) fn sign(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    let time = moment.time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = &time[..8];
    request.set_header("X-Amz-Date", time.as_str());
    if let Some(token) = &keys.token {
        request.set_header("X-Amz-Security-Token", token.as_str());
    }
    let (headers, signed) = canonical_headers(request, |_| true);
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{}",
        request.method,
        encoded_path(request),
        sorted_query(request),
        sha256_hex(&request.body)
    );
    let scope = format!("{date}/{}/{}/aws4_request", keys.region, keys.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let first = hmac_sha256(format!("AWS4{}", keys.secret_key).as_bytes(), date);
    let key =
        [keys.region.as_str(), keys.service.as_str(), "aws4_request"].iter().fold(first, |key, part| hmac_sha256(&key, part));
    let signature = HEXLOWER.encode(&hmac_sha256(&key, &to_sign));
    let credential = &keys.access_key;
    request.set_header(
        "Authorization",
        format!("AWS4-HMAC-SHA256 Credential={credential}/{scope}, SignedHeaders={signed}, Signature={signature}"),
    );
}
