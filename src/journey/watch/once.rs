//! Warnings that come again with every look are passed on once an hour.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use crate::journey::event::{Event, Observer};
use crate::mutex::locked;

/// How long the same words are not said again.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// Warnings about no order in particular go through once an hour; everything else always does.
pub(super) struct OnceAnHour {
    observer: Arc<dyn Observer>,
    said: Mutex<HashMap<String, Instant>>,
}

impl OnceAnHour {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, said: Mutex::default() }
    }

    fn is_news(&self, message: &str, now: Instant) -> bool {
        let mut said = locked(&self.said);
        said.retain(|_, at| *at + SILENCE > now);
        if said.contains_key(message) {
            return false;
        }
        said.insert(message.to_owned(), now);
        true
    }
}

impl Observer for OnceAnHour {
    fn event(&self, event: &Event<'_>) {
        if let Event::Warning { order: None, message, .. } = event
            && !self.is_news(message, Instant::now())
        {
            return;
        }
        self.observer.event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::event::Silent;

    #[test]
    fn the_same_words_come_once_an_hour() {
        let once = OnceAnHour::new(Arc::new(Silent));
        let now = Instant::now();
        assert!(once.is_news("a", now));
        assert!(!once.is_news("a", now + SILENCE - Duration::from_secs(1)));
        assert!(once.is_news("b", now));
        assert!(once.is_news("a", now + SILENCE));
    }
}
