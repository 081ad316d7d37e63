//! Where credentials of a machine come from, as plain data.

use std::{collections::BTreeMap, path::PathBuf};

use reqwest::Method;
use url::Url;

use crate::secret::Secret;

/// Credentials by the setting that they stand for: `access_key`, or `session` for a token that the API takes.
pub(super) type Values = BTreeMap<&'static str, Secret>;

/// Where a link leads.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// They are known.
    Fixed(Values),
    /// A program that writes them to its standard output (`credential_process`).
    Program {
        /// The program and its arguments.
        line: String,
    },
    /// A service that is asked once.
    Call(Call),
    /// The role of an EC2 instance, from its metadata service: a session, the role's name, its credentials (IMDSv2).
    Instance {
        /// The metadata service.
        base: Url,
    },
    /// The service account of a machine at Google, and the machine's project where no other was named.
    Account {
        /// Asks for a token.
        token: Call,
        /// Asks for the project.
        project: Option<Call>,
    },
    /// A role that is assumed with the credentials of another source (`AssumeRole` of AWS).
    Role {
        /// What the call is signed with.
        base: Box<Self>,
        /// The region that the signature is for.
        region: String,
        /// The call, not signed yet.
        call: Call,
    },
}

/// One call. What of it has to be read or made anew each time is named, not kept.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What is asked, for errors.
    pub(super) what: &'static str,
    /// The method.
    pub(super) method: Method,
    /// Where.
    pub(super) url: Url,
    /// Headers.
    pub(super) headers: Vec<(&'static str, Part)>,
    /// The body, a form; empty: none.
    pub(super) form: Vec<(&'static str, Part)>,
    /// Which fields of the answer are the credentials.
    pub(super) fields: Fields,
    /// Whether the service belongs to this machine: it is asked without a proxy, and must answer soon.
    pub(super) is_local: bool,
}

/// A header's value, or a form field's.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A text.
    Text(Secret),
    /// What the file holds at that moment: tokens of Kubernetes are replaced.
    File(PathBuf),
    /// A token of this moment, signed with the account's key (RFC 7523).
    Assertion(ServiceAccount),
}

impl Part {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Secret::new(text))
    }
}

/// The key of a Google service account.
#[derive(Clone, Debug)]
pub(super) struct ServiceAccount {
    pub(super) email: String,
    pub(super) key: Secret,
    pub(super) key_id: Option<String>,
    pub(super) scope: &'static str,
}

/// The settings that credentials stand for, each with the field of the answer that holds it; whether it must be there.
pub(super) type Fields = &'static [(&'static str, &'static str, bool)];

/// Services of AWS on the machine itself.
pub(super) const OF_METADATA: Fields =
    &[("access_key", "AccessKeyId", true), ("secret_key", "SecretAccessKey", true), ("session_token", "Token", true)];

/// STS of AWS.
pub(super) const OF_STS: Fields =
    &[("access_key", "AccessKeyId", true), ("secret_key", "SecretAccessKey", true), ("session_token", "SessionToken", true)];

/// Programs, which may tell lasting credentials.
pub(super) const OF_PROGRAM: Fields =
    &[("access_key", "AccessKeyId", true), ("secret_key", "SecretAccessKey", true), ("session_token", "SessionToken", false)];

/// OAuth 2.0 (RFC 6749 section 5.1).
pub(super) const OF_OAUTH: Fields = &[("session", "access_token", true)];

/// Where a link of a chain leads.
pub(super) enum Link {
    /// Somewhere; and how that is told to people.
    Leads(Box<Source>, String),
    /// Nowhere, as nothing is set that it needs; the next one counts.
    Absent(String),
    /// Nowhere, though it was meant to: no other link may take its place.
    Broken(String),
}

/// For links that read several things which must all be there.
impl From<Result<(Source, String), String>> for Link {
    fn from(found: Result<(Source, String), String>) -> Self {
        found.map_or_else(Self::Broken, |(source, origin)| Self::Leads(Box::new(source), origin))
    }
}
