//! The way out through real sockets, and a real PowerDNS where one is said to be.

use std::{collections::BTreeMap, sync::Arc};

use super::{super::wire::Wire, shipped, txt};
use crate::{
    environment::Environment,
    error::{ErrorKind, Retry},
    http::Http,
    name::Name,
    provider::{
        DnsProvider, Found,
        settings::{Context, Settings},
    },
    record::{Record, RecordType},
    secret::Redactor,
};

fn context() -> Context {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Context { http: Http::new().unwrap(), redactor: Redactor::default() }
}

fn powerdns(url: &str, key: &str) -> Arc<dyn DnsProvider> {
    let settings = Settings {
        instance: "powerdns".to_owned(),
        id: "powerdns".to_owned(),
        table: BTreeMap::from([
            ("api_url".to_owned(), toml::Value::String(url.to_owned())),
            ("api_key".to_owned(), toml::Value::String(key.to_owned())),
        ]),
        environment: Environment::default(),
        allow_http: false,
        fallback: std::collections::BTreeMap::new(),
    };
    shipped("powerdns").open(&settings, &context()).unwrap()
}

#[tokio::test]
async fn a_refused_connection_has_certainly_not_acted() {
    // A port that nothing listens on any more.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x?token=secret-token", listener.local_addr().unwrap());
    drop(listener);
    let request = super::Outgoing {
        method: reqwest::Method::POST,
        url: url.parse().unwrap(),
        headers: vec![("X-A".to_owned(), "b".to_owned())],
        body: b"{}".to_vec(),
        what: "POST /x".to_owned(),
    };
    let failure = context().http.send(request).await.unwrap_err();
    assert!(!failure.may_have_acted);
    assert_eq!(failure.error.retry(), Retry::Later);
    assert!(!format!("{:?}", failure.error).contains("secret-token"));
}

/// Runs only where `DV_TEST_POWERDNS_URL` and `DV_TEST_POWERDNS_KEY` name a PowerDNS that holds the zone `example.com`.
#[tokio::test]
async fn powerdns_itself_keeps_the_others() {
    let environment = Environment::of_process();
    let (Some(url), Some(key)) = (environment.get("DV_TEST_POWERDNS_URL"), environment.get("DV_TEST_POWERDNS_KEY")) else {
        eprintln!("left out: a real PowerDNS (DV_TEST_POWERDNS_URL and DV_TEST_POWERDNS_KEY are not set)");
        return;
    };
    let provider = powerdns(url, key);
    let name = Name::parse("_dv.manifest.example.com").unwrap();
    let zone = provider.locate(&name).await.unwrap();
    assert_eq!(zone.name.as_str(), "example.com");
    let long = "x".repeat(300);
    let records = [
        txt("_dv.manifest.example.com", "foreign \"value\" \\ ;"),
        txt("_dv.manifest.example.com", "ours"),
        txt("_dv.manifest.example.com", &long),
    ];
    let [foreign, ours, long] = &records;
    for record in [foreign, ours, ours, long] {
        provider.publish(&zone, record).await.unwrap();
        assert!(matches!(provider.find(&zone, record).await.unwrap(), Found::Present(_)), "{record:?}");
    }
    for record in [long, ours, ours] {
        provider.withdraw(&zone, record, None).await.unwrap();
        assert_eq!(provider.find(&zone, record).await.unwrap(), Found::Absent);
        assert!(matches!(provider.find(&zone, foreign).await.unwrap(), Found::Present(_)));
    }
    provider.withdraw(&zone, foreign, None).await.unwrap();
    assert_eq!(provider.find(&zone, foreign).await.unwrap(), Found::Absent);

    let alias = Record { record_type: RecordType::Cname, value: "target.example.net".to_owned(), ..ours.clone() };
    for _ in 0..2 {
        provider.publish(&zone, &alias).await.unwrap();
    }
    assert!(matches!(provider.find(&zone, &alias).await.unwrap(), Found::Present(_)));
    // A TXT record cannot stand beside a CNAME.
    let error = provider.publish(&zone, ours).await.unwrap_err();
    assert!(error.to_string().contains("Conflicts with pre-existing RRset"), "{error}");
    provider.withdraw(&zone, &alias, None).await.unwrap();

    let error = powerdns(url, "wrong-key").locate(&name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let error = provider.locate(&Name::parse("_dv.example.org").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("no zone of this account"), "{error}");
}
