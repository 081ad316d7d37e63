//! Providers described as data.

use std::sync::Arc;

use super::{
    DnsProvider,
    registry::Description,
    settings::{Context, Settings},
};
use crate::error::{Error, Result};

/// A manifest that was read.
#[derive(Debug)]
pub struct Manifest {}

impl Manifest {
    /// Reads a manifest. `origin` names it in errors.
    pub fn parse(_text: &str, origin: &str, _builtin: bool) -> Result<Self> {
        Err(Error::config(format!("{origin}: manifests cannot be read yet")))
    }

    /// What is known without credentials.
    pub fn describe(&self) -> Description {
        unimplemented!()
    }

    /// Makes the provider.
    pub fn open(&self, _settings: &Settings, _context: &Context) -> Result<Arc<dyn DnsProvider>> {
        unimplemented!()
    }

    /// The id.
    pub fn id(&self) -> &str {
        unimplemented!()
    }
}

/// The built-in manifests: file name and text.
pub fn builtin() -> &'static [(&'static str, &'static str)] {
    &[]
}

/// What became of one example.
#[derive(Clone, Debug)]
pub struct CaseOutcome {
    /// Its title.
    pub title: String,
    /// Why it failed; `None` where it passed.
    pub failure: Option<String>,
}

/// Replays examples.
pub fn replay(_: &Manifest, _: &str, _: &str) -> Result<Vec<CaseOutcome>> {
    Ok(Vec::new())
}
