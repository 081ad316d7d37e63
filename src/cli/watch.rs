//! `watch`: keeps going until it is told to end.

use std::{collections::HashSet, sync::Arc};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch::Sender,
};

use super::{
    exit::Exit,
    report,
    session::{Rooms, Session},
    signals::Signals,
    supervisor::Supervisor,
    verify::remind,
};
use crate::{
    config::{chosen::Chosen, routing::Router, show_duration},
    delivery,
    error::{Error, ErrorKind, Result},
    journey::{
        Stop,
        event::{Event, Observer},
        watch::{self, Setup},
    },
    store::Store,
};

/// Options that are about one run.
const OF_ONE_RUN: [&str; 5] = ["order", "name", "dry-run", "no-wait", "splay"];

/// What cannot change while the store is open.
const FIXED: [&str; 3] = ["store", "store-file", "lease"];

/// Watches.
pub(super) async fn run(session: &Session) -> Result<Exit> {
    check(session)?;
    session.with_rooms(observer(session), async |rooms: &mut Rooms| watch(session, rooms).await).await
}

/// The reader of events. A status page, and whoever else listens, is put beside the usual report here.
fn observer(session: &Session) -> impl FnOnce(&Router) -> Result<Arc<dyn Observer>> {
    |router| Ok(report::observer(session.printer(), router.by_hand()?, HashSet::new()))
}

async fn watch(session: &Session, rooms: &mut Rooms) -> Result<Exit> {
    let supervisor = Supervisor::of_process();
    let failed = |error: std::io::Error| Error::new(ErrorKind::Unexpected, "signals cannot be listened for").with_source(error);
    let mut hangups = signal(SignalKind::hangup()).map_err(failed)?;
    let stop = Stop::default();
    let signals = Signals::listen(stop.clone(), session.printer().clone(), true)?;
    let (setups, changes) = tokio::sync::watch::channel(Arc::new(setup(session, rooms).await?));
    let watching = watch::watch(changes, &stop, supervisor.beat(), |pulse| supervisor.pulse(pulse));
    let store = rooms.surroundings.store.clone();
    let reloading = async {
        while hangups.recv().await.is_some() {
            supervisor.reloading();
            reload(session, &setups, &store).await;
            supervisor.ready();
        }
    };
    supervisor.ready();
    let interval = show_duration(session.chosen().interval);
    session.printer().note(&format!("watching: looks for orders that wait for validation every {interval}"));
    tokio::select! {
        biased;
        ended = watching => ended?,
        () = reloading => {}
    }
    Ok(signals.exit().unwrap_or(Exit::DONE))
}

/// Reads the configuration again. One that is wrong changes nothing.
async fn reload(session: &Session, setups: &Sender<Arc<Setup>>, store: &Store) {
    let observer = setups.borrow().surroundings.observer.clone();
    match read_again(session, store).await {
        Ok(setup) => {
            // Nobody receives it only where the watch is about to end.
            let _ = setups.send(Arc::new(setup));
            session.printer().note("the configuration was read again, and is in force");
        }
        Err(error) => observer.event(&Event::Warning {
            order: None,
            message: &format!("the new configuration is wrong, and the one before stays in force: {error}"),
            hint: error.hint(),
        }),
    }
}

async fn read_again(session: &Session, store: &Store) -> Result<Setup> {
    let again = session.again()?;
    check(&again)?;
    for name in FIXED {
        let texts = |session: &Session| session.layers().get(name).map(|given| given.texts.clone());
        if texts(&again) != texts(session) {
            return Err(Error::config(format!("`{name}` cannot change while the program runs")).with_hint("restart it"));
        }
    }
    let rooms = again.rooms(observer(&again), Some(store.clone())).await?;
    setup(&again, &rooms).await
}

/// What goes with one run only does not go with a watch.
fn check(session: &Session) -> Result<()> {
    for name in OF_ONE_RUN {
        let is_off = |texts: &[String]| texts.is_empty() || texts.last().is_some_and(|text| text == "false");
        if let Some(given) = session.layers().get(name).filter(|given| !is_off(&given.texts)) {
            return Err(Error::usage(format!("`--{name}` ({}) does not go with `watch`", given.origin))
                .with_hint("leave it out: a watch carries every order through"));
        }
    }
    Ok(())
}

/// What the configuration comes to. Every mistake that can be found without a network is found here.
async fn setup(session: &Session, rooms: &Rooms) -> Result<Setup> {
    let chosen: &Chosen = session.chosen();
    let options = chosen.journey(rooms.router.registry().hidden_variables(session.environment()))?;
    if !rooms.router.has_any() {
        return Err(Error::config("no provider is set, so no record could be written")
            .with_hint("say who writes the records with `--provider PROVIDER`, or with `[[route]]` in the config"));
    }
    for name in rooms.router.reachable() {
        rooms.router.open(name)?;
    }
    delivery::check_writable(&options.out)?;
    remind(rooms, &options).await?;
    Ok(Setup { surroundings: rooms.surroundings.clone(), options, interval: chosen.interval, renew_before: chosen.renew_before })
}
