//! What the user chose, typed and checked.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use super::{
    acme, applicant, cas,
    file::ConfigFile,
    files, form,
    layers::{Layers, Origin, number},
    listen, parse,
    paths::Places,
    place,
};
use crate::{
    error::{Error, Result},
    hook::Hook,
    journey::{self, Notices, Patience, Permission},
    language::t,
    name::Name,
    order::{
        OrderId,
        acme::AcmeOptions,
        aliyun::{
            CasOptions,
            applying::{Applicant, Application},
        },
        source_of_account,
    },
    propagation::{self, ResolverAddress, Vantage},
    provider::file::FilePublishers,
    status::Listen,
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
    /// Which ACME CA, and as whom.
    pub acme: AcmeOptions,
    /// Who applies at CAS.
    pub applicant: Applicant,
    /// `--contact-id`: the contacts of an instance that has none.
    pub contact_ids: Vec<u64>,
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
    /// `--renew`: whether `watch` applies for certificates.
    pub renew: bool,
    /// `--listen` and its companions.
    pub listen: Option<Listen>,
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
        let (applicant, contact_ids) = applicant::applicant(layers)?;
        Ok(Self {
            provider,
            default_provider,
            allow_zone_rewrite: layers.all("allow-zone-rewrite", Name::parse)?,
            cas: cas::cas(layers)?,
            acme: acme::acme(layers)?,
            applicant,
            contact_ids,
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
            renew: layers.flag("renew")?,
            listen: listen::listen(layers)?,
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
                notices: Arc::new(Notices::new(programs(layers, "on-issued")?, programs(layers, "on-failure")?)),
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
        self.checked(journey::Options { hidden_variables, ..self.journey.clone() })
    }

    /// What a run is to do with these orders, whatever `--order` and `--domain` say.
    ///
    /// # Errors
    /// As [`Chosen::journey`].
    pub fn journey_of(&self, hidden_variables: Vec<String>, orders: Vec<OrderId>) -> Result<journey::Options> {
        self.checked(journey::Options { hidden_variables, orders, domains: Vec::new(), ..self.journey.clone() })
    }

    fn checked(&self, options: journey::Options) -> Result<journey::Options> {
        let options = journey::Options { out: self.out()?, ..options };
        if options.name.is_some() && options.orders.len() != 1 {
            return Err(Error::usage(t!("`--name` is the folder of one certificate, but not exactly one order is named"))
                .with_hint(t!("add `--order ID`, or leave `--name` out: folders are named after the certificates then")));
        }
        // What cannot run is found before anything is published, not after the certificate is there.
        options.hooks.iter().chain(options.notices.hooks()).try_for_each(Hook::check)?;
        Ok(options)
    }

    /// An application at CAS as the options say, still without names.
    pub fn application(&self) -> Application {
        Application {
            names: Vec::new(),
            csr: None,
            key_algorithm: None,
            applicant: self.applicant.clone(),
            contacts: self.contact_ids.clone(),
            by_file: false,
        }
    }

    /// Whom to tell, and how long that may take.
    pub fn notices(&self) -> (&Notices, Duration) {
        (&self.journey.notices, self.journey.hook_timeout)
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

    /// How web servers are asked.
    pub fn web(&self) -> &crate::web::Options {
        &self.journey.web
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
        self.beside_store("zones")
    }

    /// The folder for private keys that were made here, until their certificates are there: beside the store, and on this machine alone.
    ///
    /// # Errors
    /// As [`Chosen::store`].
    pub fn key_folder(&self) -> Result<PathBuf> {
        self.beside_store("keys")
    }

    /// The folder for accounts and orders at ACME CAs, with their keys: beside the store, and on this machine alone. One for each `--account`, as
    /// the store keeps their orders apart.
    ///
    /// # Errors
    /// As [`Chosen::store`].
    pub fn acme_folder(&self) -> Result<PathBuf> {
        self.beside_store(&source_of_account(&self.cas.account, "acme".to_owned()))
    }

    fn beside_store(&self, name: &str) -> Result<PathBuf> {
        let store = match self.store()? {
            Target::File(path) => path,
            // The copies are this machine's, for a person to look at.
            Target::Postgres(_) => self.places.store()?,
        };
        Ok(store.with_file_name(name))
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
        return Err(Error::config(t!("`%{text}` is too short: at least %{least}", text, least = parse::show_duration(least))));
    }
    Ok(duration)
}

fn programs(layers: &Layers, name: &str) -> Result<Vec<Hook>> {
    layers.all(name, |text| Ok(Hook::Program(PathBuf::from(text))))
}

fn hooks(layers: &Layers) -> Result<Vec<Hook>> {
    let mut hooks = programs(layers, "hook")?;
    hooks.extend(layers.all("hook-shell", |text| Ok(Hook::Shell(text.to_owned())))?);
    Ok(hooks)
}

#[cfg(test)]
mod tests;
