//! DNS on loopback: three authoritative servers and a recursive resolver, over UDP and TCP.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};

use self::answer::Answer;
use super::{counter::Counter, zone::Zones};

mod answer;
pub(super) mod authority;
pub(super) mod recursive;
mod tsig;
mod update;

/// The largest datagram that is sent, in bytes, whatever the other side says it can take (DNS flag day 2020).
const LARGEST_DATAGRAM: u16 = 1232;

/// The size of a datagram where the other side says nothing (RFC 1035 section 2.3.4).
const CLASSIC_DATAGRAM: u16 = 512;

/// How long an idle TCP connection stays open.
const IDLE: Duration = Duration::from_secs(10);

/// How many ports are tried until one is free at all addresses.
const PORT_TRIES: usize = 50;

/// The zones as all servers share them.
pub(super) type SharedZones = Arc<Mutex<Zones>>;

/// The transport that a message came by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

impl Limit {
    /// How long the reply to `request` may be, in bytes.
    fn bytes(self, request: &Message) -> usize {
        match self {
            Self::Udp => {
                request.edns.as_ref().map_or(CLASSIC_DATAGRAM, Edns::max_payload).clamp(CLASSIC_DATAGRAM, LARGEST_DATAGRAM).into()
            }
            Self::Tcp => u16::MAX.into(),
        }
    }
}

/// What answers messages.
pub(super) trait Responder: Send + Sync + 'static {
    /// The reply to one message; `None`: silence.
    fn respond(&self, request: &[u8], limit: Limit) -> Option<Vec<u8>>;

    /// Whether TCP connections are served, or closed at once.
    fn accepts_connections(&self) -> bool {
        true
    }
}

/// The sockets of one server: UDP and TCP at one address.
pub(super) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Sockets at one free port of 127.0.0.1.
    pub(super) async fn one() -> io::Result<Self> {
        Ok(Self::at_one_port(&[Ipv4Addr::LOCALHOST]).await?.remove(0))
    }

    /// Sockets for three servers: at the same port of 127.0.0.1, 127.0.0.2 and 127.0.0.3, or, where a system has only the first
    /// of these addresses, at three ports of it.
    pub(super) async fn three() -> io::Result<Vec<Self>> {
        let addresses = [1, 2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
        match Self::at_one_port(&addresses).await {
            Ok(sockets) => Ok(sockets),
            Err(_) => Ok(vec![Self::one().await?, Self::one().await?, Self::one().await?]),
        }
    }

    /// Sockets at this address.
    pub(super) async fn at(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { udp: UdpSocket::bind(address).await?, tcp: TcpListener::bind(address).await? })
    }

    /// Where these sockets listen.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Serves until the task is aborted.
    pub(super) fn serve(self, responder: Arc<dyn Responder>, tasks: &mut JoinSet<()>) {
        tasks.spawn(serve_datagrams(self.udp, Arc::clone(&responder)));
        tasks.spawn(serve_connections(self.tcp, responder));
    }

    async fn at_one_port(addresses: &[Ipv4Addr]) -> io::Result<Vec<Self>> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PORT_TRIES {
            match Self::try_one_port(addresses).await {
                Ok(sockets) => return Ok(sockets),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn try_one_port(addresses: &[Ipv4Addr]) -> io::Result<Vec<Self>> {
        let mut sockets: Vec<Self> = Vec::new();
        let mut port = 0;
        for address in addresses {
            let udp = UdpSocket::bind((IpAddr::V4(*address), port)).await?;
            port = udp.local_addr()?.port();
            let tcp = TcpListener::bind((IpAddr::V4(*address), port)).await?;
            sockets.push(Self { udp, tcp });
        }
        Ok(sockets)
    }
}

async fn serve_datagrams(socket: UdpSocket, responder: Arc<dyn Responder>) {
    let mut buffer = [0; 4096];
    loop {
        // An error here belongs to an earlier datagram (ICMP), not to the socket.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(reply) = responder.respond(&buffer[..length], Limit::Udp) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

async fn serve_connections(listener: TcpListener, responder: Arc<dyn Responder>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if responder.accepts_connections() => {
                    connections.spawn(serve_connection(stream, Arc::clone(&responder)));
                }
                Ok(_) => {}
                // Out of file descriptors, most likely: give others a moment to close theirs.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(mut stream: TcpStream, responder: Arc<dyn Responder>) {
    while let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await {
        let mut request = vec![0; length.into()];
        if !matches!(timeout(IDLE, stream.read_exact(&mut request)).await, Ok(Ok(_))) {
            return;
        }
        let Some(reply) = responder.respond(&request, Limit::Tcp) else { return };
        let Ok(length) = u16::try_from(reply.len()) else { return };
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

/// An empty reply to a message: same identity, same question, EDNS where the other side has it.
fn reply_to(request: &Message) -> Message {
    let mut reply = Message::new(request.id, MessageType::Response, request.op_code);
    reply.metadata.recursion_desired = request.recursion_desired;
    reply.add_queries(request.queries.iter().cloned());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_DATAGRAM);
        reply.set_edns(edns);
    }
    reply
}

/// Puts an answer into a reply.
fn fill(reply: &mut Message, answer: Answer) {
    reply.metadata.response_code = answer.code;
    reply.metadata.authoritative = answer.authoritative;
    reply.add_answers(answer.answers);
    reply.add_authorities(answer.authorities);
    reply.add_additionals(answer.additionals);
}

/// The bytes of a reply; where they are more than `limit`, those of a reply that says "ask again over TCP".
fn encode(reply: &Message, limit: usize) -> Option<Vec<u8>> {
    let bytes = reply.to_vec().ok()?;
    if bytes.len() <= limit { Some(bytes) } else { truncated(reply) }
}

/// The bytes of a reply that says "ask again over TCP".
fn truncated(reply: &Message) -> Option<Vec<u8>> {
    reply.truncate().to_vec().ok()
}

/// The reply to what is not a DNS message; `None` where there is not even a header to answer to.
fn format_error(request: &[u8]) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes([*request.first()?, *request.get(1)?]);
    let is_question = request.get(2)? & 0x80 == 0;
    if request.len() < 12 || !is_question {
        return None;
    }
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}

/// A question as the counters show it: `_dnsauth.example.com TXT`.
fn question_text(question: &Query) -> String {
    format!("{} {}", crate::name::Name::from_wire(question.name()), question.query_type())
}

#[cfg(test)]
mod tests;
