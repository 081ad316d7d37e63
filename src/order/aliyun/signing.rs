//! The two request signatures of Alibaba Cloud's RPC style, as pure functions.
//!
//! V1 is HMAC-SHA1 over the sorted parameters; V3 (ACS3-HMAC-SHA256) is HMAC-SHA256 over a canonical request. Sources: the vendor's pages
//! "RPC mechanism" and "V3 request body and signature".

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

/// Names and values; a map keeps them in the byte order of the names, which both signatures want.
pub(super) type Parameters = BTreeMap<String, String>;

/// A V1 signature and what it was made from.
pub(super) struct V1 {
    /// The parameters without the signature, as they are sent.
    pub(super) canonical_query: String,
    /// The text that was signed.
    pub(super) string_to_sign: String,
    /// The value of the parameter `Signature`, not yet percent-encoded.
    pub(super) signature: String,
}

/// A V3 signature and what it was made from.
pub(super) struct V3 {
    /// The request in the form that is hashed.
    pub(super) canonical_request: String,
    /// The text that was signed.
    pub(super) string_to_sign: String,
    /// The value of the `Authorization` header.
    pub(super) authorization: String,
}

/// RFC 3986 percent-encoding: only `A–Z a–z 0–9 - _ . ~` stay, hexadecimal digits are upper case.
pub(super) fn percent_encode(text: &str) -> String {
    const ALL_BUT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, ALL_BUT_UNRESERVED).to_string()
}

/// `name=value` pairs, both percent-encoded, sorted by name and joined by `&`.
pub(super) fn canonical_query(parameters: &Parameters) -> String {
    let pairs = parameters.iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The V1 signature of a request with these parameters (all of them but `Signature`), sent with this method.
pub(super) fn v1(method: &str, parameters: &Parameters, secret: &Secret) -> V1 {
    let canonical_query = canonical_query(parameters);
    let string_to_sign = format!("{method}&%2F&{}", percent_encode(&canonical_query));
    let key = Secret::new(format!("{}&", secret.expose()));
    let mut mac = Hmac::<Sha1>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(string_to_sign.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    V1 { canonical_query, string_to_sign, signature }
}

/// The V3 signature of a request to `/`.
///
/// All of `headers` are signed; they need lower-case names and must hold `host` and `x-acs-content-sha256`, the [`content_hash`] of the body.
pub(super) fn v3(method: &str, query: &Parameters, headers: &Parameters, access_key_id: &str, secret: &Secret) -> V3 {
    let mut canonical_headers = String::new();
    for (name, value) in headers {
        // Writing to a String cannot fail.
        let _ = writeln!(canonical_headers, "{name}:{}", value.trim());
    }
    let signed_headers = headers.keys().map(String::as_str).collect::<Vec<_>>().join(";");
    let hashed_payload = headers.get("x-acs-content-sha256").map(String::as_str).unwrap_or_default();
    let query = canonical_query(query);
    let canonical_request = format!("{method}\n/\n{query}\n{canonical_headers}\n{signed_headers}\n{hashed_payload}");
    let string_to_sign = format!("{V3_ALGORITHM}\n{}", content_hash(canonical_request.as_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(string_to_sign.as_bytes());
    let signature = HEXLOWER.encode(&mac.finalize().into_bytes());
    let authorization = format!("{V3_ALGORITHM} Credential={access_key_id},SignedHeaders={signed_headers},Signature={signature}");
    V3 { canonical_request, string_to_sign, authorization }
}

/// The SHA-256 of a body in lower-case hexadecimal, as V3 wants it.
pub(super) fn content_hash(body: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(body))
}

const V3_ALGORITHM: &str = "ACS3-HMAC-SHA256";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        v1_hmac_sha1: Vec<V1Vector>,
        v3_acs3_hmac_sha256: Vec<V3Vector>,
    }

    #[derive(Deserialize)]
    struct V1Vector {
        name: String,
        method: String,
        access_key_secret: Secret,
        params: Parameters,
        canonical_query: String,
        string_to_sign: String,
        signature: String,
        signature_urlencoded: String,
    }

    #[derive(Deserialize)]
    struct V3Vector {
        name: String,
        method: String,
        canonical_uri: String,
        access_key_id: String,
        access_key_secret: Secret,
        query: Parameters,
        headers: Parameters,
        body: String,
        hashed_payload: String,
        canonical_query: String,
        canonical_headers: String,
        signed_headers: String,
        canonical_request: String,
        hashed_canonical_request: String,
        signature: String,
        authorization: String,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../../tests/data/vectors.json")).unwrap()
    }

    #[test]
    fn v1_agrees_with_all_vectors() {
        let vectors = vectors().v1_hmac_sha1;
        assert_eq!(vectors.len(), 20);
        for vector in vectors {
            let signed = v1(&vector.method, &vector.params, &vector.access_key_secret);
            assert_eq!(signed.canonical_query, vector.canonical_query, "{}", vector.name);
            assert_eq!(signed.string_to_sign, vector.string_to_sign, "{}", vector.name);
            assert_eq!(signed.signature, vector.signature, "{}", vector.name);
            assert_eq!(percent_encode(&signed.signature), vector.signature_urlencoded, "{}", vector.name);
        }
    }

    #[test]
    fn v3_agrees_with_all_vectors() {
        let vectors = vectors().v3_acs3_hmac_sha256;
        assert_eq!(vectors.len(), 11);
        for vector in vectors {
            let name = &vector.name;
            assert_eq!(vector.canonical_uri, "/", "{name}");
            assert_eq!(content_hash(vector.body.as_bytes()), vector.hashed_payload, "{name}");
            assert_eq!(canonical_query(&vector.query), vector.canonical_query, "{name}");
            let signed = v3(&vector.method, &vector.query, &vector.headers, &vector.access_key_id, &vector.access_key_secret);
            assert_eq!(signed.canonical_request, vector.canonical_request, "{name}");
            assert!(signed.canonical_request.contains(&vector.canonical_headers), "{name}");
            assert!(signed.canonical_request.contains(&format!("\n{}\n", vector.signed_headers)), "{name}");
            assert_eq!(signed.string_to_sign, format!("ACS3-HMAC-SHA256\n{}", vector.hashed_canonical_request), "{name}");
            assert!(signed.authorization.ends_with(&format!("Signature={}", vector.signature)), "{name}");
            assert_eq!(signed.authorization, vector.authorization, "{name}");
        }
    }

    proptest! {
        #[test]
        fn encoding_leaves_only_unreserved_characters_and_is_reversible(text in any::<String>()) {
            let encoded = percent_encode(&text);
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%".contains(&b)));
            let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap();
            prop_assert_eq!(decoded.as_ref(), text.as_str());
            for (at, _) in encoded.match_indices('%') {
                let digits = &encoded[at + 1..at + 3];
                prop_assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
            }
        }

        #[test]
        fn unreserved_text_is_left_alone(text in "[A-Za-z0-9_.~-]{0,40}") {
            prop_assert_eq!(percent_encode(&text), text);
        }

        #[test]
        fn different_parameters_never_share_a_canonical_query(
            one in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
            other in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        ) {
            prop_assert_eq!(one == other, canonical_query(&one) == canonical_query(&other));
        }
    }
}
