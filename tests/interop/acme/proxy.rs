//! What Pebble never does: a proxy in front of it answers some calls itself.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::Response,
};
use serde_json::json;

use super::{Scene, run};
use crate::{interop::servers::pebble::Manner, tls::acceptor};

/// In the place of a status: there is no answer.
const NEVER: u16 = 0;

/// An answer in the place of Pebble's.
#[derive(Clone)]
struct Fault {
    /// What the path of the call holds.
    path: &'static str,
    /// How many calls are answered so.
    times: usize,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: serde_json::Value,
}

#[derive(Clone)]
pub(super) struct Proxy {
    pebble: String,
    client: reqwest::Client,
    faults: Arc<Mutex<Vec<Fault>>>,
    /// What is added to the directory.
    more: Arc<Mutex<serde_json::Value>>,
    calls: Arc<Mutex<Vec<String>>>,
    /// Where it listens.
    base: Arc<Mutex<String>>,
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}

impl Proxy {
    /// Starts one in front of the scene's CA and returns it with the URL of the directory.
    fn start(scene: &Scene, faults: Vec<Fault>, more: serde_json::Value) -> (Self, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = std::fs::read(scene.pebble.ca_file()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca).unwrap()).http1_only();
        let proxy = Self {
            pebble: scene.pebble.directory.trim_end_matches("/dir").to_owned(),
            client: client.build().unwrap(),
            faults: Arc::new(Mutex::new(faults)),
            more: Arc::new(Mutex::new(more)),
            calls: Arc::default(),
            base: Arc::default(),
        };
        let listener = runtime().block_on(tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let address = listener.local_addr().unwrap();
        *proxy.base.lock().unwrap() = format!("https://{address}");
        let service = Router::new().fallback(answer).with_state(proxy.clone());
        let listener = Tls { listener, acceptor: acceptor(scene.pebble.ca_file().parent().unwrap()) };
        runtime().spawn(async move { axum::serve(listener, service).await });
        (proxy, format!("https://{address}/dir"))
    }

    /// Starts one from within a runtime.
    #[cfg(feature = "failpoints")]
    pub(super) fn start_in(scene: &Scene) -> (Self, String) {
        std::thread::scope(|threads| threads.spawn(|| Self::start(scene, vec![], json!({}))).join().unwrap())
    }

    /// Answers from now on as if the authorization had come to nothing: `order` and `authorization` are the states.
    #[cfg(feature = "failpoints")]
    pub(super) fn revoke(&self, name: &str, order: &str, authorization: &str) {
        let called =
            self.calls.lock().unwrap().iter().rev().find_map(|call| call.strip_prefix("POST /authZ/").map(str::to_owned));
        let base = self.base.lock().unwrap().clone();
        let answer = |path, body| Fault { path, times: 99, status: 200, headers: vec![], body };
        let refused =
            json!({"type": "urn:ietf:params:acme:error:malformed", "detail": "the authorization is over", "status": 400});
        *self.faults.lock().unwrap() = vec![
            Fault { path: "chalZ", times: 99, status: 400, headers: vec![], body: refused },
            answer(
                "my-order",
                json!({"status": order, "identifiers": [{"type": "dns", "value": name}], "finalize": format!("{base}/finalize-order/x"),
                "authorizations": [format!("{base}/authZ/{}", called.expect("it was asked for"))]}),
            ),
            answer("authZ", json!({"status": authorization, "identifier": {"type": "dns", "value": name}, "challenges": []})),
        ];
    }

    /// Passes everything on again.
    #[cfg(feature = "failpoints")]
    pub(super) fn mend(&self) {
        self.faults.lock().unwrap().clear();
    }

    fn calls(&self, path: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.contains(path)).count()
    }

    fn fault(&self, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let fault = faults.iter_mut().find(|fault| fault.times > 0 && path.contains(fault.path))?;
        fault.times -= 1;
        Some(fault.clone())
    }
}

/// TLS with Pebble's own certificate: its URLs are https, and it compares them with those that are signed.
struct Tls {
    listener: tokio::net::TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn answer(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    proxy.calls.lock().unwrap().push(format!("{} {path}", parts.method));
    if let Some(fault) = proxy.fault(&path) {
        if fault.status == NEVER {
            std::future::pending::<()>().await;
        }
        let mut response = Response::builder().status(fault.status).header("content-type", "application/problem+json");
        for (name, value) in &fault.headers {
            response = response.header(*name, value);
        }
        return response.body(Body::from(fault.body.to_string())).unwrap();
    }
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let mut forwarded = proxy.client.request(parts.method, format!("{}{path}", proxy.pebble)).body(body);
    // Pebble makes its URLs of this.
    forwarded = forwarded.header(header::HOST, parts.headers[header::HOST].clone());
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        forwarded = forwarded.header(header::CONTENT_TYPE, kind);
    }
    let Ok(reply) = forwarded.send().await else {
        return Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap();
    };
    let mut response = Response::builder().status(reply.status());
    for (name, value) in reply.headers() {
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            response = response.header(name, value);
        }
    }
    let mut bytes = reply.bytes().await.unwrap().to_vec();
    if path == "/dir" {
        let mut directory: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        merge(&mut directory, &proxy.more.lock().unwrap());
        bytes = directory.to_string().into_bytes();
    }
    response.body(Body::from(bytes)).unwrap()
}

fn merge(into: &mut serde_json::Value, more: &serde_json::Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        if value.is_object() && into[key].is_object() { merge(&mut into[key], value) } else { into[key] = value.clone() }
    }
}

fn problem(path: &'static str, times: usize, status: u16, kind: &str, detail: &str, retry_after: Option<&str>) -> Fault {
    Fault {
        path,
        times,
        status,
        headers: retry_after.iter().map(|seconds| ("retry-after", (*seconds).to_owned())).collect(),
        body: json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status}),
    }
}

fn apply(scene: &Scene, directory: &str, arguments: &[&str]) -> crate::outside::Ran {
    run(scene.command(arguments).env("DV_CA", directory))
}

#[test]
fn a_long_rate_limit_says_when_to_come_back() {
    let Some(scene) = Scene::new() else { return };
    let limit = problem("order-plz", 1, 429, "rateLimited", "too many new orders recently", Some("9000"));
    let (proxy, directory) = Proxy::start(&scene, vec![limit], json!({}));
    let began = std::time::Instant::now();
    let ran = apply(&scene, &directory, &["apply", "limited.example.test"]).expect(7);
    assert!(began.elapsed().as_secs() < 20, "it does not wait");
    let ran = ran.says("too many new orders recently").says("come back at 20").says("(in 150 min)");
    assert!(ran.stderr.contains("run the same command again"), "{}", ran.stderr);
    scene.assert_clean("limited.example.test");
    apply(&scene, &directory, &["apply", "limited.example.test"]).expect(0);
    assert_eq!(proxy.calls("order-plz"), 2);
}

#[test]
fn a_short_rate_limit_is_waited_for() {
    let Some(scene) = Scene::new() else { return };
    let faults = vec![
        problem("order-plz", 1, 429, "rateLimited", "slow down", Some("1")),
        problem("finalize-order", 1, 503, "serverInternal", "busy", Some("1")),
        problem("authZ", 1, 500, "serverInternal", "oops", None),
    ];
    let (_proxy, directory) = Proxy::start(&scene, faults, json!({}));
    apply(&scene, &directory, &["apply", "slow.example.test"]).expect(0);
    scene.assert_clean("slow.example.test");
}

/// Eight of ten new orders are refused at first.
#[test]
fn a_rate_limit_over_many_orders_is_waited_out_by_all() {
    let Some(scene) = Scene::with(&Manner { variables: vec![("PEBBLE_WFE_NONCEREJECT", "0")], ..Manner::default() }) else {
        return;
    };
    let (proxy, directory) =
        Proxy::start(&scene, vec![problem("order-plz", 8, 429, "rateLimited", "too many new orders", Some("1"))], json!({}));
    let list = scene.home().join("list");
    let lines: Vec<String> = (0..10).map(|number| format!("limit{number}.example.test")).collect();
    std::fs::write(&list, lines.join("\n")).unwrap();
    let ran = apply(&scene, &directory, &["apply", "--list", list.to_str().unwrap()]).expect(0);
    assert!(ran.stderr.contains("10 orders: 10 issued"), "{}", ran.stderr);
    assert_eq!(proxy.calls("order-plz"), 18);
}

/// A CA that takes the connection and says nothing does not outlast the order's time.
#[test]
fn a_ca_that_never_answers() {
    let Some(scene) = Scene::new() else { return };
    let (proxy, directory) = Proxy::start(&scene, vec![], json!({}));
    apply(&scene, &directory, &["apply", "before2.example.test"]).expect(0);
    for path in ["order-plz", "authZ", "chalZ", "finalize-order"] {
        let name = format!("{}.never.example.test", path.to_ascii_lowercase());
        *proxy.faults.lock().unwrap() = vec![problem(path, 99, NEVER, "", "", None)];
        let began = std::time::Instant::now();
        let ran = apply(&scene, &directory, &["apply", &name, "--timeout", "2s"]);
        assert!(began.elapsed() < std::time::Duration::from_secs(15), "{path}: {:?}", began.elapsed());
        assert!([1, 7].contains(&ran.code), "{path}: {ran:?}");
        *proxy.faults.lock().unwrap() = vec![];
        // The order lives: the next run goes on with what is there, its record too.
        apply(&scene, &directory, &["apply", &name]).expect(0);
        scene.assert_clean(&name);
    }
}

#[test]
fn caa_forbids() {
    let Some(scene) = Scene::new() else { return };
    let faults = vec![problem("finalize-order", 1, 403, "caa", "CAA record for caa.example.test prevents issuance", None)];
    let (_proxy, directory) = Proxy::start(&scene, faults, json!({}));
    let ran = apply(&scene, &directory, &["apply", "caa.example.test"]).expect(6);
    let ran = ran.says("CAA record for caa.example.test prevents issuance").says("must name this CA");
    assert!(ran.stderr.contains("is removed"), "{}", ran.stderr);
    scene.assert_clean("caa.example.test");
    assert!(!scene.state().iter().any(|path| path.contains("orders/")), "{:?}", scene.state());
    // The next run begins a new order.
    apply(&scene, &directory, &["apply", "caa.example.test"]).expect(0);
}

#[test]
fn an_account_that_was_deactivated() {
    let Some(scene) = Scene::new() else { return };
    let detail = "Account is not valid, has status \\\"deactivated\\\"";
    let (proxy, directory) = Proxy::start(&scene, vec![], json!({}));
    apply(&scene, &directory, &["apply", "before.example.test"]).expect(0);
    proxy.faults.lock().unwrap().push(problem("order-plz", 9, 403, "unauthorized", detail, None));
    apply(&scene, &directory, &["apply", "after.example.test"]).expect(3).says("deactivated").says("a new one is registered");
    scene.assert_clean("after.example.test");
}

#[test]
fn profiles_are_those_of_the_directory() {
    let Some(scene) = Scene::new() else { return };
    let meta = json!({"meta": {"profiles": {"shortlived": "six days", "tlsserver": "for servers"}}});
    let (_proxy, directory) = Proxy::start(&scene, vec![], meta);
    apply(&scene, &directory, &["apply", "p.example.test", "--profile", "short"]).expect(2).says("it has shortlived, tlsserver");
    apply(&scene, &directory, &["apply", "p.example.test", "--profile", "shortlived"]).expect(0);
}

/// The CA asks for a renewal long before the end: it is done, though a third of the lifetime is far away.
#[test]
fn the_ca_says_when_to_renew() {
    let Some(scene) = Scene::new() else { return };
    let (proxy, directory) = Proxy::start(&scene, vec![], json!({}));
    apply(&scene, &directory, &["apply", "ari.example.test"]).expect(0);
    proxy.faults.lock().unwrap().push(Fault {
        path: "renewal-info",
        times: 9,
        status: 200,
        headers: vec![("retry-after", "21600".to_owned())],
        body: json!({"suggestedWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
            "explanationURL": "https://ca.example/incident"}),
    });
    let base = directory.trim_end_matches("/dir");
    *proxy.more.lock().unwrap() = json!({"renewalInfo": format!("{base}/renewal-info")});
    let ran = apply(&scene, &directory, &["renew", "--detailed-exit-code"]).expect(10);
    assert!(ran.stderr.contains("the CA asks for it (see https://ca.example/incident)"), "{}", ran.stderr);
    assert!(proxy.calls("renewal-info/") > 0);
    scene.assert_clean("ari.example.test");
}

#[test]
fn a_source_that_fails_is_named_while_it_is_waited_for() {
    let Some(scene) = Scene::new() else { return };
    // As many as one look tries, and one more.
    let (_proxy, directory) =
        Proxy::start(&scene, vec![problem("order-plz", 6, 503, "serverInternal", "down for repair", None)], json!({}));
    let ran = apply(&scene, &directory, &["apply", "waits.example.test"]).expect(0);
    ran.says("waiting for the order source to answer; its last answer: ").says("down for repair").says("asked again in ");
}

/// What a killed run left stays as long as the CA knows the order, and goes once it does not.
#[cfg(feature = "failpoints")]
#[test]
fn clean_asks_the_ca_whether_an_order_still_lives() {
    let Some(scene) = Scene::new() else { return };
    let (proxy, directory) = Proxy::start(&scene, vec![], json!({}));
    let mut command = scene.command(&["apply", "gone.example.test"]);
    let ran = run(command.env("DV_CA", &directory).env("DV_FAILPOINT", "visible.after"));
    assert_eq!(ran.code, -1, "{ran:?}");
    let ran = scene.run(&["clean"]).expect(0);
    assert!(ran.stderr.contains("stays: order ") && ran.stderr.contains("is checking"), "{}", ran.stderr);
    proxy.faults.lock().unwrap().push(problem("my-order", 9, 404, "malformed", "no such order", None));
    scene.run(&["clean"]).expect(0).says("is removed");
    scene.assert_clean("gone.example.test");
    assert!(!scene.state().iter().any(|path| path.contains("orders/")), "its key is of no use to anybody: {:?}", scene.state());
    proxy.faults.lock().unwrap().clear();
    apply(&scene, &directory, &["apply", "gone.example.test"]).expect(0);
}
