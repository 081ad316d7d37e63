//! Names of one zone that wait for the same authority: they share the schedule of one, invite each other, and vouch for each other.
//!
//! What was published together becomes visible together, or in order. So a name that sees its record invites those that were published
//! right before and right after it to ask at once; each is confirmed by its own answer, and those that see theirs invite on. Where a
//! zone arrives as a whole, that reaches all names within a few round trips; where records arrive one by one, it ends a few names behind
//! the last one that is there. A name that was published long after is not invited: its record may be in the next version of the zone.
//!
//! Questions that nobody was invited to are asked in turns. Every other one is that of the first name behind all that were seen, since
//! the next to arrive is most likely there. The line gets shorter, so whoever waits in it is told to look at the clock again.
//!
//! A name that was seen is asked about once more where its sighting has become old (see `wait.rs`). A younger sighting of a fellow
//! is as good, for the same reason, so that one name asks for all of them; if that one is gone, each asks for itself.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::schedule::Turn;
use crate::mutex::locked;
use crate::name::Name;

/// Names whose waits began no further apart were published together, whatever their order.
const TOGETHER: Duration = Duration::from_secs(5);
/// A name that is seen invites up to so many on either side of it: one after a question in vain, then twice as many each time.
const REACH: usize = 16;
/// Whoever was invited, or not there, is not invited again so soon.
const AGAIN: Duration = Duration::from_millis(250);

/// All zones of a run in which names wait.
#[derive(Debug, Default)]
pub(crate) struct Fellowships {
    zones: Mutex<HashMap<Name, Arc<Fellowship>>>,
}

impl Fellowships {
    /// That of one zone.
    pub(crate) fn of(&self, zone: &Name) -> Arc<Fellowship> {
        let mut zones = locked(&self.zones);
        Arc::clone(zones.entry(zone.clone()).or_default())
    }
}

/// The names of one zone that wait.
#[derive(Debug)]
pub(crate) struct Fellowship {
    at: Mutex<HashMap<SocketAddr, Arc<Post>>>,
    news: watch::Sender<u64>,
}

impl Default for Fellowship {
    fn default() -> Self {
        Self { at: Mutex::default(), news: watch::Sender::new(0) }
    }
}

impl Fellowship {
    /// Tells that some name was asked about once more.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The place of one name in the line at one authority; its record was published at `since` at the latest. `bell` is rung where it
    /// should ask [`Place::is_invited`] and look at its [`Place::turn`] again.
    pub(crate) fn join(self: &Arc<Self>, address: SocketAddr, since: Instant, bell: &Arc<Notify>) -> Place {
        let mut at = locked(&self.at);
        let post = Arc::clone(at.entry(address).or_default());
        let number = {
            let mut known = post.known();
            known.joined += 1;
            known.joined
        };
        let place = Place { fellowship: Arc::clone(self), post, number, since, bell: Arc::clone(bell) };
        place.wait_in_line(None);
        place
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }
}

/// One authority.
#[derive(Debug)]
struct Post {
    /// Where its questions begin: see [`Turn`].
    phase: f64,
    known: Mutex<Known>,
}

/// What is known there.
#[derive(Debug, Default)]
struct Known {
    joined: u64,
    /// Who waits, by number: in the order of publishing.
    waiting: BTreeMap<u64, Waiting>,
    /// The highest number that was seen.
    seen_up_to: u64,
    /// How many the last one that was seen invited on either side of it; 0 after a question in vain.
    reach: usize,
    /// How long the line was when all in it last looked at their turns.
    arranged: usize,
    /// The latest question that showed its record: when it was sent, and since when that record was published.
    latest: Option<(Instant, Instant)>,
    /// Who asks once more on behalf of all.
    confirming: Option<u64>,
    /// Whether the last such question got no answer: the next one may have been luckier, so another name tries.
    went_unanswered: bool,
    /// Such a question did not show the record, or two in a row got no answer: from then on each asks for itself.
    is_doubtful: bool,
}

/// One name in the line.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    bell: Arc<Notify>,
    invited: bool,
    /// When it was last asked about because it was invited, or in vain.
    asked: Option<Instant>,
}

impl Default for Post {
    fn default() -> Self {
        Self { phase: rand::random(), known: Mutex::default() }
    }
}

impl Post {
    fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.known)
    }
}

/// One name waiting at one authority. Dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Place {
    fellowship: Arc<Fellowship>,
    post: Arc<Post>,
    number: u64,
    since: Instant,
    bell: Arc<Notify>,
}

impl Place {
    /// Whose turn it is among those that wait here. Every other turn is that of the first name behind all that were seen.
    pub(crate) fn turn(&self) -> Turn {
        let (known, phase) = (self.post.known(), self.post.phase);
        let (line, next) = (known.waiting.len().max(1), known.next().map(|(number, _)| number));
        let rank = known.waiting.range(..self.number).count();
        match next {
            Some(next) if line > 1 && next == self.number => Turn { phase, rank: 0, of: 2 },
            Some(next) if line > 1 => {
                let rank = rank - usize::from(next < self.number);
                Turn { phase, rank: 2 * rank + 1, of: 2 * (line - 1) }
            }
            _ => Turn { phase, rank, of: line },
        }
    }

    /// Whether a neighbour saw its record here since this was asked last, so that this one's is expected here too, and is to be asked about.
    pub(crate) fn is_invited(&self) -> bool {
        let mut known = self.post.known();
        let Some(waiting) = known.waiting.get_mut(&self.number).filter(|waiting| waiting.invited) else { return false };
        waiting.invited = false;
        waiting.asked = Some(Instant::now());
        true
    }

    /// A question that was sent at `sent` showed the record.
    pub(crate) fn sees(&self, sent: Instant) {
        let was_confirming = {
            let mut known = self.post.known();
            known.latest = known.latest.max(Some((sent, self.since)));
            known.went_unanswered = false;
            if known.waiting.remove(&self.number).is_some() {
                known.invite_neighbours(self.number, self.since + TOGETHER);
                if known.seen_up_to < self.number {
                    known.seen_up_to = self.number;
                    if let Some((_, next)) = known.next() {
                        next.bell.notify_one();
                    }
                }
                known.rearrange();
            }
            known.release(self.number)
        };
        if was_confirming {
            self.fellowship.tell();
        }
    }

    /// The record is not here, or no longer; or, where nothing was `answered`, nobody knows.
    pub(crate) fn lacks(&self, answered: bool) {
        self.wait_in_line(Some(Instant::now()));
        let was_confirming = {
            let mut known = self.post.known();
            if answered {
                known.reach = 0;
            }
            let was_confirming = known.release(self.number);
            if was_confirming {
                known.is_doubtful |= answered || known.went_unanswered;
                known.went_unanswered = !answered;
            }
            was_confirming
        };
        if was_confirming {
            self.fellowship.tell();
        }
    }

    fn wait_in_line(&self, asked: Option<Instant>) {
        let mut known = self.post.known();
        // An invitation that came while it was being asked stands.
        let invited = known.waiting.get(&self.number).is_some_and(|before| before.invited);
        let waiting = Waiting { since: self.since, bell: Arc::clone(&self.bell), invited, asked };
        known.waiting.insert(self.number, waiting);
        known.arranged = known.arranged.max(known.waiting.len());
    }

    /// Whether a record that was published no earlier than this one (or together with it) was seen here by a question sent at `moment`
    /// or later.
    pub(crate) fn is_vouched_for(&self, moment: Instant) -> bool {
        let known = self.post.known();
        !known.is_doubtful && known.latest.is_some_and(|(sent, since)| sent >= moment && self.since <= since + TOGETHER)
    }

    /// Whether this name is the one that asks once more; [`Place::sees`] or [`Place::lacks`] says what came of it.
    pub(crate) fn may_confirm(&self) -> bool {
        let mut known = self.post.known();
        known.is_doubtful || *known.confirming.get_or_insert(self.number) == self.number
    }
}

impl Known {
    /// The first behind all that were seen, and its number.
    fn next(&self) -> Option<(u64, &Waiting)> {
        self.waiting.range(self.seen_up_to + 1..).next().map(|(number, waiting)| (*number, waiting))
    }

    /// Invites those on either side of one that was seen, unless they were published after `through`.
    fn invite_neighbours(&mut self, number: u64, through: Instant) {
        let now = Instant::now();
        self.reach = (self.reach * 2).clamp(1, REACH);
        let invite = |waiting: &mut Waiting| {
            let may_be_there = waiting.since <= through && waiting.asked.is_none_or(|asked| asked + AGAIN <= now);
            if may_be_there && !waiting.invited {
                waiting.invited = true;
                waiting.bell.notify_one();
            }
        };
        self.waiting.range_mut(..number).rev().take(self.reach).for_each(|(_, waiting)| invite(waiting));
        self.waiting.range_mut(number..).take(self.reach).for_each(|(_, waiting)| invite(waiting));
    }

    /// Lets all look at their turns again where the line has become shorter by a quarter.
    fn rearrange(&mut self) {
        if self.waiting.len() * 4 <= self.arranged * 3 {
            self.arranged = self.waiting.len();
            self.waiting.values().for_each(|waiting| waiting.bell.notify_one());
        }
    }

    /// Whether this name was the one that asked once more; it no longer is.
    fn release(&mut self, number: u64) -> bool {
        self.confirming.take_if(|confirming| *confirming == number).is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let was_confirming = {
            let mut known = self.post.known();
            known.waiting.remove(&self.number);
            known.rearrange();
            known.release(self.number)
        };
        if was_confirming {
            self.fellowship.tell();
        }
    }
}

#[cfg(test)]
mod tests;
