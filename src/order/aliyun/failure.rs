//! What an error reply of CAS means: its kind, whether another try makes sense, and what to do.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

use super::{
    advice,
    call::{Call, Site},
    diagnosis::{Diagnosis, diagnose},
    reply::Fields,
};
use crate::{
    error::{Error, ErrorKind, Retry},
    http::Reply,
    language::t,
    secret::Redactor,
};

/// What was sent, as far as an error reply is judged by it.
pub(super) struct Sent {
    /// The time that the request was stamped with.
    pub(super) timestamp: Timestamp,
    /// The text that was signed.
    pub(super) string_to_sign: String,
    /// The canonical request, for V3.
    pub(super) canonical_request: Option<String>,
}

/// The error for a reply that reports one.
pub(super) fn of_reply(call: &Call, site: &Site, reply: &Reply, fields: &Fields, sent: &Sent, redactor: &Redactor) -> Error {
    let status = reply.status.as_u16();
    let code = fields.text("Code");
    let class = Class::of(code.as_deref(), call.order.is_some());
    let said = fields.text("Message").map(|message| redactor.redact(&message));
    let action = call.action;
    let message = match (&class, &call.order, &said) {
        (Class::UnknownOrder, Some(order), said) => {
            let said = said.as_ref().map(|said| format!(": {said}")).unwrap_or_default();
            t!("%{action}: order `%{order}` is unknown at %{site}%{said}", action, order, site, said)
        }
        // The server's text repeats the whole string to sign, which belongs to the diagnosis and not into one line.
        (Class::Signature, ..) => t!("%{action}: %{host} does not accept the signature", action, host = site.host),
        (_, _, Some(said)) => format!("{action}: {}", shortened(said)),
        (_, _, None) => t!("%{action}: %{host} refused the call without saying why", action, host = site.host),
    };
    let advice = code.as_deref().filter(|_| class == Class::Other).and_then(|code| advice::of(code, action));
    let kind = advice.as_ref().map_or(class.kind(), |advice| advice.kind);
    let mut error = Error::new(kind, message).with_http_status(status).with_retry(retry(reply, code.as_deref()));
    if let Some(advice) = advice {
        error = error.with_hint(advice.hint);
    } else if let Some(hint) = hint(&class, call, site, reply, fields, said.as_deref().unwrap_or_default(), sent, redactor) {
        error = error.with_hint(hint);
    }
    if let Some(code) = code {
        error = error.with_code(code);
    }
    if let Some(id) = fields.text("RequestId") {
        error = error.with_request_id(id);
    }
    error
}

/// The error for a reply that is not one of the API's, such as a gateway's web page.
pub(super) fn of_unreadable(call: &Call, site: &Site, reply: &Reply, instead: &str) -> Error {
    Error::new(
        ErrorKind::OrderSource,
        t!("%{action}: %{host} answered with %{instead}", action = call.action, host = site.host, instead),
    )
    .with_http_status(reply.status.as_u16())
    .with_retry(retry(reply, None))
    .with_hint(t!("something between here and the API may have answered: check the proxy variables, `--endpoint` and `--region`"))
}

/// Whether the API does not have the operation or the version that was called, so that another generation may do.
pub(super) fn is_not_served(error: &Error) -> bool {
    Class::of(error.code(), true) == Class::NotServed
}

/// Whether the server may have done what it was asked for although the call failed: there was no reply, none that can be read, or one that says that
/// something broke. What throttling and overload turn away is not begun.
pub(super) fn is_outcome_unknown(error: &Error) -> bool {
    let code = error.code().unwrap_or_default().to_ascii_lowercase();
    if error.kind() != ErrorKind::OrderSource || code.contains("throttling") || code.starts_with("serviceunavailable") {
        return false;
    }
    error.http_status().is_none_or(|status| status >= 500 || matches!(status, 408 | 200..=299))
}

/// Whether the token of temporary credentials is over.
pub(super) fn is_expired_token(error: &Error) -> bool {
    error.code().is_some_and(is_expired)
}

fn is_expired(code: &str) -> bool {
    code.to_ascii_lowercase().starts_with("invalidsecuritytoken.expired")
}

/// What a code means for the user. The lists of the vendor are incomplete, so whatever is not known is [`Class::Other`].
#[derive(Debug, PartialEq, Eq)]
enum Class {
    Credentials,
    Signature,
    Clock,
    Rights,
    NotServed,
    UnknownOrder,
    Other,
}

impl Class {
    fn of(code: Option<&str>, names_an_order: bool) -> Self {
        let code = code.unwrap_or_default().to_ascii_lowercase();
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| code.starts_with(beginning));
        if begins(&["signaturedoesnotmatch"]) {
            Self::Signature
        } else if begins(&[
            "invalidaccesskey",
            "missingaccesskey",
            "incompletesignature",
            "invalidsecuritytoken",
            "missingsecuritytoken",
        ]) {
            Self::Credentials
        } else if begins(&["invalidtimestamp"]) {
            Self::Clock
        } else if begins(&["forbidden", "nopermission", "accessdenied"]) {
            Self::Rights
        } else if begins(&["invalidaction", "invalidversion", "nosuchversion", "invalidapi"]) {
            Self::NotServed
        } else if names_an_order
            && (begins(&["notfound"]) && !begins(&["notfoundpackage"])
                || code.ends_with(".notfound")
                || code.contains("notexist"))
        {
            Self::UnknownOrder
        } else {
            Self::Other
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Credentials | Self::Signature => ErrorKind::Credentials,
            Self::Clock => ErrorKind::Config,
            Self::Rights => ErrorKind::Rights,
            Self::UnknownOrder => ErrorKind::UnknownOrder,
            Self::NotServed | Self::Other => ErrorKind::OrderSource,
        }
    }
}

/// Whether a reading call may succeed later. `x-acs-retry-after` (milliseconds) on an error means throttling whatever the code says;
/// `Retry-After` (seconds) tells the time where the failure is temporary anyway.
pub(super) fn retry(reply: &Reply, code: Option<&str>) -> Retry {
    let milliseconds = reply.headers.get("x-acs-retry-after").and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if let Some(milliseconds) = milliseconds.filter(|milliseconds| *milliseconds > 0) {
        return Retry::After(Duration::from_millis(milliseconds));
    }
    let code = code.unwrap_or_default().to_ascii_lowercase();
    let by_code = code.contains("throttling")
        || ["serviceunavailable", "internalerror", "lastoperationnotfinished", "signaturenonceused"]
            .iter()
            .any(|beginning| code.starts_with(beginning));
    if by_code || matches!(reply.status.as_u16(), 408 | 429 | 500..=599) {
        return reply.retry_after().map_or(Retry::Later, Retry::After);
    }
    Retry::Never
}

#[expect(clippy::too_many_arguments, reason = "each is one fact that some hint is made from")]
fn hint(
    class: &Class,
    call: &Call,
    site: &Site,
    reply: &Reply,
    fields: &Fields,
    said: &str,
    sent: &Sent,
    redactor: &Redactor,
) -> Option<String> {
    match class {
        Class::Credentials if fields.text("Code").as_deref().is_some_and(is_expired) => Some(
            t!("the temporary credentials are over: put new ones where these come from (run with -v to see where), or let this program fetch them \
             itself from a role, a program or a URL (docs/credentials.md); then run again: it resumes")
                .to_owned(),
        ),
        Class::Credentials => Some(t!("check the AccessKeyId, its secret and, for temporary credentials, the token").to_owned()),
        Class::Signature => {
            // Redacted before they are cut into excerpts, in which half a secret would no longer be known.
            let canonical_request = sent.canonical_request.as_deref().map(|request| redactor.redact(request));
            let diagnosis = diagnose(said, &redactor.redact(&sent.string_to_sign), canonical_request.as_deref());
            tracing::info!(action = call.action, "signature: {diagnosis}");
            Some(match diagnosis {
                Diagnosis::SameText => {
                    t!("the AccessKeySecret is not that of the AccessKeyId: both sides signed the same text (run with -v)").to_owned()
                }
                Diagnosis::NotTold => t!("check the AccessKeySecret; run with -v to see what was signed").to_owned(),
                Diagnosis::Differs { .. } => t!("run with -v to see where the server's signed text differs from ours, \
                    which a proxy that changes requests may cause; then check the AccessKeySecret")
                    .to_owned(),
            })
        }
        Class::Clock => Some(clock_hint(reply, sent)),
        Class::Rights => {
            let action = fields
                .object("AccessDeniedDetail")
                .and_then(|detail| detail.text("AuthAction"))
                .unwrap_or_else(|| format!("yundun-cert:{}", call.action));
            let action = redactor.redact(&action);
            let policy = advice::least_policy(&action);
            Some(t!("allow the RAM user or role the action `%{action}`; the least policy for this: %{policy}", action, policy))
        }
        Class::NotServed => Some(advice::instead(call.action).to_owned()),
        Class::UnknownOrder => {
            let (other, region) = if site.is_china { (t!("international"), "ap-southeast-1") } else { (t!("China"), "cn-hangzhou") };
            let without = if site.is_explicit { t!(" and no `--endpoint`") } else { "" };
            Some(t!("check the id with `dv-verify orders`; orders of the %{other} site need `--region %{region}`%{without}, orders of another account its credentials (`-v` says whose these are)", other, region, without))
        }
        Class::Other => None,
    }
}

/// How far this machine's clock is from the server's, where the server tells its own.
fn clock_hint(reply: &Reply, sent: &Sent) -> String {
    let server = reply.headers.get("date").and_then(|value| DateTimeParser::new().parse_timestamp(value.as_bytes()).ok());
    match server.map(|server| sent.timestamp.as_second() - server.as_second()) {
        Some(difference) if difference.unsigned_abs() >= 60 => t!(
            "set this machine's clock: it is %{difference} %{which} the server's (with systemd: `timedatectl set-ntp true`)",
            difference = duration(difference.unsigned_abs()),
            which = if difference > 0 { t!("ahead of") } else { t!("behind") }
        ),
        Some(_) => t!("this machine's clock agrees with the server's; a slow proxy may have held the request back").to_owned(),
        None => t!("check this machine's clock and time zone (with systemd: `timedatectl`)").to_owned(),
    }
}

/// `1 h 2 min 3 s`, without parts that are zero.
fn duration(seconds: u64) -> String {
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts = parts.iter().filter(|(amount, _)| *amount > 0).map(|(amount, unit)| format!("{amount} {unit}"));
    parts.collect::<Vec<_>>().join(" ")
}

/// One line of at most 300 characters.
pub(super) fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests;
