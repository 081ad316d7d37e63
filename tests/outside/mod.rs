//! The binary from outside, against the sandbox.

mod accounts;
mod bad_input;
mod bad_store;
pub(crate) mod context;
#[cfg(feature = "failpoints")]
mod crash;
mod cron;
mod deploy;
mod deployment;
mod fates;
mod files;
mod fleet;
mod fleet_watch;
#[cfg(feature = "failpoints")]
mod full_server;
mod interrupts;
mod journeys;
mod language;
mod life;
mod live_systemd;
mod mistakes;
mod notify;
mod overlap;
mod own_provider;
mod pages;
mod providers;
mod proxy;
mod regions;
mod secrets;
mod systemd;
mod translations;
mod trial;
mod units;
mod watch;
pub(crate) mod watcher;

#[allow(clippy::print_stdout, reason = "what was left out is said")]
#[path = "../../src/test_postgres.rs"]
pub(crate) mod postgres;

#[cfg(feature = "failpoints")]
#[allow(dead_code, clippy::print_stdout, reason = "tests inside the library use the rest; what was left out is said")]
#[path = "../../src/test_disk.rs"]
mod test_disk;

pub(crate) use bad_input::run_with_small_disk;
pub(crate) use context::Ran;
