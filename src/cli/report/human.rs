//! Events for people: plain lines, and on a terminal live progress below them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::live::Live;
use crate::{
    cli::{
        failure,
        printer::{Printer, printable},
    },
    config::show_duration,
    journey::event::{Event, Observer, Outcome},
    name::Name,
    order::OrderId,
    propagation::{ResolverReport, Round},
};

/// How often a wait that goes on is mentioned where there is no live progress.
const REMINDER: Duration = Duration::from_secs(30);

/// Tells events to a person.
pub(super) struct Human {
    printer: Printer,
    live: Option<Live>,
    /// What was said last about the wait of each order, and when.
    waits: Mutex<HashMap<OrderId, (String, Duration)>>,
}

impl Human {
    pub(super) fn new(printer: Printer) -> Self {
        let live = printer.live().map(|bars| Live::new(bars.clone()));
        Self { printer, live, waits: Mutex::default() }
    }

    fn line(&self, order: Option<&OrderId>, text: &str) {
        let dim = self.printer.palette().dim;
        match order {
            Some(order) => self.printer.note(&format!("{dim}{order}{dim:#}  {}", printable(text))),
            None => self.printer.note(&printable(text)),
        }
    }

    fn wait(&self, order: &OrderId, reason: &str, waited: Duration) {
        if self.live.is_some() {
            return;
        }
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let said = waits.get(order);
        if said.is_some_and(|(last, at)| last == reason && waited < *at + REMINDER) {
            return;
        }
        let is_new = said.is_none_or(|(last, _)| last != reason);
        waits.insert(order.clone(), (reason.to_owned(), waited));
        drop(waits);
        let since =
            if is_new { String::new() } else { format!(" ({} so far)", show_duration(Duration::from_secs(waited.as_secs()))) };
        self.line(Some(order), &format!("waiting {reason}{since}"));
    }

    fn resolvers(&self, order: Option<&OrderId>, reports: &[ResolverReport]) {
        for report in reports {
            if let Some(denial) = super::denial(report) {
                self.line(order, &format!("resolver {} {denial}; a CA that asks it may have to wait as long", report.resolver));
            }
        }
    }
}

impl Observer for Human {
    fn event(&self, event: &Event<'_>) {
        if let Some(live) = &self.live {
            live.event(event);
        }
        let good = self.printer.palette().good;
        match event {
            // Told by its own event.
            Event::Order { state: "issued", .. } => {}
            Event::Order { order, domains, state, note } => {
                let note = note.filter(|note| !note.is_empty()).map(|note| format!(" ({note})")).unwrap_or_default();
                self.line(Some(order), &format!("{state}{}{note}", of(domains)));
            }
            Event::Published { order, record, provider, zone, was_there } => {
                let how = if *was_there { "was there before at" } else { "is at" };
                self.line(*order, &format!("{} {} {how} provider {provider}, zone {zone}", record.record_type, record.name));
            }
            Event::Verdicts { order, round } if !round.visible => self.line(*order, &progress(round)),
            Event::Verdicts { .. } => {}
            Event::Visible { order, round, resolvers } => {
                let seconds = round.waited.as_secs_f64();
                let risk = round.explanation.as_deref().map(|risk| format!("; {risk}")).unwrap_or_default();
                self.line(*order, &format!("{} is visible at {} after {seconds:.1} s{risk}", round.record.name, servers(round)));
                self.resolvers(*order, resolvers);
            }
            Event::Resolvers { order, reports, .. } => self.resolvers(*order, reports),
            Event::Waiting { order, reason, waited } => self.wait(order, reason, *waited),
            Event::Issued { order, .. } => self.line(Some(order), "issued"),
            Event::Delivered { order, delivered } => {
                let what = if delivered.changed { "certificate" } else { "certificate, there already," };
                let until = delivered.not_after.strftime("%Y-%m-%d");
                self.line(Some(order), &format!("{what} for {} until {until}", list(&delivered.names)));
                self.printer.result(&delivered.live.display().to_string());
            }
            Event::Withdrawn { order, record, kept, .. } => match kept {
                None => self.line(*order, &format!("{} {} is removed", record.record_type, record.name)),
                Some(reason) => self.line(*order, &format!("{} {} stays: {reason}", record.record_type, record.name)),
            },
            Event::Warning { order, message, hint } => {
                let about = order.map(|order| format!("{order}: ")).unwrap_or_default();
                self.printer.warning(&format!("{about}{message}"), *hint);
            }
            Event::Failed { order, error } => {
                self.printer.error(&failure::text(error, self.printer.palette(), order.map(OrderId::as_str)));
            }
            Event::Done { order, outcome } => {
                let said = match outcome {
                    Outcome::Issued(_) => format!("{good}done{good:#}"),
                    Outcome::NothingToDo => "nothing to do".to_owned(),
                    Outcome::HeldByAnotherRun => "skipped: another run works on it".to_owned(),
                    Outcome::LeftWaiting => "left waiting; the next run goes on".to_owned(),
                    Outcome::WouldWrite(_) => return,
                };
                let dim = self.printer.palette().dim;
                self.printer.note(&format!("{dim}{order}{dim:#}  {said}"));
            }
        }
    }
}

fn of(domains: &[Name]) -> String {
    if domains.is_empty() { String::new() } else { format!(", for {}", list(domains)) }
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::unicode).collect::<Vec<_>>().join(", ")
}

fn servers(round: &Round) -> String {
    let visible = round.observations.iter().filter(|observation| observation.verdict.word() == "visible").count();
    format!("{visible} of {} addresses of name servers", round.observations.len())
}

fn progress(round: &Round) -> String {
    let why = round.explanation.clone().unwrap_or_else(|| servers(round));
    format!("{} is not visible yet: {why}", round.record.name)
}
