//! What the user chose, typed and checked.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    file::ConfigFile,
    files, form,
    layers::{Layers, Origin, number},
    parse,
    paths::Places,
    place,
};
use crate::{
    delivery::Hook,
    error::{Error, Result},
    journey::{self, Patience, Permission},
    name::Name,
    order::{
        Generation, OrderId,
        aliyun::{CasOptions, Signature},
    },
    propagation::{self, ResolverAddress, Vantage},
    provider::file::FilePublishers,
    store::Target,
};

/// How long a hook may take where the user does not say.
pub(super) const HOOK_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a record may take to be visible where neither the user nor the provider says: for `check --wait`.
pub const PROPAGATION_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The least `--poll-interval`: below it, one order would use up the account's request budget.
const LEAST_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How often `watch` looks for new orders where the user does not say.
const INTERVAL: Duration = Duration::from_secs(60);

/// The least `--interval`.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// How long before its end the renewal of a certificate is due where the user does not say.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// For whom results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// People.
    #[default]
    Human,
    /// Programs: one JSON object per line.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, where nothing speaks against it.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is said, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// `--output`.
    pub format: Format,
    /// `--color`.
    pub colour: Colour,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// `--quiet`.
    pub quiet: bool,
}

impl Manner {
    /// Reads what concerns output alone, so that errors about the rest are shown in the right manner.
    ///
    /// # Errors
    /// `ErrorKind::Config` naming where the value came from.
    pub fn of(layers: &Layers) -> Result<Self> {
        Ok(Self {
            format: layers
                .one("output", |text| Ok(if text == "json" { Format::Json } else { Format::Human }))?
                .unwrap_or_default(),
            colour: layers.one("color", |text| Ok(colour(text)))?.unwrap_or_default(),
            verbosity: layers.one("verbose", |text| number(text, 0))?.unwrap_or(0),
            quiet: layers.flag("quiet")?,
        })
    }
}

/// Everything that options decide.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// `--provider` from the command line or the environment: wins over all routes.
    pub provider: Option<String>,
    /// `default_provider` of the config: counts where no route fits.
    pub default_provider: Option<String>,
    /// Zones that a provider may replace as a whole.
    pub allow_zone_rewrite: Vec<Name>,
    /// How CAS is reached.
    pub cas: CasOptions,
    /// How records are seen.
    pub propagation: propagation::Options,
    /// Who publishes files. The environment of the hook is still to come.
    pub files: FilePublishers,
    /// `--detailed-exit-code`.
    pub detailed_exit_code: bool,
    /// `--lease`.
    pub lease: Duration,
    /// `--interval`: how often `watch` looks for new orders.
    pub interval: Duration,
    /// `--renew-before`.
    pub renew_before: Duration,
    /// `--splay`: the longest random wait before a run.
    pub splay: Option<Duration>,
    store: Option<Target>,
    out: Option<PathBuf>,
    places: Places,
    journey: journey::Options,
}

impl Chosen {
    /// Reads every option, whichever command runs: a mistake in the config does not wait for the command that needs the key.
    ///
    /// # Errors
    /// `ErrorKind::Config` or `ErrorKind::Usage` naming where the value came from.
    pub fn read(layers: &Layers, file: &ConfigFile, places: Places) -> Result<Self> {
        let provider = layers.get("provider");
        let (provider, default_provider) = match provider {
            Some(given) if matches!(given.origin, Origin::File { .. }) => (None, given.texts.last().cloned()),
            given => (given.and_then(|given| given.texts.last().cloned()), None),
        };
        let resolvers = layers.all("resolver", ResolverAddress::parse)?;
        let stated = layers.all("authority", parse::authorities)?;
        let path = |name| layers.one(name, |text| Ok(PathBuf::from(text)));
        Ok(Self {
            provider,
            default_provider,
            allow_zone_rewrite: layers.all("allow-zone-rewrite", Name::parse)?,
            cas: cas(layers)?,
            propagation: propagation::Options {
                over_https: over_https(layers)?,
                interceptor_probes: interceptor_probes(&resolvers, &stated),
                resolvers,
                vantage: layers.one("vantage", str::parse)?,
                stated,
                policy: layers.one("policy", parse::policy)?.unwrap_or_default(),
                ..propagation::Options::default()
            },
            files: files::publishers(layers)?,
            detailed_exit_code: layers.flag("detailed-exit-code")?,
            lease: place::lease(layers)?,
            interval: layers.one("interval", |text| at_least(text, LEAST_INTERVAL))?.unwrap_or(INTERVAL),
            renew_before: layers.one("renew-before", parse::duration)?.unwrap_or(RENEW_BEFORE),
            splay: layers.one("splay", parse::duration)?,
            store: place::store(layers)?,
            out: path("out")?,
            places,
            journey: journey::Options {
                orders: layers.all("order", OrderId::parse)?,
                domains: layers.all("domain", Name::parse)?,
                base_domain: layers.one("base-domain", Name::parse)?,
                permission: permission(layers, file)?,
                web: files::web(layers)?,
                patience: patience(layers)?,
                dry_run: layers.flag("dry-run")?,
                no_wait: layers.flag("no-wait")?,
                wait_negative: layers.flag("wait-negative")?,
                no_follow: layers.flag("no-follow")?,
                keep_record: layers.flag("keep-record")?,
                out: PathBuf::new(),
                name: layers.one("name", parse::folder_name)?,
                form: form::form(layers)?,
                hooks: hooks(layers)?,
                hook_timeout: layers.one("hook-timeout", parse::duration)?.unwrap_or(HOOK_TIMEOUT),
                hidden_variables: Vec::new(),
                parallel: layers.one("parallel", |text| number(text, 0))?.unwrap_or(0),
            },
        })
    }

    /// What a run is to do.
    ///
    /// # Errors
    /// `ErrorKind::Config` where there is no place for certificates; `ErrorKind::Usage` for `--name` without exactly one `--order`;
    /// `ErrorKind::Config` for a hook that is not there.
    pub fn journey(&self, hidden_variables: Vec<String>) -> Result<journey::Options> {
        let options = journey::Options { out: self.out()?, hidden_variables, ..self.journey.clone() };
        if options.name.is_some() && options.orders.len() != 1 {
            return Err(Error::usage("`--name` is the folder of one certificate, but not exactly one `--order` is given")
                .with_hint("add `--order ID`, or leave `--name` out: folders are named after the certificates then"));
        }
        for hook in &options.hooks {
            check_hook(hook)?;
        }
        Ok(options)
    }

    /// What may be written.
    pub fn permission(&self) -> &Permission {
        &self.journey.permission
    }

    /// `--propagation-timeout`, where it is given.
    pub fn given_propagation_timeout(&self) -> Option<Duration> {
        self.journey.patience.propagation
    }

    /// `--zone`, where it is given.
    pub fn zones(&self) -> &[Name] {
        if self.permission().zones_limit { &self.permission().zones } else { &[] }
    }

    /// `--propagation-timeout`, or 15 minutes.
    pub fn propagation_timeout(&self) -> Duration {
        self.journey.patience.propagation.unwrap_or(PROPAGATION_TIMEOUT)
    }

    /// `--base-domain`.
    pub fn base_domain(&self) -> Option<&Name> {
        self.journey.base_domain.as_ref()
    }

    /// `--wait-negative`.
    pub fn waits_for_negative(&self) -> bool {
        self.journey.wait_negative
    }

    /// `--dry-run`.
    pub fn is_dry_run(&self) -> bool {
        self.journey.dry_run
    }

    /// The store.
    ///
    /// # Errors
    /// `ErrorKind::Config` where there is no home folder and `--store` was not given.
    pub fn store(&self) -> Result<Target> {
        self.store.clone().map_or_else(|| self.places.store().map(Target::File), Ok)
    }

    /// The folder for copies of zones that a provider replaces whole: beside the store, or where that would be if it were a file.
    ///
    /// # Errors
    /// As [`Chosen::store`].
    pub fn zone_copies(&self) -> Result<PathBuf> {
        let store = match self.store()? {
            Target::File(path) => path,
            // The copies are this machine's, for a person to look at.
            Target::Postgres(_) => self.places.store()?,
        };
        Ok(store.with_file_name("zones"))
    }

    /// The folder of all certificates.
    ///
    /// # Errors
    /// `ErrorKind::Config` where there is no home folder and `--out` was not given.
    pub fn out(&self) -> Result<PathBuf> {
        self.out.clone().map_or_else(|| self.places.out(), Ok)
    }
}

/// Where port 53 is blocked, public resolvers are asked over https; not where the user states resolvers.
fn over_https(layers: &Layers) -> Result<Vec<ResolverAddress>> {
    if layers.get("resolver").is_some() {
        return Ok(Vec::new());
    }
    Ok(layers.one("vantage", str::parse)?.unwrap_or(Vantage::All).over_https())
}

/// Interceptors are looked for, except where the user states servers on loopback: then no network lies between.
fn interceptor_probes(resolvers: &[ResolverAddress], stated: &[(Name, Vec<SocketAddr>)]) -> Vec<SocketAddr> {
    let is_near = resolvers.iter().any(ResolverAddress::is_loopback)
        || stated.iter().flat_map(|(_, addresses)| addresses).any(|address| address.ip().is_loopback());
    if is_near { Vec::new() } else { propagation::NO_SERVERS.to_vec() }
}

fn colour(text: &str) -> Colour {
    match text {
        "always" => Colour::Always,
        "never" => Colour::Never,
        _ => Colour::Auto,
    }
}

fn cas(layers: &Layers) -> Result<CasOptions> {
    let generations = |text: &str| {
        Ok(match text {
            "2018" => vec![Generation::Api2018],
            "order" => vec![Generation::Order],
            "instance" => vec![Generation::Instance],
            _ => Vec::new(),
        })
    };
    let text = |text: &str| Ok(text.to_owned());
    let defaults = CasOptions::default();
    Ok(CasOptions {
        generations: layers.one("api", generations)?.unwrap_or_default(),
        endpoint: layers.one("endpoint", parse::endpoint)?,
        region: layers.one("region", region)?,
        signature: layers
            .one("signature", |text| Ok(if text == "v3" { Signature::V3 } else { Signature::V1 }))?
            .unwrap_or(defaults.signature),
        lang: layers.one("lang", text)?,
        source_ip: layers.one("source-ip", source_ip)?,
        calls_per_second: layers.one("rate", |text| number(text, 1))?.unwrap_or(defaults.calls_per_second),
    })
}

/// A region becomes part of a host name.
fn region(text: &str) -> Result<String> {
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(
            Error::config(format!("`{text}` is not a region")).with_hint("regions look like `cn-hangzhou` and `ap-southeast-1`")
        );
    }
    Ok(text.to_owned())
}

fn source_ip(text: &str) -> Result<String> {
    let address: std::net::IpAddr = text.parse().map_err(|_| Error::config(format!("`{text}` is not an IP address")))?;
    Ok(address.to_string())
}

fn permission(layers: &Layers, file: &ConfigFile) -> Result<Permission> {
    let limit = layers.all("zone", Name::parse)?;
    let zones_limit = !limit.is_empty();
    // A route for everything names no zone that the user cares for.
    let routed = || file.routes.iter().map(|route| route.zone.clone()).filter(|zone| !zone.is_root()).collect();
    Ok(Permission {
        zones: if zones_limit { limit } else { routed() },
        zones_limit,
        names: layers.all("allow-name", Name::parse)?,
        apex: layers.flag("allow-apex")?,
    })
}

fn patience(layers: &Layers) -> Result<Patience> {
    let defaults = Patience::default();
    let poll_interval = |text: &str| at_least(text, LEAST_POLL_INTERVAL);
    Ok(Patience {
        challenge: layers.one("challenge-timeout", parse::duration)?.unwrap_or(defaults.challenge),
        propagation: layers.one("propagation-timeout", parse::duration)?,
        order: layers.one("timeout", parse::duration)?.unwrap_or(defaults.order),
        poll_interval: layers.one("poll-interval", poll_interval)?.unwrap_or(defaults.poll_interval),
    })
}

/// A duration that must not be shorter.
fn at_least(text: &str, least: Duration) -> Result<Duration> {
    let duration = parse::duration(text)?;
    if duration < least {
        return Err(Error::config(format!("`{text}` is too short: at least {}", parse::show_duration(least))));
    }
    Ok(duration)
}

fn hooks(layers: &Layers) -> Result<Vec<Hook>> {
    let mut hooks = layers.all("hook", |text| Ok(Hook::Program(PathBuf::from(text))))?;
    hooks.extend(layers.all("hook-shell", |text| Ok(Hook::Shell(text.to_owned())))?);
    Ok(hooks)
}

/// A hook that cannot run is found before anything is published, not after the certificate is there. A bare name is left to the PATH.
fn check_hook(hook: &Hook) -> Result<()> {
    let Hook::Program(path) = hook else { return Ok(()) };
    check_program(path, "hook", "`--hook` names one program; a line with arguments goes to `--hook-shell`")
}

/// Refuses a program that cannot run; a bare name is left to the PATH. `hint`: what the option takes.
pub(super) fn check_program(path: &Path, what: &str, hint: &str) -> Result<()> {
    if path.components().count() < 2 {
        return Ok(());
    }
    let wrong = |why: &str, hint: String| Err(Error::config(format!("the {what} `{}` {why}", path.display())).with_hint(hint));
    match std::fs::metadata(path) {
        Err(error) => wrong(&format!("cannot be read: {error}"), hint.into()),
        Ok(metadata) if !metadata.is_file() => wrong("is not a program", hint.into()),
        Ok(metadata) if !is_executable(&metadata) => wrong("is not executable", format!("`chmod +x {}`", Path::display(path))),
        Ok(_) => Ok(()),
    }
}

fn is_executable(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::layers::Flags, environment::Environment, propagation::Policy};

    fn read(flags: &[(&'static str, &str)], config: &str) -> Result<Chosen> {
        let flags: Flags = flags.iter().fold(Flags::new(), |mut flags, (name, value)| {
            flags.entry(name).or_default().push((*value).to_owned());
            flags
        });
        let file = ConfigFile { path: Some("c.toml".into()), ..ConfigFile::parse(config, "c.toml")? };
        let environment = Environment::of([("HOME", "/home/a")]);
        let layers = Layers::resolve(&flags, &environment, &file);
        Chosen::read(&layers, &file, Places::new(&environment, false))
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let chosen = read(&[], "").unwrap();
        let options = chosen.journey(Vec::new()).unwrap();
        assert_eq!(options.patience.order, Duration::from_secs(75 * 60));
        assert_eq!(options.patience.propagation, None);
        assert_eq!(options.out, Path::new("/home/a/.local/state/dv-verify/certificates"));
        assert_eq!(chosen.propagation.policy, Policy::Reachable);
        assert_eq!(chosen.cas.calls_per_second, 10);
        assert!(chosen.cas.generations.is_empty());
        assert!(!options.dry_run && !options.no_wait && !options.keep_record && options.parallel == 0);
    }

    #[test]
    fn every_default_in_the_table_is_the_real_one() {
        let text = |name: &str| super::super::settings::find(name).unwrap().default.unwrap();
        let options = read(&[], "").unwrap().journey(Vec::new()).unwrap();
        assert_eq!(parse::duration(text("timeout")).unwrap(), options.patience.order);
        assert_eq!(parse::duration(text("challenge-timeout")).unwrap(), options.patience.challenge);
        assert_eq!(parse::duration(text("poll-interval")).unwrap(), options.patience.poll_interval);
        assert_eq!(parse::duration(text("hook-timeout")).unwrap(), options.hook_timeout);
        assert_eq!(parse::policy(text("policy")).unwrap(), Policy::default());
        assert_eq!(text("rate"), CasOptions::default().calls_per_second.to_string());
        assert_eq!(text("parallel"), options.parallel.to_string());
        assert_eq!(parse::duration(text("lease")).unwrap(), crate::store::LEASE);
    }

    #[test]
    fn the_flag_overrides_routes_and_the_file_is_only_a_default() {
        let chosen = read(&[], "default_provider = \"a\"").unwrap();
        assert_eq!((chosen.provider.as_deref(), chosen.default_provider.as_deref()), (None, Some("a")));
        let chosen = read(&[("provider", "b")], "default_provider = \"a\"").unwrap();
        assert_eq!((chosen.provider.as_deref(), chosen.default_provider.as_deref()), (Some("b"), None));
    }

    #[test]
    fn zones_of_routes_allow_and_zones_of_the_user_limit() {
        let config = "[[route]]\nzone = \"example.com\"\nprovider = \"x\"\n[[route]]\nzone = \".\"\nprovider = \"y\"";
        let chosen = read(&[], config).unwrap();
        let zones = |chosen: &Chosen| chosen.permission().zones.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(zones(&chosen), ["example.com"]);
        assert!(!chosen.permission().zones_limit);
        let chosen = read(&[("zone", "example.net")], config).unwrap();
        assert_eq!(zones(&chosen), ["example.net"]);
        assert!(chosen.permission().zones_limit);
    }

    #[test]
    fn values_that_cannot_be_are_refused_with_their_origin() {
        for (name, value, expected) in [
            ("order", "a b", "`--order`: `a b` is not an order id"),
            ("domain", "a..b", "`--domain`: `a..b` is not a domain name"),
            ("region", "CN hangzhou", "`--region`: `CN hangzhou` is not a region"),
            ("source-ip", "x", "`--source-ip`: `x` is not an IP address"),
            ("poll-interval", "1ms", "`--poll-interval`: `1ms` is too short"),
            ("endpoint", "http://cas.example.com", "`--endpoint`: the endpoint is plain http"),
            ("name", "../x", "`--name`: `../x` is not the name of a folder"),
            ("rate", "0", "`--rate`: `0` is not a whole number of at least 1"),
        ] {
            let error = read(&[(name, value)], "").unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert_eq!(error.kind().exit_code(), 2);
        }
        let error = read(&[("store", "postgres://u:hunter2hunter2@h/d")], "").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(error.to_string().starts_with("`--store`: the URL of the store holds a password"), "{error}");
    }

    #[test]
    fn a_store_with_a_password_comes_from_a_file_that_others_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let text = path.to_str().unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let refused = |flags: &[(&'static str, &str)]| {
            let error = read(flags, "").unwrap_err();
            assert_eq!(error.kind().exit_code(), 2);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            error.to_string()
        };
        assert!(refused(&[("store-file", text)]).contains("cannot be read"));
        std::fs::write(&path, "").unwrap();
        mode(0o600);
        assert!(refused(&[("store-file", text)]).contains("is empty"));
        std::fs::write(&path, "postgres://u:hunter2hunter2@h/d\n").unwrap();
        let chosen = read(&[("store-file", text)], "").unwrap();
        assert_eq!(chosen.store().unwrap().to_string(), "postgres://u@h/d");
        assert!(!format!("{chosen:?}").contains("hunter2"));
        assert!(refused(&[("store-file", text), ("store", "/x")]).contains("two places"));
        mode(0o640);
        assert!(refused(&[("store-file", text)]).contains("read by others"));
    }

    #[test]
    fn a_name_needs_exactly_one_order() {
        assert!(read(&[("name", "web")], "").unwrap().journey(Vec::new()).is_err());
        assert!(read(&[("name", "web"), ("order", "1"), ("order", "2")], "").unwrap().journey(Vec::new()).is_err());
        read(&[("name", "web"), ("order", "1")], "").unwrap().journey(Vec::new()).unwrap();
    }

    #[test]
    fn a_hook_that_cannot_run_is_found_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("hook");
        let path = script.to_str().unwrap();
        let check = || read(&[("hook", path)], "").unwrap().journey(Vec::new()).map(|_| ());
        assert!(check().unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&script, "").unwrap();
        assert!(check().unwrap_err().hint().unwrap().contains("chmod +x"));
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        check().unwrap();
        read(&[("hook", "reload-web")], "").unwrap().journey(Vec::new()).unwrap();
        read(&[("hook-shell", "a b | c")], "").unwrap().journey(Vec::new()).unwrap();
    }
}
