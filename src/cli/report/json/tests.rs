use std::time::Duration;

use super::*;
use crate::{
    cli::exit::tests::delivered,
    error::ErrorKind,
    propagation::{Authority, Observation, Verdict},
    record::RecordType,
};

fn order() -> OrderId {
    OrderId::parse("cas-cn-1").unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn record() -> Record {
    Record { name: name("_dnsauth.www.example.com"), record_type: RecordType::Txt, value: "v".into() }
}

fn round() -> Round {
    let authority = Authority { server: "ns1.example.com".into(), address: "192.0.2.1:53".parse().unwrap() };
    Round {
        zone: name("example.com"),
        record: record(),
        observations: vec![Observation {
            authority,
            verdict: Verdict::NxDomain,
            round_trip: Some(Duration::from_millis(12)),
            out: false,
        }],
        visible: false,
        waited: Duration::from_millis(1500),
        explanation: Some("ns1.example.com does not know the name".into()),
        network: None,
    }
}

fn text(event: &Event<'_>) -> String {
    value(event, jiff::Timestamp::from_millisecond(1_800_000_000_123).unwrap()).to_string()
}

#[test]
fn every_event_as_documented() {
    let (order, domains, record, round) = (order(), [name("www.example.com")], record(), round());
    let line = text(&Event::Order { order: &order, domains: &domains, state: "checking", note: None });
    insta::assert_snapshot!(line, @r#"{"event":"order","time":"2027-01-15T08:00:00.123Z","order":"cas-cn-1","name":"www.example.com","domains":["www.example.com"],"state":"checking"}"#);
    let zone = name("example.com");
    let line = text(&Event::Published { order: Some(&order), record: &record, provider: "cf", zone: &zone, was_there: false });
    insta::assert_snapshot!(line, @r#"{"event":"published","time":"2027-01-15T08:00:00.123Z","order":"cas-cn-1","name":"_dnsauth.www.example.com","type":"TXT","value":"v","provider":"cf","zone":"example.com","was_there":false}"#);
    let line = text(&Event::Verdicts { order: Some(&order), round: &round });
    insta::assert_snapshot!(line, @r#"{"event":"verdicts","time":"2027-01-15T08:00:00.123Z","order":"cas-cn-1","name":"_dnsauth.www.example.com","type":"TXT","value":"v","zone":"example.com","visible":false,"waited":1.5,"explanation":"ns1.example.com does not know the name","authorities":[{"server":"ns1.example.com","address":"192.0.2.1:53","verdict":"nxdomain","seen":"does not know the name (NXDOMAIN)","round_trip":0.012,"out":false}]}"#);
    let line = text(&Event::Withdrawn { order: None, record: &record, provider: "cf", kept: Some("it was there before") });
    insta::assert_snapshot!(line, @r#"{"event":"withdrawn","time":"2027-01-15T08:00:00.123Z","name":"_dnsauth.www.example.com","type":"TXT","value":"v","provider":"cf","kept":"it was there before"}"#);
    let new = delivered(true);
    let line = text(&Event::Delivered { order: &order, delivered: &new });
    insta::assert_snapshot!(line, @r#"{"event":"delivered","time":"2027-01-15T08:00:00.123Z","order":"cas-cn-1","name":"www.example.com","names":["www.example.com"],"folder":"/out/www.example.com/0a1b","live":"/out/www.example.com/live","serial":"0a1b","not_after":"2027-01-15T08:00:00Z","changed":true,"private_key":true}"#);
    let error =
        Error::new(ErrorKind::OrderSource, "too many").with_code("Throttling.User").with_http_status(400).with_request_id("R");
    let line = text(&Event::Failed { order: None, error: &error });
    insta::assert_snapshot!(line, @r#"{"event":"failed","time":"2027-01-15T08:00:00.123Z","message":"too many","exit_code":1,"code":"Throttling.User","http_status":400,"request_id":"R"}"#);
    let outcome = Outcome::Issued(Box::new(new));
    let line = text(&Event::Done { order: &order, outcome: &outcome });
    insta::assert_snapshot!(line, @r#"{"event":"done","time":"2027-01-15T08:00:00.123Z","order":"cas-cn-1","outcome":"issued","name":"www.example.com"}"#);
}

#[test]
fn every_word_is_in_the_documentation() {
    let (order, record, round, outcome) = (order(), record(), round(), Outcome::LeftWaiting);
    let error = Error::usage("x");
    let events = [
        Event::Order { order: &order, domains: &[], state: "x", note: None },
        Event::Published { order: None, record: &record, provider: "p", zone: &record.name, was_there: true },
        Event::Verdicts { order: None, round: &round },
        Event::Visible { order: None, round: &round, resolvers: &[] },
        Event::Resolvers { order: None, record: &record, reports: &[] },
        Event::Waiting { order: &order, reason: "x", waited: Duration::ZERO },
        Event::Issued { order: &order, domains: &[] },
        Event::Withdrawn { order: None, record: &record, provider: "p", kept: None },
        Event::Warning { order: None, message: "x", hint: None },
        Event::Failed { order: None, error: &error },
        Event::Done { order: &order, outcome: &outcome },
    ];
    let page = include_str!("../../../../docs/events.md");
    for event in &events {
        let object = value(event, jiff::Timestamp::UNIX_EPOCH);
        for (key, _) in object.as_object().unwrap() {
            assert!(page.contains(&format!("`{key}`")), "`{key}` is not in docs/events.md");
        }
        let word = object["event"].as_str().unwrap();
        assert!(page.contains(&format!("| `{word}` |")), "`{word}` is not in docs/events.md");
    }
}
