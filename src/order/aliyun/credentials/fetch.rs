//! Temporary credentials, fetched: from STS, the metadata service of an ECS instance, a program, a URL.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Method, Request,
    header::{ACCEPT, CONTENT_LENGTH, HeaderValue},
};
use url::Url;

use super::{
    super::{
        failure,
        reply::{Fields, parse, parse_text},
        signing::{self, Parameters, percent_encode},
    },
    source::{Keys, Role, Source},
    temporary::Temporary,
};
use crate::{
    credential_program,
    environment::Environment,
    error::{Error, ErrorKind, Result, Retry},
    http::{Http, Reply, is_loopback},
    language::t,
    lifetime::Lifetime,
    secret::Secret,
};

/// How long STS and a URL may take, as with the vendor's SDKs.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long the metadata service may take. It is on the same machine; who asks elsewhere must not wait long.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the token of the metadata service lasts, in seconds. It is used for two calls.
const METADATA_TOKEN_SECONDS: &str = "21600";

/// Where the metadata service is.
const METADATA: &str = "http://100.100.100.200";

/// The file in which the firmware of the machine says who made it.
const VENDOR_FILE: &str = "/sys/class/dmi/id/sys_vendor";

/// What fetches. Tests replace the places and the clock.
pub(super) struct Fetcher {
    /// For STS and URLs.
    http: Http,
    /// Without proxies, for this machine and its metadata service.
    direct: Option<Http>,
    /// For programs.
    pub(super) environment: Environment,
    /// STS; `None`: https and the host of the role.
    pub(super) sts: Option<Url>,
    /// The metadata service.
    pub(super) metadata: String,
    /// The time.
    pub(super) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Fetcher {
    /// For the real places.
    pub(super) fn new(http: Http) -> Self {
        Self {
            http: http.with_timeout(TIMEOUT),
            direct: Http::direct().ok(),
            environment: Environment::default(),
            sts: None,
            metadata: METADATA.to_owned(),
            clock: Arc::new(crate::failpoint::now),
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Whether this machine is an ECS instance, as its firmware says.
    #[expect(clippy::unused_self, reason = "asked of the fetcher, which knows the places")]
    pub(super) fn is_ecs(&self) -> bool {
        std::fs::read_to_string(VENDOR_FILE).is_ok_and(|vendor| vendor.trim() == "Alibaba Cloud")
    }

    /// The credentials of a source.
    ///
    /// # Errors
    /// `ErrorKind::Credentials`, worth another try where the failure may pass. No error shows a secret, a URL or what a program wrote.
    pub(super) fn fetch<'a>(&'a self, source: &'a Source) -> Pin<Box<dyn Future<Output = Result<Temporary>> + Send + 'a>> {
        Box::pin(async move {
            match source {
                Source::Fixed(keys) => {
                    Ok(Temporary { keys: keys.clone(), lifetime: Lifetime { fetched: self.now(), expires: None } })
                }
                Source::Role { base, role } => {
                    let base =
                        self.fetch(base).await.map_err(|error| error.context(t!("the credentials to assume the role with")))?;
                    self.assume(role, &base.keys).await
                }
                Source::Oidc { role, provider_arn, token_file } => {
                    let token = std::fs::read_to_string(token_file).map_err(|error| {
                        refused(t!(
                            "the token in `%{token_file}` cannot be read: %{error}",
                            token_file = token_file.display(),
                            error
                        ))
                    })?;
                    self.assume_with_token(role, provider_arn, &Secret::new(token)).await
                }
                Source::Instance { role_name, only_v2 } => self.of_instance(role_name.as_deref(), *only_v2).await,
                Source::Program { line } => {
                    let output = credential_program::output(line, &self.environment).await.map_err(refused)?;
                    let text = Secret::new(String::from_utf8_lossy(&output));
                    let fields =
                        parse_text(text.expose()).ok_or_else(|| refused(t!("what the program wrote is no JSON object")))?;
                    self.read(
                        &fields,
                        ["access_key_id", "access_key_secret", "sts_token", "expiration"],
                        t!("the program's answer"),
                    )
                }
                Source::Uri { url } => self.of_url(url).await,
            }
        })
    }

    async fn assume(&self, role: &Role, base: &Keys) -> Result<Temporary> {
        let action = "AssumeRole";
        let mut query = self.sts_query(action);
        query.extend(self.role_parameters(role));
        let mut set = |name: &str, value: &str| query.insert(name.to_owned(), value.to_owned());
        set("AccessKeyId", &base.id);
        set("SignatureMethod", "HMAC-SHA1");
        set("SignatureVersion", "1.0");
        set("SignatureNonce", &format!("{:032x}", rand::random::<u128>()));
        if let Some(token) = &base.token {
            set("SecurityToken", token.expose());
        }
        let signed = signing::v1(Method::POST.as_str(), &query, &base.secret);
        let query = format!("{}&Signature={}", signed.canonical_query, percent_encode(&signed.signature));
        self.ask_sts(action, role, &query, None).await
    }

    /// The token goes into the body, which nobody logs.
    async fn assume_with_token(&self, role: &Role, provider_arn: &str, token: &Secret) -> Result<Temporary> {
        let action = "AssumeRoleWithOIDC";
        let mut form = self.role_parameters(role);
        form.insert("OIDCProviderArn".to_owned(), provider_arn.to_owned());
        form.insert("OIDCToken".to_owned(), token.expose().to_owned());
        let query = signing::canonical_query(&self.sts_query(action));
        self.ask_sts(action, role, &query, Some(signing::canonical_query(&form))).await
    }

    fn sts_query(&self, action: &str) -> Parameters {
        let pairs = [
            ("Action", action.to_owned()),
            ("Version", "2015-04-01".to_owned()),
            ("Format", "JSON".to_owned()),
            ("Timestamp", self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn role_parameters(&self, role: &Role) -> Parameters {
        let session = role.session_name.clone().unwrap_or_else(|| format!("dv-verify-{}", self.now().as_second()));
        let optional = [("Policy", &role.policy), ("ExternalId", &role.external_id)];
        let mut all = Parameters::from([
            ("RoleArn".to_owned(), role.arn.clone()),
            ("RoleSessionName".to_owned(), session),
            ("DurationSeconds".to_owned(), role.seconds.to_string()),
        ]);
        all.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
        all
    }

    async fn ask_sts(&self, action: &str, role: &Role, query: &str, form: Option<String>) -> Result<Temporary> {
        let usual =
            || Url::parse(&format!("https://{}/", role.sts_host)).map_err(|_| refused(t!("the STS region leads to no host")));
        let mut url = self.sts.clone().map_or_else(usual, Ok)?;
        url.set_query(Some(query));
        let mut request = Request::new(Method::POST, url);
        let length = form.as_ref().map_or(0, String::len);
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(form) = form {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(reqwest::header::CONTENT_TYPE, kind);
            *request.body_mut() = Some(form.into());
        }
        let what = format!("{action} of `{}`", role.arn);
        let reply = self.http.execute(request, ErrorKind::Credentials, &what).await?;
        let fields = fields(&reply, &what)?;
        let credentials = fields.object("Credentials").ok_or_else(|| fields.lacks(&what, "Credentials"))?;
        self.read(&credentials, STS_FIELDS, &what)
    }

    /// Metadata calls carry a token (v2); where the service gives none, or does not take it, and v1 is allowed, they go without.
    async fn of_instance(&self, role_name: Option<&str>, only_v2: bool) -> Result<Temporary> {
        let token = match self.metadata_call(Method::PUT, "latest/api/token", None).await {
            Ok(token) => Some(Secret::new(token.trim())),
            Err(error) if only_v2 => return Err(error.context(t!("the metadata service gives no token, and v1 is switched off"))),
            Err(_) => None,
        };
        let text = match self.metadata_of_role(role_name, token.as_ref()).await {
            Err(_) if token.is_some() && !only_v2 => self.metadata_of_role(role_name, None).await?,
            other => other?,
        };
        let what = t!("the metadata service of ECS");
        let fields = parse_text(&text).ok_or_else(|| refused(t!("%{what} answers with no JSON object", what)))?;
        self.read_told(&fields, what)
    }

    async fn metadata_of_role(&self, role_name: Option<&str>, token: Option<&Secret>) -> Result<String> {
        let folder = "latest/meta-data/ram/security-credentials/";
        let role = match role_name {
            Some(name) => name.to_owned(),
            None => self.metadata_call(Method::GET, folder, token).await?.trim().to_owned(),
        };
        self.metadata_call(Method::GET, &format!("{folder}{}", percent_encode(&role)), token).await
    }

    async fn metadata_call(&self, method: Method, path: &str, token: Option<&Secret>) -> Result<String> {
        let what = t!("the metadata service of ECS");
        let url = Url::parse(&format!("{}/{path}", self.metadata)).map_err(|_| refused(t!("%{what} has no URL", what)))?;
        let mut request = Request::new(method.clone(), url);
        if method == Method::PUT {
            let seconds = HeaderValue::from_static(METADATA_TOKEN_SECONDS);
            request.headers_mut().insert("x-aliyun-ecs-metadata-token-ttl-seconds", seconds);
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if let Some(mut value) = token.and_then(|token| HeaderValue::from_str(token.expose()).ok()) {
            value.set_sensitive(true);
            request.headers_mut().insert("x-aliyun-ecs-metadata-token", value);
        }
        let direct = self.direct.as_ref().unwrap_or(&self.http).with_timeout(METADATA_TIMEOUT);
        let reply = direct.execute(request, ErrorKind::Credentials, what).await?;
        if !reply.status.is_success() {
            return Err(refused(t!("%{what} answers with HTTP status %{status}", what, status = reply.status.as_u16()))
                .with_http_status(reply.status.as_u16()));
        }
        Ok(reply.text())
    }

    async fn of_url(&self, url: &Secret) -> Result<Temporary> {
        let parsed = Url::parse(url.expose()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = parsed.ok_or_else(|| refused(t!("this is no http or https URL")))?;
        let what = format!("GET from `{}`", url.host_str().unwrap_or_default());
        let http = match &self.direct {
            Some(direct) if is_loopback(&url) => direct.with_timeout(TIMEOUT),
            _ => self.http.clone(),
        };
        let reply = http.execute(Request::new(Method::GET, url), ErrorKind::Credentials, &what).await?;
        self.read_told(&fields(&reply, &what)?, &what)
    }

    /// An answer that says with `Code` whether it is one.
    fn read_told(&self, fields: &Fields, what: &str) -> Result<Temporary> {
        match fields.text("Code") {
            Some(code) if code != "Success" => Err(refused(t!("%{what} answers with `%{code}`", what, code)).with_code(code)),
            _ => self.read(fields, STS_FIELDS, what),
        }
    }

    fn read(&self, fields: &Fields, [id, secret, token, expires]: [&str; 4], what: &str) -> Result<Temporary> {
        let need = |name: &str| fields.text(name).ok_or_else(|| fields.lacks(what, name).with_kind(ErrorKind::Credentials));
        let needs_token = token == STS_FIELDS[2] || fields.text("mode").is_some_and(|mode| mode.eq_ignore_ascii_case("StsToken"));
        let token = if needs_token { Some(need(token)?) } else { fields.text(token) };
        let keys = Keys::new(&need(id)?, Secret::new(need(secret)?), token.map(Secret::new));
        let keys = keys.map_err(|why| refused(format!("{what} {why}")))?;
        let expires = match fields.text(expires) {
            Some(text) => {
                Some(text.parse::<Timestamp>().map_err(|_| refused(t!("%{what}: `%{text}` is no time of expiry", what, text)))?)
            }
            None => None,
        };
        let fetched = self.now();
        if expires.is_some_and(|expires| expires <= fetched) {
            return Err(refused(t!("%{what} gives credentials that have expired; check this machine's clock", what)));
        }
        Ok(Temporary { keys, lifetime: Lifetime { fetched, expires } })
    }
}

/// The fields of a reply that reports no failure.
fn fields(reply: &Reply, what: &str) -> Result<Fields> {
    let status = reply.status.as_u16();
    let parsed = parse(reply).map_err(|instead| {
        let retry = failure::retry(reply, None);
        Error::new(ErrorKind::Credentials, t!("%{what}: the answer is %{instead}", what, instead))
            .with_http_status(status)
            .with_retry(retry)
    })?;
    if reply.status.is_success() && !parsed.is_error {
        return Ok(parsed.fields);
    }
    let text = |name: &str| parsed.fields.text(name);
    let code = text("Code");
    let said = [code.clone(), text("Message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let mut error = Error::new(ErrorKind::Credentials, format!("{what}: {}", failure::shortened(&said)))
        .with_http_status(status)
        .with_retry(failure::retry(reply, code.as_deref()));
    if let Some(code) = code {
        error = error.with_code(code);
    }
    if let Some(id) = text("RequestId") {
        error = error.with_request_id(id);
    }
    Err(error)
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Credentials, why).with_retry(Retry::Never)
}

const STS_FIELDS: [&str; 4] = ["AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration"];
