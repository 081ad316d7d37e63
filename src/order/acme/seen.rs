//! What a CA's replies told beside their content, and what is answered from that without asking it. Without I/O; the time is an argument.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::Deserialize;

/// How many nonces wait at most: servers forget the oldest.
const NONCES: usize = 50;

/// Where made-up orders are. No host has a name below `invalid` (RFC 6761 section 6.4).
const MADE_UP: &str = "https://order.invalid/";

/// What a directory says about itself (RFC 8555 section 7.1.1).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    /// The terms of service.
    pub(super) terms_of_service: Option<String>,
    /// The profiles, with a description of each.
    #[serde(default)]
    pub(super) profiles: HashMap<String, String>,
}

/// What replies told. It holds no more than what is under way, however long a run lasts.
#[derive(Default)]
pub(super) struct Seen {
    /// What the directory says about itself; empty before it was read.
    pub(super) meta: Meta,
    /// Where new nonces come from.
    pub(super) new_nonce: Option<String>,
    /// Until when the server asks to leave a URL alone.
    pauses: HashMap<String, Instant>,
    /// Nonces that nobody has used yet; the last one is the freshest.
    nonces: Vec<String>,
    /// Made-up orders of one authorization each, by their URLs.
    made_up: HashMap<String, String>,
    /// How many were made up so far.
    count: u64,
}

impl Seen {
    /// Keeps how long the server asks to leave a URL alone; `None`: not at all. What is over is forgotten.
    pub(super) fn keep_pause(&mut self, url: &str, pause: Option<Duration>, now: Instant) {
        self.pauses.retain(|other, until| *until > now && other != url);
        if let Some(pause) = pause {
            self.pauses.insert(url.to_owned(), now + pause);
        }
    }

    /// How long the server asked to leave this URL alone, from now on.
    pub(super) fn pause(&self, url: &str, now: Instant) -> Option<Duration> {
        let until = *self.pauses.get(url)?;
        Some(until.saturating_duration_since(now)).filter(|pause| !pause.is_zero())
    }

    /// Makes up an order with this authorization alone; returns its URL, which is answered until [`Seen::forget`].
    pub(super) fn make_up(&mut self, authorization: &str) -> String {
        let url = format!("{MADE_UP}{}", self.count);
        self.count += 1;
        self.made_up.insert(url.clone(), authorization.to_owned());
        url
    }

    /// Forgets a made-up order.
    pub(super) fn forget(&mut self, url: &str) {
        self.made_up.remove(url);
    }

    /// The made-up order at this URL, as a server would send it. Nobody has seen the nonce of the request, which `body` is: it is kept.
    pub(super) fn made_up(&mut self, url: &str, body: &[u8]) -> Option<String> {
        let authorization = self.made_up.get(url)?.clone();
        self.keep_nonce(nonce_in(body));
        Some(serde_json::json!({"status": "pending", "authorizations": [authorization], "finalize": ""}).to_string())
    }

    /// Keeps a nonce: whoever needs one next gets it, whichever order that is for.
    pub(super) fn keep_nonce(&mut self, nonce: Option<String>) {
        self.nonces.extend(nonce);
        if self.nonces.len() > NONCES {
            self.nonces.remove(0);
        }
    }

    /// A nonce for whoever asks for one at this URL, where there is an unused one.
    pub(super) fn nonce(&mut self, url: &str) -> Option<String> {
        if self.new_nonce.as_deref() == Some(url) { self.nonces.pop() } else { None }
    }
}

/// The nonce that a signed request holds.
fn nonce_in(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Signed {
        protected: String,
    }
    #[derive(Deserialize)]
    struct Protected {
        nonce: String,
    }
    let signed: Signed = serde_json::from_slice(body).ok()?;
    let protected = data_encoding::BASE64URL_NOPAD.decode(signed.protected.as_bytes()).ok()?;
    Some(serde_json::from_slice::<Protected>(&protected).ok()?.nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with this nonce, as the library signs it.
    fn signed(nonce: &str) -> Vec<u8> {
        let protected = data_encoding::BASE64URL_NOPAD.encode(format!(r#"{{"alg":"ES256","nonce":"{nonce}"}}"#).as_bytes());
        format!(r#"{{"protected":"{protected}","payload":"","signature":""}}"#).into_bytes()
    }

    #[test]
    fn a_made_up_order_has_its_authorization_alone_and_gives_the_nonce_back() {
        let mut seen = Seen { new_nonce: Some("https://ca.example/nonce".into()), ..Seen::default() };
        let url = seen.make_up("https://ca.example/authz/1");
        let order: serde_json::Value = serde_json::from_str(&seen.made_up(&url, &signed("n1")).unwrap()).unwrap();
        assert_eq!(order["authorizations"], serde_json::json!(["https://ca.example/authz/1"]));
        assert_eq!(seen.nonce("https://ca.example/order/1"), None);
        assert_eq!(seen.nonce("https://ca.example/nonce").as_deref(), Some("n1"));
        assert_eq!(seen.nonce("https://ca.example/nonce"), None, "each is used once");
        assert_eq!(seen.made_up("https://ca.example/order/1", b""), None);
    }

    /// A watch that lasts for months renews thousands of certificates.
    #[test]
    fn nothing_is_kept_of_what_is_over() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let mut urls = std::collections::HashSet::new();
        for number in 0..10_000_u32 {
            let now = start + Duration::from_secs(u64::from(number) * 60);
            let url = seen.make_up(&format!("https://ca.example/authz/{number}"));
            assert!(urls.insert(url.clone()), "no two are the same: {url}");
            seen.keep_pause(&format!("https://ca.example/order/{number}"), Some(Duration::from_secs(3)), now);
            seen.keep_nonce(Some(format!("n{number}")));
            seen.forget(&url);
            assert!(seen.made_up(&url, b"").is_none());
        }
        assert_eq!((seen.made_up.len(), seen.pauses.len(), seen.nonces.len()), (0, 1, NONCES));
    }

    #[test]
    fn a_pause_ends_by_itself_or_with_a_reply_that_asks_for_none() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let (one, other) = ("https://ca.example/order/1", "https://ca.example/order/2");
        seen.keep_pause(one, Some(Duration::from_secs(5)), now);
        seen.keep_pause(other, Some(Duration::from_secs(9)), now);
        assert_eq!(seen.pause(one, now + Duration::from_secs(2)), Some(Duration::from_secs(3)));
        assert_eq!(seen.pause(one, now + Duration::from_secs(5)), None);
        seen.keep_pause(other, None, now);
        assert_eq!(seen.pause(other, now), None);
    }
}
