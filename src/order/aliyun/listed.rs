//! Rows of CAS's lists, with what only the lists tell.

use jiff::Timestamp;

use super::reply::Fields;
use crate::order::{OrderId, OrderSummary};

/// A row of a list of the account's orders. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What every source lists.
    pub summary: OrderSummary,
    /// The instance that an order by OrderId belongs to: the same order under its id of 2018.
    pub instance: Option<OrderId>,
    /// When it was bought or begun, where the list tells that.
    pub created: Option<Timestamp>,
    /// When its certificate expires, where there is one; of an instance that is being renewed the old one.
    pub expires: Option<Timestamp>,
    /// The product of the package that it is out of (`symantec-dv-1-starter`).
    pub product: Option<String>,
    /// How many plain names and how many wildcards an instance takes, where the list tells that.
    pub capacity: Option<(u64, u64)>,
    /// The word for its certificate (`issued`, `revoked` …), which only instances have.
    pub certificate_state: Option<String>,
}

impl Listed {
    /// A row of which nothing more is known than its summary.
    pub(super) fn of(summary: OrderSummary) -> Self {
        Self { summary, instance: None, created: None, expires: None, product: None, capacity: None, certificate_state: None }
    }

    /// The same with what the fields of these names say: when it was begun (the first that is there), and when its certificate expires.
    pub(super) fn with_times(mut self, row: &Fields, created: &[&str], expires: &str) -> Self {
        self.created = created.iter().find_map(|name| row.time(name));
        self.expires = row.time(expires);
        self
    }
}
