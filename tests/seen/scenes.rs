//! Boards to look at: what a run would tell, told by the test.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use dv_verify::{
    delivery::{Delivered, Held},
    error::{Error, ErrorKind},
    journey::event::{Event, Observer, Outcome},
    name::Name,
    order::OrderId,
    propagation::{Authority, Observation, Round, Verdict},
    record::{Record, RecordType},
    secret::Redactor,
    status::{self, Board, Listen, Serving, Snapshots},
};
use jiff::{SignedDuration, Timestamp};

/// A board that is served.
pub(super) struct Scene {
    pub(super) board: Board,
    serving: Serving,
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(super) fn id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

/// Servers and what each says.
pub(super) fn round(record: &Record, zone: &str, verdicts: &[(&str, &str, Verdict)]) -> Round {
    let observation = |(server, address, verdict): &(&str, &str, Verdict)| Observation {
        authority: Authority { server: (*server).to_owned(), address: address.parse().unwrap() },
        round_trip: (!verdict.is_failure()).then(|| Duration::from_millis(14)),
        out: matches!(verdict, Verdict::Unreachable(_)),
        verdict: verdict.clone(),
    };
    let visible = verdicts.iter().all(|(_, _, verdict)| *verdict == Verdict::Visible);
    Round {
        zone: name(zone),
        record: record.clone(),
        observations: verdicts.iter().map(observation).collect(),
        visible,
        waited: Duration::from_secs(9),
        explanation: (!visible).then(|| "not every server that answers shows the value yet".to_owned()),
        network: None,
    }
}

pub(super) fn txt(owner: &str, value: &str) -> Record {
    Record { name: name(owner), record_type: RecordType::Txt, value: value.to_owned() }
}

impl Scene {
    /// A board without anything.
    pub(super) fn empty() -> Self {
        Self::with_certificates(Vec::new())
    }

    /// Certificates with the days that they have left.
    pub(super) fn with_certificates(certificates: Vec<(Vec<Name>, i64)>) -> Self {
        let held = certificates.into_iter().map(|(names, days)| Held {
            folder: names[0].to_string(),
            not_before: Timestamp::now(),
            not_after: Timestamp::now() + SignedDuration::from_hours(days * 24 + 1),
            names,
        });
        let held: Vec<Held> = held.collect();
        let board = Board::new(Redactor::default());
        let snapshots = Snapshots { calls: Arc::new(Vec::new), certificates: Arc::new(move || held.clone()) };
        let listen = Listen { address: SocketAddr::from(([127, 0, 0, 1], 0)), token: None, hosts: Vec::new() };
        let serving = runtime().block_on(status::serve(&listen, board.clone(), snapshots)).unwrap();
        board.set_ready(None);
        Self { board, serving }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.serving.address())
    }

    pub(super) fn read(&self, order: &str, domains: &[&str], state: &str, note: Option<&str>) {
        let domains: Vec<Name> = domains.iter().map(|domain| name(domain)).collect();
        self.board.event(&Event::Order { order: &id(order), domains: &domains, state, note });
    }

    pub(super) fn published(&self, order: &str, record: &Record, provider: &str, zone: &str) {
        let (order, zone) = (id(order), name(zone));
        self.board.event(&Event::Published { order: Some(&order), record, provider, zone: &zone, was_there: false });
    }

    pub(super) fn looked(&self, order: &str, round: &Round) {
        let order = Some(&id(order)).cloned();
        let order = order.as_ref();
        if round.visible {
            self.board.event(&Event::Visible { order, round, resolvers: &[] });
        } else {
            self.board.event(&Event::Verdicts { order, round });
        }
    }

    pub(super) fn waits(&self, order: &str, reason: &str) {
        self.board.event(&Event::Waiting { order: &id(order), reason, waited: Duration::from_secs(4) });
    }

    pub(super) fn issued(&self, order: &str) {
        self.board.event(&Event::Issued { order: &id(order), domains: &[] });
    }

    /// The certificate is on disk.
    fn delivered(&self, order: &str, domains: &[&str]) {
        let delivered = Delivered {
            folder: "/var/lib/dv-verify/certificates/api.example.org/0a1b".into(),
            live: "/var/lib/dv-verify/certificates/api.example.org/live".into(),
            names: domains.iter().map(|domain| name(domain)).collect(),
            serial: "0a1b".into(),
            not_after: Timestamp::now(),
            changed: true,
            has_private_key: true,
        };
        let (order, outcome) = (id(order), Outcome::Issued(Box::new(delivered.clone())));
        self.board.event(&Event::Delivered { order: &order, delivered: &delivered });
        self.board.event(&Event::Done { order: &order, outcome: &outcome });
    }

    pub(super) fn done(&self, order: &str) {
        self.board.event(&Event::Done { order: &id(order), outcome: &Outcome::NothingToDo });
    }

    pub(super) fn failed(&self, order: &str, message: &str, hint: &str) {
        let error = Error::new(ErrorKind::Refused, message).with_hint(hint).with_request_id("8A1F6C3E-0000");
        self.board.event(&Event::Failed { order: Some(&id(order)), error: &error });
    }

    /// What the documentation shows: one that failed, one that waits for lagging servers, one that is done.
    pub(super) fn for_the_documentation() -> Self {
        let scene = Self::with_certificates(vec![
            (vec![name("shop.example.net")], 5),
            (vec![name("api.example.org"), name("*.api.example.org")], 24),
            (vec![name("xn--fsqu00a.xn--fiqs8s"), name("www.xn--fsqu00a.xn--fiqs8s")], 81),
        ]);
        let record = txt("_dnsauth.www.xn--fsqu00a.xn--fiqs8s", "202611240000abcdefghijklmnopqrstuvwxyz0123");
        let order = "cas-cn-68n1mm16abcd";
        scene.read(order, &["xn--fsqu00a.xn--fiqs8s", "www.xn--fsqu00a.xn--fiqs8s"], "checking", None);
        scene.published(order, &record, "alidns", "xn--fsqu00a.xn--fiqs8s");
        let servers = [
            ("vip1.alidns.com", "140.205.1.1:53", Verdict::Visible),
            ("vip1.alidns.com", "[2400:3200:2000:19::1]:53", Verdict::Visible),
            ("vip2.alidns.com", "47.118.199.208:53", Verdict::NxDomain),
            ("ns3.example.net", "192.0.2.53:53", Verdict::Unreachable("no answer within 3 s, over UDP and TCP".to_owned())),
        ];
        scene.looked(order, &round(&record, "xn--fsqu00a.xn--fiqs8s", &servers));
        scene.waits(order, "for every name server to show the record");
        let done = txt("_dnsauth.api.example.org", "202611240000zyxwv");
        scene.read("123451222", &["api.example.org", "*.api.example.org"], "checking", None);
        scene.published("123451222", &done, "cloudflare", "example.org");
        scene.looked("123451222", &round(&done, "example.org", &[("ns1.example.org", "192.0.2.1:53", Verdict::Visible)]));
        scene.issued("123451222");
        scene.delivered("123451222", &["api.example.org", "*.api.example.org"]);
        scene.read("cas-cn-99f3kk27wxyz", &["shop.example.net"], "checking", Some("验证失败：CAA 记录不允许签发"));
        let refusal = "the CA refused the order: a CAA record at `example.net` names another CA";
        let hint = "add `0 issue \"digicert.com\"` to the CAA records of `example.net`, then apply anew; `dv-verify explain shop.example.net` shows them";
        scene.failed("cas-cn-99f3kk27wxyz", refusal, hint);
        scene
    }

    /// So many orders in all states.
    pub(super) fn crowd(count: usize) -> Self {
        let names =
            |number: usize| vec![name(&format!("shop-{number}.example.com")), name(&format!("www.shop-{number}.example.com"))];
        let scene =
            Self::with_certificates((0..count / 3).map(|number| (names(number), i64::try_from(number).unwrap())).collect());
        for number in 0..count {
            let order = format!("cas-cn-{number:06}");
            let record = txt(&format!("_dnsauth.shop-{number}.example.com"), &format!("2026{number}"));
            let domains: Vec<String> = names(number).iter().map(ToString::to_string).collect();
            scene.read(&order, &domains.iter().map(String::as_str).collect::<Vec<_>>(), "checking", None);
            scene.published(&order, &record, "cloudflare", "example.com");
            let verdict = if number % 2 == 0 { Verdict::Visible } else { Verdict::Missing };
            let servers = [("ns1.example.com", "192.0.2.1:53", Verdict::Visible), ("ns2.example.com", "192.0.2.2:53", verdict)];
            scene.looked(&order, &round(&record, "example.com", &servers));
            match number % 7 {
                0 => scene.failed(&order, "the CA refused the order: the time for validation is over", "apply anew"),
                1 | 2 => {
                    scene.issued(&order);
                    scene.done(&order);
                }
                _ => scene.waits(&order, "for the CA to look at the record"),
            }
        }
        scene
    }
}
