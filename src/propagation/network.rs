//! What the network here does to DNS: an interceptor that answers for every address, or a blocked port 53. Either makes it impossible
//! to ask the zone's own servers, so nothing is visible then, whatever the answers say.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex as StdMutex},
    time::Duration,
};

use futures_util::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};
use hickory_proto::{op::ResponseCode, rr::RecordType as WireType};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout_at},
};

use super::{
    message::{Checking, Question},
    probe::has_route,
    resolvers::ResolverAddress,
    shared::Shared,
    verdict::Verdict,
};
use crate::{language::t, mutex::locked, name::Name};

/// Addresses for documentation (RFC 5737, RFC 3849), where no server can be: whatever answers from there intercepts DNS.
pub const NO_SERVERS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 53),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53)), 53),
];

/// How long a network in which nothing intercepts is believed to be one.
const CALM: Duration = Duration::from_mins(10);
/// How soon an interceptor is looked for again.
const AGAIN: Duration = Duration::from_secs(10);
/// An interceptor is at least so much nearer than twice the slowest server that answered.
const GRACE: Duration = Duration::from_millis(50);

/// Why the servers of a zone cannot be asked from here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Network {
    /// Something answers for every address: even this one, where no server is, gave an answer.
    Intercepted(IpAddr),
    /// No server of the zone answers, nor any public resolver, yet this resolver over HTTPS knows the zone.
    Blocked(String),
}

impl Network {
    /// One word for events: `intercepted` or `blocked`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Intercepted(_) => "intercepted",
            Self::Blocked(_) => "blocked",
        }
    }
}

/// One sentence without its full stop, in lower case.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intercepted(address) => f.write_str(&t!(
                "this network answers DNS in the name of others (even %{address}, where no server is, gave an answer), so the zone's own servers cannot be asked from here",
                address
            )),
            Self::Blocked(resolver) => f.write_str(&t!(
                "port 53 seems to be blocked here (no server of the zone answers, yet %{resolver} knows the zone), so the zone's own servers cannot be asked from here",
                resolver
            )),
        }
    }
}

/// What is known about interceptors, shared by a run.
#[derive(Debug, Default)]
pub(crate) struct Interceptor {
    /// When the last look began, and what it found. Held while one is under way, so that many names look once.
    found: Mutex<Option<(Instant, Option<IpAddr>)>>,
    begun: StdMutex<Option<Instant>>,
}

impl Interceptor {
    /// When the look that counts began.
    fn begun(&self) -> Option<Instant> {
        *locked(&self.begun)
    }
}

impl Shared {
    /// The address without a server from which an answer came, if any did. Takes the time-out of a question where nothing intercepts.
    async fn intercepted(&self) -> Option<IpAddr> {
        if self.options.interceptor_probes.is_empty() {
            return None;
        }
        let mut found = self.interceptor.found.lock().await;
        if let Some((since, outcome)) = *found
            && since.elapsed() < if outcome.is_some() { AGAIN / 2 } else { CALM }
        {
            return outcome;
        }
        let begun = Instant::now();
        *locked(&self.interceptor.begun) = Some(begun);
        let mut asking: FuturesUnordered<_> =
            self.options.interceptor_probes.iter().map(|address| self.answers_from(*address)).collect();
        let mut outcome = None;
        while let Some(answered) = asking.next().await {
            if answered.is_some() {
                outcome = answered;
                break;
            }
        }
        *found = Some((begun, outcome));
        outcome
    }

    async fn answers_from(&self, address: SocketAddr) -> Option<IpAddr> {
        if !has_route(address).await {
            return None;
        }
        // The servers of the root: whoever answers DNS at all knows them.
        let name = Name::root().to_wire();
        let question = Question { name, record_type: WireType::NS, recursion: false, checking: Checking::Unsaid };
        match self.peer(address).ask_at_once(&question, self.options.query_timeout).await {
            Ok(_) | Err(Verdict::Truncated(_) | Verdict::Mismatched(_)) => Some(address.ip()),
            Err(_) => None,
        }
    }

    /// Until when an interceptor must have shown itself before an answer with this round trip is believed.
    fn believed_from(&self, slowest: Duration) -> Instant {
        self.interceptor.begun().unwrap_or_else(Instant::now) + slowest * 2 + GRACE
    }

    /// The network, where no server of `zone` answers: blocked, if a resolver over HTTPS knows the zone, and no public resolver
    /// answers on port 53. Not asked where the zone's apex is the very `name` that is looked for.
    pub(crate) async fn blocked(&self, zone: &Name, name: &Name) -> Option<Network> {
        if zone == name || self.options.over_https.is_empty() {
            return None;
        }
        let reached = self.reached.get(zone, async {
            let (reached, is_open) = tokio::join!(self.reached_over_https(zone), self.is_open());
            reached.filter(|_| !is_open).ok_or(())
        });
        reached.await.ok().map(Network::Blocked)
    }

    async fn reached_over_https(&self, zone: &Name) -> Option<String> {
        let question = Question { name: zone.to_wire(), record_type: WireType::SOA, recursion: true, checking: Checking::Unsaid };
        let mut asking = self.over_https(&question);
        while let Some((resolver, answer)) = asking.next().await {
            if answer.is_ok_and(|answer| answer.metadata.response_code == ResponseCode::NoError) {
                return Some(resolver.to_string());
            }
        }
        None
    }

    /// Whether anybody outside answers on port 53: the resolvers over HTTPS are asked there too.
    async fn is_open(&self) -> bool {
        let addresses = self.options.over_https.iter().filter_map(|resolver| match resolver {
            ResolverAddress::Https { host, .. } => Some(SocketAddr::new(host.parse().ok()?, self.options.port)),
            _ => None,
        });
        let mut asking: FuturesUnordered<_> = addresses.map(|address| self.answers_from(address)).collect();
        while let Some(answered) = asking.next().await {
            if answered.is_some() {
                return true;
            }
        }
        false
    }
}

/// Finds out about the network beside the questions about one record.
pub(crate) struct Scout {
    shared: Arc<Shared>,
    asking: FuturesUnordered<BoxFuture<'static, News>>,
    /// Whether an interceptor had its chance.
    is_settled: bool,
    is_suspected: bool,
    network: Option<Network>,
}

/// What a scout hears.
enum News {
    Interceptor(Option<IpAddr>),
    Blocked(Option<Network>),
}

impl Scout {
    /// Begins to look for an interceptor.
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let is_settled = shared.options.interceptor_probes.is_empty();
        let asking = FuturesUnordered::new();
        let scout = Self { shared: Arc::clone(shared), asking, is_settled, is_suspected: false, network: None };
        if !is_settled {
            scout.look_for_interceptor(Duration::ZERO);
        }
        scout
    }

    fn look_for_interceptor(&self, pause: Duration) {
        let shared = Arc::clone(&self.shared);
        self.asking.push(Box::pin(async move {
            sleep(pause).await;
            News::Interceptor(shared.intercepted().await)
        }));
    }

    /// Why the servers cannot be asked, as far as it is known.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Takes in the next news. Pending for ever where none is under way. May be dropped and called again.
    pub(crate) async fn news(&mut self) {
        match self.asking.next().await {
            None => std::future::pending().await,
            Some(News::Interceptor(found)) => {
                self.is_settled = true;
                if found.is_some() {
                    // A laptop moves on; so do we.
                    self.look_for_interceptor(AGAIN);
                }
                if found.is_some() || matches!(self.network, Some(Network::Intercepted(_))) {
                    self.network = found.map(Network::Intercepted);
                }
            }
            Some(News::Blocked(found)) => self.network = self.network.take().or(found),
        }
    }

    /// Runs a future to its end, hearing the news meanwhile.
    pub(crate) async fn beside<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                outcome = &mut future => return outcome,
                () = self.news() => {}
            }
        }
    }

    /// Until when answers with this round trip are not believed yet, as an interceptor would have had no time to show itself.
    pub(crate) fn doubts_until(&self, slowest: Duration) -> Option<Instant> {
        let until = self.shared.believed_from(slowest);
        (!self.is_settled && until > Instant::now()).then_some(until)
    }

    /// Waits as long as answers with this round trip are not to be believed.
    pub(crate) async fn dispel(&mut self, slowest: Duration) {
        while let Some(until) = self.doubts_until(slowest) {
            let _ = timeout_at(until, self.news()).await;
        }
    }

    /// No server of the zone answers: whether port 53 is blocked is looked into, once.
    pub(crate) fn suspect(&mut self, zone: &Name, name: &Name) {
        if std::mem::replace(&mut self.is_suspected, true) {
            return;
        }
        let (shared, zone, name) = (Arc::clone(&self.shared), zone.clone(), name.clone());
        self.asking.push(Box::pin(async move { News::Blocked(shared.blocked(&zone, &name).await) }));
    }

    /// As [`Scout::suspect`], and waits for what comes of it.
    pub(crate) async fn inquire(&mut self, zone: &Name, name: &Name) {
        if self.network.is_none() {
            self.network = self.shared.blocked(zone, name).await;
        }
    }

    /// A server of the zone answered: nothing is blocked any more.
    pub(crate) fn clear(&mut self) {
        if matches!(self.network, Some(Network::Blocked(_))) {
            self.network = None;
        }
    }
}

#[cfg(test)]
mod tests;
