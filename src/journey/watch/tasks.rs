//! What a watch does that takes time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{Installed, decide};
use crate::{
    delivery::{self, Held},
    error::Result,
    journey::{
        Stop, Surroundings,
        driver::{Run, drive_holding, hold, tell},
        event::{Event, Outcome},
        run::{choose, waiting, withdraw_leftovers},
    },
    order::OrderId,
    store::{Backlog, Lock, Moment, Settled, Work},
};

/// How much less often than new orders leftovers are looked for.
const LEFTOVERS: u32 = 5;

/// The pause before the store is told again what became of an order.
const AGAIN: Duration = Duration::from_secs(2);

/// What has ended.
pub(super) enum Done {
    /// A look for new orders.
    Listed(Result<Listed>),
    /// A look at what is due.
    Claimed(Box<Claimed>),
    /// An order, and whether there was nothing to do for it.
    Carried { order: OrderId, had_nothing: bool },
    /// A look through the certificates on disk.
    Inventory(Vec<Held>),
}

/// What a look for new orders came to.
pub(super) enum Listed {
    /// Another machine has looked not long ago.
    NotOurTurn,
    /// This machine has looked.
    Here {
        /// The state of every order of the list that is not final.
        words: HashMap<OrderId, String>,
        /// The orders that wait for validation.
        waiting: Vec<OrderId>,
        /// When the look began.
        moment: Moment,
        /// How long to wait before the next look.
        pause: Duration,
    },
    /// What was found is in the store.
    Enqueued,
}

/// What a look at what is due came to.
pub(super) struct Claimed {
    /// Tells the other machines that this one is there.
    pub(super) presence: Option<Lock>,
    /// Whether what waits was to be hurried.
    pub(super) hurry: bool,
    /// What there is, and what is ours of it now.
    pub(super) outcome: Result<(Backlog, Vec<Work>)>,
}

/// Looks for new orders where it is this machine's turn, and withdraws what nobody holds.
pub(super) async fn list(installed: Arc<Installed>) -> Done {
    Done::Listed(try_list(&installed).await)
}

async fn try_list(Installed { setup, .. }: &Installed) -> Result<Listed> {
    let Surroundings { source, store, .. } = &setup.surroundings;
    let origin = source.origin();
    if store.take_turn(&format!("leftovers of {origin}"), setup.interval * LEFTOVERS).await? {
        withdraw_leftovers(&setup.surroundings).await;
    }
    let turn = format!("listing {origin}");
    if !store.take_turn(&turn, setup.interval).await? {
        return Ok(Listed::NotOurTurn);
    }
    let (moment, began) = (store.moment().await?, Instant::now());
    let (listed, unfinished) = match waiting(&setup.surroundings).await {
        Ok(waiting) => waiting,
        Err(error) => {
            // Another machine may be able to: one whose key is wrong, or that has no network, must not keep the turn again and again.
            store.postpone_turn(&turn, Duration::ZERO).await?;
            return Err(error);
        }
    };
    let pause = decide::listing_pause(setup.interval, began.elapsed());
    store.postpone_turn(&turn, pause).await?;
    let waiting = choose(&listed, &unfinished, &setup.options.domains);
    let words = listed.into_iter().filter(|order| !order.is_final).map(|order| (order.id, order.state)).collect();
    Ok(Listed::Here { words, waiting, moment, pause })
}

/// Puts orders into the store.
pub(super) async fn enqueue(installed: Arc<Installed>, orders: Vec<OrderId>, listed: Moment) -> Done {
    let Surroundings { source, store, .. } = &installed.setup.surroundings;
    if orders.is_empty() {
        return Done::Listed(Ok(Listed::Enqueued));
    }
    Done::Listed(store.enqueue(source.origin(), &orders, listed).await.map(|()| Listed::Enqueued))
}

/// Claims this machine's share of what is due. `own` are the orders that it carries, where it may have claimed others without hearing so.
pub(super) async fn claim(
    installed: Arc<Installed>,
    presence: Option<Lock>,
    carried: usize,
    at_once: usize,
    own: Option<HashSet<OrderId>>,
    hurry: bool,
) -> Done {
    let (mut presence, mut still_hurry) = (presence, hurry);
    let outcome = try_claim(&installed, &mut presence, carried, at_once, own, &mut still_hurry).await;
    Done::Claimed(Box::new(Claimed { presence, hurry: still_hurry, outcome }))
}

async fn try_claim(
    Installed { setup, .. }: &Installed,
    presence: &mut Option<Lock>,
    carried: usize,
    at_once: usize,
    own: Option<HashSet<OrderId>>,
    hurry: &mut bool,
) -> Result<(Backlog, Vec<Work>)> {
    let Surroundings { source, store, .. } = &setup.surroundings;
    let origin = source.origin();
    if store.is_shared() && presence.is_none() {
        *presence = store.attend(origin).await?;
    }
    let mut works = Vec::new();
    if let Some(own) = own {
        works = store.own_claims(origin).await?;
        works.retain(|work| !own.contains(&work.id));
    }
    if std::mem::take(hurry) {
        store.hurry(origin).await.inspect_err(|_| *hurry = true)?;
    }
    let backlog = store.backlog(origin).await?;
    let share = decide::share(&backlog, carried + works.len(), at_once);
    if share > 0 {
        works.extend(store.claim(origin, share).await?);
    }
    Ok((backlog, works))
}

/// Takes an order through its journey, and says in the store what became of it.
pub(super) async fn carry(installed: Arc<Installed>, work: Work, stop: Stop) -> Done {
    let Installed { setup, journeys, warned } = &*installed;
    let run = Run { surroundings: &setup.surroundings, options: &setup.options, stop: journeys, warned };
    let (outcome, settled) = attempt(&run, &work, &stop).await;
    tell(&run, &work.id, &outcome).await;
    if let Settled::Failed { after, counts, .. } = settled {
        let failures = work.failures.saturating_add(u32::from(counts));
        setup.surroundings.observer.event(&Event::Postponed { order: &work.id, pause: after, failures });
    }
    Done::Carried { order: work.id, had_nothing: matches!(outcome, Ok(Outcome::NothingToDo)) }
}

/// The journey, and what follows from it. Both under the order's lock: another machine that gets the lock next sees that the order is done.
async fn attempt(run: &Run<'_>, work: &Work, stop: &Stop) -> (Result<Outcome>, Settled) {
    let surroundings = run.surroundings;
    let (mut lock, held) = match hold(surroundings, &work.id).await {
        Ok(lock) => (lock, Ok(Outcome::HeldByAnotherRun)),
        Err(error) => (None, Err(error)),
    };
    let outcome = match &mut lock {
        None => held,
        Some(lock) => match surroundings.store.is_claimed(surroundings.source.origin(), &work.id).await {
            Ok(true) => drive_holding(run, &work.id, false, lock).await,
            // It was claimed while another machine, which we took for lost, was about to end it.
            Ok(false) => Ok(Outcome::HeldByAnotherRun),
            Err(error) => Err(error),
        },
    };
    let settled = decide::settled(&outcome, work.failures, surroundings.store.lease(), rand::random());
    settle(surroundings, work, &settled, stop).await;
    (outcome, settled)
}

/// Goes on until the store has heard it: what is claimed and not settled nobody takes up. When the watch ends, one attempt is enough, since
/// then claims are given back, or forgotten by the next start.
async fn settle(surroundings: &Surroundings, work: &Work, settled: &Settled, stop: &Stop) {
    let Surroundings { source, store, observer, .. } = surroundings;
    while let Err(error) = store.settle(source.origin(), &work.id, settled).await {
        observer.event(&Event::Warning { order: None, message: &error.to_string(), hint: error.hint() });
        tokio::select! {
            biased;
            () = stop.stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Looks through the certificates on disk.
pub(super) async fn take_inventory(installed: Arc<Installed>) -> Done {
    let out = installed.setup.options.out.clone();
    // It broke off only where it panicked; the next one comes.
    Done::Inventory(tokio::task::spawn_blocking(move || delivery::inventory(&out)).await.unwrap_or_default())
}
