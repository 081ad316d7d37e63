//! Alibaba Cloud Certificate Management Service (CAS): three generations of its API behind one [`OrderSource`].

use async_trait::async_trait;
use url::Url;

use super::{Generation, Listing, Order, OrderId, OrderSource};
use crate::{
    environment::Environment,
    error::{Error, Result},
    http::Http,
    secret::Redactor,
};

/// Which signature requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Signature {
    /// RPC signature, HMAC-SHA1.
    #[default]
    V1,
    /// ACS3-HMAC-SHA256.
    V3,
}

/// How CAS is reached.
#[derive(Clone, Debug)]
pub struct CasOptions {
    /// The generations to use; empty: `auto`.
    pub generations: Vec<Generation>,
    /// `--endpoint`: scheme, host and port; `None`: by `region`.
    pub endpoint: Option<Url>,
    /// The region (`--region`): `cn-hangzhou`, `ap-southeast-1`.
    pub region: Option<String>,
    /// The signature.
    pub signature: Signature,
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
            generations: Vec::new(),
            endpoint: None,
            region: None,
            signature: Signature::V1,
            lang: None,
            source_ip: None,
            calls_per_second: 10,
        }
    }
}

/// CAS as an order source.
#[derive(Debug)]
pub struct Cas {}

impl Cas {
    /// Prepares the client; calls nothing yet. Credentials are resolved for each call from `environment` and the files of the official tools.
    ///
    /// # Errors
    /// `ErrorKind::Config` for an endpoint that is not https (or http to loopback).
    pub fn new(options: CasOptions, environment: Environment, http: Http, redactor: Redactor) -> Result<Self> {
        let _ = (options, environment, http, redactor, Error::usage(""));
        unimplemented!()
    }

    /// How many calls were sent so far, by action; for `-v` and the benchmarks.
    pub fn calls(&self) -> Vec<(String, u64)> {
        unimplemented!()
    }
}

#[async_trait]
impl OrderSource for Cas {
    fn looks_by_itself(&self) -> bool {
        true
    }

    async fn list(&self) -> Result<Listing> {
        unimplemented!()
    }

    async fn read(&self, _id: &OrderId) -> Result<Order> {
        unimplemented!()
    }

    async fn in_place(&self, _order: &Order) -> Result<()> {
        Ok(())
    }

    fn origin(&self) -> &str {
        unimplemented!()
    }
}
