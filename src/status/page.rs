//! The page: made on the server, escaped by the template engine, brought up to date by a small script.

use std::{fmt::Display, sync::OnceLock};

use jiff::Timestamp;
use minijinja::{Environment, Value, context, value::Kwargs};
use serde::Serialize;

use super::{
    board::State,
    order::{Fate, OrderView, RecordView, Step, Trouble},
};
use crate::{
    delivery::Held,
    language::{Language, fill, say, t},
    name::Name,
    propagation::{Observation, Verdict},
};

/// The style of the page.
pub(super) const STYLE: &str = include_str!("page/page.css");
/// What keeps the page up to date.
pub(super) const SCRIPT: &str = include_str!("page/page.js");
/// The icon of the page.
pub(super) const ICON: &str = include_str!("page/icon.svg");

/// How many orders the page shows; of more, those that need a person or are under way come first.
pub(super) const SHOWN_ORDERS: usize = 500;

/// How many troubles the page shows.
const SHOWN_TROUBLES: usize = 5;

/// Of how many orders a trouble shows the ids.
const SHOWN_CONCERNED: usize = 4;

/// How many certificates the page shows: those that end first.
const SHOWN_CERTIFICATES: usize = 500;

/// So many orders, and their tables are open from the start.
const OPEN_ORDERS: usize = 3;

/// From so many days on, a certificate should have been renewed: with less than this, a third of 90 days, something is late.
const SOON: i64 = 30;

/// From so many days on it is urgent.
const URGENT: i64 = 7;

/// A name as people read it, and as DNS has it where that differs.
#[derive(Serialize)]
struct ShownName {
    shown: String,
    ascii: Option<String>,
}

#[derive(Serialize)]
struct ShownOrder {
    id: String,
    names: Vec<ShownName>,
    /// `failed`, `waiting` or `done`.
    group: &'static str,
    state: String,
    note: Option<String>,
    /// What is going on, in words.
    doing: String,
    steps: Vec<ShownStep>,
    since: String,
    why: Option<String>,
    hint: Option<String>,
    records: Vec<ShownRecord>,
    open: bool,
}

#[derive(Serialize)]
struct ShownStep {
    word: &'static str,
    /// `reached`, `next` or `later`.
    how: &'static str,
}

#[derive(Serialize)]
struct ShownTrouble {
    /// Some of the orders.
    orders: Vec<String>,
    more_orders: usize,
    failed: bool,
    message: String,
    hint: Option<String>,
    last: String,
    times: u64,
}

#[derive(Serialize)]
struct ShownRecord {
    record_type: String,
    name: ShownName,
    value: String,
    provider: Option<String>,
    zone: Option<ShownName>,
    withdrawn: bool,
    visible: bool,
    explanation: Option<String>,
    authorities: Vec<ShownAuthority>,
}

#[derive(Serialize)]
struct ShownAuthority {
    server: String,
    address: String,
    verdict: &'static str,
    /// `good`, `wait` or `bad`.
    how: &'static str,
    out: bool,
    seen: String,
    milliseconds: Option<u64>,
}

#[derive(Serialize)]
struct ShownCertificate {
    folder: String,
    names: Vec<ShownName>,
    days: i64,
    /// `good`, `wait` or `bad`.
    how: &'static str,
    until: String,
    date: String,
}

#[derive(Serialize)]
struct Live<'a> {
    ready: bool,
    not_ready: Option<&'a str>,
    failed: usize,
    waiting: usize,
    done: usize,
    more_orders: usize,
    orders: Vec<ShownOrder>,
    troubles: Vec<ShownTrouble>,
    certificates: Vec<ShownCertificate>,
    certificate_count: usize,
    more_certificates: usize,
    /// Certificates that should have been renewed.
    due: usize,
    soon: i64,
}

/// The part that changes.
pub(super) fn live(state: &State, certificates: &[Held], now: Timestamp) -> String {
    let mut orders: Vec<&OrderView> = state.orders.values().collect();
    // What needs a person, then what has been under way for longest, then what ended last.
    orders.sort_by_key(|view| match view.fate {
        Fate::Failed => (0, -view.changed.as_millisecond()),
        Fate::UnderWay => (1, view.since.as_millisecond()),
        Fate::Well(_) => (2, -view.changed.as_millisecond()),
    });
    let count = |group: &str| orders.iter().filter(|view| group_of(view) == group).count();
    let due = certificates.iter().filter(|held| held.days_left(now) < SOON).count();
    let values = Live {
        ready: state.not_ready.is_none(),
        not_ready: state.not_ready.as_deref(),
        failed: count("failed"),
        waiting: count("waiting"),
        done: count("done"),
        more_orders: orders.len().saturating_sub(SHOWN_ORDERS),
        orders: orders.iter().take(SHOWN_ORDERS).map(|view| shown_order(view, orders.len() <= OPEN_ORDERS)).collect::<Vec<_>>(),
        troubles: state.troubles.iter().take(SHOWN_TROUBLES).map(shown_trouble).collect::<Vec<_>>(),
        certificates: certificates.iter().take(SHOWN_CERTIFICATES).map(|held| shown_certificate(held, now)).collect::<Vec<_>>(),
        certificate_count: certificates.len(),
        more_certificates: certificates.len().saturating_sub(SHOWN_CERTIFICATES),
        due,
        soon: SOON,
    };
    render("live.html", Value::from(minijinja::value::Serde(values)))
}

/// The whole page around the part that changes.
pub(super) fn whole(live: &str) -> String {
    render("page.html", context! { version => env!("CARGO_PKG_VERSION"), live => Value::from_safe_string(live.to_owned()) })
}

fn render(name: &str, values: Value) -> String {
    let rendered = environment().get_template(name).and_then(|template| template.render(values));
    // The templates are part of the program, and its tests render them.
    rendered.unwrap_or_else(|error| t!("the page cannot be made: %{kind}", kind = error.kind()))
}

/// Templates whose names end in `.html` escape every value.
fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.add_filter("code", with_code);
        environment.add_function("t", translated);
        environment.add_function("language", || Language::current().code());
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        for (name, text) in [("live.html", include_str!("page/live.html")), ("page.html", include_str!("page/page.html"))] {
            if let Err(error) = environment.add_template(name, text) {
                tracing::error!("the template {name} is broken: {error}");
            }
        }
        environment
    })
}

/// A message of a template, with its values by name.
fn translated(text: &str, values: Kwargs) -> Result<String, minijinja::Error> {
    let names: Vec<&str> = values.args().collect();
    let given = names.iter().map(|name| values.get::<Value>(name)).collect::<Result<Vec<_>, _>>()?;
    Ok(fill(text, &names, &given.iter().map(|value| value as &dyn Display).collect::<Vec<_>>()))
}

/// A text in which what stands between backticks is code. Escaped.
fn with_code(text: &str) -> Value {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return Value::from(text);
    }
    let marked = parts.iter().enumerate().map(|(index, part)| {
        let escaped = minijinja::HtmlEscape(part);
        if index % 2 == 1 { format!("<code>{escaped}</code>") } else { escaped.to_string() }
    });
    Value::from_safe_string(marked.collect())
}

fn group_of(view: &OrderView) -> &'static str {
    match view.fate {
        Fate::Failed => "failed",
        Fate::UnderWay => "waiting",
        Fate::Well(_) => "done",
    }
}

fn shown_order(view: &OrderView, open: bool) -> ShownOrder {
    let next = Step::LINE.iter().find(|(step, _)| *step > view.step).map(|(step, _)| *step);
    let steps = Step::LINE.iter().map(|(step, word)| ShownStep {
        word,
        how: match () {
            () if view.step >= *step => "reached",
            () if Some(*step) == next && view.fate == Fate::UnderWay => "next",
            () => "later",
        },
    });
    ShownOrder {
        id: view.id.to_string(),
        names: view.domains.iter().map(shown_name).collect(),
        group: group_of(view),
        state: view.state.clone(),
        note: view.note.clone(),
        doing: match (view.fate, &view.waits) {
            (Fate::Failed, _) => t!("failed").to_owned(),
            (Fate::Well(words), _) => words.to_owned(),
            (Fate::UnderWay, Some(reason)) => t!("waiting %{reason}%{since}", reason = say(reason), since = ""),
            (Fate::UnderWay, None) => t!("at work").to_owned(),
        },
        steps: steps.collect(),
        since: stamp(if view.fate == Fate::UnderWay { view.since } else { view.changed }),
        why: view.why.as_ref().map(|(why, _)| why.clone()),
        hint: view.why.as_ref().and_then(|(_, hint)| hint.clone()),
        records: view.records.iter().map(shown_record).collect(),
        open,
    }
}

fn shown_record(view: &RecordView) -> ShownRecord {
    let round = view.round.as_ref();
    ShownRecord {
        record_type: view.record.record_type.to_string(),
        name: shown_name(&view.record.name),
        value: view.record.value.clone(),
        provider: view.at.as_ref().map(|(provider, _)| provider.clone()),
        zone: view.at.as_ref().map(|(_, zone)| shown_name(zone)),
        withdrawn: view.withdrawn,
        visible: round.is_some_and(|round| round.visible),
        explanation: round.and_then(|round| round.explanation.clone()),
        authorities: round.map(|round| round.observations.iter().map(shown_authority).collect()).unwrap_or_default(),
    }
}

fn shown_authority(observation: &Observation) -> ShownAuthority {
    let verdict = &observation.verdict;
    ShownAuthority {
        server: observation.authority.server.clone(),
        address: observation.authority.address.to_string(),
        verdict: verdict.word(),
        how: match verdict {
            Verdict::Visible => "good",
            failure if failure.is_failure() => "bad",
            _ => "wait",
        },
        out: observation.out,
        seen: if *verdict == Verdict::Visible { String::new() } else { verdict.sentence() },
        milliseconds: observation.round_trip.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn shown_trouble(trouble: &Trouble) -> ShownTrouble {
    ShownTrouble {
        orders: trouble.orders.iter().take(SHOWN_CONCERNED).map(ToString::to_string).collect(),
        more_orders: trouble.orders.len().saturating_sub(SHOWN_CONCERNED),
        failed: trouble.failed,
        message: trouble.message.clone(),
        hint: trouble.hint.clone(),
        last: stamp(trouble.last),
        times: trouble.times,
    }
}

fn shown_certificate(held: &Held, now: Timestamp) -> ShownCertificate {
    let days = held.days_left(now);
    ShownCertificate {
        folder: held.folder.clone(),
        names: held.names.iter().map(shown_name).collect(),
        days,
        how: match days {
            ..URGENT => "bad",
            URGENT..SOON => "wait",
            _ => "good",
        },
        until: stamp(held.not_after),
        date: held.not_after.strftime("%Y-%m-%d").to_string(),
    }
}

fn shown_name(name: &Name) -> ShownName {
    let (shown, ascii) = (name.unicode(), name.to_string());
    ShownName { ascii: (shown != ascii).then_some(ascii), shown }
}

/// RFC 3339, to the second.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
