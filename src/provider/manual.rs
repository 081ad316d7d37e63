//! A person writes the records. Nothing is written here; the journey shows what is needed and waits until it is visible.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Access, Capabilities, DnsProvider, Found, Handle, Zone,
    description::Description,
    registry::Registry,
    settings::{Context, Settings},
};
use crate::{
    error::Result,
    language::t,
    name::Name,
    record::{Record, RecordType},
};

/// What `providers show manual` prints.
pub(super) fn describe() -> Description {
    Description {
        id: "manual".to_owned(),
        title: t!("By hand: shows the records and waits until they are visible").to_owned(),
        docs: None,
        origin: "built-in".to_owned(),
        proof: None,
        credentials: Vec::new(),
        capabilities: capabilities(),
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        record_types: vec![RecordType::Txt, RecordType::Cname],
        least_ttl: 1,
        by_hand: true,
        ..Capabilities::default()
    }
}

/// Makes the provider.
#[expect(clippy::unnecessary_wraps, reason = "all providers are made by functions of one shape")]
pub(super) fn open(_settings: &Settings, _context: &Context, _registry: &Registry) -> Result<Arc<dyn DnsProvider>> {
    Ok(Arc::new(Manual))
}

/// The zone where nobody tells which zones there are: named after the parent of the name, which is what a person looks for.
pub(super) fn zone_above(name: &Name) -> Zone {
    Zone { name: name.parent().unwrap_or_else(Name::root), fields: std::collections::BTreeMap::new() }
}

struct Manual;

#[async_trait]
impl DnsProvider for Manual {
    fn id(&self) -> &'static str {
        "manual"
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn locate(&self, name: &Name) -> Result<Zone> {
        Ok(zone_above(name))
    }

    async fn find(&self, _zone: &Zone, _record: &Record) -> Result<Found> {
        Ok(Found::CannotTell)
    }

    async fn publish(&self, _zone: &Zone, record: &Record) -> Result<Handle> {
        tracing::info!(name = %record.name, r#type = %record.record_type, value = record.value, "add this record by hand");
        Ok(Handle(serde_json::Value::Object(serde_json::Map::new())))
    }

    async fn withdraw(&self, _zone: &Zone, record: &Record, _handle: Option<&Handle>) -> Result<()> {
        tracing::info!(name = %record.name, r#type = %record.record_type, value = record.value, "this record is needed no more: remove it by hand");
        Ok(())
    }

    async fn probe(&self) -> Result<Access> {
        Ok(Access::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_person_does_everything() {
        let name = Name::parse("_dv.www.example.com").unwrap();
        let record = Record { name: name.clone(), record_type: RecordType::Txt, value: "v".into() };
        assert!(Manual.capabilities().by_hand);
        let zone = Manual.locate(&name).await.unwrap();
        assert_eq!(zone.name.as_str(), "www.example.com");
        assert_eq!(Manual.find(&zone, &record).await.unwrap(), Found::CannotTell);
        let handle = Manual.publish(&zone, &record).await.unwrap();
        Manual.withdraw(&zone, &record, Some(&handle)).await.unwrap();
        assert!(zone_above(&Name::parse("com").unwrap()).name.is_root());
    }
}
