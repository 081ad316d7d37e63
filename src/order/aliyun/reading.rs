//! Reading one order: which generation to ask, and whether a list tells enough.

use std::time::Instant;

use super::{Cas, api_2018, failure, instance, order_2020, polling::Look};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
    name::Name,
    order::{ChallengeKind, Generation, Order, OrderId, OrderState},
};

impl Cas {
    /// The order as it was read last, where a list shows that it waits still.
    pub(super) async fn unmoved(&self, generation: Generation, id: &OrderId) -> Option<Order> {
        let mut all = self.waiting.lock().await;
        let waiting = all.entry(generation).or_default();
        match waiting.look(id, Instant::now()) {
            Look::Read => return None,
            Look::Unmoved(order) => return Some(*order),
            Look::List => {}
        }
        let listed = match generation {
            Generation::Instance => instance::list(&self.client, Some("pending")).await,
            _ => order_2020::list_checking(&self.client).await,
        };
        match listed {
            Ok((rows, pages)) => {
                let ids = rows.into_iter().map(|row| row.summary.id).collect();
                waiting.listed(ids, pages, Instant::now());
            }
            // The order itself may still be read.
            Err(error) => {
                tracing::info!("the orders that wait could not be listed: {error}");
                return None;
            }
        }
        match waiting.look(id, Instant::now()) {
            Look::Unmoved(order) => Some(*order),
            Look::Read | Look::List => None,
        }
    }

    pub(super) async fn read_anew(&self, id: &OrderId) -> Result<Order> {
        let candidates = self.candidates(id)?;
        let mut failures = Vec::new();
        for generation in &candidates {
            match self.read_with(*generation, id).await {
                Ok(mut order) => {
                    self.remember(id, *generation);
                    self.add_key(&mut order);
                    return Ok(order);
                }
                // A failure that may pass, or that meets every call, says nothing about where the order is.
                Err(error) if error.retry() != Retry::Never || concerns_every_call(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!("order `{id}` as `{generation}`: {error}");
                    failures.push(error);
                }
            }
        }
        let error = most_telling(failures).unwrap_or_else(|| Error::usage(t!("order `%{id}` was not asked for", id)));
        if let [only] = candidates.as_slice() {
            return Err(self.only_asked_as(*only, error));
        }
        let asked = candidates.iter().map(|generation| generation.as_str()).collect::<Vec<_>>().join(" and ");
        Err(error.context(t!("asked as %{asked}", asked)))
    }

    /// Where an InstanceId is unknown to the one API that the user allows, another one may know it.
    fn only_asked_as(&self, generation: Generation, error: Error) -> Error {
        if self.generations.is_empty() || error.kind() != ErrorKind::UnknownOrder || generation == Generation::Order {
            return error;
        }
        let hint = error.hint().unwrap_or_default().to_owned();
        error.with_hint(t!("only `--api %{generation}` was asked: leave `--api` out, and all are; %{hint}", generation, hint))
    }

    /// The generations to ask for this id, in order; what worked before comes first.
    fn candidates(&self, id: &OrderId) -> Result<Vec<Generation>> {
        let mut candidates =
            if id.is_number() { vec![Generation::Order] } else { vec![Generation::Instance, Generation::Api2018] };
        candidates.retain(|generation| self.is_wanted(*generation));
        if let Some(known) = self.memory().generations.get(id).copied().filter(|known| self.is_wanted(*known)) {
            candidates.retain(|generation| *generation != known);
            candidates.insert(0, known);
        }
        if candidates.is_empty() {
            let wanted = self.generations.iter().map(|generation| generation.as_str()).collect::<Vec<_>>().join(",");
            let (shape, api) =
                if id.is_number() { (t!("an OrderId"), "order") } else { (t!("an InstanceId"), "instance` or `--api 2018") };
            return Err(Error::usage(t!("`%{id}` is %{shape}, which `--api %{wanted}` does not know", id, shape, wanted))
                .with_hint(t!("use `--api %{api}`, or leave `--api` out", api)));
        }
        Ok(candidates)
    }

    async fn read_with(&self, generation: Generation, id: &OrderId) -> Result<Order> {
        match generation {
            Generation::Instance => instance::read(&self.client, id).await,
            Generation::Acme => Err(Error::new(ErrorKind::UnknownOrder, t!("`%{id}` is no order of CAS", id))),
            Generation::Api2018 => api_2018::read(&self.client, id, &self.extras).await,
            Generation::Order => {
                let known = self.memory().domains.get(id).cloned();
                let mut order = order_2020::read(&self.client, id, known.as_deref().unwrap_or_default()).await?;
                if known.is_none() && waits_for_a_record(&order) {
                    order.domains = self.look_up_domains(id).await;
                }
                Ok(order)
            }
        }
    }

    /// The names of an order that is named by its OrderId: the reply to a read does not have them, and its record may be relative to
    /// them. Asked once per order, unless
    /// the failure may pass; where the list cannot be had, the order goes on without.
    async fn look_up_domains(&self, id: &OrderId) -> Vec<Name> {
        let _turn = self.looking_up.lock().await;
        if let Some(known) = self.memory().domains.get(id) {
            return known.clone();
        }
        let found = order_2020::list_checking(&self.client).await;
        let mut memory = self.memory();
        match found {
            Ok((rows, _)) => memory.domains.extend(rows.into_iter().map(|row| (row.summary.id, row.summary.domains))),
            Err(error) => {
                tracing::info!("the names of order `{id}` could not be looked up: {error}");
                if error.retry() != Retry::Never {
                    return Vec::new();
                }
            }
        }
        memory.domains.entry(id.clone()).or_default().clone()
    }

    /// Adds the key that was made here for a certificate that comes without one.
    fn add_key(&self, order: &mut Order) {
        if let (OrderState::Issued(bundle), Some(keys)) = (&mut order.state, &self.keys)
            && bundle.private_key.is_none()
            && let Some(key) = keys.of_certificate(&bundle.certificate)
        {
            bundle.private_key = Some(key);
            self.memory().own_keys.insert(order.id.clone(), bundle.certificate.clone());
        }
    }
}

/// Whether the order waits for a DNS record.
fn waits_for_a_record(order: &Order) -> bool {
    matches!(&order.state, OrderState::Checking(challenges)
        if challenges.iter().any(|challenge| matches!(challenge.kind, ChallengeKind::Record(_))))
}

/// Whether another operation would meet the same failure: wrong credentials, or a wrong clock.
pub(super) fn concerns_every_call(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Credentials | ErrorKind::Config)
}

/// Of several failures the one that helps most: missing rights before an unknown order, and that before what is not served.
pub(super) fn most_telling(failures: Vec<Error>) -> Option<Error> {
    failures.into_iter().min_by_key(|error| match error.kind() {
        ErrorKind::Rights => 0,
        ErrorKind::UnknownOrder => 1,
        _ if failure::is_not_served(error) => 3,
        _ => 2,
    })
}
