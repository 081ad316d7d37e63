//! DNS over TLS and over HTTPS: connections that are kept, opened again when they are gone, and bounded in time.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use hickory_net::{DnsHandle, h2::HttpsClientStream, runtime::TokioRuntimeProvider, tls, xfer::DnsExchange};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, Message};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::time::{Instant, timeout_at};

use super::ResolverAddress;
use crate::mutex::locked;
use crate::propagation::{
    message::{Manners, Question, Reading, encode, read},
    text::span,
    verdict::Verdict,
};

use crate::language::t;

/// The connections to all resolvers that are spoken to in private.
pub(crate) struct Encrypted {
    tls: Option<Arc<ClientConfig>>,
    /// Owns the tasks of all connections: they end with it.
    runtime: TokioRuntimeProvider,
    open: Mutex<HashMap<ResolverAddress, DnsExchange<TokioRuntimeProvider>>>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").finish_non_exhaustive()
    }
}

impl Encrypted {
    /// `tls`: whom to trust; `None`: the CAs that the system trusts.
    pub(crate) fn new(tls: Option<Arc<ClientConfig>>) -> Self {
        Self { tls, runtime: TokioRuntimeProvider::new(), open: Mutex::default() }
    }

    /// One question, within `patience` in all: connecting, TLS, and a second connection where the first one had gone.
    pub(crate) async fn ask(
        &self,
        resolver: &ResolverAddress,
        question: &Question,
        patience: Duration,
    ) -> Result<Message, Verdict> {
        let deadline = Instant::now() + patience;
        let late = |_| Verdict::Unreachable(t!("no answer within %{patience}", patience = span(patience)));
        let kept = self.lock().get(resolver).cloned();
        if let Some(exchange) = kept {
            match timeout_at(deadline, send(&exchange, question)).await.map_err(late)? {
                Err(Verdict::Unreachable(_)) => drop(self.lock().remove(resolver)),
                answered => return answered,
            }
        }
        let opened = async {
            let exchange = self.connect(resolver, patience).await.map_err(Verdict::Unreachable)?;
            self.lock().insert(resolver.clone(), exchange.clone());
            send(&exchange, question).await
        };
        timeout_at(deadline, opened).await.map_err(late)?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ResolverAddress, DnsExchange<TokioRuntimeProvider>>> {
        locked(&self.open)
    }

    /// The error is a fragment for people.
    async fn connect(&self, resolver: &ResolverAddress, patience: Duration) -> Result<DnsExchange<TokioRuntimeProvider>, String> {
        let config = match &self.tls {
            Some(config) => ClientConfig::clone(config),
            None => tls::client_config().map_err(|error| t!("the system's CA certificates cannot be used: %{error}", error))?,
        };
        match resolver {
            ResolverAddress::Plain(address) => Err(t!("%{address} is asked in the clear", address)),
            ResolverAddress::Tls { host, port, server_name } => {
                let certified = ServerName::try_from(server_name.clone())
                    .map_err(|_| t!("`%{server_name}` is no name that a certificate can have", server_name))?;
                let address = first_address(host, *port).await?;
                tls::tls_exchange(address, certified, config, patience, None, self.runtime.clone()).await.map_err(|error| {
                    t!("no TLS connection to %{address} as %{server_name}: %{error}", address, server_name, error)
                })
            }
            ResolverAddress::Https { host, port, path } => {
                let address = first_address(host, *port).await?;
                let mut config = config;
                config.alpn_protocols = vec![b"h2".to_vec()];
                HttpsClientStream::builder(Arc::new(config), self.runtime.clone())
                    .exchange(address, Arc::from(host.as_str()), Arc::from(path.as_str()))
                    .await
                    .map_err(|error| t!("no HTTPS connection to %{address} as %{host}: %{error}", address, host, error))
            }
        }
    }
}

/// An address literal as it is; a host name as the system resolves it.
async fn first_address(host: &str, port: u16) -> Result<SocketAddr, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let mut found =
        tokio::net::lookup_host((host, port)).await.map_err(|error| t!("%{host} has no address here: %{error}", host, error))?;
    found.next().ok_or_else(|| t!("%{host} has no address here", host))
}

async fn send(exchange: &DnsExchange<TokioRuntimeProvider>, question: &Question) -> Result<Message, Verdict> {
    // The same bytes as over UDP, so that one reader judges all answers. A resolver in private needs no cookie of ours, but
    // answers with none either, which the reader takes.
    let manners = Manners::unknown();
    let id = rand::random::<u16>();
    let packet = encode(question, id, &manners).map_err(Verdict::Unreachable)?;
    let message = Message::from_vec(&packet).map_err(|error| Verdict::Unreachable(error.to_string()))?;
    let mut answers = exchange.send(DnsRequest::new(message, DnsRequestOptions::default()));
    let answer = match answers.next().await {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => return Err(Verdict::Unreachable(error.to_string())),
        None => return Err(Verdict::Unreachable(t!("the connection was closed").to_owned())),
    };
    let packet = answer.as_buffer().to_vec();
    // Over HTTPS the id is 0 (RFC 8484 section 4.1).
    match read(&packet, &[id, answer.metadata.id], question, &manners) {
        Reading::Answer(message) => Ok(*message),
        Reading::Foreign(what) | Reading::Broken(what) => Err(Verdict::Mismatched(what)),
    }
}
