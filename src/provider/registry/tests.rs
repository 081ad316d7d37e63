//! The registry.

use super::*;
use crate::{environment::Environment, error::ErrorKind, http::Http, secret::Redactor};

fn registry() -> Registry {
    Registry::of(&[], &[]).unwrap()
}

fn context() -> Context {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Context { http: Http::new().unwrap(), redactor: Redactor::default() }
}

#[test]
fn an_alias_stands_for_its_provider() {
    let registry = registry();
    assert_eq!(registry.describe("dnsupdate").unwrap().id, "rfc2136");
    assert_eq!(registry.describe("RFC2136").unwrap().id, "rfc2136");
    assert_eq!(registry.aliases("rfc2136"), ["dnsupdate", "nsupdate"]);
    let ids: Vec<String> = registry.list().into_iter().map(|it| it.id).collect();
    assert_eq!(ids, ["exec", "httpreq", "manual", "rfc2136"]);
}

#[test]
fn an_alias_finds_the_variables_of_the_id_too() {
    let environment = Environment::of([("DV_RFC2136_NAMESERVER", "127.0.0.1")]);
    let opened = registry().open(&Settings::of_builtin("dnsupdate", environment), &context()).unwrap();
    assert_eq!(opened.id(), "rfc2136");
}

#[test]
fn an_unknown_provider_is_an_error_with_advice() {
    let error = registry().describe("rfc2137").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("`rfc2137`"));
    assert!(error.hint().unwrap().contains("did you mean `rfc2136`"));
}

#[test]
fn a_manifest_that_is_not_there_is_named() {
    let settings = Settings::of_builtin("./nowhere/mine.toml", Environment::default());
    let error = registry().open(&settings, &context()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("./nowhere/mine.toml"));
}

#[test]
fn a_folder_gives_its_manifests_but_not_their_examples() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.toml", "a.toml", "a.examples.toml", "notes.txt", ".hidden.toml"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    let texts: Vec<String> = files::read_folder(folder.path()).unwrap().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["a.toml", "b.toml"]);
    assert!(files::read_folder(Path::new("/nonexistent/folder")).unwrap().is_empty());
}

#[test]
fn what_is_read_cheaply_of_a_manifest_is_what_it_says() {
    let registry = Registry::load(None).unwrap();
    for (id, text) in manifest::builtin() {
        let manifest = Manifest::parse(text, id, true).unwrap();
        let (cheap, whole) = (registry.describe(id).unwrap(), manifest.describe());
        assert_eq!(format!("{cheap:?}"), format!("{whole:?}"));
        let mut aliases: Vec<String> = aliases_of(&manifest).collect();
        aliases.sort();
        assert_eq!(registry.aliases(id), aliases, "{id}");
    }
}

#[test]
fn a_taken_id_is_refused() {
    let error = refuse_taken("exec", "mine.toml", Some(&exec::describe())).unwrap_err();
    assert!(error.to_string().contains("`exec`") && error.to_string().contains("mine.toml"));
}

#[test]
fn credentials_are_hidden_under_every_spelling() {
    let environment = Environment::of([
        ("PATH", "/bin"),
        ("RFC2136_TSIG_SECRET", "s"),
        ("DV_RFC2136_TSIG_SECRET", "s"),
        ("DV_MY_PRIMARY_TSIG_SECRET_FILE", "/run/secret"),
        ("DV_RFC2136_NAMESERVER", "127.0.0.1"),
        ("HTTPREQ_PASSWORD", "s"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s"),
        ("ALIBABA_CLOUD_REGION_ID", "cn-hangzhou"),
        ("PGPASSWORD", "s"),
        ("SOMEBODYS_TSIG_SECRET", "not ours"),
    ]);
    assert_eq!(
        registry().hidden_variables(&environment),
        [
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            "DV_MY_PRIMARY_TSIG_SECRET_FILE",
            "DV_RFC2136_TSIG_SECRET",
            "HTTPREQ_PASSWORD",
            "PGPASSWORD",
            "RFC2136_TSIG_SECRET"
        ]
    );
}
