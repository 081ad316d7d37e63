//! When a certificate whose renewal was tried is tried again: decisions without I/O.

use std::{collections::HashMap, time::Duration};

use super::decide::{pause, spread};
use crate::{
    error::{Error, ErrorKind, Retry},
    order::OrderId,
};

/// How long a certificate that was applied for is left to its order.
const LEFT_TO_ORDER: Duration = Duration::from_secs(60 * 60);

/// How long a certificate that has just come is left alone, whatever the clock and its dates say: a machine whose clock is wrong must not use up
/// the CA.
const NEW: Duration = Duration::from_secs(10 * 60);

/// The pause after the CA refused an order for the first time; it doubles from there. CAs count failures: Let's Encrypt takes five in an hour.
const FIRST_REFUSED: Duration = Duration::from_secs(15 * 60);

/// The longest pause after a refusal.
const LONGEST_REFUSED: Duration = Duration::from_secs(24 * 60 * 60);

/// What was tried for which certificate. Times are since any fixed moment. Forgotten when the process ends, or reads its configuration again:
/// then everything is tried once more.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_certificate: HashMap<OrderId, Attempt>,
    /// The certificate that an order renews.
    renewed_by: HashMap<OrderId, OrderId>,
}

#[derive(Debug, Default)]
struct Attempt {
    /// Failures in a row.
    failures: u32,
    /// Refusals in a row.
    refusals: u32,
    /// Until when it is left alone.
    until: Duration,
}

impl Attempts {
    /// Whether the certificate is left alone for now.
    pub(super) fn rests(&self, certificate: &OrderId, now: Duration) -> bool {
        self.by_certificate.get(certificate).is_some_and(|attempt| now < attempt.until)
    }

    /// It was applied for: its order has some time. Only where that comes to nothing unnoticed it is looked at again.
    pub(super) fn applied(&mut self, certificate: &OrderId, order: &OrderId, now: Duration) {
        let attempt = self.by_certificate.entry(certificate.clone()).or_default();
        (attempt.failures, attempt.until) = (0, now + LEFT_TO_ORDER);
        self.renewed_by.insert(order.clone(), certificate.clone());
    }

    /// It could not be applied for. `jitter`, from 0 to 1, spreads certificates that failed together.
    pub(super) fn failed(&mut self, certificate: &OrderId, error: &Error, now: Duration, jitter: f64) {
        let attempt = self.by_certificate.entry(certificate.clone()).or_default();
        let rest = match (error.kind(), error.retry()) {
            (ErrorKind::Refused, _) => attempt.next_refusal(jitter),
            (_, Retry::After(asked)) => spread(asked.max(pause(0, 0.0)), jitter),
            _ => {
                let rest = pause(attempt.failures, jitter);
                attempt.failures = attempt.failures.saturating_add(1);
                rest
            }
        };
        attempt.until = now + rest;
    }

    /// The CA refused the order.
    pub(super) fn refused(&mut self, order: &OrderId, now: Duration, jitter: f64) {
        let certificate = self.renewed_by.remove(order).unwrap_or_else(|| order.clone());
        let attempt = self.by_certificate.entry(certificate).or_default();
        attempt.until = now + attempt.next_refusal(jitter);
    }

    /// The new certificate is on disk, where it is known by its own order from now on.
    pub(super) fn done(&mut self, order: &OrderId, now: Duration) {
        if let Some(certificate) = self.renewed_by.remove(order) {
            self.by_certificate.remove(&certificate);
        }
        self.by_certificate.insert(order.clone(), Attempt { until: now + NEW, ..Attempt::default() });
        self.by_certificate.retain(|_, attempt| attempt.failures + attempt.refusals > 0 || attempt.until > now);
    }
}

impl Attempt {
    fn next_refusal(&mut self, jitter: f64) -> Duration {
        let rest = FIRST_REFUSED.saturating_mul(1 << self.refusals.min(10)).min(LONGEST_REFUSED);
        self.refusals = self.refusals.saturating_add(1);
        spread(rest, jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(text: &str) -> OrderId {
        OrderId::parse(text).unwrap()
    }

    #[test]
    fn failures_rest_longer_each_time_and_refusals_much_longer() {
        let mut attempts = Attempts::default();
        let (certificate, order) = (id("old"), id("new"));
        let rest = |attempts: &Attempts| {
            (0..200_000).find(|second| !attempts.rests(&id("old"), SECOND * *second)).expect("every rest ends")
        };
        let error = Error::new(ErrorKind::OrderSource, "x").with_retry(Retry::Later);
        let rests: Vec<u32> = (0..4)
            .map(|_| {
                attempts.failed(&certificate, &error, Duration::ZERO, 0.0);
                rest(&attempts)
            })
            .collect();
        assert_eq!(rests, [5, 10, 20, 40]);
        attempts.failed(
            &certificate,
            &Error::new(ErrorKind::OrderSource, "x").with_retry(Retry::After(SECOND * 700)),
            Duration::ZERO,
            0.0,
        );
        assert_eq!(rest(&attempts), 700);
        attempts.applied(&certificate, &order, Duration::ZERO);
        assert_eq!(rest(&attempts), 3600, "the order has its time");
        let rests: Vec<u32> = (0..9)
            .map(|_| {
                attempts.applied(&certificate, &order, Duration::ZERO);
                attempts.refused(&order, Duration::ZERO, 0.0);
                rest(&attempts) / 60
            })
            .collect();
        assert_eq!(rests, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        attempts.applied(&certificate, &order, Duration::ZERO);
        attempts.done(&order, Duration::ZERO);
        assert!(!attempts.rests(&certificate, Duration::ZERO));
        assert!(attempts.rests(&order, SECOND * 599) && !attempts.rests(&order, SECOND * 600), "it is new");
    }
}
