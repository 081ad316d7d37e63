//! When to ask an authority again: a pure function of the time waited and of what is known about the delay.
//!
//! A wait is paved with evenly numbered moments, dense at first and thinner later: the n-th question is due when `n` of them have passed,
//! from a random beginning. So whatever the delay, it falls between two questions at a random place, and names that share the questions
//! take turns.
//!
//! The promises (tested below by simulation): in the first ten seconds a change is noticed within 250 ms (median; 500 ms at worst),
//! later within 5 % (median; 10 % at worst) of the time waited, with at most 60 questions in two minutes.

use std::time::Duration;

use super::Expectation;

/// How long asking stays dense: ten seconds and a pause, so that a change in the tenth second meets a dense question.
const DENSE: f64 = 10.4;
/// The pause while it is dense.
const DENSE_PAUSE: f64 = 0.37;
/// Later pauses, as a part of the time waited. More than this, and two minutes took more than 60 questions.
const THIN: f64 = 0.09;
/// The same where a moment is expected: what is spent around it is saved elsewhere.
const THIN_ELSEWHERE: f64 = 0.0915;
/// The same around the expected moment.
const EXPECTED: f64 = 0.055;
/// Where "around" begins and ends, as parts of the expected moment.
const AROUND: (f64, f64) = (0.9, 1.1);
/// The wait that may take 60 questions.
const TWO_MINUTES: f64 = 120.0;
/// Pauses after that, as a part of the time waited: a large delay costs more for the same part.
const THINNEST: f64 = 0.06;
/// No pause of one name alone is longer.
const LONGEST: f64 = 60.0;
/// Nor is one that is stretched because fellow names of the zone ask too, unless the wait has been twice as long.
const LONGEST_AMONG_FELLOWS: f64 = 60.0;
/// Measured delays that count: the latest.
const MEASURED: usize = 5;
/// Questions are late by up to this part of a pause at random, so that many runs do not march in step.
const JITTER: f64 = 0.03;
/// A question that was asked out of turn makes the next one wait for at least this part of a pause.
const SHORTEST: f64 = 0.25;

/// When the record is expected, as a span since the wait began.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    stretches: Vec<Stretch>,
}

/// A part of the wait.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// Seconds since the wait began.
    from: f64,
    to: f64,
    pauses: Pauses,
}

#[derive(Clone, Copy, Debug)]
enum Pauses {
    /// So many seconds each.
    Even(f64),
    /// Such a part of the time waited each.
    Part(f64),
}

impl Stretch {
    /// How many questions fall into it up to a moment in it.
    fn count(&self, moment: f64) -> f64 {
        match self.pauses {
            Pauses::Even(pause) => (moment - self.from) / pause,
            Pauses::Part(part) => (moment / self.from).ln() / part,
        }
    }

    /// The moment at which so many have fallen into it.
    fn moment(&self, count: f64) -> f64 {
        match self.pauses {
            Pauses::Even(pause) => self.from + count * pause,
            Pauses::Part(part) => self.from * (count * part).exp(),
        }
    }
}

/// Which of the questions to an authority are those of one name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Where the questions to this authority begin: a random number from 0 to 1, the same for all names of the zone.
    pub(crate) phase: f64,
    /// The place of the name among those of the zone that wait for this authority, from 0.
    pub(crate) rank: usize,
    /// How many wait, this one included: they share the questions of one, since one that sees its record wakes the others.
    pub(crate) of: usize,
}

impl Plan {
    /// Measured delays of this zone and provider tell more than the provider's usual one.
    pub(crate) fn new(expectation: &Expectation) -> Self {
        let measured = &expectation.measured;
        let mut latest = measured[measured.len().saturating_sub(MEASURED)..].to_vec();
        latest.sort_unstable();
        let expected = latest.get(latest.len() / 2).copied().or(expectation.usual_delay);
        let around = expected.map(|expected| (expected.as_secs_f64() * AROUND.0, expected.as_secs_f64() * AROUND.1));
        let mut ends = vec![DENSE, TWO_MINUTES, LONGEST / THINNEST, f64::INFINITY];
        ends.extend(around.iter().flat_map(|(from, to)| [*from, *to]).filter(|end| *end > 0.0));
        ends.sort_unstable_by(f64::total_cmp);
        let mut from = 0.0;
        let stretches = ends.into_iter().map(|to| {
            let pauses = if from < DENSE {
                Pauses::Even(DENSE_PAUSE)
            } else if from >= LONGEST / THINNEST {
                Pauses::Even(LONGEST)
            } else {
                let usual = if around.is_some() { THIN_ELSEWHERE } else { THIN };
                let usual = if from < TWO_MINUTES { usual } else { THINNEST };
                Pauses::Part(if around.is_some_and(|(begins, ends)| (begins..ends).contains(&from)) { EXPECTED } else { usual })
            };
            let stretch = Stretch { from, to, pauses };
            from = to;
            stretch
        });
        Self { stretches: stretches.filter(|stretch| stretch.from < stretch.to).collect() }
    }

    /// The pause between a question that was sent after `waited` and the next one to the same authority. `chance` is a random number
    /// from 0 to 1.
    pub(crate) fn pause(&self, waited: Duration, turn: Turn, chance: f64) -> Duration {
        let late = JITTER * chance.clamp(0.0, 1.0);
        let waited = waited.as_secs_f64();
        let (rank, of) = (as_count(turn.rank), as_count(turn.of.max(1)));
        let first = turn.phase.clamp(0.0, 1.0) + rank;
        let rounds = ((self.count(waited) + SHORTEST - first) / of).ceil();
        let pause = self.moment(first + rounds * of + late) - waited;
        let most = if turn.of > 1 { LONGEST_AMONG_FELLOWS.max(waited / 2.0) * (1.0 - late) } else { LONGEST };
        Duration::try_from_secs_f64(pause.min(most)).unwrap_or_default()
    }

    /// When a name asks first: alone at once, among fellows at its turn, or at a random moment of the longest pause.
    pub(crate) fn first(&self, turn: Turn, chance: f64) -> Duration {
        if turn.of <= 1 {
            return Duration::ZERO;
        }
        let most = LONGEST_AMONG_FELLOWS * chance.clamp(0.0, 1.0);
        let turn = self.pause(Duration::ZERO, turn, chance);
        turn.min(Duration::from_secs_f64(most))
    }

    /// How many questions are due by a moment.
    fn count(&self, moment: f64) -> f64 {
        let begun = self.stretches.iter().take_while(|stretch| stretch.from < moment);
        begun.map(|stretch| stretch.count(moment.min(stretch.to))).sum()
    }

    /// The moment by which so many questions are due.
    fn moment(&self, count: f64) -> f64 {
        let mut rest = count.max(0.0);
        let within = self.stretches.iter().find(|stretch| {
            let whole = stretch.count(stretch.to);
            let ends_here = rest <= whole;
            rest -= if ends_here { 0.0 } else { whole };
            ends_here
        });
        // The last stretch has no end.
        within.map_or(f64::INFINITY, |stretch| stretch.moment(rest))
    }
}

/// A small number of names.
fn as_count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    /// A usual round trip of an authority on another continent.
    const ROUND_TRIP: Duration = Duration::from_millis(40);

    impl Default for Plan {
        fn default() -> Self {
            Self::new(&Expectation::default())
        }
    }

    fn expecting(usual: Option<u64>, measured: &[u64]) -> Plan {
        Plan::new(&Expectation {
            usual_delay: usual.map(Duration::from_secs),
            measured: measured.iter().copied().map(Duration::from_secs).collect(),
        })
    }

    fn alone(phase: f64) -> Turn {
        Turn { phase, rank: 0, of: 1 }
    }

    /// Waits in virtual time for a record that becomes visible after `lag`: how late that is noticed, and the questions asked.
    fn noticed(plan: &Plan, lag: Duration, rng: &mut StdRng) -> (Duration, usize) {
        let (mut sent, mut questions, turn) = (Duration::ZERO, 1, alone(rng.random()));
        while sent + ROUND_TRIP / 2 < lag {
            sent += plan.pause(sent, turn, rng.random()).max(ROUND_TRIP);
            questions += 1;
        }
        ((sent + ROUND_TRIP).saturating_sub(lag), questions)
    }

    /// The median and the worst of many waits.
    fn median_and_worst(plan: &Plan, lag: f64, rng: &mut StdRng) -> (Duration, Duration) {
        let mut delays: Vec<Duration> = (0..2_000).map(|_| noticed(plan, Duration::from_secs_f64(lag), rng).0).collect();
        delays.sort_unstable();
        (delays[delays.len() / 2], delays[delays.len() - 1])
    }

    #[test]
    fn each_lag_that_is_measured_is_noticed_in_time() {
        // Worked out here for a round trip of 40 ms; what loopback adds is measured by bench/propagation.
        let mut rng = StdRng::seed_from_u64(6);
        for (lag, median, worst) in [(1.3, 0.22, 0.43), (3.2, 0.22, 0.43), (6.8, 0.22, 0.43), (31.0, 31.0 * 0.05, 31.0 * 0.1)] {
            let found = median_and_worst(&Plan::default(), lag, &mut rng);
            assert!(
                found.0 <= Duration::from_secs_f64(median) && found.1 <= Duration::from_secs_f64(worst),
                "{lag} s: {found:?}"
            );
        }
        for (plan, part) in [(Plan::default(), 0.05), (expecting(Some(120), &[]), 0.035)] {
            let found = median_and_worst(&plan, 121.0, &mut rng);
            assert!(found.0 <= Duration::from_secs_f64(121.0 * part) && found.1 <= Duration::from_secs_f64(12.1), "{found:?}");
        }
        assert_eq!(median_and_worst(&Plan::default(), 0.0, &mut rng), (ROUND_TRIP, ROUND_TRIP));
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
            let most = Duration::from_millis(250).max(lag.mul_f64(0.055));
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
    fn long_waits_are_noticed_within_a_smaller_part() {
        let mut rng = StdRng::seed_from_u64(5);
        for (seconds, most, middle) in [(31.0, 0.1, 0.05), (121.0, 0.07, 0.035), (600.0, 0.065, 0.035)] {
            let lag = Duration::from_secs_f64(seconds);
            let mut parts: Vec<f64> =
                (0..3_000).map(|_| noticed(&Plan::default(), lag, &mut rng).0.as_secs_f64() / seconds).collect();
            parts.sort_unstable_by(f64::total_cmp);
            let (median, worst) = (parts[parts.len() / 2], parts[parts.len() - 1]);
            assert!(worst <= most && median <= middle, "{seconds} s: median {median}, worst {worst}");
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
    fn fellows_take_turns_and_so_share_the_questions_of_one() {
        let plan = Plan::default();
        assert_eq!(plan.first(alone(0.4), 0.9), Duration::ZERO);
        // Whose turn it is moves on evenly, so that five names notice as soon as one does.
        let mut due: Vec<Duration> = (0..5).map(|rank| plan.first(Turn { phase: 0.3, rank, of: 5 }, 1.0)).collect();
        for rank in 0..5 {
            let sent = due[rank];
            due.push(sent + plan.pause(sent, Turn { phase: 0.3, rank, of: 5 }, 0.0));
        }
        due.sort_unstable();
        for pair in due.windows(2) {
            let pause = pair[1].saturating_sub(pair[0]).as_secs_f64();
            assert!((pause - DENSE_PAUSE).abs() <= DENSE_PAUSE * (JITTER + 0.01), "{due:?}");
        }
        // Three hundred names with two authorities ask fewer than ten times each in a wait of four minutes.
        let turn = Turn { phase: 0.3, rank: 299, of: 300 };
        let longest = Duration::from_secs_f64(LONGEST_AMONG_FELLOWS);
        assert!(plan.first(turn, 1.0) <= longest);
        assert!(plan.pause(Duration::from_secs(5), turn, 0.0) <= longest);
        let (mut waited, mut asked) = (plan.first(turn, 1.0), 1);
        while waited < Duration::from_mins(4) {
            waited += plan.pause(waited, turn, 0.0);
            asked += 1;
        }
        assert!(asked <= 5, "{asked}");
        // However long the wait, a change is noticed within the minute.
        assert!(plan.pause(Duration::from_hours(2), alone(0.7), 0.0) <= Duration::from_mins(1));
    }

    #[test]
    fn a_question_out_of_turn_does_not_bring_the_next_one_at_once() {
        let plan = Plan::default();
        let shortest = Duration::from_secs_f64(DENSE_PAUSE * SHORTEST * 0.99);
        for step in 0..2_000_u32 {
            let pause = plan.pause(Duration::from_millis(5) * step, alone(0.6), 0.0);
            assert!(pause >= shortest, "{pause:?} after {:?}", Duration::from_millis(5) * step);
        }
        // A wait that never ends has no moment that cannot be told.
        for hours in [1, 100, 100_000] {
            let pause = plan.pause(Duration::from_hours(hours), alone(0.6), 1.0);
            assert!((Duration::from_secs(14)..=Duration::from_mins(1)).contains(&pause), "{pause:?}");
        }
    }
}
