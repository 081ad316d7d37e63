//! `test`: proves a provider's credentials and rights with two random values in a zone.

use std::{collections::HashSet, time::Duration};

use serde_json::json;

use super::{
    exit::Exit,
    report,
    session::{Rooms, Session},
    signals::Signals,
};
use crate::{
    config::routing::Router,
    error::{Error, Result},
    journey::{self, Step, Stop},
    language::t,
    name::Name,
};

/// Runs the trial, and says what each step took.
pub(super) async fn run(session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let zone = the_zone(session)?;
    let stop = Stop::default();
    let signals = Signals::listen(stop.clone(), printer.clone(), false)?;
    let observer = |router: &Router| Ok(report::observer(printer, router.by_hand()?, HashSet::new()));
    let mut tell = |step: Step<'_>| {
        if printer.is_json() {
            return;
        }
        match step {
            Step::Located(zone) => printer.result(&t!("ok  zone %{zone} is in the account", zone = zone.unicode())),
            Step::Seen(record, took) => {
                printer.result(&t!(
                    "ok  %{name} shows `%{value}` after %{took}",
                    name = record.name.unicode(),
                    value = record.value,
                    took = seconds(took)
                ));
            }
            Step::Gone(record, took) => {
                printer.result(&t!(
                    "ok  `%{value}` is gone after %{took}; no other value changed",
                    value = record.value,
                    took = seconds(took)
                ));
            }
        }
    };
    let patience = session.chosen().given_propagation_timeout();
    let work = async |rooms: &mut Rooms| journey::trial(&rooms.surroundings, &zone, patience, &stop, &mut tell).await;
    let trial = match (session.with_rooms(observer, work).await, signals.exit()) {
        (Err(_), Some(exit)) => return Ok(exit),
        (trial, _) => trial?,
    };
    if printer.is_json() {
        printer.json(&json!({
            "provider": trial.provider,
            "zone": trial.zone.as_str(),
            "name": trial.name.as_str(),
            "visible_after_ms": millis(trial.delay),
            "gone_after_ms": millis(trial.removal_delay),
        }));
    } else {
        let (provider, visible, gone) = (&trial.provider, seconds(trial.delay), seconds(trial.removal_delay));
        printer.result(&t!(
            "provider `%{provider}` works: visible after %{visible}, gone after %{gone}, nothing left behind",
            provider,
            visible,
            gone
        ));
    }
    Ok(Exit::DONE)
}

fn the_zone(session: &Session) -> Result<Name> {
    match session.chosen().zones() {
        [zone] => Ok(zone.clone()),
        [] => {
            Err(Error::usage(t!("no zone is named")).with_hint(t!("say which: `dv-verify test --provider P --zone example.com`")))
        }
        _ => Err(Error::usage(t!("more than one zone is named")).with_hint(t!("test them one after the other"))),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
