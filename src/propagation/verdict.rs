//! What an answer says about a record: a pure function from message to verdict.

use std::fmt;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, RData, RecordType as WireType},
};

use crate::{
    language::t,
    name::Name,
    record::{Record, RecordType},
};

/// What one authority said about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The exact value, with AA.
    Visible,
    /// The name exists or may exist, but has no record of the type (NODATA).
    Missing,
    /// The type is there with other values only.
    OtherValue(Vec<String>),
    /// A CNAME stands at the name.
    Alias(Name),
    /// The name does not exist.
    NxDomain,
    /// The server failed; with the extended error (RFC 8914) where it sent one.
    ServFail(Option<String>),
    /// The server refused the question.
    Refused,
    /// The server is not authoritative for the zone: no AA, or a referral.
    Lame,
    /// The answer is too long for UDP, and TCP does not work; why.
    Truncated(String),
    /// Packets came, but none answers the question: another id, another question, or no DNS message; which.
    Mismatched(String),
    /// No usable answer, and why.
    Unreachable(String),
}

impl Verdict {
    /// One word for tables and events: `visible`, `missing`, `other-value`, `alias`, `nxdomain`, `servfail`, `refused`, `lame`,
    /// `truncated`, `mismatched`, `unreachable`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Visible => "visible",
            Self::Missing => "missing",
            Self::OtherValue(_) => "other-value",
            Self::Alias(_) => "alias",
            Self::NxDomain => "nxdomain",
            Self::ServFail(_) => "servfail",
            Self::Refused => "refused",
            Self::Lame => "lame",
            Self::Truncated(_) => "truncated",
            Self::Mismatched(_) => "mismatched",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// Whether the server gave no authoritative answer, so that it may come to count as out.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Visible | Self::Missing | Self::OtherValue(_) | Self::Alias(_) | Self::NxDomain => false,
            Self::ServFail(_) | Self::Refused | Self::Lame | Self::Truncated(_) | Self::Mismatched(_) | Self::Unreachable(_) => {
                true
            }
        }
    }

    /// Whether the failure is the server's, whatever the name in the question. Names of one run share such failures.
    pub(crate) fn concerns_the_server(&self) -> bool {
        matches!(self, Self::Refused | Self::Mismatched(_) | Self::Unreachable(_))
    }

    /// The end of a sentence that begins with the name of the server: "does not know the name (NXDOMAIN)".
    pub fn sentence(&self) -> String {
        match self {
            Self::Visible => t!("shows the value").to_owned(),
            Self::Missing => t!("has no record of this type at the name").to_owned(),
            Self::OtherValue(values) => t!("shows only other values at the name: %{values}", values = list(values)),
            Self::Alias(target) => t!("has a CNAME to %{target} at the name, so that nothing else there counts", target),
            Self::NxDomain => t!("does not know the name (NXDOMAIN)").to_owned(),
            Self::ServFail(None) => t!("fails to answer (SERVFAIL)").to_owned(),
            Self::ServFail(Some(detail)) => t!("fails to answer (SERVFAIL, %{detail})", detail),
            Self::Refused => t!("refuses the question (REFUSED)").to_owned(),
            Self::Lame => t!("is not authoritative for the name (no AA, or a referral)").to_owned(),
            Self::Truncated(why) => t!("truncates its answer over UDP, and TCP does not work: %{why}", why),
            Self::Mismatched(what) => t!("does not answer the question that was asked: %{what}", what),
            Self::Unreachable(why) => t!("gives no usable answer: %{why}", why),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How many foreign values are kept and shown: a name may hold hundreds.
const VALUES_KEPT: usize = 5;
/// How many characters of a foreign value are kept.
const VALUE_CHARACTERS: usize = 300;
/// The option code of extended errors (RFC 8914 section 2).
const EXTENDED_ERROR: u16 = 15;

/// What an authority's answer says about `record`. Only the exact value with AA is [`Verdict::Visible`].
pub(crate) fn judge(record: &Record, answer: &Message) -> Verdict {
    judge_answer(record, answer, true)
}

/// What a recursive resolver's answer says: AA is not needed, and a CNAME that the resolver followed is followed too.
pub(crate) fn judge_recursive(record: &Record, answer: &Message) -> Verdict {
    judge_answer(record, answer, false)
}

fn judge_answer(record: &Record, answer: &Message, authority: bool) -> Verdict {
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        ResponseCode::ServFail => return Verdict::ServFail(extended_error(answer)),
        ResponseCode::Refused => return Verdict::Refused,
        ResponseCode::NotAuth => return Verdict::Lame,
        other => return Verdict::Unreachable(t!("it answers %{other}", other = response_word(other))),
    }
    if authority && !answer.metadata.authoritative {
        return Verdict::Lame;
    }
    let mut owner = record.name.to_wire();
    let (mut matching, mut alias) = at(record, answer, &owner);
    // RFC 1034 section 3.6.2; the bound ends a loop.
    for _ in 0..answer.answers.len() {
        let Some(target) = alias.as_ref().filter(|_| !authority && matching.is_empty()) else { break };
        owner = target.to_wire();
        (matching, alias) = at(record, answer, &owner);
    }
    // Beside a CNAME nothing counts, the value included: who resolves the name chooses (RFC 1034 section 3.6.2).
    if let Some(target) = alias {
        return Verdict::Alias(target);
    }
    if matching.iter().any(|value| is_value(record, value)) {
        return Verdict::Visible;
    }
    if !matching.is_empty() {
        return Verdict::OtherValue(matching.iter().take(VALUES_KEPT).map(|value| shown(value)).collect());
    }
    if answer.metadata.response_code == ResponseCode::NXDomain {
        return Verdict::NxDomain;
    }
    // NS records without SOA are a referral, whatever AA says (RFC 2308 section 2.2).
    let has = |wanted| answer.authorities.iter().any(|entry| entry.record_type() == wanted);
    if authority && has(WireType::NS) && !has(WireType::SOA) {
        return Verdict::Lame;
    }
    Verdict::Missing
}

/// The values of the record's type at `owner` as bytes, and the target of a CNAME there that is not what is looked for.
fn at(record: &Record, answer: &Message, owner: &hickory_proto::rr::Name) -> (Vec<Vec<u8>>, Option<Name>) {
    let mut values = Vec::new();
    let mut alias = None;
    for entry in answer.answers.iter().filter(|entry| entry.dns_class == DNSClass::IN && entry.name == *owner) {
        match (&entry.data, record.record_type) {
            (RData::TXT(text), RecordType::Txt) => values.push(text.txt_data.concat()),
            (RData::CNAME(target), RecordType::Cname) => values.push(Name::from_wire(&target.0).as_str().as_bytes().to_vec()),
            (RData::CNAME(target), RecordType::Txt) => alias = Some(Name::from_wire(&target.0)),
            _ => {}
        }
    }
    (values, alias)
}

/// TXT: byte for byte. CNAME: names know no case (RFC 4343).
fn is_value(record: &Record, value: &[u8]) -> bool {
    match record.record_type {
        RecordType::Txt => value == record.value.as_bytes(),
        RecordType::Cname => value.eq_ignore_ascii_case(record.value.trim_end_matches('.').as_bytes()),
        RecordType::File => false,
    }
}

fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut short: String = text.chars().take(VALUE_CHARACTERS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn list(values: &[String]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
}

/// The name of a response code as operators know it.
pub(crate) fn response_word(code: ResponseCode) -> String {
    match u16::from(code) {
        0 => "NOERROR".to_owned(),
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        9 => "NOTAUTH".to_owned(),
        16 => "BADVERS".to_owned(),
        23 => "BADCOOKIE".to_owned(),
        other => format!("RCODE {other}"),
    }
}

/// Code and text of the first extended error of the answer (RFC 8914).
pub(crate) fn extended_error(answer: &Message) -> Option<String> {
    let data = option(answer, EXTENDED_ERROR)?;
    let (code, text) = data.split_first_chunk::<2>()?;
    let code = u16::from_be_bytes(*code);
    let text = String::from_utf8_lossy(text);
    let text: String = text.trim_end_matches('\0').chars().filter(|c| !c.is_control()).take(VALUE_CHARACTERS).collect();
    let name = extended_error_name(code).map(|name| format!(" {name}")).unwrap_or_default();
    Some(if text.is_empty() { format!("EDE {code}{name}") } else { format!("EDE {code}{name}: {text}") })
}

/// The data of the first EDNS option with this code.
pub(crate) fn option(answer: &Message, code: u16) -> Option<&[u8]> {
    let options = answer.edns.as_ref()?.options();
    options.as_ref().iter().find_map(|(_, option)| match option {
        hickory_proto::rr::rdata::opt::EdnsOption::Unknown(found, data) if *found == code => Some(data.as_slice()),
        _ => None,
    })
}

/// The codes that an authority or a validating resolver sends most (RFC 8914 section 4).
fn extended_error_name(code: u16) -> Option<&'static str> {
    Some(match code {
        0 => "Other Error",
        6 => "DNSSEC Bogus",
        7 => "Signature Expired",
        8 => "Signature Not Yet Valid",
        9 => "DNSKEY Missing",
        10 => "RRSIGs Missing",
        14 => "Not Ready",
        15 => "Blocked",
        18 => "Prohibited",
        20 => "Not Authoritative",
        22 => "No Reachable Authority",
        23 => "Network Error",
        24 => "Invalid Data",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{MessageType, OpCode, Query},
        rr::{Record as WireRecord, rdata::TXT},
    };

    use super::*;

    fn record(value: &str) -> Record {
        Record { name: Name::parse("_x.example.test").unwrap(), record_type: RecordType::Txt, value: value.to_owned() }
    }

    fn answer(values: &[&[&str]]) -> Message {
        let name = record("").name.to_wire();
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name.clone(), WireType::TXT));
        message.metadata.authoritative = true;
        for strings in values {
            let text = TXT::from_bytes(strings.iter().map(|string| string.as_bytes()).collect());
            message.add_answer(WireRecord::from_rdata(name.clone(), 60, RData::TXT(text)));
        }
        message
    }

    #[test]
    fn strings_are_joined_and_compared_byte_by_byte() {
        assert_eq!(judge(&record("abcdef"), &answer(&[&["abc", "def"]])), Verdict::Visible);
        assert_eq!(judge(&record("v"), &answer(&[&["other"], &["v"]])), Verdict::Visible);
        for near in ["V", "v ", " v", "\"v\"", "vv", ""] {
            assert_eq!(judge(&record("v"), &answer(&[&[near]])), Verdict::OtherValue(vec![near.to_owned()]), "{near:?}");
        }
        // Two records are two values: they are never joined with each other.
        assert!(matches!(judge(&record("abcdef"), &answer(&[&["abc"], &["def"]])), Verdict::OtherValue(_)));
    }

    #[test]
    fn the_value_at_another_owner_does_not_count() {
        let mut message = answer(&[]);
        let elsewhere = Name::parse("y.example.test").unwrap().to_wire();
        message.add_answer(WireRecord::from_rdata(elsewhere, 60, RData::TXT(TXT::new(vec!["v".to_owned()]))));
        assert_eq!(judge(&record("v"), &message), Verdict::Missing);
    }

    #[test]
    fn without_aa_nothing_counts_at_an_authority_but_does_at_a_resolver() {
        let mut message = answer(&[&["v"]]);
        message.metadata.authoritative = false;
        assert_eq!(judge(&record("v"), &message), Verdict::Lame);
        assert_eq!(judge_recursive(&record("v"), &message), Verdict::Visible);
    }

    #[test]
    fn a_resolver_may_follow_an_alias_and_a_loop_ends() {
        let name = record("").name.to_wire();
        let target = Name::parse("t.example.net").unwrap();
        let cname = |from: &hickory_proto::rr::Name, to: &hickory_proto::rr::Name| {
            WireRecord::from_rdata(from.clone(), 60, RData::CNAME(hickory_proto::rr::rdata::CNAME(to.clone())))
        };
        let target_wire = target.to_wire();
        let mut message = answer(&[]);
        message.add_answer(cname(&name, &target_wire));
        let mut looped = message.clone();
        message.add_answer(WireRecord::from_rdata(target.to_wire(), 60, RData::TXT(TXT::new(vec!["v".to_owned()]))));
        assert_eq!(judge_recursive(&record("v"), &message), Verdict::Visible);
        assert_eq!(judge(&record("v"), &message), Verdict::Alias(target));
        looped.add_answer(cname(&target_wire, &name));
        assert!(matches!(judge_recursive(&record("v"), &looped), Verdict::Alias(_)));
    }

    #[test]
    fn a_cname_that_is_looked_for_knows_no_case() {
        let wanted = Record { record_type: RecordType::Cname, value: "Target.Example.NET".to_owned(), ..record("") };
        let mut message = answer(&[]);
        let target = hickory_proto::rr::Name::from_ascii("tARGET.example.net.").unwrap();
        message.add_answer(WireRecord::from_rdata(
            wanted.name.to_wire(),
            60,
            RData::CNAME(hickory_proto::rr::rdata::CNAME(target)),
        ));
        assert_eq!(judge(&wanted, &message), Verdict::Visible);
    }

    #[test]
    fn many_and_long_foreign_values_are_cut() {
        let long = ["x".repeat(255), "y".repeat(255)];
        let Verdict::OtherValue(values) = judge(&record("v"), &answer(&[&[&long[0][..], &long[1][..]][..]; 9])) else {
            panic!("not other values");
        };
        assert_eq!(values.len(), VALUES_KEPT);
        assert_eq!(values[0].chars().count(), VALUE_CHARACTERS + 1);
    }
}
