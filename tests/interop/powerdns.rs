//! The manifest `powerdns` against PowerDNS's HTTP API.

use std::{net::SocketAddr, sync::Arc};

use dv_verify::{
    error::ErrorKind,
    http::Http,
    provider::{DnsProvider, Found},
    record::RecordType,
};

use super::{
    rfc2136::record,
    servers::{
        OPEN_ZONE, dig,
        powerdns::{API_KEY, powerdns},
    },
};

/// The provider for this API.
fn opened(api: SocketAddr, api_key: &str) -> Arc<dyn DnsProvider> {
    super::opened("powerdns", [("DV_POWERDNS_API_URL", &format!("http://{api}")), ("DV_POWERDNS_API_KEY", api_key)])
}

/// The fixture itself: an administrator adds a value while the server runs, and the API and DNS show it at once.
#[tokio::test]
async fn the_api_shows_what_an_administrator_adds() {
    let Some(server) = powerdns() else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    server.add(OPEN_ZONE, "_dv.fixture", "TXT", "\"theirs\"");
    assert_eq!(dig(server.address, "_dv.fixture.example.test", "TXT"), ["\"theirs\""]);
    let url = format!("http://{}/api/v1/servers/localhost/zones/{OPEN_ZONE}.?rrset_name=_dv.fixture.{OPEN_ZONE}.", server.api);
    let http = Http::new().unwrap();
    let request = http.client().get(url).header("X-API-Key", API_KEY).build().unwrap();
    let reply = http.execute(request, ErrorKind::Provider, "GET /zones").await.unwrap();
    assert!(reply.status.is_success() && reply.text().contains(r#""content": "\"theirs\"""#), "{}", reply.text());
}

#[tokio::test]
async fn the_foreign_value_stays() {
    let Some(server) = powerdns() else { return };
    let provider = opened(server.api, API_KEY);
    let name = "_dv.api.example.test";
    server.add(OPEN_ZONE, "_dv.api", "TXT", "\"theirs\"");
    let ours = record(name, RecordType::Txt, "ours");
    let zone = provider.locate(&ours.name).await.unwrap();
    assert_eq!(zone.name.as_str(), OPEN_ZONE);
    assert_eq!(provider.find(&zone, &ours).await.unwrap(), Found::Absent);
    let mut handle = None;
    for _ in 0..2 {
        handle = Some(provider.publish(&zone, &ours).await.unwrap());
        assert_eq!(dig(server.address, name, "TXT"), ["\"ours\"", "\"theirs\""]);
    }
    assert!(matches!(provider.find(&zone, &ours).await.unwrap(), Found::Present(_)));
    for _ in 0..2 {
        provider.withdraw(&zone, &ours, handle.as_ref()).await.unwrap();
        assert_eq!(dig(server.address, name, "TXT"), ["\"theirs\""]);
    }
}

#[tokio::test]
async fn a_long_text_and_an_alias_come_and_go() {
    let Some(server) = powerdns() else { return };
    let provider = opened(server.api, API_KEY);
    let long = record("_dv.apilong.example.test", RecordType::Txt, &"x".repeat(300));
    let zone = provider.locate(&long.name).await.unwrap();
    provider.publish(&zone, &long).await.unwrap();
    assert!(matches!(provider.find(&zone, &long).await.unwrap(), Found::Present(_)));
    let shown = dig(server.address, "_dv.apilong.example.test", "TXT");
    assert_eq!(shown.iter().map(|line| line.matches('x').count()).collect::<Vec<_>>(), [300]);
    provider.withdraw(&zone, &long, None).await.unwrap();
    assert_eq!(dig(server.address, "_dv.apilong.example.test", "TXT"), Vec::<String>::new());
    let alias = record("_dv.apicname.example.test", RecordType::Cname, "abc.validation.test");
    provider.publish(&zone, &alias).await.unwrap();
    assert_eq!(dig(server.address, "_dv.apicname.example.test", "CNAME"), ["abc.validation.test."]);
    provider.withdraw(&zone, &alias, None).await.unwrap();
    assert_eq!(dig(server.address, "_dv.apicname.example.test", "CNAME"), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_key_is_a_matter_of_credentials() {
    let Some(server) = powerdns() else { return };
    let provider = opened(server.api, "wrong-key");
    let ours = record("_dv.api.example.test", RecordType::Txt, "ours");
    let error = provider.locate(&ours.name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials, "{error:?}");
    assert!(!format!("{error:?}").contains("wrong-key"));
}

#[tokio::test]
async fn a_zone_that_is_not_there_is_said_to_be_missing() {
    let Some(server) = powerdns() else { return };
    let provider = opened(server.api, API_KEY);
    let ours = record("_dv.elsewhere.test", RecordType::Txt, "ours");
    let error = provider.locate(&ours.name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider, "{error:?}");
}
