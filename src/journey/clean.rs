//! `clean`: withdraws what no live order needs.

use std::sync::Arc;

use super::{Surroundings, event::Event, withdraw};
use crate::{
    error::{ErrorKind, Result},
    language::t,
    order::{OrderId, OrderSource, OrderState},
    store::{Entry, Holder, LockKey},
};

/// What became of one entry of the journal.
#[derive(Debug)]
pub struct Cleaned {
    /// The entry.
    pub entry: Entry,
    /// Why it stays; `None` where it was withdrawn, or would be (`--dry-run`).
    pub kept: Option<String>,
    /// How the withdrawal went.
    pub outcome: Result<()>,
}

/// Withdraws entries without holders, and entries whose orders are final or gone and that no run holds. With `all`, also what was kept
/// (`--keep-record`, `record add`), what orders of another origin hold, and what other accounts wrote. A record that is needed by an order that still
/// waits stays: its source, that of `surroundings` or one of `others`, is asked.
///
/// # Errors
/// Where the journal cannot be read; what concerns one entry is in its [`Cleaned::outcome`].
pub async fn clean(
    surroundings: &Surroundings,
    others: &[Arc<dyn OrderSource>],
    all: bool,
    dry_run: bool,
) -> Result<Vec<Cleaned>> {
    let sources: Vec<&dyn OrderSource> = [&surroundings.source].into_iter().chain(others).map(AsRef::as_ref).collect();
    if !dry_run {
        withdraw::recover(surroundings).await?;
    }
    let mut cleaned = Vec::new();
    for entry in surroundings.store.entries().await? {
        let is_foreign = !all && !surroundings.store.is_of_this_account(&entry);
        let mut kept = is_foreign.then(|| match entry.account.as_str() {
            "" => {
                t!("the account without a name wrote it; a `clean` of that account, or `clean --all`, takes it away").to_owned()
            }
            account => t!("account `%{account}` wrote it; a `clean` of that account, or `clean --all`, takes it away", account),
        });
        // Locks on the orders, so that no run takes one up while its record is removed.
        let mut locks = Vec::new();
        for holder in entry.holders.iter().filter(|_| !is_foreign) {
            match still_needed(surroundings, &sources, holder, all, &mut locks).await? {
                None => {}
                reason => {
                    kept = reason;
                    break;
                }
            }
        }
        if let Some(reason) = &kept {
            surroundings.observer.event(&Event::Withdrawn {
                order: None,
                record: &entry.record,
                provider: &entry.provider,
                kept: Some(reason),
            });
        }
        let outcome =
            if kept.is_some() || dry_run { Ok(()) } else { withdraw::withdraw(surroundings, &entry, &entry.holders, None).await };
        cleaned.push(Cleaned { entry, kept, outcome });
    }
    Ok(cleaned)
}

/// Why `holder` still needs its record; `None` where it does not.
async fn still_needed(
    surroundings: &Surroundings,
    sources: &[&dyn OrderSource],
    holder: &Holder,
    all: bool,
    locks: &mut Vec<crate::store::Lock>,
) -> Result<Option<String>> {
    if holder.is_person() {
        return Ok((!all).then(|| t!("it was kept on request; `clean --all` or `record remove` takes it away").to_owned()));
    }
    if *holder == Holder::late_write() {
        return Ok(None);
    }
    let Some(lock) = surroundings.store.try_lock(&LockKey::Order(holder.clone())).await? else {
        return Ok(Some(t!("a run works on %{holder}", holder)));
    };
    locks.push(lock);
    if holder.is_trial() {
        // Nobody holds it any more: it was killed.
        return Ok(None);
    }
    let found = sources.iter().find_map(|source| {
        let id = holder.as_str().strip_prefix(source.origin())?.strip_prefix('/')?;
        Some((*source, id.to_owned()))
    });
    let Some((source, id)) = found else {
        return Ok((!all).then(|| t!("%{holder} is an order of another source; `clean --all` takes it away", holder)));
    };
    let id = OrderId::parse(&id)?;
    if surroundings.store.recall(source.origin(), &id).await?.is_some_and(|memory| memory.finished) {
        return Ok(None);
    }
    Ok(match source.read(&id).await {
        Ok(order) => match order.state {
            OrderState::Issued(_) | OrderState::Failed { .. } | OrderState::NotSubmitted => None,
            state => Some(t!("order %{id} is %{state}", id, state = state.word())),
        },
        Err(error) if error.kind() == ErrorKind::UnknownOrder => None,
        Err(error) => Some(t!("the state of order %{id} cannot be read: %{error}", id, error)),
    })
}
