//! Propagation: what each name server of the zone says about a record, and when to ask again.
//!
//! Authorities are asked directly; recursive resolvers only for zone cuts until the policy is satisfied, so that no resolver
//! remembers a negative answer because of us (RFC 2308).

use std::{fmt, net::SocketAddr, time::Duration};

use tokio::time::Instant;

use crate::{
    error::{Error, Result},
    name::Name,
    record::{Record, RecordType},
};

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
}

impl Default for Options {
    fn default() -> Self {
        Self { resolver: None, stated: Vec::new(), port: 53, policy: Policy::Reachable, query_timeout: Duration::from_secs(3) }
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

/// A zone, and who answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The apex of the zone.
    pub zone: Name,
    /// All addresses of all its servers, sorted.
    pub authorities: Vec<Authority>,
}

/// What one authority said about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The exact value, with AA.
    Visible,
    /// The name exists or may exist, but has no record of the type (NODATA).
    Missing,
    /// The type is there with other values only.
    OtherValue(Vec<String>),
    /// A CNAME stands at the name.
    Alias(Name),
    /// The name does not exist.
    NxDomain,
    /// The server failed; with the extended error (RFC 8914) where it sent one.
    ServFail(Option<String>),
    /// The server refused the question.
    Refused,
    /// The server is not authoritative for the zone: no AA, or a referral.
    Lame,
    /// No usable answer, and why.
    Unreachable(String),
}

impl Verdict {
    /// One word for tables and events: `visible`, `missing`, `other-value`, `alias`, `nxdomain`, `servfail`, `refused`, `lame`, `unreachable`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Visible => "visible",
            Self::Missing => "missing",
            Self::OtherValue(_) => "other-value",
            Self::Alias(_) => "alias",
            Self::NxDomain => "nxdomain",
            Self::ServFail(_) => "servfail",
            Self::Refused => "refused",
            Self::Lame => "lame",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
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
    /// How long it will go on denying the record, where it remembers a negative answer.
    pub negative_for: Option<Duration>,
}

/// Finds zones and looks at records. Cheap to clone; clones share what was found and the question budget of each authority.
#[derive(Clone, Debug)]
pub struct Propagation {}

impl Propagation {
    /// Sets up sockets and the resolver; asks nothing yet.
    ///
    /// # Errors
    /// `ErrorKind::Config` where the system has no resolver configuration and none was given.
    pub fn new(options: Options) -> Result<Self> {
        let _ = options;
        unimplemented!()
    }

    /// The zone that holds `name`, and its authorities.
    ///
    /// # Errors
    /// `ErrorKind::NotVisible` where the zone or its servers cannot be found, saying what was asked.
    pub async fn delegation(&self, name: &Name) -> Result<Delegation> {
        let _ = name;
        unimplemented!()
    }

    /// One look at every authority of the record's zone.
    pub async fn look(&self, record: &Record) -> Result<Round> {
        let _ = record;
        unimplemented!()
    }

    /// Looks until the policy is satisfied or `deadline` has passed. Cancelled by dropping it.
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
        let _ = (record, expectation, deadline, observe, RecordType::Txt, Error::usage(""));
        unimplemented!()
    }

    /// What the configured recursive resolvers say. To be asked only once [`Propagation::wait`] was satisfied.
    pub async fn resolvers(&self, record: &Record) -> Vec<ResolverReport> {
        let _ = record;
        unimplemented!()
    }
}
