//! Google: application default credentials.
//!
//! Source: <https://cloud.google.com/docs/authentication/application-default-credentials>

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;

use super::{
    machine::{self, Machine, is_local, url},
    source::{Call, Link, OF_OAUTH, Part, ServiceAccount, Source},
};
use crate::{language::t, secret::Secret};

/// What tokens are asked for: Cloud DNS, which is all that the engine has of Google.
const SCOPE: &str = "https://www.googleapis.com/auth/ndev.clouddns.readwrite";

/// Where tokens are made where a file does not say.
const TOKENS: &str = "https://oauth2.googleapis.com/token";

/// The metadata service.
const METADATA: &str = "http://metadata.google.internal";

/// The links, in their order.
pub(super) const LINKS: &[fn(&Machine) -> Link] = &[named_file, usual_file, account];

/// The file that a variable names.
fn named_file(machine: &Machine) -> Link {
    let name = "GOOGLE_APPLICATION_CREDENTIALS";
    let Some(path) = machine.variable(name) else { return Link::Absent(t!("variable `%{name}` is not set", name)) };
    match machine::read(Path::new(path)) {
        Ok(Some(text)) => file(Path::new(path), &text).into(),
        Ok(None) => Link::Broken(t!("variable `%{name}` names `%{path}`, which does not exist", name, path)),
        Err(why) => Link::Broken(why),
    }
}

/// The file that `gcloud auth application-default login` writes.
fn usual_file(machine: &Machine) -> Link {
    let folder = machine.variable("CLOUDSDK_CONFIG").map(PathBuf::from);
    let Some(folder) = folder.or_else(|| Some(machine.environment.home()?.join(".config/gcloud"))) else {
        return Link::Absent(t!("`~/.config/gcloud` cannot be looked up, as HOME is not set").to_owned());
    };
    let path = folder.join("application_default_credentials.json");
    match machine::read(&path) {
        Ok(Some(text)) => file(&path, &text).into(),
        Ok(None) => Link::Absent(t!("`%{path}` does not exist", path = path.display())),
        Err(why) => Link::Broken(why),
    }
}

/// What a file of credentials says. The parser's own message might quote a secret, and is not shown.
fn file(path: &Path, text: &str) -> Result<(Source, String), String> {
    let shown = path.display();
    let document: Value = serde_json::from_str(text).map_err(|error| {
        t!("`%{shown}` is no JSON (line %{line}, column %{column})", shown, line = error.line(), column = error.column())
    })?;
    let get = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let need = |key: &str| get(key).ok_or_else(|| t!("`%{shown}` lacks `%{key}`", shown, key));
    let form = match need("type")? {
        "service_account" => vec![
            ("grant_type", Part::text("urn:ietf:params:oauth:grant-type:jwt-bearer")),
            (
                "assertion",
                Part::Assertion(ServiceAccount {
                    email: need("client_email")?.to_owned(),
                    key: Secret::new(need("private_key")?),
                    key_id: get("private_key_id").map(str::to_owned),
                    scope: SCOPE,
                }),
            ),
        ],
        // No scope: the token has those that the user agreed to.
        "authorized_user" => vec![
            ("grant_type", Part::text("refresh_token")),
            ("client_id", Part::text(need("client_id")?)),
            ("client_secret", Part::text(need("client_secret")?)),
            ("refresh_token", Part::text(need("refresh_token")?)),
        ],
        other => {
            return Err(t!(
                "`%{shown}` has the type `%{other}`; this program reads `service_account` and `authorized_user` \
                 (for others `--provider acme.sh:dns_gcloud` asks `gcloud`)",
                shown,
                other
            ));
        }
    };
    let call = Call {
        what: t!("a token of Google"),
        method: Method::POST,
        url: url(get("token_uri").unwrap_or(TOKENS), &format!("`token_uri` of `{shown}`"))?,
        headers: Vec::new(),
        form,
        fields: OF_OAUTH,
        is_local: false,
    };
    Ok((Source::Call(call), t!("application default credentials (`%{shown}`)", shown)))
}

/// The project that the user named, or that the file of a service account belongs to. Found without asking anybody.
pub(super) fn project(machine: &Machine) -> Option<String> {
    let named = machine.given.get("project").map(String::as_str);
    let named = named.or_else(|| machine.variable("GOOGLE_CLOUD_PROJECT")).or_else(|| machine.variable("GCLOUD_PROJECT"));
    let of_file = || {
        let text = machine::read(Path::new(machine.variable("GOOGLE_APPLICATION_CREDENTIALS")?)).ok()??;
        let document: Value = serde_json::from_str(&text).ok()?;
        document.get("project_id")?.as_str().map(str::to_owned)
    };
    named.map(str::to_owned).or_else(of_file)
}

/// The service account of this machine. Asked for where the machine is one of Google's, or where a variable says where to ask.
fn account(machine: &Machine) -> Link {
    if machine.environment.flag("NO_GCE_CHECK") {
        return Link::Absent(t!("the metadata service of Google is switched off by `NO_GCE_CHECK`").to_owned());
    }
    let place = match machine.variable("GCE_METADATA_HOST") {
        Some(host) => format!("http://{host}"),
        None if machine.is_google() => METADATA.to_owned(),
        None => {
            return Link::Absent(
                t!("this machine is none of Google's (its metadata service is asked where `GCE_METADATA_HOST` names it)")
                    .to_owned(),
            );
        }
    };
    let call = |what: &'static str, path: &str| {
        url(&format!("{place}/computeMetadata/v1/{path}"), "`GCE_METADATA_HOST`").map(|url| Call {
            what,
            method: Method::GET,
            is_local: is_local(&url),
            url,
            headers: vec![("Metadata-Flavor", Part::text("Google"))],
            form: Vec::new(),
            fields: OF_OAUTH,
        })
    };
    let token =
        call(t!("a token of this machine's service account"), &format!("instance/service-accounts/default/token?scopes={SCOPE}"));
    let asked = project(machine).is_none().then(|| call(t!("this machine's project"), "project/project-id")).transpose();
    let found = token.and_then(|token| Ok(Source::Account { token, project: asked? }));
    found.map(|source| (source, t!("the service account of this machine").to_owned())).into()
}
