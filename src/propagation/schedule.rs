//! When to ask an authority again: a pure function of the time waited and of what is known about the delay.
//!
//! The promises (tested below by simulation): a change is noticed within 250 ms (median; 500 ms at worst) in the first ten
//! seconds, later within 5 % (median; 10 % at worst, 8.5 % after two minutes) of the time waited, with at most 60 questions in two minutes.

use std::time::Duration;

use super::Expectation;

/// How long asking stays dense.
const DENSE: Duration = Duration::from_secs(10);
/// The pause while it is dense.
const DENSE_PAUSE: Duration = Duration::from_millis(450);
/// Later pauses, as a part of the time waited: at the end of the dense time, and after [`TWO_MINUTES`]. A large lag costs more for the
/// same part, so asking becomes denser in proportion as the wait goes on; steeper, and two minutes took more than 60 questions.
const THIN: (f64, f64) = (0.0975, 0.082);
/// The wait that may take 60 questions.
const TWO_MINUTES: Duration = Duration::from_mins(2);
/// However long the wait, pauses are at least this part of it.
const THINNEST: f64 = 0.06;
/// The same around the expected moment.
const EXPECTED: f64 = 0.055;
/// Where "around" begins and ends, as parts of the expected moment.
const AROUND: (f64, f64) = (0.88, 1.1);
/// Measured delays that count: the latest.
const MEASURED: usize = 5;
/// Pauses are shortened by up to this part at random, so that many runs do not march in step.
const JITTER: f64 = 0.03;
/// No pause of one name alone is longer.
const LONGEST: Duration = Duration::from_mins(1);
/// Nor is one that is stretched because fellow names of the zone ask too, unless the wait has been twice as long.
const LONGEST_AMONG_FELLOWS: Duration = Duration::from_mins(1);

/// When the record is expected, as a span since the wait began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    around: Option<(Duration, Duration)>,
}

impl Plan {
    /// Measured delays of this zone and provider tell more than the provider's usual one.
    pub(crate) fn new(expectation: &Expectation) -> Self {
        let measured = &expectation.measured;
        let mut latest = measured[measured.len().saturating_sub(MEASURED)..].to_vec();
        latest.sort_unstable();
        let expected = latest.get(latest.len() / 2).copied().or(expectation.usual_delay);
        Self { around: expected.map(|expected| (expected.mul_f64(AROUND.0), expected.mul_f64(AROUND.1))) }
    }

    /// The pause between a question that was sent after `waited` and the next one to the same authority.
    ///
    /// `chance` is a random number from 0 to 1. `fellows` is the number of names of the zone that wait for this authority, this one
    /// included: they share the questions of one, since one that sees its record wakes the others.
    pub(crate) fn pause(&self, waited: Duration, chance: f64, fellows: usize) -> Duration {
        let part = match self.around {
            Some((from, to)) if (from..to).contains(&waited) => EXPECTED,
            // What is spent around the expected moment is saved elsewhere.
            Some(_) => THIN.0,
            None => thin(waited),
        };
        let alone = if waited < DENSE { DENSE_PAUSE } else { waited.mul_f64(part).min(LONGEST) };
        let stretched =
            alone.saturating_mul(u32::try_from(fellows.max(1)).unwrap_or(u32::MAX)).min(LONGEST_AMONG_FELLOWS.max(waited / 2));
        // The first dense pause and the first thin one have any length, so that what follows falls on no fixed grid: else some
        // delays were always noticed late.
        let begins = waited < DENSE_PAUSE / 4 || (DENSE..DENSE + DENSE_PAUSE).contains(&waited);
        let jitter = if begins { 1.0 } else { JITTER };
        stretched.max(alone).mul_f64(1.0 - jitter * chance.clamp(0.0, 1.0))
    }

    /// When a name asks first: alone at once, among fellows at a random moment of their common pause.
    pub(crate) fn first(&self, chance: f64, fellows: usize) -> Duration {
        if fellows <= 1 { Duration::ZERO } else { self.pause(Duration::ZERO, 0.0, fellows - 1).mul_f64(chance.clamp(0.0, 1.0)) }
    }
}

/// The part of the time waited that a pause is, where nothing is known: from one end of [`THIN`] to the other in the logarithm of time.
fn thin(waited: Duration) -> f64 {
    let way = (waited.as_secs_f64() / DENSE.as_secs_f64()).max(1.0).ln() / (TWO_MINUTES.as_secs_f64() / DENSE.as_secs_f64()).ln();
    (THIN.0 + (THIN.1 - THIN.0) * way).max(THINNEST)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    /// A usual round trip of an authority on another continent.
    const ROUND_TRIP: Duration = Duration::from_millis(40);

    fn expecting(usual: Option<u64>, measured: &[u64]) -> Plan {
        Plan::new(&Expectation {
            usual_delay: usual.map(Duration::from_secs),
            measured: measured.iter().copied().map(Duration::from_secs).collect(),
        })
    }

    /// Waits in virtual time for a record that becomes visible after `lag`: how late that is noticed, and the questions asked.
    fn noticed(plan: &Plan, lag: Duration, rng: &mut StdRng) -> (Duration, usize) {
        let (mut sent, mut questions) = (Duration::ZERO, 1);
        while sent + ROUND_TRIP / 2 < lag {
            sent += plan.pause(sent, rng.random(), 1).max(ROUND_TRIP);
            questions += 1;
        }
        ((sent + ROUND_TRIP).saturating_sub(lag), questions)
    }

    fn plans() -> Vec<(&'static str, Plan)> {
        vec![
            ("nothing known", expecting(None, &[])),
            ("usually 60 s", expecting(Some(60), &[])),
            ("measured 30 s", expecting(Some(300), &[28, 31, 30])),
            ("usually 2 s", expecting(Some(2), &[])),
        ]
    }

    #[test]
    fn a_change_in_the_first_ten_seconds_is_noticed_within_250_ms_and_500_at_worst() {
        for (what, plan) in plans() {
            let mut rng = StdRng::seed_from_u64(1);
            let mut delays: Vec<Duration> = (0..5_000)
                .map(|_| {
                    let lag = Duration::from_secs_f64(rng.random_range(0.05..10.0));
                    noticed(&plan, lag, &mut rng).0
                })
                .collect();
            delays.sort_unstable();
            let (median, worst) = (delays[delays.len() / 2], delays[delays.len() - 1]);
            assert!(median <= Duration::from_millis(250), "{what}: median {median:?}");
            assert!(worst <= Duration::from_millis(500), "{what}: worst {worst:?}");
        }
    }

    #[test]
    fn no_delay_is_always_noticed_late() {
        for step in 1..400_u32 {
            let mut rng = StdRng::seed_from_u64(step.into());
            // 0.1 to 10 s in even steps, then up to 190 s in steps of one percent.
            let lag = if step <= 100 { f64::from(step) / 10.0 } else { 10.0 * 1.01_f64.powf(f64::from(step - 100)) };
            let lag = Duration::from_secs_f64(lag);
            let mut delays: Vec<Duration> = (0..300).map(|_| noticed(&Plan::default(), lag, &mut rng).0).collect();
            delays.sort_unstable();
            let most = Duration::from_millis(300).max(lag.mul_f64(0.066));
            assert!(delays[150] <= most, "{lag:?}: median {:?}", delays[150]);
        }
    }

    #[test]
    fn a_later_change_is_noticed_within_5_percent_and_10_at_worst() {
        for (what, plan) in plans() {
            let mut rng = StdRng::seed_from_u64(2);
            let mut parts: Vec<f64> = (0..5_000)
                .map(|_| {
                    // As many waits of 10 to 20 s as of 100 to 200 s.
                    let lag = Duration::from_secs_f64(10.0 * 90_f64.powf(rng.random()));
                    noticed(&plan, lag, &mut rng).0.as_secs_f64() / lag.as_secs_f64()
                })
                .collect();
            parts.sort_unstable_by(f64::total_cmp);
            let (median, worst) = (parts[parts.len() / 2], parts[parts.len() - 1]);
            assert!(median <= 0.05, "{what}: median {median}");
            assert!(worst <= 0.10, "{what}: worst {worst}");
        }
    }

    #[test]
    fn the_longer_the_wait_the_smaller_the_part() {
        let mut rng = StdRng::seed_from_u64(5);
        for (seconds, most) in [(31.0, 0.095), (121.0, 0.085), (600.0, 0.075)] {
            let lag = Duration::from_secs_f64(seconds);
            let mut parts: Vec<f64> =
                (0..3_000).map(|_| noticed(&Plan::default(), lag, &mut rng).0.as_secs_f64() / seconds).collect();
            parts.sort_unstable_by(f64::total_cmp);
            let (median, worst) = (parts[parts.len() / 2], parts[parts.len() - 1]);
            assert!(worst <= most && median <= 0.045, "{seconds} s: median {median}, worst {worst}");
        }
    }

    #[test]
    fn a_wait_of_two_minutes_asks_at_most_60_times_with_the_confirmation() {
        for (what, plan) in plans() {
            let mut rng = StdRng::seed_from_u64(3);
            let most = (0..3_000).map(|_| noticed(&plan, Duration::from_mins(2), &mut rng).1 + 1).max().unwrap();
            assert!(most <= 60, "{what}: {most}");
        }
    }

    #[test]
    fn around_the_expected_moment_a_change_is_noticed_sooner() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut median = |plan: &Plan| {
            let mut delays: Vec<Duration> = (0..4_000)
                .map(|_| {
                    let lag = Duration::from_secs_f64(rng.random_range(54.0..66.0));
                    noticed(plan, lag, &mut rng).0
                })
                .collect();
            delays.sort_unstable();
            delays[delays.len() / 2]
        };
        let blind = median(&expecting(None, &[]));
        assert!(median(&expecting(Some(60), &[])) < blind.mul_f64(0.7));
        // What was measured here counts, not what the provider says.
        assert!(median(&expecting(Some(600), &[9, 60, 61, 59, 58, 62])) < blind.mul_f64(0.7));
    }

    #[test]
    fn fellows_share_the_questions_of_one() {
        let plan = Plan::default();
        assert_eq!(plan.first(0.9, 1), Duration::ZERO);
        assert_eq!(plan.pause(DENSE / 2, 0.0, 10), DENSE_PAUSE * 10);
        assert_eq!(plan.pause(DENSE / 2, 0.0, 300), LONGEST_AMONG_FELLOWS);
        assert!(plan.first(1.0, 300) <= LONGEST_AMONG_FELLOWS);
        // Three hundred names with two authorities ask fewer than ten times each in a wait of four minutes.
        let (mut waited, mut asked) = (plan.first(1.0, 300), 1);
        while waited < Duration::from_mins(4) {
            waited += plan.pause(waited, 0.0, 300);
            asked += 1;
        }
        assert!(asked <= 4, "{asked}");
        // However long the wait, a change is noticed within the minute.
        assert_eq!(plan.pause(Duration::from_hours(2), 0.0, 1), LONGEST);
    }
}
