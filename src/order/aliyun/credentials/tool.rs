//! `config.json` of the `aliyun` command line tool, with the modes of its profiles.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    Link, path, profile, read,
    source::{Keys, RoleOfProfile, Source},
    variables,
};
use crate::{environment::Environment, language::t, secret::Secret};

/// The parts of the tool's configuration that matter here.
#[derive(Deserialize)]
struct Config {
    current: Option<String>,
    #[serde(default)]
    profiles: Vec<Profile>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Profile {
    name: String,
    mode: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<Secret>,
    sts_token: Option<Secret>,
    /// When the tokens of a log-in expire, in seconds since 1970.
    sts_expiration: Option<i64>,
    ram_role_arn: Option<String>,
    ram_role_name: Option<String>,
    #[serde(alias = "role_session_name")]
    ram_session_name: Option<String>,
    expired_seconds: Option<u32>,
    policy: Option<String>,
    external_id: Option<String>,
    sts_region: Option<String>,
    enable_vpc: Option<bool>,
    #[serde(rename = "source_profile")]
    source: Option<String>,
    oidc_provider_arn: Option<String>,
    oidc_token_file: Option<PathBuf>,
    process_command: Option<String>,
    credentials_uri: Option<Secret>,
}

/// The profile that the user chose, else the tool's current one.
pub(super) fn link(environment: &Environment, now: i64) -> Link {
    let switch = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED";
    if environment.flag(switch) {
        return Err(t!("the configuration of the `aliyun` tool is switched off by `%{switch}`", switch));
    }
    let path = path(environment, "ALIBABA_CLOUD_CONFIG_FILE", ".aliyun/config.json")?;
    let text = read(&path)?;
    // Only the position: serde_json's own text may quote a value.
    let config: Config = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        t!(
            "`%{path}` cannot be understood at line %{line}, column %{column}",
            path = path.display(),
            line = error.line(),
            column = error.column()
        )
    })?;
    let name = profile(environment).or(config.current.as_deref()).unwrap_or("default");
    let origin = t!("profile `%{name}` of `%{path}`", name, path = path.display());
    let reading = Reading { config: &config, path: &path, environment, now };
    let (source, how) = reading.profile(name, LONGEST_CHAIN)?;
    let origin = how.map_or_else(|| origin.clone(), |how| t!("%{how} (%{origin})", how, origin));
    Ok((source, origin))
}

/// What a profile is read with.
struct Reading<'a> {
    config: &'a Config,
    path: &'a Path,
    environment: &'a Environment,
    now: i64,
}

impl Reading<'_> {
    /// The source of a profile and, where it is more than keys in the file, what it is. `left` is how many profiles may still follow.
    fn profile(&self, name: &str, left: usize) -> Result<(Source, Option<String>), String> {
        let shown = self.path.display();
        let wrong = |why: &str| t!("profile `%{name}` of `%{shown}` %{why}", name, shown, why);
        let Some(profile) = self.config.profiles.iter().find(|profile| profile.name == name) else {
            return Err(t!("`%{shown}` has no profile `%{name}`", shown, name));
        };
        let text = |value: &Option<String>, key: &str| {
            value.clone().filter(|text| !text.trim().is_empty()).ok_or_else(|| wrong(&t!("has no `%{key}`", key)))
        };
        let keys = |with_token: bool| {
            let id = text(&profile.access_key_id, "access_key_id")?;
            let secret = some(profile.access_key_secret.as_ref()).ok_or_else(|| wrong(t!("has no `access_key_secret`")))?;
            let token = if with_token {
                Some(some(profile.sts_token.as_ref()).ok_or_else(|| wrong(t!("has no `sts_token`")))?)
            } else {
                None
            };
            Keys::new(&id, secret, token).map(Source::Fixed).map_err(|why| wrong(&why))
        };
        let role = || profile.role().complete(self.environment).map_err(|why| wrong(&why));
        let assumed = |base: Source| {
            let role = role()?;
            let how = t!("role `%{role}`", role = role.arn);
            Ok((Source::Role { base: Box::new(base), role }, Some(how)))
        };
        let mode = profile.mode.as_deref().unwrap_or("AK");
        match mode.to_ascii_lowercase().as_str() {
            "ak" => Ok((keys(false)?, None)),
            "ststoken" => Ok((keys(true)?, None)),
            "ramrolearn" => assumed(keys(false)?),
            "chainableramrolearn" => {
                let source = text(&profile.source, "source_profile")?;
                let left = left.checked_sub(1).ok_or_else(|| wrong(t!("is one of a chain of profiles without end")))?;
                let (base, _) = self.profile(&source, left)?;
                assumed(base)
            }
            "ecsramrole" => {
                let name = profile.ram_role_name.clone().filter(|name| !name.is_empty());
                let (source, how) = variables::of_instance(self.environment, name)?;
                Ok((source, Some(how)))
            }
            "oidc" => {
                let role = role()?;
                let provider_arn = text(&profile.oidc_provider_arn, "oidc_provider_arn")?;
                let token_file = profile.oidc_token_file.clone().ok_or_else(|| wrong(t!("has no `oidc_token_file`")))?;
                let how = t!("role `%{arn}` for the token in `%{token_file}`", arn = role.arn, token_file = token_file.display());
                Ok((Source::Oidc { role, provider_arn, token_file }, Some(how)))
            }
            "external" => {
                let line = text(&profile.process_command, "process_command")?;
                let program = line.split_whitespace().next().unwrap_or_default().to_owned();
                Ok((Source::Program { line }, Some(t!("program `%{program}`", program))))
            }
            "credentialsuri" => {
                let url = some(profile.credentials_uri.as_ref()).ok_or_else(|| wrong(t!("has no `credentials_uri`")))?;
                Ok((Source::Uri { url }, Some(t!("a URL").to_owned())))
            }
            // What the tool got when somebody logged in; only the tool, with a browser, can get more.
            "cloudsso" | "oauth" => match profile.sts_expiration {
                Some(expiration) if expiration > self.now => Ok((keys(true)?, Some(t!("a log-in by %{mode}", mode)))),
                _ => Err(wrong(&t!("is a log-in by %{mode} that is over: log in again with the `aliyun` tool", mode))),
            },
            _ => Err(wrong(&t!("has the mode `%{mode}`, which is not supported", mode))),
        }
    }
}

impl Profile {
    fn role(&self) -> RoleOfProfile {
        RoleOfProfile {
            arn: self.ram_role_arn.clone(),
            session_name: self.ram_session_name.clone(),
            seconds: self.expired_seconds,
            policy: self.policy.clone(),
            external_id: self.external_id.clone(),
            sts_region: self.sts_region.clone(),
            enable_vpc: self.enable_vpc,
        }
    }
}

fn some(value: Option<&Secret>) -> Option<Secret> {
    value.cloned().filter(|value| !value.is_empty())
}

/// How many profiles may follow one another.
const LONGEST_CHAIN: usize = 8;
