//! What the zones say to a question: a pure function of data, question and moment.

use hickory_proto::{
    op::{Query, ResponseCode},
    rr::{RData, Record, RecordType},
};

use crate::{
    name::Name,
    sandbox::zone::{Lookup, Moment, Zones},
};

/// The longest chain of aliases that is followed.
const LONGEST_CHAIN: usize = 8;

/// The sections of a reply.
#[derive(Clone, Default)]
pub(super) struct Answer {
    /// The response code.
    pub(super) code: ResponseCode,
    /// Whether a zone of ours says it, and not only a referral.
    pub(super) authoritative: bool,
    /// The answer section.
    pub(super) answers: Vec<Record>,
    /// The authority section: SOA record or referral.
    pub(super) authorities: Vec<Record>,
    /// Addresses of name servers.
    pub(super) additionals: Vec<Record>,
}

/// The answer at a moment; `None` where no zone holds the name.
pub(super) fn answer(zones: &Zones, question: &Query, at: Moment) -> Option<Answer> {
    let mut name = Name::from_wire(question.name());
    let mut answer = Answer { authoritative: true, ..Answer::default() };
    for step in 0..LONGEST_CHAIN {
        let Some(zone) = zones.holding(&name) else {
            // An alias that leads out of our zones: whoever asks goes on elsewhere.
            return (step > 0).then_some(answer);
        };
        match zone.lookup(&name, question.query_type(), at) {
            Lookup::Records(records) => {
                answer.additionals = addresses(zones, &records, at);
                answer.answers.extend(records);
                break;
            }
            Lookup::Alias(record, target) => {
                answer.answers.push(*record);
                name = target;
            }
            Lookup::Referral(servers) => {
                answer.authoritative = step > 0;
                answer.additionals = addresses(zones, &servers, at);
                answer.authorities = servers;
                break;
            }
            Lookup::NoData => {
                answer.authorities.push(zone.soa(at));
                break;
            }
            Lookup::NoName => {
                answer.code = ResponseCode::NXDomain;
                answer.authorities.push(zone.soa(at));
                break;
            }
        }
    }
    Some(answer)
}

fn addresses(zones: &Zones, servers: &[Record], at: Moment) -> Vec<Record> {
    let hosts = servers.iter().filter_map(|record| match &record.data {
        RData::NS(host) => Some(Name::from_wire(&host.0)),
        _ => None,
    });
    hosts
        .filter_map(|host| match zones.holding(&host)?.lookup(&host, RecordType::A, at) {
            Lookup::Records(records) => Some(records),
            _ => None,
        })
        .flatten()
        .collect()
}
