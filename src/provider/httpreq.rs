//! A webhook in the protocol of lego's `httpreq` (default mode): `POST <endpoint>/present` and `POST <endpoint>/cleanup`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use base64::Engine as _;
use reqwest::StatusCode;
use url::Url;

use super::{
    Capabilities, DnsProvider,
    description::{CredentialHelp, Description},
    program::only_txt,
    registry::Registry,
    settings::{Context, Setting, Settings},
    told::{Told, Writer},
};
use crate::{
    error::{Error, ErrorKind, Result, Retry},
    http::{Http, Reply, require_safe},
    language::t,
    record::Record,
    secret::{Redactor, Secret},
};

/// The longest pause that a server may ask for between two tries; what asks for more fails at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

fn familiar(name: &str) -> Vec<String> {
    vec![format!("HTTPREQ_{}", name.to_ascii_uppercase())]
}

/// What `providers show httpreq` prints.
pub(super) fn describe() -> Description {
    let setting = |name: &str, secret, optional, help: &str| CredentialHelp {
        name: name.to_owned(),
        secret,
        optional,
        help: Some(help.to_owned()),
        familiar: familiar(name),
    };
    Description {
        id: "httpreq".to_owned(),
        title: t!("Webhook in the protocol of lego's httpreq").to_owned(),
        docs: Some("https://go-acme.github.io/lego/dns/httpreq/".to_owned()),
        origin: "built-in".to_owned(),
        ambient: None,
        proof: None,
        credentials: vec![
            setting("endpoint", false, false, t!("URL under which `/present` and `/cleanup` are")),
            setting("username", false, true, t!("for Basic authentication, together with the password")),
            setting("password", true, true, t!("for Basic authentication, together with the user name")),
        ],
        capabilities: Capabilities::default(),
    }
}

/// Makes the provider. Calls nobody yet.
///
/// # Errors
/// `ErrorKind::Credentials` where the endpoint is missing; `ErrorKind::Config` for an endpoint that is no https URL, and for lego's
/// RAW mode.
pub(super) fn open(settings: &Settings, context: &Context, _registry: &Registry) -> Result<Arc<dyn DnsProvider>> {
    if let Some(mode) = settings.find("mode", &familiar("mode"))?.filter(|mode| !mode.value.is_empty()) {
        return Err(Error::config(t!(
            "%{origin}: only the default mode works; RAW needs an ACME challenge",
            origin = mode.origin
        ))
        .with_hint(t!("unset it, and let the webhook take `fqdn` and `value`")));
    }
    let endpoint = settings.require("endpoint", &familiar("endpoint"))?;
    let mut url = Url::parse(endpoint.value.expose().trim())
        .map_err(|error| Error::config(t!("%{origin} is no URL: %{error}", origin = endpoint.origin, error)))?;
    require_safe(&url, settings.allow_http, &endpoint.origin)?;
    url.set_query(None);
    url.set_fragment(None);
    let (username, password) =
        (settings.find("username", &familiar("username"))?, settings.find("password", &familiar("password"))?);
    let login = match (username, password) {
        (Some(username), Some(password)) => {
            let (username, password) = (username.value.expose().to_owned(), password.value);
            context.redactor.learn(&password);
            let pair = format!("{username}:{}", password.expose());
            context.redactor.learn(&Secret::new(base64::engine::general_purpose::STANDARD.encode(pair)));
            Some((username, password))
        }
        (None, None) => None,
        (Some(Setting { origin, .. }), None) | (None, Some(Setting { origin, .. })) => {
            tracing::warn!("{origin} is set alone: without both user name and password, requests are not authenticated");
            None
        }
    };
    Ok(Arc::new(Told(HttpReq { url, login, http: context.http.clone(), redactor: context.redactor.clone() })))
}

struct HttpReq {
    url: Url,
    login: Option<(String, Secret)>,
    http: Http,
    redactor: Redactor,
}

impl HttpReq {
    async fn call(&self, action: &str, record: &Record) -> Result<()> {
        only_txt("httpreq", record)?;
        (|| self.call_once(action, record))
            .retry(ExponentialBuilder::default().with_min_delay(Duration::from_millis(250)).with_max_times(2).with_jitter())
            .when(|error: &Error| match error.retry() {
                Retry::Never => false,
                Retry::Later => true,
                Retry::After(pause) => pause <= LONGEST_PAUSE,
            })
            .adjust(|error, delay| match error.retry() {
                Retry::After(pause) => delay.map(|delay| delay.max(pause)),
                _ => delay,
            })
            .notify(|error, delay| tracing::debug!(%error, ?delay, "trying again"))
            .await
    }

    async fn call_once(&self, action: &str, record: &Record) -> Result<()> {
        let what = format!("POST /{action}");
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(action);
        }
        let mut request = self
            .http
            .client()
            .post(url)
            .header("accept", "application/json")
            .json(&serde_json::json!({ "fqdn": record.name.with_dot(), "value": record.value }));
        if let Some((username, password)) = &self.login {
            request = request.basic_auth(username, Some(password.expose()));
        }
        let request = request.build().map_err(|error| Error::provider(format!("{what}: {}", error.without_url())))?;
        let reply = self.http.execute(request, ErrorKind::Provider, &what).await?;
        if reply.status.is_success() { Ok(()) } else { Err(self.failure(&what, &reply)) }
    }

    fn failure(&self, what: &str, reply: &Reply) -> Error {
        let host = self.url.host_str().unwrap_or_default();
        let error = Error::provider(t!(
            "%{what}: `%{host}` answers %{excerpt}",
            what,
            host,
            excerpt = self.redactor.redact(&reply.excerpt())
        ))
        .with_http_status(reply.status.as_u16());
        match reply.status {
            StatusCode::UNAUTHORIZED => {
                error.with_kind(ErrorKind::Credentials).with_hint(t!("check `HTTPREQ_USERNAME` and `HTTPREQ_PASSWORD`"))
            }
            StatusCode::FORBIDDEN => {
                error.with_kind(ErrorKind::Rights).with_hint(t!("the webhook does not let this user write this name"))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                error.with_retry(reply.retry_after().map_or(Retry::Later, Retry::After))
            }
            status if status.is_server_error() => error.with_retry(Retry::Later),
            StatusCode::NOT_FOUND => error.with_hint(t!("check `HTTPREQ_ENDPOINT`: `/present` and `/cleanup` are put behind it")),
            _ => error,
        }
    }
}

#[async_trait]
impl Writer for HttpReq {
    fn id(&self) -> &'static str {
        "httpreq"
    }

    async fn add(&self, record: &Record) -> Result<()> {
        self.call("present", record).await
    }

    async fn remove(&self, record: &Record) -> Result<()> {
        self.call("cleanup", record).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::Uri, routing::post};

    use super::*;
    use crate::{environment::Environment, name::Name, provider::told::zone_above, record::RecordType};

    /// What a webhook received: path, Authorization, body.
    type Calls = Arc<Mutex<Vec<(String, Option<String>, serde_json::Value)>>>;

    /// A webhook that answers with these statuses in turn, the last one for ever; the body echoes Authorization.
    async fn webhook(statuses: &[u16]) -> (String, Calls) {
        let calls: Calls = Arc::default();
        let statuses: Arc<[u16]> = statuses.into();
        let handler = |State((calls, statuses)): State<(Calls, Arc<[u16]>)>, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let login = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let mut calls = calls.lock().unwrap();
            let status = statuses[calls.len().min(statuses.len() - 1)];
            calls.push((uri.path().to_owned(), login.clone(), serde_json::from_slice(&body).unwrap()));
            (StatusCode::from_u16(status).unwrap(), format!("you sent {login:?}"))
        };
        let router = Router::new().route("/{*path}", post(handler)).with_state((calls.clone(), statuses));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/hook/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (endpoint, calls)
    }

    fn opened<const N: usize>(variables: [(&str, &str); N]) -> Result<Arc<dyn DnsProvider>> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let context = Context { http: Http::new().unwrap(), redactor: Redactor::default() };
        let registry = Registry::load(None).unwrap();
        registry.open(&Settings::of_builtin("httpreq", Environment::of(variables)), &context)
    }

    fn record() -> Record {
        Record { name: Name::parse("_dv.example.com").unwrap(), record_type: RecordType::Txt, value: "tok\"en".into() }
    }

    #[tokio::test]
    async fn present_and_cleanup_carry_name_and_value() {
        let (endpoint, calls) = webhook(&[204]).await;
        let provider =
            opened([("HTTPREQ_ENDPOINT", &endpoint), ("HTTPREQ_USERNAME", "user"), ("HTTPREQ_PASSWORD", "pass word")]).unwrap();
        let zone = provider.locate(&record().name).await.unwrap();
        assert_eq!(zone.name.as_str(), "example.com");
        provider.publish(&zone, &record()).await.unwrap();
        provider.withdraw(&zone, &record(), None).await.unwrap();
        let body = serde_json::json!({ "fqdn": "_dv.example.com.", "value": "tok\"en" });
        let login = Some("Basic dXNlcjpwYXNzIHdvcmQ=".to_owned());
        assert_eq!(
            *calls.lock().unwrap(),
            [("/hook/present".to_owned(), login.clone(), body.clone()), ("/hook/cleanup".to_owned(), login, body)]
        );
    }

    #[tokio::test]
    async fn half_a_login_is_not_sent() {
        let (endpoint, calls) = webhook(&[200]).await;
        let provider = opened([("HTTPREQ_ENDPOINT", &endpoint), ("HTTPREQ_USERNAME", "user")]).unwrap();
        provider.publish(&zone_above(&record().name), &record()).await.unwrap();
        assert_eq!(calls.lock().unwrap()[0].1, None);
    }

    #[tokio::test]
    async fn a_wrong_password_is_named_as_such_and_not_shown() {
        let (endpoint, calls) = webhook(&[401]).await;
        let provider =
            opened([("HTTPREQ_ENDPOINT", &endpoint), ("HTTPREQ_USERNAME", "user"), ("HTTPREQ_PASSWORD", "pass word")]).unwrap();
        let error = provider.publish(&zone_above(&record().name), &record()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert!(error.to_string().contains("[redacted]") && !error.to_string().contains("dXNlcjpwYXNzIHdvcmQ="), "{error}");
        assert_eq!(calls.lock().unwrap().len(), 1, "a rejected login is not tried again");
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
        let (endpoint, calls) = webhook(&[500, 200]).await;
        let provider = opened([("HTTPREQ_ENDPOINT", &endpoint)]).unwrap();
        provider.publish(&zone_above(&record().name), &record()).await.unwrap();
        assert_eq!(calls.lock().unwrap().len(), 2);
        let (endpoint, calls) = webhook(&[400]).await;
        let provider = opened([("HTTPREQ_ENDPOINT", &endpoint)]).unwrap();
        let error = provider.publish(&zone_above(&record().name), &record()).await.unwrap_err();
        assert_eq!((error.kind(), error.http_status()), (ErrorKind::Provider, Some(400)));
        assert_eq!(calls.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_work_is_refused_before_any_call() {
        for (variables, kind, part) in [
            ([("X", "y"), ("Z", "y")], ErrorKind::Credentials, "endpoint"),
            ([("HTTPREQ_ENDPOINT", "http://example.com"), ("Z", "y")], ErrorKind::Config, "plain http"),
            ([("HTTPREQ_ENDPOINT", "nonsense"), ("Z", "y")], ErrorKind::Config, "no URL"),
            ([("HTTPREQ_ENDPOINT", "https://example.com"), ("HTTPREQ_MODE", "RAW")], ErrorKind::Config, "RAW"),
        ] {
            let error = opened(variables).err().unwrap();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn a_cname_is_not_what_the_protocol_knows() {
        let provider = opened([("HTTPREQ_ENDPOINT", "https://example.com")]).unwrap();
        let alias = Record { record_type: RecordType::Cname, ..record() };
        let error = provider.publish(&zone_above(&alias.name), &alias).await.unwrap_err();
        assert!(error.to_string().contains("CNAME"), "{error}");
    }
}
