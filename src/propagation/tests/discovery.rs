//! Finding the zone, its servers and the end of a CNAME chain, and what resolvers report afterwards.

use super::*;

#[tokio::test]
async fn the_resolver_never_hears_of_the_challenge_name_or_of_what_is_no_cut() {
    let authority = Server::start(holding(vec![Zone::new("example.test").with("_dnsauth.www.example.test", txt("v"))])).await;
    let resolver = Server::start(resolving(vec![
        Zone::new("test").ns("a.nic.test"),
        Zone::new("example.test").ns("ns1.example.test").address("ns1.example.test", "127.0.0.1"),
    ]))
    .await;
    let port = authority.address.port();
    let options = Options { resolver: Some(resolver.address), port, query_timeout: PATIENCE, ..Options::default() };
    let propagation = propagation(options);
    let wanted = record("_dnsauth.www.example.test", "v");
    let round = wait(&propagation, &wanted, soon(20)).await.unwrap();
    assert_eq!(round.zone, name("example.test"));
    assert_eq!(round.observations[0].authority.server, "ns1.example.test");
    let mut heard = resolver.heard();
    heard.sort();
    assert_eq!(heard, ["example.test NS", "ns1.example.test A", "ns1.example.test AAAA", "test NS"]);
    assert!(resolver.asked().iter().all(|asked| asked.message.metadata.recursion_desired));
    assert!(authority.asked().iter().all(|asked| !asked.message.metadata.recursion_desired));
    // A second name of the zone costs the resolver nothing, nor does a target.
    propagation.look(&record("_dnsauth.other.example.test", "v")).await.unwrap();
    propagation.resolve_target(&name("_dnsauth.third.example.test")).await.unwrap();
    assert_eq!(resolver.asked().len(), 4);
    propagation.resolvers(&wanted).await;
    assert_eq!(resolver.heard()[4..], ["_dnsauth.www.example.test TXT"]);
}

#[tokio::test]
async fn a_challenge_at_the_apex_is_asked_at_the_resolver_only_when_the_top_level_cannot_be_asked() {
    let authority = Server::start(holding(vec![Zone::new("example.test").with("example.test", txt("v"))])).await;
    let resolver = Server::start(resolving(vec![
        // The servers of the top level have no address here.
        Zone::new("test").ns("a.nic.invalid"),
        Zone::new("example.test").ns("ns1.example.test").address("ns1.example.test", "127.0.0.1"),
    ]))
    .await;
    let port = authority.address.port();
    let options = Options { resolver: Some(resolver.address), port, query_timeout: PATIENCE, ..Options::default() };
    let round = propagation(options).look(&record("example.test", "v")).await.unwrap();
    assert!(round.visible);
    let about: Vec<String> = resolver.heard().into_iter().filter(|heard| heard.starts_with("example.test")).collect();
    assert_eq!(about, ["example.test NS"]);
}

#[tokio::test]
async fn deeper_cuts_are_told_by_authorities() {
    // One server by referral: the parent's and the child's view differ, and both sets are asked.
    let child = Zone::new("deep.a.example.test")
        .ns("ns1.deep.a.example.test")
        .ns("ns2.example.test")
        .with("_x.deep.a.example.test", txt("v"));
    let inner = Server::start_at(([127, 0, 0, 2], 0).into(), true, holding(vec![child.clone()])).await;
    let port = inner.address.port();
    let parent = Zone::new("example.test").delegating("deep.a.example.test", "ns1.deep.a.example.test", Some("127.0.0.2"));
    // And one that holds the child too, so that it never refers: its SOA tells.
    let beside = Zone::new("beside.example.test").ns("ns2.example.test");
    let outer = Server::start_at(([127, 0, 0, 1], port).into(), true, holding(vec![parent, beside])).await;
    let resolver = Server::start(resolving(vec![
        Zone::new("test").ns("a.nic.test"),
        Zone::new("example.test")
            .ns("ns1.example.test")
            .address("ns1.example.test", "127.0.0.1")
            .address("ns2.example.test", "127.0.0.3"),
    ]))
    .await;
    let options = Options { resolver: Some(resolver.address), port, query_timeout: PATIENCE, ..Options::default() };
    let propagation = propagation(options);
    let found = propagation.delegation(&name("_x.deep.a.example.test")).await.unwrap();
    assert_eq!(found.zone, name("deep.a.example.test"));
    let servers: Vec<(&str, IpAddr)> = found.authorities.iter().map(|a| (a.server.as_str(), a.address.ip())).collect();
    assert_eq!(servers, [("ns1.deep.a.example.test", [127, 0, 0, 2].into()), ("ns2.example.test", [127, 0, 0, 3].into())]);
    assert_eq!(found.differences, ["ns2.example.test is named by deep.a.example.test itself only"]);
    let found = propagation.delegation(&name("_x.beside.example.test")).await.unwrap();
    assert_eq!((found.zone, found.authorities.len()), (name("beside.example.test"), 1));
    assert_eq!(propagation.delegation(&name("_x.else.example.test")).await.unwrap().zone, name("example.test"));
    // The zone's servers, glue excepted, and the cuts above; no label below.
    assert!(resolver.heard().iter().all(|heard| !heard.contains("deep") && !heard.contains("beside") && !heard.contains("_x")));
    assert!(outer.heard().contains(&"_x.deep.a.example.test SOA".to_owned()));
}

#[tokio::test]
async fn an_address_without_a_route_is_left_out_and_a_dead_resolver_is_named() {
    let authority = Server::start(from(|_| true)).await;
    let resolver = Server::start(resolving(vec![
        Zone::new("test").ns("a.nic.test"),
        Zone::new("example.test")
            .ns("ns1.example.test")
            .ns("gone.example.test")
            .address("ns1.example.test", "127.0.0.1")
            .address("ns1.example.test", "2001:db8::53"),
    ]))
    .await;
    let port = authority.address.port();
    let options = Options { resolver: Some(resolver.address), port, query_timeout: PATIENCE, ..Options::default() };
    let found = propagation(options).delegation(&name(NAME)).await.unwrap();
    let six = SocketAddr::new("2001:db8::53".parse().unwrap(), port);
    let routed = has_route(six).await;
    assert_eq!(found.authorities.iter().any(|authority| authority.address == six), routed);
    assert_eq!(found.left_out.iter().any(|left| left.address == Some(six)), !routed);
    assert!(found.left_out.iter().any(|left| left.server == "gone.example.test" && left.address.is_none()));

    let nobody = Options { resolver: Some(([127, 0, 0, 1], 9).into()), query_timeout: PATIENCE, ..Options::default() };
    let error = propagation(nobody).look(&record(NAME, "v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotVisible);
    assert!(error.message().contains("127.0.0.1:9") && error.message().contains("the port is closed"), "{error}");
}

#[tokio::test]
async fn a_transient_failure_of_discovery_is_overcome_and_a_missing_zone_is_told_at_once() {
    let authority = Server::start(from(|_| true)).await;
    let mut knows = resolving(vec![Zone::new("example.test").ns("ns1.example.test").address("ns1.example.test", "127.0.0.1")]);
    let resolver = Server::start(move |asked| if asked.before < 2 { refuse(asked) } else { knows(asked) }).await;
    let port = authority.address.port();
    let options = Options { resolver: Some(resolver.address), port, query_timeout: PATIENCE, ..Options::default() };
    // The second attempt finds `test` denied, hence no zone: the first one failed for another reason and is tried again.
    let error = wait(&propagation(options.clone()), &record(NAME, "v"), soon(20)).await.unwrap_err();
    assert!(error.message().contains("no zone found for _dnsauth.example.test"), "{error}");
    assert!(error.hint().unwrap().contains("--authority"));
    let heard = resolver.heard();
    assert_eq!(heard, ["test NS", "example.test NS", "test NS"]);
}

#[tokio::test]
async fn chains_are_followed_and_wildcards_are_not() {
    let long = (0..20).fold(Zone::new("example.test"), |zone, link| {
        zone.with(&format!("c{link}.long.example.test"), cname(&format!("c{}.long.example.test", link + 1)))
    });
    let zone = long
        .with("_a.example.test", cname("_b.example.test"))
        .with("_b.example.test", cname("_c.other.test"))
        .with("_l.example.test", cname("_m.example.test"))
        .with("_m.example.test", cname("_l.example.test"))
        .with("*.wild.example.test", cname("parking.example.test"));
    let server = Server::start(holding(vec![zone, Zone::new("other.test")])).await;
    let mut options = stated(&[&server]);
    options.stated.push((name("other.test"), vec![server.address]));
    let propagation = propagation(options);
    let target = propagation.resolve_target(&name("_a.example.test")).await.unwrap();
    assert_eq!(target.name, name("_c.other.test"));
    assert_eq!(target.chain, [name("_a.example.test"), name("_b.example.test")]);
    assert!(!target.synthesised);
    let target = propagation.resolve_target(&name("_x.wild.example.test")).await.unwrap();
    assert_eq!((target.name, target.chain, target.synthesised), (name("_x.wild.example.test"), vec![], true));
    assert_eq!(propagation.resolve_target(&name("_none.example.test")).await.unwrap().chain, Vec::<Name>::new());
    let error = propagation.resolve_target(&name("_l.example.test")).await.unwrap_err();
    assert!(error.message().contains("is a loop: _l.example.test -> _m.example.test"), "{error}");
    let error = propagation.resolve_target(&name("c0.long.example.test")).await.unwrap_err();
    assert!(error.message().contains("more than 16 links"), "{error}");
}

#[tokio::test]
async fn resolvers_report_what_they_remember() {
    let mut knows = resolving(vec![Zone::new("example.test").with(NAME, txt("v"))]);
    let resolver = Server::start(move |asked| knows(asked)).await;
    let propagation = propagation(Options { resolver: Some(resolver.address), query_timeout: PATIENCE, ..Options::default() });
    let report = propagation.resolvers(&record(NAME, "v")).await;
    assert_eq!((&report[0].verdict, report[0].negative_for), (&Verdict::Visible, None));
    // The SOA of the denial has a TTL of 600 and a minimum of 45.
    let report = propagation.resolvers(&record("_other.example.test", "v")).await;
    assert_eq!((&report[0].verdict, report[0].negative_for), (&Verdict::NxDomain, Some(Duration::from_secs(45))));
    assert_eq!(report[0].resolver, resolver.address.to_string());
}
