//! A call, read from its request in either signature's form.

use std::collections::BTreeMap;

use super::{
    failure::Failure,
    signature::{Authorization, canonical_query, sha256, v1_string_to_sign, v3_canonical_request, v3_string_to_sign},
};
use crate::sandbox::web::{Received, form};

/// A call.
pub(super) struct Call {
    /// `Action`, or `x-acs-action`.
    pub(super) action: String,
    /// `Version`, or `x-acs-version`.
    pub(super) version: String,
    /// The form of the reply.
    pub(super) format: Format,
    /// How it is signed.
    pub(super) scheme: Scheme,
    /// All parameters, from query and body.
    parameters: BTreeMap<String, String>,
}

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON, the default.
    Json,
    /// XML.
    Xml,
}

/// A signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RPC signature in the parameters.
    V1,
    /// ACS3 signature in the headers.
    V3,
}

/// What a signature is checked with.
pub(super) struct Signed {
    /// The AccessKeyId.
    pub(super) access_key_id: String,
    /// The signature that came.
    pub(super) signature: String,
    /// What should have been signed.
    pub(super) string_to_sign: String,
    /// When it says that it was made.
    pub(super) timestamp: String,
    /// What makes it unique.
    pub(super) nonce: String,
    /// The STS token.
    pub(super) security_token: Option<String>,
}

impl Call {
    /// Reads a request.
    pub(super) fn read(received: &Received) -> Self {
        let mut parameters = received.query();
        let body_type = received.header("content-type");
        if body_type.starts_with("application/x-www-form-urlencoded") {
            parameters.extend(form(&received.body));
        }
        let scheme = if received.header("authorization").starts_with("ACS3-") { Scheme::V3 } else { Scheme::V1 };
        let named = |parameter: &str, header: &str| match scheme {
            Scheme::V1 => parameters.get(parameter).cloned().unwrap_or_default(),
            Scheme::V3 => received.header(header).to_owned(),
        };
        let (action, version) = (named("Action", "x-acs-action"), named("Version", "x-acs-version"));
        let wants_xml = match scheme {
            Scheme::V1 => parameters.get("Format").is_some_and(|format| format.eq_ignore_ascii_case("xml")),
            Scheme::V3 => received.header("accept").contains("xml"),
        };
        Self { action, version, format: if wants_xml { Format::Xml } else { Format::Json }, scheme, parameters }
    }

    /// A parameter; an empty one counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub(super) fn require(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).ok_or_else(|| Failure::missing(name))
    }

    /// A parameter that is a whole number, where it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let invalid = |_| Failure::invalid(name, "is not valid");
        self.get(name).map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// What the signature is checked with.
    pub(super) fn signed(&self, received: &Received) -> Result<Signed, Failure> {
        match self.scheme {
            Scheme::V1 => self.signed_v1(received),
            Scheme::V3 => signed_v3(received),
        }
    }

    fn signed_v1(&self, received: &Received) -> Result<Signed, Failure> {
        let signed = Signed {
            access_key_id: self.require("AccessKeyId")?.to_owned(),
            signature: self.require("Signature")?.to_owned(),
            timestamp: self.require("Timestamp")?.to_owned(),
            nonce: self.require("SignatureNonce")?.to_owned(),
            security_token: self.get("SecurityToken").map(str::to_owned),
            string_to_sign: v1_string_to_sign(received.method().as_str(), &self.parameters),
        };
        for (name, value) in [("SignatureMethod", "HMAC-SHA1"), ("SignatureVersion", "1.0")] {
            if self.require(name)? != value {
                return Err(Failure::invalid(name, "is not supported"));
            }
        }
        Ok(signed)
    }
}

fn signed_v3(received: &Received) -> Result<Signed, Failure> {
    let incomplete = || Failure::new(400, "IncompleteSignature", "The request signature does not conform to Aliyun standards.");
    let header = |name: &str| Some(received.header(name)).filter(|value| !value.is_empty());
    let authorization = Authorization::parse(received.header("authorization")).ok_or_else(incomplete)?;
    let must = ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];
    if let Some(absent) = must.iter().find(|name| header(name).is_none()) {
        return Err(Failure::missing(absent));
    }
    let sent = received.parts.headers.keys().map(http::HeaderName::as_str);
    let unsigned = sent
        .filter(|name| name.starts_with("x-acs-") || matches!(*name, "host" | "content-type"))
        .find(|name| !authorization.signed_headers.contains(name));
    if unsigned.is_some() {
        return Err(incomplete());
    }
    let payload_hash = received.header("x-acs-content-sha256");
    if payload_hash != sha256(&received.body) {
        return Err(Failure::invalid("x-acs-content-sha256", "is not the hash of the body"));
    }
    let query = received.query();
    let query = canonical_query(query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let headers: Vec<(&str, &str)> = authorization.signed_headers.iter().map(|name| (*name, received.header(name))).collect();
    let path = received.parts.uri.path();
    let canonical = v3_canonical_request(received.method().as_str(), path, &query, &headers, payload_hash);
    Ok(Signed {
        access_key_id: authorization.access_key_id.to_owned(),
        signature: authorization.signature.to_owned(),
        timestamp: received.header("x-acs-date").to_owned(),
        nonce: received.header("x-acs-signature-nonce").to_owned(),
        security_token: header("x-acs-security-token").map(str::to_owned),
        string_to_sign: v3_string_to_sign(&canonical),
    })
}
