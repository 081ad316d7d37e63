//! A recursive resolver that knows nothing but the sandbox's zones and what lies above them.
//!
//! It asks the three authorities in turn and keeps negative answers as long as the zone says (RFC 2308, RFC 8020): whoever asks it
//! too early for a record does not see that record for a while. Positive answers are not kept.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, OpCode, Query, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::{NS, SOA},
    },
};

use super::{
    Counter, Limit, Responder, SharedZones,
    answer::{Answer, answer},
    authority::{Authority, Behaviour},
    encode, fill, format_error, question_text, reply_to,
};
use crate::{name::Name, sandbox::locked};

/// The TTL of what is made up for the zones above ours, in seconds.
const PARENT_TTL: u32 = 3600;

/// A name that does not exist, or that has no records of a type.
type Negative = (Name, Option<RecordType>);

/// The resolver, without its sockets.
pub(in crate::sandbox) struct Recursive {
    zones: SharedZones,
    authorities: Vec<Arc<Authority>>,
    /// What lies above the zones: `com`, the root.
    parents: BTreeSet<Name>,
    turn: AtomicUsize,
    negative_ttl: Duration,
    negative: Mutex<HashMap<Negative, (Instant, Answer)>>,
    /// How often it was asked, by name and type.
    pub(in crate::sandbox) questions: Counter,
}

impl Recursive {
    /// A resolver of these zones, served by these authorities.
    pub(in crate::sandbox) fn new(
        zones: SharedZones,
        names: &[Name],
        authorities: Vec<Arc<Authority>>,
        negative_ttl: Duration,
    ) -> Self {
        Self {
            zones,
            authorities,
            parents: names.iter().flat_map(|name| name.ancestors().skip(1)).filter(|parent| !names.contains(parent)).collect(),
            turn: AtomicUsize::new(0),
            negative_ttl,
            negative: Mutex::default(),
            questions: Counter::default(),
        }
    }

    fn resolve(&self, question: &Query, now: Instant) -> Answer {
        let name = Name::from_wire(question.name());
        if let Some(kept) = self.kept(&name, question.query_type(), now) {
            return kept;
        }
        if locked(&self.zones).holding(&name).is_none() {
            return self.above(&name, question.query_type());
        }
        let Some(mut answer) = self.ask(question, now) else {
            return Answer { code: ResponseCode::ServFail, ..Answer::default() };
        };
        answer.authoritative = false;
        if answer.answers.is_empty() {
            self.keep(name, question.query_type(), &answer, now);
        }
        answer
    }

    /// What the authority whose turn it is answers; the next one where it does not.
    fn ask(&self, question: &Query, now: Instant) -> Option<Answer> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.authorities.len();
        let works = |authority: &&Arc<Authority>| {
            matches!(authority.behaviour(), Behaviour::Normal | Behaviour::LagForever | Behaviour::Truncate)
        };
        let authority = (0..count).map(|step| &self.authorities[(first + step) % count]).find(works)?;
        answer(&locked(&self.zones), question, authority.moment(now))
    }

    fn kept(&self, name: &Name, record_type: RecordType, now: Instant) -> Option<Answer> {
        let negative = locked(&self.negative);
        let mut keys = std::iter::once((name.clone(), Some(record_type))).chain(name.ancestors().map(|above| (above, None)));
        keys.find_map(|key| negative.get(&key).filter(|(until, _)| *until > now)).map(|(_, answer)| answer.clone())
    }

    fn keep(&self, name: Name, record_type: RecordType, answer: &Answer, now: Instant) {
        let key = match answer.code {
            ResponseCode::NXDomain => (name, None),
            _ => (name, Some(record_type)),
        };
        locked(&self.negative).insert(key, (now + self.negative_ttl, answer.clone()));
    }

    /// The answer about a name that no zone of ours holds: the zones above ours exist and have name servers, nothing else exists.
    fn above(&self, name: &Name, record_type: RecordType) -> Answer {
        let exists = self.parents.contains(name);
        let closest = name.ancestors().find(|ancestor| self.parents.contains(ancestor)).unwrap_or_else(Name::root);
        let server = closest.below("a.nic").unwrap_or_else(|_| closest.clone()).to_wire();
        let soa = || RData::SOA(SOA::new(server.clone(), server.clone(), 1, 3600, 600, 86_400, PARENT_TTL));
        let record = |data| vec![Record::from_rdata(closest.to_wire(), PARENT_TTL, data)];
        match (exists, record_type) {
            (true, RecordType::NS) => Answer { answers: record(RData::NS(NS(server))), ..Answer::default() },
            (true, RecordType::SOA) => Answer { answers: record(soa()), ..Answer::default() },
            (true, _) => Answer { authorities: record(soa()), ..Answer::default() },
            (false, _) => Answer { code: ResponseCode::NXDomain, authorities: record(soa()), ..Answer::default() },
        }
    }

    pub(super) fn respond_at(&self, request: &[u8], limit: Limit, now: Instant) -> Option<Vec<u8>> {
        let Ok(message) = Message::from_vec(request) else { return format_error(request) };
        let mut reply = reply_to(&message);
        reply.metadata.recursion_available = true;
        match message.queries.first() {
            Some(question) if message.op_code == OpCode::Query => {
                self.questions.count(question_text(question));
                fill(&mut reply, self.resolve(question, now));
            }
            _ => reply.metadata.response_code = ResponseCode::NotImp,
        }
        encode(&reply, limit.bytes(&message))
    }
}

impl Responder for Recursive {
    fn respond(&self, request: &[u8], limit: Limit) -> Option<Vec<u8>> {
        self.respond_at(request, limit, Instant::now())
    }
}
