//! A CAS, authoritative DNS servers, a DNS provider and a small CA on loopback: for `dv-verify demo`, `dv-verify sandbox`, and tests.
//!
//! Its validator asks the DNS servers with hickory-resolver, not with this program's own probe, so that the demo does not prove itself.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{error::Result, name::Name, order::Generation};

/// What the sandbox plays.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The zones that its DNS servers serve and its provider account holds.
    pub zones: Vec<Name>,
    /// How long the two secondaries lag behind the primary.
    pub lag: Duration,
    /// The AccessKeyId that its CAS accepts.
    pub access_key_id: String,
    /// The AccessKeySecret that its CAS accepts.
    pub access_key_secret: String,
    /// The API token that its DNS provider (Cloudflare's API) accepts.
    pub api_token: String,
    /// How long the CA takes from an order to its challenge.
    pub challenge_delay: Duration,
    /// How often the validator looks at the authorities of a waiting order.
    pub validation_interval: Duration,
    /// How long the CA takes from seeing the record to the certificate.
    pub issue_delay: Duration,
    /// The account's limit in calls per second; `None`: no limit.
    pub calls_per_second: Option<u32>,
}

/// A running sandbox. Dropping it stops its servers.
#[derive(Debug)]
pub struct Sandbox {
    addresses: Addresses,
}

/// Where the servers of a sandbox listen. All on loopback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// The CAS endpoint, for `--endpoint`.
    pub cas: Url,
    /// The provider's API (Cloudflare's), for `DV_CLOUDFLARE_BASE_URL`.
    pub cloudflare: Url,
    /// The control API of the sandbox itself: new orders, faults, counters.
    pub control: Url,
    /// The primary and the two secondaries, for `--authority`. The primary also takes DNS UPDATE with TSIG.
    pub authorities: Vec<SocketAddr>,
    /// A recursive resolver that knows the sandbox's zones, for `--resolver`.
    pub resolver: SocketAddr,
}

/// An order to put into the sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewOrder {
    /// The API that it is read with.
    pub generation: Generation,
    /// The names of its certificate.
    pub domains: Vec<Name>,
}

impl Sandbox {
    /// Starts all servers on free ports.
    ///
    /// # Errors
    /// `ErrorKind::Unexpected` where loopback cannot be bound.
    pub async fn start(options: SandboxOptions) -> Result<Self> {
        let _ = options;
        unimplemented!()
    }

    /// Where the servers listen.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Puts in an order that waits for validation, and returns its id.
    pub fn add_order(&self, order: NewOrder) -> crate::order::OrderId {
        let _ = order;
        unimplemented!()
    }
}
