//! One authoritative server: the primary, which also takes updates, or a secondary, which lags.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hickory_proto::{
    op::{Message, OpCode, Query, ResponseCode},
    rr::TSigner,
};
use serde::{Deserialize, Serialize};

use super::{Counter, Limit, Responder, SharedZones, answer::answer, fill, question_text, reply_to, tsig, update};
use crate::sandbox::{
    faults::{Answer, Rules, Service},
    locked,
    zone::Moment,
};

/// How an authoritative server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Behaviour {
    /// As it should.
    #[default]
    Normal,
    /// It never learns what changes from now on.
    LagForever,
    /// It answers every question with REFUSED.
    Refuse,
    /// It answers every question with SERVFAIL.
    ServerFailure,
    /// It answers nothing, and closes connections.
    Dead,
    /// It answers without authority and without records, as a server that was never told about the zone.
    Lame,
    /// Over UDP it answers nothing but "ask again over TCP".
    Truncate,
}

/// An authoritative server, without its sockets.
pub(in crate::sandbox) struct Authority {
    zones: SharedZones,
    lag: Duration,
    state: Mutex<State>,
    /// The key for updates; only the primary has one.
    signer: Option<TSigner>,
    /// What goes wrong with updates.
    faults: Arc<Mutex<Rules>>,
    /// How often it was asked, by name and type. What the sandbox's own validator asks does not count.
    pub(in crate::sandbox) questions: Counter,
}

#[derive(Clone, Copy, Default)]
struct State {
    behaviour: Behaviour,
    /// Where [`Behaviour::LagForever`] stopped the clock.
    stopped: Option<Moment>,
}

impl Authority {
    /// A server of these zones that shows what the data was `lag` ago.
    pub(in crate::sandbox) fn new(zones: SharedZones, lag: Duration, signer: Option<TSigner>, faults: Arc<Mutex<Rules>>) -> Self {
        Self { zones, lag, state: Mutex::default(), signer, faults, questions: Counter::default() }
    }

    /// Changes how the server behaves, from `now` on.
    pub(in crate::sandbox) fn behave(&self, behaviour: Behaviour, now: Instant) {
        let stopped = (behaviour == Behaviour::LagForever).then(|| now.checked_sub(self.lag));
        *locked(&self.state) = State { behaviour, stopped };
    }

    /// How the server behaves.
    pub(in crate::sandbox) fn behaviour(&self) -> Behaviour {
        locked(&self.state).behaviour
    }

    /// How far behind the primary the server is.
    pub(in crate::sandbox) fn lag(&self) -> Duration {
        self.lag
    }

    /// The moment whose data the server shows at `now`.
    pub(super) fn moment(&self, now: Instant) -> Moment {
        locked(&self.state).stopped.unwrap_or_else(|| now.checked_sub(self.lag))
    }

    /// The reply to one message at `now`; `None`: silence.
    pub(super) fn respond(&self, request: &[u8], limit: Limit, now: Instant, counted: bool) -> Option<Vec<u8>> {
        let behaviour = self.behaviour();
        let Ok(message) = Message::from_vec(request) else { return super::format_error(request) };
        if counted && let Some(question) = message.queries.first() {
            self.questions.count(question_text(question));
        }
        let mut reply = reply_to(&message);
        match behaviour {
            Behaviour::Dead => return None,
            Behaviour::Refuse => reply.metadata.response_code = ResponseCode::Refused,
            Behaviour::ServerFailure => reply.metadata.response_code = ResponseCode::ServFail,
            Behaviour::Lame => {}
            Behaviour::Truncate if limit == Limit::Udp => return super::truncated(&reply),
            Behaviour::Truncate | Behaviour::Normal | Behaviour::LagForever => match message.op_code {
                OpCode::Query => {
                    self.answer(&message.queries, &mut reply, now);
                    if let Some(signer) = &self.signer
                        && message.signature().is_some()
                    {
                        // Who signs a question gets a signed answer (RFC 8945 section 5.3).
                        return signed(signer, request, &message, |_| reply);
                    }
                }
                OpCode::Update => return self.update(request, &message, reply, now),
                _ => reply.metadata.response_code = ResponseCode::NotImp,
            },
        }
        super::encode(&reply, limit.bytes(&message))
    }

    fn answer(&self, questions: &[Query], reply: &mut Message, now: Instant) {
        let Some(question) = questions.first() else {
            reply.metadata.response_code = ResponseCode::FormErr;
            return;
        };
        match answer(&locked(&self.zones), question, self.moment(now)) {
            Some(answer) => fill(reply, answer),
            None => reply.metadata.response_code = ResponseCode::Refused,
        }
    }

    fn update(&self, request: &[u8], message: &Message, mut reply: Message, now: Instant) -> Option<Vec<u8>> {
        let Some(signer) = &self.signer else {
            // A secondary would have to forward it (RFC 2136 section 6); ours do not.
            reply.metadata.response_code = ResponseCode::NotImp;
            return super::encode(&reply, usize::MAX);
        };
        let fault = locked(&self.faults).take(Service::Update, "UPDATE");
        if fault == Some(Answer::Drop) {
            return None;
        }
        let replied = signed(signer, request, message, |is_accepted| {
            if matches!(fault, None | Some(Answer::LostReply)) && is_accepted {
                reply.metadata.response_code = update::apply(&mut locked(&self.zones), message, now);
            } else if fault.is_some() {
                reply.metadata.response_code = ResponseCode::ServFail;
            }
            reply
        });
        if fault == Some(Answer::LostReply) { None } else { replied }
    }
}

/// The signed reply to a signed message. `reply` learns whether the signature was accepted.
fn signed(signer: &TSigner, request: &[u8], message: &Message, reply: impl FnOnce(bool) -> Message) -> Option<Vec<u8>> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match tsig::check(signer, request, message, clock) {
        Ok(mac) => tsig::sign(reply(true), signer, mac, clock),
        Err(refusal) => tsig::refuse(reply(false), signer, message, refusal, clock),
    }
}

/// One door to an authority: its public sockets, or the ones that the validator uses.
pub(in crate::sandbox) struct Door {
    /// The server behind it.
    pub(in crate::sandbox) authority: Arc<Authority>,
    /// Whether questions through this door are counted.
    pub(in crate::sandbox) counted: bool,
}

impl Responder for Door {
    fn respond(&self, request: &[u8], limit: Limit) -> Option<Vec<u8>> {
        self.authority.respond(request, limit, Instant::now(), self.counted)
    }

    fn accepts_connections(&self) -> bool {
        self.authority.behaviour() != Behaviour::Dead
    }
}
