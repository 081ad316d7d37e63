//! `check NAME VALUE`: what every name server of the zone says about a record. Needs neither order nor provider.

use tokio::time::Instant;

use super::{command::Asked, exit::Exit, printer::Printer, report, session::Session, table};
use crate::{
    error::{Error, ErrorKind, Result},
    propagation::{Expectation, Propagation, ResolverReport, Round},
};

/// Looks once, or until the record is visible.
pub(super) async fn run(session: &Session, asked: &Asked) -> Result<Exit> {
    let record = asked.record.record()?;
    let printer = session.printer();
    let propagation = session.propagation()?;
    let round = if asked.wait {
        let deadline = Instant::now() + session.chosen().propagation_timeout();
        let mut last = String::new();
        let mut tell = |round: &Round| {
            if let Some(explanation) = round.explanation.as_deref().filter(|explanation| *explanation != last) {
                printer.note(explanation);
                explanation.clone_into(&mut last);
            }
        };
        let expectation = Expectation::default();
        let waiting = propagation.wait(&record, &expectation, deadline, &mut tell);
        tokio::select! {
            round = waiting => match round {
                Ok(round) => round,
                // The table says more than the deadline does.
                Err(error) if error.kind() == ErrorKind::NotVisible => propagation.look(&record).await.map_err(|_| error)?,
                Err(error) => return Err(error),
            },
            _ = tokio::signal::ctrl_c() => return Err(Error::new(ErrorKind::Interrupted, "interrupted while waiting")),
        }
    } else {
        propagation.look(&record).await?
    };
    let resolvers = match (round.visible, asked.wait && session.chosen().waits_for_negative()) {
        (false, _) => Vec::new(),
        (true, false) => propagation.resolvers(&record).await,
        (true, true) => {
            let deadline = Instant::now() + session.chosen().propagation_timeout();
            propagation.wait_negative(&record, deadline, &mut |_| ()).await
        }
    };
    if printer.is_json() {
        printer.json(&report::json::look(&round, &resolvers));
    } else {
        show(printer, &propagation, &round, &resolvers).await;
    }
    Ok(if round.visible { Exit::DONE } else { Exit::failure(ErrorKind::NotVisible) })
}

async fn show(printer: &Printer, propagation: &Propagation, round: &Round, resolvers: &[ResolverReport]) {
    let record = &round.record;
    printer.result(&format!("{} {} in zone {}", record.name.unicode(), record.record_type, round.zone.unicode()));
    printer.result("");
    table::show(printer, &report::authorities(round));
    if !resolvers.is_empty() {
        printer.result("");
        table::show(printer, &report::resolvers(resolvers));
    }
    printer.result("");
    printer.result(&report::conclusion(round));
    // What was found is remembered, so this asks nothing again.
    if let Ok(delegation) = propagation.delegation(&record.name).await {
        for left_out in &delegation.left_out {
            printer.note(&format!(
                "not asked: {}{}: {}",
                left_out.server,
                left_out.address.map(|it| format!(" ({it})")).unwrap_or_default(),
                left_out.why
            ));
        }
        for difference in &delegation.differences {
            printer.warning(difference, None);
        }
    }
}
