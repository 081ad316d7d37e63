//! Links that variables lead to.

use std::path::PathBuf;

use super::{
    Link,
    source::{Keys, RoleOfProfile, Source},
};
use crate::{environment::Environment, language::t, secret::Secret};

/// `ALIBABA_CLOUD_ACCESS_KEY_ID` and its fellows, or the same under other names; each also with `_FILE`.
pub(super) fn keys(environment: &Environment, [id, secret, token]: [&str; 3]) -> Link {
    let (found_id, found_secret) = (variable(environment, id)?, variable(environment, secret)?);
    match (found_id, found_secret) {
        (Some((key, origin)), Some((value, _))) => {
            let token = variable(environment, token)?.map(|(token, _)| token);
            let keys = Keys::new(key.expose(), value, token).map_err(|why| format!("{origin} {why}"))?;
            Ok((Source::Fixed(keys), origin))
        }
        (None, None) => Err(t!("variable `%{name}` is not set", name = id)),
        (Some(_), None) => Err(t!("variable `%{set}` is set, but `%{other}` is not", set = id, other = secret)),
        (None, Some(_)) => Err(t!("variable `%{set}` is set, but `%{other}` is not", set = secret, other = id)),
    }
}

/// The value of a variable, or of the file that `<name>_FILE` names, and its origin.
fn variable(environment: &Environment, name: &str) -> Result<Option<(Secret, String)>, String> {
    if let Some(value) = environment.get(name).map(str::trim).filter(|value| !value.is_empty()) {
        return Ok(Some((Secret::new(value), t!("variable `%{name}`", name))));
    }
    let with_file = format!("{name}_FILE");
    let (path, from) = match (environment.get(&with_file), environment.systemd_credential(name)) {
        (Some(path), _) => (path.to_owned(), t!("variable `%{name}`", name = with_file)),
        (None, Some(path)) => (path, t!("a credential of systemd").to_owned()),
        (None, None) => return Ok(None),
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| t!("%{from} names `%{path}`, which cannot be read: %{error}", from, path, error))?;
    match text.trim() {
        "" => Err(t!("%{from} names `%{path}`, which is empty", from, path)),
        value => Ok(Some((Secret::new(value), t!("file `%{path}` (%{origin})", path, origin = from)))),
    }
}

/// A role for the service account of a Kubernetes pod (RRSA), where all three variables are there.
pub(super) fn oidc(environment: &Environment) -> Link {
    let names = ["ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_ROLE_ARN"];
    let [Some(token_file), Some(provider_arn), Some(_)] = names.map(|name| environment.get(name)) else {
        let absent = names.into_iter().find(|name| environment.get(name).is_none()).unwrap_or_default();
        return Err(t!("variable `%{name}` is not set", name = absent));
    };
    let role = RoleOfProfile::default().complete(environment)?;
    let origin = t!("role `%{arn}` for the token in `%{token_file}`", arn = role.arn, token_file);
    Ok((Source::Oidc { role, provider_arn: provider_arn.to_owned(), token_file: PathBuf::from(token_file) }, origin))
}

/// The role of this ECS instance. Asked for where a variable names it, or where the machine is an instance: the vendor's SDKs ask on
/// every machine, which elsewhere costs seconds and asks whoever has that address.
pub(super) fn instance(environment: &Environment, is_ecs: impl FnOnce() -> bool) -> Link {
    let role_name = environment.get("ALIBABA_CLOUD_ECS_METADATA").map(str::to_owned);
    if role_name.is_none() && !is_ecs() {
        return Err(t!(
            "this machine is no ECS instance (its role would be asked for where `ALIBABA_CLOUD_ECS_METADATA` names one)"
        )
        .to_owned());
    }
    of_instance(environment, role_name)
}

/// The role of this instance, for whoever asks for it explicitly.
pub(super) fn of_instance(environment: &Environment, role_name: Option<String>) -> Link {
    if environment.flag(METADATA_SWITCH) {
        return Err(t!("the metadata service of ECS is switched off by `%{METADATA_SWITCH}`", METADATA_SWITCH));
    }
    let origin = match &role_name {
        Some(name) => t!("role `%{name}` of this ECS instance", name),
        None => t!("the role of this ECS instance").to_owned(),
    };
    Ok((Source::Instance { role_name, only_v2: environment.flag("ALIBABA_CLOUD_IMDSV1_DISABLED") }, origin))
}

/// The URL that a variable names.
pub(super) fn uri(environment: &Environment) -> Link {
    let name = "ALIBABA_CLOUD_CREDENTIALS_URI";
    let url = environment.get(name).ok_or_else(|| t!("variable `%{name}` is not set", name))?;
    Ok((Source::Uri { url: Secret::new(url) }, t!("the URL in variable `%{name}`", name)))
}

const METADATA_SWITCH: &str = "ALIBABA_CLOUD_ECS_METADATA_DISABLED";
