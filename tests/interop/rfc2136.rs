//! The provider `rfc2136` against the three servers: each test runs against each.

use std::{net::SocketAddr, sync::Arc};

use dv_verify::{
    error::{ErrorKind, Result},
    name::Name,
    provider::{Access, DnsProvider, Found, Zone},
    record::{Record, RecordType},
};

use super::servers::{CHILD_ZONE, CLOSED_ZONE, Key, LOCKED_ZONE, OPEN_ZONE, OUR_KEY, dig, nsupdate};

/// A provider for `server` with this key and this zone setting (empty: found by asking).
pub(super) fn opened(server: SocketAddr, key: Option<Key>, zone: &str) -> Arc<dyn DnsProvider> {
    let server = server.to_string();
    let (name, secret) = key.map_or(("", ""), |key| (key.name, key.secret));
    let variables = [
        ("RFC2136_NAMESERVER", server.as_str()),
        ("RFC2136_TSIG_KEY", name),
        ("RFC2136_TSIG_SECRET", secret),
        ("DV_RFC2136_ZONE", zone),
    ];
    super::opened("rfc2136", variables)
}

pub(super) fn record(name: &str, record_type: RecordType, value: &str) -> Record {
    Record { name: Name::parse(name).unwrap(), record_type, value: value.to_owned() }
}

fn txt(name: &str, value: &str) -> Record {
    record(name, RecordType::Txt, value)
}

fn is_present(found: Found) -> bool {
    matches!(found, Found::Present(_))
}

/// A server under test.
#[derive(Clone, Copy)]
struct Target {
    address: SocketAddr,
    name: &'static str,
}

/// Two values at one name, one of them foreign: ours comes and goes as often as one likes, the foreign one stays as it is.
async fn the_foreign_value_stays(server: Target) {
    let name = "_dv.foreign.example.test";
    nsupdate(server.address, OPEN_ZONE, &format!("add {name} 300 TXT \"theirs\""));
    let provider = opened(server.address, Some(OUR_KEY), "");
    let ours = txt(name, "ours");
    let zone = provider.locate(&ours.name).await.unwrap();
    assert_eq!(zone.name.as_str(), OPEN_ZONE);
    assert_eq!(provider.find(&zone, &ours).await.unwrap(), Found::Absent);
    for _ in 0..2 {
        provider.publish(&zone, &ours).await.unwrap();
        assert_eq!(dig(server.address, name, "TXT"), ["\"ours\"", "\"theirs\""]);
    }
    assert!(is_present(provider.find(&zone, &ours).await.unwrap()));
    assert_eq!(provider.find(&zone, &txt(name, "our")).await.unwrap(), Found::Absent);
    for _ in 0..2 {
        provider.withdraw(&zone, &ours, None).await.unwrap();
        assert_eq!(dig(server.address, name, "TXT"), ["\"theirs\""]);
    }
}

/// A text longer than one string, with everything that zone files escape.
async fn a_long_text_comes_and_goes(server: Target) {
    let provider = opened(server.address, Some(OUR_KEY), "");
    let value = format!("a \"quoted\" \\ back;slash $ {}", "x".repeat(300));
    let long = txt("_dv.long.example.test", &value);
    let zone = provider.locate(&long.name).await.unwrap();
    let handle = provider.publish(&zone, &long).await.unwrap();
    assert!(is_present(provider.find(&zone, &long).await.unwrap()));
    let shown = dig(server.address, "_dv.long.example.test", "TXT");
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].matches('x').count(), 300);
    provider.withdraw(&zone, &long, Some(&handle)).await.unwrap();
    assert_eq!(dig(server.address, "_dv.long.example.test", "TXT"), Vec::<String>::new());
}

/// Somebody cut the same text otherwise: it is the same value all the same, and goes as a whole.
async fn a_text_cut_otherwise_is_the_same_value(server: Target) {
    let name = "_dv.cut.example.test";
    nsupdate(server.address, OPEN_ZONE, &format!("add {name} 300 TXT \"to\" \"ken\""));
    let provider = opened(server.address, Some(OUR_KEY), "");
    let token = txt(name, "token");
    let zone = provider.locate(&token.name).await.unwrap();
    assert!(is_present(provider.find(&zone, &token).await.unwrap()));
    provider.withdraw(&zone, &token, None).await.unwrap();
    assert_eq!(dig(server.address, name, "TXT"), Vec::<String>::new());
}

async fn an_alias_comes_and_goes(server: Target) {
    let provider = opened(server.address, Some(OUR_KEY), "");
    let alias = record("_dv.cname.example.test", RecordType::Cname, "abc.validation.test");
    let zone = provider.locate(&alias.name).await.unwrap();
    for _ in 0..2 {
        provider.publish(&zone, &alias).await.unwrap();
        assert_eq!(dig(server.address, "_dv.cname.example.test", "CNAME"), ["abc.validation.test."]);
    }
    assert!(is_present(provider.find(&zone, &alias).await.unwrap()));
    // Another alias may not take its place.
    let error = provider.publish(&zone, &record("_dv.cname.example.test", RecordType::Cname, "other.test")).await.unwrap_err();
    assert!(error.to_string().contains("other records already"), "{error:?}");
    for _ in 0..2 {
        provider.withdraw(&zone, &alias, None).await.unwrap();
        assert_eq!(dig(server.address, "_dv.cname.example.test", "CNAME"), Vec::<String>::new());
    }
}

/// A server would ignore a text beside an alias without a word.
async fn nothing_is_written_beside_an_alias(server: Target) {
    let provider = opened(server.address, Some(OUR_KEY), "");
    let beside = txt("_dv.alias.example.test", "v");
    let zone = provider.locate(&beside.name).await.unwrap();
    assert_eq!(zone.name.as_str(), OPEN_ZONE);
    let error = provider.publish(&zone, &beside).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider);
    assert!(error.to_string().contains("alias"), "{error:?}");
    nsupdate(server.address, OPEN_ZONE, "add _dv.beside.example.test 300 TXT \"theirs\"");
    let error = provider.publish(&zone, &record("_dv.beside.example.test", RecordType::Cname, "x.test")).await.unwrap_err();
    assert!(error.to_string().contains("other records already"), "{error:?}");
    assert_eq!(dig(server.address, "_dv.beside.example.test", "TXT"), ["\"theirs\""]);
}

async fn zones_are_found_and_those_of_others_are_not(server: Target) {
    let provider = opened(server.address, Some(OUR_KEY), "");
    let locate = async |name: &str| provider.locate(&Name::parse(name).unwrap()).await;
    assert_eq!(locate("_dv.a.b.child.example.test").await.unwrap().name.as_str(), CHILD_ZONE);
    assert_eq!(locate("example.test").await.unwrap().name.as_str(), OPEN_ZONE);
    assert_eq!(locate("_dv.closed.test").await.unwrap().name.as_str(), CLOSED_ZONE);
    let error = locate("_dv.www.away.example.test").await.unwrap_err();
    assert!(error.to_string().contains("away.example.test is delegated to other servers (ns.away.test)"), "{error:?}");
    let error = locate("_dv.elsewhere.test").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider);
    assert!(error.to_string().contains("serves no zone that holds _dv.elsewhere.test"), "{error:?}");
}

async fn a_zone_that_is_not_served_takes_no_update(server: Target) {
    let provider = opened(server.address, Some(OUR_KEY), "elsewhere.test");
    let record = txt("_dv.elsewhere.test", "v");
    let zone = provider.locate(&record.name).await.unwrap();
    let error = provider.publish(&zone, &record).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Provider | ErrorKind::Rights), "{error:?}");
    assert!(error.hint().is_some(), "{error:?}");
    assert!(provider.probe().await.is_err());
    // A name outside the zone is refused before anything is sent.
    let outside = txt("_dv.example.test", "v");
    assert!(provider.locate(&outside.name).await.is_err());
    assert!(provider.publish(&zone, &outside).await.is_err());
    let wrong = Zone { name: Name::parse("www.example.test").unwrap(), fields: std::collections::BTreeMap::new() };
    let error = opened(server.address, Some(OUR_KEY), "").publish(&wrong, &txt("_dv.www.example.test", "v")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Provider | ErrorKind::Rights), "{error:?}");
}

async fn a_policy_that_forbids_is_a_matter_of_rights(server: Target) {
    let provider = opened(server.address, Some(OUR_KEY), CLOSED_ZONE);
    let record = txt("_dv.closed.test", "v");
    let zone = provider.locate(&record.name).await.unwrap();
    let error = provider.publish(&zone, &record).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rights, "{error:?}");
    assert!(error.hint().unwrap().contains("dv-key"), "{error:?}");
    assert_eq!(dig(server.address, "_dv.closed.test", "TXT"), Vec::<String>::new());
}

async fn a_zone_that_is_closed_to_the_key_is_said_to_be(server: Target) {
    let provider = opened(server.address, Some(OUR_KEY), LOCKED_ZONE);
    let record = txt("_dv.locked.test", "v");
    let zone = provider.locate(&record.name).await.unwrap();
    let error = provider.publish(&zone, &record).await.unwrap_err();
    // Knot does not tell a key that it does not know from one that it does not allow.
    let kind = if server.name == "knot" { ErrorKind::Credentials } else { ErrorKind::Rights };
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains("dv-key") && error.hint().unwrap().contains("acl"), "{error:?}");
    assert_eq!(dig(server.address, "_dv.locked.test", "TXT"), Vec::<String>::new());
}

async fn without_a_key_the_server_refuses(server: Target) {
    let provider = opened(server.address, None, "");
    let record = txt("_dv.unsigned.example.test", "v");
    let zone = provider.locate(&record.name).await.unwrap();
    let error = provider.publish(&zone, &record).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rights, "{error:?}");
    assert!(error.hint().unwrap().contains("tsig_key"), "{error:?}");
}

async fn a_wrong_secret_is_reported_as_such(server: Target) {
    let wrong = Key { secret: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ..OUR_KEY };
    reports(server, wrong, "BADSIG", "tsig_secret").await;
}

async fn an_unknown_key_is_reported_as_such(server: Target) {
    reports(server, Key { name: "no-such-key", ..OUR_KEY }, "BADKEY", "tsig_key").await;
}

/// Every call with a bad key says so, those that only read included, so that it is known before anything is written.
async fn reports(server: Target, key: Key, code: &str, hint: &str) {
    let provider = opened(server.address, Some(key), OPEN_ZONE);
    let record = txt("_dv.badkey.example.test", "v");
    let zone = provider.locate(&record.name).await.unwrap();
    let outcomes: [Result<()>; 4] = [
        provider.probe().await.map(drop),
        provider.find(&zone, &record).await.map(drop),
        provider.publish(&zone, &record).await.map(drop),
        provider.withdraw(&zone, &record, None).await,
    ];
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials, "{error:?}");
        // PowerDNS does not say what is wrong with the key.
        let code = if server.name == "powerdns" { "NOTAUTH" } else { code };
        assert_eq!(error.code(), Some(code), "{error:?}");
        assert!(error.hint().unwrap().contains(hint) && error.to_string().contains(key.name), "{error:?}");
        assert!(!format!("{error:?}").contains(key.secret));
    }
}

async fn the_credentials_are_tried_without_writing(server: Target) {
    let access = opened(server.address, Some(OUR_KEY), OPEN_ZONE).probe().await.unwrap();
    assert_eq!(access, Access { zones: vec![Name::parse(OPEN_ZONE).unwrap()], is_complete: true });
    assert_eq!(opened(server.address, Some(OUR_KEY), "").probe().await.unwrap(), Access::default());
}

/// Each test against each server.
macro_rules! against_every_server {
    ($($test:ident),* $(,)?) => {
        against_every_server!(@ bind bind [$($test),*]);
        against_every_server!(@ knot knot [$($test),*]);
        against_every_server!(@ powerdns powerdns [$($test),*]);
    };
    (@ $module:ident $start:ident [$($test:ident),*]) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    if let Some(server) = crate::interop::servers::$module::$start() {
                        super::$test(super::Target { address: server.address, name: stringify!($module) }).await;
                    }
                }
            )*
        }
    };
}

against_every_server!(
    the_foreign_value_stays,
    a_long_text_comes_and_goes,
    a_text_cut_otherwise_is_the_same_value,
    an_alias_comes_and_goes,
    nothing_is_written_beside_an_alias,
    zones_are_found_and_those_of_others_are_not,
    a_zone_that_is_not_served_takes_no_update,
    a_policy_that_forbids_is_a_matter_of_rights,
    a_zone_that_is_closed_to_the_key_is_said_to_be,
    without_a_key_the_server_refuses,
    a_wrong_secret_is_reported_as_such,
    an_unknown_key_is_reported_as_such,
    the_credentials_are_tried_without_writing,
);
