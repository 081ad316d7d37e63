//! All providers by id: built-in manifests, manifests of the user, and those in Rust.

use std::{path::Path, sync::Arc};

use super::{
    DnsProvider,
    settings::{Context, Settings},
};
use crate::error::Result;

/// One credential or setting that a provider takes, for `providers show` and for errors.
#[derive(Clone, Debug)]
pub struct CredentialHelp {
    /// Its name: `api_token`, set with `DV_<ID>_API_TOKEN`.
    pub name: String,
    /// Whether it is a secret.
    pub secret: bool,
    /// Whether it may be left out.
    pub optional: bool,
    /// What it is and which rights it needs.
    pub help: Option<String>,
    /// Variables of other tools that work too.
    pub familiar: Vec<String>,
}

/// What is known about a provider without credentials.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// The page of its API documentation.
    pub docs: Option<String>,
    /// Where it comes from: "built-in", "built-in manifest", or the path of a user's manifest.
    pub origin: String,
    /// What it takes.
    pub credentials: Vec<CredentialHelp>,
    /// What it can do.
    pub capabilities: super::Capabilities,
}

/// The providers that there are.
#[derive(Clone, Debug)]
pub struct Registry {}

impl Registry {
    /// The built-in providers, and the manifests (`*.toml`, but not `*.examples.toml`) in `folder` where it exists.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a manifest that does not load, with file, line and column.
    pub fn load(folder: Option<&Path>) -> Result<Self> {
        let _ = folder;
        unimplemented!()
    }

    /// Every provider, by id.
    pub fn list(&self) -> Vec<Description> {
        unimplemented!()
    }

    /// One provider by id or by alias.
    ///
    /// # Errors
    /// `ErrorKind::Config`, with the nearest id ("did you mean").
    pub fn describe(&self, id: &str) -> Result<Description> {
        let _ = id;
        unimplemented!()
    }

    /// Makes a provider. `settings.id` is a built-in id, an alias, a user's manifest id, or the path of a manifest (contains `/` or ends in `.toml`).
    ///
    /// # Errors
    /// `ErrorKind::Config` for an unknown id; `ErrorKind::Credentials` naming the variables that are missing.
    pub fn open(&self, settings: &Settings, context: &Context) -> Result<Arc<dyn DnsProvider>> {
        let _ = (settings, context);
        unimplemented!()
    }
}
