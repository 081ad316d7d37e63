//! DNS messages of this provider: what is asked and sent, and what answers mean. No I/O.

use hickory_proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, RData, Record as WireRecord, RecordType as WireType,
        rdata::{CNAME, TXT},
    },
};

use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    record::{Record, RecordType},
};

/// The longest text of one character string (RFC 1035 section 3.3).
const STRING: usize = 255;

/// What an update does.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Adds the value to those that are there.
    Add {
        /// Its TTL in seconds.
        ttl: u32,
    },
    /// Removes the value.
    Remove {
        /// The forms in which the server has it: a long text may be cut into strings in many ways.
        seen: Vec<RData>,
    },
}

/// A question for the records of one type at a name, for the server's own data only (RD=0).
pub(super) fn question(name: &Name, record_type: RecordType) -> Message {
    ask(name, wire_type(record_type))
}

/// A question for the SOA record at a name: its answer tells the zone.
pub(super) fn question_for_zone(name: &Name) -> Message {
    ask(name, WireType::SOA)
}

fn ask(name: &Name, wire_type: WireType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name.to_wire(), wire_type));
    message.set_edns(Edns::new());
    message
}

/// The update for one change of one value (RFC 2136 section 2).
///
/// # Errors
/// `ErrorKind::Provider` where the name is outside the zone; `ErrorKind::Usage` for a value that no record can hold.
pub(super) fn update(zone: &Name, record: &Record, change: Change) -> Result<Message> {
    if !record.name.is_within(zone) {
        return Err(Error::provider(t!("%{name} is not within the zone %{zone}", name = record.name, zone)));
    }
    let owner = record.name.to_wire();
    let data = rdata(record)?;
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(zone.to_wire(), WireType::SOA));
    message.set_edns(Edns::new());
    match change {
        Change::Add { ttl } => {
            // A server ignores silently, or replaces, what cannot stand beside a CNAME (RFC 2136 section 3.4.2.2): so the
            // update holds only where no such record is in the way. Section 2.4.5 for CNAME, 2.4.3 for all others.
            let (wire_type, class) = match record.record_type {
                RecordType::Cname => (WireType::ANY, DNSClass::NONE),
                RecordType::Txt | RecordType::File => (WireType::CNAME, DNSClass::NONE),
            };
            let mut prerequisite = WireRecord::update0(owner.clone(), 0, wire_type);
            prerequisite.dns_class = class;
            message.add_answer(prerequisite.into_record_of_rdata());
            message.add_authority(WireRecord::from_rdata(owner, ttl, data));
        }
        Change::Remove { mut seen } => {
            // Also the plain form where it was not seen: the server that was asked may be behind.
            if !seen.contains(&data) {
                seen.push(data);
            }
            for data in seen {
                let mut removed = WireRecord::from_rdata(owner.clone(), 0, data);
                removed.dns_class = DNSClass::NONE;
                message.add_authority(removed);
            }
        }
    }
    Ok(message)
}

/// The data of the record, long text cut into strings of 255 bytes.
fn rdata(record: &Record) -> Result<RData> {
    match record.record_type {
        RecordType::Txt => {
            let bytes = record.value.as_bytes();
            if bytes.len() > 60_000 {
                return Err(Error::usage(t!(
                    "the value for %{name} has %{bytes} bytes: too long for a record",
                    name = record.name,
                    bytes = bytes.len()
                )));
            }
            let strings = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(STRING).collect() };
            Ok(RData::TXT(TXT::from_bytes(strings)))
        }
        RecordType::Cname => {
            let target =
                Name::parse(&record.value).map_err(|error| error.context(t!("the CNAME at %{name}", name = record.name)))?;
            Ok(RData::CNAME(CNAME(target.to_wire())))
        }
        RecordType::File => Err(Error::usage(t!("%{record} is no record", record = record.title()))),
    }
}

fn wire_type(record_type: RecordType) -> WireType {
    match record_type {
        RecordType::Txt => WireType::TXT,
        RecordType::Cname => WireType::CNAME,
        RecordType::File => WireType::ZERO,
    }
}

/// What a server has at a name, of one type.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    /// The data that means our value.
    pub(super) ours: Vec<RData>,
    /// The TTL of the set; `None` where there is none.
    pub(super) ttl: Option<u32>,
}

/// Reads the answer to [`question`]; `None` where the server does not answer with authority.
pub(super) fn present(answer: &Message, record: &Record) -> Option<Present> {
    if !answer.authoritative || !matches!(answer.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return None;
    }
    let owner = record.name.to_wire();
    let set = answer.answers.iter().filter(|it| it.name == owner && it.record_type() == wire_type(record.record_type));
    let mut present = Present::default();
    for found in set {
        present.ttl = Some(found.ttl);
        if means(&found.data, record) {
            present.ours.push(found.data.clone());
        }
    }
    Some(present)
}

fn means(data: &RData, record: &Record) -> bool {
    match (data, record.record_type) {
        (RData::TXT(text), RecordType::Txt) => text.txt_data.concat() == record.value.as_bytes(),
        (RData::CNAME(target), RecordType::Cname) => {
            Name::parse(&record.value).is_ok_and(|wanted| Name::from_wire(&target.0) == wanted)
        }
        _ => false,
    }
}

/// What the answer to [`question_for_zone`] says of the zone of the name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The server has the zone.
    Zone(Name),
    /// The name is an alias, which hides its zone: the name above tells.
    Above,
    /// The name lies in a zone that this server delegates.
    Elsewhere {
        /// The zone.
        zone: Name,
        /// Its name servers.
        servers: Vec<String>,
    },
    /// The server has no zone that holds the name; this was its answer.
    NotServed(ResponseCode),
}

/// Reads the answer to [`question_for_zone`].
pub(super) fn cut(answer: &Message, name: &Name) -> Cut {
    let sections = || answer.answers.iter().chain(&answer.authorities);
    let is_alias = |record: &&WireRecord| record.record_type() == WireType::CNAME && Name::from_wire(&record.name) == *name;
    if answer.authoritative && answer.answers.iter().any(|record| is_alias(&record)) {
        return Cut::Above;
    }
    let owner = |wire_type: WireType| {
        let owners =
            sections().filter(move |record| record.record_type() == wire_type).map(|record| Name::from_wire(&record.name));
        owners.filter(|owner| name.is_within(owner)).max_by_key(|owner| owner.labels().count())
    };
    match answer.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if answer.authoritative => {
            owner(WireType::SOA).map_or(Cut::Above, Cut::Zone)
        }
        // A referral downwards; one to the root or a top-level domain only says "not mine".
        ResponseCode::NoError => match owner(WireType::NS).filter(|zone| zone.labels().count() > 1) {
            Some(zone) => {
                let servers =
                    sections().filter(|record| Name::from_wire(&record.name) == zone).filter_map(|record| match &record.data {
                        RData::NS(server) => Some(Name::from_wire(&server.0).to_string()),
                        _ => None,
                    });
                Cut::Elsewhere { servers: servers.collect(), zone }
            }
            None => Cut::NotServed(answer.response_code),
        },
        code => Cut::NotServed(code),
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::MessageType,
        rr::rdata::{NS, SOA},
    };
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn txt(value: &str) -> Record {
        Record { name: name("_dv.www.example.test"), record_type: RecordType::Txt, value: value.into() }
    }

    fn wire(owner: &str, data: RData) -> WireRecord {
        WireRecord::from_rdata(name(owner).to_wire(), 77, data)
    }

    fn soa(zone: &str) -> WireRecord {
        wire(zone, RData::SOA(SOA::new(name(zone).to_wire(), name(zone).to_wire(), 1, 1, 1, 1, 1)))
    }

    fn answer(code: ResponseCode, authoritative: bool, answers: Vec<WireRecord>, authorities: Vec<WireRecord>) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message.metadata.authoritative = authoritative;
        message.add_answers(answers);
        message.add_authorities(authorities);
        message
    }

    #[test]
    fn the_zone_is_where_the_soa_record_is() {
        let asked = name("_dv.www.example.test");
        let of_name_error = answer(ResponseCode::NXDomain, true, vec![], vec![soa("example.test")]);
        assert_eq!(cut(&of_name_error, &asked), Cut::Zone(name("example.test")));
        let apex = answer(ResponseCode::NoError, true, vec![soa("example.test")], vec![]);
        assert_eq!(cut(&apex, &name("example.test")), Cut::Zone(name("example.test")));
    }

    #[test]
    fn an_alias_into_another_zone_does_not_lead_there() {
        let alias = wire("_dv.www.example.test", RData::CNAME(CNAME(name("x.other.test").to_wire())));
        let chased = answer(ResponseCode::NoError, true, vec![alias], vec![soa("other.test")]);
        assert_eq!(cut(&chased, &name("_dv.www.example.test")), Cut::Above);
    }

    #[test]
    fn a_referral_names_the_other_servers_but_one_to_the_root_does_not() {
        let asked = name("_dv.sub.example.test");
        let ns = |owner: &str| wire(owner, RData::NS(NS(name("ns.away.test").to_wire())));
        let down = answer(ResponseCode::NoError, false, vec![], vec![ns("sub.example.test")]);
        assert_eq!(cut(&down, &asked), Cut::Elsewhere { zone: name("sub.example.test"), servers: vec!["ns.away.test".into()] });
        let mut root = ns("test");
        root.name = hickory_proto::rr::Name::root();
        assert_eq!(cut(&answer(ResponseCode::NoError, false, vec![], vec![root]), &asked), Cut::NotServed(ResponseCode::NoError));
        assert_eq!(cut(&answer(ResponseCode::Refused, false, vec![], vec![]), &asked), Cut::NotServed(ResponseCode::Refused));
    }

    #[test]
    fn a_value_is_found_however_its_text_is_cut() {
        let cut_text = RData::TXT(TXT::from_bytes(vec![b"to", b"ken"]));
        let other = RData::TXT(TXT::from_bytes(vec![b"token2"]));
        let owner = "_dv.www.example.test";
        let found = answer(ResponseCode::NoError, true, vec![wire(owner, other), wire(owner, cut_text.clone())], vec![]);
        assert_eq!(present(&found, &txt("token")), Some(Present { ours: vec![cut_text], ttl: Some(77) }));
        assert_eq!(present(&found, &txt("tok")), Some(Present { ours: vec![], ttl: Some(77) }));
    }

    #[test]
    fn without_authority_nothing_is_known() {
        let stranger = answer(ResponseCode::NoError, false, vec![], vec![]);
        assert_eq!(present(&stranger, &txt("token")), None);
        assert_eq!(present(&answer(ResponseCode::Refused, true, vec![], vec![]), &txt("token")), None);
        assert_eq!(present(&answer(ResponseCode::NXDomain, true, vec![], vec![]), &txt("token")), Some(Present::default()));
    }

    #[test]
    fn a_name_outside_the_zone_is_an_error() {
        for zone in ["other.test", "ww.example.test", "x._dv.www.example.test"] {
            assert!(update(&name(zone), &txt("token"), Change::Add { ttl: 60 }).is_err(), "{zone}");
        }
        assert!(update(&Name::root(), &txt("token"), Change::Remove { seen: vec![] }).is_ok());
    }

    #[test]
    fn removing_names_each_form_once() {
        let seen = vec![RData::TXT(TXT::from_bytes(vec![b"to", b"ken"])), RData::TXT(TXT::from_bytes(vec![b"token"]))];
        let message = update(&name("example.test"), &txt("token"), Change::Remove { seen }).unwrap();
        assert_eq!(message.authorities.len(), 2);
        assert!(message.authorities.iter().all(|it| it.dns_class == DNSClass::NONE && it.ttl == 0));
    }

    proptest! {
        #[test]
        fn any_text_survives_the_wire(value in ".{0,400}") {
            let record = txt(&value);
            let message = update(&name("example.test"), &record, Change::Add { ttl: 60 }).unwrap();
            let back = Message::from_vec(&message.to_vec().unwrap()).unwrap();
            prop_assert!(means(&back.authorities[0].data, &record));
        }
    }
}
