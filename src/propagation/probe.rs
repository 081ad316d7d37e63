//! One question to one address: UDP, and TCP where UDP truncates, fails or is slow. Never longer than its time-out says.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use hickory_proto::op::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{
    message::{Manners, Question, Reading, encode, read},
    text::span,
    verdict::{Verdict, response_word},
};

use crate::language::t;
use crate::mutex::locked;

/// An answer, and how long it took from the sending of its question.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The answer.
    pub(crate) message: Message,
    /// The round trip; over TCP with the handshake.
    pub(crate) round_trip: Duration,
    /// Whether it came over TCP while UDP was silent.
    udp_was_silent: bool,
}

/// Room for a UDP answer: servers that disregard our 1232 bytes are heard too.
const DATAGRAM: usize = 8192;
/// How often one question is put in another manner (without EDNS, with a cookie, over TCP) before its answer is taken as it is.
const MANNERS_TRIED: usize = 4;

/// Asks `address`. `patience` is the limit for each transport; TCP begins after a third of it, or as soon as UDP fails.
///
/// What the server teaches (no EDNS, its cookie) is kept in `manners`. The error is a failed verdict.
pub(crate) async fn ask(
    address: SocketAddr,
    question: &Question,
    manners: &Mutex<Manners>,
    patience: Duration,
) -> Result<Reply, Verdict> {
    let mut current = locked(manners).clone();
    let mut over_tcp = false;
    let mut tries = 0;
    loop {
        let reply = exchange(address, question, &current, over_tcp, patience).await?;
        tries += 1;
        let code = response_word(reply.message.metadata.response_code);
        let complains_of_edns = matches!(code.as_str(), "FORMERR" | "NOTIMP" | "BADVERS");
        if tries < MANNERS_TRIED && code == "BADCOOKIE" {
            // The second BADCOOKIE in a row: TCP proves our address without cookies (RFC 7873 section 5.3).
            over_tcp |= !current.learn_cookie(&reply.message);
            continue;
        }
        if tries < MANNERS_TRIED && complains_of_edns && current.edns {
            current.edns = false;
            continue;
        }
        current.learn_cookie(&reply.message);
        current.udp_is_lost = reply.udp_was_silent;
        if !complains_of_edns {
            *locked(manners) = current;
        }
        return Ok(reply);
    }
}

/// How UDP ended without an answer that can be used.
enum UdpEnd {
    Truncated,
    Foreign(String),
    Broken(String),
    Failed(String),
}

/// How TCP ended without an answer.
enum TcpEnd {
    Foreign(String),
    Failed(String),
}

/// One question in one manner. The first usable answer of the two transports counts.
async fn exchange(
    address: SocketAddr,
    question: &Question,
    manners: &Manners,
    over_tcp: bool,
    patience: Duration,
) -> Result<Reply, Verdict> {
    let hurry = Notify::new();
    let udp = async {
        let end = if over_tcp {
            Err(UdpEnd::Failed(t!("not asked over UDP").to_owned()))
        } else {
            over_udp(address, question, manners, patience).await
        };
        hurry.notify_one();
        end
    };
    let tcp = async {
        tokio::select! {
            () = hurry.notified() => {}
            () = sleep(if manners.udp_is_lost { Duration::ZERO } else { patience / 3 }) => {}
        }
        match timeout(patience, over_tcp_once(address, question, manners)).await {
            Ok(end) => end,
            Err(_) => Err(TcpEnd::Failed(t!("no answer within %{patience}", patience = span(patience)))),
        }
    };
    tokio::pin!(udp, tcp);
    let (mut udp_end, mut tcp_end) = (None, None);
    loop {
        tokio::select! {
            biased;
            outcome = &mut udp, if udp_end.is_none() => match outcome {
                Ok(reply) if reply.message.metadata.truncation => udp_end = Some(UdpEnd::Truncated),
                Ok(reply) => return Ok(reply),
                Err(end) => udp_end = Some(end),
            },
            outcome = &mut tcp, if tcp_end.is_none() => match outcome {
                Ok(reply) => return Ok(Reply { udp_was_silent: udp_end.is_none(), ..reply }),
                Err(end) => tcp_end = Some(end),
            },
        }
        if let (Some(udp), Some(tcp)) = (&udp_end, &tcp_end) {
            return Err(failure(udp, tcp));
        }
    }
}

fn failure(udp: &UdpEnd, tcp: &TcpEnd) -> Verdict {
    let over_tcp = match tcp {
        TcpEnd::Foreign(what) | TcpEnd::Failed(what) => what,
    };
    match (udp, tcp) {
        (UdpEnd::Truncated, _) => Verdict::Truncated(over_tcp.clone()),
        (UdpEnd::Foreign(what) | UdpEnd::Broken(what), _) => Verdict::Mismatched(format!("UDP: {what}; TCP: {over_tcp}")),
        (UdpEnd::Failed(why), TcpEnd::Foreign(_)) => Verdict::Mismatched(format!("UDP: {why}; TCP: {over_tcp}")),
        (UdpEnd::Failed(why), TcpEnd::Failed(_)) => Verdict::Unreachable(format!("UDP: {why}; TCP: {over_tcp}")),
    }
}

/// Over UDP, sent again after a third of the time, then without EDNS, as some networks drop what they do not know.
async fn over_udp(address: SocketAddr, question: &Question, manners: &Manners, patience: Duration) -> Result<Reply, UdpEnd> {
    let mut foreign = None;
    let waiting = async {
        let socket = connected(address).await.map_err(|error| UdpEnd::Failed(io_reason(&error)))?;
        let (first, second) = (rand::random::<u16>(), rand::random::<u16>());
        let packet = encode(question, first, manners).map_err(UdpEnd::Failed)?;
        let begun = Instant::now();
        socket.send(&packet).await.map_err(|error| UdpEnd::Failed(io_reason(&error)))?;
        let mut again = Some(begun + patience / 3);
        let mut room = vec![0; DATAGRAM];
        loop {
            let length = tokio::select! {
                received = socket.recv(&mut room) => received.map_err(|error| UdpEnd::Failed(io_reason(&error)))?,
                () = at(again), if again.is_some() => {
                    again = None;
                    let plain = Manners { edns: false, ..manners.clone() };
                    let packet = encode(question, second, &plain).map_err(UdpEnd::Failed)?;
                    socket.send(&packet).await.map_err(|error| UdpEnd::Failed(io_reason(&error)))?;
                    continue;
                }
            };
            match read(&room[..length], &[first, second], question, manners) {
                Reading::Answer(message) => {
                    return Ok(Reply { message: *message, round_trip: begun.elapsed(), udp_was_silent: false });
                }
                Reading::Broken(what) => return Err(UdpEnd::Broken(what)),
                // A forger's packet must not end the wait for the true one.
                Reading::Foreign(what) => foreign = Some(what),
            }
        }
    };
    match timeout(patience, waiting).await {
        Ok(end) => end,
        Err(_) => Err(match foreign {
            Some(what) => UdpEnd::Foreign(what),
            None => UdpEnd::Failed(t!("no answer within %{patience}", patience = span(patience))),
        }),
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn over_tcp_once(address: SocketAddr, question: &Question, manners: &Manners) -> Result<Reply, TcpEnd> {
    let failed = |error: io::Error| TcpEnd::Failed(io_reason(&error));
    let id = rand::random::<u16>();
    let packet = encode(question, id, manners).map_err(TcpEnd::Failed)?;
    let length = u16::try_from(packet.len()).map_err(|_| TcpEnd::Failed(t!("the question is too long").to_owned()))?;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    // Length and message in one segment (RFC 7766 section 8).
    stream.write_all(&[&length.to_be_bytes()[..], &packet].concat()).await.map_err(failed)?;
    let length = stream.read_u16().await.map_err(failed)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(failed)?;
    match read(&answer, &[id], question, manners) {
        Reading::Answer(message) => Ok(Reply { message: *message, round_trip: begun.elapsed(), udp_was_silent: false }),
        Reading::Foreign(what) | Reading::Broken(what) => Err(TcpEnd::Foreign(what)),
    }
}

/// A UDP socket that hears this address only, and its "port unreachable". Port and id are random for every question.
async fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Whether this host has a route to the address. Sends nothing: a UDP socket that connects only looks into the routing table.
pub(crate) async fn has_route(address: SocketAddr) -> bool {
    match connected(address).await {
        Ok(_) => true,
        Err(error) => {
            !matches!(
                error.kind(),
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::AddrNotAvailable
            ) && error.raw_os_error() != Some(ADDRESS_FAMILY_UNSUPPORTED)
        }
    }
}

/// `EAFNOSUPPORT` on Linux: the kernel was built or booted without IPv6.
const ADDRESS_FAMILY_UNSUPPORTED: i32 = 97;

fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => t!("the port is closed").to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            t!("the connection was closed before the answer was whole").to_owned()
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::AddrNotAvailable => {
            t!("no route to the address").to_owned()
        }
        _ => error.to_string(),
    }
}
