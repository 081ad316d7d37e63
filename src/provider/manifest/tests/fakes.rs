//! Small services that keep state: whatever is done, the values of others stay.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::{engine::Engine, wire::Wire};
use super::{broken, open, reply, server, shipped, txt, zone};
use crate::provider::{DnsProvider, Found, Zone};

type Values = Arc<Mutex<Vec<String>>>;

const NAME: &str = "_dv.example.com";

/// Adds twice, removes twice; in between, and at the end, the other value is there exactly once.
async fn keeps_the_others(engine: &Engine, zone: &Zone, values: &Values, spelled: &str) {
    let other = values.lock().unwrap().clone();
    let ours = txt(NAME, "our-value");
    let with_ours = || other.iter().cloned().chain([spelled.to_owned()]).collect::<Vec<_>>();

    assert_eq!(engine.find(zone, &ours).await.unwrap(), Found::Absent);
    let handle = engine.publish(zone, &ours).await.unwrap();
    assert_eq!(*values.lock().unwrap(), with_ours());
    engine.publish(zone, &ours).await.unwrap();
    assert_eq!(*values.lock().unwrap(), with_ours(), "added twice");
    assert!(matches!(engine.find(zone, &ours).await.unwrap(), Found::Present(_)));
    engine.withdraw(zone, &ours, Some(&handle)).await.unwrap();
    assert_eq!(*values.lock().unwrap(), other);
    engine.withdraw(zone, &ours, Some(&handle)).await.unwrap();
    engine.withdraw(zone, &ours, None).await.unwrap();
    assert_eq!(*values.lock().unwrap(), other);

    // And without the handle.
    engine.publish(zone, &ours).await.unwrap();
    engine.withdraw(zone, &ours, None).await.unwrap();
    assert_eq!(*values.lock().unwrap(), other);
}

/// Cloudflare's records. `loses` says whether the reply to the nth write gets lost after it was acted on.
fn cloudflare(values: &Values, mut loses: impl FnMut(usize) -> bool + Send + 'static) -> Arc<dyn Wire> {
    let values = Arc::clone(values);
    let mut writes = 0;
    server(move |request| {
        let mut values = values.lock().unwrap();
        let envelope = |result: Value| reply(200, json!({"success": true, "errors": [], "result": result}).to_string());
        match request.method.as_str() {
            "GET" => envelope(values.iter().map(|value| json!({"id": value, "type": "TXT", "content": value})).collect()),
            "POST" => {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                values.push(body["content"].as_str().unwrap().to_owned());
                writes += 1;
                if loses(writes) { broken(true) } else { envelope(json!({"id": body["content"]})) }
            }
            "DELETE" => {
                let id = request.url.path_segments().unwrap().next_back().unwrap().to_owned();
                let id = percent_encoding::percent_decode_str(&id).decode_utf8().unwrap().into_owned();
                let before = values.len();
                values.retain(|value| *value != id);
                writes += 1;
                match (before == values.len(), loses(writes)) {
                    (_, true) => broken(true),
                    (true, false) => {
                        reply(404, r#"{"success": false, "errors": [{"code": 81044, "message": "Record does not exist."}]}"#)
                    }
                    (false, false) => envelope(json!({"id": id})),
                }
            }
            _ => reply(405, ""),
        }
    })
}

/// A server that holds one set and replaces it whole, as Gandi does.
fn gandi(values: &Values, mut loses: impl FnMut(usize) -> bool + Send + 'static) -> Arc<dyn Wire> {
    let values = Arc::clone(values);
    let mut writes = 0;
    server(move |request| {
        let mut values = values.lock().unwrap();
        match request.method.as_str() {
            "GET" if values.is_empty() => reply(404, r#"{"code": 404, "message": "no"}"#),
            "GET" => reply(200, json!({"rrset_ttl": 300, "rrset_values": *values}).to_string()),
            "PUT" => {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                *values = serde_json::from_value(body["rrset_values"].clone()).unwrap();
                assert!(!values.is_empty());
                writes += 1;
                if loses(writes) { broken(true) } else { reply(201, r#"{"message": "DNS Record Created"}"#) }
            }
            "DELETE" => {
                values.clear();
                writes += 1;
                if loses(writes) { broken(true) } else { reply(204, "") }
            }
            _ => reply(405, ""),
        }
    })
}

/// Route 53: XML, and a deletion must state what is there.
fn route53(values: &Values) -> Arc<dyn Wire> {
    let values = Arc::clone(values);
    server(move |request| {
        let mut values = values.lock().unwrap();
        let set = |values: &[String]| {
            let records: String =
                values.iter().flat_map(|v| ["<ResourceRecord><Value>", v, "</Value></ResourceRecord>"]).collect();
            format!("<Name>{NAME}.</Name><Type>TXT</Type><TTL>300</TTL><ResourceRecords>{records}</ResourceRecords>")
        };
        if request.method == "GET" {
            let sets = if values.is_empty() {
                String::new()
            } else {
                format!("<ResourceRecordSet>{}</ResourceRecordSet>", set(&values))
            };
            return reply(200, format!("<R><ResourceRecordSets>{sets}</ResourceRecordSets></R>"));
        }
        let body = String::from_utf8(request.body).unwrap();
        let document = roxmltree::Document::parse(&body).unwrap();
        let texts = |tag: &str| -> Vec<String> {
            document
                .descendants()
                .filter(|n| n.tag_name().name() == tag)
                .map(|n| n.text().unwrap_or_default().to_owned())
                .collect()
        };
        let new: Vec<String> = texts("Value");
        match texts("Action")[0].as_str() {
            "CREATE" if values.is_empty() => *values = new,
            "UPSERT" => *values = new,
            "DELETE" if *values == new && texts("TTL") == ["300"] => values.clear(),
            _ => {
                return reply(
                    400,
                    "<ErrorResponse><Error><Code>InvalidChangeBatch</Code><Message>no</Message></Error></ErrorResponse>",
                );
            }
        }
        reply(200, "<R><ChangeInfo><Status>PENDING</Status></ChangeInfo></R>")
    })
}

fn values(all: &[&str]) -> Values {
    Arc::new(Mutex::new(all.iter().map(|value| (*value).to_owned()).collect()))
}

#[tokio::test]
async fn records_of_others_stay() {
    for others in [&[][..], &["\"other\""], &["\"a\"", "\"b\"", "\"our-value-2\""]] {
        let values = values(others);
        let engine = open(&shipped("cloudflare"), [("api_token", "token")], cloudflare(&values, |_| false));
        keeps_the_others(&engine, &zone("example.com", &[("id", "z")]), &values, "\"our-value\"").await;
    }
}

#[tokio::test]
async fn values_of_others_stay_in_a_rewritten_set() {
    for others in [&[][..], &["\"other\""], &["\"a\"", "\"b\"", "\"our-value-2\""]] {
        let values = values(others);
        let engine = open(&shipped("gandi"), [("token", "token")], gandi(&values, |_| false));
        keeps_the_others(&engine, &zone("example.com", &[]), &values, "\"our-value\"").await;
    }
}

#[tokio::test]
async fn values_of_others_stay_in_xml() {
    for others in [&[][..], &["\"other\""], &["\"a\"", "\"b\""]] {
        let values = values(others);
        let keys = [("access_key", "AKIDEXAMPLE"), ("secret_key", "secret")];
        // The first set is made with TTL 60 by default; this fake always says 300, as it must be echoed.
        let engine = open(&shipped("route53"), keys, route53(&values));
        keeps_the_others(&engine, &zone("example.com", &[("id", "Z1")]), &values, "\"our-value\"").await;
    }
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_record() {
    // The reply to every first write of a kind is lost.
    for lost in [1, 2, 3] {
        let values = values(&["\"other\""]);
        let engine = open(&shipped("cloudflare"), [("api_token", "token")], cloudflare(&values, move |write| write == lost));
        keeps_the_others(&engine, &zone("example.com", &[("id", "z")]), &values, "\"our-value\"").await;
        let values = self::values(&["\"other\""]);
        let engine = open(&shipped("gandi"), [("token", "token")], gandi(&values, move |write| write == lost));
        keeps_the_others(&engine, &zone("example.com", &[]), &values, "\"our-value\"").await;
    }
}

#[tokio::test]
async fn two_writers_of_one_set_take_turns() {
    let values = values(&["\"other\""]);
    let engine = open(&shipped("gandi"), [("token", "token")], gandi(&values, |_| false));
    let zone = zone("example.com", &[]);
    let records: Vec<_> = (0..8).map(|number| txt(NAME, &format!("value-{number}"))).collect();
    let all = futures_util::future::join_all(records.iter().map(|record| engine.publish(&zone, record))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(values.lock().unwrap().len(), 9, "{values:?}");
    let all = futures_util::future::join_all(records.iter().map(|record| engine.withdraw(&zone, record, None))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(*values.lock().unwrap(), ["\"other\""]);
}
