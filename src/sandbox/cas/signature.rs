//! RPC signatures V1 (HMAC-SHA1) and V3 (ACS3-HMAC-SHA256), as a server checks them.
//!
//! Written apart from the client's signatures on purpose, with other crates and from the vendor's description, so that a mistake in
//! one does not hide in the other.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, hmac};

/// Percent-encoding of both signatures: everything but letters, digits and `-_.~`, upper-case hexadecimal.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Names and values in the order of the names' bytes, encoded and joined.
pub(super) fn canonical_query<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let sorted: BTreeMap<&str, &str> = parameters.collect();
    sorted.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}

/// What V1 signs: method and all parameters but the signature.
pub(super) fn v1_string_to_sign(method: &str, parameters: &BTreeMap<String, String>) -> String {
    let signed = parameters.iter().filter(|(name, _)| *name != "Signature").map(|(name, value)| (name.as_str(), value.as_str()));
    format!("{method}&%2F&{}", escape(&canonical_query(signed)))
}

/// The V1 signature of a string.
pub(super) fn v1_signature(secret: &str, string_to_sign: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{secret}&").as_bytes());
    STANDARD.encode(hmac::sign(&key, string_to_sign.as_bytes()))
}

/// SHA-256 in small hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// What V3 signs, before it is hashed. `headers` are those that the client says it signed, in its order.
pub(super) fn v3_canonical_request(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
    payload_hash: &str,
) -> String {
    let lines =
        headers.iter().fold(String::new(), |lines, (name, value)| lines + &name.to_ascii_lowercase() + ":" + value.trim() + "\n");
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload_hash}")
}

/// The string to sign of a V3 request.
pub(super) fn v3_string_to_sign(canonical_request: &str) -> String {
    format!("ACS3-HMAC-SHA256\n{}", sha256(canonical_request.as_bytes()))
}

/// The V3 signature of a string.
pub(super) fn v3_signature(secret: &str, string_to_sign: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    data_encoding::HEXLOWER.encode(hmac::sign(&key, string_to_sign.as_bytes()).as_ref())
}

/// The parts of a V3 `Authorization` header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    /// The AccessKeyId.
    pub(super) access_key_id: &'a str,
    /// The signed headers, in their order.
    pub(super) signed_headers: Vec<&'a str>,
    /// The signature.
    pub(super) signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads the header; `None` where it is not V3's.
    pub(super) fn parse(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix("ACS3-HMAC-SHA256")?.trim_start();
        let field = |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            access_key_id: field("Credential")?,
            signed_headers: field("SignedHeaders")?.split(';').collect(),
            signature: field("Signature")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors(kind: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../../../tests/data/vectors.json")).unwrap();
        all[kind].as_array().unwrap().clone()
    }

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap()
    }

    #[test]
    fn v1_agrees_with_all_vectors() {
        let vectors = vectors("v1_hmac_sha1");
        assert_eq!(vectors.len(), 20);
        for vector in &vectors {
            let mut parameters: BTreeMap<String, String> = serde_json::from_value(vector["params"].clone()).unwrap();
            parameters.insert("Signature".to_owned(), "not signed".to_owned());
            let string_to_sign = v1_string_to_sign(text(vector, "method"), &parameters);
            assert_eq!(string_to_sign, text(vector, "string_to_sign"), "{}", vector["name"]);
            let signature = v1_signature(text(vector, "access_key_secret"), &string_to_sign);
            assert_eq!(signature, text(vector, "signature"), "{}", vector["name"]);
        }
    }

    #[test]
    fn v3_agrees_with_all_vectors() {
        let vectors = vectors("v3_acs3_hmac_sha256");
        assert_eq!(vectors.len(), 11);
        for vector in &vectors {
            let query: BTreeMap<String, String> = serde_json::from_value(vector["query"].clone()).unwrap();
            let headers: BTreeMap<String, String> = serde_json::from_value(vector["headers"].clone()).unwrap();
            let authorization = Authorization::parse(text(vector, "authorization")).unwrap();
            let lower: BTreeMap<String, &str> =
                headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
            let signed: Vec<(&str, &str)> = authorization.signed_headers.iter().map(|name| (*name, lower[*name])).collect();
            let canonical = v3_canonical_request(
                text(vector, "method"),
                "/",
                &canonical_query(query.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
                &signed,
                &sha256(vector["body"].as_str().unwrap_or_default().as_bytes()),
            );
            assert_eq!(canonical, text(vector, "canonical_request"), "{}", vector["name"]);
            let signature = v3_signature(text(vector, "access_key_secret"), &v3_string_to_sign(&canonical));
            assert_eq!(signature, text(vector, "signature"), "{}", vector["name"]);
            assert_eq!(signature, authorization.signature);
            assert_eq!(authorization.access_key_id, text(vector, "access_key_id"));
        }
    }

    #[test]
    fn what_is_no_v3_header_is_not_read() {
        assert_eq!(Authorization::parse("Bearer x"), None);
        assert_eq!(Authorization::parse("ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host"), None);
    }
}
