//! One run: which orders, all of them at once, and what became of each.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Mutex,
};

use futures_util::stream::{self, StreamExt};

use super::{
    Options, Stop, Summary, Surroundings,
    driver::{Run, drive},
    event::Event,
    withdraw,
};
use crate::{
    delivery,
    error::Result,
    language::t,
    name::Name,
    order::{Listing, OrderId, OrderSummary},
    store::{Entry, Holder, OrderMemory},
};

/// Orders at the same time where `--parallel` does not say. An account's ten calls a second begin and end three orders a second, so these keep it
/// busy for as long as the CA takes up to ten minutes for each; more would only take memory.
const AT_ONCE: usize = 2_000;

/// Takes every order that is asked for through its journey.
///
/// # Errors
/// Only what concerns the run as a whole (the listing failed, the output folder cannot be written); what concerns one order is in the summary.
pub async fn run(surroundings: &Surroundings, options: &Options, stop: &Stop) -> Result<Summary> {
    if !options.dry_run {
        // Before anything is published: a certificate that cannot be written helps nobody.
        delivery::check_writable(&options.out)?;
    }
    let prepared = async {
        if !options.dry_run {
            tokio::select! {
                () = withdraw_leftovers(surroundings) => {}
                () = stop.is_overdue() => {}
            }
        }
        tokio::select! {
            biased;
            () = stop.stop.cancelled() => Ok(None),
            selected = select(surroundings, options) => selected.map(Some),
        }
    };
    let selected = tokio::select! {
        biased;
        () = stop.leave.cancelled() => None,
        selected = prepared => selected?,
    };
    let Some(selected) = selected else { return Ok(Summary { interrupted: true, ..Summary::default() }) };
    let warned = Mutex::default();
    let shared = Run { surroundings, options, stop, warned: &warned };
    let parallel = options.at_once(AT_ONCE);
    let mut outcomes = BTreeMap::new();
    {
        let named = !options.orders.is_empty();
        let shared = &shared;
        let mut journeys = stream::iter(selected.iter().enumerate())
            .map(|(index, id)| async move { (index, drive(shared, id, named).await) })
            .buffer_unordered(parallel.min(selected.len().max(1)));
        loop {
            tokio::select! {
                biased;
                () = stop.leave.cancelled() => break,
                next = journeys.next() => match next {
                    Some((index, outcome)) => outcomes.insert(index, outcome),
                    None => break,
                },
            };
        }
    }
    let orders = outcomes.into_iter().map(|(index, outcome)| (selected[index].clone(), outcome)).collect();
    Ok(Summary { orders, interrupted: stop.stop.is_cancelled() || stop.leave.is_cancelled() })
}

/// Withdraws records without a holder: what a run left that died, or a provider that failed, at the last step; and what was written too late.
/// Those of other accounts are left to runs that have their credentials.
pub(super) async fn withdraw_leftovers(surroundings: &Surroundings) {
    if let Err(error) = withdraw::recover(surroundings).await {
        surroundings.observer.event(&Event::Warning { order: None, message: &error.to_string(), hint: error.hint() });
    }
    let entries = surroundings.store.entries().await.unwrap_or_default();
    let late = Holder::late_write();
    let is_left =
        |entry: &&Entry| surroundings.store.is_of_this_account(entry) && entry.holders.iter().all(|holder| *holder == late);
    for entry in entries.iter().filter(is_left) {
        if let Err(error) = withdraw::withdraw(surroundings, entry, std::slice::from_ref(&late), None).await {
            surroundings.observer.event(&Event::Warning { order: None, message: &error.to_string(), hint: error.hint() });
        }
    }
}

/// The orders of this run: those that are named, else those that wait at the source or are unfinished in the store.
async fn select(surroundings: &Surroundings, options: &Options) -> Result<Vec<OrderId>> {
    if !options.orders.is_empty() {
        let mut seen = BTreeSet::new();
        return Ok(options.orders.iter().filter(|id| seen.insert((*id).clone())).cloned().collect());
    }
    let (orders, unfinished) = waiting(surroundings).await?;
    Ok(choose(&orders, &unfinished, &options.domains))
}

/// What the source lists, and what is unfinished in the store.
pub(super) async fn waiting(surroundings: &Surroundings) -> Result<(Vec<OrderSummary>, Vec<OrderMemory>)> {
    let Listing { orders, unanswered } = surroundings.source.list().await?;
    for (generation, error) in &unanswered {
        let message = t!("orders of `--api %{generation}` could not be listed: %{error}", generation, error);
        surroundings.observer.event(&Event::Warning { order: None, message: &message, hint: error.hint() });
    }
    let unfinished = surroundings.store.unfinished(surroundings.source.origin()).await?;
    Ok((orders, unfinished))
}

/// Listed orders that domain validation can still help, in the order of the list, then what the store knows as unfinished.
pub(super) fn choose(listed: &[OrderSummary], unfinished: &[OrderMemory], domains: &[Name]) -> Vec<OrderId> {
    let wanted = |of: &[Name]| domains.is_empty() || of.is_empty() || of.iter().any(|domain| domains.contains(domain));
    let listed = listed
        .iter()
        .filter(|order| !order.is_final && order.is_domain_validated && wanted(&order.domains))
        .map(|order| &order.id);
    let remembered = unfinished.iter().filter(|memory| wanted(&memory.domains)).map(|memory| &memory.id);
    let mut seen = HashSet::new();
    listed.chain(remembered).filter(|id| seen.insert(*id)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Generation;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn listed(id: &str, domains: &[&str], is_final: bool, is_domain_validated: bool) -> OrderSummary {
        OrderSummary {
            id: OrderId::parse(id).unwrap(),
            generation: Generation::Instance,
            domains: domains.iter().map(|domain| name(domain)).collect(),
            state: "x".into(),
            is_final,
            is_domain_validated,
        }
    }

    fn remembered(id: &str, domain: &str) -> OrderMemory {
        OrderMemory {
            origin: "o".into(),
            id: OrderId::parse(id).unwrap(),
            generation: Generation::Instance,
            domains: vec![name(domain)],
            baseline_certificate: None,
            was_pending: true,
            finished: false,
            delivered: None,
            hook_pending: false,
        }
    }

    fn ids(chosen: &[OrderId]) -> Vec<&str> {
        chosen.iter().map(OrderId::as_str).collect()
    }

    #[test]
    fn waiting_orders_and_unfinished_ones_each_once() {
        let list = [
            listed("a", &["a.example"], false, true),
            listed("issued", &["b.example"], true, true),
            listed("ov", &["c.example"], false, false),
            listed("unknown-domain", &[], false, true),
        ];
        let store = [remembered("a", "a.example"), remembered("issued", "b.example")];
        assert_eq!(ids(&choose(&list, &store, &[])), ["a", "unknown-domain", "issued"]);
        assert_eq!(ids(&choose(&list, &store, &[name("b.example")])), ["unknown-domain", "issued"]);
    }
}
