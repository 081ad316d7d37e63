//! Propagation: what each name server of the zone says about a record, and when to ask again.
//!
//! Authorities are asked directly; recursive resolvers only for zone cuts until the policy is satisfied, so that no resolver
//! remembers a negative answer because of us (RFC 2308).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    record::Record,
};

mod delegation;
mod differences;
mod explain;
mod fellows;
mod look;
mod message;
mod network;
mod peer;
mod placement;
mod policy;
mod probe;
mod resolvers;
mod schedule;
mod serials;
mod shared;
mod target;
mod text;
mod verdict;
mod wait;

#[cfg(test)]
mod misbehaviour;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use explain::{ExplainContext, Explanation, Finding, Severity};
pub use network::{NO_SERVERS, Network};
pub use resolvers::{ResolverAddress, Vantage};
pub use serials::Serial;
pub use verdict::Verdict;

use shared::Shared;

/// Which verdicts make a record visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// Every server that answers authoritatively shows the value, and at least one does.
    #[default]
    Reachable,
    /// Every address of every server shows the value.
    All,
    /// At least this many servers show the value.
    Quorum(usize),
    /// One server shows the value.
    Any,
}

/// How authorities are found and asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// The resolver for zone cuts and server addresses; `None`: the system's.
    pub resolver: Option<SocketAddr>,
    /// Authorities that the user states, by zone (`--authority ZONE=ADDR[:PORT],…`); the longest zone wins.
    pub stated: Vec<(Name, Vec<SocketAddr>)>,
    /// The port of authorities that were found by their names: 53, except in tests.
    pub port: u16,
    /// The policy.
    pub policy: Policy,
    /// How long one question over one transport may take.
    pub query_timeout: Duration,
    /// The resolvers that report once a record is visible, and that serve discovery where [`Options::resolver`] is `None`; empty:
    /// the system's.
    pub resolvers: Vec<ResolverAddress>,
    /// Public resolvers that report besides.
    pub vantage: Option<Vantage>,
    /// Resolvers for discovery where those above give no answer, as on networks that block port 53; [`Vantage::over_https`] has
    /// some. Empty: none.
    pub over_https: Vec<ResolverAddress>,
    /// Addresses without any server, such as [`NO_SERVERS`]: what answers from there intercepts DNS, and nothing is visible then. Empty:
    /// interceptors are not looked for, as in a laboratory on loopback.
    pub interceptor_probes: Vec<SocketAddr>,
    /// Whom to trust as resolver over TLS and HTTPS; `None`: the CAs that the system trusts.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resolver: None,
            stated: Vec::new(),
            port: 53,
            policy: Policy::Reachable,
            query_timeout: Duration::from_secs(3),
            resolvers: Vec::new(),
            vantage: None,
            over_https: Vec::new(),
            interceptor_probes: Vec::new(),
            tls: None,
        }
    }
}

/// One address of one name server of the zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    /// The name server; for stated authorities its address as text.
    pub server: String,
    /// The address that is asked.
    pub address: SocketAddr,
}

impl Authority {
    /// The server with its address.
    pub(crate) fn called(&self) -> String {
        let address = self.address.to_string();
        if self.server == address { address } else { format!("{} ({})", self.server, self.address.ip()) }
    }
}

/// A zone, and who answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The apex of the zone.
    pub zone: Name,
    /// All addresses of all its servers that this host has a route to, sorted.
    pub authorities: Vec<Authority>,
    /// What cannot be asked, and why. Under the policy `all`, a server without any address that can be asked is in the way.
    pub left_out: Vec<LeftOut>,
    /// How the name servers that the parent zone names differ from those that the zone itself names, one sentence fragment each.
    /// Known where the authorities told of the cut; empty where the resolver did.
    pub differences: Vec<String>,
}

/// A server, or one address of it, that is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The name server.
    pub server: String,
    /// The address; `None` where the server has none.
    pub address: Option<SocketAddr>,
    /// Why: no route from this host (IPv6 on a host without it), or no address.
    pub why: String,
}

/// Where a record for a name must be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The end of the CNAME chain; the name itself where no CNAME stands there.
    pub name: Name,
    /// The owners of the CNAME records that were followed, in order; empty where there was none.
    pub chain: Vec<Name>,
    /// Whether a wildcard CNAME covers [`Target::name`]. It is not followed: a record at the name itself takes its place.
    pub synthesised: bool,
}

/// What one authority said, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who was asked.
    pub authority: Authority,
    /// What it said.
    pub verdict: Verdict,
    /// The round trip of the deciding answer.
    pub round_trip: Option<Duration>,
    /// Whether its server counts as out under the policy `reachable`.
    pub out: bool,
}

/// One look at all authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The zone.
    pub zone: Name,
    /// What was looked for.
    pub record: Record,
    /// The latest verdict of each authority.
    pub observations: Vec<Observation>,
    /// Whether the policy is satisfied.
    pub visible: bool,
    /// Time since the wait began.
    pub waited: Duration,
    /// Why it is not visible yet, or what is risky though it is; one sentence for people.
    pub explanation: Option<String>,
    /// Why the servers cannot be asked from here, where that is so. Never with `visible`.
    pub network: Option<Network>,
}

/// What is known about when the record will be there.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The provider's usual delay.
    pub usual_delay: Option<Duration>,
    /// Delays measured here before for this zone and provider, latest last.
    pub measured: Vec<Duration>,
}

/// What a recursive resolver said about a record, once the authorities were satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverReport {
    /// Which resolver.
    pub resolver: String,
    /// What it said.
    pub verdict: Verdict,
    /// How long it will go on denying the record, where it remembers a negative answer, or older values.
    pub negative_for: Option<Duration>,
}

/// Finds zones and looks at records. Cheap to clone; clones share what was found and the question budget of each authority.
#[derive(Clone, Debug)]
pub struct Propagation {
    shared: Arc<Shared>,
}

impl Propagation {
    /// Reads the system's resolvers, unless one is given; asks nothing yet.
    ///
    /// # Errors
    /// `ErrorKind::Config` where the system has no resolver configuration, none was given, and no authority is stated.
    pub fn new(options: Options) -> Result<Self> {
        let resolvers = match options.resolver {
            Some(resolver) => vec![ResolverAddress::Plain(resolver)],
            None if !options.resolvers.is_empty() => options.resolvers.clone(),
            None => match system_resolvers() {
                Err(_) if !options.stated.is_empty() || !options.over_https.is_empty() => Vec::new(),
                found => found?,
            },
        };
        Ok(Self { shared: Arc::new(Shared::new(options, resolvers)) })
    }

    /// The zone that holds `name`, and its authorities. Asked once for each name; remembered by this value and its clones, for ten
    /// minutes at most.
    ///
    /// # Errors
    /// `ErrorKind::NotVisible` where the zone or its servers cannot be found, saying what was asked.
    pub async fn delegation(&self, name: &Name) -> Result<Delegation> {
        self.shared.delegation(name).await.map(|found| (*found).clone())
    }

    /// Where a record for `name` must be written: follows CNAME records, at authorities only. A CNAME that a wildcard makes is
    /// recognised by asking for a random sibling, and not followed.
    ///
    /// # Errors
    /// `ErrorKind::Config` where the chain is a loop or too long; `ErrorKind::NotVisible` where a zone on the way cannot be asked.
    pub async fn resolve_target(&self, name: &Name) -> Result<Target> {
        target::resolve(&self.shared, name).await
    }

    /// One look at every authority of the record's zone. Those that fail are asked up to three times where the policy `reachable`
    /// hangs on them alone.
    ///
    /// # Errors
    /// As [`Propagation::delegation`].
    pub async fn look(&self, record: &Record) -> Result<Round> {
        look::look(&self.shared, record).await
    }

    /// Looks until the policy is satisfied or `deadline` has passed. Cancelled by dropping it: no question outlives the future.
    ///
    /// `observe` is called for the first whole round, for each round in which a verdict changed, and for the last one.
    ///
    /// # Errors
    /// `ErrorKind::NotVisible` at the deadline, with the explanation of the last round.
    pub async fn wait(
        &self,
        record: &Record,
        expectation: &Expectation,
        deadline: Instant,
        observe: &mut (dyn FnMut(&Round) + Send),
    ) -> Result<Round> {
        wait::wait(&self.shared, record, expectation, deadline, observe).await
    }

    /// What the configured recursive resolvers say. To be asked only once [`Propagation::wait`] was satisfied.
    pub async fn resolvers(&self, record: &Record) -> Vec<ResolverReport> {
        resolvers::ask(&self.shared, record).await
    }

    /// What the resolvers that can be asked over HTTPS say, over HTTPS: for networks in which the authorities cannot be asked
    /// ([`Round::network`]). It proves nothing, and makes a resolver that does not know the record remember that; so only by choice.
    pub async fn resolvers_over_https(&self, record: &Record) -> Vec<ResolverReport> {
        resolvers::ask_over_https(&self.shared, record).await
    }

    /// How the name servers of the zone that holds `name` differ as the zone above and the zone itself name them, and how glue differs
    /// from the addresses that the zone has; one sentence each. Empty where they agree, or where one side cannot be asked.
    pub async fn differences(&self, name: &Name) -> Vec<String> {
        differences::between_parent_and_child(&self.shared, name).await
    }

    /// The serial that each authority of the zone that holds `name` serves, so that one says who is behind. Who gives no usable answer is
    /// left out. A hint only: some providers change zones without changing the serial.
    pub async fn serials(&self, name: &Name) -> Vec<Serial> {
        serials::of_all(&self.shared, name).await
    }

    /// Walks from the zone above down to the record, and says what is wrong and what to do. Without a record, any TXT value counts.
    ///
    /// Never fails: what cannot be asked is a finding. Ends at the deadline of the context, with what is known by then. Resolvers are asked for the name only where all authorities that answer show the record.
    pub async fn explain(&self, name: &Name, record: Option<&Record>, context: &ExplainContext) -> Explanation {
        explain::explain(&self.shared, name, record, context).await
    }

    /// As [`Propagation::resolvers`], but waits until none of them denies the record from memory ([`ResolverReport::denies`]), or
    /// `deadline` has passed; the last reports say which. Resolvers that cannot be asked are not waited for.
    ///
    /// `observe` is called with all reports each time some were asked.
    pub async fn wait_negative(
        &self,
        record: &Record,
        deadline: Instant,
        observe: &mut (dyn FnMut(&[ResolverReport]) + Send),
    ) -> Vec<ResolverReport> {
        resolvers::wait_negative(&self.shared, record, deadline, observe).await
    }
}

/// The resolvers that the system is configured with, in its order.
fn system_resolvers() -> Result<Vec<ResolverAddress>> {
    let hint = t!("name one with `--resolver ADDRESS`, or state the authorities with `--authority ZONE=ADDRESS`");
    let (config, _) = hickory_resolver::system_conf::read_system_conf().map_err(|error| {
        Error::config(t!("the system's resolver configuration cannot be read: %{error}", error)).with_hint(hint)
    })?;
    let mut resolvers: Vec<ResolverAddress> = Vec::new();
    for server in config.name_servers() {
        let port = server.connections.first().map_or(53, |connection| connection.port);
        let address = ResolverAddress::Plain(SocketAddr::new(server.ip, port));
        if !resolvers.contains(&address) {
            resolvers.push(address);
        }
    }
    if resolvers.is_empty() {
        return Err(Error::config(t!("the system has no DNS resolver configured")).with_hint(hint));
    }
    Ok(resolvers)
}
