//! Counters by name.

use std::{collections::BTreeMap, sync::Mutex};

use super::locked;

/// Counts how often things happened, by what they were.
#[derive(Default)]
pub(super) struct Counter(Mutex<BTreeMap<String, u64>>);

impl Counter {
    /// One more of this.
    pub(super) fn count(&self, what: String) {
        *locked(&self.0).entry(what).or_default() += 1;
    }

    /// All counts so far.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        locked(&self.0).clone()
    }
}
