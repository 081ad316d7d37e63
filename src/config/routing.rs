//! Which provider instance writes which name. Instances are made when they are first needed, and once.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use super::{chosen::Chosen, file::ConfigFile};
use crate::{
    environment::Environment,
    error::{Error, Result},
    journey::{Routed, Routing},
    language::t,
    mutex::locked,
    name::Name,
    provider::{
        file::FilePublishers,
        registry::Registry,
        settings::{Context, Renewed, Setting, Settings},
    },
};

/// What a provider's settings that are set nowhere get, by provider id: values, and credentials that are renewed (Alibaba's own for `alidns`).
pub type Fallback = Box<dyn Fn(&str) -> (BTreeMap<String, Setting>, Option<Arc<dyn Renewed>>) + Send + Sync>;

/// Routing by the command line and the config file.
pub struct Router {
    registry: Registry,
    context: Context,
    environment: Environment,
    file: ConfigFile,
    provider: Option<String>,
    default_provider: Option<String>,
    fallback: Fallback,
    files: FilePublishers,
    opened: Mutex<BTreeMap<String, Routed>>,
}

impl Router {
    /// Checks the provider tables of the config; makes no provider yet.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a provider or key that does not exist, and for a secret in a config file that others can read.
    pub fn new(
        chosen: &Chosen,
        file: ConfigFile,
        registry: Registry,
        context: Context,
        environment: Environment,
        fallback: Fallback,
    ) -> Result<Self> {
        file.check_providers(&registry)?;
        let hidden = registry.hidden_variables(&environment);
        let visible = environment.iter().filter(|(name, _)| !hidden.iter().any(|it| it == name));
        let hook_environment = visible.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let files = FilePublishers { hook_environment, ..chosen.files.clone() };
        Ok(Self {
            registry,
            context,
            environment,
            file,
            provider: chosen.provider.clone(),
            default_provider: chosen.default_provider.clone(),
            fallback,
            files,
            opened: Mutex::default(),
        })
    }

    /// Whether any name leads anywhere: a provider, a default, a route or a publisher of files is set.
    pub fn has_any(&self) -> bool {
        self.provider.is_some() || self.default_provider.is_some() || !self.file.routes.is_empty() || self.files.has_any()
    }

    /// Every provider instance that a name can lead to, each once.
    pub fn reachable(&self) -> Vec<&str> {
        let mut all: Vec<&str> = match &self.provider {
            Some(provider) => vec![provider],
            None => {
                self.file.routes.iter().map(|route| route.provider.as_str()).chain(self.default_provider.as_deref()).collect()
            }
        };
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Instances whose records a person writes, of those that a name can lead to.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a provider that does not exist.
    pub fn by_hand(&self) -> Result<Vec<String>> {
        let mut by_hand = Vec::new();
        for name in self.reachable() {
            let settings = self.settings(name)?;
            if self.registry.describe(&settings.id)?.capabilities.by_hand {
                by_hand.push(settings.instance);
            }
        }
        Ok(by_hand)
    }

    /// The providers that there are.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The provider instance for a name, not made yet.
    ///
    /// # Errors
    /// `ErrorKind::Config` where nothing leads anywhere.
    pub fn choose(&self, name: &Name) -> Result<&str> {
        if let Some(provider) = &self.provider {
            return Ok(provider);
        }
        let fitting = self.file.routes.iter().filter(|route| name.is_within(&route.zone));
        let longest = fitting.max_by_key(|route| route.zone.labels().count()).map(|route| route.provider.as_str());
        longest.or(self.default_provider.as_deref()).ok_or_else(|| {
            let error = Error::config(t!("no provider is set for `%{name}`", name));
            if self.file.routes.is_empty() {
                return error.with_hint(t!(
                    "say who writes the records with `--provider PROVIDER`; `dv-verify providers list` shows what there is"
                ));
            }
            error.with_hint(t!(
                "add a `[[route]]` for its zone to the config, or `default_provider`, or use `--provider PROVIDER`"
            ))
        })
    }

    /// The settings of an instance of the config, else of the provider with this id or at this path.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a provider that does not exist.
    pub fn settings(&self, name: &str) -> Result<Settings> {
        let (instance, id, table, allow_http) = match self.file.instances.get(name) {
            Some(instance) => (name.to_owned(), whole_path(&instance.provider), instance.table.clone(), instance.allow_http),
            // One spelling for an alias and a relative path, so that the journal knows the instance again from anywhere.
            None if is_path(name) => (whole_path(name), whole_path(name), BTreeMap::new(), false),
            None => {
                let id = self.registry.describe(name)?.id;
                (id.clone(), id, BTreeMap::new(), false)
            }
        };
        let (fallback, renewed) = (self.fallback)(&id);
        Ok(Settings { instance, id, table, environment: self.environment.clone(), allow_http, fallback, renewed })
    }

    /// What the credentials of these settings are taken from where none of them is set, as far as there is any such.
    pub fn renewed(&self, settings: &Settings) -> Option<Arc<dyn Renewed>> {
        self.registry.renewed(settings, &self.context)
    }

    /// Makes a provider instance, or takes the one that was made.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a provider that does not exist; `ErrorKind::Credentials` for missing credentials.
    pub fn open(&self, name: &str) -> Result<Routed> {
        let settings = self.settings(name)?;
        let mut opened = locked(&self.opened);
        if let Some(routed) = opened.get(&settings.instance) {
            return Ok(routed.clone());
        }
        let provider = self.registry.open(&settings, &self.context)?;
        let routed = Routed { instance: settings.instance.clone(), provider };
        opened.insert(settings.instance, routed.clone());
        Ok(routed)
    }
}

impl Routing for Router {
    fn route(&self, name: &Name) -> Result<Routed> {
        self.open(self.choose(name)?)
    }

    fn files(&self, host: &Name) -> Result<Routed> {
        self.instance(&self.files.choose(host)?)
    }

    fn instance(&self, instance: &str) -> Result<Routed> {
        if let Some(provider) = self.files.open(instance) {
            return Ok(Routed { instance: instance.to_owned(), provider });
        }
        self.open(instance).map_err(|error| error.context(t!("provider instance `%{instance}`", instance)))
    }
}

fn is_path(name: &str) -> bool {
    name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "toml")
}

/// A path without its dependence on the current folder; anything else, and what is not there, stays as it is.
fn whole_path(name: &str) -> String {
    let whole = || std::fs::canonicalize(name).ok()?.into_os_string().into_string().ok();
    if is_path(name) { whole().unwrap_or_else(|| name.to_owned()) } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{
            layers::{Flags, Layers},
            paths::Places,
        },
        error::ErrorKind,
        http::Http,
        secret::Redactor,
    };

    const CONFIG: &str = "
[provider.by-mail]
use = \"manual\"
[provider.home]
use = \"rfc2136\"
nameserver = \"127.0.0.1:5353\"
[[route]]
zone = \"example.com\"
provider = \"by-mail\"
[[route]]
zone = \"lab.example.com\"
provider = \"home\"
";

    fn router(provider: Option<&str>, config: &str) -> Router {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let environment = Environment::of([("HOME", "/home/a")]);
        let file = ConfigFile { path: Some("c.toml".into()), ..ConfigFile::parse(config, "c.toml").unwrap() };
        let flags: Flags = provider.map(|provider| ("provider", vec![provider.to_owned()])).into_iter().collect();
        let layers = Layers::resolve(&flags, &environment, &file);
        let chosen = Chosen::read(&layers, &file, Places::new(&environment, false)).unwrap();
        let context = Context { http: Http::new().unwrap(), redactor: Redactor::default() };
        let registry = Registry::load(None).unwrap();
        Router::new(&chosen, file, registry, context, environment, Box::new(|_| (BTreeMap::new(), None))).unwrap()
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn the_longest_route_wins() {
        let router = router(None, CONFIG);
        let instance = |text: &str| router.route(&name(text)).map(|routed| routed.instance);
        assert_eq!(instance("_dnsauth.www.example.com").unwrap(), "by-mail");
        assert_eq!(instance("_dnsauth.lab.example.com").unwrap(), "home");
        assert_eq!(instance("lab.example.com").unwrap(), "home");
        let error = instance("_dnsauth.badexample.com").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("_dnsauth.badexample.com") && error.hint().unwrap().contains("[[route]]"));
    }

    #[test]
    fn a_provider_of_the_command_line_overrides_all_routes() {
        let router = router(Some("manual"), CONFIG);
        assert_eq!(router.route(&name("lab.example.com")).unwrap().instance, "manual");
        assert_eq!(router.reachable(), ["manual"]);
        assert_eq!(router.by_hand().unwrap(), ["manual"]);
        // The journal may know an instance that no route leads to now.
        assert_eq!(router.instance("home").unwrap().instance, "home");
    }

    #[test]
    fn a_default_counts_where_no_route_fits() {
        let router = router(None, &format!("default_provider = \"manual\"\n{CONFIG}"));
        assert_eq!(router.route(&name("a.example.org")).unwrap().instance, "manual");
        assert_eq!(router.route(&name("a.example.com")).unwrap().instance, "by-mail");
        assert_eq!(router.by_hand().unwrap(), ["by-mail", "manual"]);
    }

    #[test]
    fn without_anything_the_hint_names_the_option() {
        let router = router(None, "");
        assert!(!router.has_any());
        let error = router.route(&name("a.example.org")).err().unwrap();
        assert!(error.hint().unwrap().contains("--provider"));
    }

    #[test]
    fn an_instance_is_made_once_and_an_alias_is_its_provider() {
        let router = router(None, CONFIG);
        let first = router.instance("by-mail").unwrap();
        let second = router.route(&name("x.example.com")).unwrap();
        assert!(Arc::ptr_eq(&first.provider, &second.provider));
        assert_eq!(router.settings("nsupdate").unwrap().instance, "rfc2136");
    }

    #[test]
    fn an_instance_that_is_gone_is_named() {
        let error = router(None, "").instance("cf-old").err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("provider instance `cf-old`"), "{error}");
    }

    #[test]
    fn a_manifest_is_known_by_its_whole_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "").unwrap();
        let crooked = folder.path().join(".").join("mine.toml");
        let whole = std::fs::canonicalize(&path).unwrap();
        assert_eq!(whole_path(crooked.to_str().unwrap()), whole.to_str().unwrap());
        assert_eq!(whole_path("cloudflare"), "cloudflare");
        assert_eq!(whole_path("./nowhere.toml"), "./nowhere.toml");
    }
}
