//! `watch`: looks for orders that wait for validation, and carries them through, for as long as it is let.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use tokio::{sync::watch::Receiver, time::Instant};

use self::guarded::{Breakers, GuardedRouting, GuardedSource};
use super::{
    Options, Stop, Surroundings,
    driver::{Run, drive},
    event::{Event, Outcome},
    run::{select, withdraw_leftovers},
};
use crate::{error::Result, store::Work};

mod decide;
mod guarded;

/// Orders at the same time where `--parallel` does not say: a machine takes no more, so that others get some.
const AT_ONCE: usize = 200;

/// The longest time between two looks at what is due: another machine may have given something back.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What a watch works with; replaced as a whole when the configuration is read again.
#[derive(Clone)]
pub struct Setup {
    /// The rooms.
    pub surroundings: Surroundings,
    /// What to do with each order.
    pub options: Options,
    /// How often new orders are looked for, by one of the machines.
    pub interval: Duration,
}

/// How a watch is doing, for whoever supervises it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Orders that this process carries now.
    pub carried: usize,
    /// Whether it only ends what it has.
    pub draining: bool,
}

type Journey = LocalBoxFuture<'static, (Work, Result<Outcome>)>;

/// Watches until `stop`. Each turn of the loop calls `pulse`, at least every five seconds.
///
/// What fails is tried again; only the store's failures at the very beginning end it.
///
/// # Errors
/// `ErrorKind::Store`.
pub async fn watch(mut setups: Receiver<Arc<Setup>>, stop: &Stop, mut pulse: impl FnMut(&Pulse)) -> Result<()> {
    let breakers = Breakers::new();
    let mut setup = guarded(&setups.borrow_and_update().clone(), &breakers);
    setup.surroundings.store.begin_watching(setup.surroundings.source.origin()).await?;
    let mut journeys: FuturesUnordered<Journey> = FuturesUnordered::new();
    let mut next_look = Instant::now();
    loop {
        let draining = stop.stop.is_cancelled() || stop.leave.is_cancelled();
        if draining && (journeys.is_empty() || stop.leave.is_cancelled()) {
            return Ok(());
        }
        if !draining && Instant::now() >= next_look {
            let look = look(&setup, &mut journeys, stop);
            let next = tokio::select! {
                biased;
                () = stop.stop.cancelled() => Duration::ZERO,
                next = look => next,
            };
            next_look = Instant::now() + next;
        }
        pulse(&Pulse { carried: journeys.len(), draining: stop.stop.is_cancelled() });
        tokio::select! {
            biased;
            () = stop.leave.cancelled() => {}
            () = stop.stop.cancelled(), if !draining => {}
            Some((work, outcome)) = journeys.next() => {
                settle(&setup, &work, &outcome).await;
                // There is room for another.
                next_look = next_look.min(Instant::now());
            }
            Ok(()) = setups.changed(), if !draining => {
                setup = guarded(&setups.borrow_and_update().clone(), &breakers);
                breakers.reset();
                next_look = Instant::now();
            }
            () = tokio::time::sleep_until(next_look.max(Instant::now() + Duration::from_millis(50)).min(Instant::now() + LONGEST_LOOK)) => {}
        }
    }
}

fn guarded(setup: &Setup, breakers: &Breakers) -> Arc<Setup> {
    let mut setup = setup.clone();
    let Surroundings { source, routing, observer, .. } = setup.surroundings.clone();
    setup.surroundings.source = Arc::new(GuardedSource::new(source, breakers.clone(), observer.clone()));
    setup.surroundings.routing = Arc::new(GuardedRouting::new(routing, breakers.clone(), observer));
    Arc::new(setup)
}

/// Looks for new orders where it is this machine's turn, and takes up what is due. Returns when to look again.
async fn look(setup: &Arc<Setup>, journeys: &mut FuturesUnordered<Journey>, stop: &Stop) -> Duration {
    match try_look(setup, journeys, stop).await {
        Ok(next) => next,
        Err(error) => {
            setup.surroundings.observer.event(&Event::Warning { order: None, message: &error.to_string(), hint: error.hint() });
            LONGEST_LOOK
        }
    }
}

async fn try_look(setup: &Arc<Setup>, journeys: &mut FuturesUnordered<Journey>, stop: &Stop) -> Result<Duration> {
    let Surroundings { source, store, .. } = &setup.surroundings;
    let origin = source.origin();
    if store.take_turn(&format!("listing {origin}"), setup.interval).await? {
        withdraw_leftovers(&setup.surroundings).await;
        store.enqueue(origin, &select(&setup.surroundings, &setup.options).await?).await?;
    }
    let at_once = if setup.options.parallel == 0 { AT_ONCE } else { setup.options.parallel };
    let room = at_once.saturating_sub(journeys.len());
    if room == 0 {
        return Ok(LONGEST_LOOK);
    }
    for work in store.claim(origin, room).await? {
        journeys.push(journey(setup.clone(), work, stop.clone()));
    }
    let next = store.next_due(origin).await?.unwrap_or(LONGEST_LOOK);
    Ok(next.clamp(Duration::from_millis(100), LONGEST_LOOK.min(setup.interval)))
}

fn journey(setup: Arc<Setup>, work: Work, stop: Stop) -> Journey {
    Box::pin(async move {
        let run =
            Run { surroundings: &setup.surroundings, options: &setup.options, stop: &stop, warned: Mutex::new(HashSet::new()) };
        let outcome = drive(&run, &work.id, false).await;
        (work, outcome)
    })
}

async fn settle(setup: &Setup, work: &Work, outcome: &Result<Outcome>) {
    let Surroundings { source, store, observer, .. } = &setup.surroundings;
    let settled = decide::settled(outcome, work.failures, rand::random());
    if let Err(error) = store.settle(source.origin(), &work.id, &settled).await {
        // The claim runs out by itself, and the order is taken up again.
        observer.event(&Event::Warning { order: Some(&work.id), message: &error.to_string(), hint: error.hint() });
    }
}
