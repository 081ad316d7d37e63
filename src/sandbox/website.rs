//! The web server of every host of the sandbox, and how its CA fetches from it: with a request of its own, not with this program's client.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{http::StatusCode, response::Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use super::{
    World,
    faults::Answer,
    web::{self, Received},
};
use crate::name::Name;

/// The file of the file check.
pub(super) const FILE: &str = "/.well-known/pki-validation/fileauth.txt";

/// The largest answer that the CA reads, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Serves the file at the path of the request: from the folder that is named as the host is, else from the one for all.
pub(super) fn handle(world: &World, received: &Received) -> Response {
    let root = world.options.web_root.as_deref().map(|root| folder_of(root, received.header("host")));
    match root.and_then(|root| read(&root, &received.path())) {
        Some(text) => web::text(StatusCode::OK, "text/plain", text),
        None => web::text(StatusCode::NOT_FOUND, "text/html", "<html><body>Not Found</body></html>\n".to_owned()),
    }
}

/// The reply of a web server that has a trouble of its own.
pub(super) fn fault(answer: &Answer) -> Response {
    let status = match answer {
        Answer::Throttle { .. } => StatusCode::TOO_MANY_REQUESTS,
        Answer::Error { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    web::text(status, "text/html", "<html><body>Error</body></html>\n".to_owned())
}

fn folder_of(root: &Path, host: &str) -> PathBuf {
    let named = Name::parse(host.split(':').next().unwrap_or_default()).map(|host| root.join(host.as_str()));
    named.ok().filter(|folder| folder.is_dir()).unwrap_or_else(|| root.to_owned())
}

fn read(root: &Path, segments: &[String]) -> Option<String> {
    if segments.iter().any(|segment| segment == ".." || segment.contains('/')) {
        return None;
    }
    std::fs::read_to_string(segments.iter().fold(root.to_owned(), |path, segment| path.join(segment))).ok()
}

/// What the web server shows as the file of this host; `None` for anything but status 200, and where none answers in time.
pub(super) async fn fetch(server: &Url, host: &Name, timeout: Duration) -> Option<String> {
    tokio::time::timeout(timeout, fetch_unbounded(server, host)).await.ok()?
}

async fn fetch_unbounded(server: &Url, host: &Name) -> Option<String> {
    let address = *server.socket_addrs(|| None).ok()?.first()?;
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {FILE} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: sandbox-ca\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.lines().next()?.split(' ').nth(1)?;
    (status == "200").then(|| body.to_owned())
}
