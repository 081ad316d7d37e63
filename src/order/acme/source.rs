//! The orders of one run, at any number of CAs, as an order source.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};

use super::{
    account::{self, Identity, Opened},
    challenge,
    directory::Ca,
    limits::Limits,
    live::Live,
    state::Folder,
    wanted::Wanted,
};
use crate::{
    error::{Error, ErrorKind, Result},
    http::Http,
    language::t,
    mutex::locked,
    name::Name,
    order::{Bundle, Generation, Listing, Order, OrderId, OrderSource, OrderState, source_of_account},
};

/// What the store calls the source of all ACME orders; their ids name the CA.
const ORIGIN: &str = "acme";

/// How soon after a change the next look at an order is worth it.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);

/// One CA of a run.
pub(super) struct AtCa {
    ca: Ca,
    folder: Folder,
    limits: Limits,
    opened: OnceCell<Opened>,
}

/// What is done when an order is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It is made where there is none.
    Apply,
    /// It is looked at where there is one, and what is over is forgotten.
    Look,
    /// The CAs are not asked for anything.
    Preview,
}

/// Orders at any number of CAs.
pub struct Acme {
    settings: AcmeSettings,
    cas: std::sync::Mutex<HashMap<Ca, Arc<AtCa>>>,
    wanted: std::sync::Mutex<HashMap<OrderId, Arc<Wanted>>>,
    live: Mutex<HashMap<OrderId, Arc<Mutex<Live>>>>,
    /// Certificates that were delivered before, of orders whose journey did not end.
    there: std::sync::Mutex<HashMap<OrderId, (Vec<Name>, Bundle)>>,
    manner: Manner,
}

/// What orders at ACME CAs need.
#[derive(Clone)]
pub struct AcmeSettings {
    /// What the store calls the source ([`origin`]).
    pub origin: String,
    /// Where accounts, keys and what is under way are kept.
    pub folder: PathBuf,
    /// As whom to register.
    pub identity: Identity,
    /// How the CAs are reached.
    pub http: Http,
}

/// What the store calls the source of ACME orders. Accounts at the CAs and orders belong to one machine, so in a store that machines share each
/// machine is a source of its own; `machine` is its name then. `account` is the user's name for the account of the run (`--account`), empty where
/// it has none: what is under way for each lies in a folder of its own, and none knows what the other's orders are for.
pub fn origin(account: &str, machine: Option<&str>) -> String {
    let source = machine.map_or_else(|| ORIGIN.to_owned(), |machine| format!("{ORIGIN}@{machine}"));
    source_of_account(account, source)
}

impl Acme {
    /// A source without orders.
    pub fn new(settings: AcmeSettings, manner: Manner) -> Self {
        Self {
            settings,
            cas: std::sync::Mutex::default(),
            wanted: std::sync::Mutex::default(),
            live: Mutex::default(),
            there: std::sync::Mutex::default(),
            manner,
        }
    }

    /// Makes an order known, or known anew.
    pub fn take_up(&self, wanted: Wanted) {
        locked(&self.wanted).insert(wanted.id.clone(), Arc::new(wanted));
    }

    /// Makes an order known whose certificate was delivered already, by a run that died before it had tidied up.
    pub fn take_up_delivered(&self, id: OrderId, names: Vec<Name>, bundle: Bundle) {
        locked(&self.there).insert(id, (names, bundle));
    }

    /// Whether an order is known.
    pub fn knows(&self, id: &OrderId) -> bool {
        locked(&self.wanted).contains_key(id) || locked(&self.there).contains_key(id)
    }

    /// At which CA an order is; `None` for one that is not known.
    pub fn ca_of(&self, id: &OrderId) -> Option<Ca> {
        locked(&self.wanted).get(id).map(|wanted| wanted.ca.clone())
    }

    /// Opens the account at a CA, registering where there is none. Returns what a person should know, the first time.
    ///
    /// # Errors
    /// The CA cannot be reached, or does not want us.
    pub async fn open(&self, ca: &Ca) -> Result<Option<String>> {
        let at = self.at_ca(ca);
        let was_open = at.opened.initialized();
        Ok(self.opened(&at).await?.note.clone().filter(|_| !was_open))
    }

    /// Whether an earlier run left this order under way.
    pub fn is_pending(&self, wanted: &Wanted) -> bool {
        self.at_ca(&wanted.ca).folder.is_pending(&wanted.id)
    }

    pub(super) fn at_ca(&self, ca: &Ca) -> Arc<AtCa> {
        let folder = || Folder::of(&self.settings.folder, ca);
        let new = || Arc::new(AtCa { ca: ca.clone(), folder: folder(), limits: Limits::default(), opened: OnceCell::new() });
        Arc::clone(locked(&self.cas).entry(ca.clone()).or_insert_with(new))
    }

    pub(super) async fn opened<'a>(&self, at: &'a AtCa) -> Result<&'a Opened> {
        let AcmeSettings { identity, http, .. } = &self.settings;
        at.opened.get_or_try_init(|| account::open(&at.ca, &at.folder, http, identity)).await
    }

    fn at(&self, id: &OrderId) -> Result<(Arc<AtCa>, Arc<Wanted>)> {
        let wanted = locked(&self.wanted).get(id).cloned().ok_or_else(|| unknown(id))?;
        Ok((self.at_ca(&wanted.ca), wanted))
    }

    /// The order at its CA, made where there is none.
    async fn live(&self, at: &AtCa, wanted: &Wanted) -> Result<Arc<Mutex<Live>>> {
        if let Some(live) = self.live.lock().await.get(&wanted.id) {
            return Ok(live.clone());
        }
        if self.manner == Manner::Look && !at.folder.is_pending(&wanted.id) {
            return Err(unknown(&wanted.id));
        }
        let Opened { account, http, .. } = self.opened(at).await?;
        let live = match Live::find(account, http, &at.folder, wanted).await? {
            Some(live) => live,
            None if self.manner == Manner::Look => return Err(unknown(&wanted.id)),
            None => at.limits.within(Live::make(account, http, &at.folder, wanted)).await?,
        };
        let live = Arc::new(Mutex::new(live));
        self.live.lock().await.insert(wanted.id.clone(), live.clone());
        Ok(live)
    }
}

fn unknown(id: &OrderId) -> Error {
    Error::new(ErrorKind::UnknownOrder, t!("order `%{id}` is not under way", id))
        .with_hint(t!("`dv-verify apply` with the same names goes on with it, or begins a new one"))
}

#[async_trait]
impl OrderSource for Acme {
    fn looks_by_itself(&self) -> bool {
        false
    }

    /// Nothing: ACME has no list of orders that CAs offer in practice (RFC 8555 section 7.1.2.1), and this program knows its own.
    async fn list(&self) -> Result<Listing> {
        Ok(Listing::default())
    }

    async fn read(&self, id: &OrderId) -> Result<Order> {
        let order = |domains, state| Order {
            id: id.clone(),
            generation: Generation::Acme,
            domains,
            state,
            certificate_id: None,
            note: None,
        };
        if let Some((names, bundle)) = locked(&self.there).get(id).cloned() {
            return Ok(order(names, OrderState::Issued(bundle)));
        }
        let (at, wanted) = self.at(id)?;
        let state = if self.manner == Manner::Preview {
            OrderState::Checking(wanted.names.iter().map(|name| challenge::unsaid(name, &wanted)).collect())
        } else {
            let live = self.live(&at, &wanted).await?;
            let mut live = live.lock().await;
            live.look(&at.folder, &wanted, self.manner).await?
        };
        if matches!(state, OrderState::Failed { .. }) {
            // The next run begins a new order.
            self.live.lock().await.remove(id);
            at.folder.forget(id)?;
        }
        Ok(order(wanted.names.clone(), state))
    }

    async fn in_place(&self, order: &Order) -> Result<()> {
        let (at, wanted) = self.at(&order.id)?;
        let live = self.live(&at, &wanted).await?;
        let mut live = live.lock().await;
        live.tell(&wanted).await
    }

    async fn delivered(&self, id: &OrderId) -> Result<()> {
        if locked(&self.there).remove(id).is_some() {
            return Ok(());
        }
        let (at, wanted) = self.at(id)?;
        at.folder.keep(&wanted.kept())?;
        self.live.lock().await.remove(id);
        at.folder.forget(id)?;
        // Whoever wants a newer one takes it up anew.
        locked(&self.wanted).remove(id);
        Ok(())
    }

    fn first_interval(&self) -> Duration {
        FIRST_INTERVAL
    }

    async fn pause(&self, id: &OrderId) -> Option<Duration> {
        let live = self.live.lock().await.get(id).cloned()?;
        let live = live.lock().await;
        live.pause()
    }

    fn origin(&self) -> &str {
        &self.settings.origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_machines_are_sources_of_their_own() {
        assert_eq!(origin("", None), "acme");
        assert_eq!(origin("", Some("a.example")), "acme@a.example");
        assert_eq!(origin("prod", None), "prod@acme");
        assert_eq!(origin("prod", Some("a.example")), "prod@acme@a.example");
    }
}
