//! What a server's refusal means for the user, and what to do about it. No I/O.

use hickory_proto::{op::ResponseCode, rr::rdata::tsig::TsigError};

use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    record::{Record, RecordType},
};

/// The code of the error for a key that the server does not know, or does not allow.
pub(super) const BAD_KEY: &str = "BADKEY";

/// Whom we asked, with which key.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The server, for people.
    pub(super) server: String,
    /// The name of the key; `None` for unsigned messages.
    pub(super) key: Option<String>,
}

impl Asked {
    fn key(&self) -> String {
        self.key.as_ref().map_or_else(|| t!("no TSIG key").to_owned(), |key| t!("the TSIG key `%{key}`", key))
    }
}

/// The error for a TSIG error code (RFC 8945 section 5.3).
///
/// `now` is our time in seconds since 1970, `other` the field that holds the server's time in a BADTIME answer.
pub(super) fn of_key(error: TsigError, code: ResponseCode, asked: &Asked, now: u64, other: &[u8]) -> Error {
    let (word, why, hint) = match error {
        TsigError::BadSig => (
            "BADSIG",
            t!("does not accept the signature made with").to_owned(),
            t!("compare `tsig_secret` and `tsig_algorithm` with the server's key statement: one of them differs").to_owned(),
        ),
        TsigError::BadKey => (
            BAD_KEY,
            t!("does not know, or does not allow here,").to_owned(),
            t!("compare `tsig_key` (the name, exactly) and `tsig_algorithm` with the server's key statement, and whether the key may be used for this zone and from this address (Knot: an acl with action: update and this key)")
                .to_owned(),
        ),
        TsigError::BadTime => {
            let theirs = other.iter().fold(0_u64, |time, byte| time << 8 | u64::from(*byte));
            let how = match theirs {
                0 => String::new(),
                _ if theirs > now => t!(": it is %{theirs} s ahead of this machine", theirs = theirs - now),
                _ => t!(": it is %{now} s behind this machine", now = now - theirs),
            };
            (
                "BADTIME",
                t!("has another time than this machine%{how}; so it does not accept", how),
                t!("set the clocks of both (NTP); they may differ by 300 s").to_owned(),
            )
        }
        TsigError::BadTrunc => ("BADTRUNC", t!("wants a longer signature from").to_owned(), t!("make a new key on the server, for hmac-sha256").to_owned()),
        TsigError::Unknown(number) => {
            return Error::new(ErrorKind::Credentials, t!("%{server} rejects %{key} with TSIG error %{number}, %{code}", server = asked.server, key = asked.key(), number, code))
                .with_code(number.to_string());
        }
    };
    Error::new(
        ErrorKind::Credentials,
        t!("%{server} %{why} %{key} (%{word})", server = asked.server, why, key = asked.key(), word),
    )
    .with_code(word)
    .with_hint(hint)
}

/// The error for NOTAUTH without a signature as the answer to a signed question: PowerDNS rejects a key so, and says nothing more.
pub(super) fn rejected(asked: &Asked) -> Error {
    Error::new(ErrorKind::Credentials, t!("%{server} rejects %{key} (NOTAUTH)", server = asked.server, key = asked.key()))
        .with_code("NOTAUTH")
        .with_hint(t!("compare `tsig_key` (the name, exactly), `tsig_secret` and `tsig_algorithm` with the server's; its log says which is wrong"))
}

/// The error for an answer that claims success without a valid signature.
pub(super) fn unsigned(asked: &Asked, why: &str) -> Error {
    Error::provider(t!(
        "the answer of %{server} is not signed with %{key}: %{why}",
        server = asked.server,
        key = asked.key(),
        why
    ))
    .with_hint(t!("something between this machine and the server may change DNS messages; the answer is not trusted"))
}

/// The error for a name that no zone of the server holds.
pub(super) fn not_served(server: &str, name: &Name, code: ResponseCode) -> Error {
    let answer = word(code);
    Error::provider(t!("%{server} serves no zone that holds %{name} (it answers %{answer})", server, name, answer))
        .with_code(answer)
        .with_hint(t!("set `nameserver` to the zone's primary; where it takes updates but answers no questions, set `zone` too"))
}

/// What the answer to an update means (RFC 2136 section 2.2).
///
/// # Errors
/// `ErrorKind::Rights` where the server's policy forbids it, else `ErrorKind::Provider`.
pub(super) fn of_update(code: ResponseCode, asked: &Asked, zone: &Name, record: &Record) -> Result<()> {
    let Asked { server, .. } = asked;
    let (name, record_type) = (&record.name, record.record_type);
    let failed = |kind, message: String, hint: String| Err(Error::new(kind, message).with_code(word(code)).with_hint(hint));
    match code {
        ResponseCode::NoError => Ok(()),
        ResponseCode::Refused => failed(
            ErrorKind::Rights,
            t!(
                "%{server} refuses the update of %{record_type} at %{name} with %{key} (REFUSED)",
                server,
                record_type,
                name,
                key = asked.key()
            ),
            match &asked.key {
                Some(key) => t!(
                    "allow it on the server; BIND: update-policy { grant %{key} zonesub %{record_type}; }; Knot: an acl with action: update, key: %{key}, update-type: [%{record_type}]",
                    key,
                    record_type
                ),
                None => t!("set `tsig_key` and `tsig_secret`, or allow this machine's address on the server").to_owned(),
            },
        ),
        ResponseCode::NotAuth if asked.key.is_none() => failed(
            ErrorKind::Rights,
            t!("%{server} takes no unsigned update of the zone %{zone} (NOTAUTH)", server, zone),
            t!("set `tsig_key` and `tsig_secret`; or `nameserver`, where this is not the primary of the zone").to_owned(),
        ),
        ResponseCode::NotAuth => failed(
            ErrorKind::Provider,
            t!("%{server} is not the primary of the zone %{zone} (NOTAUTH)", server, zone),
            t!("set `nameserver` to the primary of the zone").to_owned(),
        ),
        ResponseCode::NotZone => failed(
            ErrorKind::Provider,
            t!("%{name} is not within the zone %{zone}, says %{server} (NOTZONE)", name, zone, server),
            t!("correct or leave out the setting `zone`").to_owned(),
        ),
        ResponseCode::NotImp => failed(
            ErrorKind::Provider,
            t!("%{server} takes no updates (NOTIMP)", server),
            t!("switch DNS UPDATE on (PowerDNS: dnsupdate=yes), or use the provider of the server's own API").to_owned(),
        ),
        ResponseCode::YXRRSet | ResponseCode::YXDomain if record_type == RecordType::Cname => failed(
            ErrorKind::Provider,
            t!("%{name} has other records already, and a CNAME stands alone (%{code})", name, code = word(code)),
            t!("remove what is at %{name}, if it is not needed", name),
        ),
        ResponseCode::YXRRSet | ResponseCode::YXDomain => failed(
            ErrorKind::Provider,
            t!("%{name} is an alias (CNAME), and nothing can stand beside it (%{code})", name, code = word(code)),
            t!("remove the CNAME at %{name}, or publish the value at its target", name),
        ),
        _ => failed(
            ErrorKind::Provider,
            t!(
                "%{server} answers %{code} to the update of %{record_type} at %{name}",
                server,
                code = word(code),
                record_type,
                name
            ),
            t!("the server's log says why").to_owned(),
        ),
    }
}

/// The mnemonic of a response code, as servers' logs and `nsupdate` print it.
fn word(code: ResponseCode) -> String {
    match code {
        ResponseCode::Unknown(number) => format!("RCODE{number}"),
        known => format!("{known:?}").to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: Option<&str>) -> Asked {
        Asked { server: "name server 192.0.2.1:53".into(), key: key.map(str::to_owned) }
    }

    #[test]
    fn a_rejected_key_is_reported_as_such() {
        for (error, part) in
            [(TsigError::BadSig, "tsig_secret"), (TsigError::BadKey, "tsig_key"), (TsigError::BadTrunc, "new key")]
        {
            let error = of_key(error, ResponseCode::NotAuth, &asked(Some("dv-key")), 0, &[]);
            assert_eq!(error.kind(), ErrorKind::Credentials);
            assert!(error.to_string().contains("`dv-key`") && error.hint().unwrap().contains(part), "{error:?}");
        }
    }

    #[test]
    fn clocks_that_differ_are_compared() {
        let error = |other: &[u8]| of_key(TsigError::BadTime, ResponseCode::NotAuth, &asked(Some("k")), 1_000, other).to_string();
        assert!(error(&[0, 0, 0, 0, 0x12, 0x00]).contains("3608 s ahead"), "{}", error(&[0, 0, 0, 0, 0x12, 0]));
        assert!(error(&[0, 0, 0, 0, 0, 10]).contains("990 s behind"));
        assert!(!error(&[]).contains("ahead"));
        // Longer than the field is: no overflow.
        assert!(error(&[0xff; 20]).contains("BADTIME"));
    }

    #[test]
    fn each_refusal_has_its_kind() {
        let record = Record { name: Name::parse("_dv.example.test").unwrap(), record_type: RecordType::Txt, value: "v".into() };
        let zone = Name::parse("example.test").unwrap();
        let outcome = |code, key| of_update(code, &asked(key), &zone, &record);
        assert!(outcome(ResponseCode::NoError, Some("k")).is_ok());
        let refused = outcome(ResponseCode::Refused, Some("k")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rights);
        assert!(refused.hint().unwrap().contains("grant k zonesub TXT"));
        assert!(outcome(ResponseCode::Refused, None).unwrap_err().hint().unwrap().contains("tsig_key"));
        for code in [
            ResponseCode::NotAuth,
            ResponseCode::NotZone,
            ResponseCode::NotImp,
            ResponseCode::YXRRSet,
            ResponseCode::FormErr,
            ResponseCode::Unknown(77),
        ] {
            let error = outcome(code, Some("k")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Provider);
            assert!(error.hint().is_some(), "{error:?}");
        }
    }
}
