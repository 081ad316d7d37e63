//! Where a provider instance takes its credentials and settings from.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use async_trait::async_trait;

use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    http::Http,
    language::t,
    secret::{Redactor, Secret},
    secret_command,
};

/// What every provider is built with: handed in, so that tests run against loopback.
#[derive(Clone, Debug)]
pub struct Context {
    /// The shared HTTP client.
    pub http: Http,
    /// Learns every secret value that a provider uses; everything that is shown passes through it.
    pub redactor: Redactor,
}

/// The settings of one provider instance.
///
/// Precedence: `DV_<INSTANCE>_<NAME>`, `DV_<ID>_<NAME>`, the familiar variables of other tools (built-ins only), each also with
/// `_FILE` behind it for a file that holds the value, or as a credential that systemd passes under the variable's name; then the config
/// table, `name` (which may be `exec:PROGRAM ARGUMENT…`) or `name_file`; then the fallback.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the instance: `cf-work`, or the provider's id where no config names one.
    pub instance: String,
    /// The provider's id: `cloudflare`.
    pub id: String,
    /// The keys of `[provider.<instance>]`, without `use` and `allow_http`.
    pub table: BTreeMap<String, toml::Value>,
    /// The environment.
    pub environment: Environment,
    /// Whether the user allowed plain http for this instance (`allow_http = true`).
    pub allow_http: bool,
    /// Values from elsewhere, by setting name, for what is set nowhere.
    pub fallback: BTreeMap<String, Setting>,
    /// Credentials of an account that serves two purposes, for what is set nowhere, as Alibaba's do for `alidns` (`access_key`, `secret_key`,
    /// `security_token`).
    pub renewed: Option<Arc<dyn Renewed>>,
}

/// Credentials that are set nowhere in the provider's own settings and may be others at each call, since temporary ones expire.
#[async_trait]
pub trait Renewed: fmt::Debug + Send + Sync {
    /// The settings that they are for. Where one of these is set, none is taken from here: keys of two accounts must not be mixed.
    fn names(&self) -> &'static [&'static str];

    /// The settings that need not be set where these are used.
    fn replaced(&self) -> &'static [&'static str] {
        self.names()
    }

    /// Where they come from, for people.
    fn origin(&self) -> String;

    /// Those to use now, by setting name; `session` stands for a token that calls carry instead of one that `[login]` would fetch.
    ///
    /// # Errors
    /// Where they cannot be had.
    async fn current(&self) -> Result<BTreeMap<&'static str, Secret>>;
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The value, without a final newline.
    pub value: Secret,
    /// The place, for `config check` and errors: "variable `CF_Token`", "key `api_token` of `[provider.cf]`".
    pub origin: String,
}

impl Settings {
    /// Settings of a built-in provider without a config table.
    pub fn of_builtin(id: &str, environment: Environment) -> Self {
        Self {
            instance: id.to_owned(),
            id: id.to_owned(),
            table: BTreeMap::new(),
            environment,
            allow_http: false,
            fallback: BTreeMap::new(),
            renewed: None,
        }
    }

    /// The variables that are looked at for `name`, in order, without the `_FILE` forms.
    pub fn variables(&self, name: &str, familiar: &[String]) -> Vec<String> {
        let mut all = vec![variable(&self.instance, name)];
        if self.instance != self.id {
            all.push(variable(&self.id, name));
        }
        all.extend(familiar.iter().cloned());
        all
    }

    /// The value of the setting `name`; `None` where it is set nowhere.
    ///
    /// # Errors
    /// `ErrorKind::Config` where a named file cannot be read, or a config value is not text, a number or a boolean.
    pub fn find(&self, name: &str, familiar: &[String]) -> Result<Option<Setting>> {
        for variable in self.variables(name, familiar) {
            if let Some(value) = self.environment.get(&variable) {
                return Ok(Some(Setting { value: Secret::new(value), origin: t!("variable `%{name}`", name = variable) }));
            }
            let with_file = format!("{variable}_FILE");
            if let Some(path) = self.environment.get(&with_file) {
                return read_file(path, &t!("variable `%{name}`", name = with_file)).map(Some);
            }
            if let Some(path) = self.environment.systemd_credential(&variable) {
                return read_file(&path, t!("a credential of systemd")).map(Some);
            }
        }
        if let Some(value) = self.table.get(name) {
            let origin = t!("key `%{name}` of `[provider.%{instance}]`", name, instance = self.instance);
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                _ => return Err(Error::config(t!("%{origin} must be text", origin))),
            };
            let value = match secret_command::command_of(&text) {
                Some(line) => secret_command::run(line, &self.environment, &origin)?,
                None => Secret::new(text),
            };
            return Ok(Some(Setting { value, origin }));
        }
        match self.table.get(&format!("{name}_file")) {
            Some(toml::Value::String(path)) => {
                read_file(path, &t!("key `%{name}_file` of `[provider.%{instance}]`", name, instance = self.instance)).map(Some)
            }
            Some(_) => Err(Error::config(t!(
                "key `%{name}_file` of `[provider.%{instance}]` must be a path",
                name,
                instance = self.instance
            ))),
            None => Ok(self.fallback.get(name).cloned()),
        }
    }

    /// The value of the setting `name`, which must be set.
    ///
    /// # Errors
    /// As [`Settings::find`]; `ErrorKind::Credentials` naming every place where it may be set.
    pub fn require(&self, name: &str, familiar: &[String]) -> Result<Setting> {
        self.find(name, familiar)?.ok_or_else(|| {
            let variables = self.variables(name, familiar).iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" or ");
            Error::new(ErrorKind::Credentials, t!("provider `%{instance}`: `%{name}` is not set", instance = self.instance, name))
                .with_hint(t!(
                    "set %{variables} (or, with `_FILE` behind it, a file that holds it; or a systemd credential of that name)",
                    variables
                ))
        })
    }
}

/// `DV_<OWNER>_<NAME>` with everything but letters and digits as `_`.
pub fn variable(owner: &str, name: &str) -> String {
    let upper = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    format!("DV_{}_{}", upper(owner), upper(name))
}

fn read_file(path: &str, origin: &str) -> Result<Setting> {
    let text = std::fs::read_to_string(Path::new(path)).map_err(|error| {
        Error::config(t!("%{origin} names the file `%{path}`, which cannot be read: %{error}", origin, path, error))
    })?;
    Ok(Setting {
        value: Secret::new(text.trim_end_matches(['\n', '\r'])),
        origin: t!("file `%{path}` (%{origin})", path, origin),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_wins_over_the_id_over_familiar_names_over_the_config() {
        let familiar = vec!["CF_Token".to_owned()];
        let mut settings = Settings {
            instance: "cf-work".into(),
            id: "cloudflare".into(),
            table: BTreeMap::from([("api_token".to_owned(), toml::Value::String("from-config".into()))]),
            environment: Environment::default(),
            allow_http: false,
            fallback: BTreeMap::from([(
                "api_token".to_owned(),
                Setting { value: Secret::new("from-elsewhere"), origin: "elsewhere".into() },
            )]),
            renewed: None,
        };
        let value = |settings: &Settings| settings.find("api_token", &familiar).unwrap().unwrap().value.expose().to_owned();
        assert_eq!(value(&settings), "from-config");
        settings.table.clear();
        assert_eq!(value(&settings), "from-elsewhere");
        settings.environment = Environment::of([("CF_Token", "familiar")]);
        assert_eq!(value(&settings), "familiar");
        settings.environment = Environment::of([("CF_Token", "familiar"), ("DV_CLOUDFLARE_API_TOKEN", "id")]);
        assert_eq!(value(&settings), "id");
        settings.environment = Environment::of([("DV_CLOUDFLARE_API_TOKEN", "id"), ("DV_CF_WORK_API_TOKEN", "instance")]);
        assert_eq!(value(&settings), "instance");
    }

    #[test]
    fn what_is_set_nowhere_is_asked_for_by_every_name_that_works() {
        let mut settings = Settings::of_builtin("cloudflare", Environment::default());
        settings.instance = "cf-work".into();
        let error = settings.require("api_token", &["CF_Token".to_owned()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        for variable in ["DV_CF_WORK_API_TOKEN", "DV_CLOUDFLARE_API_TOKEN", "CF_Token"] {
            assert!(error.hint().unwrap().contains(variable), "{variable}");
        }
    }

    #[test]
    fn a_file_is_read_without_its_final_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "tok en\n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = Settings::of_builtin("x", Environment::of([("DV_X_TOKEN_FILE", path)]));
        assert_eq!(settings.find("token", &[]).unwrap().unwrap().value.expose(), "tok en");
        let settings = Settings::of_builtin("x", Environment::of([("DV_X_TOKEN_FILE", "/nonexistent")]));
        assert!(settings.find("token", &[]).unwrap_err().to_string().contains("/nonexistent"));
    }
}
