//! The binary from outside, against the sandbox.

mod bad_input;
pub(crate) mod context;
#[cfg(feature = "failpoints")]
mod crash;
mod cron;
mod fates;
mod journeys;
mod overlap;
mod own_provider;
mod providers;
mod secrets;
mod trial;
