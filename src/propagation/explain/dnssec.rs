//! Whether a zone is bogus: a validating resolver fails (SERVFAIL), but answers once it is told not to check (CD=1, RFC 4035
//! section 3.2.2). Pure.

use hickory_proto::{
    op::{Message, ResponseCode},
    serialize::binary::BinEncodable,
};

use super::{Finding, Severity};
use crate::{
    language::t,
    name::Name,
    propagation::verdict::{Verdict, extended_error},
};

/// What the two answers of one resolver mean together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Validation {
    /// Signatures are right (AD).
    Secure,
    /// Not signed, or the resolver does not validate.
    Unproven,
    /// Signatures are wrong; with the extended error where there is one.
    Bogus(Option<String>),
    /// It fails in both ways, or could not be asked.
    Unknown,
}

/// Judges the answer with checking (CD=0) and the one without (CD=1).
pub(super) fn judge(checked: &Result<Message, Verdict>, unchecked: &Result<Message, Verdict>) -> Validation {
    let Ok(checked) = checked else { return Validation::Unknown };
    match checked.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if checked.metadata.authentic_data => Validation::Secure,
        ResponseCode::NoError | ResponseCode::NXDomain => Validation::Unproven,
        ResponseCode::ServFail => match unchecked {
            Ok(answer) if matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) => {
                Validation::Bogus(extended_error(checked))
            }
            _ => Validation::Unknown,
        },
        _ => Validation::Unknown,
    }
}

/// One sentence where any resolver finds it bogus. `seen` holds each resolver and what it found about `subject`.
/// `signed_until`: when the signatures of the zone ended, where that is over.
pub(super) fn findings(subject: &Name, seen: &[(String, Validation)], signed_until: Option<u32>) -> Vec<Finding> {
    let bogus = seen.iter().find_map(|(resolver, validation)| match validation {
        Validation::Bogus(detail) => Some((resolver, detail)),
        _ => None,
    });
    let Some((resolver, detail)) = bogus else { return Vec::new() };
    let detail = detail.as_ref().map(|detail| t!(", saying \"%{detail}\"", detail)).unwrap_or_default();
    let ended = signed_until.and_then(|seconds| jiff::Timestamp::from_second(seconds.into()).ok());
    if let Some(ended) = ended {
        let what = t!(
            "DNSSEC: the signatures of %{subject} expired on %{day} at %{time} UTC. %{resolver} refuses to answer for it%{detail}, but answers when told not to check. A CA validates too, so it will fail.",
            subject,
            day = ended.strftime("%Y-%m-%d"),
            time = ended.strftime("%H:%M"),
            resolver,
            detail
        );
        let next = t!("Let the zone be signed anew, and find out why that stopped: signatures last days to weeks.").to_owned();
        return vec![Finding::new(Severity::Blocks, what, Some(next))];
    }
    vec![Finding::new(
        Severity::Blocks,
        t!("DNSSEC: the signatures of %{subject} are bogus. %{resolver} refuses to answer for it%{detail}, but answers when told not to check. A CA validates too, so it will fail.", subject, resolver, detail),
        Some(t!("Compare the DS record at the registrar with the zone's keys: repair it, or remove it, and let the zone be signed anew.").to_owned()),
    )]
}

/// The type of signatures, which this build of the DNS library leaves as bytes (RFC 4034 section 3).
const RRSIG: u16 = 46;
/// Where the end of its validity stands in a signature (RFC 4034 section 3.1).
const EXPIRATION: usize = 8;

/// When the last of the signatures in an answer ends; seconds since 1970, which wrap in 2106.
pub(super) fn signed_until(answer: &Message) -> Option<u32> {
    let signatures = answer.answers.iter().filter(|entry| u16::from(entry.record_type()) == RRSIG);
    let ends = signatures.filter_map(|entry| {
        let data = entry.data.to_bytes().ok()?;
        let end = data.get(EXPIRATION..EXPIRATION + 4)?;
        Some(u32::from_be_bytes(end.try_into().ok()?))
    });
    ends.max()
}

/// Whether a signature that ends at this moment is over (serial number arithmetic, RFC 4034 section 3.1.5).
pub(super) fn is_over(until: u32, now: jiff::Timestamp) -> bool {
    let now = u32::try_from(now.as_second().rem_euclid(1 << 32)).unwrap_or_default();
    now.wrapping_sub(until) < 1 << 31
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{Edns, MessageType, OpCode},
        rr::rdata::opt::EdnsOption,
    };

    use super::*;

    fn message(code: ResponseCode, secure: bool) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message.metadata.authentic_data = secure;
        message
    }

    #[test]
    fn only_servfail_that_checking_causes_is_bogus() {
        use ResponseCode::{NXDomain, NoError, Refused, ServFail};
        let answer = |code, secure| Ok(message(code, secure));
        for (checked, unchecked, expected) in [
            (answer(NoError, true), answer(NoError, false), Validation::Secure),
            (answer(NoError, false), answer(NoError, false), Validation::Unproven),
            (answer(ServFail, false), answer(NoError, false), Validation::Bogus(None)),
            (answer(ServFail, false), answer(NXDomain, false), Validation::Bogus(None)),
            (answer(ServFail, false), answer(ServFail, false), Validation::Unknown),
            (answer(ServFail, false), Err(Verdict::Refused), Validation::Unknown),
            (answer(Refused, false), answer(NoError, false), Validation::Unknown),
            (Err(Verdict::Unreachable("x".to_owned())), answer(NoError, false), Validation::Unknown),
        ] {
            assert_eq!(judge(&checked, &unchecked), expected);
        }
    }

    #[test]
    fn a_signature_that_is_over_is_the_reason() {
        let now: jiff::Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let until: jiff::Timestamp = "2020-02-01T00:00:00Z".parse().unwrap();
        let seconds = u32::try_from(until.as_second()).unwrap();
        assert!(is_over(seconds, now) && !is_over(seconds, "2020-01-31T00:00:00Z".parse().unwrap()));
        let found = findings(&Name::parse("a.test").unwrap(), &[("r".to_owned(), Validation::Bogus(None))], Some(seconds));
        assert!(
            found[0].what.starts_with("DNSSEC: the signatures of a.test expired on 2020-02-01 at 00:00 UTC. r refuses"),
            "{found:?}"
        );
    }

    #[test]
    fn the_extended_error_says_why() {
        let mut answer = message(ResponseCode::ServFail, false);
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(15, [&7_u16.to_be_bytes()[..], b"expired in 2020"].concat()));
        answer.set_edns(edns);
        let bogus = judge(&Ok(answer), &Ok(message(ResponseCode::NoError, false)));
        let found = findings(
            &Name::parse("example.test").unwrap(),
            &[("r".to_owned(), Validation::Secure), ("192.0.2.1:53".to_owned(), bogus.clone())],
            None,
        );
        assert!(found[0].what.contains("192.0.2.1:53") && found[0].what.contains("expired in 2020"), "{found:?}");
        assert!(findings(&Name::parse("example.test").unwrap(), &[("r".to_owned(), Validation::Unknown)], None).is_empty());
    }
}
