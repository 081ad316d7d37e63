//! Tests of the whole engine, without a network.

mod conformance;
mod engine;
mod fakes;
mod hostile;
mod lists;
mod loading;
mod page;
mod refusals;
mod schema;
mod session;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{StatusCode, header::HeaderMap};

use super::{
    Manifest,
    call::Outgoing,
    clock::Clock,
    engine::Engine,
    wire::{Failure, Wire},
};
use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result, Retry},
    http::Reply,
    name::Name,
    provider::{Zone, settings::Settings},
    record::{Record, RecordType},
    secret::Redactor,
};

/// What a fake service answers.
type Answer = Result<Reply, Failure>;

/// A server in a closure.
struct Server<F>(Mutex<F>);

#[async_trait]
impl<F: FnMut(Outgoing) -> Answer + Send> Wire for Server<F> {
    async fn send(&self, request: Outgoing) -> Answer {
        // Others get a turn between any two calls.
        tokio::task::yield_now().await;
        (self.0.lock().unwrap())(request)
    }
}

fn server<F: FnMut(Outgoing) -> Answer + Send + 'static>(answer: F) -> Arc<dyn Wire> {
    Arc::new(Server(Mutex::new(answer)))
}

#[expect(clippy::unnecessary_wraps, reason = "fakes answer with it as with `broken`")]
fn reply(status: u16, body: impl Into<String>) -> Answer {
    let body: String = body.into();
    Ok(Reply { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: Bytes::from(body) })
}

/// A connection that broke before or after the server had acted.
fn broken(may_have_acted: bool) -> Answer {
    let error = Error::new(ErrorKind::Provider, "no answer").with_retry(Retry::Later);
    Err(Failure { error, may_have_acted })
}

fn clock() -> Clock {
    Clock::fixed("2026-01-02T03:04:05Z".parse().unwrap(), "0123456789abcdef0123456789abcdef")
}

fn settings<const N: usize>(manifest: &Manifest, table: [(&str, &str); N]) -> Settings {
    Settings {
        instance: manifest.id().to_owned(),
        id: manifest.id().to_owned(),
        table: table
            .into_iter()
            .map(|(key, value)| (key.to_owned(), toml::Value::String(value.to_owned())))
            .collect::<BTreeMap<_, _>>(),
        environment: Environment::default(),
        allow_http: false,
        fallback: BTreeMap::new(),
        renewed: None,
    }
}

fn open<const N: usize>(manifest: &Manifest, table: [(&str, &str); N], wire: Arc<dyn Wire>) -> Engine {
    manifest.engine(&settings(manifest, table), wire, clock(), &Redactor::default()).unwrap()
}

fn user(text: &str) -> Manifest {
    Manifest::parse(text, "mine.toml", false).unwrap_or_else(|error| panic!("{error:?}"))
}

fn shipped(id: &str) -> Manifest {
    let (_, text) = super::builtin().iter().find(|(known, _)| *known == id).unwrap();
    Manifest::parse(text, id, true).unwrap_or_else(|error| panic!("{error:?}"))
}

fn zone(name: &str, fields: &[(&str, &str)]) -> Zone {
    let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    Zone { name: Name::parse(name).unwrap(), fields }
}

fn txt(name: &str, value: &str) -> Record {
    Record { name: Name::parse(name).unwrap(), record_type: RecordType::Txt, value: value.to_owned() }
}
