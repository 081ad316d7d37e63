//! Propagation against servers that nobody here wrote: BIND as primary, Knot and NSD as secondaries that lag for as long as a test
//! wants, Unbound as resolver, all on loopback.
//!
//! What is expected of each case stands in `docs/propagation.md`. Where a server is not installed, the tests say so and pass; with
//! `DV_TEST_REQUIRE_SERVERS=1`, as `tests/run` sets it, they fail.

mod cases;
mod networks;
mod servers;
mod table;
mod waits;
mod whole_runs;

use std::time::Duration;

use dv_verify::{
    name::Name,
    propagation::{Options, Policy, Propagation},
    record::{Record, RecordType},
};

use servers::Laboratory;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn record(owner: &str, value: &str) -> Record {
    Record { name: name(owner), record_type: RecordType::Txt, value: value.to_owned() }
}

/// Finds everything by itself, as on the internet.
fn discovering(laboratory: &Laboratory, policy: Policy) -> Propagation {
    let options = Options {
        resolver: Some(laboratory.resolver()),
        port: laboratory.port,
        policy,
        query_timeout: Duration::from_millis(900),
        ..Options::default()
    };
    Propagation::new(options).unwrap()
}
