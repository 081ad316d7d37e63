//! What a CA wants to see, as a challenge of this program.

use super::wanted::Wanted;
use crate::{
    language::t,
    name::Name,
    order::{Challenge, ChallengeKind},
    record::RecordType,
};

/// The challenge that a name will have, before the CA has said its value.
pub(super) fn unsaid(name: &Name, wanted: &Wanted) -> Challenge {
    let value = t!("(what the CA says for %{name})", name);
    if wanted.by_file.contains(name) { file(name.clone(), "TOKEN", value) } else { record(name.clone(), value) }
}

/// dns-01 (RFC 8555 section 8.4).
pub(super) fn record(domain: Name, value: String) -> Challenge {
    Challenge {
        name: format!("_acme-challenge.{}", domain.base()),
        domain: Some(domain),
        root_domain: None,
        kind: ChallengeKind::Record(RecordType::Txt),
        value,
    }
}

/// The folder on web servers in which CAs look for files (RFC 8555 section 8.3).
pub(crate) const FILE_FOLDER: &str = "/.well-known/acme-challenge/";

/// http-01 (RFC 8555 section 8.3).
pub(super) fn file(domain: Name, token: &str, content: String) -> Challenge {
    Challenge {
        name: format!("http://{domain}{FILE_FOLDER}{token}"),
        domain: Some(domain),
        root_domain: None,
        kind: ChallengeKind::File,
        value: content,
    }
}
