//! Seeing one record: at the authorities, then at the resolvers.

use std::time::Duration;

use tokio::time::Instant;

use super::{Surroundings, driver::Run, event::Event, files, publish::Planned};
use crate::{
    error::Result,
    language::t,
    order::{Order, OrderId},
    propagation::{Expectation, ResolverReport, Round, Verdict},
    record::{Record, RecordType},
};

/// The least time that propagation gets.
pub(super) const LEAST_PROPAGATION: Duration = Duration::from_secs(15 * 60);

/// How long a record may take to be visible: what the user says, else max(15 min, twice the provider's usual delay).
pub(super) fn patience(given: Option<Duration>, usual_delay: Option<Duration>) -> Duration {
    given.unwrap_or_else(|| LEAST_PROPAGATION.max(usual_delay.unwrap_or_default().saturating_mul(2)))
}

/// Waits until one record is visible, tells it, asks the resolvers, and keeps the measured delay.
pub(super) async fn see(
    run: &Run<'_>,
    id: &OrderId,
    order: Option<&Order>,
    planned: &Planned,
    wrote: Option<Instant>,
) -> Result<()> {
    if planned.record.record_type == RecordType::File {
        return files::see(run, id, planned, order).await;
    }
    let Surroundings { propagation, store, observer, .. } = run.surroundings;
    let usual_delay = planned.routed.provider.capabilities().usual_delay;
    let measured = store.delays(&planned.zone.name, &planned.routed.instance).await.unwrap_or_default();
    let patience = patience(run.options.patience.propagation, usual_delay);
    let mut told: Option<Round> = None;
    let mut tell = |round: &Round| {
        let news = told.as_ref().is_none_or(|told| verdicts(told) != verdicts(round) || told.network != round.network);
        if news {
            observer.event(&Event::Verdicts { order: Some(id), round });
            told = Some(round.clone());
        }
    };
    let expectation = Expectation { usual_delay, measured };
    let round = propagation.wait(&planned.record, &expectation, Instant::now() + patience, &mut tell).await?;
    if let Some(wrote) = wrote {
        // A delay that cannot be kept only makes the next run ask a little more often.
        let _ = store.note_delay(&planned.zone.name, &planned.routed.instance, wrote.elapsed()).await;
    }
    if run.options.wait_negative {
        let mut tell = |reports: &[ResolverReport]| {
            observer.event(&Event::Resolvers { order: Some(id), record: &planned.record, reports });
        };
        propagation.wait_negative(&planned.record, Instant::now() + patience, &mut tell).await;
    }
    observer.event(&Event::Visible { order: Some(id), round: &round, resolvers: &[] });
    tell_resolvers(run.surroundings.clone(), id.clone(), planned.record.clone());
    Ok(())
}

/// What the name servers, and web servers, say about these records now, in one sentence; `None` where there is none.
pub(super) async fn now(run: &Run<'_>, records: &[Record], order: Option<&Order>) -> Option<String> {
    let looks = records.iter().map(async |record| {
        if let Some((path, _)) = record.file() {
            let text = files::now(&run.options.web, record, order).await;
            t!("of the file at %{url}, %{text}", url = format!("http://{}{path}", record.name), text)
        } else {
            let text = at_name_servers(run, record).await;
            t!("of the value `%{value}` at %{name}, %{text}", value = record.value, name = record.name, text)
        }
    });
    let said = futures_util::future::join_all(looks).await;
    if said.is_empty() { None } else { Some(t!("at this moment, %{said}", said = said.join(t!("; ")))) }
}

async fn at_name_servers(run: &Run<'_>, record: &Record) -> String {
    match run.surroundings.propagation.look(record).await {
        Ok(round) if round.visible => t!("every name server shows it").to_owned(),
        Ok(round) => {
            let mut missing = round.observations.iter().filter(|observation| observation.verdict != Verdict::Visible);
            let first = missing.next().map(|observation| {
                t!(
                    "%{server} (%{address}) says: %{sentence}",
                    server = observation.authority.server,
                    address = observation.authority.address,
                    sentence = observation.verdict.sentence()
                )
            });
            let more = missing.count();
            let more = if more > 0 { t!(", and %{more} more do not show it", more) } else { String::new() };
            first.map_or_else(|| t!("no name server answers").to_owned(), |first| format!("{first}{more}"))
        }
        Err(error) => t!("its name servers cannot be asked: %{error}", error),
    }
}

/// Asks the recursive resolvers and tells what they say, beside the journey: nothing waits for them.
fn tell_resolvers(surroundings: Surroundings, id: OrderId, record: Record) {
    tokio::spawn(async move {
        let reports = surroundings.propagation.resolvers(&record).await;
        if !reports.is_empty() {
            surroundings.observer.event(&Event::Resolvers { order: Some(&id), record: &record, reports: &reports });
        }
    });
}

fn verdicts(round: &Round) -> Vec<(&std::net::SocketAddr, &'static str)> {
    round.observations.iter().map(|observation| (&observation.authority.address, observation.verdict.word())).collect()
}
