//! What outsiders reach: opened, served, closed, and opened again at the same addresses.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::{
    Addresses, cas, cloudflare, control,
    dns::{Responder, Sockets, authority::Authority, authority::Door},
    faults::Service,
    powerdns,
    web::{self, Handler},
    website,
    world::World,
};
use crate::error::{Error, ErrorKind, Result};

/// How often an address that was ours a moment ago is tried.
const TRIES: u32 = 50;

/// All public sockets, bound and not served yet.
pub(super) struct Doors {
    authorities: Vec<Sockets>,
    resolver: Sockets,
    cas: TcpListener,
    provider: TcpListener,
    control: TcpListener,
    web: TcpListener,
}

impl Doors {
    /// At free ports.
    pub(super) async fn open() -> Result<Self> {
        let (authorities, resolver) = (bound(Sockets::three().await)?, bound(Sockets::one().await)?);
        Ok(Self {
            authorities,
            resolver,
            cas: web::listen().await?,
            provider: web::listen().await?,
            control: web::listen().await?,
            web: web::listen().await?,
        })
    }

    /// At the addresses of before.
    pub(super) async fn reopen(addresses: &Addresses) -> Result<Self> {
        let listener = async |url: &Url| -> Result<TcpListener> {
            let address = bound(url.socket_addrs(|| None))?.first().copied();
            let address = address.ok_or_else(|| Error::new(ErrorKind::Unexpected, "an address of the sandbox is no address"))?;
            bound(patiently(async || TcpListener::bind(address).await).await)
        };
        let sockets = async |address: SocketAddr| bound(patiently(async || Sockets::at(address).await).await);
        let mut authorities = Vec::new();
        for address in &addresses.authorities {
            authorities.push(sockets(*address).await?);
        }
        Ok(Self {
            authorities,
            resolver: sockets(addresses.resolver).await?,
            cas: listener(&addresses.cas).await?,
            provider: listener(&addresses.cloudflare).await?,
            control: listener(&addresses.control).await?,
            web: listener(&addresses.web).await?,
        })
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> Result<Addresses> {
        let url = |listener: &TcpListener, path| url(bound(listener.local_addr())?, path);
        Ok(Addresses {
            cas: url(&self.cas, "/")?,
            cloudflare: url(&self.provider, "/client/v4")?,
            powerdns: url(&self.provider, "/")?,
            control: url(&self.control, "/")?,
            web: url(&self.web, "/")?,
            authorities: self.authorities.iter().map(|sockets| bound(sockets.address())).collect::<Result<_>>()?,
            resolver: bound(self.resolver.address())?,
        })
    }

    /// Begins to serve.
    pub(super) fn serve(self, world: &Arc<World>) -> Serving {
        let stop = CancellationToken::new();
        let (mut datagrams, mut requests) = (JoinSet::new(), JoinSet::new());
        serve_authorities(self.authorities, &world.authorities, true, &mut datagrams);
        self.resolver.serve(Arc::clone(&world.resolver) as Arc<dyn Responder>, &mut datagrams);
        let services: [(_, Option<Service>, Handler); 4] = [
            (self.cas, Some(Service::Cas), cas::handle),
            (self.provider, Some(Service::Provider), provider_api),
            (self.control, None, control::handle),
            (self.web, Some(Service::Web), website::handle),
        ];
        for (listener, service, handler) in services {
            requests.spawn(web::serve(listener, Arc::clone(world), service, handler, stop.clone()));
        }
        Serving { stop: stop.drop_guard(), datagrams, requests }
    }
}

/// Public servers at work. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Serving {
    stop: DropGuard,
    datagrams: JoinSet<()>,
    requests: JoinSet<()>,
}

impl Serving {
    /// Ends them, and returns once every socket is closed.
    pub(super) async fn end(mut self) {
        drop(self.stop);
        self.datagrams.shutdown().await;
        while self.requests.join_next().await.is_some() {}
    }
}

/// Serves authorities until the tasks are aborted.
pub(super) fn serve_authorities(sockets: Vec<Sockets>, authorities: &[Arc<Authority>], counted: bool, tasks: &mut JoinSet<()>) {
    for (sockets, authority) in sockets.into_iter().zip(authorities) {
        sockets.serve(Arc::new(Door { authority: Arc::clone(authority), counted }), tasks);
    }
}

/// The provider speaks two dialects: one record for each value (Cloudflare's), and whole sets (PowerDNS's).
fn provider_api(world: &World, received: &web::Received) -> axum::response::Response {
    if powerdns::speaks(received) { powerdns::handle(world, received) } else { cloudflare::handle(world, received) }
}

/// Tries until it works: the system may need a moment to give a port free.
async fn patiently<T>(attempt: impl AsyncFn() -> std::io::Result<T>) -> std::io::Result<T> {
    let mut outcome = attempt().await;
    for _ in 0..TRIES {
        if outcome.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        outcome = attempt().await;
    }
    outcome
}

/// An error where loopback cannot be bound.
pub(super) fn bound<T>(outcome: std::io::Result<T>) -> Result<T> {
    outcome.map_err(|error| Error::new(ErrorKind::Unexpected, "the sandbox cannot listen on loopback").with_source(error))
}

fn url(address: SocketAddr, path: &str) -> Result<Url> {
    Url::parse(&format!("http://{address}{path}"))
        .map_err(|error| Error::new(ErrorKind::Unexpected, "the sandbox's own address is no URL").with_source(error))
}
