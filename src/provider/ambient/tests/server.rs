//! The services of three vendors on loopback, as one server that keeps what it was asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::IntoResponse,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use url::Url;

/// One request: what it says, wherever it says it, without what differs from call to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) headers: BTreeMap<String, String>,
}

/// Headers that carry credentials or a promise.
const TELLING: [&str; 6] = [
    "authorization",
    "metadata",
    "metadata-flavor",
    "x-aws-ec2-metadata-token",
    "x-aws-ec2-metadata-token-ttl-seconds",
    "x-identity-header",
];

/// How the server behaves.
#[derive(Clone)]
pub(super) struct Manner {
    /// When what it gives expires, as AWS says it.
    pub(super) expires: String,
    /// For so many seconds tokens are good.
    pub(super) seconds: u32,
    /// The status and body of every answer; `None`: it does as it is asked.
    pub(super) fails: Option<(u16, &'static str)>,
    /// How many answers fail before that ends.
    pub(super) failures: usize,
}

/// A running server; it ends with the test's runtime.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) url: String,
    pub(super) manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let manner = Manner { expires: "2099-01-01T00:00:00Z".to_owned(), seconds: 3599, fails: None, failures: usize::MAX };
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            manner: Arc::new(Mutex::new(manner)),
            asked: Arc::default(),
        };
        let router = Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    /// What was asked since the last time.
    pub(super) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn serve(State(server): State<Server>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let url = Url::parse(&format!("http://x{uri}")).unwrap();
    let mut parameters: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    parameters.extend(url::form_urlencoded::parse(&body).into_owned());
    if let Some(assertion) = parameters.get_mut("assertion") {
        *assertion = claims(assertion);
    }
    let telling = TELLING.iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().unwrap();
        // Of a signature: whose it is, and for which region and service.
        let scope = value.strip_prefix("AWS4-HMAC-SHA256 Credential=").and_then(|rest| rest.split(',').next());
        let scope = scope.map(|scope| scope.split('/').enumerate().filter(|(index, _)| *index != 1).map(|(_, part)| part));
        let value = scope.map_or_else(|| value.to_owned(), |parts| format!("signed: {}", parts.collect::<Vec<_>>().join("/")));
        Some(((*name).to_owned(), value))
    });
    let asked = Asked { method: method.to_string(), path: url.path().to_owned(), parameters, headers: telling.collect() };
    let (status, text) = {
        let mut manner = server.manner.lock().unwrap();
        match manner.fails {
            Some((status, text)) if manner.failures > 0 => {
                manner.failures -= 1;
                (status, text.to_owned())
            }
            _ => answer(&asked, &manner),
        }
    };
    server.asked.lock().unwrap().push(asked);
    let kind = if text.starts_with('<') {
        "text/xml"
    } else if text.starts_with('{') {
        "application/json"
    } else {
        "text/plain"
    };
    (StatusCode::from_u16(status).unwrap(), [("content-type", kind), ("metadata-flavor", "Google")], text)
}

/// Header and claims of a token without its times, which must be an hour apart.
fn claims(token: &str) -> String {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut part = || serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(&parts.next().unwrap()).unwrap();
    let (header, mut claims) = (part(), part());
    let mut time = |name: &str| claims.remove(name).unwrap().as_i64().unwrap();
    assert_eq!(time("exp") - time("iat"), 3600);
    format!("{header:?} {claims:?}")
}

fn answer(asked: &Asked, manner: &Manner) -> (u16, String) {
    let Manner { expires, seconds, .. } = manner;
    let header = |name: &str| asked.headers.get(name).map(String::as_str);
    let parameter = |name: &str| asked.parameters.get(name).map(String::as_str);
    let ok = |value: serde_json::Value| (200, value.to_string());
    let of_machine = |name: &str| {
        ok(json!({"Code": "Success", "AccessKeyId": format!("{name}-id"), "SecretAccessKey": format!("{name}-secret"),
            "Token": format!("{name}-token"), "Expiration": expires}))
    };
    let of_sts = |action: &str| {
        let name = format!("{action}-{}", parameter("RoleArn").unwrap_or_default().rsplit('/').next().unwrap_or_default());
        let text = format!(
            r#"<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><AssumedRoleUser><AssumedRoleId>A:s</AssumedRoleId><Arn>a</Arn></AssumedRoleUser><Credentials><AccessKeyId>{name}-id</AccessKeyId><SecretAccessKey>{name}-secret</SecretAccessKey><SessionToken>{name}-token</SessionToken><Expiration>{expires}</Expiration></Credentials></{action}Result><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{action}Response>"#
        );
        (200, text)
    };
    let token = |name: &str| ok(json!({"access_token": format!("{name}-token"), "expires_in": seconds, "token_type": "Bearer"}));
    let has_session = header("x-aws-ec2-metadata-token") == Some("session-1");
    let is_google = header("metadata-flavor") == Some("Google");
    match (asked.method.as_str(), asked.path.as_str()) {
        ("PUT", "/latest/api/token") => (200, "session-1".to_owned()),
        ("GET", "/latest/meta-data/iam/security-credentials/") if has_session => (200, "web".to_owned()),
        ("GET", "/latest/meta-data/iam/security-credentials/web") if has_session => of_machine("imds"),
        ("GET", "/container") => of_machine("container"),
        ("GET", "/pod") if header("authorization") == Some("pod-authorization") => of_machine("pod"),
        ("POST", "/") if parameter("Action") == Some("AssumeRole") && header("authorization").is_some() => of_sts("AssumeRole"),
        ("POST", "/") if parameter("WebIdentityToken") == Some("oidc-token") => of_sts("AssumeRoleWithWebIdentity"),
        ("POST", "/token") if parameter("refresh_token") == Some("r-1") => token("refreshed"),
        ("POST", "/token") if parameter("assertion").is_some() => token("assertion"),
        ("GET", "/") if is_google => (200, String::new()),
        ("GET", "/computeMetadata/v1/project/project-id") if is_google => (200, "machine-project".to_owned()),
        ("GET", "/computeMetadata/v1/universe/universe-domain") if is_google => (200, "googleapis.com".to_owned()),
        ("GET", "/computeMetadata/v1/instance/service-accounts/default/") if is_google => {
            ok(json!({"aliases": ["default"], "email": "default", "scopes": []}))
        }
        ("GET", "/computeMetadata/v1/instance/service-accounts/default/token") if is_google => token("machine"),
        ("GET", "/metadata/identity/oauth2/token") if header("metadata") == Some("true") => ok(json!({
            "access_token": format!("managed-{}-token", parameter("client_id").unwrap_or("own")),
            "expires_in": seconds.to_string(), "expires_on": "4102444800", "resource": parameter("resource"), "token_type": "Bearer",
        })),
        ("GET", "/identity") if header("x-identity-header") == Some("identity-header") => ok(json!({
            "access_token": "application-token", "expires_on": "4102444800", "resource": parameter("resource"), "token_type": "Bearer",
        })),
        ("POST", "/tenant-1/oauth2/v2.0/token") if parameter("client_assertion") == Some("oidc-token") => token("workload"),
        ("GET", "/2013-04-01/hostedzonesbyname") => (
            200,
            "<ListHostedZonesByNameResponse><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone></HostedZones></ListHostedZonesByNameResponse>".to_owned(),
        ),
        ("GET", path) if path.starts_with("/case/") => (200, String::new()),
        _ => (404, "{}".to_owned()),
    }
}
