use std::{fs, path::Path};

use super::*;
use crate::{
    error::ErrorKind,
    http::Http,
    name::Name,
    provider::Found,
    record::{Record, RecordType},
};

/// As much of acme.sh as the bridge touches, laid out as 3.1.4 is: `acme.sh` that calls its first argument at the end and shows its help
/// without one, scripts in `dnsapi/`, and `account.conf`. That the bridge works with the real one is written in docs/bridges.md.
const ACME_SH: &str = r#"#!/usr/bin/env sh
_SCRIPT_="$0"
_err() { printf '%s\n' "$*" >&2; }
_info() { printf '%s\n' "$*"; }
_setopt() { echo "$2$3$4" >>"$1"; }
_save_conf() { _setopt "$1" "$2" "=" "'$3'"; }
_read_conf() { sed -n "s/^$2='\(.*\)'$/\1/p" "$1"; }
_clear_conf() { sed -i "/^$2=/d" "$1"; }
_readaccountconf_mutable() { _read_conf "$ACCOUNT_CONF_PATH" "SAVED_$1"; }
_saveaccountconf_mutable() { _save_conf "$ACCOUNT_CONF_PATH" "SAVED_$1" "$2"; }
_clearaccountconf_mutable() { _clear_conf "$ACCOUNT_CONF_PATH" "SAVED_$1"; }
__initHome() { ACCOUNT_CONF_PATH="${ACCOUNT_CONF_PATH:-$LE_CONFIG_HOME/account.conf}"; }
main() {
  [ -z "$1" ] && echo 'the help' && return
  "$@"
}
main "$@"
"#;

const SCRIPT: &str = r#"
dns_standin_add() {
  Standin_Token="${Standin_Token:-$(_readaccountconf_mutable Standin_Token)}"
  if [ -z "$Standin_Token" ]; then
    _clearaccountconf_mutable Standin_Token
    _err "no token"
    return 1
  fi
  _saveaccountconf_mutable Standin_Token "$Standin_Token"
  : >"$HTTP_HEADER"
  [ "$2" != refused ] || { _err "token $Standin_Token is wrong"; return 1; }
  printf '%s|' "$#" "$1" "$2" "$Standin_Token" "$LE_CONFIG_HOME" >>"$HOME/calls"
}
dns_standin_rm() {
  fulldomain=$1
  txtvalue=$2
  env >"$HOME/environment"
  printf '%s|' rm "$fulldomain" "$txtvalue" >>"$HOME/calls"
}
"#;

const TOKEN: &str = "saved-standin-token";

/// A home folder with an installation.
fn installation() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let acme = home.path().join(".acme.sh");
    fs::create_dir_all(acme.join("dnsapi")).unwrap();
    fs::write(acme.join("acme.sh"), ACME_SH).unwrap();
    fs::write(acme.join("dnsapi/dns_standin.sh"), SCRIPT).unwrap();
    fs::write(acme.join("dnsapi/dns_half.sh"), "dns_half_add() { :; }\n").unwrap();
    fs::write(acme.join("account.conf"), format!("LOG_FILE='{}/log'\nSAVED_Standin_Token='{TOKEN}'\n", acme.display())).unwrap();
    home
}

fn opened(id: &str, home: &Path, more: &[(&str, &str)]) -> Result<Arc<dyn DnsProvider>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context { http: Http::new().unwrap(), redactor: Redactor::default() };
    let path = format!("{}:/usr/bin:/bin", home.display());
    let environment = Environment::of([("PATH", path.as_str()), ("HOME", home.to_str().unwrap())]);
    let environment = more.iter().fold(environment, |environment, (name, value)| environment.with(name, value));
    Registry::load(None).unwrap().open(&Settings::of_builtin(id, environment), &context)
}

fn record(value: &str) -> Record {
    Record { name: Name::parse("_dv.www.example.com").unwrap(), record_type: RecordType::Txt, value: value.into() }
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_script_is_called_and_the_installation_stays_as_it_is() {
    let home = installation();
    let acme = home.path().join(".acme.sh");
    let before = files(&acme);
    let provider = opened("acme.sh:dns_standin", home.path(), &[]).unwrap();
    assert_eq!(provider.id(), "acme.sh:dns_standin");
    let ours = record("-value_of.the=CA+1/2:3");
    let zone = provider.locate(&ours.name).await.unwrap();
    provider.publish(&zone, &ours).await.unwrap();
    provider.withdraw(&zone, &ours, None).await.unwrap();
    assert_eq!(
        fs::read_to_string(home.path().join("calls")).unwrap(),
        format!("2|{name}|{value}|{TOKEN}|{}|rm|{name}|{value}|", acme.display(), name = ours.name, value = ours.value)
    );
    assert_eq!(files(&acme), before);
    for value in ["two words", "quo\"ted", "back\\slash", "$HOME", "ü"] {
        let error = provider.publish(&zone, &record(value)).await.unwrap_err();
        assert!(error.to_string().contains("has other signs"), "{error}");
    }
    assert!(provider.capabilities().several_values, "it removes by value");
    let script = acme.join("dnsapi/dns_standin.sh");
    let by_name = "dns_standin_add() { :; }\ndns_standin_rm() {\n  txtvalue=$2\n  _debug \"$txtvalue\"\n  delete \"$1\"\n}\n";
    fs::write(&script, by_name).unwrap();
    assert!(!opened("acme.sh:dns_standin", home.path(), &[]).unwrap().capabilities().several_values, "it removes by name");
    let alias = Record { record_type: RecordType::Cname, ..ours };
    assert!(provider.publish(&zone, &alias).await.unwrap_err().to_string().contains("CNAME"));
}

#[tokio::test]
async fn what_a_script_says_is_shown_without_secrets() {
    let home = installation();
    let refused = record("refused");
    let provider = opened("acme.sh:dns_standin", home.path(), &[]).unwrap();
    let zone = provider.locate(&refused.name).await.unwrap();
    let error = provider.publish(&zone, &refused).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider);
    assert!(error.to_string().contains("`dns_standin_add _dv.www.example.com` of acme.sh failed"), "{error}");
    assert!(error.to_string().contains("is wrong") && !error.to_string().contains(TOKEN), "{error}");
    let given = opened("acme.sh:dns_standin", home.path(), &[("Standin_Token", "token-of-the-environment")]).unwrap();
    let error = given.publish(&zone, &refused).await.unwrap_err();
    assert!(error.to_string().contains("is wrong") && !error.to_string().contains("token-of-the"), "{error}");
    fs::write(home.path().join(".acme.sh/account.conf"), "").unwrap();
    let error = provider.publish(&zone, &record("x")).await.unwrap_err();
    assert!(error.to_string().contains("no token"), "{error}");
    assert!(!error.to_string().contains("the help"), "{error}");
}

#[tokio::test]
async fn a_script_gets_the_credentials_that_it_names_and_no_others() {
    let home = installation();
    let script = home.path().join(".acme.sh/dnsapi/dns_standin.sh");
    fs::write(&script, format!("# set CF_Token first\n{SCRIPT}")).unwrap();
    let more = [
        ("CF_Token", "of-this-script"),
        ("HTTPREQ_PASSWORD", "of-another"),
        ("RFC2136_TSIG_SECRET", "of-ours"),
        ("HARMLESS", "1"),
    ];
    let provider = opened("acme.sh:dns_standin", home.path(), &more).unwrap();
    let zone = provider.locate(&record("x").name).await.unwrap();
    provider.withdraw(&zone, &record("x"), None).await.unwrap();
    let environment = fs::read_to_string(home.path().join("environment")).unwrap();
    assert!(environment.contains("CF_Token=of-this-script") && environment.contains("HARMLESS=1"), "{environment}");
    assert!(!environment.contains("of-another") && !environment.contains("of-ours"), "{environment}");
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let home = installation();
    for (id, parts) in [
        ("acme.sh:dns_exoscale", ["`_acme-challenge`, whatever name", "--provider exoscale"]),
        ("acme.sh:dns_lexicon", ["`_acme-challenge`, whatever name", "lexicon:NAME"]),
        ("acme.sh:dns_nsupdate", ["removes every TXT value", "--provider rfc2136"]),
        ("acme.sh:dns_bh", ["keeps ids", "manifest of your own"]),
        ("acme.sh:dns_standing", ["has no script `dns_standing`", "did you mean `acme.sh:dns_standin`"]),
        ("acme.sh:dns_half", ["has no functions `dns_half_add` and `dns_half_rm`", ""]),
        ("acme.sh:../x", ["`../x` cannot be a name in acme.sh", "acme.sh:dns_cf"]),
        ("acme.sh:", ["`` cannot be a name in acme.sh", ""]),
        ("lexicon:a b", ["`a b` cannot be a name in lexicon", "lexicon:gandi"]),
    ] {
        let error = opened(id, home.path(), &[]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let said = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    let nowhere = tempfile::tempdir().unwrap();
    let error = opened("acme.sh:dns_cf", nowhere.path(), &[]).err().unwrap();
    assert!(error.to_string().contains("acme.sh is not found") && error.hint().unwrap().contains("DV_ACME_SH_HOME"), "{error}");
    let elsewhere = home.path().join(".acme.sh");
    opened("acme.sh:dns_standin", nowhere.path(), &[("DV_ACME_SH_HOME", elsewhere.to_str().unwrap())]).unwrap();
    assert_eq!(Bridge::of("cloudflare").unwrap(), None);
}

/// A program `lexicon` that writes down its arguments, lists what is in the file `list`, and fails where there is a file `broken`.
const LEXICON: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
[ ! -e broken ] || { echo "wrong token: $LEXICON_GANDI_AUTH_TOKEN" >&2; exit 3; }
printf '%s\n' "$*" >>calls
cat list
"#;

#[tokio::test]
async fn lexicon_lists_creates_and_deletes() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("lexicon");
    fs::write(&program, LEXICON).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let variables = [("LEXICON_GANDI_AUTH_TOKEN", "token-of-gandi"), ("DV_LEXICON_PATH", program.to_str().unwrap())];
    let provider = opened("lexicon:gandi", home.path(), &variables).unwrap();
    let ours = record("abc");
    let zone = provider.locate(&ours.name).await.unwrap();
    assert_eq!(zone.name.as_str(), "www.example.com");
    for (list, found) in [
        (r#"[{"content": "other"}, {"content": "abc"}]"#, true),
        (r#"[{"content": "\"abc\""}]"#, true),
        (r#"[{"content": "abcd"}, {"id": 1}]"#, false),
        ("[]\n", false),
    ] {
        fs::write(home.path().join("list"), list).unwrap();
        assert_eq!(matches!(provider.find(&zone, &ours).await.unwrap(), Found::Present(_)), found, "{list}");
    }
    fs::write(home.path().join("list"), "no list").unwrap();
    assert_eq!(provider.find(&zone, &ours).await.unwrap(), Found::CannotTell);
    fs::remove_file(home.path().join("calls")).unwrap();
    provider.publish(&zone, &ours).await.unwrap();
    provider.withdraw(&zone, &ours, None).await.unwrap();
    assert_eq!(
        fs::read_to_string(home.path().join("calls")).unwrap(),
        "gandi create www.example.com TXT --name=_dv.www.example.com. --content=abc --output=QUIET\n\
         gandi delete www.example.com TXT --name=_dv.www.example.com. --content=abc --output=QUIET\n"
    );
    fs::write(home.path().join("broken"), "").unwrap();
    let error = provider.publish(&zone, &ours).await.unwrap_err();
    assert!(error.to_string().contains("wrong token") && !error.to_string().contains("token-of-gandi"), "{error}");
}

#[tokio::test]
async fn lexicon_takes_the_zones_that_the_user_names() {
    let home = tempfile::tempdir().unwrap();
    let provider = opened("lexicon:gandi", home.path(), &[("DV_LEXICON_ZONE", "example.com, www.example.com")]).unwrap();
    assert_eq!(provider.locate(&record("x").name).await.unwrap().name.as_str(), "www.example.com");
    let error = provider.locate(&Name::parse("_dv.example.net").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("holds `_dv.example.net`"), "{error}");
    let error = opened("lexicon:gandi", home.path(), &[("DV_LEXICON_PATH", "/nonexistent/lexicon")]).unwrap();
    let failed = error.publish(&zone(), &record("x")).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Config, "{failed}");
}

fn zone() -> crate::provider::Zone {
    crate::provider::Zone { name: Name::parse("example.com").unwrap(), fields: std::collections::BTreeMap::new() }
}
