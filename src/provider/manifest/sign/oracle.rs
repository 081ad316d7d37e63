//! Oracle Cloud's HTTP signatures with RSA-SHA256. `access_key` is `<tenancy>/<user>/<fingerprint>`, `secret_key` the key in PEM.
//!
//! Source: <https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm>

use data_encoding::BASE64;
use reqwest::Method;
use sha2::{Digest, Sha256};

use super::{
    Keys, Moment, Outgoing,
    rsa::{self, Scheme},
};

/// Adds `Date`, for bodies `X-Content-Sha256` and `Content-Length`, and `Authorization`.
///
/// # Errors
/// Where the key is none.
pub(super) fn sign(request: &mut Outgoing, keys: &Keys, moment: &Moment) -> Result<(), String> {
    let date = moment.time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{} {}{query}", request.method.as_str().to_ascii_lowercase(), request.url.path());
    let mut signed = vec![("date", date.clone()), ("(request-target)", target), ("host", request.host())];
    request.set_header("Date", date);
    if [Method::POST, Method::PUT, Method::PATCH].contains(&request.method) {
        if request.header("content-type").is_none() {
            request.set_header("Content-Type", "application/json");
        }
        let length = request.body.len().to_string();
        let content = BASE64.encode(&Sha256::digest(&request.body));
        request.set_header("Content-Length", length.as_str());
        request.set_header("X-Content-Sha256", content.as_str());
        signed.push(("content-length", length));
        signed.push(("content-type", request.header("content-type").unwrap_or_default().to_owned()));
        signed.push(("x-content-sha256", content));
    }
    let text = signed.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n");
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let signature = BASE64.encode(&rsa::sign(&keys.secret_key, Scheme::Pkcs1Sha256, text.as_bytes())?);
    let key = &keys.access_key;
    request.set_header(
        "Authorization",
        format!(r#"Signature algorithm="rsa-sha256",headers="{names}",keyId="{key}",signature="{signature}",version="1""#),
    );
    Ok(())
}
