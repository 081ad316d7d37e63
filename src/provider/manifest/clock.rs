//! Time, randomness and waiting, handed in so that tests decide them.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;

/// A future that ends after a pause.
pub(super) type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where an engine takes time and randomness from. Cheap to clone.
#[derive(Clone)]
pub(super) struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    nonce: Arc<dyn Fn() -> String + Send + Sync>,
    pause: Arc<dyn Fn(Duration) -> Pause + Send + Sync>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// The real time, real randomness and real pauses.
    pub(super) fn real() -> Self {
        Self {
            now: Arc::new(crate::failpoint::now),
            nonce: Arc::new(|| format!("{:032x}", rand::random::<u128>())),
            pause: Arc::new(|time| Box::pin(tokio::time::sleep(time))),
        }
    }

    /// A time that stands still, a fixed nonce, and pauses that end at once.
    pub(super) fn fixed(now: Timestamp, nonce: &str) -> Self {
        let nonce = nonce.to_owned();
        Self {
            now: Arc::new(move || now),
            nonce: Arc::new(move || nonce.clone()),
            pause: Arc::new(|_| Box::pin(std::future::ready(()))),
        }
    }

    /// The time of an attempt and a nonce for it: both fresh each time.
    pub(super) fn moment(&self) -> Moment {
        Moment { time: (self.now)(), nonce: (self.nonce)() }
    }

    /// Waits.
    pub(super) fn pause(&self, time: Duration) -> Pause {
        (self.pause)(time)
    }
}

/// When an attempt is made, and its nonce (32 hex digits).
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// The time.
    pub(super) time: Timestamp,
    /// The nonce.
    pub(super) nonce: String,
}
