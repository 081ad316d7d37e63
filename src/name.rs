//! Domain names, as this program uses them: absolute, lower case, in A-label (punycode) form.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    language::t,
};

/// An absolute domain name in canonical form (RFC 9499 section 2): lower case, A-labels, shown without the final dot.
///
/// The root is the empty string inside and `.` when shown. Underscores and a leading `*` label are allowed, since challenge
/// names and certificate names have them. At most 253 characters, each label at most 63 (RFC 1035 section 2.3.4).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Reads a name in any common spelling: with or without the final dot, any case, U-labels or A-labels.
    ///
    /// # Errors
    /// `ErrorKind::Usage` for what is not a domain name, with the reason.
    pub fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let refuse = |why: &str| Error::usage(t!("`%{trimmed}` is not a domain name: %{why}", trimmed, why));
        if trimmed == "." {
            return Ok(Self::root());
        }
        let bare = trimmed.strip_suffix('.').unwrap_or(trimmed);
        if bare.is_empty() {
            return Err(refuse(t!("it is empty")));
        }
        let (star, rest) = match bare.strip_prefix("*.") {
            Some(rest) => ("*.", rest),
            None => ("", bare),
        };
        if rest.is_empty() || rest.split('.').any(str::is_empty) {
            return Err(refuse(t!("it has an empty label")));
        }
        let ascii = if rest.is_ascii() {
            rest.to_ascii_lowercase()
        } else {
            let wire = hickory_proto::rr::Name::from_str(rest).map_err(|error| refuse(&error.to_string()))?;
            wire.to_ascii().trim_end_matches('.').to_ascii_lowercase()
        };
        if let Some(bad) = ascii.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
            return Err(refuse(&t!("the character %{bad} cannot be part of one", bad = format_args!("{bad:?}"))));
        }
        let full = format!("{star}{ascii}");
        if full.len() > 253 {
            return Err(refuse(t!("it is longer than 253 characters")));
        }
        if full.split('.').any(|label| label.len() > 63) {
            return Err(refuse(t!("a label is longer than 63 characters")));
        }
        Ok(Self(full))
    }

    /// The root of the name space.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The name without the final dot; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with the final dot, as zone files and the wire have it.
    pub fn with_dot(&self) -> String {
        format!("{}.", self.0)
    }

    /// The labels, leftmost first; none for the root.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.').filter(|label| !label.is_empty())
    }

    /// The leftmost label; empty for the root.
    pub fn first_label(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.split_once('.').map(|(_, rest)| rest.to_owned()).unwrap_or_default()))
    }

    /// This name and all above it, the root last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), Self::parent)
    }

    /// Whether this name is `zone` or lies below it.
    pub fn is_within(&self, zone: &Self) -> bool {
        zone.is_root() || self.0 == zone.0 || self.0.strip_suffix(&zone.0).is_some_and(|head| head.ends_with('.'))
    }

    /// The part of the name left of `zone`: empty at the apex, `None` where the name is not within the zone.
    pub fn relative_to(&self, zone: &Self) -> Option<String> {
        if !self.is_within(zone) {
            return None;
        }
        let head = &self.0[..self.0.len() - zone.0.len()];
        Some(head.trim_end_matches('.').to_owned())
    }

    /// `label` (one or several labels) put in front of this name.
    ///
    /// # Errors
    /// As [`Name::parse`].
    pub fn below(&self, label: &str) -> Result<Self> {
        if self.is_root() { Self::parse(label) } else { Self::parse(&format!("{label}.{}", self.0)) }
    }

    /// The name that proves control of this one: a wildcard's base, else the name itself.
    #[must_use]
    pub fn base(&self) -> Self {
        Self(self.0.strip_prefix("*.").unwrap_or(&self.0).to_owned())
    }

    /// Whether the leftmost label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.first_label() == "*"
    }

    /// The name for people: U-labels where they decode, else as it is.
    pub fn unicode(&self) -> String {
        match hickory_proto::rr::Name::from_ascii(self.with_dot()) {
            Ok(wire) if self.0.contains("xn--") => wire.to_utf8().trim_end_matches('.').to_owned(),
            _ => self.to_string(),
        }
    }

    /// The same name as hickory has it, absolute.
    pub fn to_wire(&self) -> hickory_proto::rr::Name {
        let mut wire = hickory_proto::rr::Name::from_ascii(self.with_dot()).unwrap_or_else(|_| hickory_proto::rr::Name::root());
        wire.set_fqdn(true);
        wire
    }

    /// The name that came in a DNS message. Bytes that no canonical name has are shown in the escaped form of RFC 1035 section 5.1.
    pub fn from_wire(wire: &hickory_proto::rr::Name) -> Self {
        Self(wire.to_ascii().trim_end_matches('.').to_ascii_lowercase())
    }
}

/// The names for people, separated by commas.
pub(crate) fn in_words(names: &[Name]) -> String {
    names.iter().map(Name::unicode).collect::<Vec<_>>().join(", ")
}

/// Whether these are the same names, whatever their order.
pub(crate) fn same_names(one: &[Name], other: &[Name]) -> bool {
    one.iter().all(|name| other.contains(name)) && other.iter().all(|name| one.contains(name))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        if text.is_empty() { Ok(Self::root()) } else { Self::parse(&text) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        assert_eq!(name("WWW.Example.COM."), name("www.example.com"));
        assert_eq!(name("bücher.example").as_str(), "xn--bcher-kva.example");
        assert_eq!(name("bücher.example").unicode(), "bücher.example");
        assert_eq!(name("例子.测试"), name("xn--fsqu00a.xn--0zwm56d"));
        assert_eq!(name("_a_b.example").as_str(), "_a_b.example");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        for text in ["", "a..b", ".a", "a b.c", "a/b", "*.", &format!("{long}.com"), &"a.".repeat(127)] {
            let outcome = Name::parse(text);
            assert!(outcome.is_err() || text.len() == 254 && outcome.is_ok(), "{text}");
        }
    }

    #[test]
    fn a_suffix_counts_only_at_a_label() {
        assert!(name("a.example.com").is_within(&name("example.com")));
        assert!(name("example.com").is_within(&name("example.com")));
        assert!(!name("badexample.com").is_within(&name("example.com")));
        assert_eq!(name("_x.a.example.com").relative_to(&name("example.com")).unwrap(), "_x.a");
        assert_eq!(name("example.com").relative_to(&name("example.com")).unwrap(), "");
        assert_eq!(name("example.com").relative_to(&Name::root()).unwrap(), "example.com");
    }

    #[test]
    fn ancestors_end_at_the_root() {
        let all: Vec<String> = name("a.b.c").ancestors().map(|n| n.to_string()).collect();
        assert_eq!(all, ["a.b.c", "b.c", "c", "."]);
    }

    #[test]
    fn a_wildcard_is_proved_at_its_base() {
        assert_eq!(name("*.example.com").base(), name("example.com"));
        assert!(name("*.example.com").is_wildcard());
    }
}
