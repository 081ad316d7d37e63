//! Sessions, look-ups, and what follows a change.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::json;

use super::{
    clock,
    engine::{Log, asked},
    open, reply, server, settings, shipped, txt, user, zone,
};
use crate::{
    error::Result,
    name::Name,
    provider::{DnsProvider, Found, Handle, settings::Renewed},
    secret::{Redactor, Secret},
};

const SESSION: &str = r#"
id = "mine"
title = "Mine"
base_url = "https://api.example.com"
ttl = 60
[credentials]
password = { secret = true }
[request]
headers = { X-Session = "{{ session }}", X-Account = "{{ account }}" }
[login]
http = "POST /login"
form = { password = "{{ cred.password }}" }
session = ".session"
[[lookup]]
name = "account"
http = "GET /whoami"
value = ".id"
[create]
http = "POST /{{ account }}/records"
json = { fqdn = "{{ fqdn }}", value = "{{ value }}", type = "{{ type }}" }
id = ".id"
[find]
http = "GET /{{ account }}/records"
ids = ".[]"
detail = { http = "GET /{{ account }}/records/{{ record.id }}", keep = ".value == $value" }
[delete]
http = "DELETE /{{ account }}/records/{{ record.id }}"
[commit]
http = "POST /{{ account }}/publish"
[wait]
http = "GET /{{ account }}/state"
done = ".done"
fail = ".failed"
"#;

#[tokio::test]
async fn login_lookup_detail_commit_and_wait_come_in_order() {
    let log = Log::default();
    let logged = Arc::clone(&log);
    let mut states = 0;
    let mut sessions = 0;
    let engine = open(
        &user(SESSION),
        [("password", "hunter2hunter2")],
        server(move |request| {
            asked(&logged, &request);
            let path = request.url.path().to_owned();
            if path == "/login" {
                assert_eq!(request.header("x-session"), None);
                assert_eq!(request.body, b"password=hunter2hunter2");
                sessions += 1;
                return reply(200, format!(r#"{{"session": "session-{sessions}"}}"#));
            }
            // The first session runs out in the middle.
            if path == "/42/publish" && request.header("x-session") == Some("session-1") {
                return reply(401, "{}");
            }
            assert!(request.header("x-session").unwrap().starts_with("session-"));
            match (request.method.as_str(), path.as_str()) {
                ("GET", "/whoami") => {
                    assert_eq!(request.header("x-account"), None);
                    reply(200, r#"{"id": 42}"#)
                }
                ("GET", "/42/records") => reply(200, "[5, 6]"),
                ("GET", "/42/records/5") => reply(200, r#"{"value": "other"}"#),
                ("GET", "/42/records/6") => reply(404, "{}"),
                ("POST", "/42/records") => {
                    assert_eq!(request.header("x-account"), Some("42"));
                    reply(200, r#"{"id": 7}"#)
                }
                ("POST", "/42/publish") => reply(200, "{}"),
                ("GET", "/42/state") => {
                    states += 1;
                    reply(200, json!({"done": states == 3}).to_string())
                }
                _ => reply(500, ""),
            }
        }),
    );
    let handle = engine.publish(&zone("example.com", &[]), &txt("_dv.example.com", "v")).await.unwrap();
    assert_eq!(handle.0, json!({"id": 7}));
    assert_eq!(
        *log.lock().unwrap(),
        [
            "POST /login",
            "GET /whoami",
            "GET /42/records",
            "GET /42/records/5",
            "GET /42/records/6",
            "POST /42/records",
            "POST /42/publish",
            "POST /login",
            "POST /42/publish",
            "GET /42/state",
            "GET /42/state",
            "GET /42/state",
        ]
    );
}

#[tokio::test]
async fn a_change_that_fails_or_never_ends_is_an_error() {
    for (state, said) in [(r#"{"failed": true}"#, "failed to make it"), ("{}", "still not done")] {
        let engine = open(
            &user(SESSION),
            [("password", "p")],
            server(move |request| match request.url.path() {
                "/login" => reply(200, r#"{"session": "s-e-s-s"}"#),
                "/whoami" => reply(200, r#"{"id": 42}"#),
                "/42/state" => reply(200, state),
                _ if request.method == "GET" => reply(200, "[]"),
                _ => reply(200, r#"{"id": 7}"#),
            }),
        );
        let error = engine.publish(&zone("example.com", &[]), &txt("_dv.example.com", "v")).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_session_is_ended_after_each_operation_where_the_manifest_says_how() {
    let log = Log::default();
    let logged = Arc::clone(&log);
    let text = SESSION.replace("[[lookup]]", "[logout]\nhttp = \"POST /logout\"\n[[lookup]]");
    let engine = open(
        &user(&text),
        [("password", "p")],
        server(move |request| {
            asked(&logged, &request);
            match request.url.path() {
                "/login" => reply(200, r#"{"session": "s-e-s-s"}"#),
                "/whoami" => reply(200, r#"{"id": 42}"#),
                "/logout" => reply(500, ""),
                _ => reply(200, "[]"),
            }
        }),
    );
    let found = engine.find(&zone("example.com", &[]), &txt("_dv.example.com", "v")).await.unwrap();
    assert_eq!(found, Found::Absent);
    assert_eq!(*log.lock().unwrap(), ["POST /login", "GET /whoami", "GET /42/records", "POST /logout"]);
}

#[tokio::test]
async fn a_change_that_failed_later_is_told_in_the_services_words() {
    let with_error = SESSION.replace("[request]", "[request]\nerror = \".why\"");
    for (text, said) in [(with_error.as_str(), ": the zone is locked"), (SESSION, ": {\"failed\": true, \"why\"")] {
        let engine = open(
            &user(text),
            [("password", "p")],
            server(|request| match request.url.path() {
                "/login" => reply(200, r#"{"session": "s-e-s-s"}"#),
                "/whoami" => reply(200, r#"{"id": 42}"#),
                "/42/state" => reply(200, r#"{"failed": true, "why": "the zone is locked"}"#),
                _ if request.method == "GET" => reply(200, "[]"),
                _ => reply(200, r#"{"id": 7}"#),
            }),
        );
        let error = engine.publish(&zone("example.com", &[]), &txt("_dv.example.com", "v")).await.unwrap_err().to_string();
        assert!(error.contains("GET /42/state (HTTP 200)") && error.contains(said), "{error}");
    }
}

/// A service with a job for each change.
const JOBS: &str = r#"
id = "mine"
title = "Mine"
base_url = "https://api.example.com"
ttl = 60
[request]
reply = "xml"
error = "kids(\"why\") | text"
[create]
http = "POST /records"
form = { name = "{{ name }}", value = "{{ value }}" }
id = "kids(\"id\") | text"
[delete]
http = "DELETE /records/{{ record.id }}"
[commit]
http = "POST /commit"
[wait]
http = "GET /jobs/{{ result }}"
result = "kids(\"job\") | text"
before_commit = true
done = "kids(\"state\") | text == \"done\""
"#;

#[tokio::test]
async fn a_wait_takes_what_it_needs_out_of_an_xml_reply_before_and_after_the_commit() {
    let log = Log::default();
    let logged = Arc::clone(&log);
    let engine = open(
        &user(JOBS),
        [],
        server(move |request| {
            asked(&logged, &request);
            match (request.method.as_str(), request.url.path()) {
                ("POST", "/records") => reply(200, "<r><id>7</id><job>j1</job></r>"),
                ("DELETE", "/records/7") => reply(200, "<r><job>j3</job></r>"),
                ("POST", "/commit") => reply(200, "<r><job>j2</job></r>"),
                // A removed record has no job any more.
                ("GET", "/jobs/j3") => reply(404, "<r/>"),
                _ => reply(200, "<r><state>done</state></r>"),
            }
        }),
    );
    let (zone, record) = (zone("example.com", &[]), txt("_dv.example.com", "v"));
    let handle = engine.publish(&zone, &record).await.unwrap();
    assert_eq!(handle, Handle(json!({"id": "7"})));
    engine.withdraw(&zone, &record, Some(&handle)).await.unwrap();
    let change = ["POST /records", "GET /jobs/j1", "POST /commit", "GET /jobs/j2"];
    let removal = ["DELETE /records/7", "GET /jobs/j3", "POST /commit", "GET /jobs/j2"];
    assert_eq!(*log.lock().unwrap(), [change, removal].concat());
}

#[tokio::test]
async fn a_change_that_nobody_lived_to_commit_is_committed_by_the_next_call() {
    let find = "[find]\nhttp = \"GET /records\"\nids = \"kids(\\\"id\\\") | text\"\n[delete]";
    let (zone, record) = (zone("example.com", &[]), txt("_dv.example.com", "v"));
    for commit_status in [200, 400] {
        let log = Log::default();
        let logged = Arc::clone(&log);
        let engine = open(
            &user(&JOBS.replace("[delete]", find)),
            [],
            server(move |request| {
                asked(&logged, &request);
                match request.method.as_str() {
                    "GET" => reply(200, "<r><id>7</id></r>"),
                    "DELETE" => reply(404, "<r/>"),
                    _ => reply(commit_status, "<r><why>nothing to commit</why></r>"),
                }
            }),
        );
        assert!(engine.capabilities().commits);
        engine.publish(&zone, &record).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["GET /records", "POST /commit"], "{commit_status}");
        engine.withdraw(&zone, &record, Some(&Handle(json!({"id": 7})))).await.unwrap();
        assert_eq!(log.lock().unwrap()[2..], ["DELETE /records/7", "POST /commit"], "{commit_status}");
    }
}

#[tokio::test]
async fn what_is_waited_for_must_come_after_a_write_and_may_be_gone_after_a_removal() {
    let text = JOBS.replace("[commit]\nhttp = \"POST /commit\"\n", "").replace("before_commit = true\n", "");
    let engine = open(
        &user(&text),
        [],
        server(|request| match request.method.as_str() {
            "GET" => reply(404, "<r/>"),
            _ => reply(200, "<r><id>7</id><job>j</job></r>"),
        }),
    );
    let (zone, record) = (zone("example.com", &[]), txt("_dv.example.com", "v"));
    let error = engine.publish(&zone, &record).await.unwrap_err();
    assert!(error.to_string().contains("still not done"), "{error}");
    engine.withdraw(&zone, &record, Some(&Handle(json!({"id": 7})))).await.unwrap();
}

#[tokio::test]
async fn a_place_that_is_not_there_is_told_in_the_services_words() {
    let engine = open(&user(JOBS), [], server(|_| reply(404, "<r><why>no such domain</why></r>")));
    let error = engine.publish(&zone("example.com", &[]), &txt("_dv.example.com", "v")).await.unwrap_err();
    assert!(error.to_string().contains("POST /records: not found: no such domain"), "{error}");
    assert!(error.hint().unwrap().contains("removed meanwhile"));
}

/// Credentials of a machine that are others at each call.
#[derive(Debug, Default)]
struct OfMachine(std::sync::atomic::AtomicU32);

#[async_trait::async_trait]
impl Renewed for OfMachine {
    fn names(&self) -> &'static [&'static str] {
        &["service_account"]
    }

    fn origin(&self) -> String {
        "the test".to_owned()
    }

    async fn current(&self) -> Result<BTreeMap<&'static str, Secret>> {
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(BTreeMap::from([("session", Secret::new(format!("token-{number}"))), ("project", Secret::new("of-machine"))]))
    }
}

#[tokio::test]
async fn a_token_of_the_machine_takes_the_place_of_the_session() {
    let manifest = shipped("gcloud");
    let open = |own: &[(&str, &str)], wire| {
        let mut settings = settings(&manifest, []);
        settings.table = own.iter().map(|(key, value)| ((*key).to_owned(), toml::Value::String((*value).to_owned()))).collect();
        settings.renewed = Some(Arc::new(OfMachine::default()));
        manifest.engine(&settings, wire, clock(), &Redactor::default())
    };
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let logged = Arc::clone(&log);
    let wire = server(move |request| {
        logged.lock().unwrap().push(format!("{} {}", request.url.path(), request.header("authorization").unwrap()));
        reply(200, r#"{"managedZones": [{"name": "z", "dnsName": "example.com."}]}"#)
    });
    let engine = open(&[], wire).unwrap();
    for _ in 0..2 {
        engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap();
    }
    // No log-in; and where to call is known with the credentials.
    assert_eq!(
        *log.lock().unwrap(),
        ["/dns/v1/projects/of-machine/managedZones Bearer token-0", "/dns/v1/projects/of-machine/managedZones Bearer token-1"]
    );
}
