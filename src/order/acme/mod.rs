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
use super::{Challenge, ChallengeKind, Generation, Listing, Order, OrderId, OrderSource, OrderState};
use crate::{
    error::{Error, ErrorKind, Result},
    http::Http,
    language::t,
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
    identity: Identity,
    opened: OnceCell<Opened>,
}

/// The orders of this run, at all their CAs.
pub struct Acme {
    cas: HashMap<Ca, AtCa>,
    wanted: HashMap<OrderId, Wanted>,
    live: Mutex<HashMap<OrderId, Arc<Mutex<Live>>>>,
    http: Http,
    /// Whether the CAs are not to be asked for anything.
    dry_run: bool,
}

impl Acme {
    /// A source of these orders. `folder` is where accounts, keys and what is under way are kept; `identity` says as whom to register.
    pub fn new(folder: &Path, http: Http, identity: impl Fn(&Ca) -> Identity, wanted: Vec<Wanted>, dry_run: bool) -> Self {
        let mut cas = HashMap::new();
        for Wanted { ca, .. } in &wanted {
            cas.entry(ca.clone()).or_insert_with(|| AtCa {
                ca: ca.clone(),
                folder: Folder::of(folder, ca),
                identity: identity(ca),
                opened: OnceCell::new(),
            });
        }
        let wanted = wanted.into_iter().map(|wanted| (wanted.id.clone(), wanted)).collect();
        Self { cas, wanted, live: Mutex::default(), http, dry_run }
    }

    /// Opens the accounts at all CAs, registering where there is none. Returns what a person should know.
    ///
    /// # Errors
    /// The first CA that cannot be reached, or does not want us.
    pub async fn open(&self) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for at in self.cas.values() {
            notes.extend(self.opened(at).await?.note.clone());
        }
        Ok(notes)
    }

    /// Whether an earlier run left this order under way.
    pub fn is_pending(&self, id: &OrderId) -> bool {
        self.at(id).is_ok_and(|(at, _)| at.folder.is_pending(id))
    }

    async fn opened<'a>(&self, at: &'a AtCa) -> Result<&'a Opened> {
        at.opened.get_or_try_init(|| account::open(&at.ca, &at.folder, &self.http, &at.identity)).await
    }

    fn at(&self, id: &OrderId) -> Result<(&AtCa, &Wanted)> {
        let unknown = || {
            Error::new(ErrorKind::UnknownOrder, t!("order `%{id}` is not one of this run", id))
                .with_hint(t!("`dv-verify apply` with the same names goes on with it"))
        };
        let wanted = self.wanted.get(id).ok_or_else(unknown)?;
        Ok((self.cas.get(&wanted.ca).ok_or_else(unknown)?, wanted))
    }

    /// The order at its CA, made where there is none.
    async fn live(&self, at: &AtCa, wanted: &Wanted) -> Result<Arc<Mutex<Live>>> {
        if let Some(live) = self.live.lock().await.get(&wanted.id) {
            return Ok(live.clone());
        }
        let opened = self.opened(at).await?;
        let live = Arc::new(Mutex::new(Live::open(&opened.account, &opened.http, &at.folder, wanted).await?));
        self.live.lock().await.insert(wanted.id.clone(), live.clone());
        Ok(live)
    }
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
        let (at, wanted) = self.at(id)?;
        let state = if self.dry_run {
            OrderState::Checking(wanted.names.iter().map(unsaid_challenge).collect())
        } else {
            let live = self.live(at, wanted).await?;
            let mut live = live.lock().await;
            live.look(&at.folder, wanted).await?
        };
        if matches!(state, OrderState::Failed { .. }) {
            // The next run begins a new order.
            self.live.lock().await.remove(id);
            at.folder.forget(id)?;
        }
        Ok(Order {
            id: id.clone(),
            generation: Generation::Acme,
            domains: wanted.names.clone(),
            state,
            certificate_id: None,
            note: None,
        })
    }

    async fn in_place(&self, order: &Order) -> Result<()> {
        let (at, wanted) = self.at(&order.id)?;
        let live = self.live(at, wanted).await?;
        let mut live = live.lock().await;
        live.tell().await
    }

    async fn delivered(&self, id: &OrderId) -> Result<()> {
        let (at, wanted) = self.at(id)?;
        at.folder.keep(&Kept {
            id: id.clone(),
            names: wanted.names.clone(),
            key_type: wanted.key_type,
            profile: wanted.profile.clone(),
            csr: wanted.request.as_ref().map(|request| request.path.clone()),
        })?;
        self.live.lock().await.remove(id);
        at.folder.forget(id)
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
        ORIGIN
    }
}

/// The challenge that a name will have, before the CA has said its value.
fn unsaid_challenge(name: &Name) -> Challenge {
    Challenge {
        domain: Some(name.clone()),
        root_domain: None,
        kind: ChallengeKind::Record(RecordType::Txt),
        name: format!("_acme-challenge.{}", name.base()),
        value: t!("(what the CA says for %{name})", name),
    }
}

/// Every CA that the state folder knows, with what is to be renewed there. The CA file that it was registered with comes along by itself.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub fn remembered(folder: &Path) -> Result<Vec<(Ca, Vec<Kept>)>> {
    let mut all = Vec::new();
    for folder in Folder::all(folder) {
        if let Some(account) = folder.account()? {
            all.push((Ca::parse(&account.ca)?, folder.kept()?));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

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
