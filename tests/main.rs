//! dv-verify from outside: one binary for all integration tests, one module per ring.

mod interop;
