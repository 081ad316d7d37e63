//! What recursive resolvers say about a record. Only for records that the authorities show: before, the question itself would make
//! the resolver remember that there is no record.

use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::{
    op::Message,
    rr::{RData, RecordType as WireType},
};
use jiff::ZonedDateTime;
use tokio::time::{Instant, sleep_until};

use super::{
    ResolverReport,
    look::wire_type,
    message::{Checking, Question},
    shared::Shared,
    verdict::{Verdict, judge_recursive},
};
use crate::record::Record;

mod address;
mod encrypted;
#[cfg(test)]
pub(super) mod tests;
mod vantage;

pub use address::ResolverAddress;
pub use vantage::Vantage;

pub(crate) use encrypted::Encrypted;
pub(crate) use vantage::Reporter;

/// How soon a resolver that does not say how long it denies is asked again.
const UNSAID: Duration = Duration::from_secs(5);
/// TTLs are whole seconds, rounded either way.
const ROUNDING: Duration = Duration::from_secs(1);

impl ResolverReport {
    /// Whether the resolver answers from before the record was there: it knows no such name, no such type, or other values only.
    pub fn denies(&self) -> bool {
        matches!(self.verdict, Verdict::NxDomain | Verdict::Missing | Verdict::OtherValue(_))
    }

    /// The clock time at which the resolver forgets its old answer, in the time zone of `now`, which is when it was asked: `14:03:20`,
    /// on another day `2026-11-25 00:03:20`. `None` where it denies nothing or does not say how long.
    pub fn forgets_at(&self, now: &ZonedDateTime) -> Option<String> {
        let span = jiff::SignedDuration::try_from(self.negative_for?).ok()?;
        let then = now.checked_add(span).ok()?;
        let form = if then.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        Some(then.strftime(form).to_string())
    }
}

/// The resolvers that report: those of `--resolver` and of the vantage, else those that discovery uses.
pub(crate) fn reporters(shared: &Shared) -> Vec<Reporter> {
    let options = &shared.options;
    let mut reporters: Vec<Reporter> = options.resolvers.iter().cloned().map(Reporter::named).collect();
    reporters.extend(options.vantage.map(Vantage::reporters).unwrap_or_default());
    if reporters.is_empty() {
        reporters = shared.resolvers.iter().cloned().map(Reporter::named).collect();
    }
    reporters
}

/// Asks each resolver once, all at the same time.
pub(super) async fn ask(shared: &Shared, record: &Record) -> Vec<ResolverReport> {
    let reporters = reporters(shared);
    join_all(reporters.iter().map(|reporter| report(shared, reporter, record))).await
}

/// Asks those that can be asked over HTTPS, over HTTPS.
pub(super) async fn ask_over_https(shared: &Shared, record: &Record) -> Vec<ResolverReport> {
    let reporters: Vec<Reporter> = reporters(shared).into_iter().filter_map(Reporter::over_https).collect();
    join_all(reporters.iter().map(|reporter| report(shared, reporter, record))).await
}

async fn report(shared: &Shared, reporter: &Reporter, record: &Record) -> ResolverReport {
    let record_type = wire_type(record.record_type);
    let question = Question { name: record.name.to_wire(), record_type, recursion: true, checking: Checking::Unsaid };
    let (resolver, outcome) = ask_reporter(shared, reporter, &question).await;
    let (verdict, negative_for) = match outcome {
        Ok(answer) => {
            let verdict = judge_recursive(record, &answer);
            let remembered = match verdict {
                Verdict::NxDomain | Verdict::Missing => negative_ttl(&answer),
                Verdict::OtherValue(_) => positive_ttl(&answer, record_type),
                _ => None,
            };
            (verdict, remembered)
        }
        Err(verdict) => (verdict, None),
    };
    ResolverReport { resolver, verdict, negative_for }
}

/// Asks a reporter, over its other transport where nothing usable comes over the first. Also: its name, with how it was asked.
pub(crate) async fn ask_reporter(
    shared: &Shared,
    reporter: &Reporter,
    question: &Question,
) -> (String, Result<Message, Verdict>) {
    let named = |address: &ResolverAddress| match reporter.label {
        Some(label) => format!("{label} ({address})"),
        None => address.to_string(),
    };
    let first = shared.ask_recursive(&reporter.address, question).await;
    let unusable = matches!(first, Err(Verdict::Unreachable(_) | Verdict::Mismatched(_) | Verdict::Truncated(_)));
    if let Some(otherwise) = reporter.otherwise.as_ref().filter(|_| unusable) {
        let second = shared.ask_recursive(otherwise, question).await;
        if second.is_ok() {
            return (named(otherwise), second);
        }
    }
    (named(&reporter.address), first)
}

/// Asks until no resolver denies the record, or `deadline` has passed; each is asked again when its denial runs out.
pub(super) async fn wait_negative(
    shared: &Shared,
    record: &Record,
    deadline: Instant,
    observe: &mut (dyn FnMut(&[ResolverReport]) + Send),
) -> Vec<ResolverReport> {
    let reporters = reporters(shared);
    let mut reports = join_all(reporters.iter().map(|reporter| report(shared, reporter, record))).await;
    loop {
        observe(&reports);
        let Some(pause) = next_pause(&reports) else { return reports };
        let next = Instant::now() + pause;
        if next >= deadline {
            // A last look at the deadline: a TTL is a promise to forget by then, not to remember until then.
            sleep_until(deadline).await;
        } else {
            sleep_until(next).await;
        }
        let again = reporters.iter().zip(&reports).map(|(reporter, old)| async move {
            if old.denies() { report(shared, reporter, record).await } else { old.clone() }
        });
        reports = join_all(again).await;
        if next >= deadline {
            observe(&reports);
            return reports;
        }
    }
}

/// How long until the first denial runs out; `None` where nobody denies.
fn next_pause(reports: &[ResolverReport]) -> Option<Duration> {
    let denying = reports.iter().filter(|report| report.denies());
    denying.map(|report| report.negative_for.map_or(UNSAID, |left| left + ROUNDING)).min()
}

/// How long the denial may be remembered: the lesser of the SOA's TTL, which counts down in a cache, and its minimum
/// (RFC 2308 section 5).
fn negative_ttl(answer: &Message) -> Option<Duration> {
    answer.authorities.iter().find_map(|entry| match &entry.data {
        RData::SOA(soa) => Some(Duration::from_secs(u64::from(entry.ttl.min(soa.minimum)))),
        _ => None,
    })
}

/// How long values that were there before are remembered.
fn positive_ttl(answer: &Message, record_type: WireType) -> Option<Duration> {
    let values = answer.answers.iter().filter(|entry| entry.record_type() == record_type);
    values.map(|entry| Duration::from_secs(u64::from(entry.ttl))).min()
}
