//! Named signers: what a template cannot say.

mod aliyun_acs3;
mod baidu_bce;
mod edgegrid;
mod huawei;
mod oracle;
pub(super) mod rsa;
mod sigv4;
mod tencent_tc3;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use minijinja::Value as Jinja;
use percent_encoding::utf8_percent_encode;
use reqwest::Method;
use sha2::{Digest, Sha256};
use url::Url;

pub(in crate::provider) use self::rsa::jwt;
use super::{call::Outgoing, clock::Moment, filters::RESERVED, model::SignKind, plan, template::Template};

/// The keys and names that a signature is made with.
struct Keys {
    access_key: String,
    secret_key: String,
    /// The token of temporary credentials.
    token: Option<String>,
    service: String,
    region: String,
}

/// Signs a request: adds the headers that the scheme wants.
///
/// # Errors
/// Where a key has no value.
pub(super) fn apply(plan: &plan::Sign, context: &Jinja, request: &mut Outgoing, moment: &Moment) -> Result<(), String> {
    let optional = |template: Option<&Template>| template.map_or(Ok(None), |template| template.text(context));
    let keys = Keys {
        access_key: optional(plan.access_key.as_ref())?.unwrap_or_default(),
        secret_key: optional(plan.secret_key.as_ref())?.unwrap_or_default(),
        token: optional(plan.token.as_ref())?,
        service: optional(plan.service.as_ref())?.unwrap_or_default(),
        region: optional(plan.region.as_ref())?.unwrap_or_default(),
    };
    match plan.kind {
        SignKind::AwsSigv4 => sigv4::aws(request, &keys, moment),
        SignKind::AliyunAcs3 => aliyun_acs3::sign(request, &keys, moment),
        SignKind::TencentTc3 => tencent_tc3::sign(request, &keys, moment),
        SignKind::Volcengine => sigv4::volcengine(request, &keys, moment),
        SignKind::Jdcloud => sigv4::jdcloud(request, &keys, moment),
        SignKind::Huawei => huawei::sign(request, &keys, moment),
        SignKind::BaiduBce => baidu_bce::sign(request, &keys, moment),
        SignKind::Edgegrid => edgegrid::sign(request, &keys, moment),
        SignKind::Oracle => oracle::sign(request, &keys, moment)?,
        // It stands among the parameters already.
        SignKind::Parameter => {}
    }
    Ok(())
}

/// The headers that sign a form for a service of AWS (name and region), for callers without a manifest. `keys`: id and secret.
pub(in crate::provider) fn aws_headers(
    url: &Url,
    form: &str,
    [access_key, secret_key]: [&str; 2],
    token: Option<&str>,
    [service, region]: [&str; 2],
    time: Timestamp,
) -> Vec<(String, String)> {
    let mut request = Outgoing {
        method: Method::POST,
        url: url.clone(),
        headers: vec![("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
        body: form.as_bytes().to_vec(),
        what: String::new(),
    };
    let keys = Keys {
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned(),
        token: token.map(str::to_owned),
        service: service.to_owned(),
        region: region.to_owned(),
    };
    sigv4::aws(&mut request, &keys, &Moment { time, nonce: String::new() });
    request.headers
}

/// SHA-256 in hex.
fn sha256_hex(data: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(data))
}

/// HMAC-SHA256 (RFC 2104).
fn hmac_sha256(key: &[u8], data: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The query's pairs, already percent-encoded, in the order of their bytes; a name without a value gets a `=`.
fn sorted_query(request: &Outgoing) -> String {
    let query = request.url.query().unwrap_or_default();
    let mut pairs: Vec<(&str, &str)> =
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The path with every segment percent-encoded once more.
fn encoded_path(request: &Outgoing) -> String {
    request.url.path().split('/').map(|part| utf8_percent_encode(part, RESERVED).to_string()).collect::<Vec<_>>().join("/")
}

/// The headers that are signed, lower-case and sorted: the lines `name:value` and the list of names.
fn canonical_headers(request: &Outgoing, is_signed: impl Fn(&str) -> bool) -> (String, String) {
    let mut all: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .chain([("host".to_owned(), request.host())])
        .filter(|(name, _)| is_signed(name))
        .collect();
    all.sort();
    let lines = all.iter().flat_map(|(name, value)| [name.as_str(), ":", value.as_str(), "\n"]).collect();
    let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    (lines, names)
}

#[cfg(test)]
mod tests;
