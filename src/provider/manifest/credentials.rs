//! The credentials of one provider instance, as its manifest declares them.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::plan::{Credential, Plan};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    mutex::locked,
    name::Name,
    provider::settings::{Renewed, Settings},
    secret::{Redactor, Secret},
};

/// The values. `Debug` shows none.
pub(super) struct Credentials {
    plain: Map<String, Value>,
    /// Maps keyed by name, the longest name first.
    per_name: Vec<(String, Vec<(Name, Value)>)>,
    /// What is renewed while the provider works, and its values as of the last call.
    renewed: Option<InUse>,
}

/// Credentials that are renewed, and their values as of the last call.
type InUse = (Arc<dyn Renewed>, Mutex<Map<String, Value>>);

/// What a renewed value is called that is no setting, but the session itself.
const SESSION: &str = "session";

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.plain.keys()).entries(self.per_name.iter().map(|(name, _)| name)).finish()
    }
}

impl Credentials {
    /// Collects what the manifest declares; nothing else is looked at. The redactor learns every secret.
    ///
    /// # Errors
    /// `ErrorKind::Credentials` that names everything missing, with the variables to set.
    pub(super) fn resolve(plan: &Plan, settings: &Settings, redactor: &Redactor) -> Result<Self> {
        let mut found = Self { plain: Map::new(), per_name: Vec::new(), renewed: None };
        let mut missing = Vec::new();
        for credential in &plan.outline.credentials {
            if let Some(fields) = &credential.fields {
                match per_name(credential, fields, settings, redactor)? {
                    Some(map) => found.per_name.push((credential.name.clone(), map)),
                    None => missing.push(credential),
                }
                continue;
            }
            let value = settings.find(&credential.name, &credential.familiar)?.map(|setting| setting.value);
            let value = value.filter(|value| !value.is_empty());
            if let Some(secret) = value.as_ref().filter(|_| credential.secret) {
                redactor.learn(secret);
            }
            let text = value.map(|value| value.expose().to_owned()).or_else(|| credential.default.clone());
            if text.is_none() && !credential.optional {
                missing.push(credential);
            }
            found.plain.insert(credential.name.clone(), text.map_or(Value::Null, Value::String));
        }
        let is_set = |name: &&str| found.plain.get(*name).is_some_and(|value| !value.is_null());
        if let Some(renewed) = settings.renewed.as_ref().filter(|renewed| !renewed.names().iter().any(is_set)) {
            missing.retain(|credential| !renewed.replaced().contains(&credential.name.as_str()));
            found.renewed = Some((Arc::clone(renewed), Mutex::default()));
        }
        if missing.is_empty() { Ok(found) } else { Err(missing_error(plan, settings, &missing)) }
    }

    /// Brings what is renewed up to date, where there is any such; before each call.
    ///
    /// # Errors
    /// As [`Renewed::current`].
    pub(super) async fn renew(&self) -> Result<()> {
        let Some((renewed, values)) = &self.renewed else { return Ok(()) };
        let current = renewed.current().await?;
        let current = current.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value.expose())));
        *locked(values) = current.collect();
        Ok(())
    }

    /// Whether they are fetched while the provider works.
    pub(super) fn are_fetched(&self) -> bool {
        self.renewed.is_some()
    }

    /// The token that takes the place of a session, where credentials of the machine give one.
    pub(super) fn session(&self) -> Option<Value> {
        let (_, values) = self.renewed.as_ref()?;
        locked(values).get(SESSION).cloned()
    }

    /// The object `cred` for writing at `owner`.
    ///
    /// # Errors
    /// `ErrorKind::Credentials` where a map has no entry for the name or a parent of it.
    pub(super) fn object(&self, owner: Option<&Name>) -> Result<Value> {
        let mut object = self.plain.clone();
        if let Some((_, values)) = &self.renewed {
            let values = locked(values);
            object.extend(values.iter().filter(|(name, _)| *name != SESSION).map(|(name, value)| (name.clone(), value.clone())));
        }
        for (credential, map) in &self.per_name {
            let entry = owner.and_then(|owner| map.iter().find(|(name, _)| owner.is_within(name)));
            match (entry, owner) {
                (Some((_, entry)), _) => {
                    object.insert(credential.clone(), entry.clone());
                }
                (None, Some(owner)) => {
                    return Err(Error::new(
                        ErrorKind::Credentials,
                        t!("`%{credential}` has no entry for `%{owner}`", credential, owner),
                    )
                    .with_hint(t!("add one for this name or for a parent of it")));
                }
                (None, None) => {}
            }
        }
        Ok(Value::Object(object))
    }
}

/// A map keyed by name: a table in the config, or JSON in a variable or a file.
fn per_name(
    credential: &Credential,
    fields: &[String],
    settings: &Settings,
    redactor: &Redactor,
) -> Result<Option<Vec<(Name, Value)>>> {
    let wrong = |why: String| {
        let shape = format!(
            "{{\"example.com\": {{{}}}}}",
            fields.iter().map(|field| format!("\"{field}\": \"…\"")).collect::<Vec<_>>().join(", ")
        );
        Error::config(format!("`{}` {why}", credential.name)).with_hint(t!("write it as %{shape}", shape))
    };
    let table: Map<String, Value> = if let Some(table @ toml::Value::Table(_)) = settings.table.get(&credential.name) {
        let value = serde_json::to_value(table).map_err(|error| wrong(t!("cannot be read: %{error}", error)))?;
        value.as_object().cloned().unwrap_or_default()
    } else if let Some(setting) = settings.find(&credential.name, &credential.familiar)? {
        // The text may hold secrets: the parser's message, which quotes it, is not shown.
        serde_json::from_str(setting.value.expose())
            .map_err(|_| wrong(t!("(%{origin}) is no JSON object", origin = setting.origin)))?
    } else {
        return Ok(None);
    };
    let mut map = Vec::new();
    for (name, entry) in table {
        let name = Name::parse(&name).map_err(|error| wrong(t!("has a wrong key: %{message}", message = error.message())))?;
        let mut object = Map::new();
        for field in fields {
            let text = entry.get(field).and_then(Value::as_str);
            let text = text.ok_or_else(|| wrong(t!("lacks `%{field}` for `%{name}`", field, name)))?;
            if credential.secret {
                redactor.learn(&Secret::new(text));
            }
            object.insert(field.clone(), text.into());
        }
        map.push((name, Value::Object(object)));
    }
    map.sort_by_key(|(name, _)| std::cmp::Reverse(name.as_str().len()));
    Ok(Some(map))
}

fn missing_error(plan: &Plan, settings: &Settings, missing: &[&Credential]) -> Error {
    let names = missing.iter().map(|credential| format!("`{}`", credential.name)).collect::<Vec<_>>().join(", ");
    let ways: Vec<String> = missing
        .iter()
        .map(|credential| {
            let mut variables = settings.variables(&credential.name, &credential.familiar);
            if credential.file || credential.fields.is_some() {
                variables = variables.into_iter().map(|variable| format!("{variable}_FILE")).collect();
            }
            let help = credential.help.as_ref().map(|help| t!(" (%{help})", help)).unwrap_or_default();
            t!("set %{variables}%{help}", variables = variables.join(t!(" or ")), help)
        })
        .collect();
    let more =
        t!("each also with `_FILE` behind it for a file that holds the value, or as a key of the provider's table in the config");
    Error::new(ErrorKind::Credentials, t!("%{provider}: credentials are missing: %{names}", provider = plan.outline.title, names))
        .with_hint(t!("%{ways}; %{more}", ways = ways.join(t!("; ")), more))
}

#[cfg(test)]
mod tests {
    use super::{super::load::load, *};
    use crate::environment::Environment;

    const TEXT: &str = r#"
id = "mine"
title = "Mine"
base_url = "https://{{ cred.region }}.example.com"
ttl = 60
removal = false
[credentials]
token = { secret = true, help = "a token" }
region = { default = "eu" }
team = { optional = true }
account = { per_name = true, secret = true, fields = ["user", "password"] }
[create]
http = "POST /{{ cred.account.user }}"
headers = { A = "{{ cred.token }}", B = "{{ cred.team }}" }
"#;

    fn resolve(environment: Environment) -> Result<(Credentials, Redactor)> {
        let redactor = Redactor::default();
        let settings = Settings::of_builtin("mine", environment);
        Credentials::resolve(&load(TEXT, "mine.toml", false).unwrap(), &settings, &redactor).map(|found| (found, redactor))
    }

    #[test]
    fn everything_missing_is_named_with_its_variables() {
        let error = resolve(Environment::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert_eq!(error.to_string(), "Mine: credentials are missing: `account`, `token`");
        let hint = error.hint().unwrap();
        assert!(hint.contains("set DV_MINE_ACCOUNT_FILE") && hint.contains("set DV_MINE_TOKEN (a token)"), "{hint}");
    }

    #[test]
    fn defaults_optional_values_and_entries_by_the_longest_name() {
        let map =
            r#"{"example.com": {"user": "u1", "password": "pass-one"}, "a.example.com": {"user": "u2", "password": "pass-two"}}"#;
        let (found, redactor) = resolve(Environment::of([("DV_MINE_TOKEN", "t0ken-secret"), ("DV_MINE_ACCOUNT", map)])).unwrap();
        let object = found.object(Some(&Name::parse("_dv.a.example.com").unwrap())).unwrap();
        assert_eq!(object["region"], "eu");
        assert_eq!(object["team"], Value::Null);
        assert_eq!(object["account"]["user"], "u2");
        assert_eq!(found.object(Some(&Name::parse("_dv.example.com").unwrap())).unwrap()["account"]["user"], "u1");
        assert_eq!(found.object(Some(&Name::parse("x.org").unwrap())).unwrap_err().kind(), ErrorKind::Credentials);
        assert_eq!(redactor.redact("t0ken-secret pass-two"), "[redacted] [redacted]");
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn a_broken_map_is_not_quoted() {
        let error = resolve(Environment::of([("DV_MINE_TOKEN", "t"), ("DV_MINE_ACCOUNT", "secret{")])).unwrap_err();
        assert!(!error.to_string().contains("secret{"), "{error}");
        assert!(error.hint().unwrap().contains("\"user\""));
    }
}
