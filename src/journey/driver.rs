//! The driver of one order: performs what the state machine decides.

use std::{
    collections::HashSet,
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{BoxFuture, try_join_all};
use tokio::time::Instant;

use super::{
    Options, Stop, Surroundings,
    event::{Event, Outcome},
    machine::{self, Action, State, Terms},
    notices, publish, sight,
};
use crate::{
    delivery::Delivered,
    error::{Error, ErrorKind, Result, Retry},
    failpoint,
    language::t,
    order::{Generation, Order, OrderId, OrderState},
    record::Record,
    store::{Holder, Lock, LockKey, OrderMemory},
};

mod ending;
mod publishing;

/// The least time that one look at an order gets.
const LEAST_READ: Duration = Duration::from_secs(1);

/// What all orders of one run share.
pub(super) struct Run<'a> {
    pub(super) surroundings: &'a Surroundings,
    pub(super) options: &'a Options,
    pub(super) stop: &'a Stop,
    /// Provider instances that were warned about.
    pub(super) warned: &'a Mutex<HashSet<String>>,
}

/// Takes one order through its journey.
pub(super) async fn drive(run: &Run<'_>, id: &OrderId, named: bool) -> Result<Outcome> {
    let outcome = Box::pin(drive_alone(run, id, named)).await;
    tell(run, id, &outcome).await;
    outcome
}

/// Tells how a journey ended.
pub(super) async fn tell(run: &Run<'_>, id: &OrderId, outcome: &Result<Outcome>) {
    match outcome {
        Ok(outcome) => run.surroundings.observer.event(&Event::Done { order: id, outcome }),
        Err(error) => run.surroundings.observer.event(&Event::Failed { order: Some(id), error }),
    }
    // Nobody waits for them: the order is given back, its record withdrawn.
    Box::pin(notices::tell(run, id, outcome)).await;
}

async fn drive_alone(run: &Run<'_>, id: &OrderId, named: bool) -> Result<Outcome> {
    let Some(lock) = hold(run.surroundings, id).await? else {
        if named {
            return Err(Error::new(ErrorKind::Held, t!("another run of this program works on order `%{id}`", id))
                .with_hint(t!("wait for it to end; two runs on one order would only disturb each other")));
        }
        return Ok(Outcome::HeldByAnotherRun);
    };
    drive_holding(run, id, named, &lock).await
}

/// Takes the lock on an order, where it is free.
pub(super) async fn hold(surroundings: &Surroundings, id: &OrderId) -> Result<Option<Lock>> {
    surroundings.store.try_lock(&LockKey::Order(Holder::order(surroundings.source.origin(), id))).await
}

/// Takes an order through its journey whose lock is held; tells nobody how it ended.
pub(super) async fn drive_holding(run: &Run<'_>, id: &OrderId, named: bool, lock: &Lock) -> Result<Outcome> {
    let surroundings = run.surroundings;
    let origin = surroundings.source.origin().to_owned();
    let holder = Holder::order(&origin, id);
    let memory = surroundings.store.recall(&origin, id).await?;
    let terms = Terms {
        named,
        no_wait: run.options.no_wait,
        dry_run: run.options.dry_run,
        patience: run.options.patience.clone(),
        looks_by_itself: surroundings.source.looks_by_itself(),
        first_interval: surroundings.source.first_interval(),
    };
    let (was_pending, baseline) = memory
        .as_ref()
        .map(|memory| (memory.was_pending && !memory.finished, memory.baseline_certificate.clone()))
        .unwrap_or_default();
    let state = State::new(terms, was_pending, baseline);
    let mut driver = Driver {
        run,
        id,
        holder,
        lock,
        origin,
        memory,
        state,
        began: Instant::now(),
        last_word: String::new(),
        wrote_at: Vec::new(),
        told: Vec::new(),
        order: None,
        delivered: None,
        watch: None,
    };
    driver.go().await
}

struct Driver<'a> {
    run: &'a Run<'a>,
    id: &'a OrderId,
    holder: Holder,
    /// The lock on the order.
    lock: &'a Lock,
    origin: String,
    memory: Option<OrderMemory>,
    state: State,
    began: Instant,
    /// The state that was told last.
    last_word: String,
    /// When this run wrote which record.
    wrote_at: Vec<(Record, Instant)>,
    /// The records that the CA is to see.
    told: Vec<Record>,
    /// The order as it was read last.
    order: Option<Order>,
    /// The pair on disk.
    delivered: Option<Delivered>,
    /// Propagation of what was published, until it is settled.
    watch: Option<BoxFuture<'a, machine::Event>>,
}

impl Driver<'_> {
    async fn go(&mut self) -> Result<Outcome> {
        let mut action = Action::Read;
        loop {
            if !matches!(action, Action::Read | Action::Wait { .. }) {
                // Whoever lost the order to another machine leaves everything to it: records, certificate, hooks.
                self.lock.confirm().await?;
            }
            let event = match action {
                Action::Read => self.read().await?,
                // Boxed: thousands of orders wait at the same time, and should take little memory meanwhile.
                Action::Publish(challenges) => Box::pin(self.publish(challenges)).await?,
                Action::Wait { until, reason, failure } => self.wait(until, reason, failure).await,
                Action::Deliver(bundle) => Box::pin(self.deliver(bundle)).await?,
                Action::WithdrawAndEnd(ending) => return Box::pin(self.withdraw_and_end(ending)).await,
                Action::End(ending) => return Box::pin(self.end(ending)).await,
            };
            if let machine::Event::Read(order) = &event
                && let Some(outcome) = Box::pin(self.look_at(order)).await?
            {
                return Ok(outcome);
            }
            let event = Box::pin(self.with_sight(event)).await;
            if matches!(event, machine::Event::Read(_)) {
                self.state.pause = self.run.surroundings.source.pause(self.id).await;
            }
            action = self.state.next(event, self.began.elapsed());
        }
    }

    /// When the order has had all the time that the user gives it.
    fn time_is_up(&self) -> Instant {
        self.began + self.run.options.patience.order
    }

    async fn read(&self) -> Result<machine::Event> {
        failpoint::reach("read.before");
        let source = &self.run.surroundings.source;
        // A source that never ends its reply must not outlast the order's own time.
        let deadline = self.time_is_up().max(Instant::now() + LEAST_READ);
        tokio::select! {
            biased;
            () = self.run.stop.stop.cancelled() => Ok(self.stopped()),
            read = source.read(self.id) => Ok(match read {
                Ok(order) => machine::Event::Read(order),
                Err(error) => machine::Event::ReadFailed(error),
            }),
            () = tokio::time::sleep_until(deadline) => Ok(machine::Event::ReadFailed(
                Error::new(ErrorKind::OrderSource, t!("`%{origin}` did not answer in time", origin = source.origin())).with_retry(Retry::Later),
            )),
        }
    }

    /// Tells what is new about the order, keeps what a later run must know, and ends early where the run was not to touch it.
    async fn look_at(&mut self, order: &Order) -> Result<Option<Outcome>> {
        let run = self.run;
        failpoint::reach("read.after");
        let word = order.state.word();
        if self.order.is_none() && !self.concerns(order) {
            return Ok(Some(Outcome::NothingToDo));
        }
        if word != self.last_word {
            let note = order.note.as_deref();
            run.surroundings.observer.event(&Event::Order { order: self.id, domains: &order.domains, state: word, note });
            if let OrderState::Unknown(word) = &order.state {
                self.warn(
                    &t!("the state `%{word}` is not known to this version; waiting on", word),
                    Some(t!("a newer version may know it; the console shows what the order waits for")),
                );
            }
            self.last_word = word.to_owned();
        }
        self.order = Some(order.clone());
        if run.options.dry_run {
            return self.preview(order).await.map(Some);
        }
        Ok(None)
    }

    /// A refusal by a source that was told to look, with what the name servers say at this moment: most often it tells why.
    async fn with_sight(&self, event: machine::Event) -> machine::Event {
        let machine::Event::Read(mut order) = event else { return event };
        if let OrderState::Failed { reason } = &mut order.state
            && !self.run.surroundings.source.looks_by_itself()
            && let Some(said) = sight::now(self.run, &self.told, self.order.as_ref()).await
        {
            *reason = t!("%{reason}; %{said}", reason, said);
        }
        machine::Event::Read(order)
    }

    /// Whether `--domain` lets this order through.
    fn concerns(&self, order: &Order) -> bool {
        let wanted = &self.run.options.domains;
        if wanted.is_empty() {
            return true;
        }
        if !order.domains.is_empty() {
            return order.domains.iter().any(|domain| wanted.contains(domain));
        }
        let OrderState::Checking(challenges) = &order.state else { return false };
        challenges
            .iter()
            .filter_map(|challenge| publish::wanted(challenge, order, self.run.options.base_domain.as_ref()).ok())
            .any(|record| wanted.iter().any(|domain| record.name.is_within(&domain.base())))
    }

    async fn preview(&self, order: &Order) -> Result<Outcome> {
        let OrderState::Checking(challenges) = &order.state else {
            return Ok(Outcome::WouldWrite(Vec::new()));
        };
        let previews =
            challenges.iter().map(|challenge| publish::preview(self.run.surroundings, self.run.options, order, challenge));
        Ok(Outcome::WouldWrite(try_join_all(previews).await?))
    }

    fn stopped(&self) -> machine::Event {
        stopped(self.run.stop)
    }

    async fn wait(&mut self, until: Duration, reason: &'static str, failure: Option<String>) -> machine::Event {
        let waited = self.began.elapsed();
        let told = failure.map(|why| {
            let pause = until.saturating_sub(waited);
            t!(
                "%{reason}; its last answer: %{why}; asked again in %{seconds} s",
                reason,
                why,
                seconds = pause.as_secs_f64().ceil()
            )
        });
        let reason = told.as_deref().unwrap_or(reason);
        self.run.surroundings.observer.event(&Event::Waiting { order: self.id, reason, waited });
        let due = tokio::time::sleep_until(self.began + until);
        let wish = self.run.stop;
        let stop = wish.stop.cancelled();
        let Some(watch) = &mut self.watch else {
            return tokio::select! {
                biased;
                () = stop => stopped(wish),
                () = due => machine::Event::Due,
            };
        };
        tokio::select! {
            biased;
            () = stop => stopped(wish),
            settled = watch => {
                self.watch = None;
                settled
            }
            () = due => machine::Event::Due,
        }
    }

    /// Keeps what a later run must know: what the machine and the last read say, and what `change` adds.
    async fn remember(&mut self, change: impl FnOnce(&mut OrderMemory)) -> Result<()> {
        let mut memory = self.memory.take().unwrap_or_else(|| OrderMemory {
            origin: self.origin.clone(),
            id: self.id.clone(),
            generation: Generation::Api2018,
            domains: Vec::new(),
            baseline_certificate: None,
            was_pending: false,
            finished: false,
            delivered: None,
            hook_pending: false,
        });
        if let Some(order) = &self.order {
            memory.generation = order.generation;
            memory.domains.clone_from(&order.domains);
        }
        memory.was_pending = self.state.was_pending;
        memory.baseline_certificate.clone_from(&self.state.baseline);
        change(&mut memory);
        self.run.surroundings.store.remember(&memory).await?;
        self.memory = Some(memory);
        Ok(())
    }

    fn warn(&self, message: &str, hint: Option<&str>) {
        self.run.surroundings.observer.event(&Event::Warning { order: Some(self.id), message, hint });
    }
}

/// What a wish to stop means, now that it is there.
fn stopped(stop: &Stop) -> machine::Event {
    if stop.keeps_records.load(Ordering::SeqCst) { machine::Event::Drained } else { machine::Event::Stopped }
}
