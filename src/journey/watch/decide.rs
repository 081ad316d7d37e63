//! What `watch` decides: when an order is tried again, and when a provider is left alone. No I/O, no clock.

use std::time::Duration;

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    journey::event::Outcome,
    store::Settled,
};

/// The pause after the first failure of an order; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause between two attempts at an order.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How long an order that another run holds is left to it.
const LEFT_TO_ANOTHER: Duration = Duration::from_secs(30);

/// How long an order is left alone after `failures` failures in a row. `jitter`, from 0 to 1, spreads orders that failed together over a
/// quarter of the time.
pub(super) fn pause(failures: u32, asked: Retry, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    let spread = doubled.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0);
    match asked {
        Retry::After(asked) => spread.max(asked),
        Retry::Never | Retry::Later => spread,
    }
}

/// What becomes of an order after an attempt. `failures` are those before it.
pub(super) fn settled(outcome: &Result<Outcome>, failures: u32, jitter: f64) -> Settled {
    match outcome {
        Ok(Outcome::HeldByAnotherRun) => Settled::Later(LEFT_TO_ANOTHER),
        Ok(_) => Settled::Done,
        Err(error) => match error.kind() {
            ErrorKind::Refused | ErrorKind::UnknownOrder => Settled::Done,
            ErrorKind::Interrupted => Settled::Later(Duration::ZERO),
            ErrorKind::Held => Settled::Later(LEFT_TO_ANOTHER),
            // The CA is at it, and nothing failed: go on.
            ErrorKind::StillWaiting => Settled::Later(FIRST_PAUSE),
            _ => Settled::Failed { after: pause(failures, error.retry(), jitter), error: error.to_string() },
        },
    }
}

/// Failures in a row that open a breaker.
const THRESHOLD: u32 = 5;

/// How long a breaker stays open the first time; it doubles from there.
const FIRST_REST: Duration = Duration::from_secs(60);

/// The longest time that a breaker stays open.
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);

/// Leaves a provider, or an account, alone that fails again and again. Times are since any fixed moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    failures: u32,
    /// Until when nothing is let through; `None`: everything is.
    open_until: Option<Duration>,
    rest: Duration,
    /// Whether one call is under way that shows whether things are well again.
    is_trying: bool,
}

impl Breaker {
    /// Whether a call may go out now.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn admit(&mut self, now: Duration) -> std::result::Result<(), Duration> {
        match self.open_until {
            None => Ok(()),
            Some(until) if now < until => Err(until - now),
            // Where the one call never ended (its order was cancelled), the next may try after another rest.
            Some(until) if self.is_trying && now < until + self.rest => Err(until + self.rest - now),
            Some(_) => {
                self.is_trying = true;
                Ok(())
            }
        }
    }

    /// Takes note of how a call went. True where the breaker opened because of it.
    pub(super) fn note(&mut self, went_well: bool, now: Duration) -> bool {
        if went_well {
            *self = Self::default();
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let was_trying = std::mem::take(&mut self.is_trying);
        if self.failures < THRESHOLD || self.open_until.is_some() && !was_trying {
            return false;
        }
        self.rest = if self.rest.is_zero() { FIRST_REST } else { (self.rest * 2).min(LONGEST_REST) };
        self.open_until = Some(now + self.rest);
        true
    }
}

/// Whether an error is about the provider or the account as a whole, not about one order.
pub(super) fn concerns_all(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Provider | ErrorKind::OrderSource => {
            error.retry() != Retry::Never || error.http_status().is_some_and(|status| status >= 500)
        }
        ErrorKind::Credentials => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_to_an_hour_and_the_other_side_may_ask_for_more() {
        let pauses: Vec<u64> = (0..9).map(|failures| pause(failures, Retry::Later, 0.0).as_secs()).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(pause(u32::MAX, Retry::Never, 1.0), Duration::from_secs(4500));
        assert_eq!(pause(0, Retry::After(SECOND * 300), 0.0), SECOND * 300);
        assert_eq!(pause(3, Retry::After(SECOND), 0.0), SECOND * 240);
    }

    #[test]
    fn failures_are_tried_again_and_ends_are_ends() {
        let failed = |kind| settled(&Err(Error::new(kind, "x")), 1, 0.0);
        assert_eq!(failed(ErrorKind::Provider), Settled::Failed { after: SECOND * 60, error: "x".into() });
        assert_eq!(failed(ErrorKind::Store), Settled::Failed { after: SECOND * 60, error: "x".into() });
        assert_eq!(failed(ErrorKind::Refused), Settled::Done);
        assert_eq!(failed(ErrorKind::Interrupted), Settled::Later(Duration::ZERO));
        assert_eq!(failed(ErrorKind::Held), Settled::Later(SECOND * 30));
        assert_eq!(settled(&Ok(Outcome::NothingToDo), 7, 0.0), Settled::Done);
        assert_eq!(settled(&Ok(Outcome::HeldByAnotherRun), 7, 0.0), Settled::Later(SECOND * 30));
    }

    #[test]
    fn a_breaker_opens_after_five_failures_lets_one_try_and_closes_when_that_goes_well() {
        let mut breaker = Breaker::default();
        for second in 0..4 {
            assert!(!breaker.note(false, SECOND * second));
            assert_eq!(breaker.admit(SECOND * second), Ok(()));
        }
        assert!(breaker.note(false, SECOND * 10));
        assert_eq!(breaker.admit(SECOND * 30), Err(SECOND * 40));
        // A call from before that ends late does not make the rest longer.
        assert!(!breaker.note(false, SECOND * 30));
        assert_eq!(breaker.admit(SECOND * 70), Ok(()));
        assert!(breaker.admit(SECOND * 71).is_err(), "one at a time");
        assert!(breaker.note(false, SECOND * 75));
        assert_eq!(breaker.admit(SECOND * 75), Err(SECOND * 120), "twice as long");
        assert_eq!(breaker.admit(SECOND * 195), Ok(()));
        assert!(!breaker.note(true, SECOND * 196));
        assert_eq!(breaker, Breaker::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
        #[test]
        fn a_breaker_never_stays_shut_for_longer_than_two_rests(steps in prop::collection::vec((0..3u8, 0..2000u64), 1..60)) {
            let (mut breaker, mut now) = (Breaker::default(), Duration::ZERO);
            for (what, seconds) in steps {
                now += SECOND * u32::try_from(seconds).unwrap();
                match what {
                    0 => { breaker.note(true, now); }
                    1 => { breaker.note(false, now); }
                    _ => if let Err(wait) = breaker.admit(now) {
                        prop_assert!(wait <= LONGEST_REST * 2);
                        let mut later = breaker.clone();
                        prop_assert_eq!(later.admit(now + wait), Ok(()));
                    }
                }
            }
        }
    }
}
