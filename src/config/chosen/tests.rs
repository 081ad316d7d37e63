use std::path::Path;

use super::*;
use crate::{config::layers::Flags, environment::Environment, propagation::Policy};

fn read(flags: &[(&'static str, &str)], config: &str) -> Result<Chosen> {
    let flags: Flags = flags.iter().fold(Flags::new(), |mut flags, (name, value)| {
        flags.entry(name).or_default().push((*value).to_owned());
        flags
    });
    let file = ConfigFile { path: Some("c.toml".into()), ..ConfigFile::parse(config, "c.toml")? };
    let environment = Environment::of([("HOME", "/home/a")]);
    let layers = Layers::resolve(&flags, &environment, &file);
    Chosen::read(&layers, &file, Places::new(&environment, false))
}

#[test]
fn defaults_are_those_of_the_design() {
    let chosen = read(&[], "").unwrap();
    let options = chosen.journey(Vec::new()).unwrap();
    assert_eq!(options.patience.order, Duration::from_secs(75 * 60));
    assert_eq!(options.patience.propagation, None);
    assert_eq!(options.out, Path::new("/home/a/.local/state/dv-verify/certificates"));
    assert_eq!(chosen.propagation.policy, Policy::Reachable);
    assert_eq!(chosen.cas.calls_per_second, 10);
    assert!(chosen.cas.generations.is_empty());
    assert!(!options.dry_run && !options.no_wait && !options.keep_record && options.parallel == 0);
}

#[test]
fn the_api_is_asked_for_the_language_of_the_program() {
    let lang = |flags: &[(&'static str, &str)]| read(flags, "").unwrap().cas.lang;
    assert_eq!(lang(&[]).as_deref(), Some("en"));
    assert_eq!(lang(&[("lang", "zh")]).as_deref(), Some("zh"));
}

#[test]
fn every_default_in_the_table_is_the_real_one() {
    let text = |name: &str| super::super::settings::find(name).unwrap().default.unwrap();
    let options = read(&[], "").unwrap().journey(Vec::new()).unwrap();
    assert_eq!(parse::duration(text("timeout")).unwrap(), options.patience.order);
    assert_eq!(parse::duration(text("challenge-timeout")).unwrap(), options.patience.challenge);
    assert_eq!(parse::duration(text("poll-interval")).unwrap(), options.patience.poll_interval);
    assert_eq!(parse::duration(text("hook-timeout")).unwrap(), options.hook_timeout);
    assert_eq!(parse::policy(text("policy")).unwrap(), Policy::default());
    assert_eq!(text("rate"), CasOptions::default().calls_per_second.to_string());
    assert_eq!(text("parallel"), options.parallel.to_string());
    assert_eq!(parse::duration(text("lease")).unwrap(), crate::store::LEASE);
}

#[test]
fn the_flag_overrides_routes_and_the_file_is_only_a_default() {
    let chosen = read(&[], "default_provider = \"a\"").unwrap();
    assert_eq!((chosen.provider.as_deref(), chosen.default_provider.as_deref()), (None, Some("a")));
    let chosen = read(&[("provider", "b")], "default_provider = \"a\"").unwrap();
    assert_eq!((chosen.provider.as_deref(), chosen.default_provider.as_deref()), (Some("b"), None));
}

#[test]
fn zones_of_routes_allow_and_zones_of_the_user_limit() {
    let config = "[[route]]\nzone = \"example.com\"\nprovider = \"x\"\n[[route]]\nzone = \".\"\nprovider = \"y\"";
    let chosen = read(&[], config).unwrap();
    let zones = |chosen: &Chosen| chosen.permission().zones.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(zones(&chosen), ["example.com"]);
    assert!(!chosen.permission().zones_limit);
    let chosen = read(&[("zone", "example.net")], config).unwrap();
    assert_eq!(zones(&chosen), ["example.net"]);
    assert!(chosen.permission().zones_limit);
}

#[test]
fn values_that_cannot_be_are_refused_with_their_origin() {
    for (name, value, expected) in [
        ("order", "a b", "`--order`: `a b` is not an order id"),
        ("domain", "a..b", "`--domain`: `a..b` is not a domain name"),
        ("region", "CN hangzhou", "`--region`: `CN hangzhou` is not a region"),
        ("source-ip", "x", "`--source-ip`: `x` is not an IP address"),
        ("poll-interval", "1ms", "`--poll-interval`: `1ms` is too short"),
        ("endpoint", "http://cas.example.com", "`--endpoint`: the endpoint is plain http"),
        ("name", "../x", "`--name`: `../x` is not the name of a folder"),
        ("rate", "0", "`--rate`: `0` is not a whole number of at least 1"),
    ] {
        let error = read(&[(name, value)], "").unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(error.kind().exit_code(), 2);
    }
    let error = read(&[("store", "postgres://u:hunter2hunter2@h/d")], "").unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert!(error.to_string().starts_with("`--store`: the URL of the store holds a password"), "{error}");
}

#[test]
fn a_store_with_a_password_comes_from_a_file_that_others_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    let text = path.to_str().unwrap();
    let mode = |mode| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let refused = |flags: &[(&'static str, &str)]| {
        let error = read(flags, "").unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        error.to_string()
    };
    assert!(refused(&[("store-file", text)]).contains("cannot be read"));
    std::fs::write(&path, "").unwrap();
    mode(0o600);
    assert!(refused(&[("store-file", text)]).contains("is empty"));
    std::fs::write(&path, "postgres://u:hunter2hunter2@h/d\n").unwrap();
    let chosen = read(&[("store-file", text)], "").unwrap();
    assert_eq!(chosen.store().unwrap().to_string(), "postgres://u@h/d");
    assert!(!format!("{chosen:?}").contains("hunter2"));
    assert!(refused(&[("store-file", text), ("store", "/x")]).contains("two places"));
    mode(0o640);
    assert!(refused(&[("store-file", text)]).contains("read by others"));
}

#[test]
fn a_name_needs_exactly_one_order() {
    assert!(read(&[("name", "web")], "").unwrap().journey(Vec::new()).is_err());
    assert!(read(&[("name", "web"), ("order", "1"), ("order", "2")], "").unwrap().journey(Vec::new()).is_err());
    read(&[("name", "web"), ("order", "1")], "").unwrap().journey(Vec::new()).unwrap();
}

#[test]
fn a_hook_that_cannot_run_is_found_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("hook");
    let path = script.to_str().unwrap();
    let check = || read(&[("hook", path)], "").unwrap().journey(Vec::new()).map(|_| ());
    assert!(check().unwrap_err().to_string().contains("cannot be read"));
    std::fs::write(&script, "").unwrap();
    assert!(check().unwrap_err().hint().unwrap().contains("chmod +x"));
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    check().unwrap();
    read(&[("hook", "reload-web")], "").unwrap().journey(Vec::new()).unwrap();
    read(&[("hook-shell", "a b | c")], "").unwrap().journey(Vec::new()).unwrap();
}
