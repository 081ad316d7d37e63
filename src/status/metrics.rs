//! The board for Prometheus: text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use super::{
    board::{BUCKETS, State},
    order::{Fate, OrderView},
};
use crate::delivery::Held;

/// The media type of the format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The states that have a series of their own; words that this version does not know share `unknown`, so that an API cannot make series.
const STATES: [&str; 7] = ["not-submitted", "preparing", "checking", "reviewing", "issued", "failed", "unknown"];

/// All metrics at this moment.
pub(super) fn text(state: &State, calls: &[(String, u64)], certificates: &[Held], now: Timestamp) -> String {
    let mut text = Text::default();
    text.family("build_info", "gauge", "The version of the program; always 1.");
    text.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("start_timestamp_seconds", "gauge", "When the process began, in seconds since 1970.");
    text.sample("start_timestamp_seconds", &[], state.began.as_second());
    text.family("ready", "gauge", "Whether the process does its work: 1 or 0.");
    text.sample("ready", &[], u8::from(state.not_ready.is_none()));

    text.family("orders", "gauge", "Orders that this process knows, by state at the CA; of those that ended, the last 300.");
    for word in STATES {
        text.sample("orders", &[("state", word)], state.orders.values().filter(|view| state_of(view) == word).count());
    }
    let waiting = || state.orders.values().filter(|view| view.fate == Fate::UnderWay);
    text.family("orders_waiting", "gauge", "Orders that this process works on now.");
    text.sample("orders_waiting", &[], waiting().count());
    text.family(
        "oldest_waiting_seconds",
        "gauge",
        "How long the oldest order that is worked on has been so; 0 where there is none.",
    );
    text.sample("oldest_waiting_seconds", &[], waiting().map(|view| view.age(now).as_secs()).max().unwrap_or_default());
    text.family("orders_ended_total", "counter", "Orders that ended in this process, by how.");
    for (outcome, count) in &state.counters.ended {
        text.sample("orders_ended_total", &[("outcome", outcome)], count);
    }

    text.family(
        "certificate_expiry_timestamp_seconds",
        "gauge",
        "The end of the current certificate in each folder, in seconds since 1970.",
    );
    for held in certificates {
        let name = held.names.first().map(ToString::to_string).unwrap_or_default();
        let labels = [("folder", held.folder.as_str()), ("name", &name)];
        text.sample("certificate_expiry_timestamp_seconds", &labels, held.not_after.as_second());
    }

    text.family("calls_total", "counter", "Calls to the order source, by operation; each attempt counts.");
    for (operation, count) in calls {
        text.sample("calls_total", &[("operation", operation)], count);
    }
    text.family(
        "records_total",
        "counter",
        "Records at DNS providers, by what was done: published, found there, withdrawn, kept.",
    );
    for (what, count) in &state.counters.records {
        text.sample("records_total", &[("action", what)], count);
    }
    text.family("errors_total", "counter", "Failures, by kind.");
    for (kind, count) in &state.counters.errors {
        text.sample("errors_total", &[("kind", kind)], count);
    }
    text.family("warnings_total", "counter", "Warnings.");
    text.sample("warnings_total", &[], state.counters.warnings);

    text.family("propagation_seconds", "histogram", "From publishing a record to seeing it at its name servers.");
    let histogram = &state.counters.propagation;
    let mut below = 0;
    for (bound, count) in BUCKETS.iter().zip(histogram.counts) {
        below += count;
        text.sample("propagation_seconds_bucket", &[("le", &bound.to_string())], below);
    }
    let all: u64 = histogram.counts.iter().sum();
    text.sample("propagation_seconds_bucket", &[("le", "+Inf")], all);
    text.sample("propagation_seconds_sum", &[], histogram.sum);
    text.sample("propagation_seconds_count", &[], all);
    text.0
}

fn state_of(view: &OrderView) -> &'static str {
    match view.fate {
        Fate::Failed => "failed",
        _ => STATES.iter().find(|word| **word == view.state).copied().unwrap_or("unknown"),
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP dv_verify_{name} {help}\n# TYPE dv_verify_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "dv_verify_{name}{labels} {value}");
    }
}

/// A label's value: backslash, quotation mark and line feed are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
