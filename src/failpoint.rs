//! Named points at which tests kill the process, to show that the next run finishes the work. Only with the feature `failpoints`.

/// Ends the process at once, without running any destructor, where `DV_FAILPOINT` names this point (`name`, or `name:3` for the third time).
#[cfg(feature = "failpoints")]
pub(crate) fn reach(point: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static TIMES: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var("DV_FAILPOINT") else { return };
    let (name, time) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if name == point && (TIMES.fetch_add(1, Ordering::SeqCst) + 1).to_string() == time {
        std::process::abort();
    }
}

/// Does nothing: this build has no failpoints.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn reach(_: &str) {}

/// Every point, for the tests that visit them all.
pub const POINTS: &[&str] = &[
    "publish.before-intent",
    "publish.after-intent",
    "publish.after-write",
    "publish.after-handle",
    "deliver.before",
    "deliver.after-files",
    "deliver.after-memory",
    "withdraw.before-release",
    "withdraw.after-release",
    "withdraw.after-removal",
    "withdraw.after-forget",
    "hook.before",
    "hook.after",
    "end.before-finished",
];
