//! What a link of the chain leads to, as plain data: credentials that are there, or a place to get temporary ones from.

use std::path::PathBuf;

use crate::{environment::Environment, language::t, secret::Secret};

/// Where credentials come from. Two equal sources give the same credentials, so that those of an earlier call can be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// They are known.
    Fixed(Keys),
    /// A role that is assumed with the credentials of another source (STS `AssumeRole`).
    Role {
        /// What the call is signed with.
        base: Box<Self>,
        /// The role.
        role: Role,
    },
    /// A role that is assumed with a token of an identity provider (STS `AssumeRoleWithOIDC`; on Kubernetes RRSA).
    Oidc {
        /// The role.
        role: Role,
        /// The ARN of the identity provider.
        provider_arn: String,
        /// The file of the token. It is read anew for each call, as Kubernetes replaces it.
        token_file: PathBuf,
    },
    /// The role of the ECS instance that this runs on, from its metadata service.
    Instance {
        /// The name of the role; `None`: the service says it.
        role_name: Option<String>,
        /// Whether only metadata calls with a token (v2) are allowed.
        only_v2: bool,
    },
    /// A program that writes credentials in JSON to its standard output.
    Program {
        /// The program and its arguments.
        line: String,
    },
    /// A URL that answers with credentials in JSON.
    Uri {
        /// The URL.
        url: Secret,
    },
}

/// A key with its secret and, for temporary ones, its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
}

impl Keys {
    /// Keys whose id can travel in a header and in a query; `Err` says what is wrong.
    pub(super) fn new(id: &str, secret: Secret, token: Option<Secret>) -> Result<Self, String> {
        let id = id.trim();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(t!("holds what cannot be an AccessKeyId").to_owned());
        }
        Ok(Self { id: id.to_owned(), secret, token: token.filter(|token| !token.is_empty()) })
    }
}

/// A RAM role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    /// `acs:ram::<account>:role/<name>`.
    pub(super) arn: String,
    /// The name that the session has in the audit log; `None`: this program's.
    pub(super) session_name: Option<String>,
    /// How long the credentials last, in seconds; STS wants at least 900.
    pub(super) seconds: u32,
    /// A policy that narrows the role.
    pub(super) policy: Option<String>,
    /// What the role's owner wants to be told.
    pub(super) external_id: Option<String>,
    /// The host of STS.
    pub(super) sts_host: String,
}

/// What a profile says of a role; what it leaves out comes from variables, as with the vendor's SDKs.
#[derive(Default)]
pub(super) struct RoleOfProfile {
    pub(super) arn: Option<String>,
    pub(super) session_name: Option<String>,
    pub(super) seconds: Option<u32>,
    pub(super) policy: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) sts_region: Option<String>,
    pub(super) enable_vpc: Option<bool>,
}

impl RoleOfProfile {
    /// The role, completed from variables; `Err` says what is missing or wrong.
    pub(super) fn complete(self, environment: &Environment) -> Result<Role, String> {
        let filled = |own: Option<String>, variable: &str| {
            own.filter(|text| !text.is_empty()).or_else(|| environment.get(variable).map(str::to_owned))
        };
        let arn = filled(self.arn, "ALIBABA_CLOUD_ROLE_ARN").ok_or(t!("names no role (`ram_role_arn`)"))?;
        let seconds = self.seconds.filter(|seconds| *seconds > 0).unwrap_or(USUAL_SECONDS);
        if seconds < LEAST_SECONDS {
            return Err(t!("asks for credentials of %{seconds} s; %{LEAST_SECONDS} is the least", seconds, LEAST_SECONDS));
        }
        let is_vpc = self.enable_vpc.unwrap_or_else(|| environment.flag("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"));
        let prefix = if is_vpc { "sts-vpc" } else { "sts" };
        let sts_host = match filled(self.sts_region, "ALIBABA_CLOUD_STS_REGION") {
            Some(region) if region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                format!("{prefix}.{region}.aliyuncs.com")
            }
            Some(region) => return Err(t!("names the STS region `%{region}`, which is none", region)),
            None => "sts.aliyuncs.com".to_owned(),
        };
        Ok(Role {
            arn,
            session_name: filled(self.session_name, "ALIBABA_CLOUD_ROLE_SESSION_NAME"),
            seconds,
            policy: self.policy.filter(|policy| !policy.is_empty()),
            external_id: self.external_id.filter(|id| !id.is_empty()),
            sts_host,
        })
    }
}

/// How long assumed roles last where nothing else is said, as with the vendor's SDKs.
const USUAL_SECONDS: u32 = 3600;

/// The least that STS gives.
const LEAST_SECONDS: u32 = 900;
