//! The table: each fault with each kind of provider, with one order and with two that share name and value.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use dv_verify::{
    failpoint::{FILE_POINTS, POINTS},
    sandbox::Service,
};

use super::{
    damage::Damage,
    fault::{Broken, Fault, OnDisk, Silence, Times},
    kind::Kind,
    scene::Scene,
};
use crate::interop::servers::installed;

/// What a scene says where this machine does not let a small disk be mounted.
pub(super) const LEFT_OUT: &str = "left out: no file system can be mounted here";

/// How many combinations run at the same time: most of the time each waits.
const AT_ONCE: usize = 6;

/// Only combinations with this in their name, to repeat one alone.
const ONLY: &str = "DV_TEST_CRASH_ONLY";

/// Kills at every point. With two orders the process dies when the second one comes to it, where both do.
fn kills() -> Vec<(Fault, usize)> {
    let one = POINTS.iter().map(|point| (Fault::Kill(point, 1), 1));
    let two = POINTS.iter().map(|point| {
        // One record for two holders: these are reached by the last one only.
        // And a record that both want lets the CA issue the second order before that has seen, or written, anything.
        let only_once = point.starts_with("withdraw.") || point.starts_with("visible.");
        (Fault::Kill(point, if only_once { 1 } else { 2 }), 2)
    });
    one.chain(two).collect()
}

/// Kills from outside, where most is at stake.
fn sigkills() -> Vec<(Fault, usize)> {
    let one = [
        "publish.after-intent",
        "publish.after-write",
        "publish.after-handle",
        "visible.after",
        "files.write",
        "files.live",
        "deliver.after-memory",
        "withdraw.after-release",
        "withdraw.after-removal",
        "hook.before",
        "end.before-finished",
    ];
    let one = one.iter().map(|point| (Fault::Sigkill(point, 1), 1));
    let two = [("publish.after-write", 2), ("deliver.after-files", 2), ("withdraw.after-removal", 1)];
    one.chain(two.iter().map(|(point, time)| (Fault::Sigkill(point, *time), 2))).collect()
}

/// Kills between the steps of putting a file into a web root and taking it away.
fn kills_in_web_root() -> Vec<(Fault, usize)> {
    let kills = FILE_POINTS.iter().flat_map(|point| [(Fault::Kill(point, 1), 1), (Fault::Kill(point, 1), 2)]);
    kills.chain(FILE_POINTS.iter().map(|point| (Fault::Sigkill(point, 1), 1))).collect()
}

/// What is tried with a server of somebody else: the kills around what it is told and asked.
fn with_bind() -> Vec<(Fault, usize)> {
    let is_about_records = |(fault, _): &(Fault, usize)| match fault {
        Fault::Kill(point, _) | Fault::Sigkill(point, _) => {
            ["publish.", "visible.", "withdraw."].iter().any(|start| point.starts_with(start))
        }
        _ => false,
    };
    kills().into_iter().chain(sigkills()).filter(is_about_records).collect()
}

/// Everything else.
fn others() -> Vec<(Fault, usize)> {
    let mut all = Vec::new();
    for broken in [Broken::Drop, Broken::LostReply, Broken::Error] {
        for times in [Times::Once, Times::ForEver] {
            all.push((Fault::Calls(Service::Provider, broken, times), if times == Times::Once { 2 } else { 1 }));
            all.push((Fault::Calls(Service::Cas, broken, times), 1));
        }
    }
    all.push((Fault::Calls(Service::Cas, Broken::Throttle, Times::Once), 2));
    all.push((Fault::Calls(Service::Cas, Broken::Garbage, Times::Once), 1));
    all.push((Fault::Calls(Service::Provider, Broken::Throttle, Times::Once), 1));
    // What is read, and what takes the record away.
    for (point, broken, times) in [
        ("read.before", Broken::Error, Times::ForEver),
        ("read.before", Broken::Drop, Times::Once),
        ("withdraw.before-release", Broken::Error, Times::ForEver),
        ("withdraw.before-release", Broken::Error, Times::Once),
        ("withdraw.before-release", Broken::LostReply, Times::Once),
    ] {
        all.push((Fault::From(point, broken, times), 1));
    }
    for point in ["publish.before-intent", "publish.after-write", "deliver.before", "files.place", "withdraw.after-removal"] {
        all.push((Fault::DiskFull(point, OnDisk::All), if point.starts_with("publish") { 2 } else { 1 }));
    }
    for point in ["read.before", "publish.after-intent", "visible.before", "deliver.after-files", "withdraw.after-removal"] {
        all.push((Fault::DiskFull(point, OnDisk::State), 1));
    }
    for (point, orders) in [("publish.before-intent", 1), ("files.write", 1), ("files.live", 2)] {
        all.push((Fault::DiskFull(point, OnDisk::Certificates), orders));
    }
    for point in ["publish.before-intent", "publish.after-write", "visible.after", "withdraw.before-release"] {
        all.push((Fault::Network(point, Silence::Closed), 1));
    }
    all.push((Fault::Network("publish.after-intent", Silence::Swallowed), 1));
    all.push((Fault::Network("visible.before", Silence::Swallowed), 1));
    for (point, orders) in [("publish.after-intent", 1), ("publish.after-write", 2), ("visible.before", 1), ("deliver.before", 2)]
    {
        all.push((Fault::Restart(point), orders));
    }
    for (point, seconds) in
        [("read.after", 86_400), ("publish.after-write", 7_200), ("publish.after-write", -7_200), ("deliver.before", 172_800)]
    {
        all.push((Fault::Clock(point, seconds), 1));
    }
    all.push((Fault::CasClock(3_600), 1));
    for (point, damage, orders) in [
        ("publish.after-handle", Damage::StoreCut, 1),
        ("publish.after-handle", Damage::StoreRubbish, 2),
        ("publish.after-write", Damage::StoreRubbish, 1),
        ("publish.after-intent", Damage::StoreCut, 1),
        ("visible.before", Damage::LogCut, 1),
        ("publish.after-write", Damage::NotesCut, 1),
        ("deliver.before", Damage::NotesCut, 2),
        ("visible.before", Damage::LocksCut, 2),
        ("deliver.before", Damage::LocksCut, 1),
        ("files.place", Damage::CertificateCut, 1),
        ("deliver.after-files", Damage::CertificateCut, 2),
        ("deliver.after-files", Damage::AboutCut, 1),
        ("deliver.after-memory", Damage::LiveDangling, 1),
        ("deliver.after-memory", Damage::LiveGone, 2),
        ("withdraw.after-removal", Damage::CertificateCut, 1),
    ] {
        all.push((Fault::Cut(point, damage), orders));
    }
    all
}

/// One combination. `Ok(false)`: left out. A run that never came to its fault, since the CA was quicker than a busy machine, has shown nothing and
/// is tried again; a fault that is never reached fails all the same.
fn combination(kind: Kind, orders: usize, fault: &Fault) -> Result<bool, String> {
    let mut outcome = attempt(kind, orders, fault);
    for _ in 1..3 {
        if !outcome.as_ref().is_err_and(|why| why.starts_with("the run ended before it came to")) {
            break;
        }
        outcome = attempt(kind, orders, fault);
    }
    outcome
}

fn attempt(kind: Kind, orders: usize, fault: &Fault) -> Result<bool, String> {
    let on_disk = if let Fault::DiskFull(_, on_disk) = fault { Some(*on_disk) } else { None };
    let mut scene = match Scene::new(kind, orders, on_disk) {
        Err(why) if why == LEFT_OUT => return Ok(false),
        scene => scene?,
    };
    scene.run_with(fault)?;
    scene.finish()?;
    Ok(true)
}

/// Tries every row, several at a time, and fails with what all those say that fail. A row may say that it was left out (`false`).
#[expect(clippy::print_stderr, reason = "how much was tried is part of the result")]
pub(super) fn all_at_once<T: Sync>(rows: &[T], attempt: impl Fn(&T) -> Result<bool, String> + Sync) {
    let (next, left_out, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match attempt(row) {
                        Ok(true) => {}
                        Ok(false) => drop(left_out.fetch_add(1, Ordering::SeqCst)),
                        Err(why) => failures.lock().unwrap().push(why),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    eprintln!("{} combinations, {} left out, {} failed", rows.len(), left_out.into_inner(), failures.len());
    assert!(failures.is_empty(), "{} of {} failed:\n\n{}", failures.len(), rows.len(), failures.join("\n\n"));
}

/// Goes through all combinations with one kind of provider, and names those that failed with the command that repeats each alone.
fn all_of(kind: Kind, faults: Vec<(Fault, usize)>, test: &str) {
    let only = std::env::var(ONLY).unwrap_or_default();
    let named = |(fault, orders): (Fault, usize)| (format!("{}/{orders}/{fault}", kind.word()), fault, orders);
    let table: Vec<(String, Fault, usize)> = faults.into_iter().map(named).filter(|(name, ..)| name.contains(&only)).collect();
    all_at_once(&table, |(name, fault, orders)| {
        let alone = || format!("alone: {ONLY}={name} cargo test --all-features --test main {test}");
        combination(kind, *orders, fault).map_err(|why| format!("{name}\n{}\n{why}", alone()))
    });
}

/// The whole table.
fn all() -> Vec<(Fault, usize)> {
    let all: Vec<(Fault, usize)> = kills().into_iter().chain(sigkills()).chain(others()).collect();
    assert!(all.len() >= 100, "the table is complete");
    all
}

#[test]
fn one_record_for_each_value() {
    all_of(Kind::OneRecord, all(), "one_record_for_each_value");
}

#[test]
fn whole_sets() {
    all_of(Kind::Merge, all(), "whole_sets");
}

#[test]
fn dns_updates() {
    all_of(Kind::Rfc2136, all(), "dns_updates");
}

#[test]
fn files_on_web_servers() {
    all_of(Kind::File, all().into_iter().chain(kills_in_web_root()).collect(), "files_on_web_servers");
}

#[test]
fn dns_updates_to_bind() {
    if installed(&["named", "nsupdate", "dig"]) {
        all_of(Kind::Bind, with_bind(), "dns_updates_to_bind");
    }
}
