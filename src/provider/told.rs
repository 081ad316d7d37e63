//! Writers that are told what to write and say nothing of zones or of what is there: programs, webhooks, people.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Access, Capabilities, DnsProvider, Found, Handle, Zone};
use crate::{error::Result, name::Name, record::Record};

/// What such a writer can do.
#[async_trait]
pub(super) trait Writer: Send + Sync {
    /// The provider's id.
    fn id(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Adds one value.
    async fn add(&self, record: &Record) -> Result<()>;

    /// Removes one value.
    async fn remove(&self, record: &Record) -> Result<()>;
}

/// The provider that a writer makes.
pub(super) struct Told<W>(pub(super) W);

#[async_trait]
impl<W: Writer> DnsProvider for Told<W> {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn locate(&self, name: &Name) -> Result<Zone> {
        Ok(zone_above(name))
    }

    async fn find(&self, _zone: &Zone, _record: &Record) -> Result<Found> {
        Ok(Found::CannotTell)
    }

    async fn publish(&self, _zone: &Zone, record: &Record) -> Result<Handle> {
        self.0.add(record).await?;
        Ok(Handle(serde_json::Value::Object(serde_json::Map::new())))
    }

    async fn withdraw(&self, _zone: &Zone, record: &Record, _handle: Option<&Handle>) -> Result<()> {
        self.0.remove(record).await
    }

    async fn probe(&self) -> Result<Access> {
        // There is no call that writes nothing.
        Ok(Access::default())
    }
}

/// The zone where nobody tells which zones there are: named after the parent of the name, which is what a person looks for.
pub(super) fn zone_above(name: &Name) -> Zone {
    Zone { name: name.parent().unwrap_or_else(Name::root), fields: BTreeMap::new() }
}
