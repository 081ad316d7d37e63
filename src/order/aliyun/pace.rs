//! How fast calls are sent: the account's limits.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};

use crate::{error::Result, order::Budget};

/// The account's limits. The vendor states them for each operation: ten calls a second for those of orders, a hundred for certificates.
pub(super) struct Paces {
    orders: Pace,
    certificates: Pace,
}

impl Paces {
    /// A pace of this many calls per second, and ten times as many for certificates.
    pub(super) fn per_second(calls: NonZeroU32) -> Self {
        Self { orders: Pace::per_second(calls), certificates: Pace::per_second(calls.saturating_mul(TEN)) }
    }

    /// Shares the budget of calls about orders with other machines. Calls for certificates are few, and their limit is far away.
    pub(super) fn share(&mut self, budget: Arc<dyn Budget>) {
        self.orders.share(budget);
    }

    pub(super) fn of(&self, action: &str) -> &Pace {
        if action == super::instance::CERTIFICATE { &self.certificates } else { &self.orders }
    }
}

const TEN: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// Lets calls through one by one, evenly spaced, in the order in which they came.
pub(super) struct Pace {
    limiter: DefaultDirectRateLimiter,
    queue: tokio::sync::Mutex<()>,
    /// What is shared with other machines, where there are any.
    shared: Option<Arc<dyn Budget>>,
}

impl Pace {
    /// A pace of this many calls per second, less 2 %: the server counts arrivals, and those jitter.
    pub(super) fn per_second(calls: NonZeroU32) -> Self {
        let period = Duration::from_millis(1020) / calls.get();
        // The period is zero only for billions of calls per second, where no pace is meant.
        let quota = Quota::with_period(period).unwrap_or_else(|| Quota::per_second(calls));
        Self {
            limiter: RateLimiter::direct(quota.allow_burst(NonZeroU32::MIN)),
            queue: tokio::sync::Mutex::new(()),
            shared: None,
        }
    }

    /// Shares the budget with other machines.
    fn share(&mut self, budget: Arc<dyn Budget>) {
        self.shared = Some(budget);
    }

    pub(super) async fn turn(&self) -> Result<()> {
        // Tokio's mutex is fair, so callers get their turn first come, first served, and only one of them sleeps on the limiter.
        let _turn = self.queue.lock().await;
        while let Err(early) = self.limiter.check() {
            tokio::time::sleep(early.wait_time_from(DefaultClock::default().now())).await;
        }
        // Also one at a time, so that a machine with many orders stands in the common queue once, like the others.
        match &self.shared {
            Some(shared) => shared.turn().await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_lets_one_call_through_per_period() {
        let pace = Pace::per_second(NonZeroU32::new(10).unwrap());
        assert!(pace.limiter.check().is_ok());
        let early = pace.limiter.check().unwrap_err();
        let wait = early.wait_time_from(DefaultClock::default().now());
        assert!(wait > Duration::from_millis(50) && wait <= Duration::from_millis(102), "{wait:?}");
        Pace::per_second(NonZeroU32::MAX);
    }
}
