//! Where what the CA wants to see is written.

use dv_verify::sandbox::Service;

/// How a provider writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A manifest with one record for each value (Cloudflare's API).
    OneRecord,
    /// A manifest that replaces whole sets (PowerDNS's API).
    Merge,
    /// DNS UPDATE to the sandbox.
    Rfc2136,
    /// DNS UPDATE to a real BIND, which is also who is asked whether the record is visible, and what the CA goes by.
    Bind,
    /// Files in a web root, which the CA fetches over http.
    File,
}

impl Kind {
    /// Those that need nothing but the sandbox.
    pub(super) const ALL: [Self; 4] = [Self::OneRecord, Self::Merge, Self::Rfc2136, Self::File];

    /// The provider of records; `None`: there are none.
    pub(super) fn provider(self) -> Option<&'static str> {
        match self {
            Self::OneRecord => Some("cloudflare"),
            Self::Merge => Some("powerdns"),
            Self::Rfc2136 | Self::Bind => Some("rfc2136"),
            Self::File => None,
        }
    }

    /// Whose calls go where the record, or the file, is.
    pub(super) fn service(self) -> Service {
        match self {
            Self::OneRecord | Self::Merge => Service::Provider,
            Self::Rfc2136 | Self::Bind => Service::Update,
            Self::File => Service::Web,
        }
    }

    /// The word for a row.
    pub(super) fn word(self) -> &'static str {
        if self == Self::Bind { "bind" } else { self.provider().unwrap_or("file") }
    }

    /// The names of the orders, all of which want the same record. No file proves a wildcard.
    pub(super) fn domains(self, domain: &str) -> [Vec<String>; 2] {
        let second =
            if self == Self::File { vec!["example.com".to_owned(), domain.to_owned()] } else { vec![format!("*.{domain}")] };
        [vec![domain.to_owned()], second]
    }
}
