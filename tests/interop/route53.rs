//! The manifest `route53` against moto's Route 53: every call of ours is signed, botocore's code computes the signature anew, and policies of IAM say what is allowed.
//!
//! moto is not the service. It shows only zones of exactly the name that is asked for (the service goes on with the next in the alphabet), takes
//! a CREATE of a set that is there, compares a DELETE with all that was ever written (the service: with what is there), makes every change
//! effective at once, never asks to wait, and its errors lie one element deeper. Where they differ, the examples follow the service's description.

use std::sync::Arc;

use dv_verify::{
    error::ErrorKind,
    name::Name,
    provider::{DnsProvider, Found},
    record::RecordType,
};

use super::{
    rfc2136::record,
    servers::moto::{Account, Keys, RIGHTS, account},
};

/// The provider with these keys.
fn opened(account: &Account, keys: &Keys) -> Arc<dyn DnsProvider> {
    let base_url = account.route53();
    let base_url = ("DV_ROUTE53_BASE_URL", base_url.as_str());
    let access_key = ("DV_ROUTE53_ACCESS_KEY", keys.access_key.as_str());
    let secret_key = ("DV_ROUTE53_SECRET_KEY", keys.secret_key.as_str());
    match &keys.session_token {
        None => super::opened("route53", [base_url, access_key, secret_key]),
        Some(token) => super::opened("route53", [base_url, access_key, secret_key, ("DV_ROUTE53_SESSION_TOKEN", token.as_str())]),
    }
}

#[tokio::test]
async fn the_foreign_value_stays_and_so_does_the_ttl() {
    let Some(account) = account().await else { return };
    let keys = account.user("stays", &RIGHTS).await;
    let id = account.zone("stays.test", false).await;
    account.put(&id, &[("_dv.www.stays.test".to_owned(), 300, "theirs & <more>")]).await;
    let theirs = "\"theirs & <more>\"".to_owned();
    let provider = opened(&account, &keys);
    let name = "_dv.www.stays.test";
    let ours = record(name, RecordType::Txt, "ours");
    let zone = provider.locate(&ours.name).await.unwrap();
    assert_eq!(zone.name.as_str(), "stays.test");
    assert_eq!(provider.find(&zone, &ours).await.unwrap(), Found::Absent);
    let mut handle = None;
    for _ in 0..2 {
        handle = Some(provider.publish(&zone, &ours).await.unwrap());
        assert_eq!(account.set(&id, name, "TXT").await, Some((300, vec!["\"ours\"".to_owned(), theirs.clone()])));
    }
    assert!(matches!(provider.find(&zone, &ours).await.unwrap(), Found::Present(_)));
    for _ in 0..2 {
        provider.withdraw(&zone, &ours, handle.as_ref()).await.unwrap();
        assert_eq!(account.set(&id, name, "TXT").await, Some((300, vec![theirs.clone()])));
    }
    provider.withdraw(&zone, &record("_dv.nobody.stays.test", RecordType::Txt, "ours"), None).await.unwrap();
}

#[tokio::test]
async fn a_first_value_a_long_text_and_an_alias_come_and_go() {
    let Some(account) = account().await else { return };
    let keys = account.user("come", &RIGHTS).await;
    let id = account.zone("come.test", false).await;
    let provider = opened(&account, &keys);
    let long = "x".repeat(300);
    for (name, record_type, value, shown) in [
        ("_dv.first.come.test", RecordType::Txt, "ours", "\"ours\"".to_owned()),
        ("_dv.long.come.test", RecordType::Txt, long.as_str(), format!("\"{}\" \"{}\"", &long[..255], &long[255..])),
        ("_dv.alias.come.test", RecordType::Cname, "abc.validation.test", "abc.validation.test".to_owned()),
    ] {
        let ours = record(name, record_type, value);
        let zone = provider.locate(&ours.name).await.unwrap();
        provider.publish(&zone, &ours).await.unwrap();
        assert_eq!(account.set(&id, name, &record_type.to_string()).await, Some((60, vec![shown])));
        assert!(matches!(provider.find(&zone, &ours).await.unwrap(), Found::Present(_)));
        for _ in 0..2 {
            provider.withdraw(&zone, &ours, None).await.unwrap();
            assert_eq!(account.set(&id, name, &record_type.to_string()).await, None);
        }
    }
}

/// The service shows 100 zones and 300 sets on a page. Ours are on neither first page, and a private zone has the same name.
#[tokio::test]
async fn what_the_first_pages_do_not_show_is_found() {
    let Some(account) = account().await else { return };
    let keys = account.user("pages", &RIGHTS).await;
    for number in 0..100 {
        account.zone(&format!("page-{number}.test"), false).await;
    }
    account.zone("pages.test", true).await;
    let id = account.zone("pages.test", false).await;
    let name = "_dv.pages.test";
    let before = (0..305).map(|number| (format!("0-{number}.pages.test"), 60, "theirs"));
    account.put(&id, &before.chain([(name.to_owned(), 60, "theirs")]).collect::<Vec<_>>()).await;
    for (path, hidden) in
        [("/hostedzone".to_owned(), "<Name>pages.test."), (format!("/hostedzone/{id}/rrset"), "<Name>_dv.pages")]
    {
        let (page, is_truncated) = account.first_page(&path).await;
        assert!(is_truncated && !page.contains(hidden), "{path} shows {hidden}");
    }
    let provider = opened(&account, &keys);
    let ours = record(name, RecordType::Txt, "ours");
    let zone = provider.locate(&ours.name).await.unwrap();
    provider.publish(&zone, &ours).await.unwrap();
    let both = ["\"ours\"", "\"theirs\""].map(str::to_owned).to_vec();
    assert_eq!(account.set(&id, name, "TXT").await, Some((60, both)), "in the zone that everybody sees");
    provider.withdraw(&zone, &ours, None).await.unwrap();
    assert_eq!(account.set(&id, name, "TXT").await, Some((60, vec!["\"theirs\"".to_owned()])));
}

#[tokio::test]
async fn keys_and_rights_are_told_apart() {
    let Some(account) = account().await else { return };
    account.zone("rights.test", false).await;
    let ours = record("_dv.rights.test", RecordType::Txt, "ours");
    let user = account.user("rights", &RIGHTS).await;
    let wrong_secret = Keys { secret_key: "wrong-secret-of-the-tests".to_owned(), ..user };
    let unknown = Keys { access_key: "AKIAUNKNOWN".to_owned(), secret_key: "x".repeat(40), session_token: None };
    for (keys, said) in [(&wrong_secret, "SignatureDoesNotMatch"), (&unknown, "InvalidClientTokenId")] {
        let error = opened(&account, keys).locate(&ours.name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials, "{error:?}");
        assert!(error.to_string().contains(said) && !format!("{error:?}").contains(&keys.secret_key), "{error:?}");
    }
    // It sees zones, and nothing in them.
    let provider = opened(&account, &account.user("looks", &RIGHTS[..1]).await);
    let zone = provider.locate(&ours.name).await.unwrap();
    let error = provider.publish(&zone, &ours).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rights, "{error:?}");
    assert!(error.to_string().contains("route53:ListResourceRecordSets"), "{error}");
    let error = provider.locate(&Name::parse("_dv.elsewhere.test").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider, "{error:?}");
}

#[tokio::test]
async fn temporary_keys_need_their_token() {
    let Some(account) = account().await else { return };
    let id = account.zone("token.test", false).await;
    let ours = record("_dv.token.test", RecordType::Txt, "ours");
    let keys = account.role("token", &RIGHTS).await;
    let provider = opened(&account, &keys);
    let zone = provider.locate(&ours.name).await.unwrap();
    provider.publish(&zone, &ours).await.unwrap();
    assert_eq!(account.set(&id, "_dv.token.test", "TXT").await, Some((60, vec!["\"ours\"".to_owned()])));
    let other = Keys { session_token: Some("another".to_owned()), ..keys };
    let error = opened(&account, &other).locate(&ours.name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials, "{error:?}");
}
