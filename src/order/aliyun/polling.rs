//! Many orders that wait, looked at with few calls: a page of a list shows the states of a hundred orders, so an order that has not moved there
//! is not read.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::order::{Generation, Order, OrderId, OrderState};

/// How many orders of a generation must be waited for before lists are used: fewer are read one by one, which shows a change of the challenge at
/// once.
const MANY: usize = 5;

/// How long an order counts as waited for after somebody looked at it.
const INTEREST: Duration = Duration::from_secs(120);

/// How long a list of one page is used. Each further page makes it longer, so that listing takes at most a small part of the account's calls.
const FRESH: Duration = Duration::from_secs(5);

/// How much longer a list is used for each page of it.
const FRESH_PER_PAGE: Duration = Duration::from_millis(500);

/// How often an order is read whatever the list says: its challenge may have been replaced (a value of DigiCert's is good for a day).
const REREAD: Duration = Duration::from_secs(300);

/// What is known of the orders of one generation that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    orders: HashMap<OrderId, Seen>,
    list: Option<List>,
}

/// An order as it was read last.
#[derive(Debug)]
struct Seen {
    order: Order,
    read: Instant,
    asked: Instant,
}

/// The ids that a list showed as waiting.
#[derive(Debug)]
struct List {
    waiting: HashSet<OrderId>,
    taken: Instant,
    pages: u32,
}

/// What to do for a look at an order.
#[derive(Debug)]
pub(super) enum Look {
    /// Read it.
    Read,
    /// List those that wait first, then decide again.
    List,
    /// It is as it was read last.
    Unmoved(Box<Order>),
}

impl Waiting {
    /// Decides how to look at an order.
    pub(super) fn look(&mut self, id: &OrderId, now: Instant) -> Look {
        let Some(seen) = self.orders.get_mut(id) else { return Look::Read };
        seen.asked = now;
        self.orders.retain(|_, seen| now.duration_since(seen.asked) < INTEREST);
        let Some(seen) = self.orders.get(id) else { return Look::Read };
        if self.orders.len() < MANY || now.duration_since(seen.read) >= REREAD {
            return Look::Read;
        }
        match &self.list {
            // A list from before the order was read last may not show it yet.
            Some(list) if list.is_fresh(now) && list.taken > seen.read => {
                if list.waiting.contains(id) {
                    Look::Unmoved(Box::new(seen.order.clone()))
                } else {
                    Look::Read
                }
            }
            _ => Look::List,
        }
    }

    /// Keeps what a list showed.
    pub(super) fn listed(&mut self, waiting: HashSet<OrderId>, pages: u32, now: Instant) {
        self.list = Some(List { waiting, taken: now, pages });
    }

    /// Keeps what was read. Only an order whose challenges are known, or that the CA reviews, can be told from a list not to have moved.
    pub(super) fn read(&mut self, order: &Order, now: Instant) {
        match order.state {
            OrderState::Checking(_) | OrderState::Reviewing => {
                self.orders.insert(order.id.clone(), Seen { order: order.clone(), read: now, asked: now });
            }
            _ => {
                self.orders.remove(&order.id);
            }
        }
    }
}

impl List {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.taken) < FRESH + FRESH_PER_PAGE * self.pages.saturating_sub(1)
    }
}

/// Whether a generation has a list that shows only what waits, and whose words can be trusted. The words of 2018 cannot.
pub(super) fn can_be_listed(generation: Generation) -> bool {
    matches!(generation, Generation::Instance | Generation::Order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Challenge, ChallengeKind};

    fn order(number: usize, state: OrderState) -> Order {
        Order { id: id(number), generation: Generation::Instance, domains: Vec::new(), state, certificate_id: None, note: None }
    }

    fn id(number: usize) -> OrderId {
        OrderId::parse(&format!("cas-cn-{number}")).unwrap()
    }

    fn checking() -> OrderState {
        OrderState::Checking(vec![Challenge {
            domain: None,
            root_domain: None,
            kind: ChallengeKind::File,
            name: "n".into(),
            value: "v".into(),
        }])
    }

    /// This many orders that were read at `start`.
    fn waiting(orders: usize, start: Instant) -> Waiting {
        let mut waiting = Waiting::default();
        (0..orders).for_each(|number| waiting.read(&order(number, checking()), start));
        waiting
    }

    #[test]
    fn few_orders_are_read_one_by_one() {
        let start = Instant::now();
        let mut waiting = waiting(MANY - 1, start);
        assert!(matches!(waiting.look(&id(0), start + Duration::from_secs(1)), Look::Read));
        assert!(matches!(waiting.look(&id(99), start), Look::Read), "what was never read is read");
    }

    #[test]
    fn one_list_serves_all_and_only_what_moved_is_read() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut waiting = waiting(MANY, start);
        assert!(matches!(waiting.look(&id(0), at(1)), Look::List));
        waiting.listed((0..MANY - 1).map(id).collect(), 1, at(1));
        for number in 0..MANY - 1 {
            assert!(matches!(waiting.look(&id(number), at(2)), Look::Unmoved(order) if order.id == id(number)));
        }
        assert!(matches!(waiting.look(&id(MANY - 1), at(2)), Look::Read), "it is no longer among those that wait");
        assert!(matches!(waiting.look(&id(0), at(6)), Look::List), "the list is old");
        // Of an order that was read after the list was taken, the list may not know yet.
        waiting.listed(HashSet::new(), 1, at(6));
        waiting.read(&order(1, OrderState::Reviewing), at(7));
        assert!(matches!(waiting.look(&id(1), at(8)), Look::List));
    }

    #[test]
    fn a_long_list_is_used_longer_and_challenges_are_read_again() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut waiting = waiting(MANY, start);
        waiting.listed((0..MANY).map(id).collect(), 51, at(1));
        assert!(matches!(waiting.look(&id(0), at(29)), Look::Unmoved(_)));
        assert!(matches!(waiting.look(&id(0), at(31)), Look::List));
        for step in (40..300).step_by(20) {
            waiting.listed((0..MANY).map(id).collect(), 1, at(step));
            (0..MANY).for_each(|number| assert!(matches!(waiting.look(&id(number), at(step + 1)), Look::Unmoved(_))));
        }
        assert!(matches!(waiting.look(&id(0), at(300)), Look::Read));
    }

    #[test]
    fn what_nobody_looks_at_does_not_count_and_what_has_no_challenge_yet_is_read() {
        let start = Instant::now();
        let mut waiting = waiting(MANY, start);
        assert!(matches!(waiting.look(&id(0), start + INTEREST), Look::Read), "the others are done or given up");
        waiting.read(&order(0, OrderState::Preparing), start + INTEREST);
        assert!(!waiting.orders.contains_key(&id(0)));
    }
}
