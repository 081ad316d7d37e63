//! RSA signatures and JSON Web Tokens (RFC 7519), for services that take a private key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

use crate::language::t;

/// How a text is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider::manifest) enum Scheme {
    /// PKCS #1 v1.5 with SHA-256: `RS256` of RFC 7518.
    Pkcs1Sha256,
    /// PKCS #1 v1.5 with SHA-512.
    Pkcs1Sha512,
    /// PSS with SHA-256: `PS256` of RFC 7518.
    PssSha256,
}

/// Signs `text` with a private key in PEM (PKCS #8 or PKCS #1, not encrypted, 2048 to 8192 bits).
///
/// # Errors
/// Where the key is none; the text never holds a part of it.
pub(in crate::provider::manifest) fn sign(pem: &str, scheme: Scheme, text: &[u8]) -> Result<Vec<u8>, String> {
    let key = key(pem)?;
    let encoding: &dyn RsaEncoding = match scheme {
        Scheme::Pkcs1Sha256 => &RSA_PKCS1_SHA256,
        Scheme::Pkcs1Sha512 => &RSA_PKCS1_SHA512,
        Scheme::PssSha256 => &RSA_PSS_SHA256,
    };
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), text, &mut signature).map_err(|_| t!("the private key cannot sign").to_owned())?;
    Ok(signature)
}

fn key(pem: &str) -> Result<RsaKeyPair, String> {
    if pem.contains("ENCRYPTED") {
        return Err(t!("the private key is encrypted; remove its passphrase (`openssl pkey`)").to_owned());
    }
    let wrong = |why: &str| t!("the private key is no RSA key in PEM: %{why}", why);
    // A key that came through a variable may have lost its line breaks.
    let pem = pem.replace("\\n", "\n");
    let der = PrivateKeyDer::from_pem_slice(pem.trim().as_bytes()).map_err(|_| wrong(t!("it cannot be read")))?;
    let rejected = |why: ring::error::KeyRejected| wrong(&why.to_string());
    match &der {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(rejected),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(rejected),
        _ => Err(wrong(t!("it is of another kind"))),
    }
}

/// A signed token of these claims. `algorithm` is `RS256` or `PS256`; `key_id` goes into the header.
///
/// # Errors
/// As [`sign`].
pub(in crate::provider) fn jwt(claims: &Value, algorithm: &str, pem: &str, key_id: Option<&str>) -> Result<String, String> {
    let scheme = match algorithm {
        "RS256" => Scheme::Pkcs1Sha256,
        "PS256" => Scheme::PssSha256,
        other => return Err(t!("`jwt` knows RS256 and PS256, not `%{other}`", other)),
    };
    let mut header = json!({"alg": algorithm, "typ": "JWT"});
    if let Some(key_id) = key_id {
        header["kid"] = key_id.into();
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&header), encode(claims));
    let signature = sign(pem, scheme, text.as_bytes())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
