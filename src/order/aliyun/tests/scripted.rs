//! A small HTTP server on loopback that gives the answers of a script and keeps what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use url::Url;

/// One answer.
#[derive(Clone)]
pub(super) enum Answer {
    /// Status, further header lines, body.
    Plain(u16, &'static str, String),
    /// A JSON body of this many bytes.
    Long(usize),
    /// A body that never ends.
    Endless,
    /// The connection is closed without an answer.
    Hangup,
}

impl Answer {
    pub(super) fn json(body: &str) -> Self {
        Self::Plain(200, "content-type: application/json\r\n", body.to_owned())
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        let body = format!(r#"{{"Code":"{code}","Message":"told by the script","RequestId":"R-{code}"}}"#);
        Self::Plain(status, "content-type: application/json\r\n", body)
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) raw_query: String,
    pub(super) headers: BTreeMap<String, String>,
}

/// Decides on an answer, from a request and the number of requests before it.
type Script = dyn Fn(&Asked, usize) -> Answer + Send + Sync;

/// A running server; it ends with the test's runtime.
pub(super) struct Server {
    pub(super) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers one by one; the last one is repeated.
    pub(super) async fn of(answers: Vec<Answer>) -> Self {
        Self::start(move |_, before| answers[before.min(answers.len() - 1)].clone()).await
    }

    pub(super) async fn start(script: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { url, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The operations that were asked for, in order.
    pub(super) fn actions(&self) -> Vec<String> {
        self.asked().iter().map(action).collect()
    }
}

/// The operation of a request of either signature.
pub(super) fn action(asked: &Asked) -> String {
    asked.query.get("Action").or_else(|| asked.headers.get("x-acs-action")).cloned().unwrap_or_default()
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, log: Arc<Mutex<Vec<Asked>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let asked = parse(&String::from_utf8(head).unwrap());
    assert_eq!(asked.headers.get("content-length").map(String::as_str), Some("0"), "the body is empty, and said to be");
    let before = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    // The client may leave in the middle: that is what some tests are about.
    let _ = answer(&mut stream, script(&asked, before)).await;
}

async fn answer(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Plain(status, headers, body) => {
            let length = body.len();
            let text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
            stream.write_all(text.as_bytes()).await?;
        }
        Answer::Long(length) => {
            let head = "HTTP/1.1 200 X\r\nconnection: close\r\ncontent-type: application/json\r\n";
            stream.write_all(format!("{head}content-length: {length}\r\n\r\n").as_bytes()).await?;
            let block = vec![b' '; 64 * 1024];
            for _ in 0..length / block.len() {
                stream.write_all(&block).await?;
            }
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(b"1\r\n \r\n").await?;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        Answer::Hangup => {}
    }
    stream.shutdown().await
}

fn parse(head: &str) -> Asked {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap());
    let url = Url::parse(&format!("http://x{target}")).unwrap();
    let headers = lines.filter_map(|line| line.split_once(':'));
    Asked {
        method,
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        raw_query: url.query().unwrap_or_default().to_owned(),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect(),
    }
}
