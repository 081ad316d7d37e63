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

/// At most twenty questions a second to one address, over all names.
const SPACING: Duration = Duration::from_millis(50);
/// So many questions may go out at once after a pause.
const BURST: u32 = 5;
/// Questions to one address that are under way at the same time, over all names (one name has one).
const UNDER_WAY: usize = 8;

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

/// Generic cell rate algorithm: evenly spaced, with a small burst.
#[derive(Debug, Default)]
struct Pace {
    /// When the bucket is empty again.
    empty: Option<Instant>,
}

impl Pace {
    /// When the next question may go out; it is counted.
    fn reserve(&mut self, now: Instant) -> Instant {
        let empty = self.empty.map_or(now, |empty| empty.max(now));
        self.empty = Some(empty + SPACING);
        let ahead = (empty - now).saturating_sub(SPACING * (BURST - 1));
        now + ahead
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
    fn a_pause_gives_the_burst_back_and_no_more() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.reserve(begun);
        }
        let later = begun + Duration::from_mins(1);
        let turns: Vec<Duration> = (0..7).map(|_| pace.reserve(later) - later).collect();
        assert_eq!(turns, [0, 0, 0, 0, 0, 50, 100].map(Duration::from_millis));
    }
}
