//! What an authority's answer to a SOA question says about where a name belongs. Pure.

use std::{collections::HashMap, net::IpAddr};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record as WireRecord, RecordType as WireType},
};

use super::verdict::response_word;
use crate::{language::t, name::Name};

/// Where a name belongs, as one authority of a zone above it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// In the zone that was asked about.
    Here,
    /// In a zone further down.
    Child {
        /// Its apex.
        zone: Name,
        /// Its name servers.
        servers: Vec<Name>,
        /// Addresses that came with the referral.
        glue: HashMap<Name, Vec<IpAddr>>,
        /// Whether it is a referral, hence the parent's view.
        referred: bool,
    },
    /// In a zone further down, of which this server is an authority too.
    Apex(Name),
    /// A CNAME stands at the name, so the answer does not tell.
    Alias,
    /// The server gives no usable answer; a fragment that follows its name.
    Unusable(String),
}

/// Reads the answer of an authority of `zone` to the question for the SOA of `name`, which lies below the zone's apex.
pub(crate) fn place(zone: &Name, name: &Name, answer: &Message) -> Placement {
    let code = answer.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Placement::Unusable(format!("answers {}", response_word(code)));
    }
    let deeper = |owner: &Name| owner != zone && owner.is_within(zone) && name.is_within(owner);
    let owners = |section: &[WireRecord], wanted| {
        section.iter().filter(|entry| entry.record_type() == wanted).map(|entry| Name::from_wire(&entry.name)).collect::<Vec<_>>()
    };
    let told_by = |section: &[WireRecord]| owners(section, WireType::SOA).into_iter().next();
    if answer.metadata.authoritative {
        if answer.answers.iter().any(|entry| entry.record_type() == WireType::CNAME && Name::from_wire(&entry.name) == *name) {
            return Placement::Alias;
        }
        if let Some(apex) = told_by(&answer.answers).or_else(|| told_by(&answer.authorities)) {
            return match apex {
                apex if apex == *zone => Placement::Here,
                apex if deeper(&apex) => Placement::Apex(apex),
                apex => Placement::Unusable(t!("answers for the zone %{apex}, not for %{zone}", apex, zone)),
            };
        }
    }
    // NS without SOA is a referral, whatever AA says (RFC 2308 section 2.2).
    if let Some(child) = owners(&answer.authorities, WireType::NS).into_iter().find(deeper) {
        let servers = servers_of(&child, &answer.authorities);
        let mut glue: HashMap<Name, Vec<IpAddr>> = HashMap::new();
        for entry in &answer.additionals {
            let owner = Name::from_wire(&entry.name);
            // An address outside the zone is not this server's to tell.
            if let Some(address) = entry.data.ip_addr()
                && servers.contains(&owner)
                && owner.is_within(zone)
            {
                glue.entry(owner).or_default().push(address);
            }
        }
        return Placement::Child { zone: child, servers, glue, referred: true };
    }
    if answer.metadata.authoritative { Placement::Here } else { Placement::Unusable(t!("is not authoritative").to_owned()) }
}

/// The targets of the NS records of `zone`, sorted, each once.
pub(crate) fn servers_of(zone: &Name, section: &[WireRecord]) -> Vec<Name> {
    let mut servers: Vec<Name> = section
        .iter()
        .filter(|entry| Name::from_wire(&entry.name) == *zone)
        .filter_map(|entry| match &entry.data {
            RData::NS(server) => Some(Name::from_wire(&server.0)),
            _ => None,
        })
        .collect();
    servers.sort();
    servers.dedup();
    servers
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{MessageType, OpCode},
        rr::rdata::{A, CNAME, NS, SOA},
    };

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn answer(authoritative: bool, answers: Vec<(&str, RData)>, authorities: Vec<(&str, RData)>) -> Message {
        let record = |(owner, data): (&str, RData)| WireRecord::from_rdata(name(owner).to_wire(), 60, data);
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = authoritative;
        message.add_answers(answers.into_iter().map(record));
        message.add_authorities(authorities.into_iter().map(record));
        message
    }

    fn soa() -> RData {
        RData::SOA(SOA::new(name("ns.test").to_wire(), name("h.test").to_wire(), 1, 1, 1, 1, 1))
    }

    fn ns(server: &str) -> RData {
        RData::NS(NS(name(server).to_wire()))
    }

    fn placed(message: &Message) -> Placement {
        place(&name("example.test"), &name("_x.a.b.example.test"), message)
    }

    #[test]
    fn the_soa_of_a_denial_tells_the_zone() {
        assert_eq!(placed(&answer(true, vec![], vec![("example.test", soa())])), Placement::Here);
        assert_eq!(placed(&answer(true, vec![], vec![("b.example.test", soa())])), Placement::Apex(name("b.example.test")));
        assert_eq!(
            placed(&answer(true, vec![("_x.a.b.example.test", soa())], vec![])),
            Placement::Apex(name("_x.a.b.example.test"))
        );
        assert!(matches!(placed(&answer(true, vec![], vec![("test", soa())])), Placement::Unusable(_)));
        assert!(matches!(placed(&answer(true, vec![], vec![("c.example.test", soa())])), Placement::Unusable(_)));
    }

    #[test]
    fn a_referral_counts_only_downwards_and_its_glue_only_inside() {
        for wrong_aa in [false, true] {
            let mut message = answer(
                wrong_aa,
                vec![],
                vec![("b.example.test", ns("ns.b.example.test")), ("b.example.test", ns("ns.other.test"))],
            );
            for owner in ["ns.b.example.test", "ns.other.test", "unasked.example.test"] {
                let data = RData::A(A::new(192, 0, 2, 1));
                message.add_additional(WireRecord::from_rdata(name(owner).to_wire(), 60, data));
            }
            let glue = HashMap::from([(name("ns.b.example.test"), vec![IpAddr::from([192, 0, 2, 1])])]);
            let servers = vec![name("ns.b.example.test"), name("ns.other.test")];
            assert_eq!(placed(&message), Placement::Child { zone: name("b.example.test"), servers, glue, referred: true });
        }
        for owner in ["test", "c.example.test", "example.test"] {
            assert!(matches!(placed(&answer(false, vec![], vec![(owner, ns("ns.test"))])), Placement::Unusable(_)), "{owner}");
        }
    }

    #[test]
    fn an_alias_does_not_tell_and_a_failure_is_not_usable() {
        let alias = RData::CNAME(CNAME(name("elsewhere.test").to_wire()));
        assert_eq!(placed(&answer(true, vec![("_x.a.b.example.test", alias)], vec![])), Placement::Alias);
        assert_eq!(placed(&answer(true, vec![], vec![])), Placement::Here);
        let mut refused = answer(true, vec![], vec![]);
        refused.metadata.response_code = ResponseCode::Refused;
        assert_eq!(placed(&refused), Placement::Unusable("answers REFUSED".to_owned()));
    }
}
