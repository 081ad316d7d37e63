//! Every way in which a server may misbehave. The verdict, the sentence and the exit code of each stand in `docs/propagation.md`,
//! which is read by the test: the page is the table of expectations.

use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::{
    op::{Edns, Message, MessageType, ResponseCode},
    rr::{
        DNSClass, RData, RecordType as WireType,
        rdata::{NS, TXT, opt::EdnsOption},
    },
};

use tokio::time::Instant;

use super::{
    Expectation,
    testing::{Act, Asked, PATIENCE, Server, Zone, answer, cname, entry, name, propagation, record, send, soa, stated, txt},
    verdict::option,
};

#[path = "../../tests/lab/table.rs"]
mod table;

const NAME: &str = "_dnsauth.example.test";
const VALUE: &str = "202611-Value";

/// How long a case is waited for: longer than anything in it that ends well takes.
const WAIT: Duration = PATIENCE.saturating_mul(4);

/// How a server behaves.
type Behaviour = fn(&Asked) -> Vec<Act>;

struct Case {
    what: &'static str,
    behaviour: Behaviour,
    /// Whether the TCP port is open.
    tcp: bool,
    /// Whether it ever serves the exact value with AA. Whatever the page says, nothing else may be visible.
    shows: bool,
}

const CASES: &[Case] = &[
    shows("honest", honest),
    hides("silent", |_| vec![Act::Hang]),
    hides_udp_only("silent and TCP closed", |_| vec![]),
    shows("slow over UDP", |asked| after(PATIENCE / 4, honest(asked))),
    hides("slower than the patience", |asked| after(PATIENCE * 3, honest(asked))),
    shows("UDP dropped, TCP answers", |asked| if asked.over_tcp { honest(asked) } else { vec![] }),
    shows("first packet lost", |asked| if asked.before == 0 { vec![] } else { honest(asked) }),
    shows("EDNS dropped", |asked| if asked.message.edns.is_some() { vec![] } else { honest(asked) }),
    hides("SERVFAIL", |asked| code(asked, ResponseCode::ServFail)),
    hides("SERVFAIL with EDE", servfail_with_ede),
    hides("REFUSED", |asked| code(asked, ResponseCode::Refused)),
    hides("NOTAUTH", |asked| code(asked, ResponseCode::NotAuth)),
    hides("NOTIMP", |asked| code(asked, ResponseCode::NotImp)),
    hides("the value without AA", without_aa),
    hides("referral", |asked| referral(asked, false)),
    hides("referral with AA", |asked| referral(asked, true)),
    hides("old data: NODATA", |asked| {
        with(asked, |message| {
            message.add_authority(soa(&name("example.test")));
        })
    }),
    hides("NODATA without SOA", |asked| send(&answer(asked))),
    hides("old data: NXDOMAIN", nxdomain),
    hides("NXDOMAIN without AA", nxdomain_without_aa),
    hides("other values", |asked| values(asked, &["other", "more"])),
    hides("another case", |asked| values(asked, &["202611-value"])),
    hides("value in quotes", |asked| values(asked, &["\"202611-Value\""])),
    hides("value with a blank", |asked| values(asked, &["202611-Value "])),
    shows("value among others", |asked| values(asked, &["other", VALUE])),
    shows("value in two strings", |asked| strings(asked, &[&["202611-", "Value"]])),
    hides("value in two records", |asked| strings(asked, &[&["202611-"], &["Value"]])),
    hides("value at another owner", |asked| at(asked, "x.example.test", txt(VALUE))),
    hides("value in class CH", class_chaos),
    hides("CNAME at the name", |asked| at(asked, NAME, cname("target.test"))),
    hides("CNAME, value at its target", cname_and_target),
    hides("CNAME beside the value", |asked| {
        with_value(asked, |message| {
            message.add_answer(entry(&name(NAME), cname("target.test")));
        })
    }),
    shows("truncated, TCP answers", truncated),
    hides_udp_only("truncated, TCP closed", truncated),
    hides("truncated, TCP silent", |asked| tcp_does(asked, vec![Act::Hang])),
    hides("truncated, TCP closes at once", |asked| tcp_does(asked, vec![])),
    hides("truncated, TCP closes after the length", |asked| tcp_does(asked, vec![Act::LengthOnly(80)])),
    shows("truncated, slow TCP", slow_tcp),
    shows("512 bytes only, EDNS ignored", ignores_edns),
    hides("wrong id", wrong_id),
    shows("forged packet before the answer", |asked| [wrong_id(asked), honest(asked)].concat()),
    hides("flood of forged packets", |asked| std::iter::repeat_n(wrong_id(asked), 500).flatten().collect()),
    hides("another name in the question", |asked| questions(asked, "other.test", WireType::TXT)),
    hides("another type in the question", |asked| questions(asked, NAME, WireType::A)),
    hides("no question", |asked| with_value(asked, |message| message.queries.clear())),
    hides("a question as answer", not_an_answer),
    shows("FORMERR to EDNS", formerr_to_edns),
    hides("FORMERR to all", |asked| code(asked, ResponseCode::FormErr)),
    shows("BADVERS to EDNS", badvers),
    shows("cookie required", cookie_required),
    shows("cookie never good over UDP", cookie_never_good),
    hides("BADCOOKIE to all", |asked| bad_cookie(asked, 0)),
    hides("another client cookie", |asked| with_value(asked, |message| offer(message, vec![1; 24]))),
    hides("garbage", |asked| bytes(asked, &[0xff; 60])),
    hides("cut off", cut_off),
    hides("one byte", |_| vec![Act::Send(vec![7])]),
    hides("compression loop", compression_loop),
    hides("CNAME that points at itself", |asked| at(asked, NAME, cname(NAME))),
    shows("a huge answer over UDP, past our limit", |asked| crowd(asked, 60)),
    shows("a huge answer over TCP, 700 values", |asked| tcp_does(asked, crowd(asked, 700))),
    shows("300 values with ours", |asked| three_hundred(asked, true)),
    hides("300 values without ours", |asked| three_hundred(asked, false)),
];

const fn shows(what: &'static str, behaviour: Behaviour) -> Case {
    Case { what, behaviour, tcp: true, shows: true }
}

const fn hides(what: &'static str, behaviour: Behaviour) -> Case {
    Case { shows: false, ..shows(what, behaviour) }
}

const fn hides_udp_only(what: &'static str, behaviour: Behaviour) -> Case {
    Case { tcp: false, ..hides(what, behaviour) }
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

/// The value behind so many others of fifty bytes.
fn crowd(asked: &Asked, others: usize) -> Vec<Act> {
    with(asked, |message| {
        message.add_answers((0..others).map(|number| entry(&name(NAME), txt(&format!("{number:0>50}")))));
        message.add_answer(entry(&name(NAME), txt(VALUE)));
    })
}

/// What is seen in one look, and the exit code of a wait: a row of the table.
async fn outcome(case: &Case) -> Vec<String> {
    let start = || Server::start_at(([127, 0, 0, 1], 0).into(), case.tcp, case.behaviour);
    let (looked_at, waited_for) = (start().await, start().await);
    let begun = Instant::now();
    let expected = record(NAME, VALUE);
    let looking = propagation(stated(&[&looked_at]));
    let patient = propagation(stated(&[&waited_for]));
    let (round, waited) = tokio::join!(looking.look(&expected), async {
        patient.wait(&expected, &Expectation::default(), begun + WAIT, &mut |_| {}).await
    });
    let round = round.unwrap();
    let took = begun.elapsed();
    assert!(took < WAIT + PATIENCE * 2, "{}: {took:?}", case.what);
    assert_eq!(round.visible, case.shows, "{}: {round:?}", case.what);
    assert_eq!(waited.is_ok(), case.shows, "{}: {waited:?}", case.what);
    let exit_code = waited.map_or_else(|error| error.kind().exit_code(), |_| 0);
    let before = format!("the only server does not show the value: {} ", looked_at.address);
    let sentence = match &round.explanation {
        None => String::new(),
        Some(explanation) => explanation.strip_prefix(&before).unwrap_or(explanation).replace(" (failed 1 of 3 times)", ""),
    };
    vec![case.what.to_owned(), round.observations[0].verdict.word().to_owned(), exit_code.to_string(), sentence]
}

#[tokio::test]
async fn each_misbehaviour_has_the_verdict_the_sentence_and_the_exit_code_of_the_page() {
    let so = join_all(CASES.iter().map(outcome)).await;
    let said = table::rows(include_str!("../../docs/propagation.md"), "<!-- cases: scripted -->");
    let differences = table::differences(&said, &so, &[3]);
    assert!(differences.is_empty(), "docs/propagation.md (-) and what is so (+) differ:\n{differences}");
    assert_eq!(said.len(), CASES.len());
    assert!(CASES.len() >= 60);
}
