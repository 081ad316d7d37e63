//! Bridges to other tools that the user has: `acme.sh:dns_cf` is a script of the user's acme.sh, `lexicon:gandi` a provider of the user's lexicon.

use std::sync::Arc;

use super::{
    DnsProvider,
    description::{CredentialHelp, Description},
    registry::Registry,
    settings::{Context, Settings},
};
use crate::{
    environment::Environment,
    error::{Error, Result},
    language::t,
    secret::{Redactor, Secret},
};

mod acme_sh;
mod lexicon;

/// A provider of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bridge<'a> {
    /// A DNS script of acme.sh: `dns_cf`.
    AcmeSh(&'a str),
    /// A provider of lexicon: `gandi`.
    Lexicon(&'a str),
}

impl<'a> Bridge<'a> {
    /// The bridge that an id means; `None` for ids without the name of a tool in front.
    ///
    /// # Errors
    /// `ErrorKind::Config` for what cannot be a name there, and for scripts that are known not to work.
    pub(super) fn of(id: &'a str) -> Result<Option<Self>> {
        let Some((tool, name)) = id.split_once(':') else { return Ok(None) };
        let bridge = match tool {
            "acme.sh" => Self::AcmeSh(name),
            "lexicon" => Self::Lexicon(name),
            _ => return Ok(None),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
            return Err(Error::config(t!("provider `%{id}`: `%{name}` cannot be a name in %{tool}", id, name, tool))
                .with_hint(t!("such as `acme.sh:dns_cf` or `lexicon:gandi`")));
        }
        if let Self::AcmeSh(script) = bridge {
            acme_sh::check(script)?;
        }
        Ok(Some(bridge))
    }

    /// What `providers show` prints.
    pub(super) fn describe(self) -> Description {
        match self {
            Self::AcmeSh(script) => acme_sh::describe(script),
            Self::Lexicon(provider) => lexicon::describe(provider),
        }
    }

    /// Makes the provider. Runs nothing yet.
    ///
    /// # Errors
    /// `ErrorKind::Config` where the tool is not there.
    pub(super) fn open(self, settings: &Settings, context: &Context, registry: &Registry) -> Result<Arc<dyn DnsProvider>> {
        match self {
            Self::AcmeSh(script) => acme_sh::open(script, settings, context, registry),
            Self::Lexicon(provider) => lexicon::open(provider, settings, context, registry),
        }
    }
}

/// A setting of a bridge, which has one variable for all names behind it.
fn setting(name: &str, variables: &[&str], help: &str) -> CredentialHelp {
    CredentialHelp {
        name: name.to_owned(),
        secret: false,
        optional: true,
        help: Some(help.to_owned()),
        familiar: variables.iter().map(|it| (*it).to_owned()).collect(),
    }
}

/// The variables that a tool gets: all but credentials, and of these the ones that are its own.
fn variables(environment: &Environment, registry: &Registry, is_its_own: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let hidden = registry.hidden_variables(environment);
    let is_given = |name: &str| is_its_own(name) || !hidden.iter().any(|it| it == name);
    environment.iter().filter(|(name, _)| is_given(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Values shorter than this are no secrets, and taking them out of every text would make it unreadable.
const SHORTEST_SECRET: usize = 8;

/// The redactor learns the values of those variables whose names say that they are secrets.
fn learn<'a>(redactor: &Redactor, variables: impl Iterator<Item = (&'a str, &'a str)>) {
    let sounds_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["key", "token", "secret", "pass", "pwd"].iter().any(|word| name.contains(word))
    };
    for (name, value) in variables {
        if sounds_secret(name) && value.len() >= SHORTEST_SECRET {
            redactor.learn(&Secret::new(value));
        }
    }
}

fn pairs(environment: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

#[cfg(test)]
mod tests;
