//! `docs/own-provider.md`, block by block as a new user would type it, against a small HTTP server that is the service of the page.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path as Segments, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use dv_verify::{http::Http, order::Generation, sandbox::Addresses};
use serde_json::{Value, json};

use super::context::{API_TOKEN, Context, Ran, runtime};

const PAGE: &str = include_str!("../../docs/own-provider.md");
/// The key in the page.
const KEY: &str = "the-key-of-your-account";

/// A piece of the page: what kind of block it is, and its text.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    kind: String,
    text: String,
}

/// The fenced blocks of a page.
fn blocks(page: &str) -> Vec<Block> {
    let mut parts = page.split("\n```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        let (kind, text) = block.split_once('\n').unwrap();
        blocks.push(Block { kind: kind.to_owned(), text: format!("{text}\n") });
    }
    blocks
}

/// The service of the page: it keeps entries of its own, and writes them into the sandbox's zone through the API that the sandbox has.
struct Service {
    zone: String,
    entries: Mutex<BTreeMap<u64, Entry>>,
    writes: Mutex<Vec<String>>,
}

struct Entry {
    fields: Value,
    /// The id of the record in the sandbox.
    record: String,
}

impl Service {
    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Http::new().unwrap();
        let request = http.client().request(method, format!("{}{path}", self.zone)).bearer_auth(API_TOKEN);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let reply = request.send().await.unwrap();
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
        reply.json().await.unwrap()
    }
}

fn reply(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

fn problem(status: StatusCode, text: &str) -> Response {
    reply(status, &json!({ "problem": text }))
}

async fn domains() -> Response {
    reply(StatusCode::OK, &json!({ "domains": [{ "domain": "example.com", "handle": 17 }] }))
}

async fn list(State(service): State<Arc<Service>>) -> Response {
    let entries = service.entries.lock().unwrap();
    let shown = entries.iter().map(|(id, entry)| {
        let mut fields = entry.fields.clone();
        fields["entry"] = (*id).into();
        fields
    });
    reply(StatusCode::OK, &json!({ "entries": shown.collect::<Vec<_>>() }))
}

async fn add(State(service): State<Arc<Service>>, body: String) -> Response {
    let Ok(fields) = serde_json::from_str::<Value>(&body) else { return problem(StatusCode::BAD_REQUEST, "no JSON") };
    for field in ["kind", "host", "data"] {
        if !fields[field].is_string() {
            return problem(StatusCode::BAD_REQUEST, &format!("`{field}` must be text"));
        }
    }
    if fields["ttl"] != 300 {
        return problem(StatusCode::BAD_REQUEST, "`ttl` must be a number");
    }
    let host = fields["host"].as_str().unwrap();
    let name = if host == "@" { "example.com".to_owned() } else { format!("{host}.example.com") };
    let body = json!({ "type": fields["kind"], "name": name, "content": fields["data"], "ttl": 60 });
    let made = service.call(reqwest::Method::POST, "/dns_records", Some(body)).await;
    let record = made["result"]["id"].as_str().unwrap().to_owned();
    let mut entries = service.entries.lock().unwrap();
    let id = entries.keys().max().unwrap_or(&3) + 1;
    service.writes.lock().unwrap().push(name);
    entries.insert(id, Entry { fields, record });
    reply(StatusCode::CREATED, &json!({ "entry": id }))
}

async fn remove(State(service): State<Arc<Service>>, Segments(id): Segments<u64>) -> Response {
    let entry = service.entries.lock().unwrap().remove(&id);
    let Some(entry) = entry else { return problem(StatusCode::NOT_FOUND, "no such entry") };
    service.call(reqwest::Method::DELETE, &format!("/dns_records/{}", entry.record), None).await;
    StatusCode::NO_CONTENT.into_response()
}

async fn with_key(headers: HeaderMap, request: Request, next: Next) -> Response {
    if headers.get("x-token").is_some_and(|key| key == KEY) {
        return next.run(request).await;
    }
    problem(StatusCode::UNAUTHORIZED, "no such key")
}

/// Starts the service; its base URL.
fn serve(addresses: &Addresses) -> (String, Arc<Service>) {
    let base = addresses.cloudflare.as_str().trim_end_matches('/').to_owned();
    runtime().block_on(async {
        let mut service = Service { zone: base, entries: Mutex::default(), writes: Mutex::default() };
        let zones = service.call(reqwest::Method::GET, "/zones?name=example.com", None).await;
        service.zone = format!("{}/zones/{}", service.zone, zones["result"][0]["id"].as_str().unwrap());
        let service = Arc::new(service);
        let router = Router::new()
            .route("/v1/domains", get(domains))
            .route("/v1/domains/17/entries", get(list).post(add))
            .route("/v1/domains/17/entries/{id}", delete(remove))
            .layer(middleware::from_fn(with_key))
            .with_state(Arc::clone(&service));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, service)
    })
}

/// A shell with the environment of the program in the sandbox, `dv-verify` on its path, and another place for the service.
fn shell(context: &Context, url: &str, script: &str) -> Ran {
    let program = Path::new(env!("CARGO_BIN_EXE_dv-verify"));
    let mut command = Command::new("/bin/sh");
    for (name, value) in context.command(&[]).get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    // Root's config is in /etc, which belongs to the machine: tests of root have the one of the page named.
    let config = context.home().join(".config/dv-verify/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "").unwrap();
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let output = command
        .arg("-ec")
        .arg(script)
        .env("PATH", path)
        .env("DV_MYDNS_BASE_URL", url)
        .env("DV_CONFIG", config)
        .current_dir(context.home())
        .stdin(std::process::Stdio::null())
        .output();
    Ran::of(output.unwrap())
}

/// Whether a line of the output is this line of the page, where `…` stands for anything and blanks for blanks.
fn fits(line: &str, shown: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (line, shown) = (squeezed(line), squeezed(shown));
    let mut rest = line.as_str();
    let mut pieces = shown.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let mut last = first;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        last = piece;
    }
    rest.is_empty() || last.is_empty()
}

#[test]
fn a_line_of_the_page_fits_a_line_of_the_output() {
    assert!(
        fits("ok  a is b", "ok a is b")
            && fits("seen after 0.1 s, gone", "seen after … s, gone")
            && fits(" /x/y.toml", "…/y.toml")
    );
    assert!(!fits("ok a is bc", "ok a is b") && !fits("seen after 0.1 m, gone", "seen after … s, gone"));
}

#[test]
fn who_follows_the_page_has_a_provider_that_works() {
    let context = Context::new();
    context.put_record("_dnsauth.example.com", "foreign");
    let (url, service) = serve(context.sandbox.addresses());
    let mut before = String::new();
    let mut output = String::new();
    let mut shown = 0;
    for Block { kind, text } in blocks(PAGE) {
        match kind.as_str() {
            "toml" => {
                let (name, _) = text.strip_prefix("# ").and_then(|rest| rest.split_once('\n')).unwrap();
                assert!(context.home().join(name).exists(), "the draft has no {name}");
                fs::write(context.home().join(name), &text).unwrap();
            }
            "sh" => {
                let ran = shell(&context, &url, &format!("{before}{text}")).expect(0);
                for export in text.lines().filter(|line| line.starts_with("export ")) {
                    before.push_str(export);
                    before.push('\n');
                }
                output = ran.stdout;
            }
            "text" => {
                for line in text.lines() {
                    assert!(output.lines().any(|it| fits(it, line)), "`{line}` is not in\n{output}");
                    shown += 1;
                }
            }
            other => panic!("a block of the kind `{other}`"),
        }
    }
    assert_eq!(shown, 6, "lines of output in the page");
    assert_eq!(service.writes.lock().unwrap().len(), 2, "the trial writes two values");
    assert!(service.entries.lock().unwrap().is_empty(), "and leaves none");

    // What the page promises at its end: the provider by its name, for an order; and a run says that it is experimental.
    let order = context.order(Generation::Instance, &["www.example.com"]);
    let script = format!("{before}dv-verify --provider mydns --order {order}");
    shell(&context, &url, &script).expect(0).says("provider `mydns` is experimental");
    assert_eq!(service.writes.lock().unwrap().len(), 3);
    assert_eq!(context.records().len(), 1, "only the record of somebody else is left: {:?}", context.records());

    // The table of usual reasons: the first two lines.
    let wrong = shell(&context, &url, "DV_MYDNS_API_KEY=wrong dv-verify test --provider mydns --zone example.com");
    wrong.expect(3).says("no such key");
    let script = format!("{before}dv-verify test --provider mydns --zone example.net");
    shell(&context, &url, &script).expect(4).says("example.com");
}
