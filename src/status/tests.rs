//! The board, its page and its metrics, and the server from outside.

use std::{net::SocketAddr, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    board::State,
    metrics,
    order::{Fate, Step},
    page, *,
};
use crate::{
    error::ErrorKind,
    journey::event::{Event, Observer, Outcome},
    order::OrderId,
    propagation::{Authority, Observation, Round, Verdict},
    record::{Record, RecordType},
    secret::Redactor,
};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

fn record(value: &str) -> Record {
    Record { name: name("_dnsauth.www.example.com"), record_type: RecordType::Txt, value: value.to_owned() }
}

fn round(record: &Record, verdicts: Vec<Verdict>, waited: u64) -> Round {
    let visible = verdicts.iter().all(|verdict| *verdict == Verdict::Visible);
    let observation = |verdict| Observation {
        authority: Authority { server: "ns1.example.com".into(), address: "192.0.2.1:53".parse().unwrap() },
        verdict,
        round_trip: Some(Duration::from_millis(12)),
        out: false,
    };
    Round {
        zone: name("example.com"),
        record: record.clone(),
        observations: verdicts.into_iter().map(observation).collect(),
        visible,
        waited: Duration::from_secs(waited),
        explanation: None,
        network: None,
    }
}

fn began() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    began().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// A state that took these events, one a second.
fn state(events: &[Event<'_>]) -> State {
    let mut state = State::new(began());
    for (second, event) in (1..).zip(events) {
        state.take(event, at(second), &str::to_owned);
    }
    state
}

fn held(folder: &str, days: i64) -> Held {
    Held { folder: folder.to_owned(), names: vec![name(folder)], not_before: began(), not_after: at(days * 86_400 + 60) }
}

#[test]
fn an_order_goes_its_way_step_by_step() {
    let (order, zone, record) = (id("cas-1"), name("example.com"), record("v"));
    let domains = [name("www.example.com")];
    let (half, whole) =
        (round(&record, vec![Verdict::Visible, Verdict::Missing], 1), round(&record, vec![Verdict::Visible; 2], 7));
    let events = [
        Event::Order { order: &order, domains: &domains, state: "checking", note: None },
        Event::Published { order: Some(&order), record: &record, provider: "cf", zone: &zone, was_there: false },
        Event::Verdicts { order: Some(&order), round: &half },
        Event::Visible { order: Some(&order), round: &whole, resolvers: &[] },
        Event::Waiting { order: &order, reason: "for the CA to look", waited: Duration::ZERO },
        Event::Issued { order: &order, domains: &domains },
        Event::Withdrawn { order: Some(&order), record: &record, provider: "cf", kept: None },
        Event::Done { order: &order, outcome: &Outcome::NothingToDo },
    ];
    let steps: Vec<Step> = (1..=events.len()).map(|count| state(&events[..count]).orders[&order].step).collect();
    let expected =
        [Step::Begun, Step::Published, Step::Published, Step::Visible, Step::Visible, Step::Issued, Step::Issued, Step::Issued];
    assert_eq!(steps, expected);
    let before = state(&events[..5]);
    assert_eq!(before.orders[&order].waits.as_deref(), Some("for the CA to look"));
    assert!(page::live(&before, &[], at(9)).contains("waiting for the CA to look"));
    let mut after = state(&events);
    assert_eq!(after.orders[&order].fate, Fate::Well("nothing to do"));
    assert!(after.orders[&order].records[0].withdrawn);
    // The next run, or the next look of a watch: it begins anew.
    after.take(&events[0], at(100), &str::to_owned);
    assert_eq!(
        (after.orders[&order].fate, after.orders[&order].step, after.orders[&order].since),
        (Fate::UnderWay, Step::Begun, at(100))
    );
}

#[test]
fn two_records_are_visible_when_both_are() {
    let (order, first, second) = (id("cas-1"), record("one"), record("two"));
    let zone = name("example.com");
    let shown = [round(&first, vec![Verdict::Visible], 1), round(&second, vec![Verdict::Visible], 1)];
    let published = |record| Event::Published { order: Some(&order), record, provider: "cf", zone: &zone, was_there: false };
    let visible = |round| Event::Visible { order: Some(&order), round, resolvers: &[] };
    let events = [published(&first), published(&second), visible(&shown[0]), visible(&shown[1])];
    assert_eq!(state(&events[..3]).orders[&order].step, Step::Published);
    assert_eq!(state(&events).orders[&order].step, Step::Visible);
}

#[test]
fn a_failure_is_shown_with_what_to_do_and_the_same_one_again_is_one_with_it() {
    let ids: Vec<OrderId> = (0..7).map(|number| id(&format!("cas-{number}"))).collect();
    let error = |number| {
        let error = Error::new(ErrorKind::Refused, "the CA refused `it`").with_hint("apply `<anew>`");
        error.with_request_id(format!("request-{number}"))
    };
    let errors: Vec<Error> = (0..7).map(error).collect();
    let mut events: Vec<Event<'_>> =
        ids.iter().zip(&errors).map(|(order, error)| Event::Failed { order: Some(order), error }).collect();
    events.push(Event::Warning { order: None, message: "slow", hint: None });
    events.push(Event::Failed { order: Some(&ids[0]), error: &errors[0] });
    let state = state(&events);
    assert_eq!(state.troubles.len(), 2);
    assert_eq!((state.troubles[0].times, state.troubles[0].last, state.troubles[0].orders.len()), (8, at(9), 7));
    assert_eq!(state.counters.errors["refused"], 8);
    let page = page::live(&state, &[], at(9));
    for shown in
        ["the CA refused <code>it</code>", "apply <code>&lt;anew&gt;</code>", "8 times", "and 3 more", "request id request-6"]
    {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
}

#[test]
fn the_board_is_bounded() {
    let mut state = State::new(began());
    for number in 0..2000 {
        let error = Error::new(ErrorKind::Provider, format!("failure {}", number % 100));
        let order = id(&format!("cas-{number}"));
        state.take(&Event::Failed { order: Some(&order), error: &error }, at(number), &str::to_owned);
    }
    assert_eq!(state.orders.len(), 300);
    assert!(state.orders.contains_key(&id("cas-1999")) && !state.orders.contains_key(&id("cas-1699")));
    assert_eq!((state.troubles.len(), state.troubles[0].orders.len()), (30, 1));
    assert_eq!(state.counters.errors["provider"], 2000, "counters go on");
}

#[test]
fn text_from_elsewhere_stays_text_and_is_short_and_without_secrets() {
    let redactor = Redactor::default();
    redactor.learn(&Secret::new("planted-secret"));
    let board = Board::new(redactor);
    let order = id("cas-1");
    let evil = format!("<script>alert(1)</script>\"'><img src=x onerror=alert(2)> planted-secret {}", "long ".repeat(1000));
    let error = Error::new(ErrorKind::Provider, evil.clone()).with_hint(evil.clone());
    let domains = [name("www.example.com")];
    board.event(&Event::Order { order: &order, domains: &domains, state: &evil, note: Some(&evil) });
    let round = round(&record(&evil), vec![Verdict::OtherValue(vec![evil.clone()]), Verdict::Unreachable(evil.clone())], 1);
    board.event(&Event::Verdicts { order: Some(&order), round: &round });
    board.event(&Event::Waiting { order: &order, reason: &evil, waited: Duration::ZERO });
    board.event(&Event::Failed { order: Some(&order), error: &error });
    board.set_ready(Some(&error));
    let page = page::whole(&page::live(&board.state(), &[], began()));
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(board.state().troubles[0].message.contains("[redacted]"));
    assert!(board.state().troubles[0].message.chars().count() <= 1001);
}

#[test]
fn names_are_shown_as_people_write_them() {
    let order = id("cas-1");
    let domains = [name("xn--fsqu00a.xn--fiqs8s"), name("xn--mnchen-3ya.example")];
    let state = state(&[Event::Order { order: &order, domains: &domains, state: "checking", note: Some("等待验证") }]);
    let page = page::live(&state, &[], at(1));
    for shown in ["例子.中国", "(xn--fsqu00a.xn--fiqs8s)", "münchen.example", "等待验证"] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
}

#[test]
fn days_left_are_counted_down_to_and_past_the_end() {
    let all = [held("a.example", 90), held("b.example", 29), held("c.example", 6), held("d.example", 1), held("e.example", -2)];
    let page = page::live(&State::new(began()), &all, began());
    for shown in ["90 days", "29 days", "6 days", "1 day<", "expired", "4 with less than 30 days"] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
}

#[test]
fn three_hundred_orders_make_a_page_and_a_thousand_a_bounded_one() {
    for (count, shown) in [(0, 0), (1, 1), (300, 300), (1000, 500)] {
        let mut state = State::new(began());
        for number in 0..count {
            let order = id(&format!("cas-{number}"));
            let event = Event::Order { order: &order, domains: &[], state: "checking", note: None };
            state.take(&event, at(number), &str::to_owned);
        }
        let page = page::live(&state, &[], at(9));
        assert_eq!(page.matches("<li class=\"order ").count(), shown, "{count}");
        assert_eq!(page.contains("500 more are not shown"), count == 1000);
        assert_eq!(page.contains("No order has been looked at yet"), count == 0);
    }
}

#[test]
fn metrics_say_what_the_board_knows() {
    let (order, other, record) = (id("cas-1"), id("cas-2"), record("v"));
    let zone = name("example.com");
    let (quick, slow) = (round(&record, vec![Verdict::Visible], 4), round(&record, vec![Verdict::Visible], 4000));
    let error = Error::new(ErrorKind::NotVisible, "x");
    let state = state(&[
        Event::Order { order: &order, domains: &[], state: "checking", note: None },
        Event::Order { order: &other, domains: &[], state: "a new \"word\"\n", note: None },
        Event::Published { order: Some(&order), record: &record, provider: "cf", zone: &zone, was_there: false },
        Event::Visible { order: Some(&order), round: &quick, resolvers: &[] },
        Event::Visible { order: Some(&order), round: &slow, resolvers: &[] },
        Event::Failed { order: Some(&other), error: &error },
        Event::Failed { order: None, error: &error },
    ]);
    let calls = [("GetInstanceDetail".to_owned(), 12), ("odd\"\\\n".to_owned(), 1)];
    let text = metrics::text(&state, &calls, &[held("www.example.com", 30)], at(61));
    for line in [
        "dv_verify_orders{state=\"checking\"} 1",
        "dv_verify_orders{state=\"failed\"} 1",
        "dv_verify_orders{state=\"unknown\"} 0",
        "dv_verify_orders_waiting 1",
        "dv_verify_oldest_waiting_seconds 60",
        "dv_verify_calls_total{operation=\"GetInstanceDetail\"} 12",
        r#"dv_verify_calls_total{operation="odd\"\\\n"} 1"#,
        "dv_verify_errors_total{kind=\"not-visible\"} 2",
        "dv_verify_records_total{action=\"published\"} 1",
        "dv_verify_propagation_seconds_bucket{le=\"2\"} 0",
        "dv_verify_propagation_seconds_bucket{le=\"5\"} 1",
        "dv_verify_propagation_seconds_bucket{le=\"3600\"} 1",
        "dv_verify_propagation_seconds_bucket{le=\"+Inf\"} 2",
        "dv_verify_propagation_seconds_sum 4004",
        "dv_verify_ready 0",
    ] {
        assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
    }
    let expiry = held("www.example.com", 30).not_after.as_second();
    assert!(text.contains(&format!("{{folder=\"www.example.com\",name=\"www.example.com\"}} {expiry}\n")));
}

fn listen(token: Option<&str>) -> Listen {
    Listen { address: "127.0.0.1:0".parse().unwrap(), token: token.map(Secret::new), hosts: Vec::new() }
}

fn nothing() -> Snapshots {
    Snapshots { calls: Arc::new(Vec::new), certificates: Arc::new(Vec::new) }
}

/// Sends a request and reads the reply until the server closes the connection.
async fn ask(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn nothing_but_loopback_without_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9"] {
        let open = Listen { address: address.parse().unwrap(), ..listen(None) };
        let error = serve(&open, Board::new(Redactor::default()), nothing()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("asks for no token") && error.hint().unwrap().contains("--listen-token-file"));
    }
    let error = listen(Some("short")).check().unwrap_err();
    assert!(error.to_string().contains("shorter than 16"), "{error}");
    Listen { address: "0.0.0.0:0".parse().unwrap(), ..listen(Some("a-token-of-24-characters")) }.check().unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = serve(&Listen { address, ..listen(None) }, Board::new(Redactor::default()), nothing()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("`--listen {address}`: ")), "{error}");
    assert_eq!(error.kind().exit_code(), 2);
}

#[tokio::test]
async fn every_door_asks_what_it_must() {
    let board = Board::new(Redactor::default());
    let serving = serve(&listen(Some("a-token-of-24-characters")), board.clone(), nothing()).await.unwrap();
    let address = serving.address();
    for path in ["/", "/live", "/metrics", "/events", "/page.js", "/page.css"] {
        let reply = ask(address, path, "Host: localhost\r\n").await;
        assert!(reply.starts_with("HTTP/1.1 401 ") && reply.contains("www-authenticate: Basic"), "{path}: {reply}");
        let foreign = ask(address, path, "Host: evil.example\r\nAuthorization: Bearer a-token-of-24-characters\r\n").await;
        assert!(foreign.starts_with("HTTP/1.1 421 ") && foreign.contains("--listen-host"), "{path}: {foreign}");
    }
    assert!(ask(address, "/healthz", "Host: localhost\r\n").await.ends_with("ok\n"));
    assert!(ask(address, "/healthz", "Host: evil.example\r\n").await.starts_with("HTTP/1.1 421 "));
    assert!(ask(address, "/readyz", "Host: localhost\r\n").await.starts_with("HTTP/1.1 503 "));
    board.set_ready(None);
    assert!(ask(address, "/readyz", "Host: localhost\r\n").await.starts_with("HTTP/1.1 200 "));
    let page = ask(address, "/", "Host: 127.0.0.1\r\nAuthorization: Bearer a-token-of-24-characters\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(page.contains(header), "{header}: {page}");
    }
    assert!(!page.contains("unsafe-inline") && !page.contains("style=") && !page.contains("<script>"));
    assert!(ask(address, "/elsewhere", "Host: localhost\r\n").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn what_is_said_to_write_is_refused() {
    let serving = serve(&listen(None), Board::new(Redactor::default()), nothing()).await.unwrap();
    let mut stream = TcpStream::connect(serving.address()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 405 "), "{reply}");
}

/// Reads until `text` came.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut buffer)).await.expect("it comes").unwrap();
        assert_ne!(read, 0, "the connection ended after {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&buffer[..read]);
        let said = String::from_utf8_lossy(&all).into_owned();
        if said.contains(text) {
            return said;
        }
    }
}

async fn live(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn live_pages_hear_of_changes_and_are_bounded() {
    let board = Board::new(Redactor::default());
    let serving = serve(&listen(None), board.clone(), nothing()).await.unwrap();
    let mut pages = Vec::new();
    for _ in 0..16 {
        let mut page = live(serving.address()).await;
        assert!(until(&mut page, "\r\n\r\n").await.contains("text/event-stream"));
        pages.push(page);
    }
    let refused = until(&mut live(serving.address()).await, "too many live pages").await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 60"), "{refused}");
    let order = id("cas-1");
    for number in 0..500 {
        let state = if number % 2 == 0 { "checking" } else { "reviewing" };
        board.event(&Event::Order { order: &order, domains: &[], state, note: None });
    }
    for page in &mut pages {
        let said = until(page, "data: 500\n").await;
        assert!(said.matches("data:").count() <= 2, "many changes are one message: {said}");
    }
    // Who leaves makes room.
    drop(pages.pop());
    let mut tries = 0;
    while !until(&mut live(serving.address()).await, "\r\n\r\n").await.contains("200 OK") {
        tries += 1;
        assert!(tries < 1000, "there must be room again");
        board.event(&Event::Order { order: &order, domains: &[], state: "checking", note: None });
    }
}

#[tokio::test]
async fn connections_are_bounded_and_others_end_with_the_server() {
    let patience = Duration::from_secs(3);
    let serving = server::serve(&listen(None), Board::new(Redactor::default()), nothing(), patience).await.unwrap();
    let address = serving.address();
    let mut slow = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
        slow.push(stream);
    }
    // The 65th is closed without a word.
    let mut more = TcpStream::connect(address).await.unwrap();
    let _ = more.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut reply = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), more.read_to_end(&mut reply)).await.expect("it is closed");
    assert!(read.is_err() || reply.is_empty(), "{}", String::from_utf8_lossy(&reply));
    // Who never ends the request is closed too, and there is room again.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), slow[0].read_to_end(&mut rest)).await.expect("its time is up");
    let _ = tokio::time::timeout(Duration::from_secs(30), slow[63].read_to_end(&mut rest)).await.expect("its time is up");
    assert!(ask(address, "/healthz", "Host: localhost\r\n").await.ends_with("ok\n"));
    drop(serving);
    let mut stream = TcpStream::connect(address).await;
    if let Ok(stream) = &mut stream {
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or_default(), 0);
    }
}
