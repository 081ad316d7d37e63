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

/// Repeated questions to one address in any [`WINDOW`], over all names: twenty a second on average. They may all go out at its beginning:
/// evenly spaced questions would only put off what has to be asked in any case.
const WITHIN: usize = 2_400;
const WINDOW: Duration = Duration::from_mins(2);
/// The questions of one name at one address up to this one do not count as repeated: ten thousand names of one zone have to be located and
/// confirmed once each, and each of them has cost its provider a call that changed the zone, which is far more than a few questions.
const FIRST: u32 = 4;
/// No questions go out faster than 400 a second.
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
    repeats: tokio::sync::Mutex<Window>,
    pace: Mutex<Cells>,
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

/// Why a question is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion {
    /// The how-manieth question of its name at this address it is, from 1. A few of each name are free; see [`WITHIN`].
    pub(crate) number: u32,
    /// Where the address turned out dead while we waited for our turn, that is our answer too, so that hundreds of names do not each wait
    /// for the same dead server; but only if that was tried after this moment, the last failure that we know of.
    pub(crate) not_before: Option<Instant>,
}

impl Occasion {
    /// It is asked once.
    pub(crate) const ONCE: Self = Self { number: 1, not_before: None };
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
            repeats: tokio::sync::Mutex::default(),
            pace: Mutex::default(),
            under_way: Semaphore::new(UNDER_WAY_AT_FIRST),
            trusted: Mutex::default(),
            dead: Mutex::default(),
        }
    }

    /// Asks within the budget of this address. `patience` is the limit of each transport; waiting for one's turn comes on top.
    pub(crate) async fn ask(&self, question: &Question, patience: Duration, occasion: Occasion) -> Asked {
        let queued = Instant::now();
        let died = || {
            let death = locked(&self.dead).clone()?;
            let ours = death.ended >= queued && occasion.not_before.is_none_or(|moment| death.begun >= moment);
            ours.then(|| Asked { begun: Instant::now(), outcome: Err(death.verdict) })
        };
        if occasion.number > FIRST {
            // In the order of asking. Who waits here keeps nobody off who asks for the first time.
            let mut repeats = self.repeats.lock().await;
            if let Some(asked) = died() {
                return asked;
            }
            let room = repeats.room(Instant::now());
            if room > Instant::now() {
                sleep_until(room).await;
            }
            repeats.count(Instant::now());
        }
        let _turn = self.under_way.acquire().await;
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

/// At most [`WITHIN`] in any [`WINDOW`].
#[derive(Debug, Default)]
struct Window {
    /// When the last questions went out, at most [`WITHIN`] of them.
    sent: VecDeque<Instant>,
}

impl Window {
    /// When the next may go out.
    fn room(&self, now: Instant) -> Instant {
        let oldest = if self.sent.len() < WITHIN { None } else { self.sent.front() };
        oldest.map_or(now, |oldest| now.max(*oldest + WINDOW))
    }

    /// One goes out.
    fn count(&mut self, now: Instant) {
        if self.sent.len() == WITHIN {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
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

impl Default for Cells {
    fn default() -> Self {
        Self { spacing: SPENDING, room: BURST, empty: None }
    }
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
    use futures_util::future::join_all;

    use super::*;
    use crate::propagation::{
        message::Checking,
        testing::{Server, Zone, name, send},
    };

    /// When each of so many questions goes out that are all wanted at `moment`.
    fn turns(cells: &mut Cells, moment: Instant, questions: usize) -> Vec<Instant> {
        (0..questions).map(|_| cells.reserve(moment)).collect()
    }

    /// The same for repeated ones.
    fn repeats(window: &mut Window, moment: Instant, questions: usize) -> Vec<Instant> {
        let mut now = moment;
        let mut next = || {
            now = window.room(now);
            window.count(now);
            now
        };
        (0..questions).map(|_| next()).collect()
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
        let turns = turns(&mut Cells::default(), begun, 300);
        assert_eq!(turns[..5], [begun; 5]);
        assert_eq!(turns[299] - begun, SPENDING * 295);
        assert!(turns[299] - begun < Duration::from_secs(1));
    }

    #[test]
    fn no_second_has_many_more_than_four_hundred() {
        let begun = Instant::now();
        let mut cells = Cells::default();
        let mut all = turns(&mut cells, begun, 2_000);
        assert!(all[1_999] - begun < Duration::from_secs(5));
        all.extend(turns(&mut cells, begun + Duration::from_mins(1), 2_000));
        assert!(all.is_sorted());
        assert!(most_within(&all, Duration::from_secs(1)) <= 405);
    }

    #[test]
    fn no_two_minutes_have_more_than_twenty_repeated_questions_a_second_on_average() {
        let begun = Instant::now();
        let mut window = Window::default();
        // Two thousand are wanted at once, then a flood every ten seconds, then silence, then another flood.
        let mut all = repeats(&mut window, begun, 2_000);
        assert_eq!(all, vec![begun; 2_000]);
        for seconds in (10..100).step_by(10) {
            let last = all[all.len() - 1];
            all.extend(repeats(&mut window, last.max(begun + Duration::from_secs(seconds)), 150));
        }
        all.extend(repeats(&mut window, begun + Duration::from_mins(10), 6_000));
        assert!(all.is_sorted());
        assert_eq!(most_within(&all, WINDOW), WITHIN);
        // Nothing is lost either: what had to wait goes out as soon as the window allows it.
        assert!(all[all.len() - 1] - begun < Duration::from_mins(15));
        assert!(window.sent.len() <= WITHIN);
    }

    #[tokio::test]
    async fn repeated_questions_wait_for_the_window_and_keep_no_first_one_off() {
        let server = Server::start(|asked| send(&Zone::new("example.test").answer(asked))).await;
        let peer = Peer::new(server.address);
        {
            let mut repeats = peer.repeats.lock().await;
            (0..WITHIN).for_each(|_| repeats.count(Instant::now()));
        }
        let question = Question {
            name: name("a.example.test").to_wire(),
            record_type: hickory_proto::rr::RecordType::TXT,
            recursion: false,
            checking: Checking::Unsaid,
        };
        let patience = Duration::from_secs(5);
        // More than may be under way at once.
        let repeated =
            join_all((0..50).map(|more| peer.ask(&question, patience, Occasion { number: FIRST + 1 + more, not_before: None })));
        let first = join_all((1..=FIRST).map(|number| peer.ask(&question, patience, Occasion { number, not_before: None })));
        tokio::select! {
            biased;
            _ = repeated => panic!("they did not wait"),
            asked = first => assert!(asked.iter().all(|asked| asked.outcome.is_ok())),
        }
        assert_eq!(server.asked().len(), FIRST as usize);
    }
}
