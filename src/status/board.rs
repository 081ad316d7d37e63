//! The board: what the events of a run come to.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::order::{Fate, OrderView, Step, Trouble};
use crate::{
    error::Error,
    journey::event::{Event, Observer, Outcome},
    language::t,
    mutex::locked,
    order::OrderId,
    secret::Redactor,
};

/// How many orders that ended are kept.
const KEPT_ENDED: usize = 300;

/// How many warnings and failures are kept.
const KEPT_TROUBLES: usize = 30;

/// How many characters of a text from elsewhere are kept.
const KEPT_CHARACTERS: usize = 1000;

/// The upper bounds of the buckets for propagation, in seconds: from a fast provider to a slow secondary.
pub(super) const BUCKETS: [u32; 12] = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];

/// How long records took to be visible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    /// How many fell between the bound before and this one; the last is for those above all bounds.
    pub(super) counts: [u64; BUCKETS.len() + 1],
    pub(super) sum: f64,
}

impl Histogram {
    fn note(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= f64::from(*bound)).unwrap_or(BUCKETS.len());
        self.counts[bucket] += 1;
        self.sum += seconds;
    }
}

/// What is counted from the beginning of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counters {
    /// Failures by kind.
    pub(super) errors: BTreeMap<&'static str, u64>,
    /// Warnings.
    pub(super) warnings: u64,
    /// Records published, found there already, withdrawn and left.
    pub(super) records: BTreeMap<&'static str, u64>,
    /// Orders that ended, by how.
    pub(super) ended: BTreeMap<&'static str, u64>,
    pub(super) propagation: Histogram,
}

/// All that the board knows at one moment.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) began: Timestamp,
    pub(super) orders: BTreeMap<OrderId, OrderView>,
    /// Orders that ended, oldest first.
    ended: VecDeque<OrderId>,
    /// Newest first.
    pub(super) troubles: VecDeque<Trouble>,
    pub(super) counters: Counters,
    /// How many certificates were put on disk.
    pub(super) deliveries: u64,
    /// Why the process is not ready; `None`: it is.
    pub(super) not_ready: Option<String>,
}

/// Listens to a run, and keeps what readers see. Cheap to clone; bounded in memory, however long it listens.
#[derive(Clone, Debug)]
pub struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    redactor: Redactor,
}

impl Board {
    /// An empty board that is not ready. Secrets that `redactor` knows are taken out of every text.
    pub fn new(redactor: Redactor) -> Self {
        let state = State::new(Timestamp::now());
        Self(Arc::new(Shared { state: Mutex::new(state), version: watch::Sender::new(0), redactor }))
    }

    /// Says that the process does its work (`None`), or why it does not.
    pub fn set_ready(&self, obstacle: Option<&Error>) {
        let why = obstacle.map(|error| self.text(&error.to_string()));
        self.change(|state| state.not_ready = why);
    }

    /// A number that grows with each change, to wait on.
    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.0.state)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.version.send_modify(|version| *version += 1);
    }

    /// A text from elsewhere: without secrets, and not longer than anybody reads.
    fn text(&self, text: &str) -> String {
        shortened(&self.0.redactor.redact(text))
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(KEPT_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Observer for Board {
    fn event(&self, event: &Event<'_>) {
        let now = Timestamp::now();
        self.change(|state| state.take(event, now, &|text| self.text(text)));
    }
}

impl State {
    pub(super) fn new(began: Timestamp) -> Self {
        Self {
            began,
            orders: BTreeMap::new(),
            ended: VecDeque::new(),
            troubles: VecDeque::new(),
            counters: Counters::default(),
            deliveries: 0,
            not_ready: Some("starting".to_owned()),
        }
    }

    /// Takes one event. `text` makes a text from elsewhere fit to be kept.
    pub(super) fn take(&mut self, event: &Event<'_>, now: Timestamp, text: &dyn Fn(&str) -> String) {
        match event {
            Event::Order { order, domains, state, note } => self.update(order, now, |view| {
                if view.fate != Fate::UnderWay {
                    view.begin_again(now);
                }
                view.domains = domains.to_vec();
                view.state = text(state);
                view.note = note.map(text).filter(|note| !note.is_empty());
            }),
            Event::Published { order, record, provider, zone, was_there } => {
                self.count_record(if *was_there { "found" } else { "published" });
                self.update_some(*order, now, |view| {
                    let known = view.record(record);
                    known.at = Some(((*provider).to_owned(), (*zone).clone()));
                    known.withdrawn = false;
                    view.reach(Step::Published);
                });
            }
            Event::Verdicts { order, round } => {
                self.update_some(*order, now, |view| view.record(&round.record).round = Some((*round).clone()));
            }
            Event::Visible { order, round, .. } => {
                self.counters.propagation.note(round.waited);
                self.update_some(*order, now, |view| {
                    view.record(&round.record).round = Some((*round).clone());
                    let all = view.records.iter().all(|record| record.round.as_ref().is_some_and(|round| round.visible));
                    if all {
                        view.reach(Step::Visible);
                    }
                });
            }
            Event::File { order, look } => {
                if look.visible {
                    self.counters.propagation.note(look.waited);
                }
                self.update(order, now, |view| {
                    if look.visible {
                        view.reach(Step::Visible);
                    } else {
                        view.waits = look.explanation.as_deref().map(text);
                    }
                });
            }
            Event::Resolvers { .. } => {}
            Event::Waiting { order, reason, .. } => self.update(order, now, |view| view.waits = Some(text(reason))),
            Event::Issued { order, .. } => self.update(order, now, |view| {
                "issued".clone_into(&mut view.state);
                view.waits = None;
                view.reach(Step::Issued);
            }),
            Event::Delivered { order, .. } => {
                self.deliveries += 1;
                self.update(order, now, |view| view.reach(Step::Delivered));
            }
            Event::Withdrawn { order, record, kept, .. } => {
                self.count_record(if kept.is_some() { "kept" } else { "withdrawn" });
                self.update_some(*order, now, |view| view.record(record).withdrawn = kept.is_none());
            }
            Event::Warning { order, message, hint } => {
                self.counters.warnings += 1;
                self.note(*order, false, text(message), hint.map(text), now);
            }
            Event::Failed { order, error } => {
                *self.counters.errors.entry(error.kind().word()).or_default() += 1;
                let hint = error.hint().map(text);
                self.note(*order, true, text(error.message()), hint.clone(), now);
                if let Some(order) = order {
                    self.end(order, now, "failed", |view| {
                        view.fate = Fate::Failed;
                        view.why = Some((text(&error.to_string()), hint));
                    });
                }
            }
            Event::Postponed { order, pause, .. } => {
                let seconds = pause.as_secs();
                self.update(order, now, |view| view.waits = Some(t!("to be tried again in %{seconds} s", seconds)));
            }
            // The page shows every certificate with its days.
            Event::Renewal { .. } | Event::RenewalDue { .. } => {}
            Event::Done { order, outcome } => {
                let (word, said) = ending(outcome);
                self.end(order, now, word, |view| view.fate = Fate::Well(said));
            }
        }
    }

    fn count_record(&mut self, what: &'static str) {
        *self.counters.records.entry(what).or_default() += 1;
    }

    fn update(&mut self, id: &OrderId, now: Timestamp, change: impl FnOnce(&mut OrderView)) {
        let view = self.orders.entry(id.clone()).or_insert_with(|| OrderView::new(id, now));
        view.changed = now;
        change(view);
        if view.fate == Fate::UnderWay {
            self.ended.retain(|ended| ended != id);
        }
    }

    fn update_some(&mut self, id: Option<&OrderId>, now: Timestamp, change: impl FnOnce(&mut OrderView)) {
        if let Some(id) = id {
            self.update(id, now, change);
        }
    }

    fn end(&mut self, id: &OrderId, now: Timestamp, word: &'static str, change: impl FnOnce(&mut OrderView)) {
        *self.counters.ended.entry(word).or_default() += 1;
        self.update(id, now, |view| {
            view.waits = None;
            change(view);
        });
        self.ended.retain(|ended| ended != id);
        self.ended.push_back(id.clone());
        if self.ended.len() > KEPT_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.orders.remove(&oldest);
        }
    }

    /// Keeps a trouble; the same message again is one with it.
    fn note(&mut self, order: Option<&OrderId>, failed: bool, message: String, hint: Option<String>, now: Timestamp) {
        let known = self.troubles.iter().position(|known| known.failed == failed && known.message == message);
        let known = known.and_then(|index| self.troubles.remove(index));
        let mut trouble = known.unwrap_or(Trouble { orders: BTreeSet::new(), failed, message, hint: None, last: now, times: 0 });
        trouble.hint = hint;
        trouble.last = now;
        trouble.times += 1;
        if trouble.orders.len() < KEPT_ENDED {
            trouble.orders.extend(order.cloned());
        }
        self.troubles.push_front(trouble);
        self.troubles.truncate(KEPT_TROUBLES);
    }
}

/// A word for monitoring, and words for people.
fn ending(outcome: &Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Issued(_) => ("issued", "done"),
        Outcome::NothingToDo => ("nothing-to-do", t!("nothing to do")),
        Outcome::HeldByAnotherRun => ("held-by-another-run", t!("another run works on it")),
        Outcome::LeftWaiting => ("left-waiting", t!("left waiting for the next run")),
        Outcome::WouldWrite(_) => ("would-write", t!("looked at only")),
    }
}
