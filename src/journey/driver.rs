//! The driver of one order: performs what the state machine decides.

use std::{
    collections::HashSet,
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all, try_join_all};
use tokio::time::Instant;

use super::{
    Options, Stop, Surroundings,
    event::{Event, Outcome},
    machine::{self, Action, State, Terms},
    notices,
    publish::{self, Planned},
    sight, withdraw,
};
use crate::{
    delivery::Delivered,
    error::{Error, ErrorKind, Result, Retry},
    failpoint,
    order::{Challenge, Generation, Order, OrderId, OrderState},
    record::{Record, RecordType},
    store::{Entry, Holder, Lock, LockKey, OrderMemory},
};

mod ending;

/// The least time that one look at an order gets.
const LEAST_READ: Duration = Duration::from_secs(1);

/// How long a write that is under way may go on after the user asked to stop: then its outcome is known, and it can be withdrawn.
const FINISH_WRITING: Duration = Duration::from_secs(5);

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
    let outcome = drive_alone(run, id, named).await;
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
    notices::tell(run, id, outcome).await;
}

async fn drive_alone(run: &Run<'_>, id: &OrderId, named: bool) -> Result<Outcome> {
    let Some(lock) = hold(run.surroundings, id).await? else {
        if named {
            return Err(Error::new(ErrorKind::Held, format!("another run of this program works on order `{id}`"))
                .with_hint("wait for it to end; two runs on one order would only disturb each other"));
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

impl<'a> Driver<'a> {
    async fn go(&mut self) -> Result<Outcome> {
        let mut action = Action::Read;
        loop {
            if !matches!(action, Action::Read | Action::Wait { .. }) {
                // Whoever lost the order to another machine leaves everything to it: records, certificate, hooks.
                self.lock.confirm().await?;
            }
            let event = match action {
                Action::Read => self.read().await?,
                Action::Publish(challenges) => self.publish(challenges).await?,
                Action::Wait { until, reason, failure } => self.wait(until, reason, failure).await,
                Action::Deliver(bundle) => self.deliver(bundle).await?,
                Action::WithdrawAndEnd(ending) => return self.withdraw_and_end(ending).await,
                Action::End(ending) => return self.end(ending).await,
            };
            if let machine::Event::Read(order) = &event
                && let Some(outcome) = self.look_at(order).await?
            {
                return Ok(outcome);
            }
            let event = self.with_sight(event).await;
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
                Error::new(ErrorKind::OrderSource, format!("`{}` did not answer in time", source.origin())).with_retry(Retry::Later),
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
                    &format!("the state `{word}` is not known to this version; waiting on"),
                    Some("a newer version may know it; the console shows what the order waits for"),
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
            *reason = format!("{reason}; {said}");
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

    async fn publish(&mut self, challenges: Vec<Challenge>) -> Result<machine::Event> {
        let Some(order) = self.order.clone() else {
            return Err(Error::new(ErrorKind::Unexpected, "challenges without an order"));
        };
        // A later run must know the order before the first record is out.
        self.remember(|_| ()).await?;
        let plans = challenges.iter().map(|challenge| publish::plan(self.run.surroundings, self.run.options, &order, challenge));
        let too_late = self.time_is_up().max(Instant::now() + LEAST_READ);
        let planned = tokio::select! {
            biased;
            () = self.run.stop.stop.cancelled() => return Ok(self.stopped()),
            planned = try_join_all(plans) => planned,
            () = tokio::time::sleep_until(too_late) => Err(Error::provider("the provider did not answer in time")),
        };
        let mut planned = match planned {
            Ok(planned) => planned,
            Err(error) => return Ok(machine::Event::PublishFailed(error)),
        };
        // Two challenges may ask for the same record (apex and wildcard).
        let mut seen = HashSet::new();
        planned.retain(|planned| seen.insert(planned.record.clone()));
        for planned in &planned {
            self.warn_about_provider(planned);
        }
        // A file has one content: what an earlier challenge put in its place goes first.
        self.withdraw_stale(&planned, |record| record.record_type == RecordType::File).await;
        match self.write(&planned).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(self.stopped()),
            Err(error) => return Ok(machine::Event::PublishFailed(error)),
        }
        self.withdraw_stale(&planned, |_| true).await;
        self.told = planned.iter().map(|planned| planned.record.clone()).collect();
        self.watch = Some(self.watch_propagation(planned));
        Ok(machine::Event::Published)
    }

    /// Writes all records; one failure ends it. A write under way is not cut off at once when the user asks to stop.
    async fn write(&mut self, planned: &[Planned]) -> Result<()> {
        let mut holders = vec![self.holder.clone()];
        if self.run.options.keep_record {
            holders.push(Holder::person());
        }
        let (surroundings, stop, id) = (self.run.surroundings, &self.run.stop.stop, self.id);
        let order = Some((id, self.lock));
        let writes = join_all(planned.iter().map(|planned| publish::publish(surroundings, planned, &holders, order)));
        let stopped_late = async {
            stop.cancelled().await;
            tokio::time::sleep(FINISH_WRITING).await;
        };
        let too_late = self.time_is_up().max(Instant::now()) + FINISH_WRITING;
        let written = tokio::select! {
            written = writes => written,
            () = stopped_late => return Err(Error::new(ErrorKind::Interrupted, "interrupted while writing")),
            () = tokio::time::sleep_until(too_late) => return Err(Error::provider("the provider did not answer in time")),
        };
        let mut failure = None;
        for (planned, written) in planned.iter().zip(written) {
            match written {
                Ok(true) => self.wrote_at.push((planned.record.clone(), Instant::now())),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Withdraws what an earlier challenge of this order asked for, and this one does not.
    async fn withdraw_stale(&self, planned: &[Planned], concerns: fn(&Record) -> bool) {
        let surroundings = self.run.surroundings;
        let entries = surroundings.store.entries_of(&self.holder).await.unwrap_or_default();
        let entries = entries.iter().filter(|entry| concerns(&entry.record));
        for entry in entries.filter(|entry| !planned.iter().any(|planned| is_of(entry, planned))) {
            if let Err(error) = withdraw::withdraw(surroundings, entry, std::slice::from_ref(&self.holder), Some(self.id)).await {
                self.warn(&error.to_string(), error.hint());
            }
        }
    }

    fn warn_about_provider(&self, planned: &Planned) {
        let capabilities = planned.routed.provider.capabilities();
        let instance = &planned.routed.instance;
        let fresh = self.run.warned.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(instance.clone());
        if !fresh {
            return;
        }
        if capabilities.experimental {
            self.warn(&format!("provider `{instance}` is experimental: nobody has shown that it works"), None);
        }
        if !capabilities.removal {
            self.warn(&format!("provider `{instance}` cannot remove records: this one will stay"), None);
        }
        if !capabilities.several_values {
            self.warn(&format!("provider `{instance}` holds one value per name: another value there is replaced"), None);
        }
    }

    /// A future that ends once all records are visible and the source was told, or one cannot be seen in time.
    fn watch_propagation(&self, planned: Vec<Planned>) -> BoxFuture<'a, machine::Event> {
        let run = self.run;
        let id = self.id;
        let wrote_at = self.wrote_at.clone();
        let order = self.order.clone();
        Box::pin(async move {
            let waits = planned.iter().map(|planned| {
                let wrote = wrote_at.iter().find(|(record, _)| *record == planned.record).map(|(_, at)| *at);
                sight::see(run, id, order.as_ref(), planned, wrote)
            });
            failpoint::reach("visible.before");
            if let Err(error) = try_join_all(waits).await {
                return machine::Event::NotVisible(error);
            }
            failpoint::reach("visible.after");
            if let Some(order) = order
                && let Err(error) = run.surroundings.source.in_place(&order).await
            {
                return machine::Event::NotVisible(error);
            }
            machine::Event::Visible
        })
    }

    fn stopped(&self) -> machine::Event {
        stopped(self.run.stop)
    }

    async fn wait(&mut self, until: Duration, reason: &'static str, failure: Option<String>) -> machine::Event {
        let waited = self.began.elapsed();
        let told = failure.map(|why| {
            let pause = until.saturating_sub(waited);
            format!("{reason}; its last answer: {why}; asked again in {} s", pause.as_secs_f64().ceil())
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

fn is_of(entry: &Entry, planned: &Planned) -> bool {
    entry.record == planned.record && entry.provider == planned.routed.instance && entry.zone.name == planned.zone.name
}
