//! What the engine does around the calls: repeats, places, errors, moments, whole zones.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{broken, clock, open, reply, server, settings, txt, user, zone};
use crate::{
    error::{ErrorKind, Retry},
    name::Name,
    provider::{DnsProvider, Handle},
    secret::Redactor,
};

pub(super) const PLAIN: &str = r#"
id = "mine"
title = "Mine"
base_url = "https://api.example.com/v1"
ttl = 60
[credentials]
token = { secret = true }
[request]
headers = { Authorization = "Bearer {{ cred.token }}" }
error = ".message"
[zone]
http = "GET /zones"
zones = ".[] | {id, name}"
[create]
http = "POST /zones/{{ zone.id }}/records"
json = { name = "{{ name }}", value = "{{ value }}" }
id = ".id"
[delete]
http = "DELETE /zones/{{ zone.id }}/records/{{ record.id }}"
"#;

/// What was asked, as "METHOD path?query".
pub(super) type Log = Arc<Mutex<Vec<String>>>;

pub(super) fn asked(log: &Log, request: &super::Outgoing) {
    let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    log.lock().unwrap().push(format!("{} {}{query}", request.method, request.url.path()));
}

#[tokio::test]
async fn reads_and_removals_are_repeated_writes_only_where_nothing_happened() {
    for (status, acted, method, wanted) in [
        (503, true, "GET", 4),
        (429, false, "GET", 4),
        (400, true, "GET", 1),
        (503, true, "DELETE", 4),
        (503, true, "POST", 1),
        (429, false, "POST", 4),
    ] {
        let count = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&count);
        let engine = open(
            &user(PLAIN),
            [("token", "secret-token")],
            server(move |_| {
                *counted.lock().unwrap() += 1;
                reply(status, r#"{"message": "busy, secret-token"}"#)
            }),
        );
        let zone = zone("example.com", &[("id", "z")]);
        let record = txt("_dv.example.com", "v");
        let error = match method {
            "GET" => engine.locate(&record.name).await.err(),
            "DELETE" => engine.withdraw(&zone, &record, Some(&Handle(json!({"id": 1})))).await.err(),
            _ => engine.publish(&zone, &record).await.err(),
        };
        let error = error.unwrap();
        assert_eq!(*count.lock().unwrap(), wanted, "{method} {status} {acted}");
        assert_eq!(error.kind(), ErrorKind::Provider);
        assert_eq!(error.http_status(), Some(status));
        let text = format!("{error:?}");
        assert!(text.contains("busy") && !text.contains("secret-token"), "{text}");
    }
}

#[tokio::test]
async fn a_write_that_never_left_is_repeated() {
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let engine = open(
        &user(PLAIN),
        [("token", "secret-token")],
        server(move |_| {
            *counted.lock().unwrap() += 1;
            if *counted.lock().unwrap() < 3 { broken(false) } else { reply(201, r#"{"id": 7}"#) }
        }),
    );
    let handle = engine.publish(&zone("example.com", &[("id", "z")]), &txt("_dv.example.com", "v")).await.unwrap();
    assert_eq!((handle.0, *count.lock().unwrap()), (json!({"id": 7}), 3));
}

#[tokio::test]
async fn statuses_become_kinds_of_error() {
    for (status, kind, retry) in [
        (401, ErrorKind::Credentials, Retry::Never),
        (403, ErrorKind::Rights, Retry::Never),
        (422, ErrorKind::Provider, Retry::Never),
        (500, ErrorKind::Provider, Retry::Later),
        (429, ErrorKind::Provider, Retry::Later),
    ] {
        let engine = open(&user(PLAIN), [("token", "secret-token")], server(move |_| reply(status, "<html>gateway</html>")));
        let error = engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}");
        assert!(error.to_string().contains("GET /v1/zones") && error.to_string().contains("gateway"), "{error}");
    }
    let engine = open(&user(PLAIN), [("token", "t")], server(|_| reply(200, "<html>login</html>")));
    let error = engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("not JSON") && error.to_string().contains("<html>login"), "{error}");
}

#[tokio::test]
async fn the_longest_listed_zone_is_taken_and_missing_ones_are_named() {
    let zones = r#"[{"id": 1, "name": "example.com."}, {"id": 2, "name": "a.example.com"}, {"id": 3, "name": "not a name"}]"#;
    let engine = open(&user(PLAIN), [("token", "t")], server(move |_| reply(200, zones)));
    let found = engine.locate(&Name::parse("_dv.b.a.example.com").unwrap()).await.unwrap();
    assert_eq!((found.name.as_str(), &found.fields["id"]), ("a.example.com", &json!(2)));
    let error = engine.locate(&Name::parse("_dv.example.org").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("`_dv.example.org`; there are: example.com, a.example.com"), "{error}");
    let access = engine.probe().await.unwrap();
    assert!(access.is_complete && access.zones.len() == 2);
}

#[tokio::test]
async fn base_urls_are_overridden_by_settings() {
    let log = Log::default();
    let logged = Arc::clone(&log);
    let text = PLAIN.replace(
        "[zone]\nhttp = \"GET /zones\"",
        "[hosts]\nlist = \"https://list.example.com\"\n[zone]\nhttp = \"GET list:/zones\"",
    );
    let wire = server(move |request| {
        logged.lock().unwrap().push(request.url.to_string());
        reply(200, r#"[{"id": 1, "name": "example.com"}]"#)
    });
    let manifest = user(&text);
    let name = Name::parse("_dv.example.com").unwrap();
    let engine = open(&manifest, [("token", "t")], Arc::clone(&wire));
    engine.locate(&name).await.unwrap();
    let mut settings = settings(&manifest, [("token", "t")]);
    settings.environment = crate::environment::Environment::of([
        ("DV_MINE_BASE_URL", "http://127.0.0.1:1/base/"),
        ("DV_MINE_URL_LIST", "http://127.0.0.1:2"),
    ]);
    let engine = manifest.engine(&settings, wire, clock(), &Redactor::default()).unwrap();
    engine.locate(&name).await.unwrap();
    engine.publish(&zone("example.com", &[("id", "z")]), &txt("_dv.example.com", "v")).await.unwrap_err();
    assert_eq!(
        *log.lock().unwrap(),
        ["https://list.example.com/zones", "http://127.0.0.1:2/zones", "http://127.0.0.1:1/base/zones/z/records"]
    );
}

#[tokio::test]
async fn a_line_break_in_a_credential_is_no_way_into_the_headers() {
    let engine = open(&user(PLAIN), [("token", "to\r\nX-Evil: 1")], server(|_| reply(200, "[]")));
    let error = engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("line break") && !error.to_string().contains("Evil"), "{error}");
}

#[tokio::test]
async fn time_and_nonce_are_fresh_for_every_attempt() {
    let seen = Log::default();
    let logged = Arc::clone(&seen);
    let text = PLAIN.replace(
        "Authorization = \"Bearer {{ cred.token }}\"",
        "X-Nonce = \"{{ req.nonce }}\", X-Sum = \"{{ (req.method ~ req.path ~ req.body) | hmac_sha256(cred.token) }}\"",
    );
    let manifest = user(&text);
    let wire = server(move |request| {
        assert_eq!(request.header("x-sum").unwrap().len(), 64);
        logged.lock().unwrap().push(request.header("x-nonce").unwrap().to_owned());
        if logged.lock().unwrap().len() < 2 { broken(false) } else { reply(200, r#"[{"id": 1, "name": "example.com"}]"#) }
    });
    let engine =
        manifest.engine(&settings(&manifest, [("token", "t")]), wire, super::super::clock::Clock::real(), &Redactor::default());
    engine.unwrap().locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 2 && seen[0] != seen[1] && seen[0].len() == 32, "{seen:?}");
}

#[tokio::test]
async fn without_a_zone_section_the_zone_is_a_setting_or_not_needed() {
    let start = PLAIN.find("[zone]").unwrap();
    let end = PLAIN.find("[create]").unwrap();
    let text = format!("{}{}", &PLAIN[..start], &PLAIN[end..]).replace("zone.id", "zone.name");
    let name = Name::parse("_dv.www.example.com").unwrap();
    let nothing = || server(|_| reply(500, ""));
    let error = open(&user(&text), [("token", "t")], nothing()).locate(&name).await.unwrap_err();
    assert!(error.hint().unwrap().contains("DV_MINE_ZONE"), "{error:?}");
    let engine = open(&user(&text), [("token", "t"), ("zone", "example.org, example.com")], nothing());
    assert_eq!(engine.locate(&name).await.unwrap().name.as_str(), "example.com");
    let text = text.replace("/zones/{{ zone.name }}", "").replace("{{ name }}", "{{ fqdn }}");
    assert_eq!(open(&user(&text), [("token", "t")], nothing()).locate(&name).await.unwrap().name.as_str(), "www.example.com");
}

#[tokio::test]
async fn types_are_spelled_as_the_service_wants_and_others_refused() {
    let body = Arc::new(Mutex::new(Value::Null));
    let kept = Arc::clone(&body);
    let text =
        PLAIN.replace("ttl = 60", "ttl = 60\ntypes = { TXT = 16 }").replace("value = \"{{ value }}\"", "type = \"{{ type }}\"");
    let engine = open(
        &user(&text),
        [("token", "t")],
        server(move |request| {
            *kept.lock().unwrap() = serde_json::from_slice(&request.body).unwrap();
            reply(200, r#"{"id": 1}"#)
        }),
    );
    let zone = zone("example.com", &[("id", "z")]);
    engine.publish(&zone, &txt("example.com", "v")).await.unwrap();
    assert_eq!(*body.lock().unwrap(), json!({"name": "", "type": 16}));
    let mut record = txt("_dv.example.com", "v");
    record.record_type = crate::record::RecordType::Cname;
    assert_eq!(engine.publish(&zone, &record).await.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(engine.publish(&zone, &txt("_dv.example.org", "v")).await.unwrap_err().kind(), ErrorKind::Usage);
}

/// A service that takes whole zones only.
const ZONE_WRITER: &str = r#"
id = "mine"
title = "Mine"
base_url = "https://api.example.com"
ttl = 60
scope = "zone"
[merge]
item = { name = "{{ name }}", type = "{{ type }}", data = "{{ value }}" }
same = ".name == $name and .type == $type and .data == $value"
read = { http = "GET /zone", items = ".records[]" }
write = { http = "PUT /zone", json = { records = "{{ items }}" } }
"#;

#[tokio::test]
async fn a_whole_zone_is_replaced_only_where_that_is_allowed_and_never_without_a_copy() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let copies = folder.path().to_str().unwrap();
    let held = Arc::new(Mutex::new(json!([{"name": "mail", "type": "MX", "data": "10 mx"}])));
    let service = || {
        let held = Arc::clone(&held);
        server(move |request| {
            let mut held = held.lock().unwrap();
            if request.method == "PUT" {
                *held = serde_json::from_slice::<Value>(&request.body).unwrap()["records"].clone();
            }
            reply(200, json!({"records": *held, "serial": 7}).to_string())
        })
    };
    let (zone, record) = (zone("example.com", &[]), txt("_dv.example.com", "abc"));
    let before = held.lock().unwrap().clone();

    let error = open(&user(ZONE_WRITER), [("zone_copies", copies)], service()).publish(&zone, &record).await.unwrap_err();
    assert!(
        error.to_string().contains("as a whole") && error.hint().unwrap().contains("--allow-zone-rewrite example.com"),
        "{error}"
    );
    let other = [("zone_copies", copies), ("allow_zone_rewrite", "example.org")];
    assert!(open(&user(ZONE_WRITER), other, service()).publish(&zone, &record).await.is_err());
    let no_folder = [("allow_zone_rewrite", "example.com")];
    assert!(open(&user(ZONE_WRITER), no_folder, service()).publish(&zone, &record).await.is_err());
    assert_eq!(*held.lock().unwrap(), before, "nothing was written");

    let allowed = [("zone_copies", copies), ("allow_zone_rewrite", "example.com")];
    open(&user(ZONE_WRITER), allowed, service()).publish(&zone, &record).await.unwrap();
    assert_eq!(held.lock().unwrap().as_array().unwrap().len(), 2);
    let copy = folder.path().join("mine/example.com-20260102T030405Z.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&copy).unwrap()).unwrap();
    assert_eq!(kept, json!({"records": before, "serial": 7}));
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);

    // Once is enough.
    open(&user(ZONE_WRITER), [("zone_copies", copies)], service()).withdraw(&zone, &record, None).await.unwrap();
    assert_eq!(*held.lock().unwrap(), before);
}

#[tokio::test]
async fn a_parameter_over_all_parameters_agrees_with_the_sdk_in_query_form_and_json() {
    let file: Value = serde_json::from_str(include_str!("../../../../tests/data/signers/parameter.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 2);
    for vector in vectors {
        let parameters: BTreeMap<&String, String> = vector["parameters"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        let table: Vec<String> = parameters.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
        for (method, place) in [("GET", "query"), ("POST", "form"), ("POST", "json")] {
            let text = format!(
                "id = \"mine\"\ntitle = \"Mine\"\nbase_url = \"https://api.example.com\"\nttl = 60\nremoval = false\n\
                 [credentials]\nkey = {{ secret = true }}\n\
                 [sign]\nkind = \"parameter\"\nname = \"Signature\"\nvalue = \"{{{{ (req.params | pairs('', '') ~ cred.key) | sha1 }}}}\"\n\
                 [create]\nhttp = \"{method} /\"\n{place} = {{ {} }}\n",
                table.join(", ")
            );
            let sent = Arc::new(Mutex::new(None));
            let log = Arc::clone(&sent);
            let wire = server(move |request| {
                let pairs = |text: &[u8]| url::form_urlencoded::parse(text).into_owned().collect::<BTreeMap<String, String>>();
                let all = match (request.url.query(), request.header("content-type")) {
                    (Some(query), _) => pairs(query.as_bytes()),
                    (None, Some("application/json")) => serde_json::from_slice(&request.body).unwrap(),
                    _ => pairs(&request.body),
                };
                *log.lock().unwrap() = Some(all);
                reply(200, "{}")
            });
            let engine = open(&user(&text), [("key", vector["private_key"].as_str().unwrap())], wire);
            engine.publish(&zone("example.com", &[]), &txt("_dv.example.com", "abc")).await.unwrap();
            let sent = sent.lock().unwrap().take().unwrap();
            assert_eq!(sent["Signature"], vector["signature"].as_str().unwrap(), "{place}");
            assert_eq!(sent.len(), parameters.len() + 1);
        }
    }
}
