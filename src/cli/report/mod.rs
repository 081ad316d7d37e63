//! What a run tells while it goes on, for people and for programs.

use std::{collections::HashSet, sync::Arc};

use comfy_table::Table;

use super::{printer::Printer, table};
use crate::{
    journey::{
        Summary,
        event::{Event, Observer, Outcome},
    },
    language::{message, t},
    propagation::{ResolverReport, Round, Serial, Verdict},
    record::Record,
    web,
};

mod human;
pub(super) mod json;
mod live;

/// The reader of events that the user asked for. `by_hand` are the provider instances whose records a person writes, `shown` the
/// records that this person has seen already.
pub(super) fn observer(printer: &Printer, by_hand: Vec<String>, shown: HashSet<Record>) -> Arc<dyn Observer> {
    if printer.is_json() {
        Arc::new(json::Json::new(printer.clone()))
    } else {
        Arc::new(human::Human::new(printer.clone(), by_hand, shown))
    }
}

/// Tells everything to two readers.
pub(super) struct Both(pub(super) Arc<dyn Observer>, pub(super) Arc<dyn Observer>);

impl Observer for Both {
    fn event(&self, event: &Event<'_>) {
        self.0.event(event);
        self.1.event(event);
    }
}

/// The last words of a run.
pub(super) fn finish(printer: &Printer, summary: &Summary, calls: &[(String, u64)]) {
    tracing::info!("calls to CAS: {}", by_action(calls));
    let issued = summary.orders.iter().filter(|(_, outcome)| matches!(outcome, Ok(Outcome::Issued(_)))).count();
    if issued > 0 {
        let all: u64 = calls.iter().map(|(_, count)| count).sum();
        tracing::info!("{} calls for each of {issued} issued orders", per_order(all, issued));
    }
    if printer.is_json() {
        return;
    }
    if summary.orders.is_empty() && !summary.interrupted {
        printer.note(t!("no order waits for validation"));
        return;
    }
    let count =
        |wanted: fn(&Outcome) -> bool| summary.orders.iter().filter(|(_, outcome)| outcome.as_ref().is_ok_and(wanted)).count();
    let failed = summary.orders.iter().filter(|(_, outcome)| outcome.is_err()).count();
    let parts = [
        (count(|outcome| matches!(outcome, Outcome::Issued(_))), t!("issued")),
        (count(|outcome| matches!(outcome, Outcome::LeftWaiting)), t!("left waiting")),
        (count(|outcome| matches!(outcome, Outcome::HeldByAnotherRun)), t!("held by another run")),
        (count(|outcome| matches!(outcome, Outcome::NothingToDo)), t!("with nothing to do")),
        (failed, t!("failed")),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| t!("%{number} %{what}", number, what)).collect();
    if summary.orders.len() > 1 && !parts.is_empty() {
        printer.note(&t!("%{orders} orders: %{parts}", orders = summary.orders.len(), parts = parts.join(", ")));
    }
}

/// Calls to CAS by their action, in one line.
pub(super) fn by_action(calls: &[(String, u64)]) -> String {
    calls.iter().map(|(action, count)| format!("{action} {count}")).collect::<Vec<_>>().join(", ")
}

/// A number of calls for each order, with one digit behind the point.
fn per_order(calls: u64, orders: usize) -> String {
    let tenths = (calls * 10 + orders as u64 / 2) / (orders as u64).max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// What the web servers show of a file: a line, and a table where they do not all show it.
fn file_seen(look: &web::Look) -> String {
    let sights = &look.sights;
    let visible = sights.iter().filter(|sight| sight.verdict == web::Verdict::Visible).count();
    let why = look.explanation.as_deref().map(|why| t!("; %{why}", why)).unwrap_or_default();
    let title = look.file.title();
    if look.visible {
        let seconds = look.waited.as_secs_f64();
        return t!(
            "%{title} is visible at %{visible} of %{sights} web server ports after %{seconds} s%{why}",
            title,
            visible,
            sights = sights.len(),
            seconds = format_args!("{seconds:.1}"),
            why
        );
    }
    let table = file_table(look);
    let rows: Vec<String> = table.lines().map(|line| format!("  {line}")).collect();
    t!("%{title} is not visible yet%{why}\n%{rows}", title, why, rows = rows.join("\n"))
}

/// What each web server shows, without blanks at line ends.
pub(super) fn file_table(look: &web::Look) -> String {
    let mut rows = table::new(&[message!("HOST"), message!("PORT"), message!("ADDRESS"), message!("VERDICT"), message!("SEEN")]);
    for sight in &look.sights {
        rows.add_row([
            sight.host.to_string(),
            sight.scheme.as_str().to_owned(),
            sight.address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
            sight.verdict.word().to_owned(),
            sight.verdict.sentence(),
        ]);
    }
    rows.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The table of every authority; with serials where these differ.
pub(super) fn authorities(round: &Round, serials: &[Serial]) -> Table {
    let differ = serials.iter().any(|serial| serial.lag().is_some());
    let headings =
        [message!("SERVER"), message!("ADDRESS"), message!("VERDICT"), message!("TIME"), message!("SERIAL"), message!("SEEN")];
    let shown = |column: &usize| differ || *column != 4;
    let pick = |row: [String; 6]| (0..6).filter(shown).map(|column| row[column].clone()).collect::<Vec<_>>();
    let mut rows = table::new(&(0..6).filter(shown).map(|column| headings[column]).collect::<Vec<_>>());
    for observation in &round.observations {
        let verdict = if observation.out {
            t!("%{verdict} (out)", verdict = observation.verdict.word())
        } else {
            observation.verdict.word().to_owned()
        };
        let serial = serials.iter().find(|serial| serial.authority == observation.authority);
        rows.add_row(pick([
            observation.authority.server.clone(),
            observation.authority.address.to_string(),
            verdict,
            observation.round_trip.map(|time| format!("{} ms", time.as_millis())).unwrap_or_default(),
            serial.map(|serial| serial.serial.to_string()).unwrap_or_default(),
            seen(&observation.verdict),
        ]));
    }
    rows
}

/// The table of recursive resolvers.
pub(super) fn resolvers(reports: &[ResolverReport]) -> Table {
    let mut rows = table::new(&[message!("RESOLVER"), message!("VERDICT"), message!("SEEN")]);
    for report in reports {
        rows.add_row([
            report.resolver.clone(),
            report.verdict.word().to_owned(),
            denial(report).unwrap_or_else(|| seen(&report.verdict)),
        ]);
    }
    rows
}

/// How long a resolver will go on denying a record, as a time of the clock.
fn denial(report: &ResolverReport) -> Option<String> {
    let until = report.forgets_at(&jiff::ZonedDateTime::now())?;
    Some(t!("remembers that it was not there until %{until}", until))
}

/// What a resolver that fails, while the authorities show the record, means for the CA.
pub(super) fn trouble(report: &ResolverReport) -> Option<String> {
    let Verdict::ServFail(detail) = &report.verdict else { return None };
    let detail = detail.as_ref().map(|detail| t!(", %{detail}", detail)).unwrap_or_default();
    Some(t!(
        "resolver %{resolver} fails for the name (SERVFAIL%{detail}) though its servers show the record: most likely the zone's DNSSEC signatures are wrong or expired, and a CA that validates them fails too",
        resolver = report.resolver,
        detail
    ))
}

fn seen(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Visible => String::new(),
        other => super::printer::printable(&other.sentence()),
    }
}

/// One sentence about a look.
pub(super) fn conclusion(round: &Round) -> String {
    match (round.visible, &round.explanation) {
        (true, None) => t!("visible: every name server shows the value").to_owned(),
        (true, Some(risk)) => t!("visible; %{risk}", risk),
        (false, Some(why)) => t!("not visible: %{why}", why),
        (false, None) => t!("not visible").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_that_fails_though_the_servers_answer_is_explained() {
        let report = |verdict| ResolverReport { resolver: "r".to_owned(), verdict, negative_for: None };
        let said = trouble(&report(Verdict::ServFail(Some("EDE 7 Signature Expired".to_owned())))).unwrap();
        assert!(
            said.contains("(SERVFAIL, EDE 7 Signature Expired)") && said.contains("a CA that validates them fails too"),
            "{said}"
        );
        assert!(trouble(&report(Verdict::ServFail(None))).unwrap().contains("(SERVFAIL)"));
        for verdict in [Verdict::Visible, Verdict::NxDomain, Verdict::Refused] {
            assert_eq!(trouble(&report(verdict)), None);
        }
    }
}
