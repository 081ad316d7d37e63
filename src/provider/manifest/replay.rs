//! Examples: recorded or derived exchanges that a manifest must reproduce, without a network.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value};

use self::script::{Exchange, Script};
use super::{Manifest, clock::Clock, model::Scope, source::Source, whole_zone::WholeZone, wire::Wire};
use crate::{
    environment::Environment,
    error::Result,
    language::t,
    name::Name,
    provider::{DnsProvider, Found, Handle, Zone, description::Proof, settings::Settings},
    record::{Record, RecordType},
    secret::Redactor,
};

mod script;

/// What became of one case.
#[derive(Clone, Debug)]
pub struct CaseOutcome {
    /// Its name.
    pub name: String,
    /// What kind of case it is: `create`, `second-value`, `delete`, `not-found`, `bad-credentials`, `paging`, or another word.
    pub kind: String,
    /// Where its least certain reply comes from.
    pub proof: Proof,
    /// What went otherwise than the case says; `None` where all went as it should.
    pub failure: Option<CaseFailure>,
}

/// Why a case failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFailure {
    /// In one sentence.
    pub why: String,
    /// The request that differed, where it was one.
    pub difference: Option<Difference>,
}

/// A request as it should have been and as it was: method and path, the headers that the example names, and the body, line by line. Empty where
/// there should be none, or was none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// As the example says.
    pub expected: Vec<String>,
    /// As the manifest makes it.
    pub actual: Vec<String>,
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
        outcomes.push(CaseOutcome { name, kind, proof, failure });
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

async fn play(manifest: &Manifest, case: Case) -> Result<(), CaseFailure> {
    let plain = |why: String| CaseFailure { why, difference: None };
    let now = case.given.clock.parse().map_err(|_| plain(t!("`%{clock}` is no time", clock = case.given.clock)))?;
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
    // What replaces whole zones needs the user's permission and a folder for copies; examples need not speak of that.
    let mut copies = None;
    if manifest.plan.outline.scope == Scope::Zone {
        let folder = tempfile::tempdir()
            .map_err(|error| plain(t!("there is no temporary folder for copies of zones: %{error}", error)))?;
        copies = Some(folder);
    }
    let engine = engine.map(|engine| match &copies {
        Some(folder) => engine.with_whole_zone(WholeZone::of_examples(folder.path())),
        None => engine,
    });
    let given = &case.given;
    let outcome = match engine {
        Ok(engine) => operate(&engine, case.operation, given).await,
        Err(error) => Err(error),
    };
    if let Some(complaint) = script.complaint() {
        return Err(complaint);
    }
    let held = match (outcome, case.want) {
        (Err(error), want) if want.outcome != Ending::Error => Err(t!("ended with the error: %{error}", error)),
        (Err(error), want) => {
            let kind = format!("{:?}", error.kind()).to_lowercase();
            let said = format!("{error} {}", error.hint().unwrap_or_default());
            match (want.kind, want.error) {
                (Some(wanted), _) if wanted != kind => {
                    Err(t!("the error is of kind %{kind}, not %{wanted}: %{error}", kind, wanted, error))
                }
                (_, Some(wanted)) if !said.contains(&wanted) => {
                    Err(t!("the error does not say `%{wanted}`: %{error}", wanted, error))
                }
                _ => Ok(()),
            }
        }
        (Ok(got), want) if got.ending != want.outcome => Err(t!(
            "ended as %{ending}, not as %{outcome}",
            ending = format_args!("{:?}", got.ending),
            outcome = format_args!("{:?}", want.outcome)
        )),
        (Ok(got), want) => match want.handle.or(want.zone.map(Value::Object)) {
            Some(wanted) if wanted != got.value => Err(t!("gave %{value}, not %{wanted}", value = got.value, wanted)),
            _ => Ok(()),
        },
    };
    held.map_err(plain)
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
