//! ACME (RFC 8555) as an order source: accounts at any number of CAs, and the orders of this run.
//!
//! An order's id is made of the CA and the names, so that the same application is the same order for every run: locks, journal and resumption
//! go by it. The CA is asked for an order when that id is read for the first time, under the order's lock.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use instant_acme::CertificateIdentifier;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell};

pub use self::{account::Identity, directory::Ca, renewal_info::certificate_identifier, request::Request, state::Kept};
use self::{account::Opened, live::Live, state::Folder};
use super::{Bundle, Challenge, ChallengeKind, Generation, Listing, Order, OrderId, OrderSource, OrderState, source_of_account};
use crate::{
    error::{Error, ErrorKind, Result},
    http::Http,
    language::t,
    mutex::locked,
    name::Name,
    record::RecordType,
};

mod account;
mod directory;
mod failure;
mod http;
mod live;
mod renewal_info;
mod request;
mod state;

/// What the store calls the source of all ACME orders; their ids name the CA.
const ORIGIN: &str = "acme";

/// How soon after a change the next look at an order is worth it.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);

/// What the user says about the ACME CA and the account there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeOptions {
    /// The CA: a name that this program knows, or the URL of its directory (`--ca`).
    pub ca: Option<String>,
    /// The CA certificates that the ACME server's own certificate chains to, where they are not the system's (`--ca-file`).
    pub ca_file: Option<PathBuf>,
    /// Where the CA may write to (`--contact`).
    pub contact: Vec<String>,
    /// The id of the key of the external account binding (`--eab-key-id`).
    pub eab_key_id: Option<String>,
    /// The file with that key (`--eab-key-file`).
    pub eab_key_file: Option<PathBuf>,
    /// The kind of key that new certificates get (`--key-type`).
    pub key_type: KeyType,
    /// The CA's profile (`--profile`).
    pub profile: Option<String>,
}

/// The kind of key of a certificate. RSA keys are not made here: the crates of this program that make keys have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
}

/// A certificate that is applied for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The order's id ([`order_id`]).
    pub id: OrderId,
    /// Who is to issue it.
    pub ca: Ca,
    /// Its names.
    pub names: Vec<Name>,
    /// The kind of its key.
    pub key_type: KeyType,
    /// The CA's profile.
    pub profile: Option<String>,
    /// The user's own request, with the key elsewhere.
    pub request: Option<Request>,
    /// The certificate that it takes the place of.
    pub replaces: Option<CertificateIdentifier<'static>>,
    /// Those of its names that are proven by a file (http-01); the others are by a record (dns-01).
    pub by_file: Vec<Name>,
}

/// The id of the order for these names at this CA: the same for any order of the names, and for each renewal.
///
/// # Errors
/// `ErrorKind::Usage` where there are no names.
pub fn order_id(ca: &Ca, names: &[Name]) -> Result<OrderId> {
    let Some(first) = names.first() else { return Err(Error::usage(t!("a certificate needs a name"))) };
    let mut sorted: Vec<&str> = names.iter().map(Name::as_str).collect();
    sorted.sort_unstable();
    let mut text = ca.directory.to_string();
    for name in sorted {
        let _ = write!(text, "\n{name}");
    }
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text));
    let shown: String = first.as_str().replace('*', "_wildcard").chars().take(120).collect();
    OrderId::parse(&format!("{}-{shown}-{}", ca.label, &digest[..10]))
}

/// One CA of a run.
struct AtCa {
    ca: Ca,
    folder: Folder,
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

    fn at_ca(&self, ca: &Ca) -> Arc<AtCa> {
        let folder = || Folder::of(&self.settings.folder, ca);
        let new = || Arc::new(AtCa { ca: ca.clone(), folder: folder(), opened: OnceCell::new() });
        Arc::clone(locked(&self.cas).entry(ca.clone()).or_insert_with(new))
    }

    async fn opened<'a>(&self, at: &'a AtCa) -> Result<&'a Opened> {
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
            None => Live::make(account, http, &at.folder, wanted).await?,
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
            OrderState::Checking(wanted.names.iter().map(|name| unsaid_challenge(name, &wanted)).collect())
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

impl Wanted {
    /// As it is kept for renewals.
    fn kept(&self) -> Kept {
        Kept {
            id: self.id.clone(),
            names: self.names.clone(),
            key_type: self.key_type,
            profile: self.profile.clone(),
            csr: self.request.as_ref().map(|request| request.path.clone()),
        }
    }
}

/// The challenge that a name will have, before the CA has said its value.
fn unsaid_challenge(name: &Name, wanted: &Wanted) -> Challenge {
    let value = t!("(what the CA says for %{name})", name);
    if wanted.by_file.contains(name) { file(name.clone(), "TOKEN", value) } else { record(name.clone(), value) }
}

/// dns-01 (RFC 8555 section 8.4).
fn record(domain: Name, value: String) -> Challenge {
    Challenge {
        name: format!("_acme-challenge.{}", domain.base()),
        domain: Some(domain),
        root_domain: None,
        kind: ChallengeKind::Record(RecordType::Txt),
        value,
    }
}

/// The folder on web servers in which CAs look for files (RFC 8555 section 8.3).
pub(crate) const FILE_FOLDER: &str = "/.well-known/acme-challenge/";

/// http-01 (RFC 8555 section 8.3).
fn file(domain: Name, token: &str, content: String) -> Challenge {
    Challenge {
        name: format!("http://{domain}{FILE_FOLDER}{token}"),
        domain: Some(domain),
        root_domain: None,
        kind: ChallengeKind::File,
        value: content,
    }
}

/// What the state folder knows of one CA.
#[derive(Debug)]
pub struct Remembered {
    /// The CA.
    pub ca: Ca,
    /// Orders that are under way.
    pub under_way: Vec<Kept>,
    /// Certificates that were issued.
    pub issued: Vec<Kept>,
}

/// Every CA that the state folder knows. The CA file that it was registered with comes along by itself.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub fn remembered(folder: &Path) -> Result<Vec<Remembered>> {
    let mut all = Vec::new();
    for folder in Folder::all(folder) {
        if let Some(account) = folder.account()? {
            all.push(Remembered { ca: Ca::parse(&account.ca)?, under_way: folder.under_way()?, issued: folder.kept()? });
        }
    }
    Ok(all)
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

    #[test]
    fn the_same_application_is_the_same_order() {
        let names = |texts: &[&str]| texts.iter().map(|text| Name::parse(text).unwrap()).collect::<Vec<_>>();
        let ca = Ca::parse("letsencrypt").unwrap();
        let id = order_id(&ca, &names(&["example.com", "*.example.com"])).unwrap();
        assert!(id.as_str().starts_with("letsencrypt-example.com-"), "{id}");
        let other_order = order_id(&ca, &names(&["*.example.com", "example.com"])).unwrap();
        assert!(other_order.as_str().starts_with("letsencrypt-_wildcard.example.com-"), "{other_order}");
        let hash = |id: &OrderId| id.as_str().rsplit('-').next().unwrap().to_owned();
        assert_eq!(hash(&id), hash(&other_order));
        let elsewhere = order_id(&Ca::parse("letsencrypt-staging").unwrap(), &names(&["example.com", "*.example.com"])).unwrap();
        assert_ne!(hash(&id), hash(&elsewhere));
        assert_ne!(id, order_id(&ca, &names(&["example.com"])).unwrap());
        order_id(&ca, &[]).unwrap_err();
    }
}
