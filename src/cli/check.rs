//! `check NAME VALUE`: what every name server of the zone says about a record. Needs neither order nor provider.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout};

use super::{command::Asked, exit::Exit, printer::Printer, report, session::Session, table};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    propagation::{Expectation, Propagation, ResolverReport, Round, Serial, Verdict},
    record::Record,
};

/// How long one look may take, looking for the zone included.
const LOOK: Duration = Duration::from_secs(60);
/// How long the zone above may take to tell of its delegation, once the look is over.
const DELEGATION: Duration = Duration::from_secs(3);

/// Looks once, or until the record is visible.
pub(super) async fn run(session: &Session, asked: &Asked) -> Result<Exit> {
    if asked.is_file {
        let (place, content) = asked.record.given();
        return super::check_file::run(session, place, content, asked.wait).await;
    }
    let record = asked.record.record()?;
    if record.value.len() > 1 && record.value.starts_with('"') && record.value.ends_with('"') {
        session.printer().note(t!("the quotes count as part of the value: leave them out where the CA gave none"));
    }
    let propagation = session.propagation()?;
    tokio::select! {
        biased;
        // Listened for before the first question goes out.
        _ = tokio::signal::ctrl_c() => Err(Error::new(ErrorKind::Interrupted, t!("interrupted while looking"))),
        exit = check(session, &propagation, &record, asked.wait) => exit,
    }
}

async fn check(session: &Session, propagation: &Propagation, record: &Record, waits: bool) -> Result<Exit> {
    let printer = session.printer();
    let looking = async { if waits { wait(session, propagation, record).await } else { look(propagation, record).await } };
    let (mut looking, mut comparing) = (pin!(looking), pin!(propagation.differences(&record.name)));
    let mut differences = None;
    let round = loop {
        tokio::select! {
            round = &mut looking => break round?,
            found = &mut comparing, if differences.is_none() => differences = Some(found),
        }
    };
    let resolvers = match (round.visible, waits && session.chosen().waits_for_negative()) {
        // The authorities cannot be asked: who names public resolvers gets what they say, which proves nothing.
        (false, _) if round.network.is_some() && session.chosen().propagation.vantage.is_some() => {
            propagation.resolvers_over_https(record).await
        }
        (false, _) => Vec::new(),
        (true, false) => propagation.resolvers(record).await,
        (true, true) => {
            let deadline = Instant::now() + session.chosen().propagation_timeout();
            propagation.wait_negative(record, deadline, &mut |_| ()).await
        }
    };
    let differences = match differences {
        Some(found) => found,
        // Where the zone's servers cannot be asked, so cannot those of the zone above.
        None if round.network.is_some() => Vec::new(),
        None => timeout(DELEGATION, comparing).await.unwrap_or_default(),
    };
    let serials = serials(propagation, &round).await;
    if printer.is_json() {
        let mut value = report::json::with_serials(report::json::look(&round, &resolvers), &serials);
        value["differences"] = differences.into();
        printer.json(&value);
    } else {
        show(printer, propagation, &round, &Beside { resolvers, differences, serials }).await;
    }
    Ok(if round.visible { Exit::DONE } else { Exit::failure(ErrorKind::NotVisible) })
}

async fn look(propagation: &Propagation, record: &Record) -> Result<Round> {
    timeout(LOOK, propagation.look(record)).await.unwrap_or_else(|_| {
        let what = t!("the servers of %{name} did not all answer within %{value} s", name = record.name, value = LOOK.as_secs());
        Err(Error::new(ErrorKind::NotVisible, what).with_hint(t!("`dv-verify explain %{name}` says which", name = record.name)))
    })
}

async fn wait(session: &Session, propagation: &Propagation, record: &Record) -> Result<Round> {
    let deadline = Instant::now() + session.chosen().propagation_timeout();
    let (printer, mut last, mut seen) = (session.printer(), String::new(), None);
    let mut tell = |round: &Round| {
        if let Some(explanation) = round.explanation.as_deref().filter(|explanation| *explanation != last) {
            printer.note(explanation);
            explanation.clone_into(&mut last);
        }
        seen = Some(round.clone());
    };
    match propagation.wait(record, &Expectation::default(), deadline, &mut tell).await {
        // The table says more than the deadline does.
        Err(error) if error.kind() == ErrorKind::NotVisible => seen.ok_or(error),
        outcome => outcome,
    }
}

/// How far each authority has come with the zone, where one of them does not show the value.
async fn serials(propagation: &Propagation, round: &Round) -> Vec<Serial> {
    let all_show = round.observations.iter().all(|seen| seen.verdict == Verdict::Visible);
    // What answers for every address has no serial of theirs.
    if all_show || round.network.is_some() {
        return Vec::new();
    }
    timeout(DELEGATION, propagation.serials(&round.record.name)).await.unwrap_or_default()
}

/// What is told beside the table.
struct Beside {
    resolvers: Vec<ResolverReport>,
    differences: Vec<String>,
    serials: Vec<Serial>,
}

async fn show(printer: &Printer, propagation: &Propagation, round: &Round, beside: &Beside) {
    let (record, Beside { resolvers, differences, serials }) = (&round.record, beside);
    printer.result(&t!(
        "%{name} %{record_type} in zone %{zone}",
        name = record.name.unicode(),
        record_type = record.record_type,
        zone = round.zone.unicode()
    ));
    printer.result("");
    table::show(printer, &report::authorities(round, serials));
    if !resolvers.is_empty() {
        printer.result("");
        table::show(printer, &report::resolvers(resolvers));
    }
    printer.result("");
    printer.result(&report::conclusion(round));
    // What was found is remembered, so this asks nothing again.
    if let Ok(delegation) = propagation.delegation(&record.name).await {
        for left_out in &delegation.left_out {
            printer.note(&t!(
                "not asked: %{server}%{left_out}: %{why}",
                server = left_out.server,
                left_out = left_out.address.map(|it| format!(" ({it})")).unwrap_or_default(),
                why = left_out.why
            ));
        }
    }
    for (serial, lag) in serials.iter().filter_map(|serial| Some((serial, serial.lag()?))) {
        printer.note(&format!("{} {lag}", serial.authority.called()));
    }
    for trouble in resolvers.iter().filter_map(report::trouble) {
        printer.warning(&trouble, Some(t!("`dv-verify explain` says what is wrong with the zone")));
    }
    for difference in differences {
        printer.warning(
            difference,
            Some(t!("make the delegation at the registrar and the zone itself agree: a CA may follow either")),
        );
    }
    if !round.visible && !resolvers.is_empty() {
        printer.warning(t!("what resolvers say proves nothing: the zone's own servers could not be asked"), None);
    }
}
