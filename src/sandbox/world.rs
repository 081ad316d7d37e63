//! What all servers of a sandbox share.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;

use super::{
    Addresses, NewOrder, SandboxOptions,
    ca::CertificateAuthority,
    cas::{deploying::Deployments, gate::Gate},
    counter::Counter,
    dns::{
        SharedZones,
        authority::{Authority, Behaviour},
        recursive::Recursive,
    },
    faults::{Fault, Rules, Service},
    locked,
    orders::{OrderBook, kinds::OrderTraits},
    records,
    state::{CertificateState, OrderState, RecordState, ServerState, State},
    validator::Wake,
    zone::NewRecord,
};
use crate::{
    error::{Error, Result},
    name::Name,
    record::Record,
};

/// The TTL of a record that was put in by hand, in seconds.
const TTL: u32 = 60;

/// What all servers of a sandbox share. Where two locks are held, orders come before zones.
pub(super) struct World {
    pub(super) options: SandboxOptions,
    pub(super) addresses: Addresses,
    pub(super) zones: SharedZones,
    pub(super) orders: Mutex<OrderBook>,
    /// Locked after the orders.
    pub(super) deployments: Mutex<Deployments>,
    pub(super) faults: Arc<Mutex<Rules>>,
    pub(super) gate: Mutex<Gate>,
    pub(super) authorities: Vec<Arc<Authority>>,
    pub(super) resolver: Arc<Recursive>,
    pub(super) calls: Counter,
    pub(super) provider_calls: Counter,
    pub(super) ca: CertificateAuthority,
    /// Where secrets were seen that do not belong there.
    pub(super) leaks: Mutex<Vec<String>>,
    /// How many seconds the clock of the CAS is ahead.
    pub(super) skew: AtomicI64,
    /// The STS token that took the place of that of the options.
    pub(super) token: Mutex<Option<String>>,
    pub(super) wake: UnboundedSender<Wake>,
}

impl World {
    /// Puts in an order.
    pub(super) fn add_order(&self, order: NewOrder, traits: OrderTraits) -> String {
        let delay = traits.challenge_delay_ms.map_or(self.options.challenge_delay, Duration::from_millis);
        let challenge_at = Instant::now() + delay;
        let root_of = |name: &Name| self.root_of(name);
        let (id, names) = locked(&self.orders).add(order, traits, challenge_at, root_of, &self.ca);
        self.look(names, challenge_at);
        id
    }

    /// Lets something go wrong.
    pub(super) fn fault(&self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Calls { service, action, times, answer } => locked(&self.faults).add(service, action, times, answer),
            Fault::Order { order, change } => {
                let now = Instant::now();
                let changed = locked(&self.orders).change(order.as_str(), &change, now, &self.ca);
                let (names, at) = changed.ok_or_else(|| Error::usage(format!("the sandbox has no order `{order}`")))?;
                self.look(names, at);
            }
            Fault::Authority { server, behaviour } => {
                let authority = self.authorities.get(server).ok_or_else(|| {
                    Error::usage(format!("the sandbox has no authority {server}; 0 is the primary, 1 and 2 are the secondaries"))
                })?;
                authority.behave(behaviour, Instant::now());
                self.look_at_all();
            }
            Fault::Package { product, left } => locked(&self.orders).packages.set_left(&product, left),
            Fault::CloudResource { product, domain, fails } => locked(&self.deployments).add_resource(&product, &domain, fails),
            Fault::ClockSkew { seconds } => self.skew.store(seconds, Ordering::Relaxed),
            Fault::SecurityToken { token } => *locked(&self.token) = Some(token),
        }
        Ok(())
    }

    /// Takes back all faults of calls, servers and clock; a token that expired stays so.
    pub(super) fn clear_faults(&self) {
        locked(&self.faults).clear();
        self.skew.store(0, Ordering::Relaxed);
        for authority in &self.authorities {
            authority.behave(Behaviour::Normal, Instant::now());
        }
        self.look_at_all();
    }

    /// Puts a record into the primary.
    pub(super) fn add_record(&self, record: &Record) -> Result<()> {
        let data = records::parse(record.record_type.as_str(), &record.value)
            .ok_or_else(|| Error::usage(format!("`{}` is no value of a {} record", record.value, record.record_type)))?;
        let content = records::content(&data);
        let new = NewRecord { name: record.name.clone(), data, ttl: TTL, content };
        let added = locked(&self.zones).add(new, Instant::now());
        added.map(|_| ()).ok_or_else(|| Error::usage(format!("no zone of the sandbox holds `{}`", record.name)))
    }

    /// How many seconds the clock of the CAS is ahead.
    pub(super) fn clock_skew(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }

    /// Counts a call.
    pub(super) fn count_call(&self, service: Service, action: &str) {
        match service {
            Service::Cas => self.calls.count(action.to_owned()),
            Service::Provider | Service::Update => self.provider_calls.count(action.to_owned()),
            Service::Web => {}
        }
    }

    /// Orders, records, counters.
    pub(super) fn state(&self) -> State {
        let now = Instant::now();
        let mut orders = locked(&self.orders);
        orders.advance(now, &self.ca);
        let orders = orders.iter().map(|order| OrderState::of(order, now)).collect();
        let servers = self.authorities.iter().zip(&self.addresses.authorities).map(|(authority, address)| ServerState {
            address: *address,
            behaviour: authority.behaviour(),
            lag_ms: u64::try_from(authority.lag().as_millis()).unwrap_or(u64::MAX),
            questions: authority.questions.counts(),
        });
        State {
            orders,
            records: self.records(),
            calls: self.calls.counts(),
            provider_calls: self.provider_calls.counts(),
            authorities: servers.collect(),
            resolver_questions: self.resolver.questions.counts(),
        }
    }

    /// One order.
    pub(super) fn order(&self, id: &str) -> Option<OrderState> {
        let now = Instant::now();
        let mut orders = locked(&self.orders);
        orders.advance(now, &self.ca);
        orders.get(id).map(|order| OrderState::of(order, now))
    }

    /// The records that the primary has now, without those that every zone has.
    pub(super) fn records(&self) -> Vec<RecordState> {
        let now = Some(Instant::now());
        let zones = locked(&self.zones);
        let all = zones.iter().flat_map(|zone| zone.all(now).filter(|entry| entry.was_added()).map(RecordState::of));
        all.collect()
    }

    /// The CA's own certificates, and those that it issued, without keys.
    pub(super) fn certificates(&self) -> BTreeMap<&'static str, serde_json::Value> {
        let mut orders = locked(&self.orders);
        orders.advance(Instant::now(), &self.ca);
        let issued: Vec<CertificateState> =
            orders.certificates().map(|(id, order, certificate)| CertificateState::of(id, order, certificate)).collect();
        BTreeMap::from([
            ("root", serde_json::json!(self.ca.root())),
            ("intermediate", serde_json::json!(self.ca.intermediate())),
            ("issued", serde_json::json!(issued)),
        ])
    }

    /// The zone that the CA names for a domain: the sandbox's own, else the last two labels.
    pub(super) fn root_of(&self, name: &Name) -> Name {
        let zone = locked(&self.zones).holding(name).map(|zone| zone.apex.clone());
        zone.unwrap_or_else(|| name.ancestors().find(|ancestor| ancestor.labels().count() <= 2).unwrap_or_else(Name::root))
    }

    /// Has the validator look at these names at a time.
    pub(super) fn look(&self, names: Vec<Name>, at: Instant) {
        for name in names {
            // The validator is gone only when the sandbox is.
            let _ = self.wake.send(Wake::Look(name, at));
        }
    }

    fn look_at_all(&self) {
        let names: Vec<Name> = locked(&self.orders).awaited_names().cloned().collect();
        self.look(names, Instant::now());
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
