//! Events for people: plain lines, and on a terminal live progress below them.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
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
    language::{say, t},
    mutex::locked,
    name::{Name, in_words},
    order::OrderId,
    propagation::{ResolverReport, Round},
    record::Record,
};

/// How often a wait that goes on is mentioned where there is no live progress.
const REMINDER: Duration = Duration::from_secs(30);

/// Tells events to a person.
pub(super) struct Human {
    printer: Printer,
    live: Option<Live>,
    /// The last line of each order.
    last: Mutex<HashMap<OrderId, String>>,
    /// What was said last about the wait of each order, and when.
    waits: Mutex<HashMap<OrderId, (String, Duration)>>,
    /// The provider instances whose records a person writes.
    by_hand: Vec<String>,
    /// The records that this person has seen already.
    shown: Mutex<HashSet<Record>>,
}

impl Human {
    pub(super) fn new(printer: Printer, by_hand: Vec<String>, shown: HashSet<Record>) -> Self {
        let live = printer.live().map(|bars| Live::new(bars.clone()));
        Self { printer, live, last: Mutex::default(), waits: Mutex::default(), by_hand, shown: Mutex::new(shown) }
    }

    fn line(&self, order: Option<&OrderId>, text: &str) {
        let dim = self.printer.palette().dim;
        match order {
            // An apex and its wildcard have two records at one name: the lines about them differ in nothing.
            Some(order) if self.was_said(order, text) => {}
            Some(order) => self.printer.note(&format!("{dim}{order}{dim:#}  {}", printable(text))),
            None => self.printer.note(&printable(text)),
        }
    }

    /// Whether this was the last line of the order; it is now.
    fn was_said(&self, order: &OrderId, text: &str) -> bool {
        locked(&self.last).insert(order.clone(), text.to_owned()).is_some_and(|last| last == text)
    }

    fn wait(&self, order: &OrderId, reason: &str, waited: Duration) {
        if self.live.is_some() {
            return;
        }
        let mut waits = locked(&self.waits);
        let said = waits.get(order);
        if said.is_some_and(|(last, at)| last == reason && waited < *at + REMINDER) {
            return;
        }
        let is_new = said.is_none_or(|(last, _)| last != reason);
        waits.insert(order.clone(), (reason.to_owned(), waited));
        drop(waits);
        let since = if is_new {
            String::new()
        } else {
            t!(" (%{waited} so far)", waited = show_duration(Duration::from_secs(waited.as_secs())))
        };
        self.line(Some(order), &t!("waiting %{reason}%{since}", reason = say(reason), since));
    }

    /// Who watches for years must not keep what is over.
    fn forget(&self, order: &OrderId) {
        locked(&self.waits).remove(order);
        locked(&self.last).remove(order);
    }

    /// What a person has to do about a record, where one writes it. `None` where a program does, or where nothing new is to be done.
    fn errand(&self, event: &Event<'_>) -> Option<String> {
        let (record, provider, is_there) = match event {
            Event::Published { record, provider, .. } => (*record, *provider, true),
            Event::Withdrawn { record, provider, kept: None, .. } => (*record, *provider, false),
            _ => return None,
        };
        if !self.by_hand.iter().any(|instance| instance == provider) {
            return None;
        }
        let mut shown = locked(&self.shown);
        let text = format!("{} {:?}", record.title(), record.content());
        if is_there {
            // Told before, in the table of all records.
            Some(if shown.insert(record.clone()) { t!("add this record by hand: %{text}", text) } else { String::new() })
        } else {
            shown.remove(record);
            Some(t!("no longer needed, remove it by hand: %{text}", text))
        }
    }

    fn resolvers(&self, order: Option<&OrderId>, reports: &[ResolverReport]) {
        for report in reports {
            if let Some(denial) = super::denial(report) {
                self.line(
                    order,
                    &t!(
                        "resolver %{resolver} %{denial}; a CA that asks it may have to wait as long",
                        resolver = report.resolver,
                        denial
                    ),
                );
            }
            if let Some(trouble) = super::trouble(report) {
                self.line(order, &printable(&trouble));
            }
        }
    }
}

impl Observer for Human {
    fn event(&self, event: &Event<'_>) {
        if let Some(live) = &self.live {
            live.event(event);
        }
        if let Some(errand) = self.errand(event) {
            if let (false, Event::Published { order, .. } | Event::Withdrawn { order, .. }) = (errand.is_empty(), event) {
                self.line(*order, &errand);
            }
            return;
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
                let how = if *was_there { t!("was there before at") } else { t!("is at") };
                self.line(
                    *order,
                    &match record.file() {
                        Some(_) => t!("%{record} %{how} %{provider}", record = record.title(), how, provider),
                        None => t!(
                            "%{record} %{how} provider %{provider}, zone %{zone}",
                            record = record.title(),
                            how,
                            provider,
                            zone
                        ),
                    },
                );
            }
            Event::Verdicts { order, round } if !round.visible => self.line(*order, &progress(round)),
            Event::Verdicts { .. } => {}
            Event::Visible { order, round, resolvers } => {
                let seconds = round.waited.as_secs_f64();
                let risk = round.explanation.as_deref().map(|risk| t!("; %{risk}", risk)).unwrap_or_default();
                self.line(
                    *order,
                    &t!(
                        "%{name} is visible at %{round} after %{seconds} s%{risk}",
                        name = round.record.name,
                        round = servers(round),
                        seconds = format_args!("{seconds:.1}"),
                        risk
                    ),
                );
                self.resolvers(*order, resolvers);
            }
            Event::File { order, look } => super::file_seen(look).lines().for_each(|line| self.line(Some(order), line)),
            Event::Resolvers { order, reports, .. } => self.resolvers(*order, reports),
            Event::Waiting { order, reason, waited } => self.wait(order, reason, *waited),
            Event::Issued { order, .. } => self.line(Some(order), t!("issued")),
            Event::Delivered { order, delivered } => {
                let what = if delivered.changed { t!("certificate") } else { t!("certificate, there already,") };
                let until = delivered.not_after.strftime("%Y-%m-%d");
                self.line(
                    Some(order),
                    &t!("%{what} for %{names} until %{until}", what, names = in_words(&delivered.names), until),
                );
                self.printer.outcome(&delivered.live.display().to_string());
            }
            Event::Withdrawn { order, record, kept, .. } => match kept {
                None => self.line(*order, &t!("%{record} is removed", record = record.title())),
                Some(reason) => self.line(*order, &t!("%{record} stays: %{reason}", record = record.title(), reason)),
            },
            Event::Warning { order, message, hint } => {
                let about = order.map(|order| t!("%{order}: ", order)).unwrap_or_default();
                self.printer.warning(&format!("{about}{message}"), *hint);
            }
            Event::Postponed { order, pause, .. } => {
                let pause = show_duration(Duration::from_secs(pause.as_secs()));
                self.line(Some(order), &t!("tried again in %{pause}", pause));
            }
            Event::Renewal { order, names, why } => {
                self.line(Some(order), &t!("%{names}: applied for, %{why}", names = in_words(names), why));
            }
            Event::RenewalDue { held, live, days } => self.printer.warning(
                &t!("the certificate for %{names} %{days}", names = in_words(&held.names), days = expiry(*days)),
                Some(&t!("apply for its renewal; it lies at `%{live}`", live = live.display())),
            ),
            Event::Failed { order, error } => {
                if let Some(order) = order {
                    self.forget(order);
                }
                failure::show(&self.printer, error, order.map(OrderId::as_str));
            }
            Event::Done { order, outcome } => {
                self.forget(order);
                let said = match outcome {
                    Outcome::Issued(_) => format!("{good}{}{good:#}", t!("done")),
                    Outcome::NothingToDo => t!("nothing to do").to_owned(),
                    Outcome::HeldByAnotherRun => t!("skipped: another run works on it").to_owned(),
                    Outcome::LeftWaiting => t!("left waiting; the next run goes on").to_owned(),
                    Outcome::WouldWrite(_) => return,
                };
                let dim = self.printer.palette().dim;
                self.printer.note(&format!("{dim}{order}{dim:#}  {said}"));
            }
        }
    }
}

fn of(domains: &[Name]) -> String {
    if domains.is_empty() { String::new() } else { t!(", for %{names}", names = in_words(domains)) }
}

fn expiry(days: i64) -> String {
    match days {
        ..0 => t!("has expired").to_owned(),
        0 => t!("expires within a day").to_owned(),
        1 => t!("expires in 1 day").to_owned(),
        _ => t!("expires in %{days} days", days),
    }
}

fn servers(round: &Round) -> String {
    let visible = round.observations.iter().filter(|observation| observation.verdict.word() == "visible").count();
    t!("%{visible} of %{observations} addresses of name servers", visible, observations = round.observations.len())
}

fn progress(round: &Round) -> String {
    let why = round.explanation.clone().unwrap_or_else(|| servers(round));
    t!("%{name} is not visible yet: %{why}", name = round.record.name, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordType;

    fn record() -> Record {
        let name = Name::parse("_dnsauth.www.example.com").unwrap();
        Record { name, record_type: RecordType::Txt, value: "the value".into() }
    }

    #[test]
    fn a_person_who_writes_records_is_told_the_value_once_and_what_to_remove() {
        let human = Human::new(Printer::default(), vec!["manual".into()], HashSet::new());
        let (record, zone) = (record(), Name::parse("example.com").unwrap());
        let published =
            |provider| human.errand(&Event::Published { order: None, record: &record, provider, zone: &zone, was_there: false });
        let withdrawn = |provider| human.errand(&Event::Withdrawn { order: None, record: &record, provider, kept: None });
        assert_eq!(published("cloudflare"), None);
        assert_eq!(published("manual").unwrap(), r#"add this record by hand: TXT _dnsauth.www.example.com "the value""#);
        assert_eq!(published("manual").unwrap(), "", "it was told a moment ago");
        assert_eq!(withdrawn("cloudflare"), None);
        assert_eq!(
            withdrawn("manual").unwrap(),
            r#"no longer needed, remove it by hand: TXT _dnsauth.www.example.com "the value""#
        );
        assert_ne!(published("manual").unwrap(), "", "removed, so it is news again");
    }

    #[test]
    fn the_same_line_is_not_said_twice_in_a_row() {
        let human = Human::new(Printer::default(), Vec::new(), HashSet::new());
        let (one, other) = (OrderId::parse("1").unwrap(), OrderId::parse("2").unwrap());
        let said = |order, text| human.was_said(order, text);
        assert!(!said(&one, "a") && said(&one, "a") && !said(&other, "a") && !said(&one, "b") && !said(&one, "a"));
        human.forget(&one);
        assert!(!said(&one, "a") && said(&other, "a"));
    }

    #[test]
    fn what_the_table_showed_is_not_told_again() {
        let human = Human::new(Printer::default(), vec!["manual".into()], HashSet::from([record()]));
        let zone = Name::parse("example.com").unwrap();
        let event = Event::Published { order: None, record: &record(), provider: "manual", zone: &zone, was_there: false };
        assert_eq!(human.errand(&event).unwrap(), "");
    }
}
