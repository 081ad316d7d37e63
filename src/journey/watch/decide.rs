//! What `watch` decides: when an order is tried again, and when a provider is left alone. No I/O, no clock.

use std::time::Duration;

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    journey::event::Outcome,
    store::{Backlog, Settled},
};

/// The pause after the first failure of an order; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause between two attempts at an order.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How long an order that another run holds is left to it where its lock ends with that run.
const LEFT_TO_ANOTHER: Duration = Duration::from_secs(30);

/// How long an order is left alone after `failures` failures in a row. `jitter`, from 0 to 1, spreads orders that failed together over a
/// quarter of the time.
pub(super) fn pause(failures: u32, jitter: f64) -> Duration {
    spread(FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE), jitter)
}

pub(super) fn spread(pause: Duration, jitter: f64) -> Duration {
    pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}

/// How many more orders a machine takes up. Machines share what there is evenly; `carried` are those that it has, `at_once` is how many it
/// has at most. What is overdue has waited for machines that are full, or cannot work: it goes round among the others, beyond their share.
pub(super) fn share(backlog: &Backlog, carried: usize, at_once: usize) -> usize {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let part = |number: u64| size(number.div_ceil(backlog.watchers.max(1)));
    let more = part(backlog.claimed + backlog.due).saturating_sub(carried).max(part(backlog.overdue));
    more.min(at_once.saturating_sub(carried)).min(size(backlog.due))
}

/// How long to wait from one listing to the next. A list of many pages uses up calls that orders need, so it gets a twentieth of the time.
pub(super) fn listing_pause(interval: Duration, took: Duration) -> Duration {
    interval.max(took.saturating_mul(20).min(LONGEST_PAUSE))
}

/// What becomes of an order after an attempt. `failures` are those before it; `lease` is how long a machine that is lost keeps its locks: it may
/// have had the order a moment ago, and its lock outlasts its claim by so much at most.
pub(super) fn settled(outcome: &Result<Outcome>, failures: u32, lease: Option<Duration>, jitter: f64) -> Settled {
    let left_to_another = lease.unwrap_or(LEFT_TO_ANOTHER);
    match outcome {
        Ok(Outcome::HeldByAnotherRun) => Settled::Later(left_to_another),
        Ok(Outcome::LeftWaiting) => Settled::Later(Duration::ZERO),
        Ok(_) => Settled::Done,
        Err(error) => match (error.kind(), error.retry()) {
            (ErrorKind::Refused | ErrorKind::UnknownOrder, _) => Settled::Done,
            (ErrorKind::Interrupted, _) => Settled::Later(Duration::ZERO),
            (ErrorKind::Held, _) => Settled::Later(left_to_another),
            // The CA is at it, and nothing failed: go on.
            (ErrorKind::StillWaiting, _) => Settled::Later(FIRST_PAUSE),
            // All orders are asked to wait: that is no failure of this one, and its own pause does not grow. A service that asks for
            // short waits again and again meets the breaker.
            (_, Retry::After(asked)) => {
                Settled::Failed { after: spread(asked.max(FIRST_PAUSE), jitter), error: error.to_string(), counts: false }
            }
            _ => Settled::Failed { after: pause(failures, jitter), error: error.to_string(), counts: true },
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
            Some(until) if now < until => Err(until.saturating_sub(now)),
            // Where the one call never ended (its order was cancelled), the next may try after another rest.
            Some(until) if self.is_trying && now < until + self.rest => Err((until + self.rest).saturating_sub(now)),
            Some(_) => {
                self.is_trying = true;
                Ok(())
            }
        }
    }

    /// How many orders may be taken up of those that `at_once` leaves room for: none while calls are turned away, one where the next call tries
    /// whether things are well again. The others would meet the breaker, and rest, though another machine may be better off.
    pub(super) fn room(&self, now: Duration, carried: usize, at_once: usize) -> usize {
        match self.open_until {
            None => at_once,
            Some(until) if now < until || self.is_trying => 0,
            Some(_) => at_once.min(carried + 1),
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
    fn pauses_double_to_an_hour() {
        let pauses: Vec<u64> = (0..12).map(|failures| pause(failures, 0.0).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_secs(4500));
    }

    #[test]
    fn machines_share_evenly_and_nobody_waits_for_one_that_is_full() {
        let backlog = |claimed, due, watchers| Backlog { claimed, due, watchers, ..Backlog::default() };
        assert_eq!(share(&backlog(0, 100, 1), 0, 200), 100);
        assert_eq!(share(&backlog(0, 100, 4), 0, 200), 25);
        assert_eq!(share(&backlog(25, 75, 4), 25, 200), 0, "the rest is for the others");
        assert_eq!(share(&backlog(100, 0, 4), 25, 200), 0);
        assert_eq!(share(&backlog(0, 1000, 2), 150, 200), 50);
        assert_eq!(share(&backlog(0, 3, 4), 0, 200), 1);
        // Three hang here, the other machine has one and room for no other: the next does not wait until they are done.
        assert_eq!(share(&Backlog { overdue: 0, ..backlog(4, 1, 2) }, 3, 200), 0);
        assert_eq!(share(&Backlog { overdue: 1, ..backlog(4, 1, 2) }, 3, 200), 1);
        assert_eq!(share(&Backlog { overdue: 1, ..backlog(4, 1, 2) }, 3, 3), 0, "but not beyond what it has room for");
        assert_eq!(share(&Backlog { overdue: 9, ..backlog(400, 9, 2) }, 200, 400), 5, "each takes a part");
        // The other machine has one and takes no more; this one ends with all of the rest.
        let (mut due, mut done) = (100, 0);
        for _ in 0..20 {
            let more = share(&backlog(1, due, 2), 0, 200) as u64;
            assert!(more > 0 || due == 0);
            (due, done) = (due - more, done + more);
        }
        assert_eq!((due, done), (0, 100));
    }

    #[test]
    fn a_long_list_is_asked_for_less_often() {
        assert_eq!(listing_pause(SECOND * 60, SECOND), SECOND * 60);
        assert_eq!(listing_pause(SECOND * 60, SECOND * 20), SECOND * 400);
        assert_eq!(listing_pause(SECOND * 60, SECOND * 600), SECOND * 3600);
    }

    #[test]
    fn failures_are_tried_again_and_ends_are_ends() {
        let failed = |kind| settled(&Err(Error::new(kind, "x")), 1, None, 0.0);
        let counted = |after| Settled::Failed { after, error: "x".into(), counts: true };
        assert_eq!(failed(ErrorKind::Provider), counted(SECOND * 10));
        assert_eq!(failed(ErrorKind::Store), counted(SECOND * 10));
        let asked = Error::new(ErrorKind::Provider, "x").with_retry(Retry::After(SECOND * 300));
        let turned_away = Settled::Failed { after: SECOND * 300, error: "x".into(), counts: false };
        assert_eq!(settled(&Err(asked), 9, None, 0.0), turned_away);
        assert_eq!(settled(&Ok(Outcome::LeftWaiting), 7, None, 0.0), Settled::Later(Duration::ZERO));
        assert_eq!(failed(ErrorKind::Refused), Settled::Done);
        assert_eq!(failed(ErrorKind::Interrupted), Settled::Later(Duration::ZERO));
        assert_eq!(failed(ErrorKind::Held), Settled::Later(SECOND * 30));
        assert_eq!(settled(&Ok(Outcome::NothingToDo), 7, None, 0.0), Settled::Done);
        assert_eq!(settled(&Ok(Outcome::HeldByAnotherRun), 7, None, 0.0), Settled::Later(SECOND * 30));
        assert_eq!(settled(&Ok(Outcome::HeldByAnotherRun), 7, Some(SECOND), 0.0), Settled::Later(SECOND));
    }

    #[test]
    fn a_breaker_opens_after_five_failures_lets_one_try_and_closes_when_that_goes_well() {
        let mut breaker = Breaker::default();
        for second in 0..4 {
            assert!(!breaker.note(false, SECOND * second));
            assert_eq!(breaker.admit(SECOND * second), Ok(()));
        }
        assert_eq!(breaker.room(SECOND * 4, 7, 200), 200);
        assert!(breaker.note(false, SECOND * 10));
        assert_eq!((breaker.room(SECOND * 69, 7, 200), breaker.room(SECOND * 70, 7, 200)), (0, 8));
        assert_eq!(breaker.admit(SECOND * 30), Err(SECOND * 40));
        // A call from before that ends late does not make the rest longer.
        assert!(!breaker.note(false, SECOND * 30));
        assert_eq!(breaker.admit(SECOND * 70), Ok(()));
        assert!(breaker.admit(SECOND * 71).is_err(), "one at a time");
        assert_eq!(breaker.room(SECOND * 71, 7, 200), 0);
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
