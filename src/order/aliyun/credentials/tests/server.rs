//! STS, a metadata service and a URL on loopback, as one server that keeps what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use url::Url;

use super::super::super::signing;
use crate::secret::Secret;

/// The keys of the account that roles are assumed with: `base-id` has `base-secret`, and so on.
pub(super) fn secret_of(id: &str) -> Secret {
    Secret::new(id.replace("-id", "-secret"))
}

/// How the server behaves.
#[derive(Clone)]
pub(super) struct Manner {
    /// Whether the metadata service gives tokens (v2).
    pub(super) gives_token: bool,
    /// Whether the metadata service answers without a token (v1).
    pub(super) takes_none: bool,
    /// When what it gives expires.
    pub(super) expires: String,
    /// The HTTP status and code of every answer; `None`: it does as it is asked.
    pub(super) fails: Option<(u16, &'static str)>,
}

impl Default for Manner {
    fn default() -> Self {
        Self { gives_token: true, takes_none: true, expires: "2099-01-01T00:00:00Z".to_owned(), fails: None }
    }
}

/// One request: the method, the path and what it says, wherever it says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) metadata_token: Option<String>,
    /// Whether the parameters of the query are signed by their AccessKeyId.
    pub(super) is_signed: bool,
}

/// A running server; it ends with the test's runtime.
pub(super) struct Server {
    pub(super) url: Url,
    pub(super) manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (asked, manner) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Manner::default())));
        let (log, behaviour) = (Arc::clone(&asked), Arc::clone(&manner));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&behaviour), Arc::clone(&log)));
            }
        });
        Self { url, manner, asked }
    }

    /// What was asked since the last time.
    pub(super) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, manner: Arc<Mutex<Manner>>, log: Arc<Mutex<Vec<Asked>>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, it)| it.trim())
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    let mut first = head.split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap());
    let url = Url::parse(&format!("http://x{target}")).unwrap();
    let query: signing::Parameters = url.query_pairs().into_owned().collect();
    let is_signed = is_signed(&method, &query);
    let mut parameters: BTreeMap<String, String> = query;
    parameters.extend(url::form_urlencoded::parse(&body).into_owned());
    let asked = Asked {
        method,
        path: url.path().to_owned(),
        parameters,
        metadata_token: header("x-aliyun-ecs-metadata-token").map(str::to_owned),
        is_signed,
    };
    let (status, text) = {
        let manner = manner.lock().unwrap().clone();
        answer(&asked, &manner)
    };
    log.lock().unwrap().push(asked);
    let length = text.len();
    let reply = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{text}"
    );
    stream.write_all(reply.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// Whether the V1 signature is that of the key's secret.
fn is_signed(method: &str, query: &signing::Parameters) -> bool {
    let mut parameters = query.clone();
    let Some(signature) = parameters.remove("Signature") else { return false };
    let secret = secret_of(query.get("AccessKeyId").map_or("", String::as_str).trim_start_matches("STS."));
    signing::v1(method, &parameters, &secret).signature == signature
}

fn answer(asked: &Asked, manner: &Manner) -> (u16, String) {
    let expires = &manner.expires;
    let keys = |name: &str| {
        format!(
            r#""AccessKeyId":"STS.{name}-id","AccessKeySecret":"{name}-secret","SecurityToken":"{name}-token","Expiration":"{expires}""#
        )
    };
    let told = |name: &str| (200, format!(r#"{{"Code":"Success",{}}}"#, keys(name)));
    if let Some((status, code)) = manner.fails {
        return (status, format!(r#"{{"Code":"{code}","Message":"told by the test","RequestId":"R-1"}}"#));
    }
    let refused = (400, r#"{"Code":"SignatureDoesNotMatch","Message":"no","RequestId":"R-1"}"#.to_owned());
    let role = |action: &str| match asked.parameters.get("RoleArn") {
        // The name of the role is in the answer, so that a chain of roles can be told apart.
        Some(arn) => (
            200,
            format!(
                r#"{{"Credentials":{{{}}},"RequestId":"R"}}"#,
                keys(&format!("{action}-{}", arn.rsplit('/').next().unwrap_or_default()))
            ),
        ),
        None => (400, r#"{"Code":"MissingParameter","Message":"RoleArn"}"#.to_owned()),
    };
    let token_is_right = match &asked.metadata_token {
        Some(token) => token == "metadata-token",
        None => manner.takes_none,
    };
    match (asked.method.as_str(), asked.path.as_str(), asked.parameters.get("Action").map(String::as_str)) {
        (_, "/", Some("AssumeRole")) if asked.is_signed => role("assumed"),
        (_, "/", Some("AssumeRole")) => refused,
        (_, "/", Some("AssumeRoleWithOIDC")) if asked.parameters.get("OIDCToken").is_some_and(|token| token == "oidc-token") => {
            role("oidc")
        }
        ("PUT", "/latest/api/token", _) if manner.gives_token => (200, "metadata-token".to_owned()),
        ("GET", "/latest/meta-data/ram/security-credentials/", _) if token_is_right => (200, "found".to_owned()),
        ("GET", path, _) if token_is_right && path.starts_with("/latest/meta-data/ram/security-credentials/") => {
            told(&format!("ecs-{}", path.rsplit('/').next().unwrap_or_default()))
        }
        ("GET", path, _) if path.starts_with("/case/") => (200, String::new()),
        ("GET", "/uri", _) => told("uri"),
        _ => (404, "{}".to_owned()),
    }
}
