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
mod wire;
mod zones;

use std::sync::Arc;

pub use replay::{CaseOutcome, replay};

use self::{client::Client, clock::Clock, credentials::Credentials, engine::Engine, hosts::Hosts, plan::Plan, wire::Wire};
use super::{
    DnsProvider,
    registry::{CredentialHelp, Description},
    settings::{Context, Settings},
};
use crate::{
    error::{Error, Result},
    name::Name,
    secret::Redactor,
};

/// Id and text of every built-in manifest.
pub fn builtin() -> &'static [(&'static str, &'static str)] {
    builtin::ALL
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
        &self.plan.id
    }

    /// Other names that it goes by.
    pub fn aliases(&self) -> &[String] {
        &self.plan.aliases
    }

    /// What is known about the provider without credentials.
    pub fn describe(&self) -> Description {
        let plan = &self.plan;
        let credentials = plan.credentials.iter().map(|credential| CredentialHelp {
            name: credential.name.clone(),
            secret: credential.secret,
            optional: credential.optional,
            help: match (&credential.help, &credential.default) {
                (help, None) => help.clone(),
                (Some(help), Some(default)) => Some(format!("{help} (default: {default})")),
                (None, Some(default)) => Some(format!("default: {default}")),
            },
            familiar: credential.familiar.clone(),
        });
        Description {
            id: plan.id.clone(),
            title: plan.title.clone(),
            docs: plan.docs.clone(),
            origin: if plan.is_builtin { "built-in manifest".to_owned() } else { plan.origin.clone() },
            credentials: credentials.collect(),
            capabilities: plan.capabilities(),
        }
    }

    /// Makes a provider. Besides its credentials it takes the settings `base_url` and `url_<host>` (other places to talk to),
    /// `ttl` (seconds), and `zone` where it cannot find zones by itself.
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
        let hosts = Hosts::resolve(&plan, settings, &credentials)?;
        let ttl = match settings.find("ttl", &[])? {
            None => plan.ttl,
            Some(found) => {
                let seconds: Option<u32> = found.value.expose().parse().ok();
                seconds.ok_or_else(|| Error::config(format!("{} is not a number of seconds", found.origin)))?.max(plan.least_ttl)
            }
        };
        let zones = settings.find("zone", &[])?.map(|found| found.value.expose().to_owned()).unwrap_or_default();
        let zones = zones.split(',').map(str::trim).filter(|zone| !zone.is_empty()).map(Name::parse).collect::<Result<_>>()?;
        Ok(Engine::new(Client::new(plan, credentials, hosts, wire, clock, redactor.clone()), ttl, zones))
    }
}

#[cfg(test)]
mod tests;
