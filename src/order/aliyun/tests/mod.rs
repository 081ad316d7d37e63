//! The client and the source as a whole, against a scripted server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use url::Url;

use self::scripted::Server;
use super::{client::Stamp, *};
use crate::{
    environment::Environment,
    error::{ErrorKind, Retry},
    order::OrderState,
};

mod calls;
mod scripted;
mod source;

const SECRET: &str = "planted-secret";
const TOKEN: &str = "planted/token+x==";

/// Every stamp is one second after the one before.
fn stamps() -> Surroundings {
    let seconds = AtomicI64::new(1_767_323_045); // 2026-01-02T03:04:05Z
    let stamp = move || {
        let second = seconds.fetch_add(1, Ordering::SeqCst);
        Stamp { nonce: format!("nonce-{second}"), timestamp: Timestamp::from_second(second).unwrap() }
    };
    Surroundings { stamp: Arc::new(stamp), first_pause: Duration::from_millis(1) }
}

fn http() -> Http {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Http::new().unwrap()
}

fn options(server: &Server) -> CasOptions {
    CasOptions { endpoint: Some(server.url.clone()), calls_per_second: 1_000_000, ..CasOptions::default() }
}

fn keys() -> Environment {
    Environment::of([("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)])
}

fn temporary_keys() -> Environment {
    Environment::of([
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "STS.testid"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", TOKEN),
    ])
}

fn cas_with(options: CasOptions, environment: Environment, http: Http) -> Cas {
    let redactor = Redactor::default();
    let chain = CredentialChain::new(environment, http.clone(), redactor.clone());
    Cas::with_surroundings(options, chain, http, redactor, stamps()).unwrap()
}

fn chain(environment: Environment) -> CredentialChain {
    CredentialChain::new(environment, http(), Redactor::default())
}

fn cas(server: &Server) -> Cas {
    cas_with(options(server), keys(), http())
}

fn cas_2018(server: &Server) -> Cas {
    cas_with(CasOptions { generations: vec![Generation::Api2018], ..options(server) }, keys(), http())
}

fn id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

const CHECKING: &str =
    r#"{"CheckValue":"v","OrderStatus":"checking","CheckType":"DNS","RequestId":"R","CheckName":"_x.example.com"}"#;
