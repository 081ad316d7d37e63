//! Values that must never be shown: typed so that they cannot be printed, and a redactor for text that may hold one.

use std::{
    fmt,
    sync::{Arc, RwLock},
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// What stands in the place of a secret in text.
pub const REDACTED: &str = "[redacted]";

/// A secret text. `Debug` shows no part of it, there is no `Display` and no `Serialize`; memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value at the place where it enters the program.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value itself: for signing, sending and for files with mode 0600, nowhere else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether the value is empty.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Replaces known secrets in text that comes from elsewhere (replies, server messages, output of hooks).
///
/// Clones share one list. Secrets shorter than four characters are not replaced: they would blank ordinary text.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<Secret>>>);

impl Redactor {
    /// Adds a secret, together with its percent-encoded and JSON-escaped spellings where they differ.
    pub fn learn(&self, secret: &Secret) {
        let plain = secret.expose();
        if plain.len() < 4 {
            return;
        }
        let json = serde_json::to_string(plain).unwrap_or_default();
        let encoded = percent_encoding::utf8_percent_encode(plain, percent_encoding::NON_ALPHANUMERIC).to_string();
        let mut known = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for spelling in [plain.to_owned(), json.trim_matches('"').to_owned(), encoded] {
            let spelling = Secret::new(spelling);
            if !known.contains(&spelling) {
                known.push(spelling);
            }
        }
        // Longest first, so that a secret that contains another is replaced whole.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    }

    /// `text` with every known secret replaced by [`REDACTED`].
    pub fn redact(&self, text: &str) -> String {
        let known = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) { text.replace(secret.expose(), REDACTED) } else { text }
        })
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2hunter2"))), "Some([redacted])");
    }

    #[test]
    fn every_spelling_is_redacted() {
        let redactor = Redactor::default();
        redactor.learn(&Secret::new("a/b\"c d"));
        assert_eq!(redactor.redact("x a/b\"c d y"), "x [redacted] y");
        assert_eq!(redactor.redact("q=a%2Fb%22c%20d"), "q=[redacted]");
        assert_eq!(redactor.redact(r#"{"k":"a/b\"c d"}"#), r#"{"k":"[redacted]"}"#);
    }

    #[test]
    fn a_longer_secret_is_replaced_whole() {
        let redactor = Redactor::default();
        redactor.learn(&Secret::new("abcd"));
        redactor.learn(&Secret::new("abcdefgh"));
        assert_eq!(redactor.redact("abcdefgh"), REDACTED);
    }
}
