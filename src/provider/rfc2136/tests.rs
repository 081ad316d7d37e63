//! Against a scripted server on loopback that does what real ones do not do on demand. Real ones: `tests/interop`.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use hickory_proto::{
    op::{MessageType, OpCode},
    rr::{
        RData, Record as WireRecord, TSigResponseContext, TSigner,
        rdata::{
            TXT,
            tsig::{TsigAlgorithm, TsigError},
        },
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{environment::Environment, http::Http, secret::Redactor};

const SECRET: &str = "UgewPpzSTEs0m5q1PyVWb4ld8qzYtYkgXoSyFVvWZjI=";

fn signer(secret: &[u8]) -> TSigner {
    TSigner::new(secret.to_vec(), TsigAlgorithm::HmacSha256, Name::parse("k").unwrap().to_wire(), 300).unwrap()
}

fn key() -> TSigner {
    signer(&base64::Engine::decode(&base64::engine::general_purpose::STANDARD, SECRET).unwrap())
}

/// How a server signs its answer.
#[derive(Clone, Copy)]
enum Signing {
    Right,
    Wrong,
    None,
    Error(TsigError),
}

/// A server whose answers `script` makes: the number of the request and the request give the answer and how it is signed.
async fn server(script: impl Fn(usize, &Message) -> (Message, Signing) + Send + 'static) -> (String, Arc<Mutex<Vec<Message>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (seen, count) = (Arc::new(Mutex::new(Vec::new())), AtomicUsize::new(0));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut raw = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut raw).await.unwrap();
            let request = Message::from_vec(&raw).unwrap();
            let (mut answer, signing) = script(count.fetch_add(1, Ordering::SeqCst), &request);
            let signature = request.signature().map(|signature| signature.data.clone());
            if let Some(theirs) = signature {
                let context = |signer, error| TSigResponseContext::new(answer.id, theirs.time, signer, theirs.mac.clone(), error);
                let context = match signing {
                    Signing::Right => Some(context(key(), None)),
                    Signing::Wrong => Some(context(signer(&[1; 32]), None)),
                    Signing::None => None,
                    Signing::Error(error) => Some(context(key(), Some(error))),
                };
                if let Some(context) = context {
                    let signature = context.sign(&answer.to_vec().unwrap()).unwrap();
                    answer.set_signature(signature);
                }
            }
            log.lock().unwrap().push(request);
            let bytes = answer.to_vec().unwrap();
            stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    });
    (address, seen)
}

/// An authoritative answer without data.
fn empty(request: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::new(request.id, MessageType::Response, request.op_code);
    answer.metadata.authoritative = true;
    answer.metadata.response_code = code;
    answer.add_queries(request.queries.clone());
    answer
}

fn opened(servers: &str, signed: bool) -> Arc<dyn DnsProvider> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context { http: Http::new().unwrap(), redactor: Redactor::default() };
    let environment = if signed {
        Environment::of([("RFC2136_NAMESERVER", servers), ("RFC2136_TSIG_KEY", "k"), ("RFC2136_TSIG_SECRET", SECRET)])
    } else {
        Environment::of([("RFC2136_NAMESERVER", servers)])
    };
    Registry::load(None).unwrap().open(&Settings::of_builtin(ID, environment), &context).unwrap()
}

fn zone() -> Zone {
    Zone { name: Name::parse("example.test").unwrap(), fields: BTreeMap::new() }
}

fn record(value: &str) -> Record {
    Record { name: Name::parse("_dv.example.test").unwrap(), record_type: RecordType::Txt, value: value.into() }
}

/// An address of loopback where nobody listens.
fn closed() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn success_counts_only_with_a_valid_signature() {
    for signing in [Signing::None, Signing::Wrong] {
        let (address, seen) = server(move |_, request| (empty(request, ResponseCode::NoError), signing)).await;
        let error = opened(&address, true).publish(&zone(), &record("v")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Provider);
        assert!(error.to_string().contains("not signed with the TSIG key `k`"), "{error}");
        assert_eq!(seen.lock().unwrap().len(), 1, "not worth another try");
    }
    let (address, _) = server(|_, request| (empty(request, ResponseCode::NoError), Signing::Right)).await;
    opened(&address, true).publish(&zone(), &record("v")).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_off_is_said_to_be() {
    let (address, _) = server(|_, request| (empty(request, ResponseCode::NotAuth), Signing::Error(TsigError::BadTime))).await;
    let error = opened(&address, true).probe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("BADTIME") && error.hint().unwrap().contains("NTP"), "{error:?}");
}

#[tokio::test]
async fn the_next_server_is_tried_and_what_passes_is_waited_out() {
    let (address, seen) = server(|count, request| {
        (empty(request, if count == 0 { ResponseCode::ServFail } else { ResponseCode::NoError }), Signing::None)
    })
    .await;
    let provider = opened(&format!("{},{address}", closed()), false);
    provider.withdraw(&zone(), &record("v"), None).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().map(|it| it.op_code).collect::<Vec<_>>(), [OpCode::Query, OpCode::Query, OpCode::Update]);
    assert_ne!(seen[0].id, seen[1].id, "each attempt has its own id");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_worth_another_try() {
    let closed = closed();
    let error = opened(&closed, true).find(&zone(), &record("v")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Provider, Retry::Later));
    assert!(error.to_string().contains(&closed), "{error}");
}

#[tokio::test]
async fn a_new_value_takes_the_ttl_of_those_that_are_there() {
    let (address, seen) = server(|_, request| {
        let mut answer = empty(request, ResponseCode::NoError);
        if request.op_code == OpCode::Query {
            let foreign = RData::TXT(TXT::new(vec!["foreign".into()]));
            answer.add_answer(WireRecord::from_rdata(record("v").name.to_wire(), 3600, foreign));
        }
        (answer, Signing::None)
    })
    .await;
    opened(&address, false).publish(&zone(), &record("v")).await.unwrap();
    assert_eq!(seen.lock().unwrap()[1].authorities[0].ttl, 3600);
}

#[tokio::test]
async fn a_server_that_answers_no_questions_can_still_be_written_to() {
    let (address, _) = server(|_, request| {
        let code = if request.op_code == OpCode::Query { ResponseCode::Refused } else { ResponseCode::NoError };
        (empty(request, code), Signing::None)
    })
    .await;
    let provider = opened(&address, false);
    assert_eq!(provider.find(&zone(), &record("v")).await.unwrap(), Found::CannotTell);
    provider.publish(&zone(), &record("v")).await.unwrap();
    provider.withdraw(&zone(), &record("v"), None).await.unwrap();
    let error = provider.locate(&record("v").name).await.unwrap_err();
    assert!(error.to_string().contains("REFUSED") && error.hint().unwrap().contains("`zone`"), "{error:?}");
}

#[tokio::test]
async fn garbage_is_an_error_and_no_panic() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let replies: [&[u8]; 4] = [b"", b"\x00\x00", b"\x00\x05hello", b"\xff\xffshort"];
        for reply in replies.into_iter().cycle() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read_u16().await;
            let _ = stream.write_all(reply).await;
        }
    });
    let error = opened(&address, true).find(&zone(), &record("v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context { http: Http::new().unwrap(), redactor: Redactor::default() };
    let refused = |variables: [(&str, &str); 2]| {
        Registry::load(None).unwrap().open(&Settings::of_builtin(ID, Environment::of(variables)), &context).err().unwrap()
    };
    let error = refused([("A", "a"), ("B", "b")]);
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.hint().unwrap().contains("DV_RFC2136_NAMESERVER") && error.hint().unwrap().contains("NSUPDATE_SERVER"));
    for (name, value) in [("RFC2136_TTL", "soon"), ("RFC2136_TTL", "0"), ("DV_RFC2136_ZONE", "a..b")] {
        let error = refused([("RFC2136_NAMESERVER", "127.0.0.1"), (name, value)]);
        assert_eq!(error.kind(), ErrorKind::Config, "{name}={value}");
        assert!(error.to_string().contains(name), "{error}");
    }
}
