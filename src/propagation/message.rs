//! Questions as bytes, and whether bytes that came back answer them. No I/O.

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{
        DNSClass, Name as WireName, RecordType as WireType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};

use super::verdict::{option, response_word};

use crate::language::t;

/// The largest answer over UDP that we ask for: it passes every common path unfragmented (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
/// The option code of DNS cookies (RFC 7873 section 4).
const COOKIE: u16 = 10;
/// Bytes of a client cookie (RFC 7873 section 4).
const CLIENT_COOKIE: usize = 8;
/// The most bytes that client and server cookie have together (RFC 7873 section 4).
const WHOLE_COOKIE: usize = 40;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The name.
    pub(crate) name: WireName,
    /// The type.
    pub(crate) record_type: WireType,
    /// RD: whether a recursive resolver is to go and find the answer.
    pub(crate) recursion: bool,
    /// What a validating resolver is to do about DNSSEC.
    pub(crate) checking: Checking,
}

/// What a question says about DNSSEC (RFC 4035 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Checking {
    /// Nothing: the resolver does as it is configured.
    #[default]
    Unsaid,
    /// DO: signatures and AD are wanted.
    Wanted,
    /// DO and CD: the answer is wanted even if its signatures are wrong.
    Disabled,
}

/// How a server wants to be spoken to, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manners {
    /// Whether it understands EDNS (RFC 6891).
    pub(crate) edns: bool,
    /// Our client cookie, and the server's behind it once it sent one (RFC 7873).
    pub(crate) cookie: Vec<u8>,
    /// Whether TCP answered while UDP was silent, so that it need not be waited for.
    pub(crate) udp_is_lost: bool,
}

impl Manners {
    /// Of a server that was never asked.
    pub(crate) fn unknown() -> Self {
        Self { edns: true, cookie: rand::random::<[u8; CLIENT_COOKIE]>().to_vec(), udp_is_lost: false }
    }

    /// Takes the server's cookie from an answer. Whether there was one that is new.
    pub(crate) fn learn_cookie(&mut self, answer: &Message) -> bool {
        let Some(cookie) = option(answer, COOKIE) else { return false };
        // RFC 7873 section 4: a server cookie has 8 to 32 bytes.
        let whole = (2 * CLIENT_COOKIE..=WHOLE_COOKIE).contains(&cookie.len());
        if !whole || cookie[..CLIENT_COOKIE] != self.cookie[..CLIENT_COOKIE] || cookie == self.cookie {
            return false;
        }
        self.cookie = cookie.to_vec();
        true
    }
}

/// What a packet is to a question.
#[derive(Debug)]
pub(crate) enum Reading {
    /// The answer.
    Answer(Box<Message>),
    /// Not for this question: another id, another question, another cookie. Perhaps forged, so the true one may still come.
    Foreign(String),
    /// It has our id, but cannot be read.
    Broken(String),
}

/// The question as a message. With `manners.edns`: EDNS with our payload size and cookie.
pub(crate) fn encode(question: &Question, id: u16, manners: &Manners) -> Result<Vec<u8>, String> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = question.recursion;
    message.metadata.checking_disabled = question.checking == Checking::Disabled;
    message.add_query(Query::query(question.name.clone(), question.record_type));
    if manners.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        edns.set_dnssec_ok(question.checking != Checking::Unsaid);
        edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::Cookie.into(), manners.cookie.clone()));
        message.set_edns(edns);
    }
    message.to_vec().map_err(|error| t!("the question cannot be encoded: %{error}", error))
}

/// Reads a packet that came for `question`, which was sent with one of `ids`.
pub(crate) fn read(packet: &[u8], ids: &[u16], question: &Question, manners: &Manners) -> Reading {
    let Some(id) = packet.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes)) else {
        return Reading::Foreign(t!("a packet of %{packet} bytes", packet = packet.len()));
    };
    if !ids.contains(&id) {
        return Reading::Foreign(t!("an answer with another id").to_owned());
    }
    let message = match Message::from_vec(packet) {
        Ok(message) => message,
        Err(error) => return Reading::Broken(t!("not a DNS message (%{error})", error)),
    };
    if message.metadata.message_type != MessageType::Response || message.metadata.op_code != OpCode::Query {
        return Reading::Foreign(t!("a packet that is no answer").to_owned());
    }
    let code = message.metadata.response_code;
    match message.queries.as_slice() {
        [asked]
            if asked.name == question.name && asked.query_type == question.record_type && asked.query_class == DNSClass::IN => {}
        // A server that could not read the question cannot repeat it.
        [] if response_word(code) != "NOERROR" && response_word(code) != "NXDOMAIN" => {}
        [] => return Reading::Foreign(t!("an answer without the question").to_owned()),
        [other, ..] => {
            return Reading::Foreign(t!(
                "an answer to another question (%{name} %{query_type})",
                name = other.name,
                query_type = other.query_type
            ));
        }
    }
    if let Some(cookie) = option(&message, COOKIE)
        && cookie.get(..CLIENT_COOKIE) != manners.cookie.get(..CLIENT_COOKIE)
    {
        return Reading::Foreign(t!("an answer with another client cookie").to_owned());
    }
    Reading::Answer(Box::new(message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question() -> Question {
        Question {
            name: WireName::from_ascii("a_b.Example.test.").unwrap(),
            record_type: WireType::TXT,
            recursion: false,
            checking: Checking::Unsaid,
        }
    }

    /// An answer as a well-behaved server makes it from our bytes.
    fn echo(manners: &Manners) -> Message {
        let mut message = Message::from_vec(&encode(&question(), 7, manners).unwrap()).unwrap();
        message.metadata.message_type = MessageType::Response;
        message
    }

    #[test]
    fn a_question_is_what_authorities_expect() {
        let manners = Manners::unknown();
        let sent = Message::from_vec(&encode(&question(), 7, &manners).unwrap()).unwrap();
        assert!(!sent.metadata.recursion_desired);
        assert_eq!(sent.edns.as_ref().unwrap().max_payload(), 1232);
        assert_eq!(option(&sent, COOKIE), Some(&manners.cookie[..]));
        let plain = Manners { edns: false, ..manners };
        assert!(Message::from_vec(&encode(&question(), 7, &plain).unwrap()).unwrap().edns.is_none());
    }

    #[test]
    fn only_the_answer_to_the_question_is_an_answer() {
        let manners = Manners::unknown();
        let packet = |message: &Message| message.to_vec().unwrap();
        let good = echo(&manners);
        assert!(matches!(read(&packet(&good), &[3, 7], &question(), &manners), Reading::Answer(_)));
        assert!(matches!(read(&packet(&good), &[8], &question(), &manners), Reading::Foreign(_)));
        let mut lower = good.clone();
        lower.queries[0].name = WireName::from_ascii("a_b.example.TEST.").unwrap();
        assert!(matches!(read(&packet(&lower), &[7], &question(), &manners), Reading::Answer(_)));
        let mut other = good.clone();
        other.queries[0].query_type = WireType::A;
        assert!(matches!(read(&packet(&other), &[7], &question(), &manners), Reading::Foreign(_)));
        let mut query = good.clone();
        query.metadata.message_type = MessageType::Query;
        assert!(matches!(read(&packet(&query), &[7], &question(), &manners), Reading::Foreign(_)));
        let mut without = good.clone();
        without.queries.clear();
        assert!(matches!(read(&packet(&without), &[7], &question(), &manners), Reading::Foreign(_)));
        without.metadata.response_code = hickory_proto::op::ResponseCode::FormErr;
        assert!(matches!(read(&packet(&without), &[7], &question(), &manners), Reading::Answer(_)));
        assert!(matches!(read(&packet(&good), &[7], &question(), &Manners::unknown()), Reading::Foreign(_)));
    }

    #[test]
    fn a_server_cookie_is_kept_once_and_only_with_our_half() {
        let mut manners = Manners::unknown();
        let mut answer = echo(&manners);
        let offer = |answer: &mut Message, cookie: Vec<u8>| {
            let mut edns = Edns::new();
            edns.options_mut().insert(EdnsOption::Unknown(COOKIE, cookie));
            answer.set_edns(edns);
        };
        offer(&mut answer, [manners.cookie.clone(), vec![9; 16]].concat());
        assert!(manners.learn_cookie(&answer));
        assert_eq!(manners.cookie.len(), 24);
        assert!(!manners.learn_cookie(&answer));
        offer(&mut answer, vec![1; 24]);
        assert!(!manners.learn_cookie(&answer));
        offer(&mut answer, [manners.cookie[..8].to_vec(), vec![9; 33]].concat());
        assert!(!manners.learn_cookie(&answer));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_hang(bytes in proptest::collection::vec(any::<u8>(), 0..600), keep in 0_usize..80) {
            let manners = Manners::unknown();
            let _ = read(&bytes, &[7], &question(), &manners);
            let mut mixed = encode(&question(), 7, &manners).unwrap();
            mixed.truncate(keep);
            mixed.extend_from_slice(&bytes);
            if mixed.len() > 2 {
                mixed[2] |= 0x80;
            }
            let _ = read(&mixed, &[7], &question(), &manners);
        }
    }
}
