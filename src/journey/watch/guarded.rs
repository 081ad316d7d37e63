//! Providers and the order source behind breakers: one that fails again and again is left alone for a while, by all orders.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::decide::{Breaker, concerns_all};
use crate::{
    error::{Error, Result, Retry},
    journey::{
        Routed, Routing,
        event::{Event, Observer},
    },
    language::t,
    mutex::locked,
    name::Name,
    order::{Listing, Order, OrderId, OrderSource},
    provider::{Access, Capabilities, DnsProvider, Found, Handle, Zone},
    record::Record,
};

/// The breakers of a watch, by what they are about. Cheap to clone; they outlive a change of the configuration.
#[derive(Clone)]
pub(super) struct Breakers(Arc<Shared>);

struct Shared {
    began: Instant,
    breakers: Mutex<HashMap<String, Breaker>>,
}

impl Breakers {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared { began: Instant::now(), breakers: Mutex::default() }))
    }

    /// How many orders of a source a machine may have that carries `carried` and has room for `at_once`.
    pub(super) fn room(&self, source: &dyn OrderSource, carried: usize, at_once: usize) -> usize {
        self.with(&about_source(source), |breaker, now| breaker.room(now, carried, at_once))
    }

    /// Forgets what went wrong: the configuration is another one.
    pub(super) fn reset(&self) {
        locked(&self.0.breakers).clear();
    }

    fn with<T>(&self, about: &str, work: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let mut breakers = locked(&self.0.breakers);
        work(breakers.entry(about.to_owned()).or_default(), self.0.began.elapsed())
    }
}

/// What is guarded: its name, the breakers, and who hears about it.
#[derive(Clone)]
struct Gate {
    about: String,
    kind: crate::error::ErrorKind,
    breakers: Breakers,
    observer: Arc<dyn Observer>,
}

impl Gate {
    async fn pass<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if let Err(wait) = self.breakers.with(&self.about, Breaker::admit) {
            return Err(Error::new(
                self.kind,
                t!("%{about} has failed again and again, and is left alone for a while", about = self.about),
            )
            .with_hint(t!("the warnings before tell why it failed; SIGHUP tries at once"))
            .with_retry(Retry::After(wait)));
        }
        let outcome = work.await;
        let went_well = outcome.as_ref().err().is_none_or(|error| !concerns_all(error));
        if self.breakers.with(&self.about, |breaker, now| breaker.note(went_well, now))
            && let Err(error) = &outcome
        {
            let message =
                t!("%{about} has failed again and again, and is left alone for a while: %{error}", about = self.about, error);
            self.observer.event(&Event::Warning { order: None, message: &message, hint: error.hint() });
        }
        outcome
    }
}

fn about_source(source: &dyn OrderSource) -> String {
    t!("order source `%{origin}`", origin = source.origin())
}

/// An order source behind a breaker.
pub(super) struct GuardedSource {
    source: Arc<dyn OrderSource>,
    gate: Gate,
}

impl GuardedSource {
    pub(super) fn new(source: Arc<dyn OrderSource>, breakers: Breakers, observer: Arc<dyn Observer>) -> Self {
        let about = about_source(&*source);
        Self { source, gate: Gate { about, kind: crate::error::ErrorKind::OrderSource, breakers, observer } }
    }
}

#[async_trait]
impl OrderSource for GuardedSource {
    fn looks_by_itself(&self) -> bool {
        self.source.looks_by_itself()
    }

    async fn list(&self) -> Result<Listing> {
        self.gate.pass(self.source.list()).await
    }

    async fn read(&self, id: &OrderId) -> Result<Order> {
        self.gate.pass(self.source.read(id)).await
    }

    async fn in_place(&self, order: &Order) -> Result<()> {
        self.gate.pass(self.source.in_place(order)).await
    }

    async fn delivered(&self, id: &OrderId) -> Result<()> {
        self.source.delivered(id).await
    }

    fn first_interval(&self) -> Duration {
        self.source.first_interval()
    }

    async fn pause(&self, id: &OrderId) -> Option<Duration> {
        self.source.pause(id).await
    }

    fn origin(&self) -> &str {
        self.source.origin()
    }
}

/// A routing whose providers are behind breakers, one for each instance.
pub(super) struct GuardedRouting {
    routing: Arc<dyn Routing>,
    breakers: Breakers,
    observer: Arc<dyn Observer>,
}

impl GuardedRouting {
    pub(super) fn new(routing: Arc<dyn Routing>, breakers: Breakers, observer: Arc<dyn Observer>) -> Self {
        Self { routing, breakers, observer }
    }

    fn guard(&self, routed: Routed) -> Routed {
        let gate = Gate {
            about: format!("provider `{}`", routed.instance),
            kind: crate::error::ErrorKind::Provider,
            breakers: self.breakers.clone(),
            observer: self.observer.clone(),
        };
        Routed { provider: Arc::new(GuardedProvider { provider: routed.provider, gate }), instance: routed.instance }
    }
}

impl Routing for GuardedRouting {
    fn route(&self, name: &Name) -> Result<Routed> {
        self.routing.route(name).map(|routed| self.guard(routed))
    }

    fn instance(&self, instance: &str) -> Result<Routed> {
        self.routing.instance(instance).map(|routed| self.guard(routed))
    }
}

struct GuardedProvider {
    provider: Arc<dyn DnsProvider>,
    gate: Gate,
}

#[async_trait]
impl DnsProvider for GuardedProvider {
    fn id(&self) -> &str {
        self.provider.id()
    }

    fn capabilities(&self) -> Capabilities {
        self.provider.capabilities()
    }

    async fn locate(&self, name: &Name) -> Result<Zone> {
        self.gate.pass(self.provider.locate(name)).await
    }

    async fn find(&self, zone: &Zone, record: &Record) -> Result<Found> {
        self.gate.pass(self.provider.find(zone, record)).await
    }

    async fn publish(&self, zone: &Zone, record: &Record) -> Result<Handle> {
        self.gate.pass(self.provider.publish(zone, record)).await
    }

    async fn withdraw(&self, zone: &Zone, record: &Record, handle: Option<&Handle>) -> Result<()> {
        self.gate.pass(self.provider.withdraw(zone, record, handle)).await
    }

    async fn probe(&self) -> Result<Access> {
        self.gate.pass(self.provider.probe()).await
    }
}
