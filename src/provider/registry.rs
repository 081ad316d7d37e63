//! All providers by id: built-in manifests, manifests of the user, and those in Rust.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use super::{
    DnsProvider, ambient,
    bridge::Bridge,
    description::Description,
    exec, httpreq,
    manifest::{self, Manifest},
    manual, rfc2136,
    settings::{Context, Renewed, Settings},
};
use crate::{
    error::{Error, Result},
    language::t,
    nearest::nearest,
};

mod files;
mod hidden;

/// The providers that there are. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    entries: Arc<BTreeMap<String, Entry>>,
    /// Other names of providers, each with the id that it stands for.
    aliases: Arc<BTreeMap<String, String>>,
}

/// How a provider in Rust is made. The registry tells it which variables are credentials of other providers.
type Open = fn(&Settings, &Context, &Registry) -> Result<Arc<dyn DnsProvider>>;

#[derive(Clone)]
enum Source {
    Rust(Open),
    /// The text of a built-in manifest. It is read when somebody asks for it.
    BuiltIn(&'static str),
    Manifest(Arc<Manifest>),
}

struct Entry {
    id: String,
    source: Source,
    description: OnceLock<Result<Description>>,
}

impl Entry {
    fn known(description: Description, source: Source) -> Self {
        Self { id: description.id.clone(), source, description: OnceLock::from(Ok(description)) }
    }

    fn builtin(id: &str, text: &'static str) -> Self {
        Self { id: id.to_owned(), source: Source::BuiltIn(text), description: OnceLock::new() }
    }

    fn describe(&self) -> Result<&Description> {
        let read = || match self.source {
            Source::BuiltIn(text) => manifest::describe_builtin(text),
            Source::Rust(_) | Source::Manifest(_) => Err(Error::config(t!("`%{id}` has no description", id = self.id))),
        };
        self.description.get_or_init(read).as_ref().map_err(|error| Error::config(error.to_string()))
    }
}

/// A provider in Rust.
struct InRust {
    describe: fn() -> Description,
    aliases: &'static [&'static str],
    open: Open,
}

/// The providers in Rust, one line for each.
const IN_RUST: [InRust; 4] = [
    InRust { describe: rfc2136::describe, aliases: &["dnsupdate", "nsupdate"], open: rfc2136::open },
    InRust { describe: exec::describe, aliases: &[], open: exec::open },
    InRust { describe: httpreq::describe, aliases: &[], open: httpreq::open },
    InRust { describe: manual::describe, aliases: &[], open: manual::open },
];

impl Registry {
    /// The built-in providers, and the manifests (`*.toml`, but not `*.examples.toml`) in `folder` where it exists.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a manifest that does not load, with file, line and column; for one that takes an id that is taken.
    pub fn load(folder: Option<&Path>) -> Result<Self> {
        let user = folder.map(files::read_folder).transpose()?.unwrap_or_default();
        Self::of(manifest::builtin(), &user)
    }

    /// The registry of these built-in manifests and these of the user (path and text).
    fn of(builtin: &[(&str, &'static str)], user: &[(PathBuf, String)]) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let mut aliases = BTreeMap::new();
        for InRust { describe, aliases: others, open } in IN_RUST {
            let description = describe();
            aliases.extend(others.iter().map(|alias| ((*alias).to_owned(), description.id.clone())));
            entries.insert(description.id.clone(), Entry::known(description, Source::Rust(open)));
        }
        for (id, text) in builtin {
            aliases.extend(manifest::builtin_aliases(text).into_iter().map(|alias| (alias, (*id).to_owned())));
            entries.insert((*id).to_owned(), Entry::builtin(id, text));
        }
        let mut registry = Self { entries: Arc::default(), aliases: Arc::default() };
        for (path, text) in user {
            let origin = path.display().to_string();
            let manifest = Manifest::parse(text, &origin, false)?;
            let taken = |id: &str| entries.get(id).or_else(|| entries.get(aliases.get(id)?)).map(Entry::describe).transpose();
            for id in aliases_of(&manifest).chain([manifest.id().to_owned()]) {
                refuse_taken(&id, &origin, taken(&id)?)?;
            }
            let description = manifest.describe();
            aliases.extend(aliases_of(&manifest).map(|alias| (alias, description.id.clone())));
            entries.insert(description.id.clone(), Entry::known(description, Source::Manifest(Arc::new(manifest))));
        }
        registry.entries = Arc::new(entries);
        registry.aliases = Arc::new(aliases);
        Ok(registry)
    }

    /// Every provider, by id.
    pub fn list(&self) -> Vec<Description> {
        self.descriptions().cloned().collect()
    }

    /// Built-in manifests are tested, so that each has a description.
    fn descriptions(&self) -> impl Iterator<Item = &Description> {
        self.entries.values().filter_map(|entry| entry.describe().ok())
    }

    /// Other names of the provider `id`, sorted.
    pub fn aliases(&self, id: &str) -> Vec<&str> {
        self.aliases.iter().filter(|(_, of)| *of == id).map(|(alias, _)| alias.as_str()).collect()
    }

    /// One provider by id, by alias, by the path of a manifest, or by tool and name (`acme.sh:dns_cf`).
    ///
    /// # Errors
    /// `ErrorKind::Config`, with the nearest id ("did you mean").
    pub fn describe(&self, id: &str) -> Result<Description> {
        if let Some(bridge) = Bridge::of(id)? {
            return Ok(bridge.describe());
        }
        if is_path(id) {
            return Ok(self.load_path(id)?.describe());
        }
        self.entry(id)?.describe().cloned()
    }

    /// Makes a provider. `settings.id` is a built-in id, an alias, a user's manifest id, tool and name (`lexicon:gandi`), or the path of a manifest
    /// (contains `/` or ends in `.toml`).
    ///
    /// # Errors
    /// `ErrorKind::Config` for an unknown id; `ErrorKind::Credentials` naming the variables that are missing.
    pub fn open(&self, settings: &Settings, context: &Context) -> Result<Arc<dyn DnsProvider>> {
        let mut settings = settings.clone();
        if let Some(bridge) = Bridge::of(&settings.id.clone())? {
            return bridge.open(&settings, context, self);
        }
        if is_path(&settings.id) {
            let manifest = self.load_path(&settings.id)?;
            // Without a config the instance has the path's name, which makes no variable that anybody would guess.
            if settings.instance == settings.id {
                manifest.id().clone_into(&mut settings.instance);
            }
            manifest.id().clone_into(&mut settings.id);
            return manifest.open(&settings, context);
        }
        let entry = self.entry(&settings.id)?;
        settings.id.clone_from(&entry.id);
        match &entry.source {
            Source::Rust(open) => open(&settings, context, self),
            Source::BuiltIn(text) => ambient::open(&Manifest::parse(text, t!("built-in manifest"), true)?, settings, context),
            Source::Manifest(manifest) => manifest.open(&settings, context),
        }
    }

    /// What a provider's credentials are taken from where none of them is set, as far as there is any such; for people.
    pub fn renewed(&self, settings: &Settings, context: &Context) -> Option<Arc<dyn Renewed>> {
        let of_machine = || ambient::find(self.entry(&settings.id).ok()?.describe().ok()?, settings, context).ok()?;
        settings.renewed.clone().or_else(of_machine)
    }

    fn entry(&self, id: &str) -> Result<&Entry> {
        let wanted = id.trim().to_ascii_lowercase();
        let canonical = self.aliases.get(&wanted).unwrap_or(&wanted);
        self.entries.get(canonical).ok_or_else(|| self.unknown(id))
    }

    fn unknown(&self, id: &str) -> Error {
        let error = Error::config(t!("there is no provider `%{id}`", id));
        let names = self.entries.keys().chain(self.aliases.keys()).map(String::as_str);
        match nearest(&id.to_ascii_lowercase(), names) {
            Some(name) => error.with_hint(t!("did you mean `%{name}`? `dv-verify providers list` shows all", name)),
            None => error.with_hint(
                t!("`dv-verify providers list` shows all; for others use a manifest of your own (a path that ends in `.toml`), `acme.sh:SCRIPT`, `lexicon:NAME`, `exec` or `httpreq`"),
            ),
        }
    }

    fn load_path(&self, path: &str) -> Result<Manifest> {
        let manifest = Manifest::parse(&files::read_manifest(Path::new(path))?, path, false)?;
        let taken = self.entry(manifest.id()).ok().map(Entry::describe).transpose()?;
        // The same file may also lie in the user's folder.
        refuse_taken(manifest.id(), path, taken.filter(|description| description.origin.starts_with("built-in")))?;
        Ok(manifest)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

/// Whether a provider's name is the path of a manifest.
fn is_path(id: &str) -> bool {
    id.contains('/') || Path::new(id).extension().is_some_and(|extension| extension == "toml")
}

/// A user's manifest may not take the id or alias of another provider: it would get that provider's credentials.
fn refuse_taken(id: &str, origin: &str, taken_by: Option<&Description>) -> Result<()> {
    match taken_by {
        None => Ok(()),
        Some(description) => Err(Error::config(t!(
            "%{origin}: the id `%{id}` belongs to a provider already (%{other})",
            origin,
            id,
            other = description.origin
        ))
        .with_hint(t!("choose another `id`: credentials are found by it"))),
    }
}

/// The other names that a manifest gives itself, as they are looked up.
fn aliases_of(manifest: &Manifest) -> impl Iterator<Item = String> {
    manifest.aliases().iter().map(|alias| alias.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
