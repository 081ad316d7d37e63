//! Alibaba Cloud Certificate Management Service (CAS): three generations of its API behind one [`OrderSource`].

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use async_trait::async_trait;

pub use self::{
    account::Account,
    certificates::Stored,
    instance::LastApplication,
    keys::{KeyFolder, is_for_key, key_of_request},
    listed::Listed,
    options::{CasOptions, Signature},
};
use self::{
    api_2018::Extras,
    applying::{Free, Submitted},
    call::Site,
    client::{Client, Surroundings},
    credentials::CredentialChain,
    pace::Paces,
    polling::Waiting,
};
use super::{Generation, Listing, Order, OrderId, OrderSource, source_of_account};
use crate::{
    error::{Error, Result},
    http::Http,
    language::t,
    mutex::locked,
    name::Name,
    secret::Redactor,
};

mod account;
mod advice;
mod api_2018;
pub mod applying;
mod call;
mod certificates;
mod client;
pub mod credentials;
pub mod deploying;
mod diagnosis;
mod ending;
mod endpoint;
mod failure;
mod instance;
mod keys;
mod listed;
mod options;
mod order_2020;
mod pace;
mod polling;
mod reading;
mod reply;
mod signing;
mod words;

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
    /// The instances that applications may take.
    free: tokio::sync::Mutex<Option<Free>>,
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
    /// Instances that were submitted and do not show that yet.
    submitted: HashMap<OrderId, Submitted>,
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
        let paces = NonZeroU32::new(options.calls_per_second).map(Paces::per_second).ok_or_else(|| {
            Error::config(t!("no call per second is too slow")).with_hint(t!("allow at least one call per second"))
        })?;
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
            origin: source_of_account(&options.account, host),
            generations: options.generations,
            extras: Extras { lang: options.lang, source_ip: options.source_ip },
            keys: None,
            memory: Mutex::default(),
            looking_up: tokio::sync::Mutex::default(),
            free: tokio::sync::Mutex::default(),
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
        locked(&self.memory)
    }

    fn is_wanted(&self, generation: Generation) -> bool {
        self.generations.is_empty() || self.generations.contains(&generation)
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
        let order = self.after_submission(self.read_anew(id).await?).await?;
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

#[cfg(test)]
mod tests;
