//! The web server of every host of the sandbox, and how its CA fetches from it: with a request of its own, not with this program's client.

use std::{path::Path, time::Duration};

use axum::{http::StatusCode, response::Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use super::{
    World,
    web::{self, Received},
};
use crate::name::Name;

/// The file of the file check.
pub(super) const FILE: &str = "/.well-known/pki-validation/fileauth.txt";

/// The largest answer that the CA reads, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Serves the file at the path of the request.
pub(super) fn handle(world: &World, received: &Received) -> Response {
    let found = world.options.web_root.as_deref().and_then(|root| read(root, &received.path()));
    match found {
        Some(text) => web::text(StatusCode::OK, "text/plain", text),
        None => web::text(StatusCode::NOT_FOUND, "text/html", "<html><body>Not Found</body></html>\n".to_owned()),
    }
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
