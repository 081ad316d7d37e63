//! What an ACME server says when it refuses (RFC 8555 section 6.7), as an error for people.

use std::time::Duration;

use instant_acme::Problem;
use jiff::Timestamp;

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    language::t,
};

/// How long to stay away from a CA that says "too often" without saying when to come back.
const UNSAID_PAUSE: Duration = Duration::from_secs(60);

/// The code of a refusal because of too many requests.
pub(super) const RATE_LIMITED: &str = "rateLimited";

/// The code of our own error for a reply that is not what the standard says.
pub(super) const UNREADABLE: &str = "unreadable";

/// The last word of a problem's type: `rateLimited`.
pub(super) fn code(problem: &Problem) -> &str {
    problem.r#type.as_deref().map_or("", |kind| kind.rsplit(':').next().unwrap_or_default())
}

/// What a problem says, with what it says about single names; the type only where there is nothing else.
pub(super) fn said(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_else(|| code(problem).to_owned());
    for below in &problem.subproblems {
        if let Some(detail) = &below.detail {
            let about = below.identifier.as_ref().map(|name| format!("{}: ", name.authorized(false))).unwrap_or_default();
            text = format!("{text}; {about}{detail}");
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A problem as an error. `retry_after` is what the reply's `Retry-After` asks for.
pub(super) fn of_problem(ca: &str, problem: &Problem, status: u16, retry_after: Option<Duration>, now: Timestamp) -> Error {
    let said = said(problem);
    let error = |kind, message: String| Error::new(kind, message).with_code(code(problem)).with_http_status(status);
    let plain = |kind| error(kind, format!("{ca}: {said}"));
    match code(problem) {
        RATE_LIMITED => {
            let pause = retry_after.unwrap_or(UNSAID_PAUSE);
            let message = match retry_after {
                Some(_) => t!("%{ca} takes no more for now: %{said}; it says to come back at %{pause}", ca, said, pause = clock_time(now, pause)),
                None => t!("%{ca} takes no more for now: %{said}", ca, said),
            };
            rate_limited(message, pause).with_http_status(status)
        }
        "accountDoesNotExist" => plain(ErrorKind::Credentials)
            .with_hint(t!("the CA no longer knows the account in the state folder (`acme/`); move its folder away, and a new one is registered")),
        "unauthorized" if said.to_ascii_lowercase().contains("deactivated") || said.to_ascii_lowercase().contains("account") => {
            plain(ErrorKind::Credentials).with_hint(
                t!("the account is not good any more: move its folder in the state folder (`acme/`) away, and a new one is registered"),
            )
        }
        "externalAccountRequired" => plain(ErrorKind::Credentials)
            .with_hint(t!("get a key for external accounts from this CA, and give it with `--eab-key-id` and `--eab-key-file`")),
        "unauthorized" | "badPublicKey" | "badSignatureAlgorithm" => plain(ErrorKind::Rights),
        "userActionRequired" => {
            plain(ErrorKind::Rights).with_hint(t!("the CA has new terms of service; agree to them where it says, then run this again"))
        }
        "invalidContact" | "unsupportedContact" => plain(ErrorKind::Config).with_hint(t!("correct `--contact`")),
        "invalidProfile" => plain(ErrorKind::Config).with_hint(t!("choose a profile that this CA has, or leave `--profile` out")),
        "caa" => plain(ErrorKind::Refused).with_hint(t!("the zone's CAA records must name this CA, or there must be none")),
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            plain(ErrorKind::Refused).with_hint(t!("this CA does not issue for that name; leave it out, or choose another CA"))
        }
        "badCSR" => plain(ErrorKind::Refused).with_hint(t!("the CA does not like the certificate request: its key, or its names")),
        "badNonce" => plain(ErrorKind::OrderSource).with_retry(Retry::Later),
        _ if status >= 500 => {
            let retry = retry_after.map_or(Retry::Later, Retry::After);
            plain(ErrorKind::OrderSource).with_retry(retry)
        }
        _ => plain(ErrorKind::OrderSource),
    }
}

/// The CA wants to be left alone for this time.
pub(super) fn rate_limited(message: String, pause: Duration) -> Error {
    Error::new(ErrorKind::StillWaiting, message)
        .with_code(RATE_LIMITED)
        .with_retry(Retry::After(pause))
        .with_hint(t!("run the same command again then: it goes on where this run ended"))
}

/// An error of the ACME library. Ours, which went through it, come out as they were.
pub(super) fn of_library(ca: &str, error: instant_acme::Error) -> Error {
    match error {
        instant_acme::Error::Other(boxed) => match boxed.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::new(ErrorKind::OrderSource, format!("{ca}: {other}")),
        },
        instant_acme::Error::Api(problem) => {
            let status = problem.status.unwrap_or(400);
            of_problem(ca, &problem, status, None, Timestamp::now())
        }
        instant_acme::Error::Json(error) => {
            Error::new(ErrorKind::OrderSource, t!("%{ca} answered what is no ACME: %{error}", ca, error))
                .with_code(UNREADABLE)
                .with_retry(Retry::Later)
        }
        instant_acme::Error::Unsupported(what) => Error::config(t!("%{ca} does not have: %{what}", ca, what)),
        error => Error::new(ErrorKind::OrderSource, format!("{ca}: {error}")),
    }
}

/// A moment that lies `pause` ahead, as a clock shows it, with how long that is.
fn clock_time(now: Timestamp, pause: Duration) -> String {
    let seconds = i64::try_from(pause.as_secs()).unwrap_or(i64::MAX);
    let then = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let local = then.to_zoned_datetime(jiff::tz::TimeZone::system());
    let minutes = pause.as_secs().div_ceil(60);
    let long = if pause.as_secs() < 120 { t!("%{seconds} s", seconds = pause.as_secs()) } else { t!("%{minutes} min", minutes) };
    t!("%{time} (in %{long})", time = local.strftime("%Y-%m-%d %H:%M:%S %Z"), long)
}

/// What is left of the tries of one call: a nonce that the server did not like, a connection that broke, a server that is busy are tried again.
/// What the server wants to be left alone for longer is the journey's business.
#[derive(Default)]
pub(super) struct Tries(usize);

impl Tries {
    /// Waits until the next try makes sense.
    ///
    /// # Errors
    /// The error itself, where another try makes no sense.
    pub(super) async fn after(&mut self, error: Error) -> Result<()> {
        const PAUSES: [Duration; 4] =
            [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800), Duration::from_secs(2)];
        const LONGEST: Duration = Duration::from_secs(3);
        let Some(pause) = PAUSES.get(self.0) else { return Err(error) };
        match error.retry() {
            Retry::Later if error.code() == Some(UNREADABLE) => return Err(error),
            // A nonce that is refused costs nothing but another question.
            Retry::Later if error.code() == Some("badNonce") => {}
            Retry::Later => tokio::time::sleep(*pause).await,
            Retry::After(asked) if asked <= LONGEST => tokio::time::sleep(asked).await,
            _ => return Err(error),
        }
        self.0 += 1;
        Ok(())
    }
}

/// The outcome of an expression of type [`Result`], which is evaluated again as long as [`Tries`] allows. A macro, since closures that lend
/// out what they hold cannot be sent between threads.
macro_rules! patiently {
    ($attempt:expr) => {{
        let mut tries = $crate::order::acme::failure::Tries::default();
        loop {
            match $attempt {
                Ok(value) => break Ok(value),
                Err(error) => {
                    if let Err(error) = tries.after(error).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}
pub(super) use patiently;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Problem {
        serde_json::from_str(json).unwrap()
    }

    fn refused(kind: &str, detail: &str, status: u16) -> Error {
        let json = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"{detail}","status":{status}}}"#);
        of_problem("letsencrypt", &problem(&json), status, None, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn each_refusal_has_its_kind_and_a_hint() {
        for (kind, detail, status, expected) in [
            ("caa", "CAA record for example.com prevents issuance", 403, ErrorKind::Refused),
            ("rejectedIdentifier", "policy forbids issuing for name", 400, ErrorKind::Refused),
            ("badCSR", "weak key", 400, ErrorKind::Refused),
            ("externalAccountRequired", "no binding", 403, ErrorKind::Credentials),
            ("accountDoesNotExist", "no such account", 400, ErrorKind::Credentials),
            ("unauthorized", "Account is not valid, has status deactivated", 403, ErrorKind::Credentials),
            ("invalidContact", "not a mail address", 400, ErrorKind::Config),
            ("userActionRequired", "terms changed", 403, ErrorKind::Rights),
        ] {
            let error = refused(kind, detail, status);
            assert_eq!(error.kind(), expected, "{kind}");
            assert!(error.hint().is_some() && error.to_string().contains(detail), "{error:?}");
            assert_eq!(error.retry(), Retry::Never, "{kind}");
        }
        assert_eq!(refused("serverInternal", "try later", 500).retry(), Retry::Later);
        assert_eq!(refused("badNonce", "again", 400).retry(), Retry::Later);
    }

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let limited = problem(r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many new orders"}"#);
        let pause = Duration::from_secs(35 * 60);
        let error = of_problem("letsencrypt", &limited, 429, Some(pause), Timestamp::UNIX_EPOCH);
        assert_eq!(error.retry(), Retry::After(pause));
        assert_eq!(error.kind(), ErrorKind::StillWaiting);
        let text = error.to_string();
        assert!(text.contains("1970-01-01") && text.contains(":35:00") && text.contains("in 35 min"), "{text}");
    }

    #[test]
    fn what_is_said_about_single_names_is_told() {
        let text = said(&problem(
            r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"Some names were rejected","subproblems":[
                {"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"not allowed","identifier":{"type":"dns","value":"a.example"}}]}"#,
        ));
        assert_eq!(text, "Some names were rejected; a.example: not allowed");
    }
}
