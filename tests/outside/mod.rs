//! The binary from outside, against the sandbox.

mod bad_input;
mod context;
mod fates;
mod journeys;
mod kills;
mod trial;
