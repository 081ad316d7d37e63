//! The facts that the rules' tests start from, and whole explanations against scripted servers on loopback.

use hickory_proto::{
    op::{Edns, ResponseCode},
    rr::{
        RData,
        rdata::{CAA, SOA, opt::EdnsOption},
    },
};

use super::{
    ExplainContext, Explanation, Severity,
    facts::{Facts, ServerFacts, Standing, ZoneFacts},
};
use crate::propagation::{
    Authority, Options, Propagation, ResolverAddress, Target,
    resolvers::tests::{Pki, Private},
    testing::{Act, Asked, PATIENCE, Server, Zone, cname, holding, name, propagation, record, resolving, send, stated, txt},
};

mod networks;

/// A server of `example.test` that shows these values.
pub(super) fn server(called: &str, address: &str, serial: u32, values: &[&str]) -> ServerFacts {
    ServerFacts {
        authority: Authority { server: called.to_owned(), address: address.parse().unwrap() },
        standing: Standing::Serves(serial),
        name_servers: vec![name("a.ns.test"), name("b.ns.test")],
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
    }
}

/// Two servers that show `v` at `_dnsauth.example.test`, and nothing wrong.
pub(super) fn facts() -> Facts {
    let place = name("_dnsauth.example.test");
    Facts {
        name: place.clone(),
        wildcard: false,
        record: Some(record("_dnsauth.example.test", "v")),
        target: Ok(Target { name: place, chain: Vec::new(), synthesised: false }),
        zone: Ok(ZoneFacts {
            zone: Some(name("example.test")),
            parent: Some((name("test"), vec![name("a.ns.test"), name("b.ns.test")])),
            servers: vec![server("a.ns.test", "192.0.2.1:53", 7, &["v"]), server("b.ns.test", "192.0.2.2:53", 7, &["v"])],
            glued: Vec::new(),
            left_out: Vec::new(),
        }),
        beside_alias: Vec::new(),
        wildcard_values: Vec::new(),
        doubled: None,
        caa: Ok(None),
        signed_until: None,
        dnssec: Vec::new(),
        reports: None,
        reached_over_https: None,
        discovered_over_https: None,
        intercepted: None,
    }
}

const NAME: &str = "_dnsauth.example.test";

/// A top level, a zone with two servers, and a resolver: all on loopback, the three authorities on one port.
struct World {
    propagation: Propagation,
    resolver: Server,
    first: Server,
    second: Server,
    _top: Server,
}

fn zone() -> Zone {
    Zone::new("example.test")
        .ns("ns1.example.test")
        .ns("ns2.example.test")
        .address("ns1.example.test", "127.0.0.1")
        .address("ns2.example.test", "127.0.0.3")
}

impl World {
    async fn new(
        first: impl FnMut(&Asked) -> Vec<Act> + Send + 'static,
        second: impl FnMut(&Asked) -> Vec<Act> + Send + 'static,
        resolver: impl FnMut(&Asked) -> Vec<Act> + Send + 'static,
    ) -> Self {
        let first = Server::start(first).await;
        let port = first.address.port();
        let second = Server::start_at(([127, 0, 0, 3], port).into(), true, second).await;
        let top = Zone::new("test").delegating("example.test", "ns1.example.test", Some("127.0.0.1")).delegating(
            "example.test",
            "ns2.example.test",
            Some("127.0.0.3"),
        );
        let top = Server::start_at(([127, 0, 0, 2], port).into(), true, holding(vec![top])).await;
        let resolver = Server::start(resolver).await;
        let options = Options { resolver: Some(resolver.address), port, query_timeout: PATIENCE, ..Options::default() };
        Self { propagation: propagation(options), resolver, first, second, _top: top }
    }

    async fn both(zone: Zone) -> Self {
        Self::new(holding(vec![zone.clone()]), holding(vec![zone]), resolving(known())).await
    }

    async fn explain(&self, value: Option<&str>, context: &ExplainContext) -> Explanation {
        let record = value.map(|value| record(NAME, value));
        self.propagation.explain(&name(NAME), record.as_ref(), context).await
    }

    /// Whether the resolver heard of the challenge name or anything beside it.
    fn resolver_heard_of_the_name(&self) -> bool {
        self.resolver.heard().iter().any(|heard| heard.contains('_') || heard.contains("dv-"))
    }
}

/// What the resolver knows; the record is not among it.
fn known() -> Vec<Zone> {
    vec![
        Zone::new("test").ns("a.nic.test").address("a.nic.test", "127.0.0.2"),
        Zone::new("example.test")
            .ns("ns1.example.test")
            .ns("ns2.example.test")
            .address("ns1.example.test", "127.0.0.1")
            .address("ns2.example.test", "127.0.0.3"),
    ]
}

fn knowing_the_record() -> Vec<Zone> {
    let mut zones = known();
    zones.push(Zone::new("_dnsauth.example.test").with(NAME, txt("v")));
    zones
}

fn said(explanation: &Explanation) -> Vec<(Severity, &str)> {
    explanation.findings.iter().map(|finding| (finding.severity, finding.what.as_str())).collect()
}

fn caa(value: &str) -> RData {
    let mut caa = CAA::new_issue(false, None, Vec::new());
    caa.value = value.as_bytes().to_vec();
    RData::CAA(caa)
}

#[tokio::test]
async fn a_record_in_order_is_walked_to_without_a_finding() {
    let zone = zone().with(NAME, txt("v"));
    let world = World::new(holding(vec![zone.clone()]), holding(vec![zone]), resolving(knowing_the_record())).await;
    let context = ExplainContext { name_server_suffixes: vec!["example.test".to_owned()], ..ExplainContext::default() };
    let explanation = world.explain(Some("v"), &context).await;
    assert_eq!(said(&explanation), []);
    assert!(explanation.visible && !explanation.is_blocked());
    assert_eq!(explanation.zone, Some(name("example.test")));
    let steps = explanation.steps.join("\n");
    for part in [
        "The zone test delegates example.test to ns1.example.test and ns2.example.test.",
        "ns2.example.test (127.0.0.3): serves serial 7, at the name \"v\".",
        "shows the value",
        "CAA: none",
    ] {
        assert!(steps.contains(part), "{part} is not in:\n{steps}");
    }
    // Only here may the resolver be asked for the name.
    assert!(world.resolver_heard_of_the_name());
}

#[tokio::test]
async fn a_missing_record_is_blocked_and_no_resolver_hears_of_it() {
    let doubled = zone().with("_dnsauth.example.test.example.test", txt("v"));
    let world = World::both(doubled).await;
    let context = ExplainContext { name_server_suffixes: vec!["ns.cloudflare.com".to_owned()], ..ExplainContext::default() };
    let explanation = world.explain(Some("v"), &context).await;
    let found = said(&explanation);
    assert!(found.iter().all(|found| found.0 == Severity::Blocks) && found.len() == 3, "{found:?}");
    assert!(found[0].1.contains("its name servers are ns1.example.test and ns2.example.test"), "{found:?}");
    assert!(found[1].1.contains("stands at _dnsauth.example.test.example.test"), "{found:?}");
    assert!(found[2].1.contains("No server shows the TXT record"), "{found:?}");
    assert!(!explanation.visible && explanation.steps.iter().any(|step| step.contains("Resolvers were not asked")));
    assert!(!world.resolver_heard_of_the_name(), "{:?}", world.resolver.heard());
    assert!(world.first.heard().iter().chain(&world.second.heard()).any(|heard| heard == "_dnsauth.example.test TXT"));
}

#[tokio::test]
async fn a_secondary_behind_and_one_that_is_lame_are_told_apart() {
    let old = zone();
    let behind = World::new(
        holding(vec![zone().with(NAME, txt("v"))]),
        move |asked| {
            let mut message = old.answer(asked);
            for entry in &mut message.answers {
                if let RData::SOA(soa) = &mut entry.data {
                    soa.serial = 4;
                }
            }
            send(&message)
        },
        resolving(known()),
    )
    .await;
    let explanation = behind.explain(Some("v"), &ExplainContext::default()).await;
    let found = said(&explanation);
    assert!(
        found[0].1.contains("ns2.example.test (127.0.0.3) is behind: it serves serial 4, the newest is 7, 3 further"),
        "{found:?}"
    );
    assert!(!behind.resolver_heard_of_the_name());

    let lame = World::new(
        holding(vec![zone().with(NAME, txt("v"))]),
        holding(vec![Zone::new("other.test")]),
        resolving(knowing_the_record()),
    )
    .await;
    let explanation = lame.explain(Some("v"), &ExplainContext::default()).await;
    let found = said(&explanation);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 == Severity::Risk && found[0].1.contains("Lame server: ns2.example.test (127.0.0.3)"), "{found:?}");
}

#[tokio::test]
async fn parent_and_child_sets_are_compared() {
    let child = Zone::new("example.test").ns("ns1.example.test").ns("ns3.example.test").with(NAME, txt("v"));
    let world = World::new(holding(vec![child.clone()]), holding(vec![child]), resolving(knowing_the_record())).await;
    let explanation = world.explain(Some("v"), &ExplainContext::default()).await;
    let found = said(&explanation);
    assert!(
        found.iter().any(|found| found
            .1
            .contains("test names ns2.example.test, the zone itself does not; the zone names ns3.example.test, test does not")),
        "{found:?}"
    );
}

#[tokio::test]
async fn caa_is_climbed_to_at_authorities_through_cnames() {
    let context = ExplainContext { ca_identities: vec!["digicert.com".to_owned()], ..ExplainContext::default() };
    let at_apex = World::both(zone().with("example.test", caa("letsencrypt.org"))).await;
    let deep = at_apex.propagation.explain(&name("_dnsauth.a.b.example.test"), None, &context).await;
    assert!(
        said(&deep).iter().any(|found| found.1.contains("at example.test let only letsencrypt.org issue for a.b.example.test")),
        "{deep:?}"
    );
    assert!(!at_apex.resolver_heard_of_the_name());
    assert!(at_apex.resolver.heard().iter().all(|heard| !heard.ends_with("CAA")));

    // The target of the CNAME counts before the parent of the name does.
    let zone = zone()
        .with("www.example.test", cname("host.example.test"))
        .with("host.example.test", caa("letsencrypt.org"))
        .with("example.test", caa("digicert.com"));
    let led = World::both(zone).await;
    let explanation = led.propagation.explain(&name("_dnsauth.www.example.test"), None, &context).await;
    let found = said(&explanation);
    assert!(
        found.iter().any(|found| found.0 == Severity::Blocks
            && found.1.contains("at host.example.test, to which www.example.test is a CNAME,")),
        "{found:?}"
    );
    let explanation = led.propagation.explain(&name("_dnsauth.else.example.test"), None, &context).await;
    assert!(!said(&explanation).iter().any(|found| found.1.contains("CAA")), "{explanation:?}");
}

#[tokio::test]
async fn a_cname_is_followed_to_where_the_record_is_missing() {
    let world = World::both(zone().with(NAME, cname("x.hub.example.test")).with("*.wild.example.test", txt("w"))).await;
    let explanation = world.explain(Some("v"), &ExplainContext::default()).await;
    let found = said(&explanation);
    assert!(found.iter().any(|found| found.1.contains("is a CNAME that leads to x.hub.example.test")), "{found:?}");
    assert_eq!(explanation.target, name("x.hub.example.test"));
    assert!(!found.iter().any(|found| found.1.contains("both a CNAME")), "{found:?}");
    assert!(explanation.steps.iter().any(|step| step == "CNAME: _dnsauth.example.test -> x.hub.example.test."));
    assert!(!world.resolver_heard_of_the_name() && !world.resolver.heard().iter().any(|heard| heard.contains("hub")));
    let wild = world
        .propagation
        .explain(
            &name("_dnsauth.wild.example.test"),
            Some(&record("_dnsauth.wild.example.test", "w")),
            &ExplainContext::default(),
        )
        .await;
    assert!(
        said(&wild)
            .iter()
            .any(|found| found.0 == Severity::Risk
                && found.1.contains("A wildcard answers for every name below wild.example.test")),
        "{wild:?}"
    );
}

#[tokio::test]
async fn a_cname_and_a_txt_at_one_name_are_explained() {
    let world = World::both(zone().with(NAME, cname("x.hub.example.test")).with(NAME, txt("v"))).await;
    let explanation = world.explain(Some("v"), &ExplainContext::default()).await;
    let found = said(&explanation);
    let both = found.iter().find(|found| found.1.contains("has both a CNAME and TXT records (\"v\")"));
    assert!(both.is_some_and(|both| both.0 == Severity::Blocks) && !explanation.visible, "{found:?}");
    assert!(!world.resolver_heard_of_the_name());
}

#[tokio::test]
async fn a_bogus_zone_is_found_by_asking_with_and_without_checking() {
    let zone = zone();
    let mut knows = resolving(known());
    let validating = move |asked: &Asked| {
        let about_signed = asked.message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let mut message = crate::propagation::testing::answer(asked);
        message.metadata.authoritative = false;
        if !about_signed {
            return knows(asked);
        }
        if !asked.message.metadata.checking_disabled {
            message.metadata.response_code = ResponseCode::ServFail;
            let mut edns = Edns::new();
            edns.options_mut().insert(EdnsOption::Unknown(15, [&7_u16.to_be_bytes()[..], b"long ago"].concat()));
            message.set_edns(edns);
        }
        send(&message)
    };
    let world = World::new(holding(vec![zone.clone()]), holding(vec![zone]), validating).await;
    let explanation = world.explain(Some("v"), &ExplainContext::default()).await;
    let found = said(&explanation);
    assert!(
        found.iter().any(|found| found.1.contains("signatures of example.test are bogus") && found.1.contains("long ago")),
        "{found:?}"
    );
    assert!(!world.resolver_heard_of_the_name());
}

#[tokio::test]
async fn a_resolver_that_remembers_the_absence_is_named_with_the_time() {
    // The authorities show the record, the resolver still denies it for 45 seconds.
    let world = World::both(zone().with(NAME, txt("v"))).await;
    let explanation = world.explain(None, &ExplainContext::default()).await;
    let found = said(&explanation);
    let expected = format!("The resolver {} still remembers that the record is missing, until ", world.resolver.address);
    assert!(found.len() == 1 && found[0].1.starts_with(&expected), "{found:?}");
    assert!(explanation.visible);
}
