//! The facts that the rules' tests start from.

use super::facts::{Facts, ServerFacts, Standing, ZoneFacts};
use crate::propagation::{
    Authority, Target,
    testing::{name, record},
};

/// A server of `example.test` that shows these values.
pub(super) fn server(called: &str, address: &str, serial: u32, values: &[&str]) -> ServerFacts {
    ServerFacts {
        authority: Authority { server: called.to_owned(), address: address.parse().unwrap() },
        standing: Standing::Serves(serial),
        name_servers: vec![name("a.ns.test"), name("b.ns.test")],
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
    }
}

/// Two servers that show `v` at `_dnsauth.example.test`, and nothing wrong.
pub(super) fn facts() -> Facts {
    let place = name("_dnsauth.example.test");
    Facts {
        name: place.clone(),
        wildcard: false,
        record: Some(record("_dnsauth.example.test", "v")),
        target: Ok(Target { name: place, chain: Vec::new(), synthesised: false }),
        zone: Ok(ZoneFacts {
            zone: Some(name("example.test")),
            parent: Some((name("test"), vec![name("a.ns.test"), name("b.ns.test")])),
            servers: vec![server("a.ns.test", "192.0.2.1:53", 7, &["v"]), server("b.ns.test", "192.0.2.2:53", 7, &["v"])],
            left_out: Vec::new(),
        }),
        wildcard_values: Vec::new(),
        doubled: None,
        caa: Ok(None),
        dnssec: Vec::new(),
        reports: None,
        reached_over_https: None,
        discovered_over_https: None,
        intercepted: None,
    }
}
