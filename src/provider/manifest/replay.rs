//! Examples: recorded or derived exchanges that a manifest must reproduce, without a network.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Manifest,
    call::Outgoing,
    clock::Clock,
    model::Proof,
    source::Source,
    wire::{Failure, Wire},
};
use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    http::Reply,
    name::Name,
    provider::{DnsProvider, Found, Handle, Zone, settings::Settings},
    record::{Record, RecordType},
    secret::Redactor,
};

/// What became of one case.
#[derive(Clone, Debug)]
pub struct CaseOutcome {
    /// Its name.
    pub name: String,
    /// What kind of case it is: `create`, `second-value`, `delete`, `not-found`, `bad-credentials`, `paging`, or another word.
    pub kind: String,
    /// Where its least certain reply comes from: `real-server`, `vendor-specification`, `vendor-sample` or `derived`.
    pub proof: String,
    /// What went otherwise than the case says; `None` where all went as it should.
    pub failure: Option<String>,
}

/// Plays every case of `examples` (TOML; `docs/manifest.md` has the format) against the manifest. `origin` names the file in errors.
///
/// # Errors
/// `ErrorKind::Config` where the examples cannot be read. A case that fails is an outcome, not an error.
pub async fn replay(manifest: &Manifest, examples: &str, origin: &str) -> Result<Vec<CaseOutcome>> {
    let source = Source { text: examples, origin };
    let examples: Examples = toml::from_str(examples).map_err(|error| source.toml_error(&error))?;
    let mut outcomes = Vec::new();
    for case in examples.case {
        let proof = case.exchange.iter().map(|exchange| exchange.origin.unwrap_or(case.origin)).min().unwrap_or(case.origin);
        let (name, kind) = (case.name.clone(), case.kind.clone());
        let failure = play(manifest, case).await.err();
        outcomes.push(CaseOutcome { name, kind, proof: word(proof).to_owned(), failure });
    }
    Ok(outcomes)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    case: Vec<Case>,
}

/// One operation with the exchanges that it makes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    kind: String,
    #[serde(rename = "do")]
    operation: Operation,
    #[serde(default)]
    origin: Proof,
    /// The page that the replies come from.
    #[serde(rename = "source")]
    _source: Option<String>,
    #[serde(default)]
    given: Given,
    #[serde(default)]
    exchange: Vec<Exchange>,
    want: Want,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Operation {
    Locate,
    Find,
    Publish,
    Withdraw,
    Probe,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    fqdn: String,
    value: String,
    #[serde(rename = "type")]
    record_type: String,
    credentials: BTreeMap<String, toml::Value>,
    /// A zone as `locate` gave it; without it, the case begins with finding the zone.
    zone: Option<Map<String, Value>>,
    handle: Option<Value>,
    clock: String,
    nonce: String,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            fqdn: "_dv.example.com".to_owned(),
            value: "abc".to_owned(),
            record_type: "TXT".to_owned(),
            credentials: BTreeMap::new(),
            zone: None,
            handle: None,
            clock: "2026-01-02T03:04:05Z".to_owned(),
            nonce: "00000000000000000000000000000001".to_owned(),
        }
    }
}

/// One request that must come, and its reply.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
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
    origin: Option<Proof>,
}

fn ok() -> u16 {
    200
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Want {
    outcome: Ending,
    zone: Option<Map<String, Value>>,
    handle: Option<Value>,
    /// The kind of error: `credentials`, `rights`, `provider`, `config`.
    kind: Option<String>,
    /// Something that the error says.
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ending {
    Done,
    Present,
    Absent,
    CannotTell,
    Error,
}

/// What an operation gave.
struct Ended {
    ending: Ending,
    value: Value,
}

async fn play(manifest: &Manifest, case: Case) -> Result<(), String> {
    let now = case.given.clock.parse().map_err(|_| format!("`{}` is no time", case.given.clock))?;
    let script = Arc::new(Script::new(manifest, case.exchange));
    let settings = Settings {
        instance: manifest.id().to_owned(),
        id: manifest.id().to_owned(),
        table: case.given.credentials.clone(),
        environment: Environment::default(),
        allow_http: true,
        fallback: BTreeMap::new(),
        renewed: None,
    };
    let wire: Arc<dyn Wire> = Arc::clone(&script) as _;
    let engine = manifest.engine(&settings, wire, Clock::fixed(now, &case.given.nonce), &Redactor::default());
    let given = &case.given;
    let outcome = match engine {
        Ok(engine) => operate(&engine, case.operation, given).await,
        Err(error) => Err(error),
    };
    if let Some(complaint) = script.complaint() {
        return Err(complaint);
    }
    match (outcome, case.want) {
        (Err(error), want) if want.outcome != Ending::Error => Err(format!("ended with the error: {error}")),
        (Err(error), want) => {
            let kind = format!("{:?}", error.kind()).to_lowercase();
            let said = format!("{error} {}", error.hint().unwrap_or_default());
            match (want.kind, want.error) {
                (Some(wanted), _) if wanted != kind => Err(format!("the error is of kind {kind}, not {wanted}: {error}")),
                (_, Some(wanted)) if !said.contains(&wanted) => Err(format!("the error does not say `{wanted}`: {error}")),
                _ => Ok(()),
            }
        }
        (Ok(got), want) if got.ending != want.outcome => Err(format!("ended as {:?}, not as {:?}", got.ending, want.outcome)),
        (Ok(got), want) => match want.handle.or(want.zone.map(Value::Object)) {
            Some(wanted) if wanted != got.value => Err(format!("gave {}, not {wanted}", got.value)),
            _ => Ok(()),
        },
    }
}

async fn operate(engine: &dyn DnsProvider, operation: Operation, given: &Given) -> Result<Ended> {
    let name = Name::parse(&given.fqdn)?;
    let record = Record { name: name.clone(), record_type: RecordType::parse(&given.record_type)?, value: given.value.clone() };
    let done = |value: Value| Ok(Ended { ending: Ending::Done, value });
    if let Operation::Probe = operation {
        let access = engine.probe().await?;
        return done(access.zones.iter().map(|zone| Value::from(zone.as_str())).collect());
    }
    let zone = match &given.zone {
        Some(zone) => zone_of(zone)?,
        None => engine.locate(&name).await?,
    };
    match operation {
        Operation::Locate | Operation::Probe => done(zone_value(&zone)),
        Operation::Find => Ok(match engine.find(&zone, &record).await? {
            Found::Present(handle) => Ended { ending: Ending::Present, value: handle.0 },
            Found::Absent => Ended { ending: Ending::Absent, value: Value::Null },
            Found::CannotTell => Ended { ending: Ending::CannotTell, value: Value::Null },
        }),
        Operation::Publish => done(engine.publish(&zone, &record).await?.0),
        Operation::Withdraw => {
            let handle = given.handle.clone().map(Handle);
            engine.withdraw(&zone, &record, handle.as_ref()).await?;
            done(Value::Null)
        }
    }
}

fn zone_of(given: &Map<String, Value>) -> Result<Zone> {
    let name = given.get("name").and_then(Value::as_str).unwrap_or_default();
    let fields = given.iter().filter(|(key, _)| *key != "name").map(|(key, value)| (key.clone(), value.clone()));
    Ok(Zone { name: Name::parse(name)?, fields: fields.collect() })
}

fn zone_value(zone: &Zone) -> Value {
    let mut object: Map<String, Value> = zone.fields.clone().into_iter().collect();
    object.insert("name".to_owned(), zone.name.as_str().into());
    Value::Object(object)
}

/// Replies in order; complains about what does not come as it should.
struct Script {
    state: Mutex<State>,
}

struct State {
    left: VecDeque<Exchange>,
    complaint: Option<String>,
    base_path: Option<String>,
}

impl Script {
    fn new(manifest: &Manifest, exchanges: Vec<Exchange>) -> Self {
        // The path of a literal base URL is left out of the examples.
        let base = manifest.plan.base_url.is_literal().then(|| manifest.plan.base_url.literal().to_owned());
        let base_path = base.and_then(|base| url::Url::parse(&base).ok()).map(|url| url.path().trim_end_matches('/').to_owned());
        Self { state: Mutex::new(State { left: exchanges.into(), complaint: None, base_path }) }
    }

    /// What went wrong, if anything did.
    fn complaint(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let unused = || state.left.front().map(|exchange| format!("`{}` was never asked", exchange.request));
        state.complaint.clone().or_else(unused)
    }
}

#[async_trait]
impl Wire for Script {
    async fn send(&self, request: Outgoing) -> Result<Reply, Failure> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let outcome = match state.left.pop_front() {
            None => Err("nothing more was to be asked".to_owned()),
            Some(exchange) => compare(&request, &exchange, state.base_path.as_deref()).map(|()| exchange),
        };
        let failed = |why: String| Failure { error: Error::new(ErrorKind::Unexpected, why), may_have_acted: false };
        match outcome {
            Ok(exchange) => reply_of(&exchange).map_err(failed),
            Err(why) => {
                let why = format!("{} {}: {why}", request.method, shown(&request, state.base_path.as_deref()));
                state.complaint.get_or_insert_with(|| why.clone());
                Err(failed(why))
            }
        }
    }
}

fn shown(request: &Outgoing, base_path: Option<&str>) -> String {
    let path = request.url.path();
    let path = base_path.and_then(|base| path.strip_prefix(base)).unwrap_or(path);
    match request.url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn compare(request: &Outgoing, wanted: &Exchange, base_path: Option<&str>) -> Result<(), String> {
    let asked = format!("{} {}", request.method, shown(request, base_path));
    if asked != wanted.request {
        return Err(format!("expected was `{}`", wanted.request));
    }
    for (name, value) in &wanted.headers {
        match request.header(name) {
            Some(sent) if sent == value => {}
            Some(_) => return Err(format!("the header `{name}` is another one than `{value}`")),
            None => return Err(format!("the header `{name}` is missing")),
        }
    }
    if wanted.any_body {
        return if request.body.is_empty() { Err("the body is empty".to_owned()) } else { Ok(()) };
    }
    let body = String::from_utf8_lossy(&request.body);
    match (&wanted.json, &wanted.form, &wanted.text) {
        (Some(json), _, _) => {
            let sent: Value = serde_json::from_str(&body).map_err(|_| format!("the body is no JSON: {body}"))?;
            if sent != *json {
                return Err(format!("the body is {sent}, expected was {json}"));
            }
        }
        (None, Some(form), _) => {
            let sent: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
            if sent != *form {
                return Err(format!("the form is {sent:?}, expected was {form:?}"));
            }
        }
        (None, None, Some(text)) if body.trim() != text.trim() => {
            return Err(format!("the body is {body}, expected was {text}"));
        }
        (None, None, None) if !body.is_empty() => return Err(format!("the body should be empty, but is {body}")),
        _ => {}
    }
    Ok(())
}

fn reply_of(exchange: &Exchange) -> Result<Reply, String> {
    let status = StatusCode::from_u16(exchange.status).map_err(|_| format!("{} is no status", exchange.status))?;
    let headers: HeaderMap = (&exchange.reply_headers.clone().into_iter().collect::<std::collections::HashMap<_, _>>())
        .try_into()
        .map_err(|_| "`reply_headers` cannot be headers".to_owned())?;
    Ok(Reply { status, headers, body: Bytes::from(exchange.reply.clone()) })
}

/// The word for a proof, as in the examples.
fn word(proof: Proof) -> &'static str {
    match proof {
        Proof::Derived => "derived",
        Proof::VendorSample => "vendor-sample",
        Proof::VendorSpecification => "vendor-specification",
        Proof::RealServer => "real-server",
    }
}
