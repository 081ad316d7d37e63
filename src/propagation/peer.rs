//! What all names of a run share about one server address: its question budget, its manners, and that it is dead.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use super::{
    message::{Manners, Question},
    probe::{self, Reply},
    verdict::Verdict,
};

/// On average at most twenty questions a second to one address, over all names, from the first question on.
const SPACING: Duration = Duration::from_millis(50);
/// So many questions may go out at once, however short the acquaintance.
const BURST: u32 = 5;
/// What was not asked may be asked later, up to so many questions: a thin wait saves up for the moment in which many names are confirmed.
const SAVED: u32 = 400;
/// What was saved is spent no faster than two hundred a second.
const SPENDING: Duration = Duration::from_millis(5);
/// Questions to one address that are under way at the same time, over all names (one name has one).
const UNDER_WAY: usize = 16;

/// One server address.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    manners: Mutex<Manners>,
    pace: Mutex<Pace>,
    under_way: Semaphore,
    dead: Mutex<Option<Death>>,
}

/// An exchange without any usable answer.
#[derive(Clone, Debug)]
struct Death {
    begun: Instant,
    ended: Instant,
    verdict: Verdict,
}

/// What asking brought.
#[derive(Debug)]
pub(crate) struct Asked {
    /// When the question went out. The schedule counts from here.
    pub(crate) begun: Instant,
    /// The answer, or a failed verdict.
    pub(crate) outcome: Result<Reply, Verdict>,
}

impl Peer {
    /// Nothing is known of it yet.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            manners: Mutex::new(Manners::unknown()),
            pace: Mutex::default(),
            under_way: Semaphore::new(UNDER_WAY),
            dead: Mutex::default(),
        }
    }

    /// Asks within the budget of this address. `patience` is the limit of each transport; waiting for one's turn comes on top.
    ///
    /// Where the address turned out dead while we waited for our turn, that is our answer too, so that hundreds of names do not
    /// each wait for the same dead server; but only if that was tried after `not_before`, the last failure that we know of.
    pub(crate) async fn ask(&self, question: &Question, patience: Duration, not_before: Option<Instant>) -> Asked {
        let queued = Instant::now();
        let _turn = self.under_way.acquire().await;
        let died = || {
            let death = lock(&self.dead).clone()?;
            let ours = death.ended >= queued && not_before.is_none_or(|moment| death.begun >= moment);
            ours.then(|| Asked { begun: Instant::now(), outcome: Err(death.verdict) })
        };
        if let Some(asked) = died() {
            return asked;
        }
        let turn = lock(&self.pace).reserve(Instant::now());
        if turn > Instant::now() {
            sleep_until(turn).await;
        }
        if let Some(asked) = died() {
            return asked;
        }
        let begun = Instant::now();
        let outcome = Box::pin(probe::ask(self.address, question, &self.manners, patience)).await;
        if let Err(verdict) = &outcome
            && verdict.concerns_the_server()
        {
            *lock(&self.dead) = Some(Death { begun, ended: Instant::now(), verdict: verdict.clone() });
        }
        Asked { begun, outcome }
    }

    /// Asks without regard to the budget: recursive resolvers, which are asked a few times in a run.
    pub(crate) async fn ask_at_once(&self, question: &Question, patience: Duration) -> Result<Reply, Verdict> {
        Box::pin(probe::ask(self.address, question, &self.manners, patience)).await
    }
}

/// A panic elsewhere leaves these small values whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Twenty a second on average, two hundred at most. What is saved counts from the first question on, so that nobody begins with a flood.
#[derive(Debug, Default)]
struct Pace {
    cells: Option<(Cells, Cells)>,
}

impl Pace {
    /// When the next question may go out; it is counted.
    fn reserve(&mut self, now: Instant) -> Instant {
        let (average, peak) = self.cells.get_or_insert_with(|| {
            let average = Cells { spacing: SPACING, room: SAVED, empty: now + SPACING * (SAVED - BURST) };
            (average, Cells { spacing: SPENDING, room: BURST, empty: now })
        });
        peak.reserve(average.reserve(now))
    }
}

/// Generic cell rate algorithm: evenly spaced, but as many at once as there is room for.
#[derive(Debug)]
struct Cells {
    spacing: Duration,
    room: u32,
    /// When everything that was counted is paid off.
    empty: Instant,
}

impl Cells {
    fn reserve(&mut self, now: Instant) -> Instant {
        let empty = self.empty.max(now);
        self.empty = empty + self.spacing;
        now + (empty - now).saturating_sub(self.spacing * (self.room - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_a_second_after_a_small_burst() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        let turns: Vec<Duration> = (0..205).map(|_| pace.reserve(begun) - begun).collect();
        assert_eq!(turns[..5], [Duration::ZERO; 5]);
        assert_eq!(turns[5], SPACING);
        for window in turns.windows(25) {
            assert!(window[24] >= window[0] + Duration::from_secs(1), "{window:?}");
        }
        assert_eq!(turns[204], Duration::from_secs(10));
    }

    #[test]
    fn a_thin_wait_saves_up_and_the_average_stays() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        let mut turns: Vec<Duration> =
            (0..30_u32).map(|second| pace.reserve(begun + Duration::from_secs(1) * second) - begun).collect();
        // Three hundred names are confirmed: thirty seconds have saved 575 questions, of which 400 are kept.
        let moment = begun + Duration::from_secs(31);
        turns.extend((0..600).map(|_| pace.reserve(moment) - begun));
        let last_of_300 = turns[329];
        assert_eq!(last_of_300, Duration::from_secs(31) + SPENDING * 295);
        for (before, turn) in turns.iter().enumerate() {
            let most = BURST + u32::try_from(turn.as_millis() / SPACING.as_millis()).unwrap();
            assert!(u32::try_from(before).unwrap() < most, "{before} before {turn:?}");
        }
        for window in turns.windows(206) {
            assert!(window[205] >= window[0] + Duration::from_secs(1), "{window:?}");
        }
        // What was saved is spent once.
        let after: Vec<Duration> = turns[560..].windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        assert!(after.iter().all(|pause| *pause == SPACING), "{after:?}");
    }

    #[test]
    fn no_more_is_saved_than_there_is_room_for() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        pace.reserve(begun);
        let later = begun + Duration::from_hours(1);
        let turns: Vec<Duration> = (0..600).map(|_| pace.reserve(later) - later).collect();
        let spent = turns.windows(2).take_while(|pair| pair[1].saturating_sub(pair[0]) < SPACING).count();
        assert!((400..=510).contains(&spent), "{spent}");
    }
}
