//! Credentials that the machine has: what the vendors' own tools and SDKs find without being told (`docs/ambient-credentials.md`).
//!
//! A chain decides by variables, files and the firmware alone where it leads ([`source::Source`], plain data), as the vendors' SDKs do; what a link
//! was meant to give and cannot, no other link gives. Only then something is asked, and used until three quarters of its time are over. A manifest
//! names its chain (`ambient = "aws"`), which only built-in ones may.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use tokio::sync::Mutex;

use self::{
    fetch::{Fetched, Fetcher},
    machine::Machine,
    source::{Link, Source},
};
use super::{
    description::{Ambient, Description},
    manifest::Manifest,
    settings::{Context, Renewed, Settings},
};
use crate::{
    error::{Error, ErrorKind, Result},
    http::Http,
    language::t,
    lifetime::Age,
    provider::DnsProvider,
    secret::{Redactor, Secret},
};

mod aws;
mod aws_profile;
mod azure;
mod fetch;
mod google;
mod machine;
mod source;

/// Settings of a provider that narrow its chain, where they are set.
const NARROWING: [&str; 4] = ["profile", "project", "tenant_id", "client_id"];

/// The credentials of the machine that a built-in provider takes where it has none of its own; `None` where it takes none, or gets others.
///
/// # Errors
/// `ErrorKind::Credentials` where the chain leads nowhere, with the reason of each link; as [`Settings::find`].
pub(super) fn find(description: &Description, settings: &Settings, context: &Context) -> Result<Option<Arc<dyn Renewed>>> {
    let Some(kind) = description.ambient.filter(|_| settings.renewed.is_none()) else { return Ok(None) };
    let machine = machine(description, settings)?;
    let chain = Chain::new(kind, machine, &context.http, &context.redactor);
    let nowhere = |why: String| Error::new(ErrorKind::Credentials, context.redactor.redact(&why));
    chain.map(|chain| Some(Arc::new(chain) as Arc<dyn Renewed>)).map_err(nowhere)
}

/// What a chain looks at.
fn machine(description: &Description, settings: &Settings) -> Result<Machine> {
    let mut given = BTreeMap::new();
    for name in NARROWING {
        if let Some(credential) = description.credentials.iter().find(|credential| credential.name == name)
            && let Some(found) = settings.find(name, &credential.familiar)?
            && !found.value.is_empty()
        {
            given.insert(name, found.value.expose().trim().to_owned());
        }
    }
    Ok(Machine::new(settings.environment.clone(), given))
}

/// Opens a built-in provider, with the credentials of the machine where it has none of its own.
///
/// # Errors
/// As [`Manifest::open`]; where credentials are missing, with the reason why the machine has none.
pub(super) fn open(manifest: &Manifest, mut settings: Settings, context: &Context) -> Result<Arc<dyn DnsProvider>> {
    match find(&manifest.describe(), &settings, context) {
        Ok(None) => manifest.open(&settings, context),
        Ok(found) => {
            settings.renewed = found;
            manifest.open(&settings, context)
        }
        Err(nowhere) => manifest.open(&settings, context).map_err(|error| match (error.kind(), error.hint()) {
            (ErrorKind::Credentials, Some(hint)) => {
                let message =
                    t!("%{message}; and the machine has none: %{why}", message = error.message(), why = nowhere.message());
                Error::new(ErrorKind::Credentials, message).with_hint(hint)
            }
            _ => error,
        }),
    }
}

/// One chain over one machine.
struct Chain {
    kind: Ambient,
    machine: Machine,
    /// Where it led when it was made.
    origin: String,
    fetcher: Fetcher,
    redactor: Redactor,
    memory: Mutex<Option<Fetched>>,
}

impl Chain {
    /// A chain that leads somewhere; `Err` says why it does not, for each link that was looked at.
    fn new(kind: Ambient, machine: Machine, http: &Http, redactor: &Redactor) -> Result<Self, String> {
        let (_, origin) = lead(kind, &machine)?;
        let fetcher = Fetcher::new(http, machine.environment.clone(), redactor.clone());
        Ok(Self { kind, machine, origin, fetcher, redactor: redactor.clone(), memory: Mutex::default() })
    }

    /// Fetches anew. What a link leads to is decided anew, too: files may have changed.
    async fn fetch(&self) -> Result<Fetched> {
        let refused = |why: String| Error::new(ErrorKind::Credentials, self.redactor.redact(&why));
        let (source, origin) = lead(self.kind, &self.machine).map_err(refused)?;
        let mut fetched = self.fetcher.fetch(&source).await.map_err(|error| error.context(&origin))?;
        if self.kind == Ambient::Google && !fetched.values.contains_key("project") {
            let project = google::project(&self.machine).ok_or_else(|| {
                let why = t!("%{origin}: they do not say which project holds the zone", origin);
                Error::new(ErrorKind::Credentials, why)
                    .with_hint(t!("set GCE_PROJECT (or DV_GCLOUD_PROJECT) to the id of the project"))
            })?;
            fetched.values.insert("project", Secret::new(project));
        }
        for (_, secret) in fetched.values.iter().filter(|(name, _)| !matches!(**name, "project" | "access_key")) {
            self.redactor.learn(secret);
        }
        let until = fetched.lifetime.expires.map(|expires| format!("; they last until {expires:.0}")).unwrap_or_default();
        tracing::info!("credentials come from {origin}{until}");
        Ok(fetched)
    }
}

#[async_trait]
impl Renewed for Chain {
    fn names(&self) -> &'static [&'static str] {
        match self.kind {
            Ambient::Aws => &["access_key", "secret_key", "session_token"],
            Ambient::Google => &["service_account"],
            Ambient::Azure => &["client_secret"],
        }
    }

    fn replaced(&self) -> &'static [&'static str] {
        match self.kind {
            Ambient::Azure => &["tenant_id", "client_id", "client_secret"],
            _ => self.names(),
        }
    }

    fn origin(&self) -> String {
        self.origin.clone()
    }

    async fn current(&self) -> Result<BTreeMap<&'static str, Secret>> {
        let mut memory = self.memory.lock().await;
        let age = memory.as_ref().map(|known| known.lifetime.age(self.fetcher.now()));
        if let (Some(known), Some(Age::Fresh)) = (memory.as_ref(), age) {
            return Ok(known.values.clone());
        }
        match (self.fetch().await, memory.as_ref(), age) {
            (Ok(fetched), ..) => Ok(memory.insert(fetched).values.clone()),
            (Err(error), Some(known), Some(Age::Ageing)) => {
                tracing::warn!("credentials from {} are about to expire: {error}", self.origin);
                Ok(known.values.clone())
            }
            (Err(error), ..) => Err(error),
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("kind", &self.kind).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Where the first link that leads anywhere leads; `Err` says why none does.
fn lead(kind: Ambient, machine: &Machine) -> Result<(Source, String), String> {
    let links = match kind {
        Ambient::Aws => aws::LINKS,
        Ambient::Google => google::LINKS,
        Ambient::Azure => azure::LINKS,
    };
    let mut reasons = Vec::new();
    for link in links {
        match link(machine) {
            Link::Leads(source, origin) => return Ok((*source, origin)),
            Link::Absent(why) => reasons.push(why),
            Link::Broken(why) => return Err(why),
        }
    }
    Err(reasons.join("; "))
}

#[cfg(test)]
mod tests;
