//! Who may read: by the name that a reader came by, and by token.

use std::net::IpAddr;

use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, HOST},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Listen;
use crate::{name::Name, secret::Secret};

/// The rules for one listener.
#[derive(Debug)]
pub(super) struct Access {
    hosts: Vec<Name>,
    token: Option<Secret>,
    /// Of this process, so that two texts are compared by what nobody outside can compute.
    key: [u8; 32],
}

impl Access {
    pub(super) fn new(listen: &Listen) -> Self {
        Self { hosts: listen.hosts.clone(), token: listen.token.clone(), key: rand::random() }
    }

    /// Whether the request came by a name of ours. A page elsewhere whose name was made to lead here (DNS rebinding) comes by its own name;
    /// an address cannot be such a name.
    pub(super) fn came_by_our_name(&self, headers: &HeaderMap) -> bool {
        let mut all = headers.get_all(HOST).iter();
        let (Some(host), None) = (all.next(), all.next()) else { return false };
        host.to_str().is_ok_and(|host| self.is_ours(host))
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        if name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        Name::parse(name).is_ok_and(|name| self.hosts.contains(&name))
    }

    /// Whether the request shows the token, as `Bearer` or as the password of `Basic` (with any user name), which browsers ask for by themselves.
    pub(super) fn shows_token(&self, headers: &HeaderMap) -> bool {
        let Some(wanted) = &self.token else { return true };
        let Some(given) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
        let Some((scheme, rest)) = given.split_once(' ') else { return false };
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is_same(rest.trim().as_bytes(), wanted);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(decoded) = STANDARD.decode(rest.trim()) else { return false };
        let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return false };
        self.is_same(&decoded[colon + 1..], wanted)
    }

    /// In a time that tells nothing about where the two differ: their codes are compared, under a key that nobody knows.
    fn is_same(&self, given: &[u8], wanted: &Secret) -> bool {
        let code = |text: &[u8]| Hmac::<Sha256>::new_from_slice(&self.key).ok().map(|mac| mac.chain_update(text));
        let (Some(given), Some(wanted)) = (code(given), code(wanted.expose().as_bytes())) else { return false };
        given.verify_slice(&wanted.finalize().into_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn access(token: Option<&str>) -> Access {
        Access::new(&Listen {
            address: "127.0.0.1:0".parse().unwrap(),
            token: token.map(Secret::new),
            hosts: vec![Name::parse("status.example.com").unwrap()],
        })
    }

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_names_and_addresses_lead_here() {
        let access = access(None);
        for ours in [
            "127.0.0.1:9123",
            "127.0.0.1",
            "[::1]:9123",
            "localhost:9123",
            "LOCALHOST",
            "10.0.0.7:1",
            "status.example.com",
            "Status.Example.com:80",
        ] {
            assert!(access.came_by_our_name(&headers(HOST, &[ours])), "{ours}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:9123",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[evil]:1",
            "x.status.example.com",
            "status.example.com.evil.example",
        ] {
            assert!(!access.came_by_our_name(&headers(HOST, &[foreign])), "{foreign}");
        }
        assert!(!access.came_by_our_name(&HeaderMap::new()));
        assert!(!access.came_by_our_name(&headers(HOST, &["localhost", "evil.example"])));
    }

    #[test]
    fn the_token_is_shown_as_bearer_or_as_a_password() {
        let closed = access(Some("a-token-of-24-characters"));
        let shows = |value: &str| closed.shows_token(&headers(AUTHORIZATION, &[value]));
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(shows("Bearer a-token-of-24-characters") && shows("bearer  a-token-of-24-characters "));
        assert!(shows(&basic("anybody:a-token-of-24-characters")) && shows(&basic(":a-token-of-24-characters")));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a-token-of-24-character",
            "Bearer a-token-of-24-characters2",
            "Digest a-token-of-24-characters",
            "Basic !!",
        ] {
            assert!(!shows(wrong), "{wrong}");
        }
        assert!(!shows(&basic("a-token-of-24-characters")) && !shows(&basic("a-token-of-24-characters:x")));
        assert!(!closed.shows_token(&HeaderMap::new()));
        assert!(access(None).shows_token(&HeaderMap::new()));
    }
}
