//! AWS Signature Version 4 and its kin: one canonical request, one chain of keys, other words.
//!
//! Sources: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>,
//! <https://www.volcengine.com/docs/6369/67269>, <https://docs.jdcloud.com/cn/common-declaration/signature>

use data_encoding::HEXLOWER;

use super::{Keys, Moment, Outgoing, canonical_headers, encoded_path, hmac_sha256, sha256_hex, sorted_query};

/// The words of one vendor.
struct Dialect {
    algorithm: &'static str,
    /// What stands before the secret key at the beginning of the chain.
    prefix: &'static str,
    /// The end of the chain and of the scope.
    end: &'static str,
    date: &'static str,
    token: &'static str,
    nonce: Option<&'static str>,
    /// The header with the body's hash, where there is one.
    content: Option<&'static str>,
    /// Whether path segments are percent-encoded once more.
    is_path_encoded_again: bool,
    is_signed: fn(&str) -> bool,
}

const AWS: Dialect = Dialect {
    algorithm: "AWS4-HMAC-SHA256",
    prefix: "AWS4",
    end: "aws4_request",
    date: "X-Amz-Date",
    token: "X-Amz-Security-Token",
    nonce: None,
    content: None,
    is_path_encoded_again: true,
    is_signed: |_| true,
};

const VOLCENGINE: Dialect = Dialect {
    algorithm: "HMAC-SHA256",
    prefix: "",
    end: "request",
    date: "X-Date",
    token: "X-Security-Token",
    nonce: None,
    content: Some("X-Content-Sha256"),
    is_path_encoded_again: false,
    is_signed: |name| matches!(name, "content-type" | "content-md5" | "host") || name.starts_with("x-"),
};

const JDCLOUD: Dialect = Dialect {
    algorithm: "JDCLOUD3-HMAC-SHA256",
    prefix: "JDCLOUD3",
    end: "jdcloud3_request",
    date: "x-jdcloud-date",
    token: "x-jdcloud-security-token",
    nonce: Some("x-jdcloud-nonce"),
    content: Some("x-jdcloud-content-sha256"),
    is_path_encoded_again: false,
    is_signed: |name| !matches!(name, "authorization" | "user-agent" | "x-jdcloud-content-sha256"),
};

/// AWS: adds `X-Amz-Date`, `X-Amz-Security-Token` and `Authorization`.
pub(super) fn aws(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    AWS.sign(request, keys, moment);
}

/// Volcengine: adds `X-Date`, `X-Content-Sha256`, `X-Security-Token` and `Authorization`.
pub(super) fn volcengine(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    VOLCENGINE.sign(request, keys, moment);
}

/// JD Cloud: adds its `x-jdcloud-…` headers and `Authorization`.
pub(super) fn jdcloud(request: &mut Outgoing, keys: &Keys, moment: &Moment) {
    JDCLOUD.sign(request, keys, moment);
}

impl Dialect {
    fn sign(&self, request: &mut Outgoing, keys: &Keys, moment: &Moment) {
        let time = moment.time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let date = &time[..8];
        let content = sha256_hex(&request.body);
        request.set_header(self.date, time.as_str());
        if let Some(name) = self.nonce {
            request.set_header(name, moment.nonce.as_str());
        }
        if let Some(name) = self.content {
            request.set_header(name, content.as_str());
        }
        if let Some(token) = &keys.token {
            request.set_header(self.token, token.as_str());
        }
        let (headers, signed) = canonical_headers(request, self.is_signed);
        let path = if self.is_path_encoded_again { encoded_path(request) } else { request.url.path().to_owned() };
        let canonical = format!("{}\n{path}\n{}\n{headers}\n{signed}\n{content}", request.method, sorted_query(request));
        let scope = format!("{date}/{}/{}/{}", keys.region, keys.service, self.end);
        let to_sign = format!("{}\n{time}\n{scope}\n{}", self.algorithm, sha256_hex(canonical.as_bytes()));
        let first = hmac_sha256(format!("{}{}", self.prefix, keys.secret_key).as_bytes(), date);
        let key = [keys.region.as_str(), keys.service.as_str(), self.end].iter().fold(first, |key, part| hmac_sha256(&key, part));
        let signature = HEXLOWER.encode(&hmac_sha256(&key, &to_sign));
        let (algorithm, credential) = (self.algorithm, &keys.access_key);
        request.set_header(
            "Authorization",
            format!("{algorithm} Credential={credential}/{scope}, SignedHeaders={signed}, Signature={signature}"),
        );
    }
}
