//! Whole journeys of [`super::Propagation`] against scripted servers on loopback: discovery, waiting, targets, resolvers.

use std::{
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
async fn a_change_is_noticed_and_seldom_asked_for() {
    let begun = std::time::Instant::now();
    let lag = Duration::from_millis(1730);
    let prompt = Server::start(from(|_| true)).await;
    let late = Server::start(from(move |_| begun.elapsed() >= lag)).await;
    let mut words = Vec::new();
    let round = propagation(stated(&[&prompt, &late]))
        .wait(&record(NAME, "v"), &Expectation::default(), soon(20), &mut |round| {
            words.push(round.observations.iter().map(|seen| seen.verdict.word()).collect::<Vec<_>>());
        })
        .await
        .unwrap();
    // How soon is measured by bench/propagation, and bounded in virtual time by the tests of the schedule.
    assert!(round.visible && round.explanation.is_none());
    // Who shows the value is left in peace until the last one does; then its old sighting is confirmed.
    assert_eq!(prompt.asked().len(), 2);
    // One each 437 ms or more, after a beginning of random length in which a few may come close together: a fixed 200 ms would need 10.
    assert!(late.asked().len() <= 9, "{}", late.asked().len());
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words[0].contains(&"nxdomain") && words[1] == ["visible", "visible"]);
}

#[tokio::test]
async fn a_dead_server_counts_as_out_only_where_the_policy_allows() {
    let (good, silent) = (Server::start(from(|_| true)).await, Server::start(dead).await);
    let patient = Options { query_timeout: Duration::from_millis(150), ..stated(&[&good, &silent]) };
    let round = wait(&propagation(patient.clone()), &record(NAME, "v"), soon(20)).await.unwrap();
    let out: Vec<bool> = round.observations.iter().map(|seen| seen.out).collect();
    assert_eq!(out.iter().filter(|out| **out).count(), 1);
    let explanation = round.explanation.unwrap();
    assert!(explanation.contains(&silent.address.to_string()) && explanation.contains("counts as out"), "{explanation}");
    // Over both transports, in three rounds.
    assert!(silent.asked().iter().filter(|asked| asked.over_tcp).count() >= 3);
    assert!(silent.asked().iter().filter(|asked| !asked.over_tcp).count() >= 3);
    assert!(propagation(patient.clone()).look(&record(NAME, "v")).await.unwrap().visible);

    let strict = Options { policy: Policy::All, ..patient };
    let begun = Instant::now();
    let error = wait(&propagation(strict), &record(NAME, "v"), Instant::now() + Duration::from_secs(1)).await.unwrap_err();
    // At its deadline of one second; the slack is for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(error.kind(), ErrorKind::NotVisible);
    assert!(error.message().contains("1 of 2 servers shows the value, all must"), "{error}");
}

#[tokio::test]
async fn a_server_that_comes_back_counts_again() {
    let restored = Arc::new(AtomicBool::new(false));
    let shows = Arc::new(AtomicBool::new(false));
    let (is_restored, is_shown) = (Arc::clone(&restored), Arc::clone(&shows));
    let mut flapping = from(move |_| is_shown.load(Ordering::SeqCst));
    let flapping =
        Server::start(move |asked| if is_restored.load(Ordering::SeqCst) { flapping(asked) } else { refuse(asked) }).await;
    let others = Arc::clone(&shows);
    let good = Server::start(from(move |_| others.load(Ordering::SeqCst))).await;
    let mut was_out = false;
    let mut was_back = false;
    let address = flapping.address;
    let round = propagation(Options { query_timeout: Duration::from_millis(150), ..stated(&[&good, &flapping]) })
        .wait(&record(NAME, "v"), &Expectation::default(), soon(20), &mut |round| {
            let seen = round.observations.iter().find(|seen| seen.authority.address == address).unwrap();
            if seen.out && !was_out {
                was_out = true;
                restored.store(true, Ordering::SeqCst);
            } else if was_out && seen.verdict == Verdict::NxDomain {
                was_back = true;
                assert!(!seen.out && !round.visible);
                shows.store(true, Ordering::SeqCst);
            }
        })
        .await
        .unwrap();
    assert!(was_out && was_back && round.visible);
    assert!(round.observations.iter().all(|seen| seen.verdict == Verdict::Visible && !seen.out));
}

#[tokio::test]
async fn a_sighting_that_is_gone_when_the_last_server_follows_is_no_green() {
    let begun = std::time::Instant::now();
    let settled = Arc::new(AtomicBool::new(false));
    let is_settled = Arc::clone(&settled);
    // Shows the value to the first question, then forgets it until it is settled.
    let flapping = Server::start(from(move |asked| asked.before == 0 || is_settled.load(Ordering::SeqCst))).await;
    let late = Server::start(from(move |_| begun.elapsed() >= Duration::from_millis(1200))).await;
    let (mut relapsed, address) = (false, flapping.address);
    let round = propagation(Options { query_timeout: Duration::from_millis(300), ..stated(&[&flapping, &late]) })
        .wait(&record(NAME, "v"), &Expectation::default(), soon(20), &mut |round| {
            let seen = round.observations.iter().find(|seen| seen.authority.address == address).unwrap();
            if seen.verdict == Verdict::NxDomain {
                relapsed = true;
                assert!(!round.visible);
                settled.store(true, Ordering::SeqCst);
            }
        })
        .await
        .unwrap();
    assert!(relapsed && round.visible);
    assert!(flapping.asked().len() >= 3);
}

#[tokio::test]
async fn old_data_is_waited_for_to_the_deadline_and_a_dropped_wait_asks_nothing_more() {
    let (good, old) = (Server::start(from(|_| true)).await, Server::start(from(|_| false)).await);
    let propagation = propagation(stated(&[&good, &old]));
    let error = wait(&propagation, &record(NAME, "v"), Instant::now() + Duration::from_millis(1500)).await.unwrap_err();
    assert!(error.message().contains("1 of 2 servers shows the value"), "{error}");
    assert!(error.message().contains("does not know the name (NXDOMAIN)"), "{error}");
    assert!(error.hint().unwrap().contains("explain _dnsauth.example.test"));

    let wanted = record(NAME, "v");
    assert!(timeout(Duration::from_millis(600), wait(&propagation, &wanted, soon(60))).await.is_err());
    let after = old.asked().len();
    sleep(Duration::from_millis(700)).await;
    assert_eq!(old.asked().len(), after);
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

#[tokio::test]
async fn many_names_of_a_zone_share_their_questions() {
    const NAMES: usize = 40;
    let begun = std::time::Instant::now();
    let lag = Duration::from_millis(1500);
    let behind = move |extra: u64| {
        let all =
            (0..NAMES).fold(Zone::new("example.test"), |zone, number| zone.with(&format!("_d.h{number}.example.test"), txt("v")));
        let none = Zone::new("example.test");
        move |asked: &Asked| {
            let visible = begun.elapsed() >= lag + Duration::from_millis(extra);
            send(&if visible { &all } else { &none }.answer(asked))
        }
    };
    let (first, second) = (Server::start(behind(0)).await, Server::start(behind(300)).await);
    let propagation = propagation(stated(&[&first, &second]));
    let records: Vec<Record> = (0..NAMES).map(|number| record(&format!("_d.h{number}.example.test"), "v")).collect();
    let rounds = join_all(records.iter().map(|record| wait(&propagation, record, soon(30)))).await;
    assert!(rounds.iter().all(Result::is_ok));
    for server in [&first, &second] {
        let asked = server.asked();
        assert!(asked.len() < 5 * NAMES, "{}", asked.len());
        // Twenty a second on average and the burst; how fast what was saved may be spent is tested in virtual time (`peer`).
        // Retransmissions are not counted, and none is needed.
        for (before, question) in asked.iter().enumerate() {
            let passed = question.at - asked[0].at;
            assert!(before as u128 <= 8 + passed.as_millis() / 50, "{before} before {passed:?}");
        }
        // No name is taken for visible because another one is: each was answered for with its value.
        let confirmed = records
            .iter()
            .filter(|record| asked.iter().any(|asked| asked.name == record.name && asked.at.duration_since(begun.into()) >= lag));
        assert_eq!(confirmed.count(), NAMES);
    }
}

#[tokio::test]
async fn a_dead_server_does_not_cost_each_name_its_own_patience() {
    let counted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counted);
    let silent = Server::start(move |asked| {
        count.fetch_add(usize::from(asked.over_tcp), Ordering::SeqCst);
        vec![Act::Hang]
    })
    .await;
    let good = Server::start(|asked: &Asked| {
        let held = Zone::new("example.test").with(&asked.name.to_string(), txt("v"));
        send(&held.answer(asked))
    })
    .await;
    let propagation = propagation(Options { query_timeout: Duration::from_millis(300), ..stated(&[&good, &silent]) });
    let records: Vec<Record> = (0..30).map(|number| record(&format!("_d.h{number}.example.test"), "v")).collect();
    let rounds = join_all(records.iter().map(|record| propagation.look(record))).await;
    assert!(rounds.iter().all(|round| round.as_ref().is_ok_and(|round| round.visible && round.explanation.is_some())));
    // Each for itself this would be 30 * 3 = 90 questions.
    assert!(counted.load(Ordering::SeqCst) < 60, "{}", counted.load(Ordering::SeqCst));
}

/// Prints how late a change is noticed over loopback, and how often each authority was asked. Takes two minutes:
/// `cargo test --lib measure_notice -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement of two minutes"]
async fn measure_notice_delays() {
    const RUNS: usize = 25;
    join_all([0.0, 1.3, 3.2, 6.8, 31.0, 121.0].map(|lag| async move {
        let mut runs = join_all((0..RUNS).map(|_| async move {
            // Each run at another moment, so that the schedule and the lag do not march in step.
            sleep(Duration::from_millis(rand::random_range(0..500))).await;
            let begun = std::time::Instant::now();
            let lag = Duration::from_secs_f64(lag);
            let prompt = Server::start(from(|_| true)).await;
            let late = Server::start(from(move |_| begun.elapsed() >= lag)).await;
            let options = Options { query_timeout: Options::default().query_timeout, ..stated(&[&prompt, &late]) };
            wait(&propagation(options), &record(NAME, "v"), soon(300)).await.unwrap();
            (begun.elapsed().saturating_sub(lag), late.asked().len(), prompt.asked().len())
        }))
        .await;
        runs.sort();
        let questions = runs.iter().map(|run| run.1).max().unwrap();
        println!("lag {lag:>5} s: median {:?}, worst {:?}, at most {questions} questions", runs[RUNS / 2].0, runs[RUNS - 1].0);
    }))
    .await;
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
