//! Alibaba Cloud's credentials, found where the vendor's own tools keep them.
//!
//! The order is that of the vendor's default chain as far as it is supported: environment, the `aliyun` tool's `config.json`, the
//! credentials file of the SDKs; then the variables that other ACME tools made familiar.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    secret::{Redactor, Secret},
};

/// Every variable that may hold a credential; each also works with `_FILE` behind it, naming a file that holds the value.
pub const VARIABLES: [&str; 6] = [
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "ALICLOUD_ACCESS_KEY",
    "ALICLOUD_SECRET_KEY",
    "ALICLOUD_SECURITY_TOKEN",
];

/// What requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The AccessKeyId; not secret, it travels in every request.
    pub access_key_id: String,
    /// The AccessKeySecret.
    pub access_key_secret: Secret,
    /// The token of temporary credentials (STS).
    pub security_token: Option<Secret>,
    /// Where they come from, for people: "variable `ALIBABA_CLOUD_ACCESS_KEY_ID`", "profile `default` of `/root/.aliyun/config.json`".
    pub origin: String,
}

/// The places where credentials may be. Cheap to clone; nothing is kept between two calls of [`CredentialChain::resolve`], so that
/// credentials that are renewed on disk are picked up.
#[derive(Clone, Debug)]
pub struct CredentialChain {
    environment: Environment,
    redactor: Redactor,
}

/// What one link of the chain found, or why it found nothing.
type Link = Result<Credentials, String>;

impl CredentialChain {
    /// A chain over these variables and the files that they lead to. `redactor` learns every secret that is found.
    pub fn new(environment: Environment, redactor: Redactor) -> Self {
        Self { environment, redactor }
    }

    /// The credentials of the first link that has any. Reads small files, and blocks while it does.
    ///
    /// # Errors
    /// `ErrorKind::Credentials` where no link has any; it lists each link and why it yielded nothing.
    pub fn resolve(&self) -> Result<Credentials> {
        let [id, secret, token, familiar_id, familiar_secret, familiar_token] = VARIABLES;
        let links: [&dyn Fn() -> Link; 4] =
            [&|| self.of_variables(id, secret, token), &|| self.of_command_line_tool(), &|| self.of_credentials_file(), &|| {
                self.of_variables(familiar_id, familiar_secret, familiar_token)
            }];
        let mut reasons = Vec::new();
        for link in links {
            match link() {
                Ok(credentials) => {
                    self.redactor.learn(&credentials.access_key_secret);
                    if let Some(token) = &credentials.security_token {
                        self.redactor.learn(token);
                    }
                    return Ok(credentials);
                }
                Err(reason) => reasons.push(reason),
            }
        }
        Err(Error::new(ErrorKind::Credentials, format!("no Alibaba Cloud credentials: {}", reasons.join("; "))).with_hint(
            "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (or the same names with _FILE), or run `aliyun configure`",
        ))
    }

    fn of_variables(&self, id: &str, secret: &str, token: &str) -> Link {
        let (found_id, found_secret) = (self.variable(id)?, self.variable(secret)?);
        match (found_id, found_secret) {
            (Some((key, origin)), Some((value, _))) => {
                let token = self.variable(token)?.map(|(token, _)| token);
                credentials(key.expose(), value, token, origin)
            }
            (None, None) => Err(format!("variable `{id}` is not set")),
            (Some(_), None) => Err(format!("variable `{id}` is set, but `{secret}` is not")),
            (None, Some(_)) => Err(format!("variable `{secret}` is set, but `{id}` is not")),
        }
    }

    /// The value of a variable, or of the file that `<name>_FILE` names, and its origin.
    fn variable(&self, name: &str) -> Result<Option<(Secret, String)>, String> {
        if let Some(value) = self.environment.get(name).map(str::trim).filter(|value| !value.is_empty()) {
            return Ok(Some((Secret::new(value), format!("variable `{name}`"))));
        }
        let with_file = format!("{name}_FILE");
        let (path, from) = match (self.environment.get(&with_file), self.environment.systemd_credential(name)) {
            (Some(path), _) => (path.to_owned(), format!("variable `{with_file}`")),
            (None, Some(path)) => (path, "a credential of systemd".to_owned()),
            (None, None) => return Ok(None),
        };
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("{from} names `{path}`, which cannot be read: {error}"))?;
        match text.trim() {
            "" => Err(format!("{from} names `{path}`, which is empty")),
            value => Ok(Some((Secret::new(value), format!("file `{path}` ({from})")))),
        }
    }

    /// The profile that the user chose, for the tool's configuration and for the credentials file alike.
    fn profile(&self) -> Option<&str> {
        self.environment.get("ALIBABA_CLOUD_PROFILE").map(str::trim).filter(|profile| !profile.is_empty())
    }

    /// `~/.aliyun/config.json` of the `aliyun` command line tool.
    fn of_command_line_tool(&self) -> Link {
        let switch = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED";
        if self.environment.flag(switch) {
            return Err(format!("the configuration of the `aliyun` tool is switched off by `{switch}`"));
        }
        let path = self.path("ALIBABA_CLOUD_CONFIG_FILE", ".aliyun/config.json")?;
        let text = read(&path)?;
        let shown = path.display();
        // Only the position: serde_json's own text may quote a value.
        let config: ToolConfig = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| format!("`{shown}` cannot be understood at line {}, column {}", error.line(), error.column()))?;
        let name = self.profile().or(config.current.as_deref()).unwrap_or("default").to_owned();
        let Some(profile) = config.profiles.into_iter().find(|profile| profile.name == name) else {
            return Err(format!("`{shown}` has no profile `{name}`"));
        };
        let token = match profile.mode.as_deref().unwrap_or("AK") {
            mode if mode.eq_ignore_ascii_case("AK") => None,
            mode if mode.eq_ignore_ascii_case("StsToken") => {
                Some(profile.sts_token.filter(|token| !token.is_empty()).ok_or_else(|| lacks(&path, &name, "sts_token"))?)
            }
            mode => return Err(format!("mode `{mode}` of profile `{name}` of `{shown}` is not supported yet")),
        };
        let id = profile.access_key_id.filter(|id| !id.trim().is_empty()).ok_or_else(|| lacks(&path, &name, "access_key_id"))?;
        let secret = profile
            .access_key_secret
            .filter(|secret| !secret.is_empty())
            .ok_or_else(|| lacks(&path, &name, "access_key_secret"))?;
        credentials(&id, secret, token, format!("profile `{name}` of `{shown}`"))
    }

    /// `~/.alibabacloud/credentials` of the SDKs, an INI file.
    fn of_credentials_file(&self) -> Link {
        let path = self.path("ALIBABA_CLOUD_CREDENTIALS_FILE", ".alibabacloud/credentials")?;
        let text = read(&path)?;
        let shown = path.display();
        let name = self.profile().unwrap_or("default");
        let section = ini_section(&text, name).ok_or_else(|| format!("`{shown}` has no section `[{name}]`"))?;
        let value =
            |key: &str| section.iter().rev().find(|(known, _)| *known == key).map(|(_, value)| *value).filter(|v| !v.is_empty());
        match value("type") {
            Some("access_key") => {}
            Some(other) => return Err(format!("type `{other}` of section `[{name}]` of `{shown}` is not supported yet")),
            None => return Err(lacks(&path, name, "type")),
        }
        let id = value("access_key_id").ok_or_else(|| lacks(&path, name, "access_key_id"))?;
        let secret = value("access_key_secret").ok_or_else(|| lacks(&path, name, "access_key_secret"))?;
        credentials(id, Secret::new(secret), None, format!("section `[{name}]` of `{shown}`"))
    }

    /// The path in `variable`, else `below_home` in the user's home folder.
    fn path(&self, variable: &str, below_home: &str) -> Result<PathBuf, String> {
        match (self.environment.get(variable), self.environment.home()) {
            (Some(path), _) => Ok(PathBuf::from(path)),
            (None, Some(home)) => Ok(home.join(below_home)),
            (None, None) => Err(format!("`~/{below_home}` cannot be looked up, as HOME is not set")),
        }
    }
}

/// The parts of the tool's configuration that matter here.
#[derive(Deserialize)]
struct ToolConfig {
    current: Option<String>,
    #[serde(default)]
    profiles: Vec<ToolProfile>,
}

#[derive(Deserialize)]
struct ToolProfile {
    #[serde(default)]
    name: String,
    mode: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<Secret>,
    sts_token: Option<Secret>,
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("`{}` does not exist", path.display()),
        _ => format!("`{}` cannot be read: {error}", path.display()),
    })
}

fn lacks(path: &Path, profile: &str, key: &str) -> String {
    format!("profile `{profile}` of `{}` has no `{key}`", path.display())
}

/// Credentials whose id can travel in a header and in a query.
fn credentials(id: &str, access_key_secret: Secret, security_token: Option<Secret>, origin: String) -> Link {
    let id = id.trim();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        return Err(format!("{origin} holds what cannot be an AccessKeyId"));
    }
    Ok(Credentials { access_key_id: id.to_owned(), access_key_secret, security_token, origin })
}

/// Keys and values of one section of an INI file, in order. Lines that begin with `#` or `;` are comments; a pair of double quotes
/// around a value is not part of it.
fn ini_section<'text>(text: &'text str, name: &str) -> Option<Vec<(&'text str, &'text str)>> {
    let mut found = None;
    let mut inside = false;
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = section.trim() == name;
            if inside {
                found.get_or_insert_with(Vec::new);
            }
        } else if let (true, Some((key, value)), Some(pairs)) = (inside, line.split_once('='), found.as_mut()) {
            let value = value.trim();
            let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
            pairs.push((key.trim(), unquoted));
        }
    }
    found
}

#[cfg(test)]
mod tests;
