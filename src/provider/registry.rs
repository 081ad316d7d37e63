//! All providers by id: built-in manifests, manifests of the user, and those in Rust.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use super::{
    DnsProvider,
    bridge::Bridge,
    description::Description,
    exec, httpreq,
    manifest::{self, Manifest},
    manual, rfc2136,
    settings::{Context, Settings},
};
use crate::{
    environment::{CREDENTIALS_DIRECTORY, Environment},
    error::{Error, Result},
    language::t,
    nearest::nearest,
};

/// The largest manifest that is read, in bytes: the longest real ones have 2 kB.
const MAX_MANIFEST: u64 = 1024 * 1024;

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
        let user = folder.map(read_folder).transpose()?.unwrap_or_default();
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
            Source::BuiltIn(text) => Manifest::parse(text, t!("built-in manifest"), true)?.open(&settings, context),
            Source::Manifest(manifest) => manifest.open(&settings, context),
        }
    }

    /// The variables of `environment` that hold credentials, as far as this program knows any: of every provider under every spelling,
    /// of Alibaba Cloud, and of the store. Hooks and other programs do not get them.
    pub fn hidden_variables(&self, environment: &Environment) -> Vec<String> {
        let secrets = || self.descriptions().flat_map(|description| &description.credentials).filter(|it| it.secret);
        let familiar: BTreeSet<&str> = secrets().flat_map(|secret| secret.familiar.iter().map(String::as_str)).collect();
        let endings: BTreeSet<String> = secrets().map(|secret| format!("_{}", secret.name.to_ascii_uppercase())).collect();
        let hidden = |variable: &str| {
            let bare = variable.strip_suffix("_FILE").unwrap_or(variable);
            variable == CREDENTIALS_DIRECTORY
                || familiar.contains(bare)
                || bare.starts_with("DV_") && endings.iter().any(|ending| bare.ends_with(ending.as_str()))
                || is_known_secret(bare)
        };
        environment.iter().map(|(name, _)| name).filter(|name| hidden(name)).map(str::to_owned).collect()
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
        let manifest = Manifest::parse(&read_manifest(Path::new(path))?, path, false)?;
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

fn read_folder(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let failed = |error: std::io::Error| {
        Error::config(t!("the folder of manifests `%{folder}` cannot be read: %{error}", folder = folder.display(), error))
    };
    let listing = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut paths = listing.map(|entry| entry.map(|it| it.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".toml") && !name.ends_with(".examples.toml") && !name.starts_with('.')
    });
    paths.sort();
    paths.into_iter().map(|path| read_manifest(&path).map(|text| (path, text))).collect()
}

fn read_manifest(path: &Path) -> Result<String> {
    let failed = |error: &dyn fmt::Display| {
        Error::config(t!("the manifest `%{path}` cannot be read: %{error}", path = path.display(), error))
    };
    let length = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if length > MAX_MANIFEST {
        return Err(failed(&t!("it has %{length} bytes, more than %{MAX_MANIFEST}", length, MAX_MANIFEST)));
    }
    std::fs::read_to_string(path).map_err(|error| failed(&error))
}

/// Secrets that no provider declares: Alibaba Cloud's own variables (with those of its older tools), and PostgreSQL's password.
fn is_known_secret(variable: &str) -> bool {
    let alibaba = ["ALIBABA_CLOUD_", "ALIBABACLOUD_", "ALICLOUD_", "ALIYUN_"].iter().any(|start| variable.starts_with(start));
    variable == "PGPASSWORD"
        || alibaba && ["SECRET", "TOKEN", "ACCESS_KEY", "CREDENTIALS"].iter().any(|part| variable.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorKind, http::Http, secret::Redactor};

    fn registry() -> Registry {
        Registry::of(&[], &[]).unwrap()
    }

    fn context() -> Context {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Context { http: Http::new().unwrap(), redactor: Redactor::default() }
    }

    #[test]
    fn an_alias_stands_for_its_provider() {
        let registry = registry();
        assert_eq!(registry.describe("dnsupdate").unwrap().id, "rfc2136");
        assert_eq!(registry.describe("RFC2136").unwrap().id, "rfc2136");
        assert_eq!(registry.aliases("rfc2136"), ["dnsupdate", "nsupdate"]);
        let ids: Vec<String> = registry.list().into_iter().map(|it| it.id).collect();
        assert_eq!(ids, ["exec", "httpreq", "manual", "rfc2136"]);
    }

    #[test]
    fn an_alias_finds_the_variables_of_the_id_too() {
        let environment = Environment::of([("DV_RFC2136_NAMESERVER", "127.0.0.1")]);
        let opened = registry().open(&Settings::of_builtin("dnsupdate", environment), &context()).unwrap();
        assert_eq!(opened.id(), "rfc2136");
    }

    #[test]
    fn an_unknown_provider_is_an_error_with_advice() {
        let error = registry().describe("rfc2137").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("`rfc2137`"));
        assert!(error.hint().unwrap().contains("did you mean `rfc2136`"));
    }

    #[test]
    fn a_manifest_that_is_not_there_is_named() {
        let settings = Settings::of_builtin("./nowhere/mine.toml", Environment::default());
        let error = registry().open(&settings, &context()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("./nowhere/mine.toml"));
    }

    #[test]
    fn a_folder_gives_its_manifests_but_not_their_examples() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", "a.examples.toml", "notes.txt", ".hidden.toml"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let texts: Vec<String> = read_folder(folder.path()).unwrap().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["a.toml", "b.toml"]);
        assert!(read_folder(Path::new("/nonexistent/folder")).unwrap().is_empty());
    }

    #[test]
    fn what_is_read_cheaply_of_a_manifest_is_what_it_says() {
        let registry = Registry::load(None).unwrap();
        for (id, text) in manifest::builtin() {
            let manifest = Manifest::parse(text, id, true).unwrap();
            let (cheap, whole) = (registry.describe(id).unwrap(), manifest.describe());
            assert_eq!(format!("{cheap:?}"), format!("{whole:?}"));
            let mut aliases: Vec<String> = aliases_of(&manifest).collect();
            aliases.sort();
            assert_eq!(registry.aliases(id), aliases, "{id}");
        }
    }

    #[test]
    fn a_taken_id_is_refused() {
        let error = refuse_taken("exec", "mine.toml", Some(&exec::describe())).unwrap_err();
        assert!(error.to_string().contains("`exec`") && error.to_string().contains("mine.toml"));
    }

    #[test]
    fn credentials_are_hidden_under_every_spelling() {
        let environment = Environment::of([
            ("PATH", "/bin"),
            ("RFC2136_TSIG_SECRET", "s"),
            ("DV_RFC2136_TSIG_SECRET", "s"),
            ("DV_MY_PRIMARY_TSIG_SECRET_FILE", "/run/secret"),
            ("DV_RFC2136_NAMESERVER", "127.0.0.1"),
            ("HTTPREQ_PASSWORD", "s"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s"),
            ("ALIBABA_CLOUD_REGION_ID", "cn-hangzhou"),
            ("PGPASSWORD", "s"),
            ("SOMEBODYS_TSIG_SECRET", "not ours"),
        ]);
        assert_eq!(
            registry().hidden_variables(&environment),
            [
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
                "DV_MY_PRIMARY_TSIG_SECRET_FILE",
                "DV_RFC2136_TSIG_SECRET",
                "HTTPREQ_PASSWORD",
                "PGPASSWORD",
                "RFC2136_TSIG_SECRET"
            ]
        );
    }
}
