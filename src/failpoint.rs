//! Named points at which tests let something happen to the process, to show that the next run finishes the work. Only with the feature
//! `failpoints`; without it every call is empty, and the clock is the real one.
//!
//! `DV_FAILPOINT` names the point (`name`, or `name:3` for the third time), `DV_FAILPOINT_DOES` what happens there, once:
//! `abort` (the default; no destructor runs), `pause:FOLDER` (makes `FOLDER/reached`, goes on once `FOLDER/go` is there), `clock:SECONDS`
//! (the clock of this process jumps).

/// Every point, for the tests that visit them all. Those of `files.` are before the step that they name; `files.write` is reached once
/// for each file.
pub const POINTS: &[&str] = &[
    "read.before",
    "read.after",
    "publish.before-intent",
    "publish.after-intent",
    "publish.after-write",
    "publish.after-handle",
    "visible.before",
    "visible.after",
    "deliver.before",
    "files.write",
    "files.place",
    "files.live",
    "deliver.after-files",
    "deliver.after-memory",
    "withdraw.before-release",
    "withdraw.after-release",
    "withdraw.after-removal",
    "withdraw.after-forget",
    "hook.before",
    "hook.after",
    "end.before-finished",
    "end.after-finished",
];

/// The points that only a store that machines share leads to: a whole set was written, and is not read again yet.
pub const SHARED_POINTS: &[&str] = &["publish.before-second-look"];

/// The points that only an order at an ACME CA reaches.
pub const ACME_POINTS: &[&str] = &["acme.after-order", "acme.after-memory", "acme.before-finalize", "acme.after-finalize"];

/// The points that only an application at CAS reaches: its intent is kept and nothing sent; it was sent and its order is not kept.
pub const APPLY_POINTS: &[&str] = &["apply.before", "apply.after"];

/// The points that only a file in a web root reaches: its folders are made; it is written under another name; it has its name as well; it is gone
/// and its folders are not.
pub const FILE_POINTS: &[&str] =
    &["webroot.after-folders", "webroot.after-temporary", "webroot.after-place", "webroot.after-removal"];

/// Lets happen what is to happen at this point.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(point: &str) {
    armed::reach(point);
}

/// Does nothing: this build has no failpoints.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn reach(_: &str) {}

/// The time of day, as this process has it.
#[cfg(feature = "failpoints")]
pub(crate) fn now() -> jiff::Timestamp {
    armed::now()
}

/// The time of day.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::{
        path::Path,
        sync::atomic::{AtomicI64, AtomicU32, Ordering},
        time::Duration,
    };

    /// How often the point was reached.
    static TIMES: AtomicU32 = AtomicU32::new(0);

    /// How far the clock jumped, in seconds.
    static JUMPED: AtomicI64 = AtomicI64::new(0);

    /// How long a pause lasts at most: a test that died must not leave a process for ever.
    const LONGEST_PAUSE: Duration = Duration::from_secs(60);

    pub(super) fn reach(point: &str) {
        let Ok(wanted) = std::env::var("DV_FAILPOINT") else { return };
        let (name, time) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        if name != point || (TIMES.fetch_add(1, Ordering::SeqCst) + 1).to_string() != time {
            return;
        }
        let does = std::env::var("DV_FAILPOINT_DOES").unwrap_or_default();
        match does.split_once(':') {
            Some(("pause", folder)) => pause(Path::new(folder)),
            Some(("clock", seconds)) => JUMPED.store(seconds.parse().unwrap_or_default(), Ordering::SeqCst),
            _ => std::process::abort(),
        }
    }

    pub(super) fn now() -> jiff::Timestamp {
        let now = jiff::Timestamp::now();
        let jumped = jiff::SignedDuration::from_secs(JUMPED.load(Ordering::SeqCst));
        now.checked_add(jumped).unwrap_or(now)
    }

    fn pause(folder: &Path) {
        let began = std::time::Instant::now();
        let reached = std::fs::write(folder.join("reached"), "").is_ok();
        while reached && !folder.join("go").exists() && began.elapsed() < LONGEST_PAUSE {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
