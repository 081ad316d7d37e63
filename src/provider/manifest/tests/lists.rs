//! Lists: half of one is none, whatever is read from it.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{
    engine::{Log, PLAIN, asked},
    open, reply, server, txt, user, zone,
};
use crate::{name::Name, provider::DnsProvider};

#[tokio::test]
async fn a_set_that_cannot_be_read_is_never_written() {
    for (status, body) in [(500, "{}"), (403, "{}"), (200, "not json"), (200, r#"{"rrset_values": 3}"#), (200, r#"{"other": 1}"#)]
    {
        let writes = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&writes);
        let engine = open(
            &super::shipped("gandi"),
            [("token", "t")],
            server(move |request| {
                if request.method == "GET" {
                    return reply(status, body);
                }
                *counted.lock().unwrap() += 1;
                reply(201, "{}")
            }),
        );
        let (zone, record) = (zone("example.com", &[]), txt("_dv.example.com", "v"));
        assert!(engine.publish(&zone, &record).await.is_err(), "{status} {body}");
        assert!(engine.withdraw(&zone, &record, None).await.is_err(), "{status} {body}");
        assert_eq!(*writes.lock().unwrap(), 0, "{status} {body}");
    }
}

#[tokio::test]
async fn half_a_list_is_an_error() {
    let text = PLAIN.replace("zones = \".[] | {id, name}\"", "zones = \".zones[]\"\nnext = \"{page: .next}\"");
    let engine = open(
        &user(&text),
        [("token", "t")],
        server(|request| match request.url.query() {
            None => reply(200, r#"{"zones": [{"name": "example.com"}], "next": 2}"#),
            Some(_) => reply(404, "{}"),
        }),
    );
    let error = engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("page 2 is not there"), "{error}");
}

#[tokio::test]
async fn endless_pages_end() {
    let text = PLAIN.replace("zones = \".[] | {id, name}\"", "zones = \".zones[]\"\nnext = \"{page: .next}\"");
    for (is_same, said) in [(true, "the same next page"), (false, "more than 50 pages")] {
        let mut page = 0;
        let engine = open(
            &user(&text),
            [("token", "t")],
            server(move |_| {
                page += 1;
                reply(200, json!({"zones": [], "next": if is_same { 1 } else { page }}).to_string())
            }),
        );
        let error = engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// A service with one object for each set, in a list of several pages.
const PAGED: &str = r#"
id = "mine"
title = "Mine"
base_url = "https://api.example.com"
ttl = 60
[merge]
item = "{{ value }}"
read = { http = "GET /sets", items = ".sets[] | select(.name == $name) | .values[]", ttl = ".sets[] | select(.name == $name) | .ttl", state = ".sets[] | select(.name == $name) | .id", next = "{page: .next} | select(.page)" }
first = { http = "POST /sets", json = { name = "{{ name }}", values = "{{ items }}", ttl = "{{ ttl }}" } }
write = { http = "PUT /sets/{{ state }}", json = { values = "{{ items }}", ttl = "{{ ttl }}" } }
"#;

#[tokio::test]
async fn state_and_ttl_of_a_set_are_found_on_whichever_page_it_stands() {
    let log = Log::default();
    let logged = Arc::clone(&log);
    let body = Arc::new(Mutex::new(json!(null)));
    let kept = Arc::clone(&body);
    let engine = open(
        &user(PAGED),
        [],
        server(move |request| {
            asked(&logged, &request);
            match (request.method.as_str(), request.url.query()) {
                ("GET", None) => reply(200, r#"{"sets": [{"id": 1, "name": "www", "values": ["a"], "ttl": 5}], "next": 2}"#),
                ("GET", _) => reply(200, r#"{"sets": [{"id": 9, "name": "_dv", "values": ["b"], "ttl": 700}]}"#),
                _ => {
                    *kept.lock().unwrap() = serde_json::from_slice(&request.body).unwrap();
                    reply(200, "{}")
                }
            }
        }),
    );
    engine.publish(&zone("example.com", &[]), &txt("_dv.example.com", "v")).await.unwrap();
    assert_eq!(*log.lock().unwrap(), ["GET /sets", "GET /sets?page=2", "PUT /sets/9"]);
    assert_eq!(*body.lock().unwrap(), json!({"values": ["b", "v"], "ttl": 700}));
}

#[test]
fn what_only_the_first_page_holds_is_refused_where_there_may_be_more() {
    let refused = |text: &str| super::super::Manifest::parse(text, "mine.toml", false).unwrap_err().to_string();
    let error =
        refused(&PAGED.replace("{ values = \"{{ items }}\", ttl", "{ values = \"{{ items }}\", rest = \"{{ doc }}\", ttl"));
    assert!(error.starts_with("mine.toml:10:") && error.contains("`doc` is the first page only"), "{error}");
    let error = refused(&PAGED.replace("ttl = 60", "ttl = 60\nscope = \"zone\""));
    assert!(error.starts_with("mine.toml:9:") && error.contains("the copy that is kept"), "{error}");
    let error =
        refused(&PLAIN.replace("[delete]", "[wait]\nhttp = \"GET /state\"\ndone = \".done\"\nbefore_commit = true\n[delete]"));
    assert!(error.contains("`before_commit` goes with [commit]"), "{error}");
}
