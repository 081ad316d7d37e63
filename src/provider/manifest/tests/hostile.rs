//! Invariant 11, clause by clause: what a hostile manifest or a hostile reply can do. It reads no variable and no file, reaches no
//! other host, does not hang and does not crash.

use std::sync::{Arc, Mutex};

use super::{super::Manifest, open, reply, server, txt, user, zone};
use crate::{
    environment::Environment,
    error::ErrorKind,
    name::Name,
    provider::{
        DnsProvider,
        settings::{Context, Settings},
    },
    secret::Redactor,
};

/// A manifest whose create call sends `value`, and whose id is what `id` finds.
fn manifest(value: &str, id: &str) -> String {
    format!(
        "id = \"mine\"\ntitle = \"Mine\"\nbase_url = \"https://api.example.com\"\nttl = 60\nremoval = false\n\
         [credentials]\ntoken = {{ secret = true }}\n\
         [create]\nhttp = \"POST /records\"\njson = {{ v = '''{value}''' }}\nid = '''{id}'''\n"
    )
}

fn refused(value: &str, id: &str) -> String {
    Manifest::parse(&manifest(value, id), "mine.toml", false).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn it_reads_no_variable() {
    for id in ["env", "$ENV", "env.HOME", "$__prog_args", "$__loc__", "input_filename"] {
        assert!(!refused("x", id).is_empty(), "{id}");
    }
    for value in ["{{ env('HOME') }}", "{{ environ.HOME }}", "{{ cred.other }}", "{{ cred['token'] ~ cred }}", "{{ debug() }}"] {
        assert!(!refused(value, ".id").is_empty(), "{value}");
    }
    // What it declares comes from its own variables only.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let environment = Environment::of([("DV_CLOUDFLARE_API_TOKEN", "theirs"), ("MINE_TOKEN", "no"), ("TOKEN", "no")]);
    let context = Context { http: crate::http::Http::new().unwrap(), redactor: Redactor::default() };
    let error = user(&manifest("x", ".id")).open(&Settings::of_builtin("mine", environment), &context).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Credentials);
}

#[test]
fn it_reads_no_file() {
    for id in
        ["input", "inputs", "include \"x\"; .", "import \"x\" as x; .", "get_search_list", "@sh", "halt", "input_line_number"]
    {
        assert!(!refused("x", id).is_empty(), "{id}");
    }
    for value in
        ["{% include '/etc/passwd' %}", "{% import '/etc/passwd' as x %}", "{% extends 'x' %}", "{{ open('/etc/passwd') }}"]
    {
        assert!(!refused(value, ".id").is_empty(), "{value}");
    }
    // A default is a text, not a path.
    let text = manifest("{{ cred.path }}", ".id")
        .replace("token = { secret = true }", "path = { file = true, default = \"/etc/passwd\" }");
    let sent = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&sent);
    let wire = server(move |request| {
        *log.lock().unwrap() = String::from_utf8(request.body).unwrap();
        reply(200, "{}")
    });
    let engine = open(&user(&text), [], wire);
    let (zone, record) = (zone("example.com", &[]), txt("_dv.example.com", "abc"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(engine.publish(&zone, &record)).unwrap();
    assert_eq!(*sent.lock().unwrap(), r#"{"v":"/etc/passwd"}"#);
}

#[tokio::test]
async fn it_reaches_no_other_host() {
    let headers =
        |header: &str| manifest("x", ".id").replace("json =", &format!("headers = {{ {header} = \"evil.example\" }}\njson ="));
    for header in
        ["Host", "host", "Transfer-Encoding", "Content-Length", "Connection", "Proxy-Authorization", "\"a b\"", "\"a\\r\\nb\""]
    {
        assert!(Manifest::parse(&headers(header), "mine.toml", false).is_err(), "{header}");
    }
    for next in [
        "https://evil.example/2",
        "//evil.example/2",
        "http://api.example.com/2",
        "https://api.example.com:444/2",
        "https://user@api.example.com/2",
        "https://api.example.com.evil.example/2",
        "file:///etc/passwd",
        "\\\\evil.example\\2",
    ] {
        let text = manifest("x", ".id")
            .replace("[create]", "[zone]\nhttp = \"GET /zones\"\nzones = \".zones[] | {name}\"\nnext = \".next\"\n[create]");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let body = serde_json::json!({"zones": [], "next": next}).to_string();
        let wire = server(move |request| {
            log.lock().unwrap().push(request.url.to_string());
            reply(200, body.clone())
        });
        let engine = open(&user(&text), [("token", "t")], wire);
        let error = engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("does not name the host") || error.to_string().contains("URL"), "{next}: {error}");
        assert_eq!(*asked.lock().unwrap(), ["https://api.example.com/zones"], "{next}");
    }
    // What a reply says is a part of the path, never of the host.
    let text = manifest("x", ".id").replace("POST /records", "POST /{{ zone.id }}/records");
    for id in ["@evil.example", "..", "//evil.example", "a/../../b", "?x", "#x"] {
        let asked = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&asked);
        let wire = server(move |request| {
            *log.lock().unwrap() = format!("{} {:?}", request.url.host_str().unwrap(), request.url.query());
            reply(200, "{}")
        });
        let engine = open(&user(&text), [("token", "t")], wire);
        drop(engine.publish(&zone("example.com", &[("id", id)]), &txt("_dv.example.com", "abc")).await);
        assert_eq!(*asked.lock().unwrap(), "api.example.com None", "{id}");
    }
}

#[test]
fn it_does_not_hang() {
    let value = |text: &str| {
        let manifest = user(&manifest(text, ".id"));
        let engine = open(&manifest, [("token", "t")], server(|_| reply(200, "{}")));
        let zone = zone("example.com", &[]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(engine.publish(&zone, &txt("_dv.example.com", &"x".repeat(60_000)))).err().map(|error| error.to_string())
    };
    // Each would make a text of more bytes than there are atoms, or work for hours.
    let grows = |filter: &str, times: usize| format!("{{{{ value{} }}}}", filter.repeat(times));
    for text in [
        grows("|hex", 140),
        grows("|b64", 140),
        grows("|esc|esc", 70),
        grows("|replace('x','xxxxxxxxxxxxxxxxxxxx')", 40),
        grows("|tojson", 140),
        "{{ (value | split('x')) | join(value) }}".to_owned(),
        "{% for a in value | list %}{% for b in value | list %}{{ value | sha256 | first }}{% endfor %}{% endfor %}".to_owned(),
        "{% for a in value | list %}{{ (value ~ value) | sha256 | first }}{% endfor %}".to_owned(),
    ] {
        assert!(value(&text).is_some(), "{}", &text[..60.min(text.len())]);
    }
    for text in ["{{ value * 1000000000 }}", "{{ [value] * 1000000000 }}", "{{ 9 ** 9 ** 9 ** 9 }}"] {
        assert!(refused(text, ".id").contains("multiplication"), "{text}");
    }
    for id in [
        "range(infinite)",
        "repeat(.)",
        "[limit(1e9; repeat(1))]",
        "def f: f; f",
        "until(false; .)",
        "recurse(.)",
        "while(true; .)",
    ] {
        assert!(refused("x", id).contains("not allowed"), "{id}");
    }
}

#[test]
fn it_does_not_crash() {
    // Nested so deep that a parser without a limit would run out of stack; on a small one, to be sure.
    let deep =
        |open: &str, inner: &str, close: &str, times: usize| format!("{}{inner}{}", open.repeat(times), close.repeat(times));
    let texts = [
        deep("(", "value", ")", 1900),
        deep("[", "", "]", 1900),
        deep("{'a':", "1", "}", 600),
        deep("-", "1", "", 3900),
        deep("not ", "value", "", 950),
        deep("value if ", "1", " else 1", 200),
        deep("value ~ ", "1", "", 480),
        format!("value{}", ".a".repeat(1900)),
    ];
    let queries = [
        deep("(", ".", ")", 950),
        deep("[", ".", "]", 950),
        deep("-", "1", "", 1900),
        deep("try ", ".", "", 450),
        deep("if . then ", ".", " else . end", 90),
        deep(". | ", ".", "", 450),
        deep(". + ", ".", "", 450),
        deep("1, ", "1", "", 600),
        format!(".{}", "a?.".repeat(600).trim_end_matches('.')),
        format!(".{}", "[0]".repeat(600)),
        "test(\"(((a{1000}){1000}){1000})\")".to_owned(),
        format!("\"{}\"", "\\(1)".repeat(450)),
    ];
    let manifests: Vec<String> = texts
        .iter()
        .map(|text| manifest(&format!("{{{{ {text} }}}}"), ".id"))
        .chain(queries.iter().map(|query| manifest("x", query)))
        .chain([
            manifest("x", ".id").replace("json = ", &format!("json = {{ w = {} }} # ", deep("[", "", "]", 20_000))),
            manifest("x", ".id").replace("title =", &format!("{} =", "a.".repeat(20_000) + "a")),
            format!("{}{}", "[a.".repeat(5000), "b"),
            "\u{feff}\0\u{1}".to_owned(),
            String::new(),
        ])
        .collect();
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || {
        for text in manifests {
            // Refused or not: what loads must also run.
            if let Ok(manifest) = Manifest::parse(&text, "mine.toml", false) {
                let engine = open(&manifest, [("token", "t")], server(|_| reply(200, r#"{"id": 7}"#)));
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                drop(runtime.block_on(engine.publish(&zone("example.com", &[]), &txt("_dv.example.com", "abc"))));
            }
        }
    });
    thread.unwrap().join().unwrap();
}

#[tokio::test]
async fn replies_of_any_kind_are_errors_that_say_what_came() {
    let text = manifest("x", ".id").replace("[create]", "[zone]\nhttp = \"GET /zones\"\nzones = \".zones[] | {name}\"\n[create]");
    for (status, body, said) in [
        (200, String::new(), "an empty body"),
        (200, "<html><body>Maintenance</body></html>".to_owned(), "Maintenance"),
        (200, "[1, 2]".to_owned(), "[1, 2]"),
        (200, "\"text\"".to_owned(), "\"text\""),
        (200, r#"{"zones": {"a": 1}}"#.to_owned(), "zones"),
        (502, "<html>Bad gateway</html>".to_owned(), "Bad gateway"),
        (418, "x".repeat(5000), "xxx"),
    ] {
        let engine = open(&user(&text), [("token", "geheim-token")], server(move |_| reply(status, format!("{body} "))));
        let error = engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Provider, "{error}");
        let shown = error.to_string();
        assert!(shown.contains("GET /zones") && shown.contains(&status.to_string()) && shown.contains(said), "{shown}");
        assert!(shown.len() < 600, "{shown}");
    }
    // A service that sends a credential back does not make it show.
    let engine = open(&user(&text), [("token", "geheim-token")], server(|_| reply(200, r#"{"your": "geheim-token"}"#)));
    let error = engine.locate(&Name::parse("_dv.example.com").unwrap()).await.unwrap_err();
    assert!(!error.to_string().contains("geheim"), "{error}");
}

#[tokio::test]
async fn two_zones_of_one_name_are_not_guessed_between() {
    for section in ["GET /zones?name={{ candidate }}", "GET /zones"] {
        let text = manifest("{{ zone.id }}", ".id")
            .replace("[create]", &format!("[zone]\nhttp = \"{section}\"\nzones = \".[] | {{name, id}}\"\n[create]"));
        let zones =
            |second: &str| format!(r#"[{{"name": "example.com", "id": "z1"}}, {{"name": "example.com", "id": "{second}"}}]"#);
        let (twice, same) = (zones("z2"), zones("z1"));
        let name = Name::parse("_dv.example.com").unwrap();
        let engine = open(&user(&text), [("token", "t")], server(move |_| reply(200, twice.clone())));
        let error = engine.locate(&name).await.unwrap_err().to_string();
        assert!(error.contains("2 zones named `example.com`") && error.contains("z1") && error.contains("z2"), "{error}");
        // One that is listed twice is one.
        let engine = open(&user(&text), [("token", "t")], server(move |_| reply(200, same.clone())));
        assert_eq!(engine.locate(&name).await.unwrap().fields["id"], "z1");
    }
}
