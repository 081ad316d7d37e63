//! The binary from outside, against the sandbox.

mod bad_input;
mod context;
mod fates;
mod fleet;
mod journeys;
mod kills;

#[allow(clippy::print_stdout, reason = "what was left out is said")]
#[path = "../../src/test_postgres.rs"]
mod postgres;
