//! What is known about a provider without credentials.

use std::fmt;

use serde::Deserialize;

use super::Capabilities;

use crate::language::t;

/// One credential or setting that a provider takes, for `providers show` and for errors.
#[derive(Clone, Debug)]
pub struct CredentialHelp {
    /// Its name: `api_token`, set with `DV_<ID>_API_TOKEN`.
    pub name: String,
    /// Whether it is a secret.
    pub secret: bool,
    /// Whether it may be left out.
    pub optional: bool,
    /// What it is and which rights it needs.
    pub help: Option<String>,
    /// Variables of other tools that work too.
    pub familiar: Vec<String>,
}

/// What is known about a provider without credentials.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// The page of its API documentation.
    pub docs: Option<String>,
    /// Where it comes from: "built-in", "built-in manifest", or the path of a user's manifest.
    pub origin: String,
    /// What it takes.
    pub credentials: Vec<CredentialHelp>,
    /// Whose credentials of the machine take their place where none of them is set.
    pub ambient: Option<Ambient>,
    /// What has shown that it works; `None` for protocols that have no vendor, which our own tests play.
    pub proof: Option<Proof>,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// Credentials that a machine has without being told, as the tools of one vendor find them (`docs/ambient-credentials.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ambient {
    /// Profiles, web identity, containers and instances of AWS: `access_key`, `secret_key` and `session_token`.
    Aws,
    /// Application default credentials of Google: a `session`, and the `project`.
    Google,
    /// Workload and managed identities of Azure: a `session`.
    Azure,
}

impl Ambient {
    /// What is looked for, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Aws => {
                t!(
                    "those of the machine: a profile of ~/.aws, web identity (EKS, OIDC), a container's role (ECS, EKS), an EC2 instance's role"
                )
            }
            Self::Google => {
                t!(
                    "application default credentials: GOOGLE_APPLICATION_CREDENTIALS, those of `gcloud auth application-default login`, the service account of a machine at Google"
                )
            }
            Self::Azure => t!("workload identity (AKS, OIDC), the managed identity of an application or a machine at Azure"),
        }
    }
}

/// What has shown that a provider works: the origin of the best of its examples (`docs/manifest.md`). Better ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Nothing but replies that somebody wrote after reading documentation or other tools' sources.
    #[default]
    Derived,
    /// Replies that the vendor prints in its documentation.
    VendorSample,
    /// Replies made from the vendor's machine-readable specification or reference.
    VendorSpecification,
    /// A real server.
    RealServer,
}

impl Proof {
    /// Its word in manifests and examples: `real-server`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Derived => "derived",
            Self::VendorSample => "vendor-sample",
            Self::VendorSpecification => "vendor-specification",
            Self::RealServer => "real-server",
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
