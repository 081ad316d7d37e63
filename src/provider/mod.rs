//! DNS providers: where records are written. One trait, manifests as data, and Rust where a template is not enough.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    language::t,
    name::Name,
    record::{Record, RecordType},
};

mod ambient;
mod bridge;
pub mod description;
mod exec;
pub mod file;
mod httpreq;
pub mod manifest;
mod manual;
mod program;
pub mod registry;
mod rfc2136;
pub mod settings;
mod told;

/// A zone of the provider's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The name of its apex.
    pub name: Name,
    /// What else the provider needs to address it (ids), by the provider's own field names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// What the provider needs to find a published value again: a record id or an object. Journaled, so it must not hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub serde_json::Value);

/// What a provider says about one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    Present(Handle),
    /// It is not there.
    Absent,
    /// The provider has no way to tell; what the authorities said before the write decides.
    CannotTell,
}

/// What the credentials give access to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Zones of the account that the API listed; empty where it cannot list.
    pub zones: Vec<Name>,
    /// Whether [`Access::zones`] is all there is, so that a missing zone is really missing.
    pub is_complete: bool,
}

/// What a provider can do. Callers read it instead of guessing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The record types that it can write.
    pub record_types: Vec<RecordType>,
    /// Whether a name can hold several values of one type.
    pub several_values: bool,
    /// Whether values can be removed.
    pub removal: bool,
    /// Whether a write replaces the whole record set (read, merge, write), so that writers of one name must take turns.
    pub rewrites_set: bool,
    /// Whether a write replaces the whole zone, which the user must allow.
    pub rewrites_zone: bool,
    /// Whether writes within one zone must not overlap.
    pub one_write_per_zone: bool,
    /// Whether a change takes effect only by a call after it, which a run that dies in between does not make.
    pub commits: bool,
    /// The least TTL that the provider takes, in seconds.
    pub least_ttl: u32,
    /// How long a change usually takes to reach all name servers; `None` where nothing is known.
    pub usual_delay: Option<Duration>,
    /// Whether a person does the writing, so that publishing waits for somebody.
    pub by_hand: bool,
    /// Whether nothing above derived examples has shown that it works (manifests); a run says so.
    pub experimental: bool,
    /// Suffixes of this provider's name servers (`ns.cloudflare.com`), where they are known.
    pub name_servers: Vec<String>,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            record_types: vec![RecordType::Txt],
            several_values: true,
            removal: true,
            rewrites_set: false,
            rewrites_zone: false,
            one_write_per_zone: false,
            commits: false,
            least_ttl: 60,
            usual_delay: None,
            by_hand: false,
            experimental: false,
            name_servers: Vec::new(),
        }
    }
}

impl Capabilities {
    /// What it cannot do, or only at a price; for people who choose a provider.
    pub fn limits(&self) -> Vec<&'static str> {
        let all = [
            (!self.record_types.contains(&RecordType::Cname), t!("writes no CNAME")),
            (!self.several_values, t!("one value per name: another value at the name is replaced")),
            (!self.removal, t!("cannot remove records")),
            (self.rewrites_zone, t!("every write replaces the whole zone")),
            (self.by_hand, t!("a person writes the records")),
        ];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, limit)| limit).collect()
    }
}

/// A place where DNS records are written, with one set of credentials.
///
/// Contract, checked by one conformance suite: `publish` adds exactly one value and touches no other; publishing what is there is
/// success; `withdraw` removes exactly that value and leaves the others; withdrawing what is not there is success; every call ends
/// within its own time limit and may be cancelled by dropping its future; retries of what is worth another try are the
/// implementation's business, bounded.
#[async_trait]
pub trait DnsProvider: Send + Sync {
    /// The provider's id: `cloudflare`.
    fn id(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The zone of this account that holds `name`: the longest that does.
    ///
    /// # Errors
    /// `ErrorKind::Provider` with the zones that there are, where none fits; `Credentials` and `Rights` where that is the reason.
    async fn locate(&self, name: &Name) -> Result<Zone>;

    /// Whether the value is there.
    async fn find(&self, zone: &Zone, record: &Record) -> Result<Found>;

    /// Adds one value. The handle finds it again.
    async fn publish(&self, zone: &Zone, record: &Record) -> Result<Handle>;

    /// Removes one value; without a handle, the value is searched.
    async fn withdraw(&self, zone: &Zone, record: &Record, handle: Option<&Handle>) -> Result<()>;

    /// Tries the credentials. Writes nothing.
    async fn probe(&self) -> Result<Access>;
}
