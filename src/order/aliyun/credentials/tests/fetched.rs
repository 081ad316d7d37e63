//! Temporary credentials: how they are fetched, kept, renewed, and what is said where they cannot be had.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

use super::{
    server::{Manner, Server},
    *,
};

/// A chain over these variables whose places are those of `server`, and whose clock is the second number.
pub(super) fn chain(environment: Environment, server: &Server, clock: &Arc<AtomicI64>, redactor: &Redactor) -> CredentialChain {
    let mut fetcher = Fetcher::new(http());
    fetcher.sts = Some(server.url.clone());
    fetcher.metadata = server.url.as_str().trim_end_matches('/').to_owned();
    let clock = Arc::clone(clock);
    fetcher.clock = Arc::new(move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap());
    CredentialChain::with_fetcher(environment, fetcher, redactor.clone())
}

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(START))
}

fn role(home: &str) -> Environment {
    Environment::of([("HOME", home), ("ALIBABA_CLOUD_PROFILE", "role"), ("PATH", "/usr/bin:/bin")])
}

const CONFIG: &str = r#"{"profiles":[{"name":"role","mode":"RamRoleArn","access_key_id":"base-id","access_key_secret":"base-secret",
    "ram_role_arn":"acs:ram::1:role/x","expired_seconds":1800}]}"#;

#[tokio::test]
async fn they_are_kept_and_replaced_before_they_expire() {
    let (server, clock, redactor) = (Server::start().await, clock(), Redactor::default());
    let home = home(&[(".aliyun/config.json", CONFIG)]);
    let chain = chain(role(home.path().to_str().unwrap()), &server, &clock, &redactor);
    server.manner.lock().unwrap().expires = "2026-01-01T00:30:00Z".to_owned();
    let found = chain.resolve().await.unwrap();
    assert_eq!((found.access_key_id.as_str(), found.access_key_secret.expose()), ("STS.assumed-x-id", "assumed-x-secret"));
    assert!(found.origin.starts_with("role `acs:ram::1:role/x` (profile `role` of `"), "{}", found.origin);
    assert_eq!(redactor.redact("assumed-x-secret assumed-x-token"), "[redacted] [redacted]");
    let asked = server.take();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method.as_str(), asked[0].parameters["DurationSeconds"].as_str()), ("POST", "1800"));

    // Seven and a half minutes before they expire is a quarter of their time.
    clock.store(START + 22 * 60, Ordering::SeqCst);
    chain.resolve().await.unwrap();
    assert!(server.take().is_empty());
    clock.store(START + 23 * 60, Ordering::SeqCst);
    server.manner.lock().unwrap().expires = "2026-01-01T00:53:00Z".to_owned();
    chain.resolve().await.unwrap();
    assert_eq!(server.take().len(), 1);
    // A clone shares them.
    chain.clone().resolve().await.unwrap();
    assert!(server.take().is_empty());
}

#[tokio::test]
async fn where_others_cannot_be_had_they_serve_to_their_last_second() {
    let (server, clock) = (Server::start().await, clock());
    let home = home(&[(".aliyun/config.json", CONFIG)]);
    let chain = chain(role(home.path().to_str().unwrap()), &server, &clock, &Redactor::default());
    server.manner.lock().unwrap().expires = "2026-01-01T00:30:00Z".to_owned();
    chain.resolve().await.unwrap();
    server.manner.lock().unwrap().fails = Some((503, "ServiceUnavailable"));
    clock.store(START + 1799, Ordering::SeqCst);
    assert_eq!(chain.resolve().await.unwrap().access_key_id, "STS.assumed-x-id");
    clock.store(START + 1800, Ordering::SeqCst);
    let error = chain.resolve().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Credentials, Retry::Later));
    let said = error.to_string();
    assert!(said.contains("AssumeRole of `acs:ram::1:role/x`: ServiceUnavailable: told by the test"), "{said}");
    server.manner.lock().unwrap().fails = Some((403, "NoPermission"));
    assert_eq!(chain.resolve().await.unwrap_err().retry(), Retry::Never);
}

#[tokio::test]
async fn those_that_the_service_refuses_are_forgotten_and_those_in_variables_are_not() {
    let (server, clock) = (Server::start().await, clock());
    let home = home(&[(".aliyun/config.json", CONFIG)]);
    let temporary = chain(role(home.path().to_str().unwrap()), &server, &clock, &Redactor::default());
    let found = temporary.resolve().await.unwrap();
    assert!(temporary.forget(&found).await);
    temporary.resolve().await.unwrap();
    assert_eq!(server.take().len(), 2);
    let keys = Environment::of([("ALIBABA_CLOUD_ACCESS_KEY_ID", "a"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "b")]);
    let fixed = chain(keys, &server, &clock, &Redactor::default());
    let found = fixed.resolve().await.unwrap();
    assert!(!fixed.forget(&found).await);
}

#[tokio::test]
async fn a_changed_file_leads_elsewhere_at_once() {
    let (server, clock) = (Server::start().await, clock());
    let home = home(&[(".aliyun/config.json", CONFIG)]);
    let chain = chain(role(home.path().to_str().unwrap()), &server, &clock, &Redactor::default());
    chain.resolve().await.unwrap();
    std::fs::write(home.path().join(".aliyun/config.json"), CONFIG.replace("role/x", "role/y")).unwrap();
    assert_eq!(chain.resolve().await.unwrap().access_key_id, "STS.assumed-y-id");
}

#[tokio::test]
async fn a_program_and_a_url_of_profiles() {
    let (server, clock) = (Server::start().await, clock());
    let program = r#"sh -c 'echo {\"mode\":\"StsToken\",\"access_key_id\":\"STS.p\",\"access_key_secret\":\"p-secret\",\"sts_token\":\"t\"}'"#;
    let config = serde_json::json!({"profiles": [
        {"name": "program", "mode": "External", "process_command": program},
        {"name": "silent", "mode": "External", "process_command": "true"},
        {"name": "url", "mode": "CredentialsURI", "credentials_uri": format!("{}uri?planted=1", server.url)},
        {"name": "nowhere", "mode": "CredentialsURI", "credentials_uri": format!("{}planted", server.url)},
    ]});
    let home = home(&[(".aliyun/config.json", &config.to_string())]);
    let of = |name: &str| {
        let environment = role(home.path().to_str().unwrap()).with("ALIBABA_CLOUD_PROFILE", name);
        let environment = environment.with("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true");
        chain(environment, &server, &clock, &Redactor::default())
    };
    let found = of("program").resolve().await.unwrap();
    assert_eq!((found.access_key_id.as_str(), found.security_token.unwrap().expose()), ("STS.p", "t"));
    assert!(found.origin.starts_with("program `sh` (profile `program`"), "{}", found.origin);
    assert_eq!(of("url").resolve().await.unwrap().access_key_id, "STS.uri-id");
    let said = of("silent").resolve().await.unwrap_err().to_string();
    assert!(said.contains("what the program wrote is no JSON object"), "{said}");
    let said = of("nowhere").resolve().await.unwrap_err().to_string();
    assert!(said.contains("GET from `127.0.0.1`") && !said.contains("planted"), "{said}");
}

#[tokio::test]
async fn expired_from_the_start_is_a_matter_of_the_clock() {
    let (server, clock) = (Server::start().await, clock());
    server.manner.lock().unwrap().expires = "2020-01-01T00:00:00Z".to_owned();
    let environment = Environment::of([("ALIBABA_CLOUD_CREDENTIALS_URI", &format!("{}uri", server.url))]);
    let said = chain(environment, &server, &clock, &Redactor::default()).resolve().await.unwrap_err().to_string();
    assert!(said.contains("credentials that have expired; check this machine's clock"), "{said}");
}

#[tokio::test]
async fn the_metadata_service_is_asked_with_a_token_where_it_gives_one() {
    let (server, clock) = (Server::start().await, clock());
    let named = Environment::of([("ALIBABA_CLOUD_ECS_METADATA", "web")]);
    let only_v2 = named.with("ALIBABA_CLOUD_IMDSV1_DISABLED", "true");
    let resolve =
        async |environment: &Environment| chain(environment.clone(), &server, &clock, &Redactor::default()).resolve().await;
    let asked = || server.take().into_iter().map(|asked| (asked.method, asked.metadata_token)).collect::<Vec<_>>();
    let put = ("PUT".to_owned(), None);
    let with = ("GET".to_owned(), Some("metadata-token".to_owned()));
    let without = ("GET".to_owned(), None);

    server.manner.lock().unwrap().takes_none = false;
    let found = resolve(&only_v2).await.unwrap();
    assert_eq!((found.access_key_id.as_str(), found.origin.as_str()), ("STS.ecs-web-id", "role `web` of this ECS instance"));
    assert_eq!(asked(), [put.clone(), with]);

    // An old service: v1, unless that is switched off.
    *server.manner.lock().unwrap() = Manner { gives_token: false, ..Manner::default() };
    assert_eq!(resolve(&named).await.unwrap().access_key_id, "STS.ecs-web-id");
    assert_eq!(asked(), [put.clone(), without]);
    let said = resolve(&only_v2).await.unwrap_err().to_string();
    assert!(said.contains("gives no token, and v1 is switched off"), "{said}");
    assert_eq!(asked(), [put]);
}
