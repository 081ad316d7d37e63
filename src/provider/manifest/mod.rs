//! Providers described as data.
//!
//! A manifest is one TOML file (`docs/manifest.md`): templates say what is sent, jq says what the replies mean. Everything that can be
//! checked without a network is checked when it is loaded. It is not trusted: its two languages are bounded, it sees only the
//! credentials that it declares, and it talks only to the hosts that it names.

mod builtin;
mod call;
mod client;
mod clock;
mod credentials;
mod engine;
mod filters;
mod hosts;
mod load;
mod merge;
mod model;
mod plan;
mod query;
mod replay;
mod reply;
mod scope;
mod sign;
mod source;
mod template;
mod verdict;
mod whole_zone;
mod wire;
mod zones;

use std::sync::Arc;

pub use replay::{CaseFailure, CaseOutcome, Difference, replay};
pub(super) use sign::{aws_headers, jwt};

use self::{client::Client, clock::Clock, credentials::Credentials, engine::Engine, hosts::Hosts, plan::Plan, wire::Wire};
use super::{
    DnsProvider,
    description::Description,
    settings::{Context, Settings},
};
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    secret::Redactor,
};

/// Id and text of every built-in manifest.
pub fn builtin() -> &'static [(&'static str, &'static str)] {
    builtin::ALL
}

/// What is known about a built-in manifest, without reading more of it than that needs.
///
/// # Errors
/// As [`Manifest::parse`].
pub fn describe_builtin(text: &str) -> Result<Description> {
    let mut outline = load::outline(&builtin::head(text), t!("built-in manifest"), true)?;
    outline.rewrites_set = text.contains("\n[merge");
    Ok(outline.describe())
}

/// The other names in a built-in manifest, from its first lines only: every run looks at all manifests for them.
pub fn builtin_aliases(text: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Top {
        #[serde(default)]
        aliases: Vec<String>,
    }
    let top = text.find("\n[").map_or(text, |end| &text[..end]);
    toml::from_str::<Top>(top).map(|top| top.aliases).unwrap_or_default()
}

/// A manifest that has passed all checks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Manifest {
    plan: Arc<Plan>,
}

impl Manifest {
    /// Reads and checks a manifest. `origin` is its file name, for errors. Only a built-in one may name familiar variables of other
    /// tools, and have an id of the built-in ones.
    ///
    /// # Errors
    /// `ErrorKind::Config` with file, line and column of the first thing that is wrong.
    pub fn parse(text: &str, origin: &str, builtin: bool) -> Result<Self> {
        load::load(text, origin, builtin).map(|plan| Self { plan: Arc::new(plan) })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.plan.outline.id
    }

    /// Other names that it goes by.
    pub fn aliases(&self) -> &[String] {
        &self.plan.outline.aliases
    }

    /// What is known about the provider without credentials.
    pub fn describe(&self) -> Description {
        self.plan.outline.describe()
    }

    /// Makes a provider. Besides its credentials it takes the settings `base_url` and `url_<host>` (other places to talk to),
    /// `ttl` (seconds), and `zone` where it cannot find zones by itself; for manifests that replace whole zones `allow_zone_rewrite` and
    /// `zone_copies`.
    ///
    /// # Errors
    /// `ErrorKind::Credentials` that names every missing variable; `ErrorKind::Config` for settings that cannot be.
    pub fn open(&self, settings: &Settings, context: &Context) -> Result<Arc<dyn DnsProvider>> {
        let engine = self.engine(settings, Arc::new(context.http.clone()), Clock::real(), &context.redactor)?;
        Ok(Arc::new(engine))
    }

    /// A provider that talks through `wire`.
    fn engine(&self, settings: &Settings, wire: Arc<dyn Wire>, clock: Clock, redactor: &Redactor) -> Result<Engine> {
        let plan = Arc::clone(&self.plan);
        let credentials = Credentials::resolve(&plan, settings, redactor)?;
        // A base URL may name what is known only once the credentials are fetched.
        let hosts = match Hosts::resolve(&plan, settings, &credentials) {
            Err(_) if credentials.are_fetched() && Hosts::need_credentials(&plan) => None,
            outcome => Some(outcome?),
        };
        let ttl = match settings.find("ttl", &[])? {
            None => plan.outline.ttl,
            Some(found) => {
                let seconds: Option<u32> = found.value.expose().parse().ok();
                seconds
                    .ok_or_else(|| Error::config(t!("%{origin} is not a number of seconds", origin = found.origin)))?
                    .max(plan.outline.least_ttl)
            }
        };
        let zones = settings.find("zone", &[])?.map(|found| found.value.expose().to_owned()).unwrap_or_default();
        let zones = zones.split(',').map(str::trim).filter(|zone| !zone.is_empty()).map(Name::parse).collect::<Result<_>>()?;
        let whole_zone = whole_zone::WholeZone::of(settings)?;
        Ok(Engine::new(
            Client::new(plan, credentials, (hosts, settings.clone()), wire, clock, redactor.clone()),
            ttl,
            zones,
            whole_zone,
        ))
    }
}

#[cfg(test)]
mod tests;
