//! What the servers answer, in invented time and without sockets.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hickory_proto::{
    op::update_message,
    rr::{
        DNSClass, Name as WireName, RData, Record, RecordType, TSigner,
        rdata::{
            CNAME, TXT,
            tsig::{TsigAlgorithm, TsigError},
        },
    },
};
use tokio::sync::mpsc::unbounded_channel;

use super::{
    authority::{Authority, Behaviour},
    recursive::Recursive,
    *,
};
use crate::{
    name::Name,
    sandbox::{locked, records, zone::NewRecord},
};

const LAG: Duration = Duration::from_secs(5);
const NEGATIVE: Duration = Duration::from_mins(1);

struct Setting {
    zones: SharedZones,
    primary: Arc<Authority>,
    secondary: Arc<Authority>,
    resolver: Recursive,
    start: Instant,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn key(secret: u8, key_name: &str) -> TSigner {
    TSigner::new(vec![secret; 32], TsigAlgorithm::HmacSha256, WireName::from_ascii(key_name).unwrap(), 300).unwrap()
}

fn txt(owner: &str, value: &str) -> Record {
    Record::from_rdata(name(owner).to_wire(), 60, RData::TXT(TXT::new(vec![value.to_owned()])))
}

impl Setting {
    fn new() -> Self {
        let names = [name("example.com"), name("sub.example.com")];
        let zones: SharedZones = Arc::new(Mutex::new(Zones::new(&names, 60, unbounded_channel().0)));
        let primary = Arc::new(Authority::new(Arc::clone(&zones), Duration::ZERO, Some(key(7, "k.")), Arc::default()));
        let secondary = Arc::new(Authority::new(Arc::clone(&zones), LAG, None, Arc::default()));
        let both = vec![Arc::clone(&primary), Arc::clone(&secondary)];
        let resolver = Recursive::new(Arc::clone(&zones), &names, both, NEGATIVE);
        Self { zones, primary, secondary, resolver, start: Instant::now() + 10 * LAG }
    }

    fn add(&self, owner: &str, record_type: &str, content: &str) {
        let data = records::parse(record_type, content).unwrap();
        let new = NewRecord { name: name(owner), data, ttl: 60, content: content.to_owned() };
        locked(&self.zones).add(new, self.start).unwrap();
    }

    fn update(&self, message: &mut Message, key: Option<&TSigner>, clock: u64) -> Message {
        if let Some(key) = key {
            message.finalize(key, clock).unwrap();
        }
        let reply = self.primary.respond(&message.to_vec().unwrap(), Limit::Tcp, self.start, true).unwrap();
        Message::from_vec(&reply).unwrap()
    }
}

fn question(owner: &str, record_type: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(name(owner).to_wire(), record_type));
    message.to_vec().unwrap()
}

fn ask(server: &Authority, owner: &str, record_type: RecordType, at: Instant) -> Message {
    Message::from_vec(&server.respond(&question(owner, record_type), Limit::Udp, at, true).unwrap()).unwrap()
}

fn values(reply: &Message) -> Vec<String> {
    let mut values: Vec<String> = reply.answers.iter().map(|record| records::value(&record.data)).collect();
    values.sort();
    values
}

fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_secondary_shows_what_the_primary_had() {
    let setting = Setting::new();
    setting.add("_a.example.com", "TXT", "one");
    let serial = |server: &Authority, at| match &ask(server, "example.com", RecordType::SOA, at).answers[0].data {
        RData::SOA(soa) => soa.serial,
        other => panic!("{other}"),
    };
    let at = |server, at| ask(server, "_a.example.com", RecordType::TXT, at);
    assert_eq!(values(&at(&setting.primary, setting.start)), ["one"]);
    let before = at(&setting.secondary, setting.start + Duration::from_millis(4999));
    assert_eq!(before.response_code, ResponseCode::NXDomain);
    assert!(before.authoritative && before.authorities[0].record_type() == RecordType::SOA);
    assert_eq!(serial(&setting.secondary, setting.start), serial(&setting.primary, setting.start) - 1);
    assert_eq!(values(&at(&setting.secondary, setting.start + LAG)), ["one"]);
    assert_eq!(serial(&setting.secondary, setting.start + LAG), serial(&setting.primary, setting.start));

    setting.secondary.behave(Behaviour::LagForever, setting.start);
    assert!(values(&at(&setting.secondary, setting.start + 100 * LAG)).is_empty());
    setting.secondary.behave(Behaviour::Normal, setting.start);
    assert_eq!(values(&at(&setting.secondary, setting.start + LAG)), ["one"]);
}

#[test]
fn answers_are_those_of_an_authority() {
    let setting = Setting::new();
    setting.add("alias.example.com", "CNAME", "_a.sub.example.com");
    setting.add("_a.sub.example.com", "TXT", "one");
    setting.add("away.example.com", "CNAME", "example.net");
    setting.add("child.example.com", "NS", "ns.example.net");
    let ask = |owner: &str, record_type| ask(&setting.primary, owner, record_type, setting.start);

    let servers = ask("example.com", RecordType::NS);
    assert_eq!(values(&servers), ["ns1.example.com", "ns2.example.com", "ns3.example.com"]);
    assert!(servers.authoritative && servers.additionals.len() == 3);
    assert_eq!(values(&ask("ns2.example.com", RecordType::A)), ["127.0.0.2"]);

    let followed = ask("alias.example.com", RecordType::TXT);
    assert_eq!(values(&followed), ["_a.sub.example.com", "one"]);
    assert_eq!(values(&ask("alias.example.com", RecordType::CNAME)), ["_a.sub.example.com"]);
    let away = ask("away.example.com", RecordType::TXT);
    assert!(away.response_code == ResponseCode::NoError && values(&away) == ["example.net"]);

    let referral = ask("_a.child.example.com", RecordType::TXT);
    assert!(!referral.authoritative && referral.answers.is_empty());
    assert_eq!(referral.authorities[0].record_type(), RecordType::NS);

    assert_eq!(ask("example.org", RecordType::TXT).response_code, ResponseCode::Refused);
    let none = ask("alias.example.com", RecordType::A);
    assert!(none.response_code == ResponseCode::NXDomain || !none.answers.is_empty());
    assert_eq!(setting.primary.questions.counts()["alias.example.com TXT"], 1);
}

#[test]
fn what_is_too_long_for_a_datagram_is_asked_for_again() {
    let setting = Setting::new();
    for number in 0..40 {
        setting.add("_a.example.com", "TXT", &format!("{number:064}"));
    }
    let udp = ask(&setting.primary, "_a.example.com", RecordType::TXT, setting.start);
    assert!(udp.truncation && udp.answers.is_empty());
    let question = question("_a.example.com", RecordType::TXT);
    let tcp = setting.primary.respond(&question, Limit::Tcp, setting.start, true).unwrap();
    assert_eq!(Message::from_vec(&tcp).unwrap().answers.len(), 40);
}

#[test]
fn servers_misbehave_when_told() {
    let setting = Setting::new();
    setting.add("_a.example.com", "TXT", "one");
    let code = |behaviour| {
        setting.secondary.behave(behaviour, setting.start);
        let reply = ask(&setting.secondary, "_a.example.com", RecordType::TXT, setting.start + LAG);
        (reply.response_code, reply.authoritative, reply.truncation, reply.answers.len())
    };
    assert_eq!(code(Behaviour::Refuse), (ResponseCode::Refused, false, false, 0));
    assert_eq!(code(Behaviour::ServerFailure), (ResponseCode::ServFail, false, false, 0));
    assert_eq!(code(Behaviour::Lame), (ResponseCode::NoError, false, false, 0));
    assert_eq!(code(Behaviour::Truncate), (ResponseCode::NoError, false, true, 0));
    assert_eq!(code(Behaviour::Normal), (ResponseCode::NoError, true, false, 1));
    setting.secondary.behave(Behaviour::Dead, setting.start);
    let question = question("_a.example.com", RecordType::TXT);
    assert!(setting.secondary.respond(&question, Limit::Udp, setting.start, true).is_none());
}

#[test]
fn updates_need_the_key_and_change_one_value() {
    let setting = Setting::new();
    setting.add("_a.example.com", "TXT", "foreign");
    let zone = || name("example.com").to_wire();
    let good = key(7, "k.");
    let add = || update_message::append(txt("_a.example.com", "ours").into(), zone(), false, true);
    let shown = || values(&ask(&setting.primary, "_a.example.com", RecordType::TXT, setting.start));

    let refused = |key: Option<&TSigner>, clock: u64| {
        let reply = setting.update(&mut add(), key, clock);
        (reply.response_code, reply.signature().and_then(|signature| signature.data.error))
    };
    assert_eq!(refused(None, clock()), (ResponseCode::Refused, None));
    assert_eq!(refused(Some(&key(8, "k.")), clock()), (ResponseCode::NotAuth, Some(TsigError::BadSig)));
    assert_eq!(refused(Some(&key(7, "other.")), clock()), (ResponseCode::NotAuth, Some(TsigError::BadKey)));
    assert_eq!(refused(Some(&good), clock() - 3600), (ResponseCode::NotAuth, Some(TsigError::BadTime)));
    assert_eq!(shown(), ["foreign"]);

    let mut message = add();
    let mut verifier = message.finalize(&good, clock()).unwrap().unwrap();
    let bytes = setting.primary.respond(&message.to_vec().unwrap(), Limit::Tcp, setting.start, true).unwrap();
    let reply = verifier.verify(&bytes).expect("the reply is signed");
    assert_eq!(reply.response_code, ResponseCode::NoError);
    assert_eq!(shown(), ["foreign", "ours"]);

    let send = |mut message: Message| setting.update(&mut message, Some(&good), clock()).response_code;
    assert_eq!(send(add()), ResponseCode::NoError, "again");
    assert_eq!(shown(), ["foreign", "ours"]);
    let create = update_message::create(txt("_a.example.com", "third").into(), zone(), true);
    assert_eq!(send(create), ResponseCode::YXRRSet);
    let needs = update_message::append(txt("_b.example.com", "x").into(), zone(), true, true);
    assert_eq!(send(needs), ResponseCode::NXRRSet);
    let alias = Record::from_rdata(name("_a.example.com").to_wire(), 60, RData::CNAME(CNAME(name("example.net").to_wire())));
    assert_eq!(send(update_message::append(alias.into(), zone(), false, true)), ResponseCode::NoError);
    assert_eq!(shown(), ["foreign", "ours"], "an alias beside other data is ignored");
    let other = update_message::append(txt("a.example.org", "x").into(), name("example.org").to_wire(), false, true);
    assert_eq!(send(other), ResponseCode::NotAuth);
    let child = update_message::append(txt("a.sub.example.com", "x").into(), zone(), false, true);
    assert_eq!(send(child), ResponseCode::NotZone);

    let remove = || update_message::delete_by_rdata(txt("_a.example.com", "ours").into(), zone(), true);
    assert_eq!(send(remove()), ResponseCode::NoError);
    assert_eq!(shown(), ["foreign"]);
    assert_eq!(send(remove()), ResponseCode::NoError, "again");
    assert_eq!(
        send(update_message::delete_all(name("example.com").to_wire(), zone(), DNSClass::IN, true)),
        ResponseCode::NoError
    );
    assert_eq!(ask(&setting.primary, "example.com", RecordType::NS, setting.start).answers.len(), 3);

    let mut message = add();
    message.finalize(&good, clock()).unwrap();
    let reply = setting.secondary.respond(&message.to_vec().unwrap(), Limit::Tcp, setting.start, true).unwrap();
    assert_eq!(Message::from_vec(&reply).unwrap().response_code, ResponseCode::NotImp);
}

#[test]
fn the_resolver_keeps_what_does_not_exist() {
    let setting = Setting::new();
    let ask = |owner: &str, record_type, at| {
        let bytes = setting.resolver.respond_at(&question(owner, record_type), Limit::Udp, at).unwrap();
        Message::from_vec(&bytes).unwrap()
    };
    let now = setting.start;
    for (owner, count) in [("com", 1), ("example.com", 3), ("sub.example.com", 3), (".", 1)] {
        let reply = ask(owner, RecordType::NS, now);
        assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::NoError, count), "{owner}");
        assert!(reply.recursion_available && !reply.authoritative);
    }
    assert_eq!(ask("org", RecordType::NS, now).response_code, ResponseCode::NXDomain);
    assert_eq!(ask("www.example.com", RecordType::NS, now).response_code, ResponseCode::NXDomain);
    setting.add("_a.www.example.com", "TXT", "one");
    setting.add("_b.example.com", "TXT", "two");
    let later = now + LAG;
    assert_eq!(ask("_a.www.example.com", RecordType::TXT, later).response_code, ResponseCode::NXDomain, "kept by its parent");
    assert_eq!(values(&ask("_b.example.com", RecordType::TXT, later)), ["two"], "nobody asked for it before");
    assert_eq!(values(&ask("_a.www.example.com", RecordType::TXT, now + NEGATIVE)), ["one"]);
    assert_eq!(setting.resolver.questions.counts()["_a.www.example.com TXT"], 2);

    setting.primary.behave(Behaviour::Dead, now);
    setting.secondary.behave(Behaviour::Dead, now);
    assert_eq!(ask("_b.example.com", RecordType::TXT, later).response_code, ResponseCode::ServFail);
}

#[test]
fn what_is_no_message_gets_an_error_or_nothing() {
    let setting = Setting::new();
    let respond = |bytes: &[u8]| setting.primary.respond(bytes, Limit::Udp, setting.start, true);
    assert!(respond(b"x").is_none());
    let broken = [&[0, 9, 0, 0, 0, 1][..], &[0; 7]].concat();
    let reply = Message::from_vec(&respond(&broken).unwrap()).unwrap();
    assert_eq!((reply.id, reply.response_code), (9, ResponseCode::FormErr));
}
