//! A CAS, authoritative DNS servers, a DNS provider and a small CA on loopback: for `dv-verify demo`, `dv-verify sandbox`, and tests.
//!
//! Its validator asks the DNS servers with hickory-resolver, not with this program's own probe, so that the demo does not prove itself.
//! `docs/sandbox.md` says what each server does, and how it differs from the real one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hickory_proto::rr::{TSigner, rdata::tsig::TsigAlgorithm};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc::unbounded_channel, task::JoinSet};
use url::Url;

use self::{
    ca::CertificateAuthority,
    dns::{Sockets, authority::Authority, recursive::Recursive},
    orders::OrderBook,
    serving::{Doors, Serving, bound, serve_authorities},
    validator::Validator,
    world::World,
    zone::Zones,
};
pub use self::{
    dns::authority::Behaviour,
    faults::{Answer, Fault, Service},
    orders::kinds::{OrderChange, OrderTraits, Validation},
    state::{CertificateState, ChallengeState, OrderState, RecordState, ServerState, State},
};
use crate::{
    error::{Error, ErrorKind, Result},
    mutex::locked,
    name::Name,
    order::{Generation, OrderId},
    record::Record,
};

mod ca;
mod cas;
mod cloudflare;
mod control;
mod counter;
mod dns;
mod faults;
mod orders;
mod powerdns;
mod records;
mod serving;
mod state;
mod validator;
mod web;
mod website;
mod world;
mod zone;

/// What the sandbox plays.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The zones that its DNS servers serve and its provider account holds.
    pub zones: Vec<Name>,
    /// How long the two secondaries lag behind the primary.
    pub lag: Duration,
    /// How long the resolver keeps a negative answer (the zones' SOA minimum), in whole seconds.
    pub negative_ttl: Duration,
    /// The AccessKeyId that its CAS accepts.
    pub access_key_id: String,
    /// The AccessKeySecret that its CAS accepts.
    pub access_key_secret: String,
    /// Other accounts of the same CAS: AccessKeyIds with their AccessKeySecrets. Each sees its own orders, and has a limit of its own.
    pub other_accounts: BTreeMap<String, String>,
    /// The STS token that its CAS asks for; `None`: none, and a call that carries one is refused.
    pub security_token: Option<String>,
    /// The API token that its DNS provider accepts, in Cloudflare's API and in PowerDNS's.
    pub api_token: String,
    /// The name of the key that may update the primary (hmac-sha256).
    pub tsig_key: Name,
    /// The secret of that key, base64.
    pub tsig_secret: String,
    /// The folder that its web server serves, under the name of every host; a folder in it that has the name of a host is what that host
    /// serves. `None`: it finds nothing.
    pub web_root: Option<PathBuf>,
    /// How long the CA takes from an order to its challenge.
    pub challenge_delay: Duration,
    /// How often the validator looks at the authorities of a waiting order. A change of the zone data wakes it at once.
    pub validation_interval: Duration,
    /// How long the CA takes from seeing the record to the certificate.
    pub issue_delay: Duration,
    /// The account's limit in calls per second; `None`: no limit.
    pub calls_per_second: Option<u32>,
    /// How many days ago the certificates began that its CA issues.
    pub certificate_age: u16,
}

impl Default for SandboxOptions {
    /// One zone, `example.com`, small delays, no lag, no limit; keys that are known to everybody.
    fn default() -> Self {
        Self {
            zones: vec![known_name("example.com")],
            lag: Duration::ZERO,
            negative_ttl: Duration::from_mins(1),
            access_key_id: "LTAI5tSandboxAccessKeyId".to_owned(),
            access_key_secret: "SandboxAccessKeySecret00000000".to_owned(),
            other_accounts: BTreeMap::new(),
            security_token: None,
            api_token: "sandbox-api-token-0000000000000000000000".to_owned(),
            tsig_key: known_name("dv-sandbox"),
            tsig_secret: "ZHYtdmVyaWZ5LXNhbmRib3gtdHNpZy1zZWNyZXQtMDE=".to_owned(),
            web_root: None,
            challenge_delay: Duration::from_millis(300),
            validation_interval: Duration::from_secs(1),
            issue_delay: Duration::from_millis(300),
            calls_per_second: None,
            certificate_age: 1,
        }
    }
}

/// A running sandbox. Dropping it stops its servers.
#[derive(Debug)]
pub struct Sandbox {
    addresses: Addresses,
    world: Arc<World>,
    serving: Option<Serving>,
    _tasks: JoinSet<()>,
}

/// Where the servers of a sandbox listen. All on loopback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// The CAS endpoint, for `--endpoint`.
    pub cas: Url,
    /// The provider's API (Cloudflare's), for `DV_CLOUDFLARE_BASE_URL`.
    pub cloudflare: Url,
    /// The same provider account through PowerDNS's API, for `DV_POWERDNS_API_URL`.
    pub powerdns: Url,
    /// The control API of the sandbox itself: new orders, faults, counters.
    pub control: Url,
    /// The web server of every host, for `--web-server`.
    pub web: Url,
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
    /// `ErrorKind::Unexpected` where loopback cannot be bound; `ErrorKind::Usage` for a TSIG secret that is not base64.
    pub async fn start(options: SandboxOptions) -> Result<Self> {
        let signer = signer(&options)?;
        let (wake, woken) = unbounded_channel();
        let negative_ttl = u32::try_from(options.negative_ttl.as_secs()).unwrap_or(u32::MAX);
        let zones = Arc::new(Mutex::new(Zones::new(&options.zones, negative_ttl, wake.clone())));
        let faults: Arc<Mutex<faults::Rules>> = Arc::default();
        let authority = |lag, signer| Arc::new(Authority::new(Arc::clone(&zones), lag, signer, Arc::clone(&faults)));
        let authorities =
            vec![authority(Duration::ZERO, Some(signer)), authority(options.lag, None), authority(options.lag, None)];
        let negative = options.negative_ttl;
        let resolver = Arc::new(Recursive::new(Arc::clone(&zones), &options.zones, authorities.clone(), negative));

        let doors = Doors::open().await?;
        let addresses = doors.addresses()?;
        let mut tasks = JoinSet::new();
        let private = bound(Sockets::three().await)?;
        let validator_addresses = private.iter().map(|sockets| bound(sockets.address())).collect::<Result<Vec<_>>>()?;
        serve_authorities(private, &authorities, false, &mut tasks);
        let validator = Validator::new(&validator_addresses, options.lag, options.validation_interval, options.issue_delay)?;
        let world = Arc::new(World {
            gate: Mutex::new(cas::gate::Gate::new(options.calls_per_second)),
            zones,
            orders: Mutex::new(OrderBook::default()),
            deployments: Mutex::default(),
            faults,
            authorities,
            resolver,
            calls: counter::Counter::default(),
            provider_calls: counter::Counter::default(),
            ca: CertificateAuthority::new(options.certificate_age)?,
            leaks: Mutex::default(),
            skew: 0.into(),
            token: Mutex::default(),
            wake,
            addresses: addresses.clone(),
            options,
        });
        tasks.spawn(validator.run(Arc::clone(&world), woken));
        let serving = Some(doors.serve(&world));
        Ok(Self { addresses, world, serving, _tasks: tasks })
    }

    /// Ends every server that outsiders reach, closes its connections, and starts it again at the same address with all that it knew: orders,
    /// records, faults, counters.
    ///
    /// # Errors
    /// `ErrorKind::Unexpected` where another program took one of the ports meanwhile.
    pub async fn restart(&mut self) -> Result<()> {
        if let Some(serving) = self.serving.take() {
            serving.end().await;
        }
        self.serving = Some(Doors::reopen(&self.addresses).await?.serve(&self.world));
        Ok(())
    }

    /// Where the servers listen.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What the sandbox was started with.
    pub fn options(&self) -> &SandboxOptions {
        &self.world.options
    }

    /// Puts in an order that waits for validation, and returns its id.
    pub fn add_order(&self, order: NewOrder) -> OrderId {
        self.add_order_with(order, OrderTraits::default())
    }

    /// Puts in an order that is something else beside its API and names, and returns its id.
    pub fn add_order_with(&self, order: NewOrder, traits: OrderTraits) -> OrderId {
        let id = self.world.add_order(order, traits);
        OrderId::parse(&id).expect("the sandbox makes ids of letters, digits, `-` and `_`")
    }

    /// Lets something go wrong.
    ///
    /// # Errors
    /// `ErrorKind::Usage` for an order or a server that is not there.
    pub fn fault(&self, fault: Fault) -> Result<()> {
        self.world.fault(fault)
    }

    /// Takes back all faults of calls, servers and clock. What happened to orders stays.
    pub fn clear_faults(&self) {
        self.world.clear_faults();
    }

    /// Puts a record into the primary, as somebody else than the program would.
    ///
    /// # Errors
    /// `ErrorKind::Usage` for a name that no zone holds.
    pub fn add_record(&self, record: &Record) -> Result<()> {
        self.world.add_record(record)
    }

    /// Orders, records, counters.
    pub fn state(&self) -> State {
        self.world.state()
    }

    /// One order as the CA sees it; `None` where there is none.
    pub fn order(&self, id: &OrderId) -> Option<OrderState> {
        self.world.order(id.as_str())
    }

    /// How often the CAS was called, by action.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.world.calls.counts()
    }

    /// Where HTTP requests showed a secret of the account outside the header that it belongs into; the secret itself is not told.
    pub fn leaks(&self) -> Vec<String> {
        locked(&self.world.leaks).clone()
    }

    /// How often the resolver was asked, by name and type (`example.com NS`).
    pub fn resolver_questions(&self) -> BTreeMap<String, u64> {
        self.world.resolver.questions.counts()
    }

    /// The TXT and CNAME records that the primary has now.
    pub fn records(&self) -> Vec<RecordState> {
        self.world.records()
    }

    /// The certificate of the throw-away CA's root, PEM.
    pub fn root_certificate(&self) -> &str {
        self.world.ca.root()
    }
}

fn signer(options: &SandboxOptions) -> Result<TSigner> {
    let secret =
        STANDARD.decode(&options.tsig_secret).map_err(|_| Error::usage("the TSIG secret of the sandbox is not base64"))?;
    TSigner::new(secret, TsigAlgorithm::HmacSha256, options.tsig_key.to_wire(), 300)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "the sandbox's TSIG key cannot be used").with_source(error))
}

fn known_name(text: &str) -> Name {
    Name::parse(text).expect("a constant that is a name")
}

#[cfg(test)]
mod tests;
