//! Zone data with its whole history, so that a secondary can serve what the primary had a while ago.
//!
//! Nothing is copied per version: each record carries since when and until when it is there. Records that were removed stay in
//! memory until the sandbox ends, since a secondary may lag for ever.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    time::Instant,
};

use hickory_proto::rr::{
    RData, Record, RecordType,
    rdata::{A, NS, SOA},
};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use super::validator::Wake;
use crate::name::Name;

/// The TTL of the records that every zone has, in seconds.
const APEX_TTL: u32 = 3600;

/// The serial number of a zone that was never changed.
const FIRST_SERIAL: u32 = 1;

/// A point in the history; `None` is before the first change.
pub(super) type Moment = Option<Instant>;

/// The identity of a record at the provider's API.
pub(super) type RecordId = u128;

/// All zones of the sandbox.
pub(super) struct Zones {
    zones: BTreeMap<Name, Zone>,
    wake: UnboundedSender<Wake>,
}

/// One zone.
pub(super) struct Zone {
    /// Its name.
    pub(super) apex: Name,
    /// Its identity at the provider's API: 32 hexadecimal digits.
    pub(super) id: String,
    /// Owner names in the order of their labels from the right, so that what is below a name follows it.
    tree: BTreeMap<String, Vec<Entry>>,
    index: HashMap<RecordId, String>,
    changes: Vec<Instant>,
    negative_ttl: u32,
}

/// One record.
#[derive(Clone)]
pub(super) struct Entry {
    /// Its identity.
    pub(super) id: RecordId,
    /// Its owner.
    pub(super) name: Name,
    /// Its data.
    pub(super) data: RData,
    /// Its TTL in seconds.
    pub(super) ttl: u32,
    /// Its data as the provider's API got it.
    pub(super) content: String,
    /// When it was made.
    pub(super) created: Timestamp,
    since: Moment,
    until: Moment,
}

/// A record to put in.
pub(super) struct NewRecord {
    /// Its owner.
    pub(super) name: Name,
    /// Its data.
    pub(super) data: RData,
    /// Its TTL in seconds.
    pub(super) ttl: u32,
    /// Its data as the provider's API shows it.
    pub(super) content: String,
}

/// What a zone says to a question.
pub(super) enum Lookup {
    /// These records.
    Records(Vec<Record>),
    /// The name is an alias.
    Alias(Box<Record>, Name),
    /// The name lies in a part that is delegated to these servers.
    Referral(Vec<Record>),
    /// The name exists, records of the type do not.
    NoData,
    /// The name does not exist.
    NoName,
}

impl Entry {
    fn visible(&self, at: Moment) -> bool {
        let begun = self.since.is_none_or(|since| at.is_some_and(|at| since <= at));
        let ended = self.until.is_some_and(|until| at.is_some_and(|at| until <= at));
        begun && !ended
    }

    /// Whether it was added, and not there from the start.
    pub(super) fn was_added(&self) -> bool {
        self.since.is_some()
    }

    /// The record as it goes on the wire.
    fn record(&self) -> Record {
        Record::from_rdata(self.name.to_wire(), self.ttl, self.data.clone())
    }
}

impl Zones {
    /// Zones with these names, each with a SOA record and three name servers at 127.0.0.1 to 127.0.0.3. Whoever listens to `wake`
    /// hears the name of every record that comes or goes.
    pub(super) fn new(names: &[Name], negative_ttl: u32, wake: UnboundedSender<Wake>) -> Self {
        let zones = names.iter().map(|name| (name.clone(), Zone::new(name, negative_ttl))).collect();
        Self { zones, wake }
    }

    /// The zone that the name is in: the one with the longest name.
    pub(super) fn holding(&self, name: &Name) -> Option<&Zone> {
        name.ancestors().find_map(|ancestor| self.zones.get(&ancestor))
    }

    /// The zone with exactly this name.
    pub(super) fn named(&self, apex: &Name) -> Option<&Zone> {
        self.zones.get(apex)
    }

    /// The zone with this identity.
    pub(super) fn with_id(&self, id: &str) -> Option<&Zone> {
        self.zones.values().find(|zone| zone.id == id)
    }

    /// All zones by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Zone> {
        self.zones.values()
    }

    /// Puts in a record at `now`, and returns its identity; `None` where no zone holds its name.
    pub(super) fn add(&mut self, record: NewRecord, now: Instant) -> Option<RecordId> {
        let apex = self.holding(&record.name)?.apex.clone();
        let name = record.name.clone();
        let id = self.zones.get_mut(&apex)?.add(record, now);
        self.tell(name);
        Some(id)
    }

    /// Takes out the record with this identity at `now`; `false` where there is none.
    pub(super) fn remove(&mut self, apex: &Name, id: RecordId, now: Instant) -> bool {
        let removed = self.zones.get_mut(apex).and_then(|zone| zone.remove(id, now));
        let found = removed.is_some();
        if let Some(name) = removed {
            self.tell(name);
        }
        found
    }

    /// Whether the primary has any record at the name now.
    pub(super) fn has_data(&self, name: &Name, now: Instant) -> bool {
        self.holding(name).is_some_and(|zone| zone.at(name, Some(now)).next().is_some())
    }

    fn tell(&self, name: Name) {
        // Nobody listens any more while the sandbox ends; then nobody minds.
        let _ = self.wake.send(Wake::Changed(name));
    }
}

impl Zone {
    fn new(apex: &Name, negative_ttl: u32) -> Self {
        let mut zone = Self {
            apex: apex.clone(),
            id: format!("{:032x}", rand::random::<u128>()),
            tree: BTreeMap::new(),
            index: HashMap::new(),
            changes: Vec::new(),
            negative_ttl,
        };
        for number in 1..=3 {
            let host = zone.server(number);
            let data = RData::NS(NS(host.to_wire()));
            zone.put(NewRecord { name: apex.clone(), content: host.to_string(), data, ttl: APEX_TTL }, None);
            let address = Ipv4Addr::new(127, 0, 0, number);
            zone.put(NewRecord { name: host, content: address.to_string(), data: RData::A(A(address)), ttl: APEX_TTL }, None);
        }
        zone
    }

    /// The host name of one of the three name servers, counted from 1.
    fn server(&self, number: u8) -> Name {
        self.apex.below(&format!("ns{number}")).unwrap_or_else(|_| self.apex.clone())
    }

    /// The serial number at a moment: one more with each change.
    pub(super) fn serial(&self, at: Moment) -> u32 {
        let changes = at.map_or(0, |at| self.changes.partition_point(|change| *change <= at));
        FIRST_SERIAL.wrapping_add(u32::try_from(changes).unwrap_or(u32::MAX))
    }

    /// The SOA record at a moment.
    pub(super) fn soa(&self, at: Moment) -> Record {
        let mailbox = self.apex.below("hostmaster").unwrap_or_else(|_| self.apex.clone());
        let data = SOA::new(self.server(1).to_wire(), mailbox.to_wire(), self.serial(at), 3600, 600, 86_400, self.negative_ttl);
        Record::from_rdata(self.apex.to_wire(), self.negative_ttl, RData::SOA(data))
    }

    /// What the zone answers to a question about `name`, which it holds.
    pub(super) fn lookup(&self, name: &Name, record_type: RecordType, at: Moment) -> Lookup {
        if let Some(referral) = self.referral(name, record_type, at) {
            return Lookup::Referral(referral);
        }
        let mut here: Vec<Record> = self.at(name, at).map(Entry::record).collect();
        if *name == self.apex {
            here.push(self.soa(at));
        }
        if here.is_empty() {
            return if self.is_between(name, at) { Lookup::NoData } else { Lookup::NoName };
        }
        if record_type != RecordType::CNAME && record_type != RecordType::ANY {
            let alias = here.iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some((record.clone(), Name::from_wire(&target.0))),
                _ => None,
            });
            if let Some((record, target)) = alias {
                return Lookup::Alias(Box::new(record), target);
            }
        }
        here.retain(|record| record_type == RecordType::ANY || record.record_type() == record_type);
        if here.is_empty() { Lookup::NoData } else { Lookup::Records(here) }
    }

    /// The records at a name at a moment, without the SOA record.
    pub(super) fn at(&self, name: &Name, at: Moment) -> impl Iterator<Item = &Entry> {
        self.tree.get(&key(name)).into_iter().flatten().filter(move |entry| entry.visible(at))
    }

    /// All records at a moment, without the SOA record.
    pub(super) fn all(&self, at: Moment) -> impl Iterator<Item = &Entry> {
        self.tree.values().flatten().filter(move |entry| entry.visible(at))
    }

    /// The record with this identity, while it is there.
    pub(super) fn record(&self, id: RecordId) -> Option<&Entry> {
        self.tree.get(self.index.get(&id)?)?.iter().find(|entry| entry.id == id && entry.until.is_none())
    }

    fn add(&mut self, record: NewRecord, now: Instant) -> RecordId {
        self.changes.push(now);
        self.put(record, Some(now))
    }

    fn put(&mut self, record: NewRecord, since: Moment) -> RecordId {
        let id: RecordId = rand::random();
        let key = key(&record.name);
        self.index.insert(id, key.clone());
        let NewRecord { name, data, ttl, content } = record;
        let entry = Entry { id, name, data, ttl, content, created: Timestamp::now(), since, until: None };
        self.tree.entry(key).or_default().push(entry);
        id
    }

    fn remove(&mut self, id: RecordId, now: Instant) -> Option<Name> {
        let key = self.index.remove(&id)?;
        let entry = self.tree.get_mut(&key)?.iter_mut().find(|entry| entry.id == id)?;
        entry.until = Some(now);
        self.changes.push(now);
        Some(entry.name.clone())
    }

    /// The NS records of the child zone that holds the name, where a part of this zone is delegated.
    fn referral(&self, name: &Name, record_type: RecordType, at: Moment) -> Option<Vec<Record>> {
        let below = name.ancestors().take_while(|ancestor| *ancestor != self.apex);
        below
            .filter(|cut| !(cut == name && record_type == RecordType::DS))
            .map(|cut| {
                self.at(&cut, at).filter(|e| e.data.record_type() == RecordType::NS).map(Entry::record).collect::<Vec<_>>()
            })
            .find(|servers| !servers.is_empty())
    }

    /// Whether the name has no records, but a name below it does (an empty non-terminal, RFC 8499).
    fn is_between(&self, name: &Name, at: Moment) -> bool {
        let key = key(name);
        let below = (format!("{key}\0"), format!("{key}\x01"));
        self.tree.range(below.0..below.1).any(|(_, entries)| entries.iter().any(|entry| entry.visible(at)))
    }
}

fn key(name: &Name) -> String {
    name.labels().rev().collect::<Vec<_>>().join("\0")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hickory_proto::rr::rdata::TXT;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn text(owner: &str, value: &str) -> NewRecord {
        let data = RData::TXT(TXT::new(vec![value.to_owned()]));
        NewRecord { name: name(owner), data, ttl: 60, content: value.to_owned() }
    }

    fn zones() -> Zones {
        Zones::new(&[name("example.com")], 30, unbounded_channel().0)
    }

    fn values(zones: &Zones, owner: &str, at: Moment) -> usize {
        match zones.holding(&name(owner)).unwrap().lookup(&name(owner), RecordType::TXT, at) {
            Lookup::Records(records) => records.len(),
            _ => 0,
        }
    }

    #[test]
    fn the_past_stays_as_it_was() {
        let mut zones = zones();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let apex = name("example.com");
        let id = zones.add(text("_a.example.com", "one"), start + second).unwrap();
        zones.add(text("_a.example.com", "two"), start + 2 * second).unwrap();
        assert!(zones.remove(&apex, id, start + 3 * second));
        let seen: Vec<usize> = (0..4).map(|s| values(&zones, "_a.example.com", Some(start + s * second))).collect();
        assert_eq!(seen, [0, 1, 2, 1]);
        let zone = zones.named(&apex).unwrap();
        let serials: Vec<u32> = (0..4).map(|s| zone.serial(Some(start + s * second))).collect();
        assert_eq!(serials, [1, 2, 3, 4]);
        assert_eq!(zone.serial(None), 1);
        assert!(!zones.remove(&apex, id, start + 4 * second), "it is gone already");
    }

    #[test]
    fn names_between_exist_and_others_do_not() {
        let mut zones = zones();
        let now = Instant::now();
        zones.add(text("_a.www.example.com", "one"), now).unwrap();
        let zone = zones.named(&name("example.com")).unwrap();
        let ask = |owner: &str| zone.lookup(&name(owner), RecordType::TXT, Some(now));
        assert!(matches!(ask("www.example.com"), Lookup::NoData));
        assert!(matches!(ask("ww.example.com"), Lookup::NoName));
        assert!(matches!(ask("x._a.www.example.com"), Lookup::NoName));
        assert!(matches!(ask("example.com"), Lookup::NoData));
        assert!(matches!(ask("_a.www.example.com"), Lookup::Records(_)));
    }

    #[test]
    fn every_change_is_told() {
        let (wake, mut woken) = unbounded_channel();
        let mut zones = Zones::new(&[name("example.com")], 30, wake);
        let id = zones.add(text("_a.example.com", "one"), Instant::now()).unwrap();
        zones.remove(&name("example.com"), id, Instant::now());
        for _ in 0..2 {
            assert!(matches!(woken.try_recv(), Ok(Wake::Changed(changed)) if changed == name("_a.example.com")));
        }
        assert!(zones.add(text("a.example.net", "x"), Instant::now()).is_none());
    }
}
