//! ACME CAs by name.

use url::Url;

use crate::{
    error::{Error, Result},
    http,
    language::t,
    nearest::nearest,
};

/// The CAs that have a name, with their directories.
const KNOWN: &[(&str, &str)] = &[
    ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
    ("zerossl", "https://acme.zerossl.com/v2/DV90"),
    ("google", "https://dv.acme-v02.api.pki.goog/directory"),
    ("google-staging", "https://dv.acme-v02.test-api.pki.goog/directory"),
    // The keys that are made here are elliptic; an RSA request of the user's own goes to `https://acme.ssl.com/sslcom-dv-rsa`.
    ("sslcom", "https://acme.ssl.com/sslcom-dv-ecc"),
];

/// The domains that the CAs look for in CAA records (RFC 8659), as their help pages say. ZeroSSL's certificates are Sectigo's.
const CAA_IDENTITIES: &[(&str, &[&str])] = &[
    ("letsencrypt", &["letsencrypt.org"]),
    ("letsencrypt-staging", &["letsencrypt.org"]),
    ("zerossl", &["sectigo.com", "trust-provider.com", "usertrust.com", "comodoca.com"]),
    ("google", &["pki.goog"]),
    ("google-staging", &["pki.goog"]),
    ("sslcom", &["ssl.com"]),
];

/// An ACME CA.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ca {
    /// How it is called in reports and file names: its name, else the host of its directory. Letters, digits, `.` and `-`.
    pub label: String,
    /// Its directory.
    pub directory: Url,
}

impl Ca {
    /// The CA of this name, or with the directory at this URL.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a name that is not known, for a CA that has ended its service, and for a URL that is not https (plain http
    /// is for loopback).
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some((name, directory)) = KNOWN.iter().find(|(name, _)| *name == text) {
            let directory = Url::parse(directory).map_err(|error| Error::config(error.to_string()))?;
            return Ok(Self { label: (*name).to_owned(), directory });
        }
        if text.eq_ignore_ascii_case("buypass") {
            return Err(Error::config(t!(
                "Buypass has ended its ACME service: no orders since 15 October 2025, no certificates since 31 October 2025"
            ))
            .with_hint(t!("choose another CA, such as `--ca letsencrypt`")));
        }
        let names = || KNOWN.iter().map(|(name, _)| *name);
        let Ok(directory) = Url::parse(text) else {
            let hint = nearest(text, names()).map_or_else(
                || {
                    t!(
                        "known are %{names}; any other is named by the https URL of its directory",
                        names = names().collect::<Vec<_>>().join(", ")
                    )
                },
                |near| t!("did you mean `%{near}`?", near),
            );
            return Err(Error::config(t!("`%{text}` is no ACME CA that this program knows", text)).with_hint(hint));
        };
        http::require_safe(&directory, false, t!("the URL of the CA's directory"))?;
        let host = directory.host_str().unwrap_or_default();
        let label = directory.port().map_or_else(|| host.to_owned(), |port| format!("{host}-{port}"));
        let label =
            label.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' }).collect();
        // The same CA by its URL and by its name is one CA, with one account.
        let known = KNOWN.iter().find(|(_, url)| *url == directory.as_str()).map(|(name, _)| (*name).to_owned());
        Ok(Self { label: known.unwrap_or(label), directory })
    }

    /// The domains that it looks for in CAA records; none where it has no name here.
    pub fn caa_identities(&self) -> &'static [&'static str] {
        CAA_IDENTITIES.iter().find(|(name, _)| *name == self.label).map_or(&[], |(_, identities)| identities)
    }

    /// The CA as [`Ca::parse`] reads it: its name, else its URL.
    pub fn name(&self) -> String {
        if KNOWN.iter().any(|(name, _)| *name == self.label) { self.label.clone() } else { self.directory.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_urls() {
        for (name, url) in KNOWN {
            let by_name = Ca::parse(name).unwrap();
            assert_eq!((by_name.label.as_str(), by_name.directory.as_str()), (*name, *url));
            assert_eq!(Ca::parse(url).unwrap(), by_name);
            assert!(!by_name.caa_identities().is_empty(), "{name}");
        }
        assert_eq!(Ca::parse("https://127.0.0.1:14000/dir").unwrap().label, "127.0.0.1-14000");
        assert_eq!(Ca::parse("https://ca.Example.com/x").unwrap().label, "ca.example.com");
        assert!(Ca::parse("https://ca.example.com/x").unwrap().caa_identities().is_empty());
    }

    #[test]
    fn what_is_no_ca_is_refused_with_a_way_out() {
        let error = Ca::parse("letsencript").unwrap_err();
        assert!(error.hint().unwrap().contains("letsencrypt"), "{error:?}");
        assert!(Ca::parse("x").unwrap_err().hint().unwrap().contains("https URL"));
        assert!(Ca::parse("buypass").unwrap_err().to_string().contains("15 October 2025"));
        assert!(Ca::parse("http://ca.example.com/dir").is_err(), "plain http");
        assert!(Ca::parse("https://user:secret@ca.example.com/dir").is_err());
    }
}
