//! The servers that updates go to: addresses, the exchange over TCP, signing and verifying.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::TSigner,
};
use tokio::{sync::Semaphore, time::Instant};

use super::{connection::Connections, verdict};
use crate::{
    error::{Error, Result, Retry},
    failpoint,
    language::t,
    mutex::locked,
};

/// The port of DNS.
const PORT: u16 = 53;

/// How long one exchange with one address may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(8);

/// So many calls are made at the same time, over all names. Servers take few connections: BIND 150 in all, with a queue of ten.
const AT_ONCE: usize = 16;

/// A server as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    host: String,
    port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads the setting `nameserver`: host, host:port, IPv6 in brackets where a port follows; several by comma.
///
/// # Errors
/// `ErrorKind::Config` for what is neither.
pub(super) fn servers(text: &str) -> Result<Vec<Server>> {
    let servers = text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(server).collect::<Result<Vec<_>>>()?;
    if servers.is_empty() {
        return Err(Error::config(t!("`nameserver` names no server")));
    }
    Ok(servers)
}

fn server(text: &str) -> Result<Server> {
    let refuse = || {
        Error::config(t!("`nameserver`: `%{text}` is neither host nor host:port", text))
            .with_hint(t!("such as `ns1.example.com`, `192.0.2.1:53` or `[2001:db8::1]:53`"))
    };
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Server { host: address.ip().to_string(), port: address.port() });
    }
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(Server { host: address.to_string(), port: PORT });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| refuse())?),
        None => (text, PORT),
    };
    crate::name::Name::parse(host).map_err(|_| refuse())?;
    Ok(Server { host: host.to_owned(), port })
}

/// The primary: its servers, of which the first that answers is used, and the key.
pub(super) struct Primary {
    servers: Vec<Server>,
    signer: Option<TSigner>,
    connections: Connections,
    turns: Semaphore,
    /// When a call last found no server that answers, and what became of each.
    silent: Mutex<Option<(Instant, String)>>,
}

impl fmt::Display for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.servers.iter().map(Server::to_string).collect();
        f.write_str(&t!("name server %{names}", names = names.join(", ")))
    }
}

impl Primary {
    pub(super) fn new(servers: Vec<Server>, signer: Option<TSigner>) -> Self {
        Self { servers, signer, connections: Connections::default(), turns: Semaphore::new(AT_ONCE), silent: Mutex::default() }
    }

    /// Waits until one more call may be made. Where the servers turn out to be silent in the meantime, that is the answer for all who wait.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange) where no server answers.
    pub(super) async fn turn(&self) -> Result<impl Sized> {
        let queued = Instant::now();
        let turn = self.turns.acquire().await;
        match &*locked(&self.silent) {
            Some((when, troubles)) if *when > queued => Err(self.unreachable(troubles)),
            _ => Ok(turn),
        }
    }

    fn unreachable(&self, troubles: &str) -> Error {
        Error::provider(t!("%{server} cannot be reached over TCP: %{troubles}", server = self, troubles)).with_retry(Retry::Later)
    }

    /// Server and key, for errors.
    pub(super) fn describe_signer(&self) -> verdict::Asked {
        let key = self.signer.as_ref().map(|signer| signer.signer_name().to_ascii().trim_end_matches('.').to_owned());
        verdict::Asked { server: self.to_string(), key }
    }

    /// Sends one message to the first server that can be reached, and returns its answer, whose signature was verified.
    ///
    /// # Errors
    /// `ErrorKind::Provider`, worth another try, where no server answers; `ErrorKind::Credentials` where the server rejects the key.
    pub(super) async fn exchange(&self, message: &Message) -> Result<Message> {
        let mut troubles = Vec::new();
        for server in &self.servers {
            let addresses = match tokio::net::lookup_host((server.host.as_str(), server.port)).await {
                Ok(addresses) => addresses.collect(),
                Err(error) => {
                    troubles.push(format!("{server}: {error}"));
                    Vec::new()
                }
            };
            for address in addresses {
                match tokio::time::timeout(EXCHANGE_TIMEOUT, self.exchange_with(address, message.clone())).await {
                    Ok(Ok(answer)) => {
                        *locked(&self.silent) = None;
                        return answer;
                    }
                    Ok(Err(error)) => troubles.push(format!("{address}: {error}")),
                    Err(_) => {
                        troubles.push(t!("%{address}: no answer within %{value} s", address, value = EXCHANGE_TIMEOUT.as_secs()));
                    }
                }
            }
        }
        let troubles = troubles.join("; ");
        let error = self.unreachable(&troubles);
        *locked(&self.silent) = Some((Instant::now(), troubles));
        Err(error)
    }

    /// One exchange. The outer result is the transport's: another address may do better. The inner one is the server's last word.
    async fn exchange_with(&self, address: SocketAddr, mut message: Message) -> io::Result<Result<Message>> {
        // A fresh id and a fresh time for every attempt.
        message.metadata.id = rand::random();
        let now = u64::try_from(failpoint::now().as_second()).unwrap_or_default();
        let invalid = |error: hickory_proto::ProtoError| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
        let verifier = match &self.signer {
            Some(signer) => message.finalize(signer, now).map_err(invalid)?,
            None => None,
        };
        let bytes = message.to_vec().map_err(invalid)?;
        let reply = self.connections.exchange(address, &bytes).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => io::Error::other(t!("the message is longer than 65535 bytes")),
            _ => error,
        })?;
        let answer = Message::from_vec(&reply)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, t!("the answer is no DNS message: %{error}", error)))?;
        if answer.message_type != MessageType::Response || answer.id != message.id {
            return Err(io::Error::new(io::ErrorKind::InvalidData, t!("the answer belongs to another question")));
        }
        let Some(mut verifier) = verifier else { return Ok(self.temporary(answer)) };
        let asked = self.describe_signer();
        let signature = answer.signature().map(|record| &record.data);
        if let Some(error) = signature.and_then(|signature| signature.error) {
            let other = signature.map(|signature| signature.other.clone()).unwrap_or_default();
            return Ok(Err(verdict::of_key(error, answer.response_code, &asked, now, &other)));
        }
        match verifier.verify(&reply) {
            Ok(_) => Ok(self.temporary(answer)),
            // A refusal may come without a signature; success may not.
            Err(_) if answer.response_code == ResponseCode::NotAuth && answer.op_code == OpCode::Query => {
                Ok(Err(verdict::rejected(&asked)))
            }
            Err(_) if answer.response_code != ResponseCode::NoError && answer.response_code != ResponseCode::NXDomain => {
                Ok(self.temporary(answer))
            }
            Err(error) => Ok(Err(verdict::unsigned(&asked, &error.to_string()))),
        }
    }

    /// The answer, but SERVFAIL is an error that is worth another try: zones being loaded or signed give it.
    fn temporary(&self, answer: Message) -> Result<Message> {
        match answer.response_code {
            ResponseCode::ServFail => Err(Error::provider(t!("%{server} answers SERVFAIL", server = self))
                .with_code("SERVFAIL")
                .with_retry(Retry::Later)
                .with_hint(t!("its log says why: a zone that is not loaded, frozen, or whose journal cannot be written"))),
            _ => Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_every_usual_way() {
        let shown = |text: &str| servers(text).unwrap().iter().map(Server::to_string).collect::<Vec<_>>();
        assert_eq!(shown("ns1.example.com"), ["ns1.example.com:53"]);
        assert_eq!(shown("192.0.2.1:5353, ns2.example.com:54,"), ["192.0.2.1:5353", "ns2.example.com:54"]);
        assert_eq!(
            shown("2001:db8::1,[2001:db8::2],[2001:db8::3]:5300"),
            ["[2001:db8::1]:53", "[2001:db8::2]:53", "[2001:db8::3]:5300"]
        );
        for text in ["", ",", "host:port", "a b", "ns1.example.com:70000", "https://ns1.example.com"] {
            assert!(servers(text).is_err(), "{text}");
        }
    }
}
