//! The journey of orders: from `checking` to a certificate on disk. The only room that knows orders, providers, propagation, store and delivery.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    delivery,
    environment::Environment,
    error::{Error, Result},
    hook::Hook,
    language::t,
    name::Name,
    open_files,
    order::{OrderId, OrderSource},
    propagation::Propagation,
    provider::{DnsProvider, Zone},
    record::Record,
    store::Store,
    web,
};

mod apply;
mod clean;
mod deploy;
mod driver;
pub mod event;
mod files;
mod guard;
mod machine;
mod notices;
mod person;
mod publish;
mod requested;
mod run;
mod sight;
mod trial;
pub mod watch;
mod withdraw;

pub use apply::{Applied, apply};
pub use clean::{Cleaned, clean};
pub use deploy::{Deployed, Deployment, deploy};
use event::{Observer, Outcome};
pub use notices::Notices;
pub use person::{add_record, remove_record};
pub use run::run;
pub use trial::{Step, Trial, trial};

/// The record that a challenge of an order asks for; `base_domain` is what relative names are relative to where nothing else says.
///
/// # Errors
/// `ErrorKind::Usage` for a name that cannot be joined, and for a value or a file that cannot be written.
pub fn record_of(challenge: &crate::order::Challenge, order: &crate::order::Order, base_domain: Option<&Name>) -> Result<Record> {
    publish::wanted(challenge, order, base_domain)
}

/// Removes the records of an order that nobody needs any more, because its application was withdrawn. Returns the failures; what could not be removed
/// stays in the journal for `clean`.
pub async fn withdraw_order(surroundings: &Surroundings, id: &OrderId) -> Vec<Error> {
    let holder = crate::store::Holder::order(surroundings.source.origin(), id);
    withdraw::withdraw_all(surroundings, &holder, Some(id)).await
}

/// Which provider writes which name.
pub trait Routing: Send + Sync {
    /// The provider instance for `name`: `--provider`, else the longest route of the config.
    ///
    /// # Errors
    /// `ErrorKind::Config` where no route leads anywhere, or the instance cannot be made (credentials missing).
    fn route(&self, name: &Name) -> Result<Routed>;

    /// Who publishes files for the web server of `host`.
    ///
    /// # Errors
    /// `ErrorKind::Config` where nobody does.
    fn files(&self, host: &Name) -> Result<Routed> {
        Err(Error::config(t!("nothing says where the files of the web server of `%{host}` are", host)))
    }

    /// A provider instance, or a publisher of files, by its name, for entries of the journal.
    ///
    /// # Errors
    /// `ErrorKind::Config` where the instance is no longer configured, or cannot be made.
    fn instance(&self, instance: &str) -> Result<Routed>;
}

/// A provider instance.
#[derive(Clone)]
pub struct Routed {
    /// Its name.
    pub instance: String,
    /// The provider.
    pub provider: Arc<dyn DnsProvider>,
}

impl Routed {
    /// The zone of the provider's account that holds `name`; an error names the instance.
    async fn locate(&self, name: &Name) -> Result<Zone> {
        self.provider.locate(name).await.map_err(|error| error.context(t!("provider `%{instance}`", instance = self.instance)))
    }
}

/// What a run works with.
#[derive(Clone)]
pub struct Surroundings {
    /// Where orders are read from.
    pub source: Arc<dyn OrderSource>,
    /// Where records are written.
    pub routing: Arc<dyn Routing>,
    /// How records are seen.
    pub propagation: Propagation,
    /// The durable memory.
    pub store: Store,
    /// Who listens.
    pub observer: Arc<dyn Observer>,
    /// The environment that hooks get, without credentials.
    pub environment: Environment,
}

/// How long a run waits for what.
#[derive(Clone, Debug)]
pub struct Patience {
    /// For the challenge to appear (`--challenge-timeout`). Default 10 min.
    pub challenge: Duration,
    /// For the record to be visible (`--propagation-timeout`); `None`: max(15 min, twice the provider's usual delay).
    pub propagation: Option<Duration>,
    /// For the order as a whole (`--timeout`). Default 75 min.
    pub order: Duration,
    /// The longest step between two looks at the order (`--poll-interval`). Default 30 s.
    pub poll_interval: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            challenge: Duration::from_secs(10 * 60),
            propagation: None,
            order: Duration::from_secs(75 * 60),
            poll_interval: Duration::from_secs(30),
        }
    }
}

/// What the user says may be written (invariant *guard*).
#[derive(Clone, Debug, Default)]
pub struct Permission {
    /// Zones of the config's routes and of `--zone`. `--zone` limits: where `zones_limit`, nothing outside them is written.
    pub zones: Vec<Name>,
    /// Whether [`Permission::zones`] came from `--zone`, so that the order's own domain does not count.
    pub zones_limit: bool,
    /// `--allow-name`: these exact names.
    pub names: Vec<Name>,
    /// `--allow-apex`.
    pub apex: bool,
}

/// What a run is to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// These orders (`--order`); empty: all that wait for validation.
    pub orders: Vec<OrderId>,
    /// Only orders for one of these names (`--domain`); empty: all.
    pub domains: Vec<Name>,
    /// What relative challenge names are relative to where the source does not say (`--base-domain`).
    pub base_domain: Option<Name>,
    /// What may be written.
    pub permission: Permission,
    /// How files are seen at web servers.
    pub web: web::Options,
    /// How long to wait.
    pub patience: Patience,
    /// `--dry-run`: show what would be written where, write nothing.
    pub dry_run: bool,
    /// `--no-wait`: publish, see the records, then leave.
    pub no_wait: bool,
    /// `--wait-negative`: a record counts as visible only once no resolver remembers that it was not there.
    pub wait_negative: bool,
    /// `--no-follow`: write at the challenge's own name, whatever CNAME stands there.
    pub no_follow: bool,
    /// `--keep-record`: records stay until `clean --all` or `record remove`.
    pub keep_record: bool,
    /// The folder of all certificates.
    pub out: PathBuf,
    /// `--name`: the folder name of the one order.
    pub name: Option<String>,
    /// Which certificate files, and for whom.
    pub form: delivery::Form,
    /// What runs after a delivery.
    pub hooks: Vec<Hook>,
    /// Whom to tell how orders ended.
    pub notices: Arc<Notices>,
    /// How long a hook, or a notice, may take.
    pub hook_timeout: Duration,
    /// Variables that hooks must not see.
    pub hidden_variables: Vec<String>,
    /// How many orders are worked on at the same time, where so many files may be open. 0: 2000, of a watch 200.
    pub parallel: usize,
}

impl Options {
    /// How many orders go at the same time: what `parallel` says, else `usual`, as far as so many files may be open.
    fn at_once(&self, usual: usize) -> usize {
        open_files::room_for_orders(if self.parallel == 0 { usual } else { self.parallel })
    }
}

/// How the user stops a run: `stop` asks it to end in order, `leave` to end at once.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// First Ctrl-C, or SIGTERM: withdraw what is ours, then end.
    pub stop: CancellationToken,
    /// Second Ctrl-C: end at once; the journal knows the rest.
    pub leave: CancellationToken,
    /// How long withdrawing may take after `stop`. 30 s for Ctrl-C, 8 s for SIGTERM; set before `stop` is cancelled.
    pub grace: Arc<std::sync::Mutex<Duration>>,
    /// Whether records are kept after `stop`, and the next start goes on with them: `watch` on SIGTERM. Set before `stop` is cancelled.
    pub keeps_records: Arc<AtomicBool>,
}

/// How long a call that changes something may go on after the user asked to stop: then its outcome is known, and it can be withdrawn.
const FINISH: Duration = Duration::from_secs(5);

impl Stop {
    /// Ends when the user has asked to stop, and what was under way then has had the time to end.
    pub(crate) async fn is_overdue(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(FINISH).await;
    }
}

/// What became of all orders of a run.
#[derive(Debug, Default)]
pub struct Summary {
    /// Each order with its outcome, in the order in which they were taken up.
    pub orders: Vec<(OrderId, Result<Outcome>)>,
    /// Whether `stop` or `leave` ended the run.
    pub interrupted: bool,
}

#[cfg(test)]
mod tests;
