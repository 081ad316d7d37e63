//! Against servers that nobody here wrote: BIND, Knot and PowerDNS from Debian, moto from `PyPI`, on loopback.
//!
//! Where one is not installed, its tests say so and pass; with `DV_TEST_REQUIRE_SERVERS=1`, as `tests/run` sets it, they fail.

use std::sync::Arc;

use dv_verify::{
    environment::Environment,
    http::Http,
    provider::{
        DnsProvider,
        registry::Registry,
        settings::{Context, Settings},
    },
    secret::Redactor,
};

mod acme;
mod hooks;
mod lexicon;
mod powerdns;
mod rfc2136;
mod route53;
mod secondary;
pub(crate) mod servers;

/// A provider over these variables.
fn opened<const N: usize>(id: &str, variables: [(&str, &str); N]) -> Arc<dyn DnsProvider> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context { http: Http::new().unwrap(), redactor: Redactor::default() };
    Registry::load(None).unwrap().open(&Settings::of_builtin(id, Environment::of(variables)), &context).unwrap()
}
