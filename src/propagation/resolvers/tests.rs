//! Resolvers over UDP, TLS and HTTPS on loopback: reports, fallbacks, waiting for denials, discovery in private.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hickory_proto::{op::Message, rr::RecordType as WireType};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;
use crate::propagation::{
    Options,
    testing::{Act, Asked, PATIENCE, Server, Zone, name, propagation, record, resolving, send, txt},
};

/// A certificate for these names, and a client that trusts it alone.
pub(crate) struct Pki {
    pub(crate) client: Arc<ClientConfig>,
    server: ServerConfig,
}

impl Pki {
    pub(crate) fn new(names: &[&str]) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let made = rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self { client: Arc::new(client), server }
    }
}

type Script = Arc<std::sync::Mutex<dyn FnMut(&Asked) -> Vec<Act> + Send>>;

/// A resolver over TLS or HTTPS; stops when dropped.
pub(crate) struct Private {
    pub(crate) port: u16,
    _tasks: JoinSet<()>,
}

fn answered(script: &Script, packet: &[u8]) -> Vec<u8> {
    let message = Message::from_vec(packet).unwrap();
    let query = &message.queries[0];
    let asked = Asked {
        at: Instant::now(),
        name: crate::name::Name::from_wire(&query.name),
        record_type: query.query_type,
        over_tcp: true,
        before: 0,
        message: message.clone(),
    };
    match script.lock().unwrap()(&asked).pop() {
        Some(Act::Send(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

impl Private {
    /// Serves the script, over HTTPS or over TLS.
    pub(crate) async fn start(pki: &Pki, https: bool, script: impl FnMut(&Asked) -> Vec<Act> + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut config = pki.server.clone();
        config.alpn_protocols = vec![if https { b"h2".to_vec() } else { b"dot".to_vec() }];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let script: Script = Arc::new(std::sync::Mutex::new(script));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    if https { over_https(stream, script).await } else { over_tls(stream, script).await }
                });
            }
        });
        Self { port, _tasks: tasks }
    }
}

/// Answers one question and hangs up, so that the next one needs a new connection.
async fn over_tls(mut stream: TlsStream<TcpStream>, script: Script) {
    let Ok(length) = stream.read_u16().await else { return };
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await.unwrap();
    let answer = answered(&script, &packet);
    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &answer].concat()).await.unwrap();
    stream.shutdown().await.ok();
}

async fn over_https(stream: TlsStream<TcpStream>, script: Script) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let found = request.uri().path() == "/dns-query" && request.method() == "POST";
        let script = Arc::clone(&script);
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut packet = Vec::new();
            while let Some(Ok(part)) = body.data().await {
                packet.extend_from_slice(&part);
            }
            let response = http::Response::builder().header("content-type", "application/dns-message");
            let status = if found { 200 } else { 404 };
            let answer = if found { answered(&script, &packet) } else { Vec::new() };
            let mut sending = respond.send_response(response.status(status).body(()).unwrap(), false).unwrap();
            sending.send_data(Bytes::from(answer), true).unwrap();
        });
    }
}

fn held() -> impl FnMut(&Asked) -> Vec<Act> + Send + 'static {
    resolving(vec![Zone::new("example.test").with("_dnsauth.example.test", txt("v"))])
}

fn options(resolvers: Vec<ResolverAddress>, pki: &Pki) -> Options {
    Options { resolvers, tls: Some(Arc::clone(&pki.client)), query_timeout: 3 * PATIENCE, ..Options::default() }
}

fn address(text: String) -> ResolverAddress {
    ResolverAddress::parse(&text).unwrap()
}

#[tokio::test]
async fn resolvers_in_private_report_as_the_others_do() {
    let pki = Pki::new(&["127.0.0.1", "dns.example.test", "localhost"]);
    let (tls, https) = (Private::start(&pki, false, held()).await, Private::start(&pki, true, held()).await);
    let resolvers = vec![
        address(format!("tls://127.0.0.1:{}", tls.port)),
        address(format!("tls://127.0.0.1:{}#dns.example.test", tls.port)),
        address(format!("https://127.0.0.1:{}/dns-query", https.port)),
        address(format!("https://localhost:{}/dns-query", https.port)),
    ];
    let propagation = propagation(options(resolvers, &pki));
    // Twice: the connections over TLS are gone then, the others are kept.
    for _ in 0..2 {
        for report in propagation.resolvers(&record("_dnsauth.example.test", "v")).await {
            assert_eq!(report.verdict, Verdict::Visible, "{report:?}");
        }
    }
    for report in propagation.resolvers(&record("_other.example.test", "v")).await {
        assert_eq!((&report.verdict, report.negative_for), (&Verdict::NxDomain, Some(Duration::from_secs(45))), "{report:?}");
    }
}

#[tokio::test]
async fn a_resolver_with_another_certificate_is_not_believed_and_says_so() {
    let (pki, other) = (Pki::new(&["127.0.0.1"]), Pki::new(&["127.0.0.1"]));
    let (tls, https) = (Private::start(&other, false, held()).await, Private::start(&pki, true, held()).await);
    let resolvers = vec![
        address(format!("tls://127.0.0.1:{}", tls.port)),
        address(format!("https://localhost:{}/dns-query", https.port)),
        address(format!("https://127.0.0.1:{}/elsewhere", https.port)),
    ];
    let reports = propagation(options(resolvers, &pki)).resolvers(&record("_dnsauth.example.test", "v")).await;
    for (report, word) in reports.iter().zip(["certificate", "certificate", "404"]) {
        let Verdict::Unreachable(why) = &report.verdict else { panic!("{report:?}") };
        assert!(why.contains(word), "{why}");
    }
}

#[tokio::test]
async fn a_resolver_that_says_nothing_ends_in_time() {
    let pki = Pki::new(&["127.0.0.1"]);
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let resolvers = vec![address(format!("tls://127.0.0.1:{port}")), address(format!("https://127.0.0.1:{port}/dns-query"))];
    let hurried = Options { query_timeout: Duration::from_millis(200), ..options(resolvers, &pki) };
    let reports = timeout(Duration::from_secs(2), propagation(hurried).resolvers(&record("_x.example.test", "v"))).await.unwrap();
    assert!(reports.iter().all(|report| matches!(report.verdict, Verdict::Unreachable(_))), "{reports:?}");
}

#[tokio::test]
async fn discovery_goes_through_private_resolvers_and_falls_back_to_them() {
    let pki = Pki::new(&["127.0.0.1"]);
    let authority =
        Server::start(crate::propagation::testing::holding(vec![Zone::new("example.test").with("_x.example.test", txt("v"))]))
            .await;
    let knows = || {
        resolving(vec![
            Zone::new("example.test").ns("ns1.example.test").address("ns1.example.test", "127.0.0.1"),
            Zone::new("test").ns("a.nic.test"),
        ])
    };
    let https = Private::start(&pki, true, knows()).await;
    let url = address(format!("https://127.0.0.1:{}/dns-query", https.port));
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let port = authority.address.port();
    let first = Options { port, ..options(vec![url.clone()], &pki) };
    let fallen = Options { port, resolver: Some(closed), over_https: vec![url.clone()], ..options(Vec::new(), &pki) };
    for (options, expected) in [(first, None), (fallen, Some(url))] {
        let propagation = propagation(options);
        assert!(propagation.look(&record("_x.example.test", "v")).await.unwrap().visible);
        assert_eq!(*propagation.shared.fell_back.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_blocked_port_is_gone_round_over_https() {
    let pki = Pki::new(&["127.0.0.1"]);
    let https = Private::start(&pki, true, held()).await;
    let url = address(format!("https://127.0.0.1:{}/dns-query", https.port));
    let closed = ResolverAddress::Plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
    let shared = propagation(options(vec![closed.clone()], &pki)).shared;
    let reporter = Reporter { label: Some("Example"), address: closed, otherwise: Some(url.clone()) };
    let seen = report(&shared, &reporter, &record("_dnsauth.example.test", "v")).await;
    assert_eq!((seen.resolver, seen.verdict), (format!("Example ({url})"), Verdict::Visible));
}

#[tokio::test]
async fn a_denial_is_waited_for_until_it_runs_out_or_the_deadline_comes() {
    // Denies for a second, then shows the value; the first answer is from a cache that still has one second to go.
    let zone = Zone::new("example.test").with("_x.example.test", txt("v"));
    let mut denies = resolving(vec![]);
    let mut knows = resolving(vec![zone]);
    let forgets = Server::start(move |asked| {
        if asked.before > 0 {
            return knows(asked);
        }
        let Some(Act::Send(bytes)) = denies(asked).pop() else { panic!() };
        let mut message = Message::from_vec(&bytes).unwrap();
        message.authorities[0].ttl = 0;
        send(&message)
    })
    .await;
    let steady = Server::start(resolving(vec![Zone::new("example.test").with("_x.example.test", txt("v"))])).await;
    let with = |servers: &[&Server]| Options {
        resolvers: servers.iter().map(|server| server.address.into()).collect(),
        query_timeout: PATIENCE,
        ..Options::default()
    };
    let wanted = record("_x.example.test", "v");
    let mut seen = Vec::new();
    let begun = Instant::now();
    let reports = propagation(with(&[&forgets, &steady]))
        .wait_negative(&wanted, begun + Duration::from_secs(10), &mut |reports| {
            seen.push(reports.iter().filter(|report| report.denies()).count());
        })
        .await;
    assert!(reports.iter().all(|report| report.verdict == Verdict::Visible));
    assert_eq!((seen, forgets.asked().len(), steady.asked().len()), (vec![1, 0], 2, 1));
    assert!(begun.elapsed() >= ROUNDING && begun.elapsed() < Duration::from_secs(5));

    // 45 seconds to go, and no time for that: asked at the start and at the deadline.
    let stubborn = Server::start(resolving(vec![])).await;
    let begun = Instant::now();
    let reports = propagation(with(&[&stubborn])).wait_negative(&wanted, begun + Duration::from_millis(300), &mut |_| {}).await;
    assert!(reports[0].denies() && begun.elapsed() < Duration::from_secs(2));
    assert_eq!(stubborn.asked().len(), 2);
}

#[test]
fn old_values_are_denials_and_failures_are_not() {
    let denies = |verdict: Verdict| ResolverReport { resolver: "r".to_owned(), verdict, negative_for: None }.denies();
    assert!(denies(Verdict::NxDomain) && denies(Verdict::Missing) && denies(Verdict::OtherValue(vec![])));
    assert!(!denies(Verdict::Visible) && !denies(Verdict::ServFail(None)) && !denies(Verdict::Unreachable(String::new())));
    assert_eq!(next_pause(&[]), None);
}

#[test]
fn the_clock_says_when_a_resolver_forgets() {
    let now = "2026-11-24T23:58:10+00:00[UTC]".parse::<ZonedDateTime>().unwrap();
    let at = |seconds| {
        let negative_for = Some(Duration::from_secs(seconds));
        ResolverReport { resolver: "r".to_owned(), verdict: Verdict::NxDomain, negative_for }.forgets_at(&now)
    };
    assert_eq!(at(45).unwrap(), "23:58:55");
    assert_eq!(at(300).unwrap(), "2026-11-25 00:03:10");
}

#[test]
fn the_ttl_of_old_values_is_that_of_their_type() {
    let mut message = Message::new(1, hickory_proto::op::MessageType::Response, hickory_proto::op::OpCode::Query);
    message.add_answer(crate::propagation::testing::entry(&name("a.test"), txt("old")));
    assert_eq!(positive_ttl(&message, WireType::TXT), Some(Duration::from_mins(1)));
    assert_eq!(positive_ttl(&message, WireType::CNAME), None);
}
