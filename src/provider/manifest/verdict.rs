//! What a reply means: done, not there, there already, or an error of the right kind.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::{plan::Plan, query::Variables, reply};
use crate::{
    error::{Error, ErrorKind, Retry},
    http::Reply,
    language::t,
    secret::Redactor,
};

/// What a reply says where it is no error.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Done; what was answered.
    Done(Answer),
    /// What the call is about is not there; the error that this is where it must be there.
    Absent(Box<Error>),
    /// What the call wants to make is there already.
    Exists,
}

/// What a service answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// The body, read as the manifest says.
    pub(super) body: Value,
    /// The headers by name in small letters; those that come several times are joined with `, `.
    pub(super) headers: Value,
    /// Method, path and status, for errors about what is in it.
    pub(super) what: String,
    /// The beginning of the body, redacted, for the same.
    pub(super) excerpt: String,
}

impl Answer {
    /// An error about a body of another shape than the manifest says.
    pub(super) fn of_another_shape(&self, id: &str, why: &str) -> Error {
        Error::provider(t!(
            "%{id}: %{what}: the reply is not as expected: %{why}: %{excerpt}",
            id,
            what = self.what,
            why,
            excerpt = self.excerpt
        ))
        .with_hint(t!("the manifest may be wrong, or the base URL, or the service has changed its API"))
    }
}

fn headers_of(reply: &Reply) -> Value {
    let mut all = serde_json::Map::new();
    for (name, value) in &reply.headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let joined = match all.get(name.as_str()) {
            Some(Value::String(before)) => format!("{before}, {text}"),
            _ => text.into_owned(),
        };
        all.insert(name.as_str().to_owned(), joined.into());
    }
    Value::Object(all)
}

/// Judges a reply. The order matters: services say "wrong key" with 404 and "slow down" with 400, so what the manifest recognises goes
/// before the status.
///
/// # Errors
/// `Credentials` and `Rights`, `Provider` for the rest; with code, status, request id, and whether another try makes sense.
pub(super) fn judge(plan: &Plan, what: &str, reply: &Reply, redactor: &Redactor) -> Result<Verdict, Error> {
    let shared = &plan.shared;
    let parsed = reply::read(&reply.text(), shared.format);
    let value = parsed.as_ref().ok().cloned().unwrap_or(Value::Null);
    let headers = headers_of(reply);
    let none = Variables::from([("headers", headers.clone()), ("status", reply.status.as_u16().into())]);
    let holds = |query: &Option<super::query::Query>| query.as_ref().is_some_and(|query| query.holds(&value, &none));
    let text = |query: &Option<super::query::Query>| query.as_ref().and_then(|query| query.text(&value, &none));

    let failed_as = |what: &str, kind: ErrorKind, retry: Retry| {
        let why = text(&shared.error).unwrap_or_else(|| reply.excerpt());
        let mut error =
            Error::new(kind, t!("%{id}: %{what}: %{why}", id = plan.outline.id, what, why = shortened(&redactor.redact(&why))))
                .with_retry(retry)
                .with_http_status(reply.status.as_u16());
        if let Some(code) = text(&shared.code) {
            error = error.with_code(shortened(&redactor.redact(&code)));
        }
        let from_header = ["x-request-id", "cf-ray", "x-amzn-requestid", "x-acs-request-id"]
            .iter()
            .find_map(|name| reply.headers.get(*name)?.to_str().ok().map(str::to_owned));
        if let Some(id) = text(&shared.request_id).or(from_header) {
            error = error.with_request_id(shortened(&redactor.redact(&id)));
        }
        error
    };
    let failed = |kind: ErrorKind, retry: Retry| failed_as(what, kind, retry);
    let absent = || {
        let error = failed_as(&t!("%{what}: not found", what), ErrorKind::Provider, Retry::Never);
        let hint = t!("the zone may have been removed meanwhile, or the base URL may be wrong");
        Ok(Verdict::Absent(Box::new(error.with_hint(hint))))
    };
    let wrong_credentials = || {
        failed(ErrorKind::Credentials, Retry::Never)
            .with_hint(t!("check the credentials of %{provider}", provider = plan.outline.title))
    };

    let status = reply.status;
    if status == StatusCode::TOO_MANY_REQUESTS || holds(&shared.throttled) {
        return Err(failed(ErrorKind::Provider, reply.retry_after().map_or(Retry::Later, Retry::After)));
    }
    if holds(&shared.denied) {
        return Err(wrong_credentials());
    }
    if holds(&shared.forbidden) {
        return Err(failed(ErrorKind::Rights, Retry::Never).with_hint(rights_hint(plan)));
    }
    if holds(&shared.absent) {
        return absent();
    }
    if holds(&shared.exists) {
        return Ok(Verdict::Exists);
    }
    match status {
        StatusCode::UNAUTHORIZED => return Err(wrong_credentials()),
        StatusCode::FORBIDDEN => return Err(failed(ErrorKind::Rights, Retry::Never).with_hint(rights_hint(plan))),
        StatusCode::NOT_FOUND => return absent(),
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            return Err(failed(ErrorKind::Provider, reply.retry_after().map_or(Retry::Later, Retry::After)));
        }
        status if !status.is_success() => return Err(failed(ErrorKind::Provider, Retry::Never)),
        _ => {}
    }
    if let Err(why) = parsed {
        let excerpt = redactor.redact(&reply.excerpt());
        return Err(Error::provider(t!(
            "%{id}: %{what}: the reply is %{why}: %{excerpt}",
            id = plan.outline.id,
            what,
            why,
            excerpt
        ))
        .with_http_status(status.as_u16()));
    }
    if shared.ok.as_ref().is_some_and(|ok| !ok.holds(&value, &none)) {
        return Err(failed(ErrorKind::Provider, Retry::Never));
    }
    let excerpt = redactor.redact(&reply.excerpt());
    Ok(Verdict::Done(Answer { body: value, headers, what: format!("{what} (HTTP {})", status.as_u16()), excerpt }))
}

/// How long a wait a service may ask for before the call fails instead.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

fn rights_hint(plan: &Plan) -> String {
    let help: Vec<&str> = plan.outline.credentials.iter().filter_map(|credential| credential.help.as_deref()).collect();
    if help.is_empty() {
        t!("check the rights of the credentials of %{provider}", provider = plan.outline.title)
    } else {
        t!("needed: %{rights}", rights = help.join(t!("; ")))
    }
}

/// At most 300 characters, on one line.
pub(super) fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
