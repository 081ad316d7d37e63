//! The variables of one call.

use jiff::SignedDuration;
use minijinja::Value as Jinja;
use serde_json::{Map, Value, json};

use super::{filters::RECORD_TYPE, plan::Plan, query::Variables, template::context_of};
use crate::{name::Name, provider::Zone, record::Record};

/// The variables that jq sees.
const IN_JQ: &[&str] = &["fqdn", "name", "value", "ttl", "type", "zone", "record", "candidate"];

/// Variables by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    values: Map<String, Value>,
    /// The name that is written, which decides on credentials per name.
    owner: Option<Name>,
    /// How far the service's clock is ahead of ours.
    pub(super) ahead: SignedDuration,
}

impl Scope {
    /// For finding the zone of `name`.
    pub(super) fn of_name(name: &Name, plan: &Plan) -> Self {
        let mut scope = Self { owner: Some(name.clone()), ..Self::default() };
        scope.set("fqdn", name.as_str());
        if let Some((_, spelled)) = plan.outline.types.first() {
            scope.set("type", spelled.clone());
        }
        scope
    }

    /// For writing `record` into `zone`.
    pub(super) fn of_record(zone: &Zone, record: &Record, plan: &Plan, ttl: u32) -> Self {
        let mut scope = Self { owner: Some(record.name.clone()), ..Self::default() };
        let relative = record.name.relative_to(&zone.name).unwrap_or_else(|| record.name.as_str().to_owned());
        let spelled = plan.outline.types.iter().find(|(record_type, _)| *record_type == record.record_type);
        scope.set("fqdn", record.name.as_str());
        scope.set("name", if relative.is_empty() { plan.outline.apex.clone() } else { relative });
        scope.set("value", record.value.as_str());
        scope.set("ttl", ttl);
        scope.set("type", spelled.map_or_else(|| record.record_type.as_str().into(), |(_, spelled)| spelled.clone()));
        scope.set("zone", zone_object(zone));
        scope.set(RECORD_TYPE, record.record_type.as_str());
        scope
    }

    /// The same with one more variable.
    #[must_use]
    pub(super) fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut scope = self.clone();
        scope.set(name, value);
        scope
    }

    /// Sets a variable.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.values.insert(name.to_owned(), value.into());
    }

    /// A variable.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Whether the variable is set.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The name that is written.
    pub(super) fn owner(&self) -> Option<&Name> {
        self.owner.as_ref()
    }

    /// For templates.
    pub(super) fn context(&self) -> Jinja {
        context_of(&Value::Object(self.values.clone()))
    }

    /// For jq on a reply with these headers.
    pub(super) fn variables_with(&self, headers: &Value) -> Variables {
        let mut variables = self.variables();
        variables.insert("headers", headers.clone());
        variables
    }

    /// For jq.
    pub(super) fn variables(&self) -> Variables {
        let mut variables: Variables = IN_JQ.iter().filter_map(|name| Some((*name, self.values.get(*name)?.clone()))).collect();
        variables.insert("record_type", self.values.get(RECORD_TYPE).cloned().unwrap_or_else(|| json!("TXT")));
        variables
    }
}

/// A zone as templates and jq see it: its name, and the fields that the manifest took from the API.
fn zone_object(zone: &Zone) -> Value {
    let mut object: Map<String, Value> = zone.fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    object.insert("name".to_owned(), zone.name.as_str().into());
    Value::Object(object)
}
