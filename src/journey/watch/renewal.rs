//! Renewals of a watch: what is due is applied for before orders are listed, and the order then goes the way of every other.
//!
//! Sources differ in what is due and in how it is applied for ([`Renewals`]); when a certificate is tried again does not.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    attempts::Attempts,
    decide::{Breaker, concerns_all},
};
use crate::{
    error::{Error, Result},
    journey::event::{Event, Observer},
    language::t,
    mutex::locked,
    name::{Name, in_words},
    order::{Listing, Order, OrderId, OrderSource, OrderState, OrderSummary},
};

/// A certificate that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What stands for the certificate, the same each time: the order that it came from.
    pub certificate: OrderId,
    /// Its names.
    pub names: Vec<Name>,
    /// Why it is due, for people; `None` where an order is under way already.
    pub why: Option<String>,
}

/// Says of which certificates nothing is to be tried for now.
pub type Rests<'a> = dyn Fn(&OrderId) -> bool + Send + Sync + 'a;

/// What a source renews, and how.
#[async_trait]
pub trait Renewals: Send + Sync {
    /// The certificates that are due, without those that `rests` says yes to.
    ///
    /// # Errors
    /// Where it cannot be found out.
    async fn due(&self, rests: &Rests<'_>) -> Result<Vec<Candidate>>;

    /// Applies for one of them. Returns its order, which may be the one that is under way already, and what a person should know.
    ///
    /// # Errors
    /// Of the CA.
    async fn apply(&self, certificate: &OrderId) -> Result<(OrderSummary, Option<String>)>;

    /// The order, where it is known without asking the CA that nothing is to be done about it: an earlier watch left it.
    ///
    /// # Errors
    /// Where it cannot be found out.
    async fn settled(&self, _order: &OrderId) -> Result<Option<Order>> {
        Ok(None)
    }
}

/// An order source that applies for what is due.
pub struct Renewing {
    source: Arc<dyn OrderSource>,
    renewals: Arc<dyn Renewals>,
    observer: Arc<dyn Observer>,
    /// Only certificates for one of these names; empty: all.
    domains: Vec<Name>,
    began: Instant,
    attempts: Mutex<Attempts>,
    breaker: Mutex<Breaker>,
}

impl Renewing {
    /// Orders of `source`, with what `renewals` finds due. `domains` are those of `--domain`.
    pub fn new(
        source: Arc<dyn OrderSource>,
        renewals: Arc<dyn Renewals>,
        observer: Arc<dyn Observer>,
        domains: Vec<Name>,
    ) -> Self {
        let (attempts, breaker) = (Mutex::default(), Mutex::default());
        Self { source, renewals, observer, domains, began: Instant::now(), attempts, breaker }
    }

    /// Applies for what is due; returns the orders.
    async fn renew(&self) -> Vec<OrderSummary> {
        if locked(&self.breaker).admit(self.began.elapsed()).is_err() {
            return Vec::new();
        }
        let due = match self.renewals.due(&|id| locked(&self.attempts).rests(id, self.began.elapsed())).await {
            Ok(due) => due,
            Err(error) => {
                self.warn(&error.context(t!("what is due for renewal cannot be found out")));
                return Vec::new();
            }
        };
        let wanted = |names: &[Name]| self.domains.is_empty() || names.iter().any(|name| self.domains.contains(name));
        let mut orders = Vec::new();
        for candidate in due.into_iter().filter(|candidate| wanted(&candidate.names)) {
            let applied = self.renewals.apply(&candidate.certificate).await;
            let now = self.began.elapsed();
            let went_well = applied.as_ref().err().is_none_or(|error| !concerns_all(error));
            let opened = locked(&self.breaker).note(went_well, now);
            match applied {
                Ok((order, note)) => {
                    if let Some(note) = note {
                        self.observer.event(&Event::Warning { order: None, message: &note, hint: None });
                    }
                    if let Some(why) = &candidate.why {
                        self.observer.event(&Event::Renewal { order: &order.id, names: &candidate.names, why });
                    }
                    locked(&self.attempts).applied(&candidate.certificate, &order.id, now);
                    orders.push(order);
                }
                Err(error) => {
                    locked(&self.attempts).failed(&candidate.certificate, &error, now, rand::random());
                    let names = in_words(&candidate.names);
                    self.warn(&error.context(t!("%{names}: its renewal could not be applied for", names)));
                    if opened {
                        // The account, or the service: the others would only meet the same.
                        break;
                    }
                }
            }
        }
        orders
    }

    fn warn(&self, error: &Error) {
        self.observer.event(&Event::Warning { order: None, message: &error.to_string(), hint: error.hint() });
    }
}

#[async_trait]
impl OrderSource for Renewing {
    fn looks_by_itself(&self) -> bool {
        self.source.looks_by_itself()
    }

    async fn list(&self) -> Result<Listing> {
        let applied = self.renew().await;
        let mut listing = self.source.list().await?;
        let listed: HashSet<OrderId> = listing.orders.iter().map(|order| order.id.clone()).collect();
        listing.orders.extend(applied.into_iter().filter(|order| !listed.contains(&order.id)));
        Ok(listing)
    }

    async fn read(&self, id: &OrderId) -> Result<Order> {
        if let Some(settled) = self.renewals.settled(id).await? {
            return Ok(settled);
        }
        let order = self.source.read(id).await?;
        if matches!(order.state, OrderState::Failed { .. }) {
            locked(&self.attempts).refused(id, self.began.elapsed(), rand::random());
        }
        Ok(order)
    }

    async fn in_place(&self, order: &Order) -> Result<()> {
        self.source.in_place(order).await
    }

    async fn delivered(&self, id: &OrderId) -> Result<()> {
        locked(&self.attempts).done(id, self.began.elapsed());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorKind, journey::event::Silent, order::Generation};

    fn id(text: &str) -> OrderId {
        OrderId::parse(text).unwrap()
    }

    /// Three certificates are due; the middle one cannot be applied for.
    struct Three {
        asked: Mutex<Vec<OrderId>>,
    }

    #[async_trait]
    impl Renewals for Three {
        async fn due(&self, rests: &Rests<'_>) -> Result<Vec<Candidate>> {
            let candidate = |text: &str| Candidate {
                certificate: id(text),
                names: vec![Name::parse(&format!("{text}.example")).unwrap()],
                why: Some("it ends soon".into()),
            };
            Ok(["a", "b", "c"].map(candidate).into_iter().filter(|candidate| !rests(&candidate.certificate)).collect())
        }

        async fn apply(&self, certificate: &OrderId) -> Result<(OrderSummary, Option<String>)> {
            locked(&self.asked).push(certificate.clone());
            if certificate.as_str() == "b" {
                return Err(Error::new(ErrorKind::Refused, "no quota is left"));
            }
            let summary = OrderSummary {
                id: id(&format!("order-{certificate}")),
                generation: Generation::Instance,
                domains: Vec::new(),
                state: "checking".into(),
                is_final: false,
                is_domain_validated: true,
            };
            Ok((summary, None))
        }
    }

    /// A source that lists one order.
    struct Source;

    #[async_trait]
    impl OrderSource for Source {
        fn looks_by_itself(&self) -> bool {
            true
        }

        async fn list(&self) -> Result<Listing> {
            let order = |text: &str| OrderSummary {
                id: id(text),
                generation: Generation::Instance,
                domains: Vec::new(),
                state: "checking".into(),
                is_final: false,
                is_domain_validated: true,
            };
            Ok(Listing { orders: vec![order("other"), order("order-a")], unanswered: Vec::new() })
        }

        async fn read(&self, id: &OrderId) -> Result<Order> {
            let state = OrderState::Failed { reason: "CAA".into() };
            Ok(Order {
                id: id.clone(),
                generation: Generation::Instance,
                domains: Vec::new(),
                state,
                certificate_id: None,
                note: None,
            })
        }

        async fn in_place(&self, _: &Order) -> Result<()> {
            Ok(())
        }

        fn origin(&self) -> &'static str {
            "x"
        }
    }

    #[tokio::test]
    async fn what_is_due_is_applied_for_once_and_one_failure_holds_nobody_up() {
        let three = Arc::new(Three { asked: Mutex::default() });
        let renewing = Renewing::new(Arc::new(Source), three.clone(), Arc::new(Silent), Vec::new());
        let ids = |listing: Listing| listing.orders.into_iter().map(|order| order.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(renewing.list().await.unwrap()), ["other", "order-a", "order-c"]);
        assert_eq!(ids(renewing.list().await.unwrap()), ["other", "order-a"]);
        assert_eq!(*locked(&three.asked), [id("a"), id("b"), id("c")], "each once: two are under way, one rests");
        renewing.delivered(&id("order-a")).await.unwrap();
        // The CA refused this one, so that it rests too.
        renewing.read(&id("order-c")).await.unwrap();
        renewing.list().await.unwrap();
        assert_eq!(locked(&three.asked).len(), 4);
        let only = vec![Name::parse("c.example").unwrap()];
        let renewing = Renewing::new(Arc::new(Source), three.clone(), Arc::new(Silent), only);
        renewing.list().await.unwrap();
        assert_eq!(locked(&three.asked)[4..], [id("c")]);
    }
}
