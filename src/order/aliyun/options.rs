//! How CAS is reached.

use url::Url;

use super::api_2018;
use crate::order::Generation;

/// Which signature requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// RPC signature, HMAC-SHA1.
    V1,
    /// ACS3-HMAC-SHA256.
    V3,
}

impl Signature {
    /// The one that calls of this version carry where the user chose none: V3 for 2020-04-07, as the current SDKs send it; V1 for 2018-07-13,
    /// which is older than V3.
    pub(super) fn usual(version: &str) -> Self {
        if version == api_2018::VERSION { Self::V1 } else { Self::V3 }
    }
}

/// How CAS is reached.
#[derive(Clone, Debug)]
pub struct CasOptions {
    /// The user's own name for the account (`--account`), where several share a store; empty: none.
    pub account: String,
    /// The generations to use; empty: `auto`.
    pub generations: Vec<Generation>,
    /// `--endpoint`: scheme, host and port; `None`: by `region`.
    pub endpoint: Option<Url>,
    /// The region (`--region`): `cn-hangzhou`, `ap-southeast-1`.
    pub region: Option<String>,
    /// The signature of all requests; `None`: V3 for 2020-04-07, V1 for 2018-07-13.
    pub signature: Option<Signature>,
    /// `Lang` of 2018 requests (`zh`, `en`).
    pub lang: Option<String>,
    /// `SourceIp` of 2018 requests.
    pub source_ip: Option<String>,
    /// Calls per second over all orders of this run; the documented limit of an account is 10.
    pub calls_per_second: u32,
}

impl Default for CasOptions {
    fn default() -> Self {
        Self {
            account: String::new(),
            generations: Vec::new(),
            endpoint: None,
            region: None,
            signature: None,
            lang: None,
            source_ip: None,
            calls_per_second: 10,
        }
    }
}
