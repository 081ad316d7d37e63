//! A manifest after the checks: everything compiled, nothing left to be misspelt.

use std::{collections::BTreeMap, time::Duration};

use minijinja::Value as Jinja;
use reqwest::Method;
use serde_json::{Map, Value};

use super::{
    model::{ReplyFormat, Scope, SignKind},
    query::Query,
    template::Template,
};
use crate::{
    language::t,
    provider::{
        Capabilities,
        description::{Ambient, CredentialHelp, Description, Proof},
    },
    record::RecordType,
};

/// What can be said about a provider without compiling its templates and queries.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) docs: Option<String>,
    pub(super) origin: String,
    pub(super) is_builtin: bool,
    pub(super) ttl: u32,
    pub(super) least_ttl: u32,
    pub(super) apex: String,
    pub(super) usual_delay: Option<Duration>,
    pub(super) aliases: Vec<String>,
    pub(super) name_servers: Vec<String>,
    /// The record types, each as the API writes it.
    pub(super) types: Vec<(RecordType, Value)>,
    pub(super) scope: Scope,
    pub(super) several_values: bool,
    pub(super) removal: bool,
    pub(super) rewrites_set: bool,
    pub(super) one_write_per_zone: bool,
    pub(super) proof: Proof,
    /// Whose credentials of the machine take their place where none of them is set.
    pub(super) ambient: Option<Ambient>,
    pub(super) credentials: Vec<Credential>,
}

impl Outline {
    /// What a provider made from it can do.
    pub(super) fn capabilities(&self) -> Capabilities {
        Capabilities {
            record_types: self.types.iter().map(|(record_type, _)| *record_type).collect(),
            several_values: self.several_values,
            removal: self.removal,
            rewrites_set: self.rewrites_set,
            rewrites_zone: self.scope == Scope::Zone,
            one_write_per_zone: self.one_write_per_zone || self.scope == Scope::Zone,
            commits: false,
            least_ttl: self.least_ttl,
            usual_delay: self.usual_delay,
            by_hand: false,
            experimental: self.proof == Proof::Derived,
            name_servers: self.name_servers.clone(),
        }
    }

    /// What users are told about it.
    pub(super) fn describe(&self) -> Description {
        let credentials = self.credentials.iter().map(|credential| CredentialHelp {
            name: credential.name.clone(),
            secret: credential.secret,
            optional: credential.optional,
            help: match (&credential.help, &credential.default) {
                (help, None) => help.clone(),
                (Some(help), Some(default)) => Some(t!("%{help} (default: %{default})", help, default)),
                (None, Some(default)) => Some(t!("default: %{default}", default)),
            },
            familiar: credential.familiar.clone(),
        });
        Description {
            id: self.id.clone(),
            title: self.title.clone(),
            docs: self.docs.clone(),
            origin: if self.is_builtin { t!("built-in manifest").to_owned() } else { self.origin.clone() },
            credentials: credentials.collect(),
            ambient: self.ambient,
            proof: Some(self.proof),
            capabilities: self.capabilities(),
        }
    }
}

/// The whole manifest.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) outline: Outline,
    pub(super) base_url: Template,
    pub(super) hosts: BTreeMap<String, Template>,
    pub(super) shared: Shared,
    pub(super) sign: Option<Sign>,
    pub(super) clock: Option<Login>,
    pub(super) login: Option<Login>,
    pub(super) logout: Option<Call>,
    pub(super) lookups: Vec<Lookup>,
    pub(super) zone: Option<ZonePlan>,
    pub(super) writing: Writing,
    pub(super) commit: Option<Call>,
    pub(super) wait: Option<Wait>,
}

impl Plan {
    /// Whether any call needs to know the zone.
    pub(super) fn uses_zone(&self) -> bool {
        let calls: Vec<&Call> = match &self.writing {
            Writing::Records(records) => {
                let find = records.find.as_ref().map(|find| &find.call);
                [Some(&records.create), find, records.delete.as_ref()].into_iter().flatten().collect()
            }
            Writing::Merge(merge) => vec![&merge.read, &merge.write],
        };
        calls.iter().any(|call| call.mentions("zone") || call.mentions("name"))
    }
}

/// One credential or setting.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    pub(super) name: String,
    pub(super) secret: bool,
    pub(super) optional: bool,
    pub(super) default: Option<String>,
    pub(super) file: bool,
    pub(super) help: Option<String>,
    pub(super) familiar: Vec<String>,
    /// The fields of one entry, where it is a map keyed by name.
    pub(super) fields: Option<Vec<String>>,
}

/// What every call has in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) headers: Vec<(String, Node)>,
    pub(super) query: Vec<(String, Node)>,
    pub(super) json: Option<Node>,
    pub(super) form: Option<Vec<(String, Node)>>,
    pub(super) format: ReplyFormat,
    pub(super) ok: Option<Query>,
    pub(super) absent: Option<Query>,
    pub(super) exists: Option<Query>,
    pub(super) denied: Option<Query>,
    pub(super) forbidden: Option<Query>,
    pub(super) throttled: Option<Query>,
    pub(super) error: Option<Query>,
    pub(super) code: Option<Query>,
    pub(super) request_id: Option<Query>,
}

/// A named signer with its keys.
#[derive(Debug)]
pub(super) struct Sign {
    pub(super) kind: SignKind,
    pub(super) access_key: Option<Template>,
    pub(super) secret_key: Option<Template>,
    pub(super) token: Option<Template>,
    pub(super) service: Option<Template>,
    pub(super) region: Option<Template>,
    /// The name of a parameter that is computed from the others, and its value.
    pub(super) parameter: Option<(Template, Template)>,
}

/// One HTTP call.
#[derive(Debug)]
pub(super) struct Call {
    /// The section that it stands in, for errors.
    pub(super) section: &'static str,
    pub(super) method: Method,
    /// A name of `[hosts]`; `None` for the base URL.
    pub(super) host: Option<String>,
    /// Path and query.
    pub(super) path: Template,
    pub(super) headers: Vec<(String, Node)>,
    pub(super) query: Vec<(String, Node)>,
    pub(super) body: Option<Body>,
}

impl Call {
    /// Whether any part uses the variable.
    pub(super) fn mentions(&self, name: &str) -> bool {
        let in_list = |list: &[(String, Node)]| list.iter().any(|(_, node)| node.mentions(name));
        self.path.mentions(name)
            || in_list(&self.headers)
            || in_list(&self.query)
            || self.body.as_ref().is_some_and(|body| match body {
                Body::Json(node) => node.mentions(name),
                Body::Form(list) => in_list(list),
                Body::Text { text, .. } => text.mentions(name),
            })
    }
}

/// What a call sends.
#[derive(Debug)]
pub(super) enum Body {
    /// JSON, built from values and never from text.
    Json(Node),
    /// `application/x-www-form-urlencoded`
    Form(Vec<(String, Node)>),
    /// Text of the named media type.
    Text { media_type: String, text: Template },
}

/// A value with templates in it.
#[derive(Debug)]
pub(super) enum Node {
    /// A string.
    Template(Template),
    /// A number or a boolean.
    Scalar(Value),
    /// An array.
    List(Vec<Node>),
    /// An object; keys are templates too.
    Table(Vec<(Template, Node)>),
}

impl Node {
    /// Whether any part uses the variable.
    pub(super) fn mentions(&self, name: &str) -> bool {
        match self {
            Self::Template(template) => template.mentions(name),
            Self::Scalar(_) => false,
            Self::List(all) => all.iter().any(|node| node.mentions(name)),
            Self::Table(all) => all.iter().any(|(key, node)| key.mentions(name) || node.mentions(name)),
        }
    }

    /// The value; `None` where it is left out because an optional credential is not set.
    ///
    /// # Errors
    /// As for templates.
    pub(super) fn render(&self, context: &Jinja) -> Result<Option<Value>, String> {
        Ok(Some(match self {
            Self::Template(template) => return template.value(context),
            Self::Scalar(value) => value.clone(),
            Self::List(all) => {
                let values = all.iter().filter_map(|node| node.render(context).transpose());
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            Self::Table(all) => {
                let mut object = Map::new();
                for (key, node) in all {
                    if let (Some(key), Some(value)) = (key.text(context)?, node.render(context)?) {
                        object.insert(key, value);
                    }
                }
                Value::Object(object)
            }
        }))
    }

    /// The value as text, for headers, queries and forms.
    ///
    /// # Errors
    /// As for templates; also where it is a list or an object.
    pub(super) fn render_text(&self, context: &Jinja) -> Result<Option<String>, String> {
        match self.render(context)? {
            None => Ok(None),
            Some(value) => text_of(&value).map(Some).ok_or_else(|| t!("a list or an object cannot stand here").to_owned()),
        }
    }
}

/// A scalar as it is written in a URL or a header.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A call that gives one value: a session, or the service's time.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) call: Call,
    pub(super) value: Query,
}

/// Fetches one named value.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) name: String,
    pub(super) call: Call,
    pub(super) value: Query,
}

/// Finds the zone of a name.
#[derive(Debug)]
pub(super) struct ZonePlan {
    pub(super) call: Call,
    pub(super) zones: Query,
    pub(super) next: Option<Query>,
    /// Whether it is asked once for each parent of the name; else it lists zones, or finds the right one by itself.
    pub(super) asks_candidates: bool,
}

/// How values are written.
#[derive(Debug)]
pub(super) enum Writing {
    /// Each value is a record of its own.
    Records(Box<Records>),
    /// Read, change by one, write.
    Merge(Box<Merge>),
}

/// See [`Writing::Records`].
#[derive(Debug)]
pub(super) struct Records {
    /// Adds one.
    pub(super) create: Call,
    /// What finds it again, in the reply of `create`.
    pub(super) id: Option<Query>,
    /// Finds the records with the value.
    pub(super) find: Option<Find>,
    /// Removes one.
    pub(super) delete: Option<Call>,
}

/// Lists records.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) call: Call,
    pub(super) ids: Query,
    pub(super) next: Option<Query>,
    pub(super) detail: Option<(Call, Query)>,
    /// What `[create]` and `[delete]` must know about the list as it was read.
    pub(super) state: Option<Query>,
}

/// See [`Writing::Merge`].
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) item: Node,
    pub(super) same: Query,
    pub(super) read: Call,
    pub(super) items: Query,
    pub(super) read_ttl: Option<Query>,
    /// What the writes must know about the set as it was read.
    pub(super) state: Option<Query>,
    pub(super) next: Option<Query>,
    /// Makes the place for a set, and what of its reply is the state then.
    pub(super) make: Option<(Call, Query)>,
    pub(super) write: Call,
    pub(super) first: Option<Call>,
    pub(super) clear: Option<Call>,
}

/// Waits until a change is done.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) call: Call,
    pub(super) done: Query,
    pub(super) fail: Option<Query>,
    /// What `{{ result }}` is, of the reply to the change.
    pub(super) result: Option<Query>,
    /// Whether it is waited before `[commit]` too.
    pub(super) before_commit: bool,
}
