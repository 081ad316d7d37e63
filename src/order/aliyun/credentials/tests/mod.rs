//! The chain: static links here, what is fetched and how it is renewed in `fetched`, the official SDK beside it in `compare`.

use super::*;
use crate::test_official::home;

mod compare;
mod fetched;
mod server;

fn http() -> Http {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Http::new().unwrap()
}

/// What the chain yields on a machine that is no ECS instance.
fn resolve<const N: usize>(variables: [(&str, &str); N]) -> Result<Credentials> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let environment = Environment::of(variables).with("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true");
    runtime.block_on(CredentialChain::new(environment, http(), Redactor::default()).resolve())
}

const CONFIG: &str = r#"{"current":"work","profiles":[
    {"name":"default","mode":"AK","access_key_id":"default-id","access_key_secret":"default-secret","region_id":"cn-hangzhou"},
    {"name":"work","mode":"StsToken","access_key_id":"STS.work","access_key_secret":"work-secret","sts_token":"work-token"},
    {"name":"odd","mode":"Telepathy","access_key_id":"role-id","access_key_secret":"role-secret"},
    {"name":"round","mode":"ChainableRamRoleArn","source_profile":"round","ram_role_arn":"acs:ram::1:role/x"},
    {"name":"browser","mode":"CloudSSO","access_key_id":"STS.b","access_key_secret":"b-secret","sts_token":"b-token","sts_expiration":1},
    {"name":"half","mode":"AK","access_key_id":"half-id","access_key_secret":""}]}"#;

const INI: &str = "\u{feff}# comment\n[default]\ntype = access_key\naccess_key_id = ini-id\naccess_key_secret = \"ini=secret\"\n\n\
    ; another\n[machine]\ntype = rsa_key_pair\npublic_key_id = x\n";

#[test]
fn each_link_is_found_in_its_order() {
    let home = home(&[(".aliyun/config.json", CONFIG), (".alibabacloud/credentials", INI)]);
    let home = home.path().to_str().unwrap();
    let familiar = [("ALICLOUD_ACCESS_KEY", "familiar-id"), ("ALICLOUD_SECRET_KEY", "familiar-secret")];
    let [familiar_id, familiar_secret] = familiar;

    let found = resolve([
        ("HOME", home),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "env-id "),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "env-secret\n"),
        familiar_id,
        familiar_secret,
    ])
    .unwrap();
    assert_eq!((found.access_key_id.as_str(), found.access_key_secret.expose()), ("env-id", "env-secret"));
    assert_eq!(found.security_token, None);
    assert_eq!(found.origin, "variable `ALIBABA_CLOUD_ACCESS_KEY_ID`");

    let found = resolve([("HOME", home), familiar_id, familiar_secret]).unwrap();
    assert_eq!((found.access_key_id.as_str(), found.access_key_secret.expose()), ("STS.work", "work-secret"));
    assert_eq!(found.security_token.unwrap().expose(), "work-token");
    assert!(found.origin.starts_with("profile `work` of `") && found.origin.ends_with(".aliyun/config.json`"));

    let off = ("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true");
    let found = resolve([("HOME", home), off, familiar_id, familiar_secret]).unwrap();
    assert_eq!((found.access_key_id.as_str(), found.access_key_secret.expose()), ("ini-id", "ini=secret"));
    assert!(found.origin.starts_with("section `[default]` of `"));

    let token = ("ALICLOUD_SECURITY_TOKEN", "familiar-token");
    let found = resolve([off, familiar_id, familiar_secret, token]).unwrap();
    assert_eq!((found.access_key_id.as_str(), found.access_key_secret.expose()), ("familiar-id", "familiar-secret"));
    assert_eq!(found.security_token.unwrap().expose(), "familiar-token");
}

#[test]
fn the_profile_chooses_in_both_files() {
    let home = home(&[(".aliyun/config.json", CONFIG)]);
    let home = home.path().to_str().unwrap();
    let found = resolve([("HOME", home), ("ALIBABA_CLOUD_PROFILE", "default")]).unwrap();
    assert_eq!(found.access_key_id, "default-id");
    let found = resolve([("ALIBABA_CLOUD_CONFIG_FILE", &format!("{home}/.aliyun/config.json"))]).unwrap();
    assert_eq!(found.access_key_id, "STS.work", "no HOME is needed where the file is named");
}

#[tokio::test]
async fn files_behind_variables_are_read_again_for_each_call() {
    let folder = home(&[("id", "first-id\n"), ("secret", "first-secret\r\n")]);
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let redactor = Redactor::default();
    let chain = CredentialChain::new(
        Environment::of([
            ("ALIBABA_CLOUD_ACCESS_KEY_ID_FILE", &at("id")),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET_FILE", &at("secret")),
        ]),
        http(),
        redactor.clone(),
    );
    assert_eq!(chain.resolve().await.unwrap().access_key_secret.expose(), "first-secret");
    std::fs::write(at("secret"), "second-secret").unwrap();
    assert_eq!(chain.resolve().await.unwrap().access_key_secret.expose(), "second-secret");
    assert_eq!(redactor.redact("first-secret second-secret"), "[redacted] [redacted]");
}

#[test]
fn nothing_found_lists_every_link_and_its_reason() {
    let error = resolve([]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let text = error.to_string();
    for reason in [
        "variable `ALIBABA_CLOUD_ACCESS_KEY_ID` is not set",
        "`~/.aliyun/config.json` cannot be looked up, as HOME is not set",
        "`~/.alibabacloud/credentials` cannot be looked up, as HOME is not set",
        "variable `ALICLOUD_ACCESS_KEY` is not set",
    ] {
        assert!(text.contains(reason), "{reason} in {text}");
    }
    assert!(error.hint().unwrap().contains("ALIBABA_CLOUD_ACCESS_KEY_SECRET"));
}

#[test]
fn each_link_says_what_is_wrong_with_it() {
    let home = home(&[
        (".aliyun/config.json", CONFIG),
        (".alibabacloud/credentials", INI),
        ("broken.json", "{\"current\": [\"a value that is secret\"]}"),
    ]);
    let home_path = home.path().to_str().unwrap();
    let broken = home.path().join("broken.json");
    let text = |variables: [(&str, &str); 3]| resolve(variables).unwrap_err().to_string();

    let said = text([("HOME", home_path), ("ALIBABA_CLOUD_PROFILE", "odd"), ("ALIBABA_CLOUD_ACCESS_KEY_ID", "only-id")]);
    assert!(said.contains("profile `odd`") && said.contains("has the mode `Telepathy`, which is not supported"), "{said}");
    assert!(said.contains("`ALIBABA_CLOUD_ACCESS_KEY_ID` is set, but `ALIBABA_CLOUD_ACCESS_KEY_SECRET` is not"), "{said}");
    assert!(said.contains("has no section `[odd]`"), "{said}");

    let said = text([("HOME", home_path), ("ALIBABA_CLOUD_PROFILE", "machine"), ("ALICLOUD_SECRET_KEY", "only-secret")]);
    assert!(said.contains("has no profile `machine`"), "{said}");
    assert!(said.contains("section `[machine]`") && said.contains("type `rsa_key_pair`, which is not supported"), "{said}");
    assert!(said.contains("`ALICLOUD_SECRET_KEY` is set, but `ALICLOUD_ACCESS_KEY` is not"), "{said}");

    let said = text([("HOME", home_path), ("ALIBABA_CLOUD_PROFILE", "round"), ("A", "b")]);
    assert!(said.contains("chain of profiles without end"), "{said}");
    let said = text([("HOME", home_path), ("ALIBABA_CLOUD_PROFILE", "browser"), ("A", "b")]);
    assert!(said.contains("a log-in by CloudSSO that is over: log in again with the `aliyun` tool"), "{said}");

    let said =
        text([("HOME", home_path), ("ALIBABA_CLOUD_PROFILE", "half"), ("ALIBABA_CLOUD_ACCESS_KEY_ID_FILE", "/nonexistent")]);
    assert!(said.contains("profile `half`") && said.contains("has no `access_key_secret`"), "{said}");
    assert!(said.contains("names `/nonexistent`, which cannot be read"), "{said}");

    let said = text([("ALIBABA_CLOUD_CONFIG_FILE", broken.to_str().unwrap()), ("A", "b"), ("C", "d")]);
    assert!(said.contains("cannot be understood at line 1, column"), "{said}");
    assert!(!said.contains("a value that is secret"), "{said}");

    let said = text([
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "with space"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "planted-secret"),
        ("ALIBABA_CLOUD_CREDENTIALS_FILE", "/nonexistent/credentials"),
    ]);
    assert!(said.contains("cannot be an AccessKeyId") && said.contains("`/nonexistent/credentials` does not exist"), "{said}");
    assert!(!said.contains("planted-secret"), "{said}");
}

#[test]
fn nothing_secret_is_shown() {
    let found = resolve([
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "shown-id"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "planted-secret"),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", "planted-token"),
    ])
    .unwrap();
    let text = format!("{found:?}");
    assert!(text.contains("shown-id") && !text.contains("planted"), "{text}");
}
