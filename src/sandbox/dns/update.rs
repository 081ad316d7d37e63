//! DNS UPDATE (RFC 2136): prerequisites and changes of a message that may update.

use std::time::Instant;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, RData, Record, RecordType},
};

use crate::{
    name::Name,
    sandbox::{
        records,
        zone::{Entry, NewRecord, Zone, Zones},
    },
};

/// Applies the message, all of it or nothing, and returns the response code.
pub(super) fn apply(zones: &mut Zones, message: &Message, now: Instant) -> ResponseCode {
    let apex = match message.queries.as_slice() {
        [zone] if zone.query_type() == RecordType::SOA => Name::from_wire(zone.name()),
        _ => return ResponseCode::FormErr,
    };
    let Some(zone) = zones.named(&apex) else { return ResponseCode::NotAuth };
    let inside = |record: &Record| zones.holding(&Name::from_wire(&record.name)).is_some_and(|holder| holder.apex == apex);
    // The sections carry other names in an update: answers are prerequisites, authorities are changes (RFC 2136 section 2).
    if !message.answers.iter().chain(&message.authorities).all(inside) {
        return ResponseCode::NotZone;
    }
    if let Some(code) = message.answers.iter().find_map(|record| broken_prerequisite(zone, record, now)) {
        return code;
    }
    for change in &message.authorities {
        apply_one(zones, &apex, change, now);
    }
    ResponseCode::NoError
}

/// The response code of a prerequisite that is not met (RFC 2136 section 3.2).
fn broken_prerequisite(zone: &Zone, record: &Record, now: Instant) -> Option<ResponseCode> {
    let name = Name::from_wire(&record.name);
    let mut there = zone.at(&name, Some(now));
    let record_type = record.record_type();
    let met = match (record.dns_class, record_type) {
        (DNSClass::ANY, RecordType::ANY) => (there.next().is_some() || name == zone.apex, ResponseCode::NXDomain),
        (DNSClass::ANY, _) => (there.any(|entry| entry.data.record_type() == record_type), ResponseCode::NXRRSet),
        (DNSClass::NONE, RecordType::ANY) => (there.next().is_none() && name != zone.apex, ResponseCode::YXDomain),
        (DNSClass::NONE, _) => (!there.any(|entry| entry.data.record_type() == record_type), ResponseCode::YXRRSet),
        _ => (there.any(|entry| records::same(&entry.data, &record.data)), ResponseCode::NXRRSet),
    };
    (!met.0).then_some(met.1)
}

/// One change (RFC 2136 section 3.4.2).
fn apply_one(zones: &mut Zones, apex: &Name, change: &Record, now: Instant) {
    let name = Name::from_wire(&change.name);
    let Some(zone) = zones.named(apex) else { return };
    let there: Vec<Entry> = zone.at(&name, Some(now)).cloned().collect();
    let record_type = change.record_type();
    // The zone must keep its name servers (RFC 2136 section 7.13 leaves it to us how).
    let guarded = |entry: &Entry| name == *apex && entry.data.record_type() == RecordType::NS;
    let doomed = |entry: &Entry| match change.dns_class {
        DNSClass::NONE => records::same(&entry.data, &change.data),
        _ => record_type == RecordType::ANY || entry.data.record_type() == record_type,
    };
    if change.dns_class != DNSClass::IN {
        for entry in there.iter().filter(|entry| doomed(entry) && !guarded(entry)) {
            zones.remove(apex, entry.id, now);
        }
        return;
    }
    let is_alias = |data: &RData| data.record_type() == RecordType::CNAME;
    let conflict = there.iter().any(|entry| is_alias(&entry.data) != is_alias(&change.data));
    let known = there.iter().any(|entry| records::same(&entry.data, &change.data));
    if conflict || known || record_type == RecordType::SOA {
        return;
    }
    if is_alias(&change.data) {
        for entry in &there {
            zones.remove(apex, entry.id, now);
        }
    }
    let content = records::content(&change.data);
    zones.add(NewRecord { name, data: change.data.clone(), ttl: change.ttl, content }, now);
}
