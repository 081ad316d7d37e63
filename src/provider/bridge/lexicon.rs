//! Providers of the user's own lexicon (dns-lexicon on PyPI), through its command line.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{learn, pairs, setting, variables};
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    provider::{
        Access, Capabilities, DnsProvider, Found, Handle, Zone,
        description::Description,
        program::{self, Program},
        registry::Registry,
        settings::{Context, Settings},
        told::zone_above,
    },
    record::{Record, RecordType},
};

/// Variables of lexicon begin so.
const ITS_VARIABLES: &str = "LEXICON_";

pub(super) fn describe(provider: &str) -> Description {
    Description {
        id: format!("lexicon:{provider}"),
        title: t!("`%{provider}` of your own lexicon", provider),
        docs: Some("https://dns-lexicon.readthedocs.io/en/latest/configuration_reference.html".to_owned()),
        origin: "bridge".to_owned(),
        credentials: vec![
            setting(
                "path",
                &["DV_LEXICON_PATH"],
                t!(
                    "the program (default `lexicon`); its own variables (`LEXICON_<PROVIDER>_…`) work as they do without this program"
                ),
            ),
            setting(
                "zone",
                &["DV_LEXICON_ZONE"],
                t!(
                    "the zone, where lexicon does not find it by itself; several by comma, the longest that holds the name counts"
                ),
            ),
            setting("timeout", &[], t!("how long a call may take, such as `90s` or `5m` (default 2m)")),
        ],
        ambient: None,
        proof: None,
        capabilities: capabilities(),
    }
}

fn capabilities() -> Capabilities {
    Capabilities { record_types: vec![RecordType::Txt, RecordType::Cname], ..Capabilities::default() }
}

pub(super) fn open(provider: &str, settings: &Settings, context: &Context, registry: &Registry) -> Result<Arc<dyn DnsProvider>> {
    let path = settings.find("path", &["DV_LEXICON_PATH".to_owned()])?;
    let path = path.map(|it| it.value.expose().to_owned()).filter(|path| !path.is_empty());
    let zones = settings.find("zone", &["DV_LEXICON_ZONE".to_owned()])?;
    let zones = zones.map(|it| it.value.expose().to_owned()).unwrap_or_default();
    let zones = zones.split(',').map(str::trim).filter(|zone| !zone.is_empty()).map(Name::parse).collect::<Result<Vec<_>>>()?;
    let environment = variables(&settings.environment, registry, |name| name.starts_with(ITS_VARIABLES));
    learn(&context.redactor, pairs(&environment).filter(|(name, _)| name.starts_with(ITS_VARIABLES)));
    let program = Program {
        path: path.unwrap_or_else(|| "lexicon".to_owned()),
        timeout: program::timeout(settings)?,
        environment,
        redactor: context.redactor.clone(),
    };
    Ok(Arc::new(Lexicon { id: format!("lexicon:{provider}"), provider: provider.to_owned(), zones, program }))
}

struct Lexicon {
    id: String,
    provider: String,
    /// Zones that the user named.
    zones: Vec<Name>,
    program: Program,
}

impl Lexicon {
    /// The arguments of one call. Global options stand before the provider.
    fn arguments(&self, action: &str, zone: &Zone, record: &Record) -> Vec<String> {
        let mut all = Vec::new();
        if self.zones.contains(&zone.name) {
            all.extend(["--delegated".to_owned(), zone.name.as_str().to_owned()]);
        }
        all.extend([&self.provider, action, zone.name.as_str(), &record.record_type.to_string()].map(str::to_owned));
        all.push(format!("--name={}", record.name.with_dot()));
        if action != "list" {
            all.push(format!("--content={}", record.value));
        }
        all.push(format!("--output={}", if action == "list" { "JSON" } else { "QUIET" }));
        all
    }

    async fn run(&self, action: &str, zone: &Zone, record: &Record) -> Result<()> {
        let arguments = self.arguments(action, zone, record);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.program.run(&self.what(action, record), &arguments).await
    }

    fn what(&self, action: &str, record: &Record) -> String {
        format!("`lexicon {} {action} {}`", self.provider, record.name)
    }
}

/// Whether a list of lexicon has the value; `None` for what is no list.
fn lists(answer: &str, record: &Record) -> Option<bool> {
    let records: Vec<Map<String, Value>> = serde_json::from_str(answer.trim()).ok()?;
    let ours = |content: &str| match record.record_type {
        RecordType::Txt => content == record.value || content.trim_matches('"') == record.value,
        // A file is no record; the capabilities keep it away.
        RecordType::File => false,
        RecordType::Cname => content.trim_end_matches('.').eq_ignore_ascii_case(&record.value),
    };
    Some(records.iter().filter_map(|it| it.get("content")).filter_map(Value::as_str).any(ours))
}

#[async_trait]
impl DnsProvider for Lexicon {
    fn id(&self) -> &str {
        &self.id
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    /// The longest zone that the user named, else a name from which lexicon finds it.
    async fn locate(&self, name: &Name) -> Result<Zone> {
        let longest = self.zones.iter().filter(|zone| name.is_within(zone)).max_by_key(|zone| zone.labels().count());
        match longest {
            Some(zone) => Ok(Zone { name: zone.clone(), fields: std::collections::BTreeMap::new() }),
            None if self.zones.is_empty() => {
                let mut above = zone_above(name);
                while above.name.first_label().starts_with('_') {
                    above = zone_above(&above.name);
                }
                Ok(above)
            }
            None => {
                let zones: Vec<&str> = self.zones.iter().map(Name::as_str).collect();
                Err(Error::provider(t!(
                    "provider `%{id}`: none of the zones %{zones} holds `%{name}`",
                    id = self.id,
                    zones = zones.join(", "),
                    name
                ))
                .with_hint(t!("add its zone to the setting `zone`")))
            }
        }
    }

    async fn find(&self, zone: &Zone, record: &Record) -> Result<Found> {
        let arguments = self.arguments("list", zone, record);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = self.program.read(&self.what("list", record), &arguments).await?;
        // Some of its providers list nothing that can be relied on.
        Ok(match lists(&answer, record) {
            Some(true) => Found::Present(Handle(Value::Object(Map::new()))),
            Some(false) => Found::Absent,
            None => Found::CannotTell,
        })
    }

    async fn publish(&self, zone: &Zone, record: &Record) -> Result<Handle> {
        self.run("create", zone, record).await?;
        Ok(Handle(Value::Object(Map::new())))
    }

    async fn withdraw(&self, zone: &Zone, record: &Record, _handle: Option<&Handle>) -> Result<()> {
        self.run("delete", zone, record).await
    }

    async fn probe(&self) -> Result<Access> {
        // Lexicon lists records, not zones.
        Ok(Access::default())
    }
}
