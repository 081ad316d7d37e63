//! A person writes the records. Nothing is written here; the journey shows what is needed and waits until it is visible.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Capabilities, DnsProvider,
    description::Description,
    registry::Registry,
    settings::{Context, Settings},
    told::{Told, Writer},
};
use crate::{
    error::Result,
    language::t,
    record::{Record, RecordType},
};

/// What `providers show manual` prints.
pub(super) fn describe() -> Description {
    Description {
        id: "manual".to_owned(),
        title: t!("By hand: shows the records and waits until they are visible").to_owned(),
        docs: None,
        origin: "built-in".to_owned(),
        ambient: None,
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
    Ok(Arc::new(Told(Manual)))
}

struct Manual;

#[async_trait]
impl Writer for Manual {
    fn id(&self) -> &'static str {
        "manual"
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn add(&self, record: &Record) -> Result<()> {
        tracing::info!(name = %record.name, r#type = %record.record_type, value = record.value, "add this record by hand");
        Ok(())
    }

    async fn remove(&self, record: &Record) -> Result<()> {
        tracing::info!(name = %record.name, r#type = %record.record_type, value = record.value, "this record is needed no more: remove it by hand");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::Name,
        provider::{Found, told::zone_above},
    };

    #[tokio::test]
    async fn a_person_does_everything() {
        let name = Name::parse("_dv.www.example.com").unwrap();
        let record = Record { name: name.clone(), record_type: RecordType::Txt, value: "v".into() };
        let manual = Told(Manual);
        assert!(DnsProvider::capabilities(&manual).by_hand);
        let zone = manual.locate(&name).await.unwrap();
        assert_eq!(zone.name.as_str(), "www.example.com");
        assert_eq!(manual.find(&zone, &record).await.unwrap(), Found::CannotTell);
        let handle = manual.publish(&zone, &record).await.unwrap();
        manual.withdraw(&zone, &record, Some(&handle)).await.unwrap();
        assert!(zone_above(&Name::parse("com").unwrap()).name.is_root());
    }
}
