//! Events for programs: one JSON object per line (docs/events.md).

use serde_json::{Map, Value, json};

use crate::{
    cli::printer::Printer,
    delivery::Delivered,
    error::Error,
    journey::event::{Event, Observer, Outcome, PlannedRecord},
    name::Name,
    order::OrderId,
    propagation::{Authority, ResolverReport, Round, Serial},
    record::Record,
    web,
};

/// Tells events to a program.
pub(super) struct Json {
    printer: Printer,
}

impl Json {
    pub(super) fn new(printer: Printer) -> Self {
        Self { printer }
    }
}

impl Observer for Json {
    fn event(&self, event: &Event<'_>) {
        let line = value(event, jiff::Timestamp::now());
        self.printer.json(&redacted(line, &self.printer));
    }
}

/// The run as a whole failed: an event too.
pub(in crate::cli) fn run_failed(printer: &Printer, error: &Error) {
    if printer.is_json() {
        let line = value(&Event::Failed { order: None, error }, jiff::Timestamp::now());
        printer.json(&redacted(line, printer));
    }
}

/// Takes secrets out of every text.
fn redacted(value: Value, printer: &Printer) -> Value {
    match value {
        Value::String(text) => Value::String(printer.redact(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| redacted(item, printer)).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, item)| (key, redacted(item, printer))).collect()),
        other => other,
    }
}

/// One event as an object.
fn value(event: &Event<'_>, time: jiff::Timestamp) -> Value {
    let (word, order, fields) = parts(event);
    let mut object = Map::new();
    object.insert("event".into(), json!(word));
    object.insert("time".into(), json!(format!("{time:.3}")));
    if let Some(order) = order {
        object.insert("order".into(), json!(order));
    }
    if let Value::Object(fields) = fields {
        object.extend(fields.into_iter().filter(|(_, field)| !field.is_null()));
    }
    Value::Object(object)
}

fn parts<'a>(event: &Event<'a>) -> (&'static str, Option<&'a OrderId>, Value) {
    match event {
        Event::Order { order, domains, state, note } => {
            ("order", Some(*order), json!({"name": first(domains), "domains": domains, "state": state, "note": note}))
        }
        Event::Published { order, record, provider, zone, was_there } => {
            ("published", *order, with_record(record, json!({"provider": provider, "zone": zone, "was_there": was_there})))
        }
        Event::Verdicts { order, round } => ("verdicts", *order, look(round, &[])),
        Event::Visible { order, round, resolvers } => ("visible", *order, look(round, resolvers)),
        Event::File { order, look } => (if look.visible { "visible" } else { "verdicts" }, Some(*order), web_servers(look)),
        Event::Resolvers { order, record, reports } => {
            ("resolvers", *order, with_record(record, json!({"resolvers": reports.iter().map(resolver).collect::<Vec<_>>()})))
        }
        Event::Waiting { order, reason, waited } => {
            ("waiting", Some(*order), json!({"reason": reason, "waited": waited.as_secs_f64()}))
        }
        Event::Issued { order, domains } => ("issued", Some(*order), json!({"name": first(domains), "domains": domains})),
        Event::Delivered { order, delivered } => ("delivered", Some(*order), certificate(delivered)),
        Event::Withdrawn { order, record, provider, kept } => {
            ("withdrawn", *order, with_record(record, json!({"provider": provider, "kept": kept})))
        }
        Event::Warning { order, message, hint } => ("warning", *order, json!({"message": message, "hint": hint})),
        Event::Failed { order, error } => ("failed", *order, failure(error)),
        Event::Postponed { order, pause, failures } => {
            ("postponed", Some(*order), json!({"pause": pause.as_secs_f64(), "failures": failures}))
        }
        Event::Renewal { order, names, why } => {
            ("renewal", Some(*order), json!({"name": first(names), "names": names, "reason": why}))
        }
        Event::RenewalDue { held, live, days } => (
            "renewal_due",
            None,
            json!({"name": first(&held.names), "names": held.names, "live": live, "not_after": held.not_after, "days": days}),
        ),
        Event::Done { order, outcome } => ("done", Some(*order), ending(outcome)),
    }
}

fn first(domains: &[Name]) -> Option<&Name> {
    domains.first()
}

fn with_record(record: &Record, fields: Value) -> Value {
    let mut all = json!({"name": record.name, "type": record.record_type, "value": record.content()});
    if let Some((path, _)) = record.file() {
        all["path"] = json!(path);
    }
    if let (Value::Object(all), Value::Object(fields)) = (&mut all, fields) {
        all.extend(fields);
    }
    all
}

/// What the authorities and, where they were asked, the resolvers say.
pub(in crate::cli) fn look(round: &Round, resolvers: &[ResolverReport]) -> Value {
    let authorities: Vec<Value> = round
        .observations
        .iter()
        .map(|observation| {
            json!({
                "server": observation.authority.server,
                "address": observation.authority.address,
                "verdict": observation.verdict.word(),
                "seen": observation.verdict.sentence(),
                "round_trip": observation.round_trip.map(|time| time.as_secs_f64()),
                "out": observation.out,
            })
        })
        .collect();
    let resolvers = (!resolvers.is_empty()).then(|| resolvers.iter().map(resolver).collect::<Vec<_>>());
    with_record(
        &round.record,
        json!({
            "zone": round.zone,
            "visible": round.visible,
            "waited": round.waited.as_secs_f64(),
            "explanation": round.explanation,
            "network": round.network.as_ref().map(crate::propagation::Network::word),
            "authorities": authorities,
            "resolvers": resolvers,
        }),
    )
}

/// What the web servers show of a file.
pub(in crate::cli) fn web_servers(look: &web::Look) -> Value {
    let sight = |sight: &web::Sight| {
        json!({
            "host": sight.host,
            "scheme": sight.scheme.as_str(),
            "address": sight.address,
            "verdict": sight.verdict.word(),
            "seen": sight.verdict.sentence(),
        })
    };
    with_record(
        &look.file,
        json!({
            "visible": look.visible,
            "waited": look.waited.as_secs_f64(),
            "explanation": look.explanation,
            "web_servers": look.sights.iter().map(sight).collect::<Vec<_>>(),
        }),
    )
}

/// Puts the serials of the zone into a [`look`].
pub(in crate::cli) fn with_serials(mut look: Value, serials: &[Serial]) -> Value {
    for authority in look["authorities"].as_array_mut().into_iter().flatten() {
        let is_it =
            |known: &Authority| json!(known.address) == authority["address"] && json!(known.server) == authority["server"];
        if let Some(known) = serials.iter().find(|known| is_it(&known.authority)) {
            authority["serial"] = json!(known.serial);
        }
    }
    look
}

fn resolver(report: &ResolverReport) -> Value {
    json!({
        "resolver": report.resolver,
        "verdict": report.verdict.word(),
        "seen": report.verdict.sentence(),
        "negative_for": report.negative_for.map(|left| left.as_secs()),
    })
}

fn certificate(delivered: &Delivered) -> Value {
    json!({
        "name": first(&delivered.names),
        "names": delivered.names,
        "folder": delivered.folder,
        "live": delivered.live,
        "serial": delivered.serial,
        "not_after": delivered.not_after,
        "changed": delivered.changed,
        "private_key": delivered.has_private_key,
    })
}

fn failure(error: &Error) -> Value {
    json!({
        "message": error.message(),
        "hint": error.hint(),
        "exit_code": error.kind().exit_code(),
        "code": error.code(),
        "http_status": error.http_status(),
        "request_id": error.request_id(),
    })
}

fn ending(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Issued(delivered) => json!({"outcome": "issued", "name": first(&delivered.names)}),
        Outcome::NothingToDo => json!({"outcome": "nothing-to-do"}),
        Outcome::HeldByAnotherRun => json!({"outcome": "held-by-another-run"}),
        Outcome::LeftWaiting => json!({"outcome": "left-waiting"}),
        Outcome::WouldWrite(records) => {
            json!({"outcome": "would-write", "records": records.iter().map(planned).collect::<Vec<_>>()})
        }
    }
}

/// A record that would be written.
pub(in crate::cli) fn planned(planned: &PlannedRecord) -> Value {
    with_record(
        &planned.record,
        json!({"order": planned.order, "provider": planned.provider, "zone": planned.zone, "obstacle": planned.obstacle}),
    )
}

#[cfg(test)]
mod tests;
