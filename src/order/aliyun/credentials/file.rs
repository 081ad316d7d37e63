//! The credentials file of the SDKs, an INI file.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Link, path, profile, read,
    source::{Keys, RoleOfProfile, Source},
    variables,
};
use crate::{environment::Environment, ini, language::t, secret::Secret};

/// The section that the user chose, else `default`.
pub(super) fn link(environment: &Environment) -> Link {
    let path = place(environment)?;
    let text = read(&path)?;
    let shown = path.display();
    let name = profile(environment).unwrap_or("default");
    let section = section(&text, name).ok_or_else(|| t!("`%{shown}` has no section `[%{name}]`", shown, name))?;
    let wrong = |why: &str| t!("section `[%{name}]` of `%{shown}` %{why}", name, shown, why);
    let value = |key: &str| section.get(key).copied().filter(|value| !value.is_empty());
    let need = |key: &str| value(key).ok_or_else(|| wrong(&t!("has no `%{key}`", key)));
    let keys = || {
        let (id, secret) = (need("access_key_id")?, need("access_key_secret")?);
        Keys::new(id, Secret::new(secret), None).map(Source::Fixed).map_err(|why| wrong(&why))
    };
    let role = || {
        let own = |key: &str| value(key).map(str::to_owned);
        let role = RoleOfProfile {
            arn: own("role_arn"),
            session_name: own("role_session_name"),
            policy: own("policy"),
            ..RoleOfProfile::default()
        };
        role.complete(environment).map_err(|why| wrong(&why))
    };
    let origin = t!("section `[%{name}]` of `%{shown}`", name, shown);
    match need("type")? {
        "access_key" => Ok((keys()?, origin)),
        "ram_role_arn" => {
            let (base, role) = (Box::new(keys()?), role()?);
            let origin = t!("role `%{role}` (%{origin})", role = role.arn, origin);
            Ok((Source::Role { base, role }, origin))
        }
        "oidc_role_arn" => {
            let role = role()?;
            let from = |key: &str, variable: &str| {
                value(key).or_else(|| environment.get(variable)).ok_or_else(|| wrong(&t!("has no `%{key}`", key)))
            };
            let provider_arn = from("oidc_provider_arn", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN")?.to_owned();
            let token_file = PathBuf::from(from("oidc_token_file_path", "ALIBABA_CLOUD_OIDC_TOKEN_FILE")?);
            let origin = t!("role `%{role}` (%{origin})", role = role.arn, origin);
            Ok((Source::Oidc { role, provider_arn, token_file }, origin))
        }
        "ecs_ram_role" => {
            let (source, how) = variables::of_instance(environment, value("role_name").map(str::to_owned))?;
            Ok((source, t!("%{how} (%{origin})", how, origin)))
        }
        other => Err(wrong(&t!("has the type `%{other}`, which is not supported", other))),
    }
}

/// The file: the SDK for Go calls it `credentials`, that for Python `credentials.ini`.
fn place(environment: &Environment) -> Result<PathBuf, String> {
    let first = path(environment, "ALIBABA_CLOUD_CREDENTIALS_FILE", ".alibabacloud/credentials")?;
    let second = path(environment, "ALIBABA_CLOUD_CREDENTIALS_FILE", ".alibabacloud/credentials.ini")?;
    Ok(if !first.exists() && second.exists() { second } else { first })
}

/// Keys and values of one section. What follows a `#` is a comment, except within the pair of double quotes around a value, which is not part
/// of it.
fn section<'text>(text: &'text str, name: &str) -> Option<BTreeMap<String, &'text str>> {
    let bare = |value: &'text str| {
        let quoted = value.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        quoted.map_or_else(|| value.split('#').next().unwrap_or_default().trim(), |(value, _)| value)
    };
    let found = ini::section(text, |section| section == name)?;
    Some(found.into_iter().map(|(key, value)| (key, bare(value))).collect())
}
