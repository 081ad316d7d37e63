//! The binary from outside, against the sandbox.

mod bad_input;
mod context;
#[cfg(feature = "failpoints")]
mod crash;
mod cron;
mod fates;
mod journeys;
mod life;
mod overlap;
mod secrets;
mod trial;
