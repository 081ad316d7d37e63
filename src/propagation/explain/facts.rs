//! What was collected about a name, and the walk to it in sentences. Pure.

use std::net::IpAddr;

use super::{caa::CaaSet, dnssec::Validation};
use crate::{
    language::t,
    name::Name,
    propagation::{Authority, LeftOut, ResolverReport, Target, differences::Glued, text::and},
    record::Record,
};

/// Everything that the rules judge.
#[derive(Debug)]
pub(super) struct Facts {
    /// The name that was asked about; without `*`.
    pub(super) name: Name,
    /// Whether it is about a wildcard certificate.
    pub(super) wildcard: bool,
    /// What ought to be there, where it is known.
    pub(super) record: Option<Record>,
    /// Where a record for the name belongs; else why that is not known.
    pub(super) target: Result<Target, String>,
    /// The zone that holds the target; else why it was not found.
    pub(super) zone: Result<ZoneFacts, String>,
    /// The values that stand at the name beside a CNAME there.
    pub(super) beside_alias: Vec<String>,
    /// The values at a random sibling of the target: those of a wildcard.
    pub(super) wildcard_values: Vec<String>,
    /// The name with the zone twice, and the values there.
    pub(super) doubled: Option<(Name, Vec<String>)>,
    /// The relevant CAA set, or why a lookup failed.
    pub(super) caa: Result<Option<CaaSet>, String>,
    /// When the newest signature of the zone's SOA ended, where all that its servers show are over; seconds since 1970.
    pub(super) signed_until: Option<u32>,
    /// What resolvers found about signatures, by subject.
    pub(super) dnssec: Vec<(Name, Vec<(String, Validation)>)>,
    /// What resolvers say about the record; `None` where they were not asked, as the authorities do not all show it.
    pub(super) reports: Option<Vec<ResolverReport>>,
    /// A resolver over HTTPS that answers for the zone while no authority does.
    pub(super) reached_over_https: Option<String>,
    /// The resolver over HTTPS that discovery used, as none answers on port 53.
    pub(super) discovered_over_https: Option<String>,
    /// An address without any server that answered nevertheless.
    pub(super) intercepted: Option<IpAddr>,
}

/// What is known of a zone.
#[derive(Debug, Default)]
pub(super) struct ZoneFacts {
    /// The apex; `None` until it is known.
    pub(super) zone: Option<Name>,
    /// The zone above, and the name servers that it names for this one.
    pub(super) parent: Option<(Name, Vec<Name>)>,
    /// The glue of servers within the zone, and what the zone itself says.
    pub(super) glued: Vec<Glued>,
    /// One entry for each address.
    pub(super) servers: Vec<ServerFacts>,
    /// What cannot be asked from here.
    pub(super) left_out: Vec<LeftOut>,
}

/// How one authority stands to the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It answers for the zone, with this serial.
    Serves(u32),
    /// It answers, but not for the zone; the end of a sentence that begins with its name.
    Lame(String),
    /// No usable answer; the end of a sentence.
    Silent(String),
}

/// What one authority said.
#[derive(Clone, Debug)]
pub(super) struct ServerFacts {
    /// Who.
    pub(super) authority: Authority,
    /// How it stands to the zone.
    pub(super) standing: Standing,
    /// The NS set that it shows at the apex, sorted.
    pub(super) name_servers: Vec<Name>,
    /// The values of the record's type at the target; `None` without an authoritative answer.
    pub(super) values: Option<Vec<String>>,
}

impl ServerFacts {
    /// The server with its address.
    pub(super) fn called(&self) -> String {
        self.authority.called()
    }
}

impl ZoneFacts {
    /// Whether no server of it gives any usable answer.
    pub(super) fn is_silent(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(|server| matches!(server.standing, Standing::Silent(_)))
    }

    /// All name servers, as the zone itself names them, else the parent, else discovery.
    pub(super) fn named_servers(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.servers.iter().flat_map(|server| server.name_servers.clone()).collect();
        if names.is_empty() {
            names = self.parent.as_ref().map(|(_, servers)| servers.clone()).unwrap_or_default();
        }
        if names.is_empty() {
            let found = self.servers.iter().filter(|server| server.authority.server != server.authority.address.to_string());
            names = found.filter_map(|server| Name::parse(&server.authority.server).ok()).collect();
        }
        names.sort();
        names.dedup();
        names
    }
}

impl Facts {
    /// Where the record belongs, as far as it is known.
    pub(super) fn place(&self) -> &Name {
        self.target.as_ref().map_or(&self.name, |target| &target.name)
    }

    /// Whether every authority that answers shows the record, or, where none is known, any value; and at least one does.
    pub(super) fn is_visible(&self) -> bool {
        let Ok(zone) = &self.zone else { return false };
        let mut answering = zone.servers.iter().filter_map(|server| server.values.as_ref()).peekable();
        answering.peek().is_some()
            && answering.all(|values| match &self.record {
                Some(record) => shows(record, values),
                None => !values.is_empty(),
            })
    }

    /// The walk, one sentence for each step.
    pub(super) fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        if let Some(resolver) = &self.discovered_over_https {
            steps.push(t!("No resolver answers on port 53 here; %{resolver} was asked instead.", resolver));
        }
        match &self.target {
            Ok(target) if !target.chain.is_empty() => {
                let path: Vec<String> = target.chain.iter().chain([&target.name]).map(Name::to_string).collect();
                steps.push(t!("CNAME: %{path}.", path = path.join(" -> ")));
            }
            _ => {}
        }
        let zone = match &self.zone {
            Ok(zone) => zone,
            Err(why) => {
                steps.push(t!("Zone of %{place}: not found, %{why}.", place = self.place(), why));
                return steps;
            }
        };
        if let Some((parent, servers)) = &zone.parent {
            let apex = zone.zone.as_ref().map(Name::to_string).unwrap_or_default();
            steps.push(t!("The zone %{parent} delegates %{apex} to %{servers}.", parent, apex, servers = and(&texts(servers))));
        }
        if let Some(apex) = &zone.zone {
            let place = self.place();
            steps.push(match zone.servers.len() {
                1 => t!("%{place} belongs to the zone %{apex}, served from one address.", place, apex),
                servers => t!("%{place} belongs to the zone %{apex}, served from %{servers} addresses.", place, apex, servers),
            });
        }
        for server in &zone.servers {
            let said = match (&server.standing, &server.values) {
                (Standing::Lame(why) | Standing::Silent(why), _) => why.clone(),
                (Standing::Serves(serial), None) => t!("serves serial %{serial}, but does not answer for the name", serial),
                (Standing::Serves(serial), Some(values)) if values.is_empty() => {
                    t!("serves serial %{serial}, no record at the name", serial)
                }
                (Standing::Serves(serial), Some(values)) => {
                    t!("serves serial %{serial}, at the name %{values}", serial, values = quoted(values))
                }
            };
            steps.push(t!("%{server}: %{said}.", server = server.called(), said));
        }
        match &self.reports {
            None => steps.push(t!("Resolvers were not asked for %{name}: not every authority shows it, and the question would make them remember that it is missing.", name = self.name)),
            Some(reports) => steps.extend(reports.iter().map(|report| t!("Resolver %{resolver} %{sentence}.", resolver = report.resolver, sentence = report.verdict.sentence()))),
        }
        match &self.caa {
            Ok(None) => steps.push(t!("CAA: none, any CA may issue.").to_owned()),
            Ok(Some(set)) => {
                steps.push(match set.records.len() {
                    1 => t!("CAA: one record at %{owner}.", owner = set.owner),
                    records => t!("CAA: %{records} records at %{owner}.", records, owner = set.owner),
                });
            }
            Err(why) => steps.push(t!("CAA: %{why}.", why)),
        }
        steps
    }
}

/// Whether the record is among the values: TXT byte for byte, CNAME as names.
pub(super) fn shows(record: &Record, values: &[String]) -> bool {
    let name_like = record.record_type == crate::record::RecordType::Cname;
    values.iter().any(|value| {
        if name_like { value.eq_ignore_ascii_case(record.value.trim_end_matches('.')) } else { *value == record.value }
    })
}

/// Names as texts.
pub(super) fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::to_string).collect()
}

/// Values in quotes, at most three, each cut at 120 characters.
pub(super) fn quoted(values: &[String]) -> String {
    let mut shown: Vec<String> = values
        .iter()
        .take(3)
        .map(|value| {
            let short: String = value.chars().take(120).collect();
            if short.len() < value.len() { format!("{short:?}…") } else { format!("{short:?}") }
        })
        .collect();
    if values.len() > shown.len() {
        shown.push(format!("{} more", values.len() - shown.len()));
    }
    and(&shown)
}
