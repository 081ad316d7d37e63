//! What a user meets where the account is not as it should be: each has its own message, and nothing is written.

use std::sync::{Arc, Mutex};

use super::{Answer, Outgoing, engine::PLAIN, open, reply, server, txt, user, zone};
use crate::{
    error::{Error, ErrorKind},
    name::Name,
    provider::DnsProvider,
};

/// A service whose writes are counted, with this manifest.
fn counted(text: &str, mut answer: impl FnMut(&Outgoing) -> Answer + Send + 'static) -> (super::Engine, Arc<Mutex<usize>>) {
    let writes = Arc::new(Mutex::new(0));
    let count = Arc::clone(&writes);
    let wire = server(move |request| {
        *count.lock().unwrap() += usize::from(request.method != "GET");
        answer(&request)
    });
    (open(&user(text), [("token", "t")], wire), writes)
}

/// The manifest with a help that names rights, and with this way to find zones.
fn with_zones(http: &str) -> String {
    PLAIN
        .replace("token = { secret = true }", "token = { secret = true, help = \"a token with the right dns:write\" }")
        .replace("http = \"GET /zones\"", &format!("http = \"{http}\""))
}

async fn located(text: &str, name: &str, answer: impl FnMut(&Outgoing) -> Answer + Send + 'static) -> Result<String, Error> {
    let (engine, _) = counted(text, answer);
    engine.locate(&Name::parse(name).unwrap()).await.map(|zone| zone.name.to_string())
}

const OURS: &str = r#"[{"id": 1, "name": "example.com"}]"#;

#[tokio::test]
async fn a_zone_that_is_missing_is_named_with_what_was_looked_for() {
    for (http, said) in [
        ("GET /zones", "no zone of this account holds `_dv.www.example.org`; there are: example.com"),
        (
            "GET /zones?name={{ candidate }}",
            "no zone of this account holds `_dv.www.example.org`; asked for: www.example.org, example.org",
        ),
    ] {
        let error = located(&with_zones(http), "_dv.www.example.org", |_| reply(200, OURS)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Provider);
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.hint().unwrap().contains("the credentials may see it"), "{error:?}");
    }
    let error = located(&with_zones("GET /zones"), "_dv.example.org", |_| reply(200, "[]")).await.unwrap_err();
    assert!(error.to_string().ends_with("holds `_dv.example.org`; there are none"), "{error}");
}

#[tokio::test]
async fn credentials_for_one_zone_only_work_in_it_and_elsewhere_the_right_that_is_needed_is_named() {
    let only_ours = |request: &Outgoing| match request.url.query() {
        Some("name=example.com") => reply(200, OURS),
        _ => reply(403, r#"{"message": "this token is for example.com"}"#),
    };
    let text = with_zones("GET /zones?name={{ candidate }}");
    assert_eq!(located(&text, "_dv.www.example.com", only_ours).await.unwrap(), "example.com");
    let error = located(&text, "_dv.example.org", only_ours).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rights, "{error:?}");
    assert!(error.to_string().contains("this token is for example.com"), "{error}");
    assert_eq!(error.hint(), Some("needed: a token with the right dns:write"));
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_where_it_is_missed() {
    let (engine, writes) = counted(&with_zones("GET /zones"), |request| match request.method.as_str() {
        "GET" => reply(200, OURS),
        _ => reply(403, r#"{"message": "read-only token"}"#),
    });
    let record = txt("_dv.example.com", "abc");
    let zone = engine.locate(&record.name).await.unwrap();
    let error = engine.publish(&zone, &record).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rights);
    assert!(error.to_string().contains("POST /v1/zones/1/records: read-only token"), "{error}");
    assert_eq!(error.hint(), Some("needed: a token with the right dns:write"));
    assert_eq!(*writes.lock().unwrap(), 1, "it is not tried again");
}

/// A set that is replaced whole, with a comparison that takes more than it should.
const SLOPPY: &str = r#"
id = "mine"
title = "Mine"
base_url = "https://api.example.com"
ttl = 60
[credentials]
token = { secret = true }
[merge]
item = { data = "{{ value }}" }
same = ".data | startswith($value)"
read = { http = "GET /set", items = ".[]" }
write = { http = "PUT /set", json = { values = "{{ items }}" } }
clear = { http = "DELETE /set" }
"#;

#[tokio::test]
async fn a_merge_that_would_change_more_than_one_value_is_refused_before_the_write() {
    let (zone, record) = (zone("example.com", &[]), txt("_dv.example.com", "abc"));
    for (set, said) in [
        (
            r#"[{"data": "abc"}, {"data": "abcdef"}, {"data": "x"}]"#,
            Some("2 of 3 values match where at most one can: nothing is written"),
        ),
        (r#"[{"data": "abc"}, {"data": "abc"}]"#, Some("2 of 2 values match where at most one can: nothing is written")),
        (r#"[{"data": "x"}]"#, None),
    ] {
        let (engine, writes) = counted(SLOPPY, move |_| reply(200, set));
        let outcome = engine.withdraw(&zone, &record, None).await;
        match said {
            Some(said) => assert!(outcome.unwrap_err().to_string().contains(said), "{set}"),
            None => outcome.unwrap(),
        }
        assert_eq!(*writes.lock().unwrap(), 0, "{set}");
    }
    // What cannot be compared is not taken for something else.
    let (engine, writes) = counted(SLOPPY, |_| reply(200, r#"[{"other": 1}]"#));
    assert!(engine.publish(&zone, &record).await.is_err());
    assert!(engine.withdraw(&zone, &record, None).await.is_err());
    assert_eq!(*writes.lock().unwrap(), 0);
}
