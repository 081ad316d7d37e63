//! Networks in the way, domains that are not there, and silence.

use super::*;

#[tokio::test]
async fn an_interceptor_is_noticed_only_where_the_probe_is_allowed() {
    // A server where, for this test, none may be.
    let interceptor = Server::start(holding(vec![zone()])).await;
    let server = Server::start(holding(vec![zone().with(NAME, txt("v"))])).await;
    let asking = |probe: Option<std::net::SocketAddr>| {
        propagation(Options { interceptor_probes: probe.into_iter().collect(), ..stated(&[&server]) })
    };
    let explain = async |probe| asking(probe).explain(&name(NAME), Some(&record(NAME, "v")), &ExplainContext::default()).await;
    let explanation = explain(Some(interceptor.address)).await;
    assert!(said(&explanation)[0].1.starts_with("This network answers DNS in the name of others"), "{explanation:?}");
    assert!(!interceptor.heard().iter().any(|heard| heard.contains('_')));
    for probe in [Some(([127, 0, 0, 1], 9).into()), None] {
        assert!(!said(&explain(probe).await).iter().any(|found| found.1.contains("in the name of others")));
    }
}

#[tokio::test]
async fn a_blocked_port_is_told_from_a_dead_zone_over_https() {
    let pki = Pki::new(&["127.0.0.1"]);
    let zones = vec![
        zone().with("example.test", RData::SOA(SOA::new(name("h.test").to_wire(), name("h.test").to_wire(), 1, 1, 1, 1, 1))),
    ];
    let https = Private::start(&pki, true, resolving(zones)).await;
    let url = ResolverAddress::parse(&format!("https://127.0.0.1:{}/dns-query", https.port)).unwrap();
    let closed = ([127, 0, 0, 1], 9).into();
    let options = Options {
        resolver: Some(closed),
        stated: vec![(name("example.test"), vec![closed])],
        over_https: vec![url.clone()],
        tls: Some(std::sync::Arc::clone(&pki.client)),
        query_timeout: PATIENCE,
        ..Options::default()
    };
    for (options, start) in [
        (options.clone(), "Port 53 seems to be blocked here"),
        (Options { over_https: Vec::new(), ..options }, "No server of example.test answers"),
    ] {
        let explanation = propagation(options).explain(&name(NAME), Some(&record(NAME, "v")), &ExplainContext::default()).await;
        assert!(explanation.is_blocked() && said(&explanation).iter().any(|found| found.1.starts_with(start)), "{explanation:?}");
    }
}

#[tokio::test]
async fn a_domain_that_is_not_delegated_and_a_silent_network_are_told() {
    let world = World::both(zone()).await;
    let lost = world.propagation.explain(&name("_dnsauth.nowhere.test"), None, &ExplainContext::default()).await;
    assert!(said(&lost)[0].1.starts_with("nowhere.test is not delegated"), "{lost:?}");
    let nobody = Options { resolver: Some(([127, 0, 0, 1], 9).into()), query_timeout: PATIENCE, ..Options::default() };
    let lost = propagation(nobody).explain(&name(NAME), None, &ExplainContext::default()).await;
    assert!(lost.is_blocked() && lost.zone.is_none(), "{lost:?}");
    assert_eq!(lost.findings.len(), 1, "{lost:?}");
}

#[tokio::test]
async fn an_explanation_is_there_at_its_deadline_however_silent_everybody_is() {
    let silent = Server::start(|_: &Asked| vec![Act::Hang]).await;
    let options = Options {
        resolver: Some(silent.address),
        query_timeout: std::time::Duration::from_secs(60),
        interceptor_probes: vec![silent.address],
        ..stated(&[&silent])
    };
    let begun = tokio::time::Instant::now();
    let context = ExplainContext { deadline: Some(begun + std::time::Duration::from_millis(400)), ..ExplainContext::default() };
    let explanation = propagation(options).explain(&name(NAME), Some(&record(NAME, "v")), &context).await;
    // Questions have a minute here; the slack is for a busy machine.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(explanation.is_blocked() && !explanation.visible, "{explanation:?}");
    assert!(said(&explanation).iter().any(|found| found.1.contains("the time was up before it was known")), "{explanation:?}");
}
