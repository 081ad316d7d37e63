use super::*;

fn message(text: &str) -> String {
    let error = ConfigFile::parse(text, "c.toml").unwrap_err();
    format!("{error} | {}", error.hint().unwrap_or_default())
}

#[test]
fn everything_in_one_file() {
    let file = ConfigFile::parse(
        r#"
timeout = "2h"
rate = 5
no_wait = true
verbose = 1
default_provider = "cf-work"
hook = ["/bin/a", "/bin/b"]
authority = "example.com=127.0.0.1"

[provider.cf-work]
use = "cloudflare"
api_token_file = "/run/credentials/cf"
allow_http = true

[provider.rfc2136]
nameserver = "192.0.2.1"

[[route]]
zone = "Example.COM."
provider = "cf-work"

[[route]]
zone = "."
provider = "rfc2136"
"#,
        "c.toml",
    )
    .unwrap();
    let texts = |name: &str| file.options[name].texts.clone();
    assert_eq!(texts("timeout"), ["2h"]);
    assert_eq!(texts("rate"), ["5"]);
    assert_eq!(texts("no-wait"), ["true"]);
    assert_eq!(texts("provider"), ["cf-work"]);
    assert_eq!(texts("hook"), ["/bin/a", "/bin/b"]);
    assert_eq!(texts("authority"), ["example.com=127.0.0.1"]);
    assert_eq!(file.options["timeout"].place, Place { line: 2, column: 11 });
    let instance = &file.instances["cf-work"];
    assert_eq!(instance.provider, "cloudflare");
    assert!(instance.allow_http);
    assert_eq!(instance.table.keys().collect::<Vec<_>>(), ["api_token_file"]);
    assert_eq!(file.instances["rfc2136"].provider, "rfc2136", "without `use`, the name is the provider");
    assert_eq!(file.routes[0].zone.as_str(), "example.com");
    assert!(file.routes[1].zone.is_root());
}

#[test]
fn mistakes_are_named_with_their_place_and_what_to_do() {
    let cases = [
        ("tmeout = \"1s\"", "`c.toml` line 1, column 1: there is no key `tmeout` | did you mean `timeout`?"),
        ("poll-interval = \"1s\"", "there is no key `poll-interval` | did you mean `poll_interval`?"),
        ("\n\nconfig = \"x\"", "line 3, column 1: there is no key `config`"),
        ("rate = true", "line 1, column 8: `rate` must be text, not boolean"),
        ("no_wait = \"yes\"", "`no_wait` must be `true` or `false`, not string"),
        ("verbose = \"x\"", "`verbose` must be a number"),
        ("hook = [1]", "line 1, column 9: every item must be text"),
        ("provider = \"cloudflare\"", "write `default_provider"),
        ("provider.x = 1", "`provider.x` must be a table"),
        ("[provider.\"a b\"]", "`a b` cannot be the name of a provider instance"),
        ("[provider.x]\nuse = 1", "line 2, column 7: `use` must be the id of a provider"),
        ("[provider.x]\nallow_http = \"yes\"", "`allow_http` must be `true` or `false`"),
        ("[[route]]\nzone = \"a b\"\nprovider = \"x\"", "line 2, column 8: `a b` is not a domain name"),
        ("[[route]]\nzone = \"a.example\"", "a route needs `zone` and `provider`"),
        ("[[route]]\nzoen = \"a.example\"\nprovider = \"x\"", "line 2, column 1: a route has no key `zoen`"),
        ("[route]\nzone = \"a.example\"", "`route` must be a list of tables"),
        ("[[route]]\nzone=\"a\"\nprovider=\"x\"\n[[route]]\nzone=\"a\"\nprovider=\"y\"", "the zone `a` has a route already"),
        ("a = ", "line 1, column"),
        ("timeout = \"1s\"\ntimeout = \"2s\"", "line 2, column 1"),
    ];
    for (text, expected) in cases {
        let message = message(text);
        assert!(message.contains(expected), "{text:?}\nexpected {expected}\ngot      {message}");
    }
}

#[test]
fn broken_toml_shows_no_secret() {
    let message = message("[provider.x]\napi_token = \"hunter2hunter2\" oops");
    assert!(!message.contains("hunter2"), "{message}");
    assert!(message.contains("line 2"), "{message}");
}

fn with_mode(text: &str, mode: u32) -> Result<()> {
    ConfigFile { mode, path: Some("c.toml".into()), ..ConfigFile::parse(text, "c.toml").unwrap() }
        .check_providers(&Registry::load(None).unwrap())
}

#[test]
fn a_secret_in_a_file_that_others_can_read_is_refused() {
    let text =
        "[provider.home]\nuse = \"rfc2136\"\nnameserver = \"192.0.2.1\"\ntsig_key = \"k.\"\ntsig_secret = \"c2VjcmV0c2VjcmV0\"";
    with_mode(text, 0o100_600).unwrap();
    let error = with_mode(text, 0o100_644).unwrap_err();
    assert!(error.to_string().contains("line 5, column 1") && error.to_string().contains("mode 0644"), "{error}");
    assert!(error.hint().unwrap().contains("chmod 600") && error.hint().unwrap().contains("tsig_secret_file"), "{error:?}");
    assert!(!format!("{error:?}").contains("c2VjcmV0"));
    with_mode("[provider.home]\nuse = \"rfc2136\"\ntsig_secret_file = \"/x\"", 0o100_644).unwrap();
}

#[test]
fn provider_tables_are_strict_too() {
    let error = with_mode("[provider.home]\nuse = \"rfc2136\"\nnameservr = \"192.0.2.1\"", 0o600).unwrap_err();
    assert!(error.to_string().contains("line 3, column 1: provider `rfc2136` takes no key `nameservr`"), "{error}");
    assert_eq!(error.hint(), Some("did you mean `nameserver`?"));
    with_mode("[provider.cf]\nuse = \"cloudflare\"\nttl = 300\nzone = \"example.com\"\nbase_url = \"https://x.example\"", 0o644)
        .unwrap();
    let error = with_mode("[provider.home]\nuse = \"rfc2163\"", 0o600).unwrap_err();
    assert!(error.to_string().contains("line 2") && error.hint().unwrap().contains("rfc2136"), "{error:?}");
    let error = with_mode("[provider.rfc2136]\nnameserver = [\"a\"]", 0o600).unwrap_err();
    assert!(error.to_string().contains("must be text"), "{error}");
}

#[test]
fn a_named_file_must_be_there_and_the_default_one_need_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    assert!(!ConfigFile::read(&path, false).unwrap().exists);
    let error = ConfigFile::read(&path, true).unwrap_err();
    assert!(error.to_string().contains("config.toml"), "{error}");
    std::fs::write(&path, "timeout = \"1h\"").unwrap();
    assert!(ConfigFile::read(&path, true).unwrap().exists);
}
