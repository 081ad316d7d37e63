//! `watch`: looks for orders that wait for validation, and carries them through, for as long as it is let.
//!
//! One loop, in one task. Whatever takes time (a list, a claim, an order's journey) is a future beside the others, so the loop itself never
//! waits: a watchdog that it feeds tells whether it lives.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use tokio::{sync::watch::Receiver, time::Instant};

use self::{
    guarded::{Breakers, GuardedRouting, GuardedSource},
    tasks::{Claimed, Done, Listed},
};
use super::{Options, Stop, Surroundings, event::Event};
use crate::{
    delivery::Held,
    error::{Error, Result},
    failpoint,
    mutex::locked,
    order::OrderId,
    store::{Backlog, Lock},
};

mod attempts;
mod decide;
mod guarded;
mod once;
mod renewal;
mod tasks;

pub use renewal::{Candidate, Renewals, Renewing, Rests};

/// Orders at the same time where `--parallel` does not say.
const AT_ONCE: usize = 200;

/// The longest time between two looks at what is due: another machine may have given something back.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// The shortest.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

/// How often the certificates on disk are looked through.
const INVENTORY: Duration = Duration::from_secs(60 * 60);

/// How often one certificate is reported.
const REPORTED: Duration = Duration::from_secs(24 * 60 * 60);

/// How long removing a record that is no longer needed may take when the configuration changes, or the watch ends.
const GRACE: Duration = Duration::from_secs(30);

/// What a watch works with; replaced as a whole when the configuration is read again.
#[derive(Clone)]
pub struct Setup {
    /// The rooms.
    pub surroundings: Surroundings,
    /// What to do with each order.
    pub options: Options,
    /// How often new orders are looked for, by one of the machines.
    pub interval: Duration,
    /// How long before its end a certificate is reported; `None`: never, since somebody else does.
    pub renew_before: Option<Duration>,
}

/// How a watch is doing, for whoever supervises it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Orders that this process carries now.
    pub carried: usize,
    /// What there is to do in all, as it was last seen.
    pub backlog: Backlog,
    /// Whether the source was listed at least once, by this machine or another: the watch works.
    pub has_listed: bool,
    /// Why the source cannot be listed, or the store not be asked; `None` where all is well.
    pub obstacle: Option<Arc<str>>,
    /// Whether it only ends what it has.
    pub draining: bool,
}

impl Pulse {
    /// What several watches of one process come to.
    pub fn of_all(pulses: &[Self]) -> Self {
        let sum = |count: fn(&Backlog) -> u64| pulses.iter().map(|pulse| count(&pulse.backlog)).sum();
        Self {
            carried: pulses.iter().map(|pulse| pulse.carried).sum(),
            backlog: Backlog {
                claimed: sum(|backlog| backlog.claimed),
                due: sum(|backlog| backlog.due),
                overdue: sum(|backlog| backlog.overdue),
                resting: sum(|backlog| backlog.resting),
                next: pulses.iter().filter_map(|pulse| pulse.backlog.next).min(),
                watchers: pulses.iter().map(|pulse| pulse.backlog.watchers).max().unwrap_or_default(),
            },
            has_listed: pulses.iter().all(|pulse| pulse.has_listed),
            obstacle: pulses.iter().find_map(|pulse| pulse.obstacle.clone()),
            draining: pulses.iter().any(|pulse| pulse.draining),
        }
    }
}

type Task = LocalBoxFuture<'static, Done>;

/// Watches until `stop`. Calls `pulse` at least every `beat`, and whenever something happened.
///
/// What fails is tried again. With `stop.keeps_records` orders under way are left where they are, else their records are withdrawn.
///
/// # Errors
/// `ErrorKind::Store` where the store fails at the very beginning.
pub async fn watch(mut setups: Receiver<Arc<Setup>>, stop: &Stop, beat: Duration, mut pulse: impl FnMut(&Pulse)) -> Result<()> {
    let first = setups.borrow_and_update().clone();
    let mut watch = Watch::begin(&first, stop.clone()).await?;
    let mut beats = tokio::time::interval(beat);
    let mut stopping = false;
    loop {
        if !stopping {
            watch.start_what_is_due();
        }
        pulse(&watch.pulse(stopping));
        if stopping && watch.carried.is_empty() {
            return Ok(());
        }
        let wake = watch.wakes_at();
        tokio::select! {
            biased;
            () = stop.leave.cancelled() => return Ok(()),
            () = stop.stop.cancelled(), if !stopping => {
                stopping = true;
                watch.end_journeys(stop.keeps_records.load(Ordering::SeqCst), *locked(&stop.grace));
            }
            Ok(()) = setups.changed(), if !stopping => {
                let next = setups.borrow_and_update().clone();
                watch.install(&next);
            }
            Some(done) = watch.tasks.next() => watch.note(done, stopping),
            _ = beats.tick() => {}
            () = tokio::time::sleep_until(wake), if !stopping => {}
        }
    }
}

/// A setup whose providers and source are behind breakers, and what ends the journeys that began under it.
struct Installed {
    setup: Setup,
    journeys: Stop,
    /// Provider instances that were warned about.
    warned: Mutex<HashSet<String>>,
}

struct Watch {
    installed: Arc<Installed>,
    breakers: Breakers,
    stop: Stop,
    tasks: FuturesUnordered<Task>,
    /// Orders that this process carries.
    carried: HashSet<OrderId>,
    backlog: Backlog,
    has_listed: bool,
    /// Why the last list failed, and why the last claim did.
    list_failed: Option<Arc<str>>,
    claim_failed: Option<Arc<str>>,
    /// When what is done next, and `None` while it is under way.
    next_listing: Option<Instant>,
    next_claim: Option<Instant>,
    next_inventory: Option<Instant>,
    /// A claim failed: some orders may be claimed without our knowing.
    claims_unsure: bool,
    /// Somebody has done something about what fails.
    hurry: bool,
    /// The state of each order when it was last listed, and of those in it that there was nothing to do for.
    words: HashMap<OrderId, String>,
    idle: HashMap<OrderId, String>,
    /// When the renewal of which certificate was reported.
    reported: HashMap<Held, Instant>,
    /// Tells the other machines that this one is there.
    presence: Option<Lock>,
}

impl Watch {
    async fn begin(setup: &Setup, stop: Stop) -> Result<Self> {
        let breakers = Breakers::new();
        let installed = install(setup, &breakers, &stop);
        let (store, origin) = (&setup.surroundings.store, setup.surroundings.source.origin());
        store.begin_watching(origin).await?;
        let presence = store.attend(origin).await?;
        let now = Some(Instant::now());
        Ok(Self {
            installed,
            breakers,
            stop,
            tasks: FuturesUnordered::new(),
            carried: HashSet::new(),
            backlog: Backlog::default(),
            has_listed: false,
            list_failed: None,
            claim_failed: None,
            next_listing: now,
            next_claim: now,
            next_inventory: now,
            claims_unsure: false,
            hurry: false,
            words: HashMap::new(),
            idle: HashMap::new(),
            reported: HashMap::new(),
            presence,
        })
    }

    fn pulse(&self, draining: bool) -> Pulse {
        let obstacle = self.claim_failed.as_ref().or(self.list_failed.as_ref()).cloned();
        Pulse { carried: self.carried.len(), backlog: self.backlog, has_listed: self.has_listed, obstacle, draining }
    }

    fn wakes_at(&self) -> Instant {
        let next = [self.next_listing, self.next_claim, self.next_inventory].into_iter().flatten().min();
        next.unwrap_or_else(|| Instant::now() + LONGEST_LOOK)
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        let is_due = |next: &mut Option<Instant>| next.take_if(|at| *at <= now).is_some();
        if is_due(&mut self.next_listing) {
            self.tasks.push(Box::pin(tasks::list(self.installed.clone())));
        }
        if is_due(&mut self.next_claim) {
            let at_once = self.installed.setup.options.at_once(AT_ONCE);
            let at_once = self.breakers.room(&*self.installed.setup.surroundings.source, self.carried.len(), at_once);
            let own = std::mem::take(&mut self.claims_unsure).then(|| self.carried.clone());
            let hurry = std::mem::take(&mut self.hurry);
            let presence = self.presence.take();
            self.tasks.push(Box::pin(tasks::claim(self.installed.clone(), presence, self.carried.len(), at_once, own, hurry)));
        }
        if is_due(&mut self.next_inventory) {
            self.tasks.push(Box::pin(tasks::take_inventory(self.installed.clone())));
        }
    }

    /// Lets the journeys under way end, and what follows begin with another configuration.
    fn install(&mut self, setup: &Setup) {
        self.end_journeys(true, GRACE);
        self.breakers.reset();
        self.installed = install(setup, &self.breakers, &self.stop);
        self.hurry = true;
        self.idle.clear();
        let now = Instant::now();
        for next in [&mut self.next_listing, &mut self.next_claim, &mut self.next_inventory] {
            *next = next.map(|at| at.min(now));
        }
    }

    fn end_journeys(&self, keeps_records: bool, grace: Duration) {
        let journeys = &self.installed.journeys;
        journeys.keeps_records.store(keeps_records, Ordering::SeqCst);
        *locked(&journeys.grace) = grace;
        journeys.stop.cancel();
    }

    /// Takes note of something that has ended.
    fn note(&mut self, done: Done, stopping: bool) {
        let now = Instant::now();
        match done {
            Done::Listed(listed) => self.listed(listed, now),
            Done::Claimed(claimed) => self.claimed(*claimed, now, stopping),
            Done::Carried { order, had_nothing } => {
                if had_nothing {
                    let word = self.words.get(&order).cloned().unwrap_or_default();
                    self.idle.insert(order.clone(), word);
                }
                self.carried.remove(&order);
                // There is room for another.
                self.next_claim = self.next_claim.map(|at| at.min(now + SHORTEST_LOOK));
            }
            Done::Inventory(certificates) => {
                self.report(&certificates, now);
                self.next_inventory = Some(now + INVENTORY);
            }
        }
    }

    fn listed(&mut self, listed: Result<Listed>, now: Instant) {
        let interval = self.installed.setup.interval;
        if matches!(listed, Ok(Listed::Here { .. })) {
            self.list_failed = None;
        }
        let pause = match listed {
            Ok(Listed::NotOurTurn) => {
                self.has_listed = true;
                interval.min(LONGEST_LOOK)
            }
            Ok(Listed::Here { words, waiting, moment, pause }) => {
                self.has_listed = true;
                self.idle.retain(|id, _| words.contains_key(id));
                self.words = words;
                let idle = &self.idle;
                let words = &self.words;
                let fresh = waiting.into_iter().filter(|id| words.get(id).is_none() || idle.get(id) != words.get(id)).collect();
                self.tasks.push(Box::pin(tasks::enqueue(self.installed.clone(), fresh, moment)));
                pause
            }
            Ok(Listed::Enqueued) => {
                self.next_claim = self.next_claim.map(|at| at.min(now));
                return;
            }
            Err(error) => {
                self.list_failed = Some(self.warn(&error));
                interval
            }
        };
        self.next_listing = Some(now + pause);
    }

    fn claimed(&mut self, claimed: Claimed, now: Instant, stopping: bool) {
        self.presence = claimed.presence;
        let pause = match claimed.outcome {
            Ok((backlog, works)) => {
                (self.backlog, self.claim_failed) = (backlog, None);
                for work in works {
                    // On the way out the order is given back, like everything that is claimed, when the store is closed.
                    if !stopping && self.carried.insert(work.id.clone()) {
                        self.tasks.push(Box::pin(tasks::carry(self.installed.clone(), work, self.stop.clone())));
                    }
                }
                backlog.next.unwrap_or(LONGEST_LOOK).clamp(SHORTEST_LOOK, LONGEST_LOOK.min(self.installed.setup.interval))
            }
            Err(error) => {
                self.claim_failed = Some(self.warn(&error));
                (self.claims_unsure, self.hurry) = (true, claimed.hurry);
                LONGEST_LOOK
            }
        };
        self.next_claim = Some(now + pause);
    }

    fn report(&mut self, certificates: &[Held], now: Instant) {
        let setup = &self.installed.setup;
        let Some(renew_before) = setup.renew_before else { return };
        let today = failpoint::now();
        self.reported.retain(|held, at| *at + REPORTED > now && certificates.contains(held));
        for held in certificates {
            let left = held.not_after.as_second().saturating_sub(today.as_second());
            if left > i64::try_from(renew_before.as_secs()).unwrap_or(i64::MAX) || self.reported.contains_key(held) {
                continue;
            }
            self.reported.insert(held.clone(), now);
            let (days, live) = (held.days_left(today), setup.options.out.join(&held.folder).join("live"));
            setup.surroundings.observer.event(&Event::RenewalDue { held, live: &live, days });
        }
    }

    /// Says it, and returns what was said.
    fn warn(&self, error: &Error) -> Arc<str> {
        let message = error.to_string();
        self.installed.setup.surroundings.observer.event(&Event::Warning { order: None, message: &message, hint: error.hint() });
        message.into()
    }
}

/// Puts the rooms behind breakers, and what is said again and again behind a reader that passes it on once an hour.
fn install(setup: &Setup, breakers: &Breakers, stop: &Stop) -> Arc<Installed> {
    let mut setup = setup.clone();
    let Surroundings { source, routing, observer, .. } = setup.surroundings.clone();
    let observer = Arc::new(once::OnceAnHour::new(observer));
    setup.surroundings.source = Arc::new(GuardedSource::new(source, breakers.clone(), observer.clone()));
    setup.surroundings.routing = Arc::new(GuardedRouting::new(routing, breakers.clone(), observer.clone()));
    setup.surroundings.observer = observer;
    let journeys = Stop { leave: stop.leave.clone(), grace: Arc::new(Mutex::new(GRACE)), ..Stop::default() };
    Arc::new(Installed { setup, journeys, warned: Mutex::default() })
}
