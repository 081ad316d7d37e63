//! A CAS, authoritative DNS servers, a DNS provider and a small CA on loopback: for `dv-verify demo`, `dv-verify sandbox`, and tests.
//!
//! Its validator asks the DNS servers with hickory-resolver, not with this program's own probe, so that the demo does not prove itself.
//! `docs/sandbox.md` says what each server does, and how it differs from the real one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hickory_proto::rr::{TSigner, rdata::tsig::TsigAlgorithm};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc::unbounded_channel, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use self::{
    ca::CertificateAuthority,
    dns::{Responder, Sockets, authority::Authority, authority::Door, recursive::Recursive},
    orders::OrderBook,
    validator::Validator,
    web::Handler,
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
mod records;
mod state;
mod validator;
mod web;
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
    /// The STS token that its CAS asks for; `None`: none, and a call that carries one is refused.
    pub security_token: Option<String>,
    /// The API token that its DNS provider (Cloudflare's API) accepts.
    pub api_token: String,
    /// The name of the key that may update the primary (hmac-sha256).
    pub tsig_key: Name,
    /// The secret of that key, base64.
    pub tsig_secret: String,
    /// How long the CA takes from an order to its challenge.
    pub challenge_delay: Duration,
    /// How often the validator looks at the authorities of a waiting order. A change of the zone data wakes it at once.
    pub validation_interval: Duration,
    /// How long the CA takes from seeing the record to the certificate.
    pub issue_delay: Duration,
    /// The account's limit in calls per second; `None`: no limit.
    pub calls_per_second: Option<u32>,
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
            security_token: None,
            api_token: "sandbox-api-token-0000000000000000000000".to_owned(),
            tsig_key: known_name("dv-sandbox"),
            tsig_secret: "ZHYtdmVyaWZ5LXNhbmRib3gtdHNpZy1zZWNyZXQtMDE=".to_owned(),
            challenge_delay: Duration::from_millis(300),
            validation_interval: Duration::from_secs(1),
            issue_delay: Duration::from_millis(300),
            calls_per_second: None,
        }
    }
}

/// A running sandbox. Dropping it stops its servers.
#[derive(Debug)]
pub struct Sandbox {
    addresses: Addresses,
    world: Arc<World>,
    _stop: DropGuard,
    _tasks: JoinSet<()>,
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
    /// `ErrorKind::Unexpected` where loopback cannot be bound; `ErrorKind::Usage` for a TSIG secret that is not base64.
    pub async fn start(options: SandboxOptions) -> Result<Self> {
        let signer = signer(&options)?;
        let (wake, woken) = unbounded_channel();
        let negative_ttl = u32::try_from(options.negative_ttl.as_secs()).unwrap_or(u32::MAX);
        let zones = Arc::new(Mutex::new(Zones::new(&options.zones, negative_ttl, wake.clone())));
        let authority = |lag, signer| Arc::new(Authority::new(Arc::clone(&zones), lag, signer));
        let authorities =
            vec![authority(Duration::ZERO, Some(signer)), authority(options.lag, None), authority(options.lag, None)];
        let negative = options.negative_ttl;
        let resolver = Arc::new(Recursive::new(Arc::clone(&zones), &options.zones, authorities.clone(), negative));

        let mut tasks = JoinSet::new();
        let public = bound(Sockets::three().await)?;
        let authority_addresses = serve_authorities(public, &authorities, true, &mut tasks)?;
        let private = bound(Sockets::three().await)?;
        let validator_addresses = serve_authorities(private, &authorities, false, &mut tasks)?;
        let resolver_sockets = bound(Sockets::one().await)?;
        let resolver_address = bound(resolver_sockets.address())?;
        resolver_sockets.serve(Arc::clone(&resolver) as Arc<dyn Responder>, &mut tasks);

        let (cas, cas_address) = web::listen().await?;
        let (provider, provider_address) = web::listen().await?;
        let (control, control_address) = web::listen().await?;
        let addresses = Addresses {
            cas: url(cas_address, "/")?,
            cloudflare: url(provider_address, "/client/v4")?,
            control: url(control_address, "/")?,
            authorities: authority_addresses,
            resolver: resolver_address,
        };
        let validator = Validator::new(&validator_addresses, options.lag, options.validation_interval, options.issue_delay)?;
        let stop = CancellationToken::new();
        let world = Arc::new(World {
            gate: Mutex::new(cas::gate::Gate::new(options.calls_per_second, Instant::now())),
            zones,
            orders: Mutex::new(OrderBook::default()),
            faults: Mutex::default(),
            authorities,
            resolver,
            calls: counter::Counter::default(),
            provider_calls: counter::Counter::default(),
            ca: CertificateAuthority::new()?,
            skew: 0.into(),
            wake,
            addresses: addresses.clone(),
            stop: stop.clone(),
            options,
        });
        tasks.spawn(validator.run(Arc::clone(&world), woken));
        let services: [(_, Option<Service>, Handler); 3] = [
            (cas, Some(Service::Cas), cas::handle),
            (provider, Some(Service::Provider), cloudflare::handle),
            (control, None, control::handle),
        ];
        for (listener, service, handler) in services {
            web::serve(listener, Arc::clone(&world), service, handler, stop.clone());
        }
        Ok(Self { addresses, world, _stop: stop.drop_guard(), _tasks: tasks })
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

/// A lock that is used even where a task that held it panicked: the sandbox's data are changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve_authorities(
    sockets: Vec<Sockets>,
    authorities: &[Arc<Authority>],
    counted: bool,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for (sockets, authority) in sockets.into_iter().zip(authorities) {
        addresses.push(bound(sockets.address())?);
        sockets.serve(Arc::new(Door { authority: Arc::clone(authority), counted }), tasks);
    }
    Ok(addresses)
}

fn bound<T>(outcome: std::io::Result<T>) -> Result<T> {
    outcome.map_err(|error| Error::new(ErrorKind::Unexpected, "the sandbox cannot listen on loopback").with_source(error))
}

fn url(address: SocketAddr, path: &str) -> Result<Url> {
    Url::parse(&format!("http://{address}{path}"))
        .map_err(|error| Error::new(ErrorKind::Unexpected, "the sandbox's own address is no URL").with_source(error))
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
