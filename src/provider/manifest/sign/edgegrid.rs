//! Akamai's EG1-HMAC-SHA256. `access_key` is the client token, `secret_key` the client secret, `token` the access token.
//!
//! Source: <https://techdocs.akamai.com/developer/docs/edgegrid>

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::{Keys, Moment, Outgoing, hmac_sha256};

/// How much of a body is signed, in bytes.
const MAX_BODY: usize = 131_072;

/// Adds `Authorization`.
pub(super) fn sign(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    let time = moment.time.strftime("%Y%m%dT%H:%M:%S+0000").to_string();
    let token = keys.token.as_deref().unwrap_or_default();
    let head =
        format!("EG1-HMAC-SHA256 client_token={};access_token={token};timestamp={time};nonce={};", keys.access_key, moment.nonce);
    // Only the body of a POST counts.
    let content = if request.method == reqwest::Method::POST && !request.body.is_empty() {
        BASE64.encode(&Sha256::digest(&request.body[..request.body.len().min(MAX_BODY)]))
    } else {
        String::new()
    };
    let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let to_sign = format!(
        "{}\t{}\t{}\t{}{query}\t\t{content}\t{head}",
        request.method,
        request.url.scheme(),
        request.host(),
        request.url.path()
    );
    let key = BASE64.encode(&hmac_sha256(keys.secret_key.as_bytes(), &time));
    let signature = BASE64.encode(&hmac_sha256(key.as_bytes(), &to_sign));
    request.set_header("Authorization", format!("{head}signature={signature}"));
}
