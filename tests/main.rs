//! dv-verify from outside: one binary for all integration tests, one module per ring.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod interop;
mod lab;
mod outside;
mod sdk;
mod seen;
mod tls;
