use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{TlsAcceptor, rustls};

use super::*;

/// A web server on loopback with these answers, one after the other; the last one for ever. Returns its address and what it was asked.
async fn server(answers: Vec<&'static str>, tls: Option<TlsAcceptor>) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, asked) = (Arc::new(AtomicUsize::new(0)), Arc::<std::sync::Mutex<Vec<String>>>::default());
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answers, count, heard, tls) = (answers.clone(), Arc::clone(&count), Arc::clone(&heard), tls.clone());
            tokio::spawn(async move {
                match tls {
                    Some(tls) => answer(tls.accept(stream).await.ok()?, &answers, &count, &heard).await,
                    None => answer(stream, &answers, &count, &heard).await,
                }
            });
        }
    });
    (address, asked)
}

async fn answer(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    answers: &[&'static str],
    count: &AtomicUsize,
    heard: &std::sync::Mutex<Vec<String>>,
) -> Option<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await.ok()? {
            // The connection that only tries whether somebody listens.
            0 => return None,
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    heard.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    let number = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
    stream.write_all(answers[number].as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn file() -> Record {
    Record::of_file(name("www.example.com"), "/.well-known/pki-validation/fileauth.txt", "the content")
}

fn hosts() -> Vec<Host> {
    vec![Host { name: name("www.example.com"), is_required: true }]
}

fn options(stated: Vec<(Scheme, SocketAddr)>) -> Options {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Options { stated, timeout: Duration::from_secs(5) }
}

const RIGHT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\nthe content";
const MOVED: &str =
    "HTTP/1.1 301 Moved\r\nlocation: https://www.example.com/.well-known/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const MISSING: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const GARBAGE: &str = "220 mail.example.com ESMTP\r\n\r\n";

#[tokio::test]
async fn the_right_file_is_seen_under_the_hosts_own_name() {
    let (address, asked) = server(vec![RIGHT], None).await;
    let look = look(&options(vec![(Scheme::Http, address)]), Habit::HttpsFirst, &file(), &hosts()).await.unwrap();
    assert!(look.visible, "{look:?}");
    let asked = asked.lock().unwrap().concat().to_ascii_lowercase();
    assert!(asked.starts_with("get /.well-known/pki-validation/fileauth.txt http/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: www.example.com\r\n"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_what_is_no_web_server_is_said() {
    for (answer, word) in [(MOVED, "redirect"), (MISSING, "status"), (GARBAGE, "broken")] {
        let (address, asked) = server(vec![answer], None).await;
        let look = look(&options(vec![(Scheme::Http, address)]), Habit::HttpsFirst, &file(), &hosts()).await.unwrap();
        assert!(!look.visible && look.is_wrong);
        assert_eq!(look.sights[0].verdict.word(), word);
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn nothing_that_listens_is_no_wrong_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let look = look(&options(vec![(Scheme::Http, address)]), Habit::HttpsFirst, &file(), &hosts()).await.unwrap();
    assert!(!look.visible && !look.is_wrong);
    assert_eq!(look.sights[0].verdict.word(), "no-answer");
}

/// A certificate that nobody trusts is what a web server has before its first real one.
#[tokio::test]
async fn https_with_a_certificate_that_is_not_trusted_is_refused_though_http_is_right() {
    let options_for = |https, http| options(vec![(Scheme::Http, http), (Scheme::Https, https)]);
    let (http, _) = server(vec![RIGHT], None).await;
    let _ = options(vec![]);
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let (https, _) = server(vec![RIGHT], Some(TlsAcceptor::from(Arc::new(config)))).await;
    let look = look(&options_for(https, http), Habit::HttpsFirst, &file(), &hosts()).await.unwrap();
    assert!(!look.visible, "{look:?}");
    assert_eq!(look.sights.iter().map(|sight| sight.verdict.word()).collect::<Vec<_>>(), ["broken", "visible"]);
    assert!(look.explanation.unwrap().contains("https"));
}

#[tokio::test]
async fn waiting_ends_when_the_file_is_there_and_tells_what_changes() {
    let (address, _) = server(vec![MISSING, MISSING, RIGHT], None).await;
    let mut told = Vec::new();
    let patience = Patience { whole: Duration::from_secs(60), wrong: Duration::from_secs(60) };
    let options = options(vec![(Scheme::Http, address)]);
    let look = wait(&options, Habit::HttpsFirst, &file(), &hosts(), patience, &mut |look| told.push(look.visible)).await.unwrap();
    assert!(look.visible);
    assert_eq!(told, [false, true]);
}

#[tokio::test]
async fn a_wrong_answer_that_stays_ends_the_wait_with_what_the_ca_sees() {
    let (address, _) = server(vec![MISSING], None).await;
    let patience = Patience { whole: Duration::from_secs(600), wrong: Duration::from_millis(1) };
    let error = wait(&options(vec![(Scheme::Http, address)]), Habit::HttpsFirst, &file(), &hosts(), patience, &mut |_| ())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotVisible);
    assert!(error.to_string().contains("answers 404"), "{error}");
}

/// `http://www.example.com/…` leads to https with a certificate that nobody trusts, and that is where ACME CAs go.
#[tokio::test]
async fn an_acme_ca_follows_redirects_and_asks_http_alone() {
    let untrusted = || {
        let made = rcgen::generate_simple_self_signed(vec!["other.example.com".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    };
    let _ = options(vec![]);
    for (answer, visible, said) in
        [(RIGHT, true, ""), (MISSING, false, "leads to https://www.example.com/.well-known/, which answers 404")]
    {
        let (http, _) = server(vec![MOVED], None).await;
        let (https, asked) = server(vec![answer], Some(untrusted())).await;
        let options = options(vec![(Scheme::Http, http), (Scheme::Https, https)]);
        let look = look(&options, Habit::Http01, &file(), &hosts()).await.unwrap();
        assert_eq!(look.visible, visible, "{look:?}");
        assert_eq!(look.sights.len(), 1, "https is asked only where http leads there");
        assert!(look.explanation.unwrap_or_default().contains(said));
        assert!(asked.lock().unwrap().concat().to_ascii_lowercase().contains("host: www.example.com\r\n"));
    }
}

#[tokio::test]
async fn redirects_without_end_and_to_nowhere_are_named() {
    const AGAIN: &str = "HTTP/1.1 302 Found\r\nlocation: /.well-known/again\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (http, asked) = server(vec![AGAIN], None).await;
    let looked = look(&options(vec![(Scheme::Http, http)]), Habit::Http01, &file(), &hosts()).await.unwrap();
    assert!(looked.is_wrong && looked.explanation.unwrap().contains("more than 10 redirects"));
    assert_eq!(asked.lock().unwrap().len(), 11);
    let (http, _) = server(vec![MOVED], None).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = options(vec![(Scheme::Http, http), (Scheme::Https, nobody)]);
    let looked = look(&options, Habit::Http01, &file(), &hosts()).await.unwrap();
    assert!(!looked.visible && !looked.is_wrong, "nobody answers there, which may pass: {looked:?}");
    let only_https = Options { stated: vec![(Scheme::Https, nobody)], ..options };
    let looked = look(&only_https, Habit::Http01, &file(), &hosts()).await.unwrap();
    assert!(looked.explanation.unwrap().contains("names no http server"));
}
