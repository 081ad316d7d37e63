//! Collects what the rules judge. Recursive resolvers are asked for zone cuts and for what exists in any case (the SOA of the
//! zone); for the name itself only once every authority that answers shows the record.

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType as WireType},
};
use tokio::time::{Instant, timeout_at};

use super::{
    ExplainContext,
    caa::CaaSet,
    dnssec::{self, Validation},
    facts::{Facts, ServerFacts, Standing, ZoneFacts},
};
use crate::{
    language::{message, say, t},
    mutex::locked,
    name::Name,
    propagation::{
        Authority, Delegation, Verdict,
        delegation::first_usable,
        differences,
        look::wire_type,
        message::{Checking, Question},
        network::{Network, Scout},
        placement::servers_of,
        resolvers::{self, Reporter, ask_reporter, reporters},
        serials,
        shared::Shared,
        target,
        text::and,
        verdict::response_word,
    },
    record::{Record, RecordType},
};

/// More CNAMEs in a row are a loop.
const LONGEST_CHAIN: usize = 16;

/// How long an explanation may take where nobody says.
const LONGEST: Duration = Duration::from_mins(1);

/// What is said of that which did not come in time.
const LATE: &str = message!("the time was up before it was known");

/// The outcome of a future, unless the deadline comes first.
async fn within<T>(deadline: Instant, future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout_at(deadline, future).await.unwrap_or_else(|_| Err(say(LATE).to_owned()))
}

/// Asks everything that can be asked until the deadline.
pub(super) async fn collect(shared: &Arc<Shared>, name: &Name, record: Option<&Record>, context: &ExplainContext) -> Facts {
    let wildcard = context.wildcard || name.is_wildcard();
    let name = name.base();
    let deadline = context.deadline.unwrap_or_else(|| Instant::now() + LONGEST);
    let mut scout = Scout::new(shared);
    let resolving = async { target::resolve(shared, &name).await.map_err(|error| error.message().to_owned()) };
    let target = scout.beside(within(deadline, resolving)).await;
    let place = target.as_ref().map_or_else(|_| name.clone(), |target| target.name.clone());
    let record_type = wire_type(record.map_or(RecordType::Txt, |record| record.record_type));
    let domain = certified(&name);
    let looking = async {
        tokio::join!(within(deadline, look_at_zone(shared, &place, record_type)), within(deadline, look_up_caa(shared, &domain)))
    };
    let (zone, caa) = scout.beside(looking).await;
    // Here nobody is in a hurry: an interceptor gets half the time of a question.
    let _ = timeout_at(deadline, scout.dispel(shared.options.query_timeout / 4)).await;
    let intercepted = match scout.network() {
        Some(Network::Intercepted(address)) => Some(*address),
        _ => None,
    };
    let mut facts = Facts {
        name,
        wildcard,
        record: record.cloned(),
        target,
        zone,
        beside_alias: Vec::new(),
        wildcard_values: Vec::new(),
        doubled: None,
        caa,
        signed_until: None,
        dnssec: Vec::new(),
        reports: None,
        reached_over_https: None,
        discovered_over_https: None,
        intercepted,
    };
    let is_alias = facts.target.as_ref().is_ok_and(|target| !target.chain.is_empty());
    if is_alias && record_type == WireType::TXT {
        facts.beside_alias = timeout_at(deadline, beside_alias(shared, &facts.name)).await.unwrap_or_default();
    }
    facts.discovered_over_https = locked(&shared.fell_back).as_ref().map(ToString::to_string);
    let Ok(ZoneFacts { zone: Some(apex), servers, .. }) = &facts.zone else { return facts };
    let apex = apex.clone();
    let serving: Vec<Authority> = servers
        .iter()
        .filter(|server| matches!(server.standing, Standing::Serves(_)))
        .map(|server| server.authority.clone())
        .collect();
    if serving.is_empty() {
        facts.reached_over_https = match timeout_at(deadline, shared.blocked(&apex, &place)).await {
            Ok(Some(Network::Blocked(resolver))) => Some(resolver),
            _ => None,
        };
    } else {
        let sibling = place.parent().and_then(|parent| parent.below(&format!("dv-{:016x}", rand::random::<u64>())).ok());
        let doubled = Name::parse(&format!("{place}.{apex}")).ok().filter(|_| place != apex);
        let beside = async {
            tokio::join!(
                values_anywhere(shared, &serving, sibling.filter(|sibling| sibling.is_within(&apex)), record_type),
                values_anywhere(shared, &serving, doubled.clone(), record_type),
            )
        };
        let (at_sibling, at_doubled) = timeout_at(deadline, beside).await.unwrap_or_default();
        facts.wildcard_values = at_sibling;
        facts.doubled = doubled.map(|doubled| (doubled, at_doubled));
    }
    if facts.is_visible() && facts.intercepted.is_none() {
        // As the CA asks: from the name on, CNAMEs followed.
        let first = || first_value(&facts);
        let value = record.map_or_else(first, |record| record.value.clone());
        let record_type = record.map_or(RecordType::Txt, |record| record.record_type);
        let wanted = Record { name: facts.name.clone(), record_type, value };
        facts.reports = timeout_at(deadline, resolvers::ask(shared, &wanted)).await.ok();
        let validating = validate(shared, &facts.name, wire_type(record_type));
        let seen = timeout_at(deadline, validating).await.unwrap_or_default();
        facts.dnssec.push((facts.name.clone(), seen));
    }
    if apex != place && apex != facts.name {
        let seen = timeout_at(deadline, validate(shared, &apex, WireType::SOA)).await.unwrap_or_default();
        facts.dnssec.insert(0, (apex.clone(), seen));
    }
    if facts.dnssec.iter().any(|(_, seen)| seen.iter().any(|(_, validation)| matches!(validation, Validation::Bogus(_)))) {
        facts.signed_until = timeout_at(deadline, signed_until(shared, &serving, &apex)).await.unwrap_or_default();
    }
    facts
}

fn first_value(facts: &Facts) -> String {
    let servers = facts.zone.as_ref().map(|zone| zone.servers.as_slice()).unwrap_or_default();
    servers.iter().find_map(|server| server.values.as_ref()?.first().cloned()).unwrap_or_default()
}

/// The domain that the certificate is for: the name without the labels of the challenge.
fn certified(name: &Name) -> Name {
    name.ancestors().find(|ancestor| !ancestor.first_label().starts_with('_')).unwrap_or_else(|| name.clone())
}

async fn look_at_zone(shared: &Shared, place: &Name, record_type: WireType) -> Result<ZoneFacts, String> {
    let delegation = shared.holder(place).await.map_err(|error| error.message().to_owned())?;
    let parent = shared.parent_view(&delegation.zone).await;
    let glued = match &parent {
        Some(view) => differences::glued(shared, &delegation.zone, view, &delegation.authorities).await,
        None => Vec::new(),
    };
    let Delegation { zone, mut authorities, mut left_out, .. } = (*delegation).clone();
    if let Some(view) = &parent {
        let unknown: Vec<Name> = view
            .servers
            .iter()
            .filter(|server| {
                let server = server.to_string();
                authorities.iter().all(|known| known.server != server) && left_out.iter().all(|left| left.server != server)
            })
            .cloned()
            .collect();
        let (more, not_asked) = shared.addresses(&unknown, &view.glue).await;
        // Stated authorities have no names: the same address is the same server.
        authorities
            .extend(more.into_iter().filter(|new| delegation.authorities.iter().all(|known| known.address != new.address)));
        left_out.extend(not_asked);
        authorities.sort();
    }
    let servers =
        join_all(authorities.into_iter().map(|authority| look_at_server(shared, &zone, place, record_type, authority))).await;
    Ok(ZoneFacts { zone: Some(zone), parent: parent.map(|view| (view.zone, view.servers)), glued, servers, left_out })
}

async fn look_at_server(shared: &Shared, zone: &Name, place: &Name, record_type: WireType, authority: Authority) -> ServerFacts {
    let address = authority.address;
    let standing = match shared.ask_authority(address, zone, WireType::SOA).await {
        Ok(answer) => standing(zone, &answer),
        Err(verdict) => Standing::Silent(verdict.sentence()),
    };
    if !matches!(standing, Standing::Serves(_)) {
        return ServerFacts { authority, standing, name_servers: Vec::new(), values: None };
    }
    let (name_servers, at_place) =
        tokio::join!(shared.ask_authority(address, zone, WireType::NS), shared.ask_authority(address, place, record_type));
    let name_servers = name_servers.map(|answer| servers_of(zone, &answer.answers)).unwrap_or_default();
    let values = at_place.ok().and_then(|answer| values(place, record_type, &answer));
    ServerFacts { authority, standing, name_servers, values }
}

/// What the answer to the question for the zone's SOA makes of the server.
fn standing(zone: &Name, answer: &Message) -> Standing {
    let code = answer.metadata.response_code;
    if code != ResponseCode::NoError {
        return Standing::Lame(t!("does not serve the zone %{zone}: it answers %{code}", zone, code = response_word(code)));
    }
    match serials::in_answer(zone, answer) {
        Some(serial) => Standing::Serves(serial),
        None => Standing::Lame(t!("does not serve the zone %{zone}: it is not authoritative (no AA, or a referral)", zone)),
    }
}

/// The values at `name` that an authoritative answer holds; `None` where it is none.
fn values(name: &Name, record_type: WireType, answer: &Message) -> Option<Vec<String>> {
    let usable = matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    if !usable || !answer.metadata.authoritative {
        return None;
    }
    let here = answer.answers.iter().filter(|entry| Name::from_wire(&entry.name) == *name && entry.record_type() == record_type);
    Some(
        here.filter_map(|entry| match &entry.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            RData::CNAME(target) => Some(Name::from_wire(&target.0).to_string()),
            _ => None,
        })
        .collect(),
    )
}

async fn values_anywhere(shared: &Shared, authorities: &[Authority], name: Option<Name>, record_type: WireType) -> Vec<String> {
    let Some(name) = name else { return Vec::new() };
    let found = first_usable(authorities, &name, |authority: Authority| {
        let name = &name;
        async move {
            let answer =
                shared.ask_authority(authority.address, name, record_type).await.map_err(|verdict| verdict.sentence())?;
            values(name, record_type, &answer).ok_or_else(|| t!("is not authoritative").to_owned())
        }
    });
    found.await.unwrap_or_default()
}

/// The TXT values at a name that has a CNAME too.
async fn beside_alias(shared: &Shared, name: &Name) -> Vec<String> {
    match shared.holder(name).await {
        Ok(delegation) => values_anywhere(shared, &delegation.authorities, Some(name.clone()), WireType::TXT).await,
        Err(_) => Vec::new(),
    }
}

/// Each reporter's finding about the signatures of `name`.
async fn validate(shared: &Shared, name: &Name, record_type: WireType) -> Vec<(String, Validation)> {
    let question = |checking| Question { name: name.to_wire(), record_type, recursion: true, checking };
    let (checked, unchecked) = (question(Checking::Wanted), question(Checking::Disabled));
    let reporters = reporters(shared);
    join_all(reporters.iter().map(|reporter: &Reporter| {
        let (checked, unchecked) = (&checked, &unchecked);
        async move {
            let (resolver, with) = ask_reporter(shared, reporter, checked).await;
            let fails = matches!(&with, Ok(answer) if answer.metadata.response_code == ResponseCode::ServFail);
            let without = if fails { ask_reporter(shared, reporter, unchecked).await.1 } else { Err(Verdict::Missing) };
            (resolver, dnssec::judge(&with, &without))
        }
    }))
    .await
}

/// When the newest signature of the zone's SOA ends, as one of its servers shows it, where that is over.
async fn signed_until(shared: &Shared, authorities: &[Authority], apex: &Name) -> Option<u32> {
    let question = Question { name: apex.to_wire(), record_type: WireType::SOA, recursion: false, checking: Checking::Wanted };
    let asked = first_usable(authorities, apex, |authority: Authority| {
        let question = &question;
        async move {
            let patience = shared.options.query_timeout;
            let answer =
                shared.peer(authority.address).ask_at_once(question, patience).await.map_err(|verdict| verdict.sentence())?;
            Ok::<_, String>(dnssec::signed_until(&answer.message))
        }
    });
    let until = asked.await.ok()??;
    dnssec::is_over(until, jiff::Timestamp::now()).then_some(until)
}

/// Climbs as RFC 8659 section 3 says; a CNAME is followed at each name, its target not climbed from. Asked at authorities only.
async fn look_up_caa(shared: &Shared, domain: &Name) -> Result<Option<CaaSet>, String> {
    for climbed_to in domain.ancestors().filter(|ancestor| !ancestor.is_root()) {
        let mut owner = climbed_to.clone();
        for _ in 0..LONGEST_CHAIN {
            let asked = caa_at(shared, &owner).await;
            let answer = match asked {
                Ok(answer) => answer,
                // Top levels have no CAA records worth a failure: their servers are often out of reach of a closed network.
                Err(_) if owner.labels().count() == 1 => break,
                Err(why) => return Err(t!("the CAA records of %{owner} cannot be looked up: %{why}", owner, why)),
            };
            let here = answer.answers.iter().filter(|entry| Name::from_wire(&entry.name) == owner);
            let (mut records, mut alias) = (Vec::new(), None);
            for entry in here {
                match &entry.data {
                    RData::CAA(caa) => records.push(caa.clone()),
                    RData::CNAME(target) => alias = Some(Name::from_wire(&target.0)),
                    _ => {}
                }
            }
            if !records.is_empty() {
                return Ok(Some(CaaSet { domain: domain.clone(), climbed_to, owner, records }));
            }
            let Some(target) = alias else { break };
            owner = target;
        }
    }
    Ok(None)
}

async fn caa_at(shared: &Shared, owner: &Name) -> Result<Message, String> {
    let delegation = shared.holder(owner).await.map_err(|error| error.message().to_owned())?;
    first_usable(&delegation.authorities, owner, |authority: Authority| async move {
        let answer = shared.ask_authority(authority.address, owner, WireType::CAA).await.map_err(|verdict| verdict.sentence());
        let named = |why: &str| format!("{} {why}", authority.server);
        let answer = answer.map_err(|why| named(&why))?;
        let code = answer.metadata.response_code;
        match code {
            ResponseCode::NoError | ResponseCode::NXDomain if answer.metadata.authoritative => Ok(answer),
            ResponseCode::NoError | ResponseCode::NXDomain => Err(named(t!("is not authoritative"))),
            _ => Err(named(&format!("answers {}", response_word(code)))),
        }
    })
    .await
    .map_err(|failures| and(&failures))
}

/// Whether all addresses, asked or left out, are IPv6.
pub(super) fn only_six(zone: &ZoneFacts) -> bool {
    let asked = zone.servers.iter().map(|server| server.authority.address.ip());
    let left = zone.left_out.iter().filter_map(|left| left.address.map(|address| address.ip()));
    let mut all = asked.chain(left).peekable();
    all.peek().is_some() && all.all(|address: IpAddr| address.is_ipv6())
}
