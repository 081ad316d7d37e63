//! `watch`: keeps going until it is told to end.

use std::{cell::RefCell, collections::HashSet, sync::Arc};

use futures_util::future::try_join_all;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch::Sender,
};

use super::{
    exit::Exit,
    report::{self, Both},
    seen,
    session::{Rooms, Session},
    signals::Signals,
    supervisor::Supervisor,
    upkeep::{AcmeUpkeep, CasUpkeep},
    verify::{remind, tell_failure},
};
use crate::{
    config::{chosen::Chosen, routing::Router, show_duration, variables},
    delivery,
    error::{Error, ErrorKind, Result},
    http::Http,
    journey::{
        Stop, Surroundings,
        event::{Event, Observer, Silent},
        watch::{self, Pulse, Renewals, Renewing, Setup},
    },
    language::t,
    order::{OrderSource, aliyun::Cas},
    status::Board,
    store::Store,
};

/// Options that are about one run.
const OF_ONE_RUN: [&str; 5] = ["order", "name", "dry-run", "no-wait", "splay"];

/// What cannot change while the program runs.
const FIXED: [&str; 8] = ["account", "store", "store-file", "lease", "listen", "listen-token-file", "listen-host", "renew"];

/// Watches.
pub(super) async fn run(session: &Session) -> Result<Exit> {
    let outcome = begin(session).await;
    tell_failure(session, &outcome).await;
    outcome
}

async fn begin(session: &Session) -> Result<Exit> {
    check(session)?;
    session.with_rooms(|_| Ok(Arc::new(Silent)), async |rooms: &mut Rooms| watch(session, rooms).await).await
}

/// The reader of events: the usual report, and the status page where there is one.
fn observer(session: &Session, router: &Router, board: Option<&Board>) -> Result<Arc<dyn Observer>> {
    let report = report::observer(session.printer(), router.by_hand()?, HashSet::new());
    Ok(match board {
        Some(board) => Arc::new(Both(Arc::new(board.clone()), report)),
        None => report,
    })
}

/// What is watched, each by a loop of its own: orders of CAS, and with `--renew` orders of ACME CAs, whose source lies on this machine.
struct Setups {
    /// `None` where there are no credentials for CAS, and certificates of ACME CAs to keep up.
    cas: Option<Setup>,
    /// `None` without `--renew`.
    acme: Option<Setup>,
}

impl Setups {
    fn all(self) -> [Option<Setup>; 2] {
        [self.cas, self.acme]
    }
}

async fn watch(session: &Session, rooms: &mut Rooms) -> Result<Exit> {
    let supervisor = Supervisor::of_process();
    let failed =
        |error: std::io::Error| Error::new(ErrorKind::Unexpected, t!("signals cannot be listened for")).with_source(error);
    let mut hangups = signal(SignalKind::hangup()).map_err(failed)?;
    let stop = Stop::default();
    let signals = Signals::listen(stop.clone(), session.printer().clone(), true)?;
    let out = session.chosen().out()?;
    let seen = seen::show(session, rooms, &out).await?;
    let board = seen.as_ref().map(|seen| &seen.board);
    rooms.surroundings.observer = observer(session, &rooms.router, board)?;
    let first = setups(session, rooms).await?;
    if first.cas.is_none() {
        session.printer().note(t!("there are no credentials for CAS: only certificates of ACME CAs are kept up"));
    }
    let pulses: RefCell<Vec<Pulse>> = RefCell::default();
    let mut obstacle = Some(String::new());
    let tell = RefCell::new(|pulse: &Pulse| {
        supervisor.pulse(pulse);
        if let Some(board) = board {
            tell_readiness(board, pulse, &mut obstacle);
        }
    });
    let mut senders = [None, None];
    let mut watching = Vec::new();
    for (sender, setup) in senders.iter_mut().zip(first.all()) {
        let Some(setup) = setup else { continue };
        let (setups, changes) = tokio::sync::watch::channel(Arc::new(setup));
        *sender = Some(setups);
        let lane = watching.len();
        pulses.borrow_mut().push(Pulse::default());
        let (pulses, tell) = (&pulses, &tell);
        watching.push(watch::watch(changes, &stop, supervisor.beat(), move |pulse| {
            pulses.borrow_mut()[lane] = pulse.clone();
            let all = Pulse::of_all(&pulses.borrow());
            (tell.borrow_mut())(&all);
        }));
    }
    let (store, cas) = (rooms.surroundings.store.clone(), Arc::clone(&rooms.cas));
    let reloading = async {
        while hangups.recv().await.is_some() {
            supervisor.reloading();
            reload(session, &senders, board, (&store, &cas)).await;
            supervisor.ready();
        }
    };
    supervisor.ready();
    let interval = show_duration(session.chosen().interval);
    session.printer().note(&t!("watching: looks for orders that wait for validation every %{interval}", interval));
    tokio::select! {
        biased;
        ended = try_join_all(watching) => drop(ended?),
        () = reloading => {}
    }
    Ok(signals.exit().unwrap_or(Exit::DONE))
}

/// Tells the status page whether the watch does its work. `said` is what was told last.
fn tell_readiness(board: &Board, pulse: &Pulse, said: &mut Option<String>) {
    let obstacle = match &pulse.obstacle {
        _ if pulse.draining => Some(Error::new(ErrorKind::Interrupted, t!("the watch is about to end"))),
        Some(why) => Some(Error::new(ErrorKind::Unexpected, why.to_string())),
        None if !pulse.has_listed => Some(Error::new(ErrorKind::StillWaiting, t!("orders were not looked for yet"))),
        None => None,
    };
    let text = obstacle.as_ref().map(Error::to_string);
    if *said != text {
        board.set_ready(obstacle.as_ref());
        *said = text;
    }
}

/// Reads the configuration again. One that is wrong changes nothing.
async fn reload(session: &Session, senders: &[Option<Sender<Arc<Setup>>>; 2], board: Option<&Board>, before: (&Store, &Cas)) {
    let Some(told) = senders.iter().flatten().next().map(|sender| sender.borrow().surroundings.observer.clone()) else { return };
    match read_again(session, board, before).await {
        Ok(setups) => {
            for (sender, setup) in senders.iter().zip(setups.all()) {
                if let (Some(sender), Some(setup)) = (sender, setup) {
                    // Nobody receives it only where the watch is about to end.
                    let _ = sender.send(Arc::new(setup));
                }
            }
            session.printer().note(t!("the configuration was read again, and is in force"));
        }
        Err(error) => told.event(&Event::Warning {
            order: None,
            message: &t!("the new configuration is wrong, and the one before stays in force: %{error}", error),
            hint: error.hint(),
        }),
    }
}

async fn read_again(session: &Session, board: Option<&Board>, before: (&Store, &Cas)) -> Result<Setups> {
    let again = session.again()?;
    check(&again)?;
    for name in FIXED {
        let texts = |session: &Session| session.layers().get(name).map(|given| given.texts.clone());
        if texts(&again) != texts(session) {
            return Err(Error::config(t!("`%{name}` cannot change while the program runs", name)).with_hint(t!("restart it")));
        }
    }
    let rooms = again.rooms(|router| observer(&again, router, board), Some(before)).await?;
    setups(&again, &rooms).await
}

/// What goes with one run only does not go with a watch.
fn check(session: &Session) -> Result<()> {
    for name in OF_ONE_RUN {
        let is_off = |texts: &[String]| texts.is_empty() || texts.last().is_some_and(|text| text == "false");
        if let Some(given) = session.layers().get(name).filter(|given| !is_off(&given.texts)) {
            return Err(Error::usage(t!("`--%{name}` (%{origin}) does not go with `watch`", name, origin = given.origin))
                .with_hint(t!("leave it out: a watch carries every order through")));
        }
    }
    Ok(())
}

/// What the configuration comes to. Every mistake that can be found without a network is found here.
async fn setups(session: &Session, rooms: &Rooms) -> Result<Setups> {
    let chosen: &Chosen = session.chosen();
    let mut hidden = rooms.router.registry().hidden_variables(session.environment());
    hidden.push(variables::EAB_KEY.to_owned());
    let options = chosen.journey(hidden)?;
    if !rooms.router.has_any() {
        return Err(Error::config(t!("no provider is set, so no record could be written"))
            .with_hint(t!("say who writes the records with `--provider PROVIDER`, or with `[[route]]` in the config")));
    }
    for name in rooms.router.reachable() {
        rooms.router.open(name)?;
    }
    delivery::check_writable(&options.out)?;
    remind(rooms, &options).await?;
    let setup = Setup {
        surroundings: rooms.surroundings.clone(),
        options,
        interval: chosen.interval,
        renew_before: Some(chosen.renew_before),
    };
    if !chosen.renew {
        return Ok(Setups { cas: Some(setup), acme: None });
    }
    let renewing = |source: Arc<dyn OrderSource>, renewals: Arc<dyn Renewals>| {
        let (observer, domains) = (rooms.surroundings.observer.clone(), setup.options.domains.clone());
        Arc::new(Renewing::new(source, renewals, observer, domains))
    };
    let with = |source| Setup { surroundings: Surroundings { source, ..setup.surroundings.clone() }, ..setup.clone() };
    let upkeep = AcmeUpkeep::new(session, &rooms.router)?;
    let needs_cas = session.alibaba(&Http::new()?).describe().is_ok() || !upkeep.has_any()?;
    let acme = with(renewing(upkeep.source(), Arc::new(upkeep)));
    if !needs_cas {
        return Ok(Setups { cas: None, acme: Some(acme) });
    }
    let cas = with(renewing(rooms.cas.clone(), Arc::new(CasUpkeep::new(session, &rooms.cas, &rooms.surroundings.store)?)));
    // One of the two reports what is about to end.
    Ok(Setups { cas: Some(cas), acme: Some(Setup { renew_before: None, ..acme }) })
}
