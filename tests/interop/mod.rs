//! Against servers that nobody here wrote: BIND, Knot and PowerDNS from Debian, on loopback.
//!
//! Where one is not installed, its tests say so and pass; with `DV_TEST_REQUIRE_SERVERS=1`, as `tests/run` sets it, they fail.

mod acme;
mod hooks;
mod lexicon;
mod powerdns;
mod rfc2136;
mod secondary;
pub(crate) mod servers;
