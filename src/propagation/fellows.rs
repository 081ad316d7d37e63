//! Names of one zone that wait for the same authority: they share the schedule of one, and wake each other.
//!
//! A zone reaches an authority as a whole and in order. So when one name sees its record there, those that were published before it
//! are expected to be there too: each asks at once, and is confirmed by its own answer. A name that was published later is not woken:
//! its record may be in the next version of the zone. Only what a name finds on its own schedule wakes the others; else a thousand
//! names would wake each other in turn.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

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
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
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
    /// Tells that some name saw its record at some authority of the zone.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The place of one name in the line at one authority; its record was published at `since` at the latest.
    pub(crate) fn join(self: &Arc<Self>, address: SocketAddr, since: Instant) -> Place {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let post = Arc::clone(at.entry(address).or_default());
        post.waiting.fetch_add(1, Ordering::Relaxed);
        let heard = post.sightings().count;
        Place { fellowship: Arc::clone(self), post, waiting: true, since, heard }
    }
}

/// What is known at one authority.
#[derive(Debug, Default)]
struct Post {
    waiting: AtomicUsize,
    sightings: Mutex<Sightings>,
}

/// What names saw there on their own schedules.
#[derive(Clone, Copy, Debug, Default)]
struct Sightings {
    count: u64,
    /// The zone is there as it was at this moment, or newer.
    through: Option<Instant>,
}

impl Post {
    fn sightings(&self) -> Sightings {
        *self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record that was published at `since` was seen. Returns how many sightings there are.
    fn note(&self, since: Instant) -> u64 {
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        sightings.count += 1;
        sightings.through = sightings.through.max(Some(since));
        sightings.count
    }
}

/// One name waiting at one authority. Dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Place {
    fellowship: Arc<Fellowship>,
    post: Arc<Post>,
    waiting: bool,
    since: Instant,
    /// The sightings that it knows of.
    heard: u64,
}

impl Place {
    /// How many names wait here, this one included.
    pub(crate) fn fellows(&self) -> usize {
        self.post.waiting.load(Ordering::Relaxed).max(1)
    }

    /// Whether another name saw its record here since this was asked last, so that this one's is expected here too.
    pub(crate) fn heard_news(&mut self) -> bool {
        let Sightings { count, through } = self.post.sightings();
        let is_new = std::mem::replace(&mut self.heard, count) != count;
        is_new && through.is_some_and(|through| self.since <= through + TOGETHER)
    }

    /// The name sees its record here, or no longer. `tell`: it found out by itself, so the others should look too.
    pub(crate) fn set_visible(&mut self, visible: bool, tell: bool) {
        if visible && self.waiting {
            self.waiting = false;
            self.post.waiting.fetch_sub(1, Ordering::Relaxed);
            if tell {
                self.heard = self.post.note(self.since);
                self.fellowship.news.send_modify(|count| *count += 1);
            }
        } else if !visible && !self.waiting {
            self.waiting = true;
            self.post.waiting.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.waiting {
            self.post.waiting.fetch_sub(1, Ordering::Relaxed);
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
        assert_eq!(second.fellows(), 2);
        first.set_visible(true, true);
        assert!(!first.heard_news());
        assert_eq!(second.fellows(), 1);
        assert!(second.heard_news());
        assert!(!second.heard_news());
        second.set_visible(true, false);
        assert!(!first.heard_news());
        second.set_visible(false, false);
        assert_eq!(first.fellows(), 1);
        drop(second);
        let third = fellowship.join(address, now);
        assert_eq!(third.fellows(), 1);
        assert_eq!(third.post.waiting.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn only_what_was_published_before_the_record_that_was_seen_is_expected() {
        let fellowship = Fellowships::default().of(&Name::parse("example.test").unwrap());
        let (here, there) = (SocketAddr::from(([127, 0, 0, 1], 53)), SocketAddr::from(([127, 0, 0, 2], 53)));
        let begun = Instant::now();
        let at = |address, seconds| fellowship.join(address, begun + Duration::from_secs(seconds));
        let (mut early, mut canary, mut beside, mut late) = (at(here, 0), at(here, 60), at(here, 63), at(here, 120));
        let mut elsewhere = at(there, 0);
        canary.set_visible(true, true);
        assert!(early.heard_news() && beside.heard_news());
        assert!(!late.heard_news() && !elsewhere.heard_news());
        // The zone never goes back to what it was when an older record was seen.
        early.set_visible(true, true);
        assert!(!late.heard_news() && beside.heard_news());
        let mut last = at(here, 121);
        last.set_visible(true, true);
        assert!(late.heard_news());
    }
}
