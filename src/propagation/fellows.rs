//! Names of one zone that wait for the same authority: they share the schedule of one, wake each other, and vouch for each other.
//!
//! A zone reaches an authority as a whole and in order. So when one name sees its record there, those that were published before it
//! are expected to be there too: each asks at once, and is confirmed by its own answer. A name that was published later is not woken:
//! its record may be in the next version of the zone. Only what a name finds on its own schedule wakes the others; else a thousand
//! names would wake each other in turn.
//!
//! A name that was seen is asked about once more where its sighting has become old (see `wait.rs`). A younger sighting of a fellow
//! is as good, for the same reason, so that one name asks for all of them; if that one is gone, each asks for itself.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::schedule::Turn;
use crate::mutex::locked;
use crate::name::Name;

/// Names whose waits began no further apart were published together, whatever their order.
const TOGETHER: Duration = Duration::from_secs(5);

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
    /// Tells that some name saw its record at some authority of the zone, or was asked about once more.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The place of one name in the line at one authority; its record was published at `since` at the latest.
    pub(crate) fn join(self: &Arc<Self>, address: SocketAddr, since: Instant) -> Place {
        let mut at = locked(&self.at);
        let post = Arc::clone(at.entry(address).or_default());
        let (number, heard) = {
            let mut known = post.known();
            known.joined += 1;
            let number = known.joined;
            known.waiting.insert(number);
            (number, known.sightings)
        };
        Place { fellowship: Arc::clone(self), post, number, since, heard }
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
    /// Who waits, by number.
    waiting: BTreeSet<u64>,
    /// How many names saw their record on their own schedules.
    sightings: u64,
    /// The zone is there as it was at this moment, or newer.
    through: Option<Instant>,
    /// The latest question that showed its record: when it was sent, and since when that record was published.
    latest: Option<(Instant, Instant)>,
    /// Who asks once more on behalf of all.
    confirming: Option<u64>,
    /// Whether the last such question got no answer: the next one may have been luckier, so another name tries.
    went_unanswered: bool,
    /// Such a question did not show the record, or two in a row got no answer: from then on each asks for itself.
    is_doubtful: bool,
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
    /// The sightings that it knows of.
    heard: u64,
}

impl Place {
    /// Whose turn it is among those that wait here.
    pub(crate) fn turn(&self) -> Turn {
        let known = self.post.known();
        Turn { phase: self.post.phase, rank: known.waiting.range(..self.number).count(), of: known.waiting.len().max(1) }
    }

    /// Whether another name saw its record here since this was asked last, so that this one's is expected here too.
    pub(crate) fn heard_news(&mut self) -> bool {
        let (sightings, through) = {
            let known = self.post.known();
            (known.sightings, known.through)
        };
        let is_new = std::mem::replace(&mut self.heard, sightings) != sightings;
        is_new && through.is_some_and(|through| self.since <= through + TOGETHER)
    }

    /// A question that was sent at `sent` showed the record. `tell`: it found out by itself, so the others should look too.
    pub(crate) fn sees(&mut self, sent: Instant, tell: bool) {
        let (is_first, was_confirming) = {
            let mut known = self.post.known();
            known.latest = known.latest.max(Some((sent, self.since)));
            known.went_unanswered = false;
            let is_first = known.waiting.remove(&self.number);
            if is_first && tell {
                known.sightings += 1;
                known.through = known.through.max(Some(self.since));
                self.heard = known.sightings;
            }
            (is_first, known.release(self.number))
        };
        if is_first && tell || was_confirming {
            self.fellowship.tell();
        }
    }

    /// The record is not here, or no longer; or, where nothing was `answered`, nobody knows.
    pub(crate) fn lacks(&mut self, answered: bool) {
        let was_confirming = {
            let mut known = self.post.known();
            known.waiting.insert(self.number);
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
            known.release(self.number)
        };
        if was_confirming {
            self.fellowship.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sighting_wakes_the_others_once_and_a_woken_one_wakes_nobody() {
        let fellowships = Fellowships::default();
        let fellowship = fellowships.of(&Name::parse("example.test").unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], 53));
        let now = Instant::now();
        let (mut first, mut second) = (fellowship.join(address, now), fellowship.join(address, now));
        let turns = [first.turn(), second.turn()];
        assert_eq!(
            turns.map(|turn| (turn.phase.to_bits(), turn.rank, turn.of)),
            [0, 1].map(|rank| (turns[0].phase.to_bits(), rank, 2))
        );
        first.sees(now, true);
        assert!(!first.heard_news());
        assert_eq!((second.turn().rank, second.turn().of), (0, 1));
        assert!(second.heard_news());
        assert!(!second.heard_news());
        second.sees(now, false);
        assert!(!first.heard_news());
        second.lacks(true);
        assert_eq!(first.turn().of, 1);
        drop(second);
        let third = fellowship.join(address, now);
        assert_eq!((third.turn().rank, third.turn().of), (0, 1));
    }

    #[test]
    fn only_what_was_published_before_the_record_that_was_seen_is_expected() {
        let fellowship = Fellowships::default().of(&Name::parse("example.test").unwrap());
        let (here, there) = (SocketAddr::from(([127, 0, 0, 1], 53)), SocketAddr::from(([127, 0, 0, 2], 53)));
        let begun = Instant::now();
        let at = |address, seconds| fellowship.join(address, begun + Duration::from_secs(seconds));
        let (mut early, mut canary, mut beside, mut late) = (at(here, 0), at(here, 60), at(here, 63), at(here, 120));
        let mut elsewhere = at(there, 0);
        canary.sees(begun, true);
        assert!(early.heard_news() && beside.heard_news());
        assert!(!late.heard_news() && !elsewhere.heard_news());
        // The zone never goes back to what it was when an older record was seen.
        early.sees(begun, true);
        assert!(!late.heard_news() && beside.heard_news());
        let mut last = at(here, 121);
        last.sees(begun, true);
        assert!(late.heard_news());
    }
    #[test]
    fn one_asks_once_more_for_all_unless_that_was_in_vain() {
        let fellowship = Fellowships::default().of(&Name::parse("example.test").unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], 53));
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let (mut one, mut two, late) =
            (fellowship.join(address, begun), fellowship.join(address, begun), fellowship.join(address, after(60)));
        one.sees(after(1), true);
        two.sees(after(2), false);
        // The younger sighting is good for the older one, but not for a record that was published later.
        assert!(one.is_vouched_for(after(2)) && !one.is_vouched_for(after(3)) && !late.is_vouched_for(after(2)));
        assert!(one.may_confirm() && one.may_confirm() && !two.may_confirm());
        one.sees(after(9), false);
        assert!(two.is_vouched_for(after(9)));
        // Whoever leaves hands it on.
        assert!(two.may_confirm() && !one.may_confirm());
        drop(two);
        assert!(one.may_confirm());
        one.lacks(true);
        assert!(late.may_confirm() && one.may_confirm() && !one.is_vouched_for(after(9)));
    }

    #[test]
    fn a_lost_answer_lets_another_name_ask_and_two_let_everybody() {
        let fellowship = Fellowships::default().of(&Name::parse("example.test").unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], 53));
        let now = Instant::now();
        let mut names = [0; 3].map(|_| fellowship.join(address, now));
        let others_may = |names: &[Place; 3]| names.iter().filter(|name| name.may_confirm()).count();
        for name in &mut names {
            name.sees(now, true);
        }
        assert!(names[0].may_confirm());
        names[0].lacks(false);
        assert!(names[1].may_confirm() && others_may(&names) == 1 && names[2].is_vouched_for(now));
        // An answer in between makes it the first one again.
        names[1].sees(now, false);
        assert!(names[1].may_confirm());
        names[1].lacks(false);
        assert_eq!(others_may(&names), 1);
        names[0].lacks(false);
        assert!(others_may(&names) == 3 && !names[2].is_vouched_for(now));
    }
}
