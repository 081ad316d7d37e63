//! New orders at a CA that has said "too many" (RFC 8555 section 6.6). What it says to one order of a run, the others need not find out one by one.

use std::{
    sync::Mutex as PlainMutex,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, MutexGuard};

use super::failure;
use crate::{
    error::{Error, Result, Retry},
    mutex::locked,
};

/// The longest pause that is the matter of all orders. A limit of an account's new orders gives way within seconds; those of single names take
/// hours, and another order need not care. Where this is taken wrongly, an order waits a minute too long.
const SHARED: Duration = Duration::from_secs(60);

/// How long after a refusal new orders are made one after another: who is next hears of a refusal before asking.
const ONE_BY_ONE: Duration = Duration::from_secs(60 * 60);

/// The limits of one CA, as far as they were met.
#[derive(Default)]
pub(super) struct Limits {
    met: PlainMutex<Option<Met>>,
    turn: Mutex<()>,
}

/// The last refusal.
struct Met {
    at: Instant,
    /// Until when nobody need ask.
    until: Instant,
    /// What the CA said.
    said: String,
}

impl Limits {
    /// Makes an order with `make`, when it is this order's turn.
    ///
    /// # Errors
    /// What `make` says; what the CA said to another order, where it wants to be left alone still.
    pub(super) async fn within<T>(&self, make: impl Future<Output = Result<T>>) -> Result<T> {
        let _turn = self.turn().await;
        if let Some(error) = self.refusal(Instant::now()) {
            return Err(error);
        }
        let outcome = make.await;
        if let Err(error) = &outcome {
            self.keep(error, Instant::now());
        }
        outcome
    }

    /// Waits for the turn; everybody has it as long as no limit was met.
    async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        let one_by_one = locked(&self.met).as_ref().is_some_and(|met| met.at.elapsed() < ONE_BY_ONE);
        if one_by_one { Some(self.turn.lock().await) } else { None }
    }

    /// Keeps what counts for all.
    fn keep(&self, error: &Error, now: Instant) {
        let Retry::After(pause) = error.retry() else { return };
        if error.code() == Some(failure::RATE_LIMITED) {
            let shared = if pause <= SHARED { pause } else { Duration::ZERO };
            *locked(&self.met) = Some(Met { at: now, until: now + shared, said: error.message().to_owned() });
        }
    }

    /// How the CA refuses whoever asks now.
    fn refusal(&self, now: Instant) -> Option<Error> {
        let met = locked(&self.met);
        let met = met.as_ref().filter(|met| met.until > now)?;
        Some(failure::rate_limited(met.said.clone(), met.until - now))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::error::ErrorKind;

    fn limited(pause: u64) -> Error {
        failure::rate_limited("the CA takes no more for now: too many new orders".to_owned(), Duration::from_secs(pause))
    }

    /// The first order of many is refused; the others hear of it without asking.
    #[tokio::test]
    async fn what_one_order_hears_the_others_need_not_ask() {
        let (limits, asked) = (Limits::default(), AtomicUsize::new(0));
        let first: Result<()> = limits.within(async { Err(limited(30)) }).await;
        first.unwrap_err();
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        for outcome in join_all((0..100).map(|_| limits.within(ask()))).await {
            let error = outcome.unwrap_err();
            let Retry::After(pause) = error.retry() else { panic!("{error:?}") };
            assert!(pause <= Duration::from_secs(30) && pause > Duration::from_secs(20), "{pause:?}");
            assert_eq!(error.kind(), ErrorKind::StillWaiting);
            assert!(error.to_string().contains("too many new orders"), "{error}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    /// After the pause one order is taken and the next refused: two questions, however many wait.
    #[tokio::test]
    async fn after_the_pause_they_ask_one_after_another() {
        let (limits, asked) = (Limits::default(), AtomicUsize::new(0));
        limits.keep(&limited(30), Instant::now());
        locked(&limits.met).as_mut().unwrap().until = Instant::now();
        let ask = || async {
            // As a call does: the others go on meanwhile.
            tokio::task::yield_now().await;
            if asked.fetch_add(1, Ordering::Relaxed) == 0 { Ok(()) } else { Err(limited(30)) }
        };
        let outcomes = join_all((0..100).map(|_| limits.within(ask()))).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    /// Let's Encrypt refuses the sixth certificate for the same names for more than a day; other names are no matter of that.
    #[tokio::test]
    async fn a_long_limit_is_the_matter_of_its_order_alone() {
        let limits = Limits::default();
        let refused: Result<()> = limits.within(async { Err(limited(120_000)) }).await;
        refused.unwrap_err();
        limits.within(async { Ok(()) }).await.unwrap();
        let other = Error::new(ErrorKind::OrderSource, "busy").with_retry(Retry::After(Duration::from_secs(5)));
        let failed: Result<()> = limits.within(async { Err(other) }).await;
        failed.unwrap_err();
        limits.within(async { Ok(()) }).await.unwrap();
    }
}
