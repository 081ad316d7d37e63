//! What the account holds: every list of every generation.

use std::collections::HashSet;

use super::{
    Cas, api_2018, instance,
    instance::LastApplication,
    listed::Listed,
    order_2020,
    reading::{concerns_every_call, most_telling},
    words,
};
use crate::{
    error::{Error, Result},
    language::t,
    order::{Challenge, Generation, OrderId},
};

/// The order in which generations are listed; where two list the same id, the first counts, as it does in a read.
const LISTED: [Generation; 3] = [Generation::Instance, Generation::Order, Generation::Api2018];

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
        Err(most_telling(failures).unwrap_or_else(|| Error::usage(t!("no generation of the API is asked for"))))
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

    /// Whether the challenges of an order can be read without any risk that its private key comes along: only the operations of instances keep
    /// both apart.
    pub fn may_show_challenges(&self, row: &Listed) -> bool {
        row.summary.generation == Generation::Instance && words::normalized(&row.summary.state) == "pending"
    }

    /// The challenges of an instance that waits; none where it does not, or where they are not there yet.
    ///
    /// # Errors
    /// As [`crate::order::OrderSource::read`].
    pub async fn challenges(&self, id: &OrderId) -> Result<Vec<Challenge>> {
        instance::challenges(&self.client, id).await
    }

    /// How an instance was applied with last.
    ///
    /// # Errors
    /// As [`crate::order::OrderSource::read`].
    pub async fn last_application(&self, id: &OrderId) -> Result<LastApplication> {
        instance::last_application(&self.client, id).await
    }
}
