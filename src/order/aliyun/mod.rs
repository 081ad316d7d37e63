//! Alibaba Cloud Certificate Management Service (CAS): three generations of its API behind one [`OrderSource`].

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use async_trait::async_trait;
use url::Url;

use self::{
    api_2018::Extras,
    client::{Client, Paces, Site, Surroundings},
    credentials::CredentialChain,
    polling::{Look, Waiting},
};
pub use self::{instance::KeySettings, keys::KeyFolder, listed::Listed};
use super::{Challenge, ChallengeKind, Generation, Listing, Order, OrderId, OrderSource, OrderState};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    http::Http,
    name::Name,
    secret::Redactor,
};

mod advice;
mod api_2018;
pub mod applying;
mod client;
pub mod credentials;
mod diagnosis;
mod ending;
mod endpoint;
mod failure;
mod instance;
mod keys;
mod listed;
mod order_2020;
mod polling;
mod reply;
mod signing;
mod words;

/// Which signature requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// RPC signature, HMAC-SHA1.
    V1,
    /// ACS3-HMAC-SHA256.
    V3,
}

impl Signature {
    /// The one that calls of this version carry where the user chose none: V3 for 2020-04-07, as the current SDKs send it; V1 for 2018-07-13,
    /// which is older than V3.
    fn usual(version: &str) -> Self {
        if version == api_2018::VERSION { Self::V1 } else { Self::V3 }
    }
}

/// How CAS is reached.
#[derive(Clone, Debug)]
pub struct CasOptions {
    /// The user's own name for the account (`--account`), where several share a store; empty: none.
    pub account: String,
    /// The generations to use; empty: `auto`.
    pub generations: Vec<Generation>,
    /// `--endpoint`: scheme, host and port; `None`: by `region`.
    pub endpoint: Option<Url>,
    /// The region (`--region`): `cn-hangzhou`, `ap-southeast-1`.
    pub region: Option<String>,
    /// The signature of all requests; `None`: V3 for 2020-04-07, V1 for 2018-07-13.
    pub signature: Option<Signature>,
    /// `Lang` of 2018 requests (`zh`, `en`).
    pub lang: Option<String>,
    /// `SourceIp` of 2018 requests.
    pub source_ip: Option<String>,
    /// Calls per second over all orders of this run; the documented limit of an account is 10.
    pub calls_per_second: u32,
}

impl Default for CasOptions {
    fn default() -> Self {
        Self {
            account: String::new(),
            generations: Vec::new(),
            endpoint: None,
            region: None,
            signature: None,
            lang: None,
            source_ip: None,
            calls_per_second: 10,
        }
    }
}

/// CAS as an order source. All orders of a run share one, and with it the account's request budget.
#[derive(Debug)]
pub struct Cas {
    client: Client,
    origin: String,
    /// The generations that the user wants; empty: all.
    generations: Vec<Generation>,
    extras: Extras,
    /// Where the keys are that were made here.
    keys: Option<KeyFolder>,
    /// What earlier calls taught.
    memory: Mutex<Memory>,
    /// Taken while the names of orders are looked up, so that many orders share one look-up.
    looking_up: tokio::sync::Mutex<()>,
    /// Orders that are waited for. Held while those that wait are listed, so that many orders share one list.
    waiting: tokio::sync::Mutex<HashMap<Generation, Waiting>>,
}

/// What is known of orders in this process.
#[derive(Debug, Default)]
struct Memory {
    /// The generation that each id was read or listed with.
    generations: HashMap<OrderId, Generation>,
    /// The names of orders by OrderId, which only the list tells. Empty where the list does not have the order.
    domains: HashMap<OrderId, Vec<Name>>,
    /// The certificates of orders whose keys were made here.
    own_keys: HashMap<OrderId, String>,
}

impl Cas {
    /// Prepares the client; calls nothing yet. Credentials are resolved for each call.
    ///
    /// # Errors
    /// `ErrorKind::Config` for an endpoint that is not https (or http to loopback) or has a path, for what is no region, and for a
    /// pace of no calls per second.
    pub fn new(options: CasOptions, credentials: CredentialChain, http: Http, redactor: Redactor) -> Result<Self> {
        Self::with_surroundings(options, credentials, http, redactor, Surroundings::default())
    }

    fn with_surroundings(
        options: CasOptions,
        credentials: CredentialChain,
        http: Http,
        redactor: Redactor,
        surroundings: Surroundings,
    ) -> Result<Self> {
        let endpoint = match &options.endpoint {
            Some(endpoint) => endpoint::explicit(endpoint)?,
            None => endpoint::of_region(options.region.as_deref())?,
        };
        let host = endpoint::authority(&endpoint);
        let paces = NonZeroU32::new(options.calls_per_second)
            .map(Paces::per_second)
            .ok_or_else(|| Error::config("no call per second is too slow").with_hint("allow at least one call per second"))?;
        let is_explicit = options.endpoint.is_some();
        let region = options.region.filter(|region| !is_explicit && !region.trim().is_empty());
        let is_china = !host.starts_with("cas.ap-") && region.as_deref().is_none_or(|region| region.starts_with("cn-"));
        let client = Client {
            http,
            endpoint,
            site: Site { host: host.clone(), region, is_explicit, is_china },
            signature: options.signature,
            credentials,
            redactor,
            surroundings,
            paces,
            sent: std::sync::Arc::default(),
            origin: Mutex::default(),
        };
        Ok(Self {
            client,
            // Orders of two accounts at one host are not read with one another's credentials, and have budgets of their own.
            origin: if options.account.is_empty() { host } else { format!("{}@{host}", options.account) },
            generations: options.generations,
            extras: Extras { lang: options.lang, source_ip: options.source_ip },
            keys: None,
            memory: Mutex::default(),
            looking_up: tokio::sync::Mutex::default(),
            waiting: tokio::sync::Mutex::default(),
        })
    }

    /// Shares the account's budget of calls with other machines.
    pub fn share_budget(&mut self, budget: std::sync::Arc<dyn crate::order::Budget>) {
        self.client.paces.share(budget);
    }

    /// Counts calls where another client of the same process does, so that the numbers go on when the configuration changes.
    pub fn count_with(&mut self, other: &Self) {
        self.client.sent = std::sync::Arc::clone(&other.client.sent);
    }

    /// The same source, which adds the keys in this folder to the certificates that were requested with them.
    #[must_use]
    pub fn with_keys(mut self, keys: KeyFolder) -> Self {
        self.keys = Some(keys);
        self
    }

    /// How many calls were sent so far, by action, every attempt counted; for `-v` and the benchmarks.
    pub fn calls(&self) -> Vec<(String, u64)> {
        self.client.calls()
    }

    /// Says which generation an order was read with before, so that the next read asks that one first.
    pub fn remember(&self, id: &OrderId, generation: Generation) {
        self.memory().generations.insert(id.clone(), generation);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_wanted(&self, generation: Generation) -> bool {
        self.generations.is_empty() || self.generations.contains(&generation)
    }

    /// The generations to ask for this id, in order; what worked before comes first.
    fn candidates(&self, id: &OrderId) -> Result<Vec<Generation>> {
        let mut candidates =
            if id.is_number() { vec![Generation::Order] } else { vec![Generation::Instance, Generation::Api2018] };
        candidates.retain(|generation| self.is_wanted(*generation));
        if let Some(known) = self.memory().generations.get(id).copied().filter(|known| self.is_wanted(*known)) {
            candidates.retain(|generation| *generation != known);
            candidates.insert(0, known);
        }
        if candidates.is_empty() {
            let wanted = self.generations.iter().map(|generation| generation.as_str()).collect::<Vec<_>>().join(",");
            let (shape, api) =
                if id.is_number() { ("an OrderId", "order") } else { ("an InstanceId", "instance` or `--api 2018") };
            return Err(Error::usage(format!("`{id}` is {shape}, which `--api {wanted}` does not know"))
                .with_hint(format!("use `--api {api}`, or leave `--api` out")));
        }
        Ok(candidates)
    }

    async fn read_with(&self, generation: Generation, id: &OrderId) -> Result<Order> {
        match generation {
            Generation::Instance => instance::read(&self.client, id).await,
            Generation::Acme => Err(Error::new(ErrorKind::UnknownOrder, format!("`{id}` is no order of CAS"))),
            Generation::Api2018 => api_2018::read(&self.client, id, &self.extras).await,
            Generation::Order => {
                let known = self.memory().domains.get(id).cloned();
                let mut order = order_2020::read(&self.client, id, known.as_deref().unwrap_or_default()).await?;
                if known.is_none() && waits_for_a_record(&order) {
                    order.domains = self.look_up_domains(id).await;
                }
                Ok(order)
            }
        }
    }

    /// The names of an order that is named by its OrderId: the reply to a read does not have them, and its record may be relative to
    /// them. Asked once per order, unless
    /// the failure may pass; where the list cannot be had, the order goes on without.
    async fn look_up_domains(&self, id: &OrderId) -> Vec<Name> {
        let _turn = self.looking_up.lock().await;
        if let Some(known) = self.memory().domains.get(id) {
            return known.clone();
        }
        let found = order_2020::list_checking(&self.client).await;
        let mut memory = self.memory();
        match found {
            Ok((rows, _)) => memory.domains.extend(rows.into_iter().map(|row| (row.summary.id, row.summary.domains))),
            Err(error) => {
                tracing::info!("the names of order `{id}` could not be looked up: {error}");
                if error.retry() != Retry::Never {
                    return Vec::new();
                }
            }
        }
        memory.domains.entry(id.clone()).or_default().clone()
    }

    /// Adds the key that was made here for a certificate that comes without one.
    fn add_key(&self, order: &mut Order) {
        if let (OrderState::Issued(bundle), Some(keys)) = (&mut order.state, &self.keys)
            && bundle.private_key.is_none()
            && let Some(key) = keys.of_certificate(&bundle.certificate)
        {
            bundle.private_key = Some(key);
            self.memory().own_keys.insert(order.id.clone(), bundle.certificate.clone());
        }
    }

    /// What one generation lists, and what of it failed.
    async fn list_with(&self, generation: Generation, seen: &mut HashSet<OrderId>) -> Result<(Vec<Listed>, Option<Error>)> {
        match generation {
            Generation::Instance => Ok((instance::list(&self.client, None).await?.0, None)),
            Generation::Acme => Ok((Vec::new(), None)),
            Generation::Api2018 => Ok((api_2018::list(&self.client, &self.extras).await?, None)),
            Generation::Order => {
                let (rows, failed) = order_2020::list(&self.client).await?;
                // The same order is listed by 2018 under the id of its instance.
                seen.extend(rows.iter().filter_map(|row| row.instance.clone()));
                let names = rows.iter().map(|row| (row.summary.id.clone(), row.summary.domains.clone()));
                self.memory().domains.extend(names);
                Ok((rows, failed))
            }
        }
    }
}

#[async_trait]
impl OrderSource for Cas {
    fn looks_by_itself(&self) -> bool {
        true
    }

    async fn list(&self) -> Result<Listing> {
        let account = self.account().await?;
        let orders = account.orders.into_iter().map(|row| row.summary).collect();
        Ok(Listing { orders, unanswered: account.unanswered })
    }

    async fn read(&self, id: &OrderId) -> Result<Order> {
        let known = self.memory().generations.get(id).copied().filter(|known| polling::can_be_listed(*known));
        let unmoved = match known {
            Some(generation) => self.unmoved(generation, id).await,
            None => None,
        };
        if let Some(order) = unmoved {
            return Ok(order);
        }
        let order = self.read_anew(id).await?;
        self.waiting.lock().await.entry(order.generation).or_default().read(&order, Instant::now());
        Ok(order)
    }

    async fn in_place(&self, _order: &Order) -> Result<()> {
        Ok(())
    }

    async fn delivered(&self, id: &OrderId) -> Result<()> {
        // The key lies beside its certificate now.
        if let (Some(keys), Some(certificate)) = (&self.keys, self.memory().own_keys.remove(id)) {
            keys.forget(&certificate);
        }
        Ok(())
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}

/// What the account holds.
#[derive(Debug, Default)]
pub struct Account {
    /// All orders of all pages.
    pub orders: Vec<Listed>,
    /// Generations that failed, with the reason.
    pub unanswered: Vec<(Generation, Error)>,
}

impl Cas {
    /// All orders of the account with what the lists tell of them, over all pages and generations asked for. Never uses an operation that returns
    /// private keys.
    ///
    /// # Errors
    /// Where no generation answers: the failure that says most.
    pub async fn account(&self) -> Result<Account> {
        let mut listing = Account::default();
        let mut seen = HashSet::new();
        let mut answered = false;
        for generation in LISTED.into_iter().filter(|generation| self.is_wanted(*generation)) {
            match self.list_with(generation, &mut seen).await {
                Ok((orders, failed)) => {
                    answered = true;
                    listing.unanswered.extend(failed.map(|error| (generation, error)));
                    for row in orders {
                        if seen.insert(row.summary.id.clone()) {
                            self.remember(&row.summary.id, row.summary.generation);
                            listing.orders.push(row);
                        }
                    }
                }
                Err(error) if concerns_every_call(&error) => return Err(error),
                Err(error) => listing.unanswered.push((generation, error)),
            }
        }
        if answered {
            return Ok(listing);
        }
        let failures = listing.unanswered.into_iter().map(|(_, error)| error).collect();
        Err(most_telling(failures).unwrap_or_else(|| Error::usage("no generation of the API is asked for")))
    }

    /// Whether the challenges of an order can be read without any risk that its private key comes along: only the operations of instances keep
    /// both apart.
    pub fn may_show_challenges(&self, row: &Listed) -> bool {
        row.summary.generation == Generation::Instance && words::normalized(&row.summary.state) == "pending"
    }

    /// The challenges of an instance that waits; none where it does not, or where they are not there yet.
    ///
    /// # Errors
    /// As [`OrderSource::read`].
    pub async fn challenges(&self, id: &OrderId) -> Result<Vec<Challenge>> {
        instance::challenges(&self.client, id).await
    }

    /// How the key of an instance was made last.
    ///
    /// # Errors
    /// As [`OrderSource::read`].
    pub async fn key_settings(&self, id: &OrderId) -> Result<KeySettings> {
        instance::key_settings(&self.client, id).await
    }

    /// The order as it was read last, where a list shows that it waits still.
    async fn unmoved(&self, generation: Generation, id: &OrderId) -> Option<Order> {
        let mut all = self.waiting.lock().await;
        let waiting = all.entry(generation).or_default();
        match waiting.look(id, Instant::now()) {
            Look::Read => return None,
            Look::Unmoved(order) => return Some(*order),
            Look::List => {}
        }
        let listed = match generation {
            Generation::Instance => instance::list(&self.client, Some("pending")).await,
            _ => order_2020::list_checking(&self.client).await,
        };
        match listed {
            Ok((rows, pages)) => {
                let ids = rows.into_iter().map(|row| row.summary.id).collect();
                waiting.listed(ids, pages, Instant::now());
            }
            // The order itself may still be read.
            Err(error) => {
                tracing::info!("the orders that wait could not be listed: {error}");
                return None;
            }
        }
        match waiting.look(id, Instant::now()) {
            Look::Unmoved(order) => Some(*order),
            Look::Read | Look::List => None,
        }
    }

    async fn read_anew(&self, id: &OrderId) -> Result<Order> {
        let candidates = self.candidates(id)?;
        let mut failures = Vec::new();
        for generation in &candidates {
            match self.read_with(*generation, id).await {
                Ok(mut order) => {
                    self.remember(id, *generation);
                    self.add_key(&mut order);
                    return Ok(order);
                }
                // A failure that may pass, or that meets every call, says nothing about where the order is.
                Err(error) if error.retry() != Retry::Never || concerns_every_call(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!("order `{id}` as `{generation}`: {error}");
                    failures.push(error);
                }
            }
        }
        let error = most_telling(failures).unwrap_or_else(|| Error::usage(format!("order `{id}` was not asked for")));
        if candidates.len() == 1 {
            return Err(error);
        }
        let asked = candidates.iter().map(|generation| generation.as_str()).collect::<Vec<_>>().join(" and ");
        Err(error.context(format!("asked as {asked}")))
    }
}

/// Whether the order waits for a DNS record.
fn waits_for_a_record(order: &Order) -> bool {
    matches!(&order.state, OrderState::Checking(challenges)
        if challenges.iter().any(|challenge| matches!(challenge.kind, ChallengeKind::Record(_))))
}

/// Whether another operation would meet the same failure: wrong credentials, or a wrong clock.
fn concerns_every_call(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Credentials | ErrorKind::Config)
}

/// Of several failures the one that helps most: missing rights before an unknown order, and that before what is not served.
fn most_telling(failures: Vec<Error>) -> Option<Error> {
    failures.into_iter().min_by_key(|error| match error.kind() {
        ErrorKind::Rights => 0,
        ErrorKind::UnknownOrder => 1,
        _ if failure::is_not_served(error) => 3,
        _ => 2,
    })
}

/// The order in which generations are listed; where two list the same id, the first counts, as it does in a read.
const LISTED: [Generation; 3] = [Generation::Instance, Generation::Order, Generation::Api2018];

#[cfg(test)]
mod tests;
