//! Names of one zone that wait for the same authority: they share the schedule of one, and wake each other.
//!
//! A zone reaches an authority as a whole. So when one name sees its record there, the others most likely will too: each asks at
//! once. Only what a name finds on its own schedule wakes the others; else a thousand names would wake each other in turn.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::watch;

use crate::name::Name;

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

    /// The place of one name in the line at one authority.
    pub(crate) fn join(self: &Arc<Self>, address: SocketAddr) -> Place {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let post = Arc::clone(at.entry(address).or_default());
        post.waiting.fetch_add(1, Ordering::Relaxed);
        let seen = post.sightings.load(Ordering::Relaxed);
        Place { fellowship: Arc::clone(self), post, waiting: true, seen }
    }
}

/// What is known at one authority.
#[derive(Debug, Default)]
struct Post {
    waiting: AtomicUsize,
    sightings: AtomicU64,
}

/// One name waiting at one authority. Dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Place {
    fellowship: Arc<Fellowship>,
    post: Arc<Post>,
    waiting: bool,
    seen: u64,
}

impl Place {
    /// How many names wait here, this one included.
    pub(crate) fn fellows(&self) -> usize {
        self.post.waiting.load(Ordering::Relaxed).max(1)
    }

    /// Whether another name saw its record here since this was asked last.
    pub(crate) fn heard_news(&mut self) -> bool {
        let now = self.post.sightings.load(Ordering::Relaxed);
        std::mem::replace(&mut self.seen, now) != now
    }

    /// The name sees its record here, or no longer. `tell`: it found out by itself, so the others should look too.
    pub(crate) fn set_visible(&mut self, visible: bool, tell: bool) {
        if visible && self.waiting {
            self.waiting = false;
            self.post.waiting.fetch_sub(1, Ordering::Relaxed);
            if tell {
                self.seen = self.post.sightings.fetch_add(1, Ordering::Relaxed) + 1;
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
        let (mut first, mut second) = (fellowship.join(address), fellowship.join(address));
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
        let third = fellowship.join(address);
        assert_eq!(third.fellows(), 1);
        assert_eq!(third.post.waiting.load(Ordering::Relaxed), 1);
    }
}
