//! What orders wait for at names, and what was seen there.

use std::{
    cmp::Reverse,
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{OrderBook, kinds::Validation};
use crate::name::Name;

/// What the authorities show at a name: only what all of them show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sandbox) struct Seen {
    /// TXT values.
    pub(in crate::sandbox) texts: HashSet<String>,
    /// CNAME targets, without the final dot.
    pub(in crate::sandbox) aliases: HashSet<String>,
    /// What the web server of that name shows as the file of the file check.
    pub(in crate::sandbox) file: Option<String>,
}

/// The types of records that orders wait for at a name.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sandbox) struct Wanted {
    /// TXT.
    pub(in crate::sandbox) texts: bool,
    /// CNAME.
    pub(in crate::sandbox) aliases: bool,
    /// No record, but a file on the web server.
    pub(in crate::sandbox) files: bool,
}

impl OrderBook {
    /// Whether an order waits for a record at this name.
    pub(in crate::sandbox) fn waits_for(&self, name: &Name) -> bool {
        self.waiting.get(name).is_some_and(|orders| !orders.is_empty())
    }

    /// The names that orders wait for.
    pub(in crate::sandbox) fn awaited_names(&self) -> impl Iterator<Item = &Name> {
        self.waiting.keys()
    }

    /// What the orders that wait for this name want to see there.
    pub(in crate::sandbox) fn wanted_at(&self, name: &Name) -> Wanted {
        let mut wanted = Wanted::default();
        for index in self.waiting.get(name).into_iter().flatten() {
            match self.orders[*index].traits.validation {
                Validation::Txt => wanted.texts = true,
                Validation::Cname => wanted.aliases = true,
                Validation::File => wanted.files = true,
            }
        }
        wanted
    }

    /// Notes what the authorities show at a name. An order of which every challenge was seen is due after `issue_delay`.
    pub(in crate::sandbox) fn saw(&mut self, name: &Name, seen: &Seen, now: Instant, issue_delay: Duration) {
        let waiting: Vec<usize> = self.waiting.get(name).into_iter().flatten().copied().collect();
        for index in waiting {
            let order = &mut self.orders[index];
            if now < order.challenge_at {
                continue;
            }
            let validation = order.traits.validation;
            for challenge in order.challenges.iter_mut().filter(|challenge| challenge.name == *name) {
                challenge.seen |= match validation {
                    Validation::Txt => seen.texts.contains(&challenge.value),
                    Validation::Cname => seen.aliases.contains(&challenge.value),
                    Validation::File => seen.file.as_ref() == Some(&challenge.value),
                };
            }
            if order.waits() && order.challenges.iter().all(|challenge| challenge.seen) {
                order.issue_at = Some(now + issue_delay);
                self.due.push(Reverse((now + issue_delay, index)));
                self.stop_waiting(index);
            }
        }
    }

    pub(super) fn wait(&mut self, index: usize) {
        if !self.orders[index].waits() {
            return;
        }
        for challenge in &self.orders[index].challenges {
            self.waiting.entry(challenge.name.clone()).or_default().insert(index);
        }
    }

    pub(super) fn stop_waiting(&mut self, index: usize) {
        for challenge in &self.orders[index].challenges {
            if let Some(orders) = self.waiting.get_mut(&challenge.name) {
                orders.remove(&index);
                if orders.is_empty() {
                    self.waiting.remove(&challenge.name);
                }
            }
        }
    }
}
