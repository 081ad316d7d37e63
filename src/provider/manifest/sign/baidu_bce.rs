//! Baidu Cloud's bce-auth-v1.
//!
//! Source: <https://cloud.baidu.com/doc/Reference/s/njwvz1yfu>

use data_encoding::HEXLOWER;
use percent_encoding::utf8_percent_encode;

use super::{Keys, Moment, Outgoing, RESERVED, hmac_sha256, sorted_query};

/// How long a signature is valid, in seconds: the SDK's own choice.
const VALID: u32 = 1800;

/// Adds `x-bce-date`, `x-bce-security-token` and `Authorization`. Signed are the host and the `x-bce-…` headers, which are named.
pub(super) fn sign(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    let time = moment.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    request.set_header("x-bce-date", time.as_str());
    if let Some(token) = &keys.token {
        request.set_header("x-bce-security-token", token.as_str());
    }
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, value)| name.starts_with("x-bce-") && !value.is_empty())
        .chain([("host".to_owned(), request.host())])
        .collect();
    headers.sort();
    let lines = headers.iter().map(|(name, value)| format!("{}:{}", encode(name), encode(value))).collect::<Vec<_>>().join("\n");
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let to_sign = format!("{}\n{}\n{}\n{lines}", request.method, request.url.path(), sorted_query(request));
    let head = format!("bce-auth-v1/{}/{time}/{VALID}", keys.access_key);
    let key = HEXLOWER.encode(&hmac_sha256(keys.secret_key.as_bytes(), &head));
    let signature = HEXLOWER.encode(&hmac_sha256(key.as_bytes(), &to_sign));
    request.set_header("Authorization", format!("{head}/{names}/{signature}"));
}
