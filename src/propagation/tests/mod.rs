//! Whole journeys of [`super::Propagation`] against scripted servers on loopback: discovery, waiting, targets, resolvers.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use hickory_proto::op::ResponseCode;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Expectation, Options, Policy, Propagation, Round, Verdict,
    probe::has_route,
    testing::{
        Act, Asked, PATIENCE, Server, Zone, answer, cname, holding, name, propagation, record, resolving, send, stated, txt,
    },
};
use crate::{error::ErrorKind, error::Result, name::Name, record::Record};

mod discovery;
mod sharing;
mod waiting;

const NAME: &str = "_dnsauth.example.test";

/// Shows the value once `since` says so; an empty zone before.
fn from(visible: impl Fn(&Asked) -> bool + Send + 'static) -> impl FnMut(&Asked) -> Vec<Act> + Send + 'static {
    let (empty, full) = (Zone::new("example.test"), Zone::new("example.test").with(NAME, txt("v")));
    move |asked| send(&if visible(asked) { &full } else { &empty }.answer(asked))
}

fn dead(_: &Asked) -> Vec<Act> {
    vec![Act::Hang]
}

fn refuse(asked: &Asked) -> Vec<Act> {
    let mut message = answer(asked);
    message.metadata.response_code = ResponseCode::Refused;
    send(&message)
}

fn soon(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

async fn wait(propagation: &Propagation, record: &Record, deadline: Instant) -> Result<Round> {
    propagation.wait(record, &Expectation::default(), deadline, &mut |_| {}).await
}

#[test]
fn futures_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let propagation = propagation(Options { resolver: Some(([127, 0, 0, 1], 9).into()), ..Options::default() });
    let (wanted, expectation) = (record(NAME, "v"), Expectation::default());
    let mut observe = |_: &Round| {};
    is_send(&propagation.wait(&wanted, &expectation, Instant::now(), &mut observe));
    is_send(&propagation.look(&wanted));
    is_send(&propagation.delegation(&wanted.name));
    is_send(&propagation.resolve_target(&wanted.name));
    is_send(&propagation.resolvers(&wanted));
    is_send(&propagation.wait_negative(&wanted, Instant::now(), &mut |_| {}));
    is_send(&propagation.explain(&wanted.name, Some(&wanted), &super::ExplainContext::default()));
}
