//! The CA's validator: looks at the authorities of waiting orders with hickory-resolver, not with this program's own probe.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hickory_net::{DnsError, NetError, runtime::TokioRuntimeProvider};
use hickory_proto::rr::RecordType;
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
};
use tokio::{
    sync::{Semaphore, mpsc::UnboundedReceiver},
    task::JoinSet,
};
use url::Url;

use super::{
    World, locked,
    orders::{Seen, Wanted},
    records, website,
};
use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
};

/// How long one authority has for an answer.
const TIMEOUT: Duration = Duration::from_millis(800);

/// How many names are looked at at a time.
const CONCURRENT_LOOKS: usize = 32;

/// The shortest time between two looks at a name that nobody touched.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// What wakes the validator.
#[derive(Clone, Debug)]
pub(super) enum Wake {
    /// A record at this name came or went.
    Changed(Name),
    /// A challenge is at this name from then on.
    Look(Name, Instant),
}

/// The validator.
pub(super) struct Validator {
    resolvers: Vec<TokioResolver>,
    /// The longest lag of an authority: what changed is looked at again when all show it.
    lag: Duration,
    interval: Duration,
    issue_delay: Duration,
}

/// When to look at which name.
#[derive(Default)]
struct Agenda {
    heap: BinaryHeap<Reverse<(Instant, Name)>>,
    planned: HashMap<Name, usize>,
}

impl Validator {
    /// A validator that asks these authorities.
    ///
    /// # Errors
    /// `ErrorKind::Unexpected` where no resolver can be made.
    pub(super) fn new(authorities: &[SocketAddr], lag: Duration, interval: Duration, issue_delay: Duration) -> Result<Self> {
        let provider = TokioRuntimeProvider::default();
        let resolvers: Result<Vec<_>, NetError> =
            authorities.iter().map(|authority| resolver_at(*authority, provider.clone())).collect();
        let resolvers = resolvers
            .map_err(|error| Error::new(ErrorKind::Unexpected, "the sandbox's validator cannot be made").with_source(error))?;
        Ok(Self { resolvers, lag, interval: interval.max(LEAST_INTERVAL), issue_delay })
    }

    /// Looks at names until the task is aborted.
    pub(super) async fn run(self, world: Arc<World>, mut woken: UnboundedReceiver<Wake>) {
        let validator = Arc::new(self);
        let slots = Arc::new(Semaphore::new(CONCURRENT_LOOKS));
        let mut agenda = Agenda::default();
        let mut looks = JoinSet::new();
        loop {
            let next = agenda.next();
            let pause = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                wake = woken.recv() => match wake {
                    Some(Wake::Changed(name)) => agenda.changed(name, Instant::now(), validator.lag),
                    Some(Wake::Look(name, at)) => agenda.plan(name, at),
                    None => return,
                },
                () = pause => {}
                Some(again) = looks.join_next() => if let Ok(Some(name)) = again {
                    agenda.plan_if_none(name, Instant::now() + validator.interval);
                },
            }
            for name in agenda.due(Instant::now()) {
                if locked(&world.orders).waits_for(&name) {
                    looks.spawn(look(Arc::clone(&validator), Arc::clone(&world), Arc::clone(&slots), name));
                }
            }
        }
    }

    /// What all authorities that answer show at the name, of the types that orders wait for; `None` where none answers.
    async fn seen(&self, name: &Name, wanted: Wanted, web: &Url) -> Option<Seen> {
        let mut seen = Seen::default();
        if wanted.texts {
            seen.texts = self.common(name, RecordType::TXT).await?;
        }
        if wanted.aliases {
            seen.aliases = self.common(name, RecordType::CNAME).await?;
        }
        if wanted.files {
            seen.file = website::fetch(web, name, TIMEOUT).await;
        }
        Some(seen)
    }

    async fn common(&self, name: &Name, record_type: RecordType) -> Option<HashSet<String>> {
        let answers = join_all(self.resolvers.iter().map(|resolver| values(resolver, name, record_type))).await;
        answers.into_iter().flatten().reduce(|all, one| all.intersection(&one).cloned().collect())
    }
}

impl Agenda {
    fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    fn plan(&mut self, name: Name, at: Instant) {
        *self.planned.entry(name.clone()).or_default() += 1;
        self.heap.push(Reverse((at, name)));
    }

    fn plan_if_none(&mut self, name: Name, at: Instant) {
        if !self.planned.contains_key(&name) {
            self.plan(name, at);
        }
    }

    /// A change is looked at now, and when the slowest authority shows it.
    fn changed(&mut self, name: Name, now: Instant, lag: Duration) {
        if !lag.is_zero() {
            self.plan(name.clone(), now + lag);
        }
        self.plan(name, now);
    }

    fn due(&mut self, now: Instant) -> HashSet<Name> {
        let mut due = HashSet::new();
        while self.next().is_some_and(|at| at <= now) {
            let Some(Reverse((_, name))) = self.heap.pop() else { break };
            if let Some(count) = self.planned.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    self.planned.remove(&name);
                }
            }
            due.insert(name);
        }
        due
    }
}

/// Looks at one name. Returns it where an order still waits for it and there is something at it, so that it is looked at again.
async fn look(validator: Arc<Validator>, world: Arc<World>, slots: Arc<Semaphore>, name: Name) -> Option<Name> {
    let _slot = slots.acquire_owned().await.ok()?;
    let wanted = locked(&world.orders).wanted_at(&name);
    let seen = validator.seen(&name, wanted, &world.addresses.web).await;
    let now = Instant::now();
    if let Some(seen) = seen {
        locked(&world.orders).saw(&name, &seen, now, validator.issue_delay);
    }
    // Nobody tells when a file comes.
    let again = locked(&world.orders).waits_for(&name) && (wanted.files || locked(&world.zones).has_data(&name, now));
    again.then_some(name)
}

/// The values that one authority shows; `None` where it does not answer as an authority should.
async fn values(resolver: &TokioResolver, name: &Name, record_type: RecordType) -> Option<HashSet<String>> {
    match resolver.lookup(name.to_wire(), record_type).await {
        Ok(found) => {
            let matching = found.answers().iter().filter(|record| record.record_type() == record_type);
            Some(matching.map(|record| records::value(&record.data)).collect())
        }
        // Without a SOA record it is no statement about the name, but a lame server.
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) if none.soa.is_some() => Some(HashSet::new()),
        Err(_) => None,
    }
}

fn resolver_at(authority: SocketAddr, provider: TokioRuntimeProvider) -> Result<TokioResolver, NetError> {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = authority.port();
    tcp.port = authority.port();
    let server = NameServerConfig::new(authority.ip(), true, vec![udp, tcp]);
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = TIMEOUT;
    options.attempts = 1;
    options.num_concurrent_reqs = 1;
    options.recursion_desired = false;
    Resolver::builder_with_config(ResolverConfig::from_name_servers(vec![server]), provider).with_options(options).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_change_is_looked_at_now_and_when_the_slowest_shows_it() {
        let (mut agenda, now, lag) = (Agenda::default(), Instant::now(), Duration::from_secs(5));
        agenda.changed(name("a.example"), now, lag);
        agenda.changed(name("a.example"), now, lag);
        assert_eq!(agenda.due(now), HashSet::from([name("a.example")]));
        agenda.plan_if_none(name("a.example"), now + Duration::from_secs(1));
        assert_eq!(agenda.next(), Some(now + lag), "a look is planned already");
        assert!(agenda.due(now + lag / 2).is_empty());
        assert_eq!(agenda.due(now + lag).len(), 1);
        assert_eq!(agenda.next(), None);
        agenda.plan_if_none(name("a.example"), now + lag);
        assert_eq!(agenda.next(), Some(now + lag));
    }
}
