//! Waits in which the servers change, on a word of the test: nothing sleeps.

use std::time::Duration;

use dv_verify::{
    error::ErrorKind,
    propagation::{Expectation, Policy, Round, Verdict},
};
use tokio::time::Instant;

use super::{Laboratory, discovering, name, record};

fn verdict_at(round: &Round, address: std::net::SocketAddr) -> (Verdict, bool) {
    let seen = round.observations.iter().find(|seen| seen.authority.address == address).unwrap();
    (seen.verdict.clone(), seen.out)
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(40)
}

#[tokio::test]
async fn a_lagging_secondary_is_waited_for_and_the_resolver_hears_of_the_name_only_afterwards() {
    let Some(laboratory) = Laboratory::start() else { return };
    let wanted = record("_dv.late.www.example.test", "ours");
    laboratory.update("example.test", "add _dv.late.www.example.test 60 TXT ours");
    laboratory.let_nsd_follow("example.test");
    let propagation = discovering(&laboratory, Policy::Reachable);
    let mut served = None;
    let round = propagation
        .wait(&wanted, &Expectation::default(), deadline(), &mut |round| {
            if served.is_none() {
                assert!(!round.visible);
                assert_eq!(verdict_at(round, laboratory.knot()), (Verdict::NxDomain, false));
                laboratory.let_knot_follow("example.test");
                served = Some(Instant::now());
            }
        })
        .await
        .unwrap();
    let noticed = served.unwrap().elapsed();
    assert!(round.visible && round.explanation.is_none(), "{round:?}");
    assert!(noticed < Duration::from_secs(1), "{noticed:?}");
    let reports = propagation.resolvers(&wanted).await;
    assert_eq!(reports[0].verdict, Verdict::Visible);
    let mut heard = laboratory.resolver_heard_until("_dv.late.www.example.test. TXT");
    assert_eq!(heard.pop().unwrap(), "_dv.late.www.example.test TXT");
    heard.sort();
    heard.dedup();
    let servers = ["ns.nic.test", "ns1.example.test", "ns2.example.test", "ns3.example.test"];
    let mut allowed: Vec<String> = servers.iter().flat_map(|server| [format!("{server} A"), format!("{server} AAAA")]).collect();
    allowed.extend(["example.test NS".to_owned(), "test NS".to_owned()]);
    assert!(heard.iter().all(|question| allowed.contains(question)), "{heard:?}");
    assert!(heard.contains(&"example.test NS".to_owned()));
}

#[tokio::test]
async fn a_secondary_that_dies_and_comes_back_is_waited_for_again() {
    let Some(mut laboratory) = Laboratory::start() else { return };
    laboratory.update("example.test", "add _dv.back.example.test 60 TXT ours");
    laboratory.end_knot();
    let (knot, mut states) = (laboratory.knot(), Vec::new());
    let round = discovering(&laboratory, Policy::Reachable)
        .wait(&record("_dv.back.example.test", "ours"), &Expectation::default(), deadline(), &mut |round| {
            let (verdict, out) = verdict_at(round, knot);
            if out && !states.contains(&"out") {
                assert!(!round.visible);
                states.push("out");
                laboratory.start_knot();
            } else if states == ["out"] && verdict == Verdict::Visible {
                assert!(!out && !round.visible);
                states.push("back");
                laboratory.let_nsd_follow("example.test");
            }
        })
        .await
        .unwrap();
    assert_eq!(states, ["out", "back"]);
    assert!(round.observations.iter().all(|seen| seen.verdict == Verdict::Visible && !seen.out), "{round:?}");
}

#[tokio::test]
async fn cuts_and_chains_are_found_as_the_servers_tell_them() {
    let Some(laboratory) = Laboratory::start() else { return };
    let propagation = discovering(&laboratory, Policy::Reachable);
    let target = propagation.resolve_target(&name("_dv.alias.example.test")).await.unwrap();
    assert_eq!((target.name, target.chain), (name("_dv.end.other.test"), vec![name("_dv.alias.example.test")]));
    let target = propagation.resolve_target(&name("_dv.new.wild.example.test")).await.unwrap();
    assert_eq!((target.name, target.synthesised), (name("_dv.new.wild.example.test"), true));
    let error = propagation.resolve_target(&name("_dv.loop.example.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("is a loop"), "{error}");

    let child = propagation.delegation(&name("_dv.child.example.test")).await.unwrap();
    assert_eq!(child.zone, name("child.example.test"));
    let servers: Vec<&str> = child.authorities.iter().map(|authority| authority.server.as_str()).collect();
    assert_eq!(servers, ["ns1.child.example.test", "ns2.child.example.test", "ns3.child.example.test"]);
    assert_eq!(
        child.differences,
        [
            "ns2.child.example.test is named by the parent of child.example.test only",
            "ns3.child.example.test is named by child.example.test itself only"
        ]
    );
    // An empty non-terminal is no cut.
    let deep = propagation.delegation(&name("_dv.deep.down.below.example.test")).await.unwrap();
    assert_eq!((deep.zone, deep.authorities.len()), (name("example.test"), 3));
    // The resolver fails for a zone whose signatures expired; the parent's servers still tell where it is.
    let expired = propagation.delegation(&name("_dv.expired.test")).await.unwrap();
    assert_eq!((expired.zone, expired.authorities[0].address), (name("expired.test"), laboratory.bind()));
}
