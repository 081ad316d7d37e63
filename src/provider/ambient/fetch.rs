//! Credentials, fetched: what a source asks, and what the answers say.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Method, Request,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use url::Url;

use super::source::{Call, Fields, OF_METADATA, OF_PROGRAM, Part, ServiceAccount, Source, Values};
use crate::{
    credential_program,
    environment::Environment,
    error::{Error, ErrorKind, Result, Retry},
    http::{Http, Reply},
    language::t,
    lifetime::Lifetime,
    provider::manifest::{aws_headers, jwt},
    secret::{Redactor, Secret},
};

/// How long a service of the vendor may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long a service of this machine may take.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a call is made again where that may help.
const REPEATS: usize = 3;

/// How long a session with the metadata service of EC2 may last, in seconds. It is used for two calls.
const SESSION_SECONDS: &str = "21600";

/// Whom assertions of Google's service accounts are for, whatever address they are sent to.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";

/// Credentials, and how long they are good.
#[derive(Clone)]
pub(super) struct Fetched {
    pub(super) values: Values,
    pub(super) lifetime: Lifetime,
}

/// What fetches.
pub(super) struct Fetcher {
    http: Http,
    /// Without proxies.
    direct: Http,
    environment: Environment,
    redactor: Redactor,
    pub(super) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Fetcher {
    pub(super) fn new(http: &Http, environment: Environment, redactor: Redactor) -> Self {
        Self {
            http: http.with_timeout(TIMEOUT),
            direct: Http::direct().unwrap_or_else(|_| http.clone()).with_timeout(LOCAL_TIMEOUT),
            environment,
            redactor,
            clock: Arc::new(crate::failpoint::now),
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The credentials of a source.
    ///
    /// # Errors
    /// `ErrorKind::Credentials`, worth another try where the failure may pass. No error shows a secret or what a program wrote.
    pub(super) fn fetch<'a>(&'a self, source: &'a Source) -> Pin<Box<dyn Future<Output = Result<Fetched>> + Send + 'a>> {
        Box::pin(async move {
            match source {
                Source::Fixed(values) => {
                    Ok(Fetched { values: values.clone(), lifetime: Lifetime { fetched: self.now(), expires: None } })
                }
                Source::Program { line } => self.of_program(line).await,
                Source::Call(call) => self.of_call(call, &[]).await,
                Source::Instance { base } => self.of_instance(base).await,
                Source::Account { token, project } => {
                    let mut fetched = self.of_call(token, &[]).await?;
                    if let Some(call) = project {
                        let project = self.send(call, &[]).await?.text();
                        fetched.values.insert("project", Secret::new(project.trim()));
                    }
                    Ok(fetched)
                }
                Source::Role { base, region, call } => {
                    let base =
                        self.fetch(base).await.map_err(|error| error.context(t!("the credentials to assume the role with")))?;
                    let value = |name: &str| base.values.get(name).map(Secret::expose);
                    let keys = [value("access_key").unwrap_or_default(), value("secret_key").unwrap_or_default()];
                    let form = self.form(call)?;
                    let signed = aws_headers(&call.url, form.expose(), keys, value("session_token"), ["sts", region], self.now());
                    self.of_call(call, &signed).await
                }
            }
        })
    }

    async fn of_program(&self, line: &str) -> Result<Fetched> {
        let what = "`credential_process`";
        let output = credential_program::output(line, &self.environment).await.map_err(refused)?;
        let document: Value = serde_json::from_slice(&output).map_err(|_| refused(t!("%{what} wrote no JSON", what)))?;
        if document.get("Version").and_then(Value::as_i64) != Some(1) {
            return Err(refused(t!("%{what} wrote another version of the format than 1", what)));
        }
        self.read(&leaves_of_json(&document), OF_PROGRAM, what)
    }

    async fn of_call(&self, call: &Call, signed: &[(String, String)]) -> Result<Fetched> {
        let reply = self.send(call, signed).await?;
        self.read(&leaves(&reply), call.fields, call.what)
    }

    async fn of_instance(&self, base: &Url) -> Result<Fetched> {
        let what = t!("the metadata service of EC2");
        let call = |method: Method, path: &str, headers: Vec<(&'static str, Part)>| -> Result<Call> {
            let url = base.join(path).map_err(|_| refused(t!("%{what} has no URL", what)))?;
            Ok(Call { what, method, url, headers, form: Vec::new(), fields: OF_METADATA, is_local: true })
        };
        let wanted = vec![("x-aws-ec2-metadata-token-ttl-seconds", Part::text(SESSION_SECONDS))];
        let session = self.send(&call(Method::PUT, "latest/api/token", wanted)?, &[]).await?.text();
        let session = Secret::new(session.trim());
        self.redactor.learn(&session);
        let with_session = || vec![("x-aws-ec2-metadata-token", Part::Text(session.clone()))];
        let folder = "latest/meta-data/iam/security-credentials/";
        let role =
            self.send(&call(Method::GET, folder, with_session())?, &[]).await.map_err(|error| match error.http_status() {
                Some(404) => {
                    refused(t!("%{what}: this instance has no role", what)).with_hint(t!("attach an instance profile to it"))
                }
                _ => error,
            })?;
        let role = role.text();
        let role = role.trim();
        if role.is_empty() || role.contains(['/', '?', '#', '\n']) {
            return Err(refused(t!("%{what} names no role", what)));
        }
        self.of_call(&call(Method::GET, &format!("{folder}{role}"), with_session())?, &[]).await
    }

    /// Makes a call, again where that may help, and gives the reply of success.
    async fn send(&self, call: &Call, signed: &[(String, String)]) -> Result<Reply> {
        let pauses =
            ExponentialBuilder::default().with_min_delay(Duration::from_millis(300)).with_max_times(REPEATS).with_jitter();
        (|| self.send_once(call, signed)).retry(pauses).when(|error| error.retry() != Retry::Never).await
    }

    async fn send_once(&self, call: &Call, signed: &[(String, String)]) -> Result<Reply> {
        let mut request = Request::new(call.method.clone(), call.url.clone());
        let mut all: Vec<(&str, Secret)> =
            signed.iter().map(|(name, value)| (name.as_str(), Secret::new(value.as_str()))).collect();
        for (name, part) in &call.headers {
            all.push((name, self.part(part)?));
        }
        for (name, value) in all {
            let wrong = || refused(t!("%{what}: the header `%{name}` cannot be sent", what = call.what, name));
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            request.headers_mut().insert(header, value);
        }
        if !call.form.is_empty() {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, kind);
            *request.body_mut() = Some(self.form(call)?.expose().to_owned().into());
        } else if call.method != Method::GET {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let http = if call.is_local { &self.direct } else { &self.http };
        let reply = http.execute(request, ErrorKind::Credentials, call.what).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(self.refusal(call.what, &reply)) }
    }

    /// The body of a call.
    fn form(&self, call: &Call) -> Result<Secret> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, part) in &call.form {
            form.append_pair(name, self.part(part)?.expose());
        }
        Ok(Secret::new(form.finish()))
    }

    fn part(&self, part: &Part) -> Result<Secret> {
        let secret = match part {
            Part::Text(text) => return Ok(text.clone()),
            Part::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    refused(t!("the token in `%{path}` cannot be read: %{error}", path = path.display(), error))
                })?;
                Secret::new(text.trim())
            }
            Part::Assertion(account) => self.assertion(account)?,
        };
        self.redactor.learn(&secret);
        Ok(secret)
    }

    fn assertion(&self, account: &ServiceAccount) -> Result<Secret> {
        let now = self.now().as_second();
        let claims = json!({"iss": account.email, "scope": account.scope, "aud": AUDIENCE, "iat": now, "exp": now + 3600});
        let token = jwt(&claims, "RS256", account.key.expose(), account.key_id.as_deref());
        token.map(Secret::new).map_err(|why| refused(t!("service account `%{email}`: %{why}", email = account.email, why)))
    }

    /// The credentials in an answer.
    fn read(&self, leaves: &BTreeMap<String, String>, fields: Fields, what: &str) -> Result<Fetched> {
        let mut values = Values::new();
        for (setting, field, is_needed) in fields {
            match leaves.get(*field).filter(|value| !value.is_empty()) {
                Some(value) => drop(values.insert(setting, Secret::new(value.as_str()))),
                None if *is_needed => {
                    let said = self.said(leaves).map(|said| format!(" ({said})")).unwrap_or_default();
                    return Err(refused(t!("%{what}: the answer lacks `%{field}`%{said}", what, field, said)));
                }
                None => {}
            }
        }
        let now = self.now();
        let seconds = |name: &str| leaves.get(name).and_then(|text| text.parse::<i64>().ok());
        let expires = match (leaves.get("Expiration"), seconds("expires_in"), seconds("expires_on")) {
            (Some(text), ..) => {
                let time = text.parse().map_err(|_| refused(t!("%{what}: `%{text}` is no time of expiry", what, text)))?;
                Some(time)
            }
            (None, Some(left), _) => Some(now.saturating_add(SignedDuration::from_secs(left)).unwrap_or(now)),
            (None, None, Some(at)) => Timestamp::from_second(at).ok(),
            (None, None, None) => None,
        };
        if expires.is_some_and(|expires| expires <= now) {
            return Err(refused(t!("%{what}: the credentials have expired already; check this machine's clock", what)));
        }
        Ok(Fetched { values, lifetime: Lifetime { fetched: now, expires } })
    }

    /// An answer that reports a failure.
    fn refusal(&self, what: &str, reply: &Reply) -> Error {
        let status = reply.status.as_u16();
        let leaves = leaves(reply);
        let said = self.said(&leaves).map(|said| format!(": {said}")).unwrap_or_default();
        let retry = match reply.retry_after() {
            Some(time) if time <= TIMEOUT => Retry::After(time),
            _ if status == 429 || status >= 500 => Retry::Later,
            _ => Retry::Never,
        };
        let error = refused(format!("{what}: HTTP status {status}{said}")).with_http_status(status).with_retry(retry);
        match leaves.get("RequestId") {
            Some(id) => error.with_request_id(self.redactor.redact(id)),
            None => error,
        }
    }

    /// The service's own words for a failure.
    fn said(&self, leaves: &BTreeMap<String, String>) -> Option<String> {
        let first = |names: [&str; 3]| names.iter().find_map(|name| leaves.get(*name)).map(String::as_str);
        let code = first(["Code", "code", "error"]);
        let text = first(["Message", "message", "error_description"]);
        let said = [code, text].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let short: String = self.redactor.redact(&said).chars().take(300).collect();
        (!short.is_empty()).then_some(short)
    }
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Credentials, why).with_retry(Retry::Never)
}

/// The texts and numbers of an answer by name, whether it is JSON or XML; nothing where it is neither.
fn leaves(reply: &Reply) -> BTreeMap<String, String> {
    if let Ok(document) = serde_json::from_slice(&reply.body) {
        return leaves_of_json(&document);
    }
    let text = reply.text();
    let mut all = BTreeMap::new();
    if let Ok(document) = roxmltree::Document::parse(&text) {
        for node in document.descendants().filter(|node| node.is_element() && !node.children().any(|child| child.is_element())) {
            all.entry(node.tag_name().name().to_owned()).or_insert_with(|| node.text().unwrap_or_default().trim().to_owned());
        }
    }
    all
}

fn leaves_of_json(document: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let entries = document.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}
