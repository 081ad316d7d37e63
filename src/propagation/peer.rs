//! What all names of a run share about one server address: its question budget, its manners, and that it is dead.

use std::{collections::VecDeque, net::SocketAddr, sync::Mutex, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use super::{
    message::{Manners, Question},
    probe::{self, Reply},
    verdict::Verdict,
};
use crate::mutex::locked;

/// Questions to one address in any [`WINDOW`], over all names: twenty a second on average. They may all go out at its beginning: a thousand
/// names of one zone have to be located and confirmed once each in any case, and evenly spaced questions would only put that off.
const WITHIN: usize = 2_400;
const WINDOW: Duration = Duration::from_mins(2);
/// They go out no faster than 400 a second.
const SPENDING: Duration = Duration::from_micros(2_500);
/// So many questions may go out at the same moment.
const BURST: u32 = 5;
/// Questions to one address that are under way at the same time, over all names (one name has one).
const UNDER_WAY: usize = 32;
/// The same while it has not answered yet, or no longer does: the others learn from what becomes of these.
const UNDER_WAY_AT_FIRST: usize = 4;

/// One server address.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    manners: Mutex<Manners>,
    pace: Mutex<Pace>,
    under_way: Semaphore,
    /// How many may be under way beyond [`UNDER_WAY_AT_FIRST`].
    trusted: Mutex<usize>,
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
            under_way: Semaphore::new(UNDER_WAY_AT_FIRST),
            trusted: Mutex::default(),
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
            let death = locked(&self.dead).clone()?;
            let ours = death.ended >= queued && not_before.is_none_or(|moment| death.begun >= moment);
            ours.then(|| Asked { begun: Instant::now(), outcome: Err(death.verdict) })
        };
        if let Some(asked) = died() {
            return asked;
        }
        let turn = locked(&self.pace).reserve(Instant::now());
        if turn > Instant::now() {
            sleep_until(turn).await;
        }
        if let Some(asked) = died() {
            return asked;
        }
        let begun = Instant::now();
        let outcome = Box::pin(probe::ask(self.address, question, &self.manners, patience)).await;
        match &outcome {
            Ok(_) => self.trust(),
            Err(verdict) if verdict.concerns_the_server() => {
                self.distrust();
                *locked(&self.dead) = Some(Death { begun, ended: Instant::now(), verdict: verdict.clone() });
            }
            Err(_) => {}
        }
        Asked { begun, outcome }
    }

    fn trust(&self) {
        let mut trusted = locked(&self.trusted);
        self.under_way.add_permits(UNDER_WAY - UNDER_WAY_AT_FIRST - *trusted);
        *trusted = UNDER_WAY - UNDER_WAY_AT_FIRST;
    }

    fn distrust(&self) {
        let mut trusted = locked(&self.trusted);
        // Those that are under way now are not counted.
        *trusted -= self.under_way.forget_permits(*trusted);
    }

    /// Asks without regard to the budget: recursive resolvers, which are asked a few times in a run.
    pub(crate) async fn ask_at_once(&self, question: &Question, patience: Duration) -> Result<Reply, Verdict> {
        Box::pin(probe::ask(self.address, question, &self.manners, patience)).await
    }
}

/// So many within any [`WINDOW`], 400 in any second.
#[derive(Debug)]
struct Pace {
    /// When the last questions went out, at most [`WITHIN`] of them.
    window: VecDeque<Instant>,
    peak: Cells,
}

impl Default for Pace {
    fn default() -> Self {
        Self { window: VecDeque::new(), peak: Cells { spacing: SPENDING, room: BURST, empty: None } }
    }
}

impl Pace {
    /// When the next question may go out; it is counted.
    fn reserve(&mut self, now: Instant) -> Instant {
        let room = if self.window.len() < WITHIN { None } else { self.window.pop_front() };
        let turn = self.peak.reserve(room.map_or(now, |oldest| now.max(oldest + WINDOW)));
        self.window.push_back(turn);
        turn
    }
}

/// Generic cell rate algorithm: evenly spaced, but as many at once as there is room for.
#[derive(Debug)]
struct Cells {
    spacing: Duration,
    room: u32,
    /// When everything that was counted is paid off; `None` before the first.
    empty: Option<Instant>,
}

impl Cells {
    fn reserve(&mut self, now: Instant) -> Instant {
        let empty = self.empty.map_or(now, |empty| empty.max(now));
        self.empty = Some(empty + self.spacing);
        now + (empty - now).saturating_sub(self.spacing * (self.room - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of so many questions goes out that are all wanted at `moment`.
    fn turns(pace: &mut Pace, moment: Instant, questions: usize) -> Vec<Instant> {
        (0..questions).map(|_| pace.reserve(moment)).collect()
    }

    /// The most questions in any stretch of this length.
    fn most_within(turns: &[Instant], length: Duration) -> usize {
        let each = turns.iter().enumerate().map(|(first, from)| {
            let end = turns.partition_point(|turn| *turn < *from + length);
            end - first
        });
        each.max().unwrap_or_default()
    }

    #[test]
    fn three_hundred_names_are_asked_for_within_a_second() {
        let begun = Instant::now();
        let turns = turns(&mut Pace::default(), begun, 300);
        assert_eq!(turns[..5], [begun; 5]);
        assert_eq!(turns[299] - begun, SPENDING * 295);
        assert!(turns[299] - begun < Duration::from_secs(1));
    }

    #[test]
    fn two_thousand_questions_go_out_within_five_seconds() {
        let begun = Instant::now();
        let turns = turns(&mut Pace::default(), begun, 2_000);
        assert!(turns[1_999] - begun < Duration::from_secs(5));
    }

    #[test]
    fn no_two_minutes_have_more_than_twenty_questions_a_second_on_average() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        // Two thousand are wanted at once, then a flood every ten seconds, then silence, then another flood.
        let mut all = turns(&mut pace, begun, 2_000);
        for seconds in (10..100).step_by(10) {
            all.extend(turns(&mut pace, begun + Duration::from_secs(seconds), 150));
        }
        all.extend(turns(&mut pace, begun + Duration::from_mins(10), 6_000));
        assert!(all.is_sorted());
        assert_eq!(most_within(&all, WINDOW), WITHIN);
        assert!(most_within(&all, Duration::from_secs(1)) <= 405);
        // Nothing is lost either: what had to wait goes out as soon as the window allows it.
        assert!(all[all.len() - 1] - begun < Duration::from_mins(15));
        assert!(pace.window.len() <= WITHIN);
    }
}
