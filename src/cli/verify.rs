//! The main command: orders from `checking` to a certificate on disk.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    exit::Exit,
    report::{self, Both},
    seen,
    session::{Rooms, Session},
    signals::Signals,
    table,
};
use crate::{
    config::show_duration,
    error::{Error, ErrorKind, Result},
    journey::{
        self, Options, Stop, Summary, Surroundings,
        event::{Observer, Outcome, PlannedRecord, Silent},
    },
    language::t,
    order::OrderSource,
    record::Record,
};

/// Verifies orders. Where the run as a whole fails, the user's programs are told, as they are of each order that does.
pub(super) async fn run(session: &Session) -> Result<Exit> {
    let outcome = run_told(session, None).await;
    tell_failure(session, &outcome).await;
    outcome
}

/// Tells the user's programs where the run as a whole failed.
pub(super) async fn tell_failure(session: &Session, outcome: &Result<Exit>) {
    if let Err(error) = outcome
        && !session.chosen().is_dry_run()
        // Without them nobody knows which variables are secret.
        && let Ok(registry) = session.registry()
    {
        let (notices, timeout) = session.chosen().notices();
        let hidden = registry.hidden_variables(session.environment());
        // What cannot be remembered is told again by the next run.
        let store = if notices.is_told_of_failures() && error.kind() != ErrorKind::Store {
            session.open_store().await.ok()
        } else {
            None
        };
        let memory = store.as_ref().map(|store| (store, session.chosen().cas.account.as_str()));
        for failure in notices.tell_of_run(error, memory, session.environment(), &hidden, timeout).await {
            session.printer().warning(&failure.to_string(), failure.hint());
        }
        if let Some(store) = store {
            store.close().await;
        }
    }
}

/// Verifies orders, and tells everything to `listener` before the usual report.
pub(super) async fn run_told(session: &Session, listener: Option<Arc<dyn Observer>>) -> Result<Exit> {
    session
        .with_rooms(
            |_| Ok(Arc::new(Silent)),
            async |rooms: &mut Rooms| {
                let options = session.chosen().journey(rooms.router.registry().hidden_variables(session.environment()))?;
                take(session, rooms, options, listener).await
            },
        )
        .await
}

/// Takes orders through their journey, and reports.
pub(super) async fn take(
    session: &Session,
    rooms: &mut Rooms,
    options: Options,
    listener: Option<Arc<dyn Observer>>,
) -> Result<Exit> {
    if let [only] = rooms.router.reachable().as_slice() {
        // Its mistakes are found before the first order is read.
        rooms.router.open(only)?;
    }
    let stop = Stop::default();
    let signals = Signals::listen(stop.clone(), session.printer().clone(), false)?;
    if !splay(session, &stop).await {
        return Ok(signals.exit().unwrap_or(Exit::failure(ErrorKind::Interrupted)));
    }
    remind(rooms, &options).await?;
    if !options.dry_run && !rooms.router.has_any() {
        return Ok(tokio::select! {
            biased;
            () = stop.stop.cancelled() => signals.exit().unwrap_or(Exit::failure(ErrorKind::Interrupted)),
            exit = without_provider(session, rooms, &options) => exit?,
        });
    }
    let by_hand = rooms.router.by_hand()?;
    let mut shown = HashSet::new();
    if !options.dry_run && !by_hand.is_empty() {
        shown = tokio::select! {
            biased;
            // The journey ends at once then.
            () = stop.stop.cancelled() => HashSet::new(),
            shown = show_for_hands(session, rooms, &options, &by_hand) => shown?,
        };
    }
    let seen = seen::show(session, rooms, &options.out).await?;
    let report = report::observer(session.printer(), by_hand, shown);
    let listeners = listener.into_iter().chain(seen.iter().map(|seen| Arc::new(seen.board.clone()) as Arc<dyn Observer>));
    rooms.surroundings.observer = listeners.fold(report, |report, listener| Arc::new(Both(listener, report)));
    if let Some(seen) = &seen {
        seen.board.set_ready(None);
    }
    let summary = journey::run(&rooms.surroundings, &options, &stop).await?;
    if options.notices.is_told_of_failures() && !options.dry_run {
        // The run as a whole went well: when that fails the next time, it is news.
        rooms.surroundings.store.forget_telling(&session.chosen().cas.account, None).await?;
    }
    report::finish(session.printer(), &summary, &rooms.cas.calls());
    if options.dry_run {
        show_plan(session, &summary);
    }
    Ok(Exit::of_summary(&summary, session.chosen().detailed_exit_code, signals.exit()))
}

/// Waits at random up to `--splay`; false where a signal ended that.
async fn splay(session: &Session, stop: &Stop) -> bool {
    let Some(longest) = session.chosen().splay else { return true };
    let pause = longest.mul_f64(rand::random::<f64>());
    session.printer().note(&t!("waiting %{pause} (`--splay`)", pause = show_duration(Duration::from_secs(pause.as_secs()))));
    tokio::select! {
        biased;
        () = stop.stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

/// Tells the source which generation answered for an order before, so that it need not try.
pub(super) async fn remind(rooms: &Rooms, options: &Options) -> Result<()> {
    let store = &rooms.surroundings.store;
    let origin = rooms.cas.origin();
    let mut known = store.unfinished(origin).await?;
    for id in &options.orders {
        known.extend(store.recall(origin, id).await?);
    }
    for memory in known {
        rooms.cas.remember(&memory.id, memory.generation);
    }
    Ok(())
}

/// What a run would write, found out without writing and without a word.
async fn plan(rooms: &Rooms, options: &Options) -> Result<Summary> {
    let quiet = Surroundings { observer: Arc::new(Silent), ..rooms.surroundings.clone() };
    let dry = Options { dry_run: true, ..options.clone() };
    journey::run(&quiet, &dry, &Stop::default()).await
}

fn planned(summary: &Summary) -> Vec<&PlannedRecord> {
    let plans = summary.orders.iter().filter_map(|(_, outcome)| match outcome {
        Ok(Outcome::WouldWrite(records)) => Some(records),
        _ => None,
    });
    plans.flatten().collect()
}

/// Without a provider every record that is needed is shown, and nothing is written.
async fn without_provider(session: &Session, rooms: &Rooms, options: &Options) -> Result<Exit> {
    let summary = plan(rooms, options).await?;
    for (id, outcome) in &summary.orders {
        if let Err(error) = outcome {
            super::failure::show(session.printer(), error, Some(id.as_str()));
        }
    }
    let records = planned(&summary);
    if !records.is_empty() {
        session.printer().note(t!("these records are needed:"));
        table::records(session.printer(), &records);
    }
    Err(Error::config(t!("no provider is set, so nothing was written"))
        .with_hint(t!("say who writes the records with `--provider PROVIDER` (`dv-verify providers list`), or add them yourself and use `--provider manual`")))
}

/// Where a person writes, all records of all orders are shown at once. Returns what was shown.
async fn show_for_hands(session: &Session, rooms: &Rooms, options: &Options, by_hand: &[String]) -> Result<HashSet<Record>> {
    let summary = plan(rooms, options).await?;
    let records: Vec<&PlannedRecord> = planned(&summary)
        .into_iter()
        .filter(|planned| planned.provider.as_ref().is_some_and(|provider| by_hand.contains(provider)))
        .collect();
    if !records.is_empty() {
        session.printer().note(t!("add these records now; this waits until every name server shows them:"));
        table::records(session.printer(), &records);
    }
    Ok(records.into_iter().map(|planned| planned.record.clone()).collect())
}

fn show_plan(session: &Session, summary: &Summary) {
    if session.printer().is_json() {
        return;
    }
    let records = planned(summary);
    if records.is_empty() {
        session.printer().note(t!("nothing would be written"));
    } else {
        table::records(session.printer(), &records);
    }
}
