//! The journey of one order as a state machine: what happened goes in, what to do next comes out. No I/O, no clock of its own.

use std::time::Duration;

use super::{Patience, event::Outcome};
use crate::{
    delivery::Delivered,
    error::{Error, ErrorKind, Retry},
    language::{message, say, t},
    name::Name,
    order::{Bundle, Challenge, ChallengeKind, Generation, Order, OrderState},
};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The order was read.
    Read(Order),
    /// The order could not be read.
    ReadFailed(Error),
    /// Every challenge is at its provider.
    Published,
    /// Some challenge could not be published.
    PublishFailed(Error),
    /// Every record is visible, and the source was told if it wants to be.
    Visible,
    /// The records were not visible in time, or cannot be.
    NotVisible(Error),
    /// The pair is on disk.
    Delivered(Delivered),
    /// The pair does not fit, or cannot be written.
    DeliveryFailed(Error),
    /// The time of the last [`Action::Wait`] has come.
    Due,
    /// The user asked to stop.
    Stopped,
    /// The process is to end, and another goes on: records are kept.
    Drained,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Read the order.
    Read,
    /// Make these the published challenges: publish what is missing, withdraw what is no longer asked for.
    Publish(Vec<Challenge>),
    /// Wait until this time since the beginning, and watch propagation meanwhile where it is not settled.
    Wait {
        /// When to look again, since the beginning.
        until: Duration,
        /// For what, in words.
        reason: &'static str,
        /// Where the order could not be read: why.
        failure: Option<String>,
    },
    /// Write the pair to disk.
    Deliver(Bundle),
    /// Withdraw every record of the order, then end so.
    WithdrawAndEnd(Ending),
    /// End so; records stay, and the journal knows them.
    End(Ending),
}

/// How a journey ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Well.
    Well(Outcome),
    /// Badly.
    Badly(Error),
}

/// What is fixed for the journey.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Whether the user named the order.
    pub(crate) named: bool,
    /// `--no-wait`: the run leaves once the records are visible.
    pub(crate) no_wait: bool,
    /// `--dry-run`: somebody sits there and wants to know; a source that fails is not waited for.
    pub(crate) dry_run: bool,
    /// How long to wait for what.
    pub(crate) patience: Patience,
    /// Whether the source looks at DNS by itself; else it is told once every record is visible, and looks only then.
    pub(crate) looks_by_itself: bool,
    /// How soon after a change the next look is worth it.
    pub(crate) first_interval: Duration,
}

/// Where an order is on its journey.
#[derive(Clone, Debug)]
pub(crate) struct State {
    terms: Terms,
    /// Whether the order was seen waiting, by this run or an earlier one: then its end concerns us.
    pub(crate) was_pending: bool,
    /// The certificate that the source showed while the order was waiting.
    pub(crate) baseline: Option<String>,
    /// The challenges at their providers.
    published: Vec<Challenge>,
    /// Challenges that are being published.
    publishing: Vec<Challenge>,
    /// Whether the published challenges are visible.
    visible: bool,
    /// Looks at the order since the last change.
    looks: u32,
    /// For what the journey waits.
    reason: &'static str,
    /// Why the last look at the order failed, where it did.
    last_failure: Option<String>,
    /// How many looks failed, one after the other.
    failures: u32,
    /// How long the source asked to be left alone.
    pub(crate) pause: Option<Duration>,
    /// A name of the order at which CAs let people look, with the word that makes them.
    for_people: Option<(String, &'static str)>,
}

const FOR_CHALLENGE: &str = message!("for the CA to say what it wants to see");
const FOR_VISIBILITY: &str = message!("for every name server to show the record");
const FOR_FILE: &str = message!("for the web server to show the file");
const FOR_CA: &str = message!("for the CA to see the record and issue");
const FOR_REVIEW: &str = message!("for the CA's review");
const FOR_SOURCE: &str = message!("for the order source to answer");
const FOR_KNOWN_WORD: &str = message!("for a state that this version knows");

/// How often `--dry-run` asks a source that fails.
const DRY_TRIES: u32 = 3;

/// The longest wait for which `--dry-run` lets itself be put off.
const DRY_WAIT: Duration = Duration::from_secs(10);

impl State {
    /// The beginning. `was_pending` and `baseline` are what an earlier run knew.
    pub(crate) fn new(terms: Terms, was_pending: bool, baseline: Option<String>) -> Self {
        Self {
            terms,
            was_pending,
            baseline,
            published: Vec::new(),
            publishing: Vec::new(),
            visible: false,
            looks: 0,
            reason: FOR_CHALLENGE,
            last_failure: None,
            failures: 0,
            pause: None,
            for_people: None,
        }
    }

    /// The one decision of the program: what to do after `event`, which came `now` after the beginning.
    pub(crate) fn next(&mut self, event: Event, now: Duration) -> Action {
        match event {
            Event::Due => self.when_due(now),
            Event::Read(order) => self.when_read(order, now),
            Event::ReadFailed(error) if error.retry() == Retry::Never || (self.terms.no_wait && !self.is_watching()) => {
                Action::End(Ending::Badly(error))
            }
            Event::ReadFailed(error) => {
                self.failures += 1;
                if self.terms.dry_run
                    && (self.failures >= DRY_TRIES || matches!(error.retry(), Retry::After(asked) if asked > DRY_WAIT))
                {
                    return Action::End(Ending::Badly(error));
                }
                self.last_failure = Some(error.to_string());
                self.wait(if self.terms.no_wait { self.for_visibility() } else { FOR_SOURCE }, Some(&error), now)
            }
            Event::Published => self.when_published(now),
            // Nothing is left behind: what was written, or may have been, is withdrawn.
            // A certificate that cannot be written can still be fetched by the next run, without the records.
            Event::PublishFailed(error) | Event::DeliveryFailed(error) => Action::WithdrawAndEnd(Ending::Badly(error)),
            Event::Visible => {
                self.visible = true;
                self.looks = 0;
                // A source that was told just now may have the answer already.
                if self.terms.looks_by_itself || self.terms.no_wait { self.wait(FOR_CA, None, now) } else { Action::Read }
            }
            Event::NotVisible(error) => Action::End(Ending::Badly(error)),
            Event::Delivered(delivered) => {
                let outcome = if delivered.changed { Outcome::Issued(Box::new(delivered)) } else { Outcome::NothingToDo };
                Action::WithdrawAndEnd(Ending::Well(outcome))
            }
            Event::Drained => Action::End(Ending::Well(Outcome::LeftWaiting)),
            Event::Stopped => Action::WithdrawAndEnd(Ending::Badly(Error::new(
                ErrorKind::Interrupted,
                t!("interrupted before the certificate was there"),
            ))),
        }
    }

    fn when_read(&mut self, order: Order, now: Duration) -> Action {
        self.last_failure = None;
        self.failures = 0;
        let pending = matches!(order.state, OrderState::Preparing | OrderState::Checking(_) | OrderState::Reviewing);
        if pending && !self.was_pending {
            self.was_pending = true;
            self.baseline.clone_from(&order.certificate_id);
        }
        if let Some((name, word)) = order.name_for_review() {
            self.for_people = Some((name.to_string(), word));
        }
        let again = again(&order);
        match order.state {
            OrderState::NotSubmitted if self.was_pending => {
                refused(t!("the application is no longer there: it was withdrawn, or the CA rejected it"), order.note, again)
            }
            OrderState::NotSubmitted if self.terms.named => {
                let error = Error::usage(t!("order `%{id}` is paid for, but not applied for yet", id = order.id));
                Action::End(Ending::Badly(error.with_hint(t!("apply for the certificate first, then run this again"))))
            }
            OrderState::NotSubmitted => Action::End(Ending::Well(Outcome::NothingToDo)),
            OrderState::Preparing => self.wait(FOR_CHALLENGE, None, now),
            OrderState::Checking(challenges) => self.when_challenged(challenges, now),
            OrderState::Reviewing => self.wait(FOR_REVIEW, None, now),
            OrderState::Issued(_) if self.is_the_old_one(order.certificate_id.as_deref()) => refused(
                t!("the source shows the certificate from before the application: that was withdrawn, or the CA rejected it"),
                order.note,
                again,
            ),
            OrderState::Issued(bundle) => Action::Deliver(bundle),
            OrderState::Failed { reason } => refused(&reason, order.note, again),
            OrderState::Unknown(_) => self.wait(FOR_KNOWN_WORD, None, now),
        }
    }

    fn is_the_old_one(&self, certificate: Option<&str>) -> bool {
        self.was_pending && self.baseline.is_some() && self.baseline.as_deref() == certificate
    }

    fn when_challenged(&mut self, challenges: Vec<Challenge>, now: Duration) -> Action {
        if challenges == self.published {
            let reason = if self.visible { FOR_CA } else { self.for_visibility() };
            return self.wait(reason, None, now);
        }
        self.publishing.clone_from(&challenges);
        Action::Publish(challenges)
    }

    fn when_published(&mut self, now: Duration) -> Action {
        self.published = std::mem::take(&mut self.publishing);
        self.visible = false;
        self.looks = 0;
        self.wait(self.for_visibility(), None, now)
    }

    /// Waits for the next look at the order, or ends where the patience for what is missing is at its end.
    fn wait(&mut self, reason: &'static str, error: Option<&Error>, now: Duration) -> Action {
        // With `--no-wait` the records are seen before the run leaves: what nobody sees, the CA does not see either.
        if self.terms.no_wait && reason != FOR_VISIBILITY && reason != FOR_FILE {
            return Action::End(Ending::Well(Outcome::LeftWaiting));
        }
        self.reason = reason;
        let deadline = self.deadline();
        if now >= deadline {
            return self.give_up();
        }
        let delay = self.delay().max(self.pause.take().unwrap_or_default());
        let asked = match error.map(Error::retry) {
            Some(Retry::After(asked)) => asked,
            _ => Duration::ZERO,
        };
        if let Some(error) = error
            && now + asked > deadline
        {
            // It says itself that waiting does not help.
            return Action::End(Ending::Badly(retold(error)));
        }
        let delay = delay.max(asked);
        self.looks = self.looks.saturating_add(1);
        let failure = if reason == FOR_SOURCE { self.last_failure.clone() } else { None };
        Action::Wait { until: (now + delay).min(deadline), reason, failure }
    }

    /// When to look again: a source that is told when to look has nothing new before.
    fn delay(&self) -> Duration {
        let longest = self.terms.patience.poll_interval;
        if self.is_watching() && !self.terms.looks_by_itself {
            return longest;
        }
        poll_delay(self.looks, self.is_dense(), self.terms.first_interval, longest)
    }

    /// For what to wait while not everything that is published is visible.
    fn for_visibility(&self) -> &'static str {
        let is_file = |challenge: &Challenge| challenge.kind == ChallengeKind::File;
        if self.published.iter().any(is_file) { FOR_FILE } else { FOR_VISIBILITY }
    }

    /// Whether records are out that are not visible yet.
    fn is_watching(&self) -> bool {
        !self.published.is_empty() && !self.visible
    }

    /// Whether the answer may come any moment, so that looks are close together.
    fn is_dense(&self) -> bool {
        self.published.is_empty() || self.visible
    }

    fn deadline(&self) -> Duration {
        let patience = &self.terms.patience;
        if self.reason == FOR_CHALLENGE { patience.challenge.min(patience.order) } else { patience.order }
    }

    fn when_due(&mut self, now: Duration) -> Action {
        if now >= self.deadline() { self.give_up() } else { Action::Read }
    }

    fn give_up(&self) -> Action {
        let seconds = self.deadline().as_secs();
        let waited = if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) };
        let message = t!("still waiting %{reason} after %{waited}", reason = say(self.reason), waited);
        let error = match &self.last_failure {
            Some(why) => Error::new(ErrorKind::OrderSource, format!("{message}: {why}")),
            None => Error::new(ErrorKind::StillWaiting, message),
        };
        Action::End(Ending::Badly(error.with_hint(self.next_time())))
    }

    /// What to do once the time is up.
    fn next_time(&self) -> String {
        // An instance that people look at may show no challenge.
        let waits_for_ca = matches!(self.reason, FOR_CA | FOR_REVIEW | FOR_CHALLENGE) && self.terms.looks_by_itself;
        match self.for_people.as_ref().filter(|_| waits_for_ca) {
            Some((name, word)) => t!(
                "`%{name}` holds the word `%{word}`, for which CAs let people look at an application: with a correct record it may stay in review for a day or longer; run the same command again later: it goes on where this run ended",
                name,
                word
            ),
            None => t!("run the same command again: it goes on where this run ended").to_owned(),
        }
    }
}

/// When to look at the order again after `looks` looks without a change: once, twice, four times … `first` where the answer may come any
/// moment, four times as slow while the record is not visible; never longer than `longest`.
pub(crate) fn poll_delay(looks: u32, dense: bool, first: Duration, longest: Duration) -> Duration {
    let first = if dense { first } else { first * 4 };
    first.saturating_mul(1 << looks.min(16)).min(longest)
}

/// The end of an order that the CA refused, with what it said and how to apply again.
fn refused(reason: &str, note: Option<String>, again: String) -> Action {
    let said =
        note.filter(|note| !note.is_empty() && !reason.contains(note.as_str())).map(|note| t!("; the CA said: %{note}", note));
    let message = t!("the CA refused the order: %{reason}%{said}", reason, said = said.unwrap_or_default());
    Action::WithdrawAndEnd(Ending::Badly(Error::new(ErrorKind::Refused, message).with_hint(again)))
}

/// How to apply again after a refusal.
fn again(order: &Order) -> String {
    let id = &order.id;
    // As a shell takes them.
    let word = |name: &Name| if name.is_wildcard() { format!("'{name}'") } else { name.to_string() };
    let names = order.domains.iter().map(word).collect::<Vec<_>>().join(" ");
    let names = if names.is_empty() { "NAME…".to_owned() } else { names };
    match order.generation {
        // One that is closed, or whose certificate was revoked, serves no more.
        Generation::Instance if !matches!(order.state, OrderState::Failed { .. }) => t!(
            "the certificate console may say more about the cause; mend that, then apply with the same instance again: `dv-verify apply %{names} --instance %{id}`",
            names,
            id
        ),
        Generation::Order => t!(
            "the certificate console may say more about the cause; mend that, then give the quota back with `dv-verify delete %{id}` and apply again: `dv-verify apply %{names} --product CODE`",
            id,
            names
        ),
        Generation::Instance | Generation::Api2018 => t!(
            "the certificate console may say more about the cause; mend that, then apply again with an instance that is free: `dv-verify apply %{names}`",
            names
        ),
        Generation::Acme => t!("mend the cause, then run the same command again: it begins a new order").to_owned(),
    }
}

/// The same error once more, for the end of the journey.
fn retold(error: &Error) -> Error {
    let told = Error::new(error.kind(), error.to_string()).with_retry(error.retry());
    match error.hint() {
        Some(hint) => told.with_hint(hint),
        None => told,
    }
}

#[cfg(test)]
mod tests;
