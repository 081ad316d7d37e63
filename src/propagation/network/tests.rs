//! Looks and waits in networks that answer for every address, played on loopback.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::time::{Instant, timeout};

use super::Network;
use crate::propagation::{
    Expectation, Options, Policy, Verdict,
    testing::{Act, Asked, Server, Zone, answer, propagation, record, send, stated, txt},
};

const NAME: &str = "_dnsauth.example.test";

fn showing(asked: &Asked) -> Vec<Act> {
    send(&Zone::new("example.test").with(NAME, txt("v")).answer(asked))
}

fn refuse(asked: &Asked) -> Vec<Act> {
    let mut message = answer(asked);
    message.metadata.response_code = ResponseCode::Refused;
    send(&message)
}

#[tokio::test]
async fn nothing_is_visible_where_something_answers_for_every_address() {
    let good = Server::start(showing).await;
    // Answers where, for this test, no server may be; refusing is answering.
    let interceptor = Server::start(refuse).await;
    for policy in [Policy::Reachable, Policy::All, Policy::Quorum(1), Policy::Any] {
        let options = Options { policy, interceptor_probes: vec![interceptor.address], ..stated(&[&good]) };
        let round = propagation(options.clone()).look(&record(NAME, "v")).await.unwrap();
        assert_eq!(round.observations[0].verdict, Verdict::Visible);
        assert_eq!(round.network, Some(Network::Intercepted([127, 0, 0, 1].into())));
        assert!(!round.visible && round.explanation.unwrap().contains("answers DNS in the name of others"));
        let mut told = Vec::new();
        let deadline = Instant::now() + Duration::from_millis(700);
        let error = propagation(options)
            .wait(&record(NAME, "v"), &Expectation::default(), deadline, &mut |round| {
                told.push((round.visible, round.network.clone()));
            })
            .await
            .unwrap_err();
        assert!(error.message().contains("even 127.0.0.1, where no server is"), "{error}");
        assert!(told.iter().all(|(visible, network)| !visible && network.is_some()) && !told.is_empty(), "{told:?}");
    }
    assert!(interceptor.heard().iter().all(|heard| heard == ". NS"), "{:?}", interceptor.heard());
}

#[tokio::test]
async fn an_interceptor_that_is_not_there_costs_no_time_out() {
    let good = Server::start(showing).await;
    let nobody = Server::start(|_: &Asked| vec![Act::Hang]).await;
    let patient =
        Options { query_timeout: Duration::from_secs(60), interceptor_probes: vec![nobody.address], ..stated(&[&good]) };
    let propagation = propagation(patient);
    let wanted = record(NAME, "v");
    let deadline = Instant::now() + Duration::from_secs(30);
    let seen = timeout(Duration::from_secs(30), async {
        (propagation.look(&wanted).await, propagation.wait(&wanted, &Expectation::default(), deadline, &mut |_| {}).await)
    });
    let (look, wait) = seen.await.unwrap();
    assert!(look.unwrap().visible && wait.unwrap().visible);
    assert!(!nobody.heard().is_empty());
}
