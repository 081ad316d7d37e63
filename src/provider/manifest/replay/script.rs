//! The other side of a replay: requests that must come, in order, and their replies.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        Manifest,
        call::Outgoing,
        wire::{Failure, Wire},
    },
    CaseFailure, Difference,
};
use crate::{
    error::{Error, ErrorKind, Result},
    http::Reply,
    language::t,
    mutex::locked,
    provider::description::Proof,
};

/// One request that must come, and its reply.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    /// Method, path and query: `GET /zones?name=example.com`; behind the base URL's path.
    request: String,
    /// Headers that must be there with these values, among others.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    form: Option<BTreeMap<String, String>>,
    text: Option<String>,
    /// The body is another one each time, and is not compared.
    #[serde(default)]
    any_body: bool,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    reply_headers: BTreeMap<String, String>,
    #[serde(default)]
    reply: String,
    /// Where the reply comes from, if not from where the case says.
    pub(super) origin: Option<Proof>,
}

fn ok() -> u16 {
    200
}

/// Replies in order; complains about what does not come as it should.
pub(super) struct Script {
    state: Mutex<State>,
}

struct State {
    left: VecDeque<Exchange>,
    complaint: Option<CaseFailure>,
    base_path: Option<String>,
}

impl Script {
    pub(super) fn new(manifest: &Manifest, exchanges: Vec<Exchange>) -> Self {
        // The path of a literal base URL is left out of the examples.
        let base = manifest.plan.base_url.is_literal().then(|| manifest.plan.base_url.literal().to_owned());
        let base_path = base.and_then(|base| url::Url::parse(&base).ok()).map(|url| url.path().trim_end_matches('/').to_owned());
        Self { state: Mutex::new(State { left: exchanges.into(), complaint: None, base_path }) }
    }

    /// What went wrong, if anything did.
    pub(super) fn complaint(&self) -> Option<CaseFailure> {
        let state = locked(&self.state);
        let unused = || {
            let exchange = state.left.front()?;
            let difference = Difference { expected: wanted_lines(exchange), actual: Vec::new() };
            Some(CaseFailure {
                why: t!("`%{request}` was never asked", request = exchange.request),
                difference: Some(difference),
            })
        };
        state.complaint.clone().or_else(unused)
    }
}

#[async_trait]
impl Wire for Script {
    async fn send(&self, request: Outgoing) -> Result<Reply, Failure> {
        let mut state = locked(&self.state);
        let failed = |why: String| Failure { error: Error::new(ErrorKind::Unexpected, why), may_have_acted: false };
        let asked = asked(&request, state.base_path.as_deref());
        let wanted = state.left.pop_front();
        let outcome = match &wanted {
            None => Err(t!("nothing more was to be asked").to_owned()),
            Some(exchange) => compare(&request, &asked, exchange).map(|()| exchange),
        };
        match outcome {
            Ok(exchange) => reply_of(exchange).map_err(failed),
            Err(why) => {
                let why = format!("{asked}: {why}");
                let difference = Difference {
                    expected: wanted.as_ref().map(wanted_lines).unwrap_or_default(),
                    actual: actual_lines(&request, asked, wanted.as_ref()),
                };
                state.complaint.get_or_insert_with(|| CaseFailure { why: why.clone(), difference: Some(difference) });
                Err(failed(why))
            }
        }
    }
}

/// Method, path and query, as an example writes them.
fn asked(request: &Outgoing, base_path: Option<&str>) -> String {
    let path = request.url.path();
    let path = base_path.and_then(|base| path.strip_prefix(base)).unwrap_or(path);
    match request.url.query() {
        Some(query) => format!("{} {path}?{query}", request.method),
        None => format!("{} {path}", request.method),
    }
}

fn compare(request: &Outgoing, asked: &str, wanted: &Exchange) -> Result<(), String> {
    if asked != wanted.request {
        return Err(t!("expected was `%{request}`", request = wanted.request));
    }
    for (name, value) in &wanted.headers {
        match request.header(name) {
            Some(sent) if sent == value => {}
            Some(_) => return Err(t!("the header `%{name}` is another one than `%{value}`", name, value)),
            None => return Err(t!("the header `%{name}` is missing", name)),
        }
    }
    if wanted.any_body {
        return if request.body.is_empty() { Err(t!("the body is empty").to_owned()) } else { Ok(()) };
    }
    let body = String::from_utf8_lossy(&request.body);
    match (&wanted.json, &wanted.form, &wanted.text) {
        (Some(json), _, _) => {
            let sent: Value = serde_json::from_str(&body).map_err(|_| t!("the body is no JSON: %{body}", body))?;
            if sent != *json {
                return Err(t!("the body is %{sent}, expected was %{json}", sent, json));
            }
        }
        (None, Some(form), _) => {
            let sent = fields(&request.body);
            if sent != *form {
                return Err(t!(
                    "the form is %{sent}, expected was %{form}",
                    sent = format_args!("{sent:?}"),
                    form = format_args!("{form:?}")
                ));
            }
        }
        (None, None, Some(text)) if body.trim() != text.trim() => {
            return Err(t!("the body is %{body}, expected was %{text}", body, text));
        }
        (None, None, None) if !body.is_empty() => return Err(t!("the body should be empty, but is %{body}", body)),
        _ => {}
    }
    Ok(())
}

fn fields(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn wanted_lines(wanted: &Exchange) -> Vec<String> {
    let body = match (&wanted.json, &wanted.form, &wanted.text) {
        _ if wanted.any_body => vec![t!("(any body)").to_owned()],
        (Some(json), _, _) => json_lines(json),
        (None, Some(form), _) => form_lines(form),
        (None, None, Some(text)) => text.trim().lines().map(str::to_owned).collect(),
        (None, None, None) => Vec::new(),
    };
    let headers = wanted.headers.iter().map(|(name, value)| format!("{name}: {value}"));
    std::iter::once(wanted.request.clone()).chain(headers).chain(body).collect()
}

/// The request as lines, with those headers that the example names.
fn actual_lines(request: &Outgoing, asked: String, wanted: Option<&Exchange>) -> Vec<String> {
    let text = String::from_utf8_lossy(&request.body);
    let body = match serde_json::from_str::<Value>(&text) {
        Ok(json) => json_lines(&json),
        Err(_) if wanted.is_some_and(|wanted| wanted.form.is_some()) => form_lines(&fields(&request.body)),
        Err(_) => text.trim().lines().map(str::to_owned).collect(),
    };
    let named = wanted.iter().flat_map(|wanted| wanted.headers.keys());
    let headers = named.filter_map(|name| request.header(name).map(|value| format!("{name}: {value}")));
    std::iter::once(asked).chain(headers).chain(body).collect()
}

/// JSON with sorted keys, one value on each line, so that only differences differ.
fn json_lines(value: &Value) -> Vec<String> {
    let mut value = value.clone();
    value.sort_all_objects();
    serde_json::to_string_pretty(&value).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn form_lines(form: &BTreeMap<String, String>) -> Vec<String> {
    form.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn reply_of(exchange: &Exchange) -> Result<Reply, String> {
    let status = StatusCode::from_u16(exchange.status).map_err(|_| t!("%{status} is no status", status = exchange.status))?;
    let headers: HeaderMap = (&exchange.reply_headers.clone().into_iter().collect::<std::collections::HashMap<_, _>>())
        .try_into()
        .map_err(|_| t!("`reply_headers` cannot be headers").to_owned())?;
    Ok(Reply { status, headers, body: Bytes::from(exchange.reply.clone()) })
}
