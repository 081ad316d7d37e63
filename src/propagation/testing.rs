//! A scripted DNS server on loopback, UDP and TCP on one port: says whatever a test wants, and remembers what it was asked.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, ResponseCode},
    rr::{
        RData, Record as WireRecord, RecordType as WireType,
        rdata::{A, AAAA, CNAME, NS, SOA, TXT},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{Options, Propagation};
use crate::{
    name::Name,
    record::{Record, RecordType},
};

/// One question that came in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) name: Name,
    pub(crate) record_type: WireType,
    pub(crate) over_tcp: bool,
    pub(crate) message: Message,
    /// How many questions came before.
    pub(crate) before: usize,
}

/// What a server does about a question, in order.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends these bytes; over TCP with their length in front.
    Send(Vec<u8>),
    /// Pauses.
    Pause(Duration),
    /// TCP: sends a length and nothing more.
    LengthOnly(u16),
    /// TCP: keeps the connection open and says nothing.
    Hang,
}

type Script = Box<dyn FnMut(&Asked) -> Vec<Act> + Send>;

/// A running server; stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

struct Shared {
    script: Mutex<Script>,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Shared {
    fn acts(&self, packet: &[u8], over_tcp: bool) -> Vec<Act> {
        let Ok(message) = Message::from_vec(packet) else { return Vec::new() };
        let mut log = self.log.lock().unwrap();
        let query = &message.queries[0];
        let asked = Asked {
            at: Instant::now(),
            name: Name::from_wire(&query.name),
            record_type: query.query_type,
            over_tcp,
            before: log.len(),
            message: message.clone(),
        };
        log.push(asked.clone());
        drop(log);
        self.script.lock().unwrap()(&asked)
    }
}

impl Server {
    /// Starts on 127.0.0.1, any port.
    pub(crate) async fn start(script: impl FnMut(&Asked) -> Vec<Act> + Send + 'static) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), true, script).await
    }

    /// Starts on this address; port 0 is any. Without `tcp` the TCP port is closed.
    pub(crate) async fn start_at(
        address: SocketAddr,
        tcp: bool,
        script: impl FnMut(&Asked) -> Vec<Act> + Send + 'static,
    ) -> Self {
        let (udp, listener) = loop {
            let udp = UdpSocket::bind(address).await.unwrap();
            // The same port may be taken for TCP: then another one.
            match TcpListener::bind(udp.local_addr().unwrap()).await {
                Ok(listener) => break (udp, listener),
                Err(error) if address.port() != 0 => panic!("{address}: {error}"),
                Err(_) => {}
            }
        };
        let address = udp.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new(Shared { script: Mutex::new(Box::new(script)), log: Arc::clone(&log) });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&shared)));
        if tcp {
            tasks.spawn(serve_tcp(listener, shared));
        }
        Self { address, log, _tasks: tasks }
    }

    /// All questions so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// The questions so far as `name TYPE`.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.asked().iter().map(|asked| format!("{} {}", asked.name, asked.record_type)).collect()
    }
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut answering = JoinSet::new();
    let mut room = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut room).await {
        let acts = shared.acts(&room[..length], false);
        let socket = Arc::clone(&socket);
        answering.spawn(async move {
            for act in acts {
                match act {
                    Act::Send(bytes) => drop(socket.send_to(&bytes, from).await),
                    Act::Pause(pause) => sleep(pause).await,
                    Act::LengthOnly(_) | Act::Hang => {}
                }
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut answering = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        answering.spawn(serve_connection(stream, Arc::clone(&shared)));
    }
}

async fn serve_connection(mut stream: TcpStream, shared: Arc<Shared>) {
    let Ok(length) = stream.read_u16().await else { return };
    let mut packet = vec![0; usize::from(length)];
    if stream.read_exact(&mut packet).await.is_err() {
        return;
    }
    for act in shared.acts(&packet, true) {
        match act {
            Act::Send(bytes) => {
                let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
                if stream.write_all(&[&length[..], &bytes].concat()).await.is_err() {
                    return;
                }
            }
            Act::Pause(pause) => sleep(pause).await,
            Act::LengthOnly(length) => drop(stream.write_u16(length).await),
            Act::Hang => std::future::pending().await,
        }
    }
}

/// An empty authoritative answer to the question.
pub(crate) fn answer(asked: &Asked) -> Message {
    let mut answer = Message::new(asked.message.metadata.id, MessageType::Response, asked.message.metadata.op_code);
    answer.metadata.authoritative = true;
    answer.add_queries(asked.message.queries.clone());
    if asked.message.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        answer.set_edns(edns);
    }
    answer
}

/// The message as the only act.
pub(crate) fn send(message: &Message) -> Vec<Act> {
    vec![Act::Send(message.to_vec().unwrap())]
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn txt(value: &str) -> RData {
    RData::TXT(TXT::new(vec![value.to_owned()]))
}

pub(crate) fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(name(target).to_wire()))
}

pub(crate) fn entry(owner: &Name, data: RData) -> WireRecord {
    WireRecord::from_rdata(owner.to_wire(), 60, data)
}

pub(crate) fn soa(zone: &Name) -> WireRecord {
    let host = name("hostmaster.test").to_wire();
    WireRecord::from_rdata(zone.to_wire(), 600, RData::SOA(SOA::new(zone.to_wire(), host, 7, 1, 1, 1, 45)))
}

pub(crate) fn record(owner: &str, value: &str) -> Record {
    Record { name: name(owner), record_type: RecordType::Txt, value: value.to_owned() }
}

/// What a well-behaved server holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zone {
    apex: String,
    records: Vec<(String, RData)>,
    /// Child, name server, its address as glue.
    delegated: Vec<(String, String, Option<IpAddr>)>,
}

impl Zone {
    pub(crate) fn new(apex: &str) -> Self {
        Self { apex: apex.to_owned(), ..Self::default() }
    }

    pub(crate) fn with(mut self, owner: &str, data: RData) -> Self {
        self.records.push((owner.to_owned(), data));
        self
    }

    pub(crate) fn ns(self, server: &str) -> Self {
        let apex = self.apex.clone();
        self.with(&apex, RData::NS(NS(name(server).to_wire())))
    }

    pub(crate) fn address(self, owner: &str, address: &str) -> Self {
        let data = match address.parse().unwrap() {
            IpAddr::V4(four) => RData::A(A(four)),
            IpAddr::V6(six) => RData::AAAA(AAAA(six)),
        };
        self.with(owner, data)
    }

    pub(crate) fn delegating(mut self, child: &str, server: &str, glue: Option<&str>) -> Self {
        self.delegated.push((child.to_owned(), server.to_owned(), glue.map(|address| address.parse().unwrap())));
        self
    }

    /// As RFC 1034 section 4.3.2 says, wildcards included.
    pub(crate) fn answer(&self, asked: &Asked) -> Message {
        let apex = name(&self.apex);
        let mut message = answer(asked);
        if !asked.name.is_within(&apex) {
            message.metadata.authoritative = false;
            message.metadata.response_code = ResponseCode::Refused;
            return message;
        }
        let cuts: Vec<_> = self.delegated.iter().filter(|(child, ..)| asked.name.is_within(&name(child))).collect();
        if !cuts.is_empty() {
            message.metadata.authoritative = false;
            for (child, server, glue) in cuts {
                message.add_authority(entry(&name(child), RData::NS(NS(name(server).to_wire()))));
                if let Some(IpAddr::V4(four)) = glue {
                    message.add_additional(entry(&name(server), RData::A(A(*four))));
                }
            }
            return message;
        }
        let at = |owner: &Name| self.records.iter().filter(|(held, _)| name(held) == *owner).collect::<Vec<_>>();
        let mut held = at(&asked.name);
        let exists = asked.name == apex || self.records.iter().any(|(held, _)| name(held).is_within(&asked.name));
        if !exists
            && let Some(wildcard) =
                asked.name.ancestors().skip(1).find_map(|above| above.below("*").ok().filter(|w| !at(w).is_empty()))
        {
            held = at(&wildcard);
        }
        for (_, data) in &held {
            if data.record_type() == asked.record_type || data.record_type() == WireType::CNAME {
                message.add_answer(entry(&asked.name, data.clone()));
            }
        }
        if asked.record_type == WireType::SOA && asked.name == apex {
            message.add_answer(soa(&apex));
        }
        if message.answers.is_empty() {
            message.add_authority(soa(&apex));
            if !exists && held.is_empty() {
                message.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        message
    }
}

/// A server that holds these zones and answers from the deepest that fits.
pub(crate) fn holding(zones: Vec<Zone>) -> impl FnMut(&Asked) -> Vec<Act> + Send + 'static {
    move |asked| {
        let zone = zones.iter().filter(|zone| asked.name.is_within(&name(&zone.apex))).max_by_key(|zone| zone.apex.len());
        if let Some(zone) = zone {
            return send(&zone.answer(asked));
        }
        let mut refused = answer(asked);
        refused.metadata.authoritative = false;
        refused.metadata.response_code = ResponseCode::Refused;
        send(&refused)
    }
}

/// A recursive resolver that knows these records and denies all others.
pub(crate) fn resolving(zones: Vec<Zone>) -> impl FnMut(&Asked) -> Vec<Act> + Send + 'static {
    move |asked| {
        let mut message = answer(asked);
        for zone in &zones {
            let found = zone.answer(asked);
            if found.metadata.response_code == ResponseCode::NoError && !found.answers.is_empty() {
                message.answers = found.answers;
                break;
            }
        }
        message.metadata.authoritative = false;
        message.metadata.recursion_available = true;
        if message.answers.is_empty() {
            message.metadata.response_code = ResponseCode::NXDomain;
            message.add_authority(soa(&name("test")));
        }
        send(&message)
    }
}

/// Enough for a loaded machine, and short enough for tests of dead servers.
pub(crate) const PATIENCE: Duration = Duration::from_millis(600);

/// Stated authorities for the zone `example.test`, and no resolver.
pub(crate) fn stated(servers: &[&Server]) -> Options {
    let addresses = servers.iter().map(|server| server.address).collect();
    Options {
        // Port 9 of loopback is closed: nobody may need a resolver where authorities are stated.
        resolver: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9))),
        stated: vec![(name("example.test"), addresses)],
        query_timeout: PATIENCE,
        ..Options::default()
    }
}

pub(crate) fn propagation(options: Options) -> Propagation {
    Propagation::new(options).unwrap()
}
