//! A provider made from a manifest.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    client::{Client, Purpose},
    merge,
    plan::{self, Call, Find, Plan, Writing},
    scope::Scope,
    verdict::{Answer, LONGEST_PAUSE, Verdict},
    whole_zone::WholeZone,
    zones,
};
use crate::{
    error::{Error, Result, Retry},
    language::t,
    name::Name,
    provider::{Access, Capabilities, DnsProvider, Found, Handle, Zone},
    record::Record,
};

mod merging;
mod settle;

/// How often a write whose outcome is unknown is looked after and tried again.
const WRITE_ATTEMPTS: usize = 3;
/// How often one value is removed where each removal needs a new look.
const MOST_REMOVALS: usize = 10;

/// A provider made from a manifest.
pub(super) struct Engine {
    pub(super) client: Client,
    /// The TTL that is written, in seconds.
    pub(super) ttl: u32,
    /// Zones that the user named, for manifests that cannot find them.
    pub(super) zones: Vec<Name>,
    whole_zone: WholeZone,
    /// Writers of one record set, or of one zone, take turns.
    turns: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl Engine {
    /// A provider that has not called yet.
    pub(super) fn new(client: Client, ttl: u32, zones: Vec<Name>, whole_zone: WholeZone) -> Self {
        Self { client, ttl, zones, whole_zone, turns: Mutex::default() }
    }

    /// The same with other permissions to replace whole zones.
    pub(super) fn with_whole_zone(self, whole_zone: WholeZone) -> Self {
        Self { whole_zone, ..self }
    }

    fn plan(&self) -> &Plan {
        &self.client.plan
    }

    fn scope(&self, zone: &Zone, record: &Record) -> Result<Scope> {
        let plan = self.plan();
        if !plan.outline.types.iter().any(|(record_type, _)| *record_type == record.record_type) {
            return Err(Error::usage(t!(
                "%{provider} does not write %{record_type} records",
                provider = plan.outline.title,
                record_type = record.record_type
            )));
        }
        if !record.name.is_within(&zone.name) {
            return Err(Error::usage(t!("`%{name}` is not in the zone `%{zone}`", name = record.name, zone = zone.name)));
        }
        Ok(Scope::of_record(zone, record, plan, self.ttl))
    }

    /// Waits for one's turn where writes must not overlap.
    async fn turn(&self, zone: &Zone, record: &Record) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        let capabilities = self.plan().outline.capabilities();
        let key = if capabilities.one_write_per_zone {
            zone.name.to_string()
        } else if capabilities.rewrites_set {
            format!("{} {}", record.name, record.record_type)
        } else {
            return None;
        };
        let turn = Arc::clone(self.turns.lock().await.entry(key).or_default());
        Some(turn.lock_owned().await)
    }

    /// What is written to is not there.
    fn not_found(&self, call: &Call) -> Error {
        Error::provider(t!("%{id}: %{section}: not found", id = self.plan().outline.id, section = call.section))
            .with_hint(t!("the zone may have been removed meanwhile, or the base URL may be wrong"))
    }

    /// The pause before a write whose outcome is unknown is looked after.
    async fn wait_after(&self, error: &Error) {
        let asked = if let Retry::After(asked) = error.retry() { asked } else { Duration::from_secs(1) };
        self.client.clock.pause(asked.min(LONGEST_PAUSE)).await;
    }

    fn wrong_shape(&self, section: &str, why: &str) -> Error {
        let why = self.client.redactor.redact(why);
        Error::provider(format!("{}: {section}: {why}", self.plan().outline.id))
    }

    /// The records with the value, each as the object that `record` stands for.
    async fn records(&self, find: &Find, scope: &Scope) -> Result<Records> {
        let Some(listed) = self.client.list(&find.call, &find.ids, find.next.as_ref(), [find.state.as_ref()], scope).await?
        else {
            return Ok(Records::default());
        };
        let mut records = Vec::new();
        for id in listed.values.into_iter().filter(|id| !id.is_null()) {
            let record = as_record(id);
            if let Some((call, keep)) = &find.detail {
                let scope = scope.with("record", record.clone());
                // A record that vanished between list and look is not there.
                let Verdict::Done(reply) = self.client.ask(call, &scope, Purpose::Repeatable).await? else { continue };
                if !keep.holds(&reply.body, &scope.variables_with(&reply.headers)) {
                    continue;
                }
            }
            records.push(record);
        }
        let [state] = listed.besides;
        if find.state.is_some() && state.is_none() {
            return Err(self.wrong_shape("[find]", t!("the reply lacks what `state` takes from it")));
        }
        Ok(Records { records, state })
    }

    async fn find_value(&self, scope: &Scope) -> Result<Found> {
        match &self.plan().writing {
            Writing::Records(records) => {
                let Some(find) = &records.find else { return Ok(Found::CannotTell) };
                let first = self.records(find, scope).await?.records.into_iter().next();
                Ok(first.map_or(Found::Absent, |record| Found::Present(Handle(record))))
            }
            Writing::Merge(merge) => {
                let set = self.read(merge, scope).await?;
                let found = merge::matching(&set.items, &merge.same, &scope.variables());
                let found = found.map_err(|why| self.wrong_shape("[merge]", &why))?;
                Ok(if found.is_empty() { Found::Absent } else { Found::Present(Handle(json!({}))) })
            }
        }
    }

    /// Adds the value unless it is there. Where it is not known what became of a call, it is looked for, and only then tried again.
    async fn create(&self, plan: &plan::Records, scope: &Scope) -> Result<Handle> {
        let plan::Records { create, id, find, .. } = plan;
        let uses_state = create.mentions("state");
        let mut attempt = 1;
        loop {
            let mut scope = scope.clone();
            if let Some(find) = find {
                let Records { records, state } = self.records(find, &scope).await?;
                if let Some(record) = records.into_iter().next() {
                    if attempt > 1 {
                        self.settle(&Answer::default(), &scope, false).await?;
                    } else {
                        self.commit_again(&scope).await;
                    }
                    return Ok(Handle(record));
                }
                match state {
                    Some(state) => scope.set("state", state),
                    None if uses_state => return Err(self.not_found(&find.call)),
                    None => {}
                }
            }
            match self.client.ask(create, &scope, Purpose::Write).await {
                Ok(Verdict::Done(reply)) => {
                    self.settle(&reply, &scope, false).await?;
                    let variables = scope.variables_with(&reply.headers);
                    let id = id.as_ref().map_or(Ok(None), |id| id.first(&reply.body, &variables));
                    let id = id.map_err(|why| self.wrong_shape("[create]", &why))?;
                    return Ok(Handle(id.map_or_else(|| json!({}), as_record)));
                }
                // Somebody else has changed the zone since it was read.
                Ok(Verdict::Exists) if uses_state && attempt < WRITE_ATTEMPTS => {}
                Ok(Verdict::Exists) => {
                    return match self.find_value(&scope).await? {
                        Found::Present(handle) => Ok(handle),
                        Found::CannotTell => Ok(Handle(json!({}))),
                        Found::Absent => Err(Error::provider(t!(
                            "%{id}: the service says that the record is there already, but does not list it",
                            id = self.plan().outline.id
                        ))),
                    };
                }
                Ok(Verdict::Absent(error)) => return Err(*error),
                Err(error) if error.retry() != Retry::Never && find.is_some() && attempt < WRITE_ATTEMPTS => {
                    self.wait_after(&error).await;
                }
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    async fn remove(&self, plan: &plan::Records, scope: &Scope, handle: Option<&Handle>) -> Result<()> {
        let Some(delete) = &plan.delete else {
            tracing::warn!(provider = self.plan().outline.id, "this service has no way to remove a record");
            return Ok(());
        };
        if let Some(find) = plan.find.as_ref().filter(|_| delete.mentions("state")) {
            return self.remove_by_state(delete, find, scope).await;
        }
        if !delete.mentions("record") {
            return self.delete(delete, scope).await.map(|_| ());
        }
        let saved = handle.map(|handle| &handle.0).filter(|record| record.get("id").is_some());
        if let Some(record) = saved {
            return self.delete(delete, &scope.with("record", record.clone())).await.map(|_| ());
        }
        let Some(find) = &plan.find else {
            return Err(Error::provider(t!(
                "%{id}: the record cannot be found again: its id is not known",
                id = self.plan().outline.id
            ))
            .with_hint(t!("remove it by hand")));
        };
        let records = self.records(find, scope).await?.records;
        if records.is_empty() {
            self.commit_again(scope).await;
        }
        for record in records {
            self.delete(delete, &scope.with("record", record)).await?;
        }
        Ok(())
    }

    /// Removes record after record, each by the state of the zone as it was read just before: a removal changes it.
    async fn remove_by_state(&self, delete: &Call, find: &Find, scope: &Scope) -> Result<()> {
        for _ in 0..MOST_REMOVALS {
            let Records { records, state } = self.records(find, scope).await?;
            let (Some(record), Some(state)) = (records.into_iter().next(), state) else { return Ok(()) };
            self.delete(delete, &scope.with("record", record).with("state", state)).await?;
        }
        Err(Error::provider(t!(
            "%{id}: the record is still there after %{MOST_REMOVALS} removals",
            id = self.plan().outline.id,
            MOST_REMOVALS
        )))
    }

    /// One removal; what is not there is removed.
    async fn delete(&self, delete: &Call, scope: &Scope) -> Result<Verdict> {
        let verdict = self.client.ask(delete, scope, Purpose::Repeatable).await?;
        match &verdict {
            Verdict::Done(reply) => self.settle(reply, scope, true).await?,
            Verdict::Absent(_) | Verdict::Exists => self.commit_again(scope).await,
        }
        Ok(verdict)
    }

    /// Ends the session that an operation needed.
    async fn finish<T>(&self, outcome: Result<T>) -> Result<T> {
        self.client.log_out().await;
        outcome
    }
}

#[async_trait]
impl DnsProvider for Engine {
    fn id(&self) -> &str {
        &self.plan().outline.id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { commits: self.plan().commit.is_some(), ..self.plan().outline.capabilities() }
    }

    async fn locate(&self, name: &Name) -> Result<Zone> {
        self.finish(zones::locate(&self.client, &self.zones, name).await).await
    }

    async fn find(&self, zone: &Zone, record: &Record) -> Result<Found> {
        let scope = self.scope(zone, record)?;
        self.finish(self.find_value(&scope).await).await
    }

    async fn publish(&self, zone: &Zone, record: &Record) -> Result<Handle> {
        let scope = self.scope(zone, record)?;
        let _turn = self.turn(zone, record).await;
        let outcome = match &self.plan().writing {
            Writing::Records(records) => self.create(records, &scope).await,
            Writing::Merge(merge) => self.rewrite(merge, &zone.name, &scope, true).await.map(|()| Handle(json!({}))),
        };
        self.finish(outcome).await
    }

    async fn withdraw(&self, zone: &Zone, record: &Record, handle: Option<&Handle>) -> Result<()> {
        let scope = self.scope(zone, record)?;
        let _turn = self.turn(zone, record).await;
        let outcome = match &self.plan().writing {
            Writing::Records(records) => self.remove(records, &scope, handle).await,
            Writing::Merge(merge) => self.rewrite(merge, &zone.name, &scope, false).await,
        };
        self.finish(outcome).await
    }

    async fn probe(&self) -> Result<Access> {
        self.finish(zones::probe(&self.client).await).await
    }
}

/// An id as the object `record`: an object stands for itself, anything else becomes its `id`.
fn as_record(id: Value) -> Value {
    match id {
        Value::Object(_) => id,
        other => json!({ "id": other }),
    }
}

/// Records with the value.
#[derive(Debug, Default)]
struct Records {
    records: Vec<Value>,
    /// What `[find] state` took from the reply.
    state: Option<Value>,
}
