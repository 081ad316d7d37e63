//! What every command needs: options, config, output, and the rooms that it works with, each made when it is needed.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    logging,
    printer::{Printer, Terminals},
};
use crate::{
    config::{
        chosen::Chosen,
        file::ConfigFile,
        layers::{Flags, Given, Layers, Origin},
        manner::Manner,
        paths::Places,
        routing::Router,
    },
    environment::Environment,
    error::{Error, ErrorKind, Result},
    http::Http,
    journey::{Surroundings, event::Observer},
    language::Language,
    language::t,
    name::Name,
    open_files,
    order::{
        Budget, OrderSource as _,
        aliyun::{Cas, CasOptions, KeyFolder, credentials::CredentialChain},
    },
    propagation::Propagation,
    provider::{
        registry::Registry,
        settings::{Context, Renewed, Setting},
    },
    secret::{Redactor, Secret},
    store::{Store, Target},
};

/// The options of one call of the program, and how it speaks.
pub(super) struct Session {
    printer: Printer,
    flags: Flags,
    environment: Environment,
    layers: Layers,
    file: ConfigFile,
    chosen: Chosen,
    redactor: Redactor,
    alibaba: OnceLock<CredentialChain>,
}

/// The rooms of one run.
pub(super) struct Rooms {
    /// For the journey.
    pub(super) surroundings: Surroundings,
    /// The order source, for its counters.
    pub(super) cas: Arc<Cas>,
    /// The routing.
    pub(super) router: Arc<Router>,
}

impl Session {
    /// Reads environment and config file.
    ///
    /// # Errors
    /// With the printer that shows the error as the user asked for.
    pub(super) fn new(flags: &Flags, environment: Environment) -> std::result::Result<Self, (Printer, Error)> {
        Self::with_redactor(flags, environment, Redactor::default())
    }

    /// Reads the config file again.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub(super) fn again(&self) -> Result<Self> {
        Self::with_redactor(&self.flags, self.environment.clone(), self.redactor.clone()).map_err(|(_, error)| error)
    }

    fn with_redactor(flags: &Flags, environment: Environment, redactor: Redactor) -> std::result::Result<Self, (Printer, Error)> {
        let printer = |manner: Manner| Printer::new(manner, &environment, Terminals::of_process(), redactor.clone());
        let places = Places::of_process(&environment);
        let early = Layers::resolve(flags, &environment, &ConfigFile::default());
        let early_manner = Manner::of(&early).unwrap_or_default();
        let read = || -> Result<(Layers, ConfigFile, Chosen, Manner)> {
            let named = early.get("config").and_then(|given| given.texts.last());
            let path = named.map(std::path::PathBuf::from).or_else(|| places.config());
            let file = path.map_or_else(|| Ok(ConfigFile::default()), |path| ConfigFile::read(&path, named.is_some()))?;
            let layers = Layers::resolve(flags, &environment, &file);
            if let Some(Given { texts, origin: Origin::File { .. } }) = layers.get("lang") {
                texts.iter().filter_map(|text| Language::of_code(text)).for_each(Language::speak);
            }
            let manner = Manner::of(&layers)?;
            let chosen = Chosen::read(&layers, &file, places.clone())?;
            Ok((layers, file, chosen, manner))
        };
        let (layers, file, chosen, manner) = read().map_err(|error| (printer(early_manner), error))?;
        let printer = printer(manner);
        chosen.listen.iter().filter_map(|listen| listen.token.as_ref()).for_each(|token| redactor.learn(token));
        logging::start(&printer, &environment);
        Ok(Self { printer, flags: flags.clone(), environment, layers, file, chosen, redactor, alibaba: OnceLock::new() })
    }

    /// How the program speaks.
    pub(super) fn printer(&self) -> &Printer {
        &self.printer
    }

    /// What the user chose.
    pub(super) fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// Where each value came from.
    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The config file.
    pub(super) fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// What takes secrets out of texts.
    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The environment.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Runs a future to its end, on threads that are started only now: help and completions need none.
    ///
    /// # Errors
    /// As the future; `ErrorKind::Unexpected` where no runtime can be made.
    pub(super) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
        open_files::allow();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorKind::Unexpected, t!("no threads can be started")).with_source(error))?;
        let outcome = runtime.block_on(future);
        // Answers that nobody waits for any more must not hold the program up.
        runtime.shutdown_background();
        outcome
    }

    /// The providers that there are: built-in ones, and those in `providers/` beside the config file.
    ///
    /// # Errors
    /// `ErrorKind::Config` for a manifest that does not load.
    pub(super) fn registry(&self) -> Result<Registry> {
        let beside = self.file.path.as_deref().and_then(std::path::Path::parent).map(|folder| folder.join("providers"));
        Registry::load(beside.as_deref())
    }

    /// The routing of names to provider instances.
    ///
    /// # Errors
    /// As [`Router::new`].
    pub(super) fn router(&self, http: &Http) -> Result<Router> {
        let alibaba = self.alibaba(http);
        let whole_zones = self.whole_zones();
        let fallback = Box::new(move |id: &str| {
            // Where the chain leads nowhere, the provider says which variables it wants.
            let is_for_it = id == "alidns" && alibaba.describe().is_ok();
            let renewed: Option<Arc<dyn Renewed>> =
                if is_for_it { Some(Arc::new(AlibabaCredentials(alibaba.clone()))) } else { None };
            (whole_zones.clone(), renewed)
        });
        let context = Context { http: http.clone(), redactor: self.redactor.clone() };
        Router::new(&self.chosen, self.file.clone(), self.registry()?, context, self.environment.clone(), fallback)
    }

    /// What a provider that replaces whole zones must know: which it may, and where copies are kept.
    fn whole_zones(&self) -> BTreeMap<String, Setting> {
        let setting = |value: String, origin: &str| Setting { value: Secret::new(value), origin: origin.to_owned() };
        let allowed: Vec<&str> = self.chosen.allow_zone_rewrite.iter().map(Name::as_str).collect();
        let mut all = BTreeMap::new();
        if !allowed.is_empty() {
            all.insert("allow_zone_rewrite".to_owned(), setting(allowed.join(","), "--allow-zone-rewrite"));
        }
        // Without a state folder there are no copies, and no zone is replaced.
        if let Ok(folder) = self.chosen.zone_copies() {
            all.insert("zone_copies".to_owned(), setting(folder.display().to_string(), t!("the state folder")));
        }
        all
    }

    /// The order source.
    ///
    /// # Errors
    /// As [`Cas::new`].
    pub(super) fn cas(&self, http: &Http) -> Result<Cas> {
        let cas = Cas::new(self.chosen.cas.clone(), self.alibaba(http), http.clone(), self.redactor.clone())?;
        // Without a state folder no key was made here.
        Ok(match self.chosen.key_folder() {
            Ok(folder) => cas.with_keys(KeyFolder::new(folder)),
            Err(_) => cas,
        })
    }

    /// The order source of another region than the one that was chosen.
    ///
    /// # Errors
    /// As [`Cas::new`].
    pub(super) fn cas_of_region(&self, http: &Http, region: &str) -> Result<Cas> {
        let options = CasOptions { region: Some(region.to_owned()), ..self.chosen.cas.clone() };
        Cas::new(options, self.alibaba(http), http.clone(), self.redactor.clone())
    }

    /// Alibaba Cloud's credentials. Whoever asks shares what was fetched.
    pub(super) fn alibaba(&self, http: &Http) -> CredentialChain {
        let new = || CredentialChain::new(self.environment.clone(), http.clone(), self.redactor.clone());
        self.alibaba.get_or_init(new).clone()
    }

    /// How records are seen.
    ///
    /// # Errors
    /// As [`Propagation::new`].
    pub(super) fn propagation(&self) -> Result<Propagation> {
        Propagation::new(self.chosen.propagation.clone())
    }

    /// Everything that a run works with. What can be wrong with options is found before the store is made. `observer` makes the reader of
    /// events, once the routing is known. The store is closed when `work` is done, however it ends, so that other machines need not wait for
    /// what this run has locked.
    ///
    /// # Errors
    /// As those of the rooms, and of `work`.
    pub(super) async fn with_rooms<T>(
        &self,
        observer: impl FnOnce(&Router) -> Result<Arc<dyn Observer>>,
        work: impl AsyncFnOnce(&mut Rooms) -> Result<T>,
    ) -> Result<T> {
        let mut rooms = self.rooms(observer, None).await?;
        let outcome = work(&mut rooms).await;
        rooms.surroundings.store.close().await;
        outcome
    }

    /// Opens the store, and says what is to be known of it; whoever opens it closes it.
    ///
    /// # Errors
    /// As [`Store::open_at`], and where no place for it is known.
    pub(super) async fn open_store(&self) -> Result<Store> {
        let target = self.chosen.store()?;
        if let Target::Postgres(url) = &target {
            url.password().iter().for_each(|password| self.redactor.learn(password));
        }
        let store = Store::open_at(&target, self.chosen.lease).await?.of_account(&self.chosen.cas.account);
        if let Some(notice) = store.notice() {
            self.printer.warning(notice, None);
        }
        Ok(store)
    }

    /// The rooms of one run. `before` are those of the same process whose store is open already, and which count calls.
    ///
    /// # Errors
    /// As those of the rooms.
    pub(super) async fn rooms(
        &self,
        observer: impl FnOnce(&Router) -> Result<Arc<dyn Observer>>,
        before: Option<(&Store, &Cas)>,
    ) -> Result<Rooms> {
        let http = Http::new()?;
        let router = Arc::new(self.router(&http)?);
        let mut cas = self.cas(&http)?;
        let propagation = self.propagation()?;
        let observer = observer(&router)?;
        let store = match before {
            Some((store, counting)) => {
                cas.count_with(counting);
                store.clone()
            }
            None => self.open_store().await?,
        };
        if store.is_shared() {
            cas.share_budget(Arc::new(SharedBudget::new(&cas, self.chosen.cas.calls_per_second, store.clone())));
        }
        let cas = Arc::new(cas);
        let surroundings = Surroundings {
            source: cas.clone(),
            routing: router.clone(),
            propagation,
            store,
            observer,
            environment: self.environment.clone(),
        };
        Ok(Rooms { surroundings, cas, router })
    }
}

/// The account's budget of calls, in the store that the machines share.
struct SharedBudget {
    store: Store,
    name: String,
    period: Duration,
}

impl SharedBudget {
    fn new(cas: &Cas, calls_per_second: u32, store: Store) -> Self {
        // 2 % below the limit, as on one machine.
        let period = Duration::from_millis(1020) / calls_per_second.max(1);
        Self { store, name: format!("calls of {}", cas.origin()), period }
    }
}

#[async_trait]
impl Budget for SharedBudget {
    async fn turn(&self) -> Result<()> {
        tokio::time::sleep(self.store.reserve(&self.name, self.period).await?).await;
        Ok(())
    }
}

/// Alibaba's own credentials, for its DNS service.
#[derive(Debug)]
struct AlibabaCredentials(CredentialChain);

#[async_trait]
impl Renewed for AlibabaCredentials {
    fn names(&self) -> &'static [&'static str] {
        &["access_key", "secret_key", "security_token"]
    }

    fn origin(&self) -> String {
        let found = self.0.describe().unwrap_or_else(|_| t!("of which there are none").to_owned());
        t!("Alibaba Cloud's credentials (%{found})", found)
    }

    async fn current(&self) -> Result<BTreeMap<&'static str, Secret>> {
        let found = self.0.resolve().await?;
        let mut all = BTreeMap::from([("access_key", Secret::new(found.access_key_id)), ("secret_key", found.access_key_secret)]);
        all.extend(found.security_token.map(|token| ("security_token", token)));
        Ok(all)
    }
}
