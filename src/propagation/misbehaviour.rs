//! Every way in which a server may misbehave, with the verdict and the sentence that follow: one table.

use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::{
    op::{Edns, Message, MessageType, ResponseCode},
    rr::{
        DNSClass, RData, RecordType as WireType,
        rdata::{NS, TXT, opt::EdnsOption},
    },
};

use super::{
    testing::{Act, Asked, PATIENCE, Server, Zone, answer, cname, entry, name, propagation, record, send, soa, stated, txt},
    verdict::option,
};

const NAME: &str = "_dnsauth.example.test";
const VALUE: &str = "202611-Value";

/// How a server behaves.
type Behaviour = fn(&Asked) -> Vec<Act>;

struct Case {
    what: &'static str,
    behaviour: Behaviour,
    /// Whether the TCP port is open.
    tcp: bool,
    verdict: &'static str,
    /// A part of the sentence about the server.
    sentence: &'static str,
}

/// Only cases in which the exact value is served with AA are `visible`; the test sees to that.
const CASES: &[Case] = &[
    case("honest", honest, "visible", ""),
    case("silent", |_| vec![Act::Hang], "unreachable", "no answer within 600 ms"),
    closed("silent and TCP closed", |_| vec![], "unreachable", "no answer within 600 ms; TCP: the port is closed"),
    case("slow over UDP", |asked| after(PATIENCE / 4, honest(asked)), "visible", ""),
    case("slower than the patience", |asked| after(PATIENCE * 3, honest(asked)), "unreachable", "no answer within"),
    case("UDP dropped, TCP answers", |asked| if asked.over_tcp { honest(asked) } else { vec![] }, "visible", ""),
    case("first packet lost", |asked| if asked.before == 0 { vec![] } else { honest(asked) }, "visible", ""),
    case("EDNS dropped", |asked| if asked.message.edns.is_some() { vec![] } else { honest(asked) }, "visible", ""),
    case("SERVFAIL", |asked| code(asked, ResponseCode::ServFail), "servfail", "(SERVFAIL)"),
    case("SERVFAIL with EDE", servfail_with_ede, "servfail", "EDE 14 Not Ready: zone is loading"),
    case("REFUSED", |asked| code(asked, ResponseCode::Refused), "refused", "refuses the question"),
    case("NOTAUTH", |asked| code(asked, ResponseCode::NotAuth), "lame", "not authoritative"),
    case("NOTIMP", |asked| code(asked, ResponseCode::NotImp), "unreachable", "it answers NOTIMP"),
    case("the value without AA", without_aa, "lame", "no AA"),
    case("referral", |asked| referral(asked, false), "lame", "referral"),
    case("referral with AA", |asked| referral(asked, true), "lame", "referral"),
    case(
        "old data: NODATA",
        |asked| {
            with(asked, |message| {
                message.add_authority(soa(&name("example.test")));
            })
        },
        "missing",
        "no record",
    ),
    case("NODATA without SOA", |asked| send(&answer(asked)), "missing", "no record"),
    case("old data: NXDOMAIN", nxdomain, "nxdomain", "NXDOMAIN"),
    case("NXDOMAIN without AA", nxdomain_without_aa, "lame", "no AA"),
    case("other values", |asked| values(asked, &["other", "more"]), "other-value", r#""other", "more""#),
    case("another case", |asked| values(asked, &["202611-value"]), "other-value", r#""202611-value""#),
    case("value in quotes", |asked| values(asked, &["\"202611-Value\""]), "other-value", r#""\"202611-Value\"""#),
    case("value with a blank", |asked| values(asked, &["202611-Value "]), "other-value", r#""202611-Value ""#),
    case("value among others", |asked| values(asked, &["other", VALUE]), "visible", ""),
    case("value in two strings", |asked| strings(asked, &[&["202611-", "Value"]]), "visible", ""),
    case("value in two records", |asked| strings(asked, &[&["202611-"], &["Value"]]), "other-value", r#""202611-", "Value""#),
    case("value at another owner", |asked| at(asked, "x.example.test", txt(VALUE)), "missing", "no record"),
    case("value in class CH", class_chaos, "missing", "no record"),
    case("CNAME at the name", |asked| at(asked, NAME, cname("target.test")), "alias", "CNAME to target.test"),
    case("CNAME, value at its target", cname_and_target, "alias", "CNAME to target.test"),
    case("truncated, TCP answers", truncated, "visible", ""),
    closed("truncated, TCP closed", truncated, "truncated", "TCP does not work: the port is closed"),
    case("truncated, TCP silent", |asked| tcp_does(asked, vec![Act::Hang]), "truncated", "no answer within"),
    case("truncated, TCP closes at once", |asked| tcp_does(asked, vec![]), "truncated", "closed before"),
    case(
        "truncated, TCP closes after the length",
        |asked| tcp_does(asked, vec![Act::LengthOnly(80)]),
        "truncated",
        "closed before",
    ),
    case("truncated, slow TCP", slow_tcp, "visible", ""),
    case("512 bytes only, EDNS ignored", ignores_edns, "visible", ""),
    case("wrong id", wrong_id, "mismatched", "another id"),
    case("forged packet before the answer", |asked| [wrong_id(asked), honest(asked)].concat(), "visible", ""),
    case(
        "flood of forged packets",
        |asked| std::iter::repeat_n(wrong_id(asked), 500).flatten().collect(),
        "mismatched",
        "another id",
    ),
    case("another name in the question", |asked| questions(asked, "other.test", WireType::TXT), "mismatched", "another question"),
    case("another type in the question", |asked| questions(asked, NAME, WireType::A), "mismatched", "another question"),
    case("no question", |asked| with_value(asked, |message| message.queries.clear()), "mismatched", "without the question"),
    case("a question as answer", not_an_answer, "mismatched", "no answer"),
    case("FORMERR to EDNS", formerr_to_edns, "visible", ""),
    case("FORMERR to all", |asked| code(asked, ResponseCode::FormErr), "unreachable", "it answers FORMERR"),
    case("BADVERS to EDNS", badvers, "visible", ""),
    case("cookie required", cookie_required, "visible", ""),
    case("cookie never good over UDP", cookie_never_good, "visible", ""),
    case("BADCOOKIE to all", |asked| bad_cookie(asked, 0), "unreachable", "it answers BADCOOKIE"),
    case(
        "another client cookie",
        |asked| with_value(asked, |message| offer(message, vec![1; 24])),
        "mismatched",
        "another client cookie",
    ),
    case("garbage", |asked| bytes(asked, &[0xff; 60]), "mismatched", "not a DNS message"),
    case("cut off", cut_off, "mismatched", "not a DNS message"),
    case("one byte", |_| vec![Act::Send(vec![7])], "mismatched", "a packet of 1 bytes"),
    case("compression loop", compression_loop, "mismatched", "not a DNS message"),
    case("300 values with ours", |asked| three_hundred(asked, true), "visible", ""),
    case("300 values without ours", |asked| three_hundred(asked, false), "other-value", "value number 0"),
];

const fn case(what: &'static str, behaviour: Behaviour, verdict: &'static str, sentence: &'static str) -> Case {
    Case { what, behaviour, tcp: true, verdict, sentence }
}

const fn closed(what: &'static str, behaviour: Behaviour, verdict: &'static str, sentence: &'static str) -> Case {
    Case { tcp: false, ..case(what, behaviour, verdict, sentence) }
}

fn honest(asked: &Asked) -> Vec<Act> {
    values(asked, &[VALUE])
}

fn with(asked: &Asked, change: impl FnOnce(&mut Message)) -> Vec<Act> {
    let mut message = answer(asked);
    change(&mut message);
    send(&message)
}

fn with_value(asked: &Asked, change: impl FnOnce(&mut Message)) -> Vec<Act> {
    with(asked, |message| {
        message.add_answer(entry(&name(NAME), txt(VALUE)));
        change(message);
    })
}

fn values(asked: &Asked, values: &[&str]) -> Vec<Act> {
    with(asked, |message| {
        message.add_answers(values.iter().map(|value| entry(&name(NAME), txt(value))));
    })
}

fn strings(asked: &Asked, records: &[&[&str]]) -> Vec<Act> {
    let text = |strings: &[&str]| RData::TXT(TXT::new(strings.iter().map(|string| (*string).to_owned()).collect()));
    with(asked, |message| {
        message.add_answers(records.iter().map(|strings| entry(&name(NAME), text(strings))));
    })
}

fn at(asked: &Asked, owner: &str, data: RData) -> Vec<Act> {
    with(asked, |message| {
        message.add_answer(entry(&name(owner), data));
    })
}

fn code(asked: &Asked, code: ResponseCode) -> Vec<Act> {
    with(asked, |message| message.metadata.response_code = code)
}

fn after(pause: Duration, acts: Vec<Act>) -> Vec<Act> {
    [vec![Act::Pause(pause)], acts].concat()
}

fn servfail_with_ede(asked: &Asked) -> Vec<Act> {
    with(asked, |message| {
        message.metadata.response_code = ResponseCode::ServFail;
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(15, [&[0, 14][..], b"zone is loading"].concat()));
        message.set_edns(edns);
    })
}

fn without_aa(asked: &Asked) -> Vec<Act> {
    with_value(asked, |message| message.metadata.authoritative = false)
}

fn referral(asked: &Asked, authoritative: bool) -> Vec<Act> {
    with(asked, |message| {
        message.metadata.authoritative = authoritative;
        message.add_authority(entry(&name(NAME), RData::NS(NS(name("ns.else.test").to_wire()))));
    })
}

fn nxdomain(asked: &Asked) -> Vec<Act> {
    send(&Zone::new("example.test").answer(asked))
}

fn nxdomain_without_aa(asked: &Asked) -> Vec<Act> {
    let mut message = Zone::new("example.test").answer(asked);
    message.metadata.authoritative = false;
    send(&message)
}

fn class_chaos(asked: &Asked) -> Vec<Act> {
    let mut chaos = entry(&name(NAME), txt(VALUE));
    chaos.dns_class = DNSClass::CH;
    with(asked, |message| {
        message.add_answer(chaos);
    })
}

fn cname_and_target(asked: &Asked) -> Vec<Act> {
    with(asked, |message| {
        message.add_answer(entry(&name(NAME), cname("target.test")));
        message.add_answer(entry(&name("target.test"), txt(VALUE)));
    })
}

/// Over UDP truncated, though the value is in it: it must not count. Over TCP whole.
fn truncated(asked: &Asked) -> Vec<Act> {
    with_value(asked, |message| message.metadata.truncation = !asked.over_tcp)
}

fn tcp_does(asked: &Asked, acts: Vec<Act>) -> Vec<Act> {
    if asked.over_tcp { acts } else { truncated(asked) }
}

fn slow_tcp(asked: &Asked) -> Vec<Act> {
    if asked.over_tcp { after(PATIENCE / 3, honest(asked)) } else { truncated(asked) }
}

fn ignores_edns(asked: &Asked) -> Vec<Act> {
    with(asked, |message| {
        message.edns = None;
        if asked.over_tcp {
            message.add_answers((0..40).map(|number| entry(&name(NAME), txt(&format!("filler number {number}")))));
            message.add_answer(entry(&name(NAME), txt(VALUE)));
        } else {
            message.metadata.truncation = true;
        }
    })
}

fn wrong_id(asked: &Asked) -> Vec<Act> {
    with_value(asked, |message| message.metadata.id ^= 0x5555)
}

fn questions(asked: &Asked, owner: &str, record_type: WireType) -> Vec<Act> {
    with_value(asked, |message| {
        message.queries[0].name = name(owner).to_wire();
        message.queries[0].query_type = record_type;
    })
}

fn not_an_answer(asked: &Asked) -> Vec<Act> {
    with_value(asked, |message| message.metadata.message_type = MessageType::Query)
}

fn formerr_to_edns(asked: &Asked) -> Vec<Act> {
    if asked.message.edns.is_none() {
        return honest(asked);
    }
    with(asked, |message| {
        message.edns = None;
        message.queries.clear();
        message.metadata.response_code = ResponseCode::FormErr;
    })
}

fn badvers(asked: &Asked) -> Vec<Act> {
    if asked.message.edns.is_some() { code(asked, ResponseCode::BADVERS) } else { honest(asked) }
}

fn offer(message: &mut Message, cookie: Vec<u8>) {
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Unknown(10, cookie));
    message.set_edns(edns);
}

fn client_cookie(asked: &Asked) -> Vec<u8> {
    option(&asked.message, 10).unwrap_or_default().iter().take(8).copied().collect()
}

fn bad_cookie(asked: &Asked, salt: u8) -> Vec<Act> {
    with(asked, |message| {
        message.metadata.response_code = ResponseCode::BADCOOKIE;
        offer(message, [client_cookie(asked), vec![salt; 16]].concat());
    })
}

fn cookie_required(asked: &Asked) -> Vec<Act> {
    match option(&asked.message, 10) {
        Some(cookie) if cookie.ends_with(&[9; 16]) => honest(asked),
        _ => bad_cookie(asked, 9),
    }
}

fn cookie_never_good(asked: &Asked) -> Vec<Act> {
    if asked.over_tcp { honest(asked) } else { bad_cookie(asked, 9) }
}

/// These bytes behind the id of the question.
fn bytes(asked: &Asked, tail: &[u8]) -> Vec<Act> {
    vec![Act::Send([&asked.message.metadata.id.to_be_bytes()[..], tail].concat())]
}

fn cut_off(asked: &Asked) -> Vec<Act> {
    let [Act::Send(whole)] = &honest(asked)[..] else { unreachable!() };
    vec![Act::Send(whole[..whole.len() - 20].to_vec())]
}

/// One answer record whose name points at itself.
fn compression_loop(asked: &Asked) -> Vec<Act> {
    let mut packet = answer(asked).to_vec().unwrap();
    let question = packet.len() - if asked.message.edns.is_some() { 11 } else { 0 };
    packet.truncate(question);
    packet[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    let here = u16::try_from(question).unwrap() | 0xc000;
    packet.extend_from_slice(&here.to_be_bytes());
    packet.extend_from_slice(&[0, 16, 0, 1, 0, 0, 0, 60, 0, 2, 1, b'v']);
    vec![Act::Send(packet)]
}

fn three_hundred(asked: &Asked, ours: bool) -> Vec<Act> {
    with(asked, |message| {
        message.metadata.truncation = !asked.over_tcp;
        if asked.over_tcp {
            message.add_answers((0..299).map(|number| entry(&name(NAME), txt(&format!("value number {number}")))));
            message.add_answer(entry(&name(NAME), txt(if ours { VALUE } else { "the last one" })));
        }
    })
}

#[tokio::test]
async fn each_misbehaviour_has_its_verdict_and_its_sentence() {
    let wrong: Vec<String> = join_all(CASES.iter().map(|case| async move {
        let server = Server::start_at(([127, 0, 0, 1], 0).into(), case.tcp, case.behaviour).await;
        let begun = std::time::Instant::now();
        let round = propagation(stated(&[&server])).look(&record(NAME, VALUE)).await.unwrap();
        let (seen, took) = (&round.observations[0], begun.elapsed());
        let explanation = round.explanation.clone().unwrap_or_default();
        let visible = case.verdict == "visible";
        let good = seen.verdict.word() == case.verdict
            && round.visible == visible
            && explanation.is_empty() == visible
            && explanation.contains(case.sentence)
            && took < PATIENCE * 8;
        (!good).then(|| format!("{}: {:?}, visible {}, {took:?}: {explanation}", case.what, seen.verdict, round.visible))
    }))
    .await
    .into_iter()
    .flatten()
    .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CASES.len() >= 50);
}
