//! What is refused when a manifest is loaded, and where the error points.

use super::{super::Manifest, settings, user};
use crate::{
    environment::Environment,
    error::ErrorKind,
    provider::settings::{Context, Settings},
    secret::Redactor,
};

const RIGHT: &str = r#"
id = "mine"
title = "Mine"
base_url = "https://api.example.com/v1"
ttl = 60

[credentials]
token = { secret = true }

[request]
headers = { Authorization = "Bearer {{ cred.token }}" }

[zone]
http = "GET /zones?name={{ candidate }}"
zones = ".zones[] | {id, name}"

[create]
http = "POST /zones/{{ zone.id }}/records"
json = { name = "{{ fqdn }}", value = "{{ value | quoted }}", ttl = "{{ ttl }}" }
id = ".id"

[delete]
http = "DELETE /zones/{{ zone.id }}/records/{{ record.id }}"
"#;

/// The error for the manifest with one piece replaced.
fn refused(right: &str, wrong: &str) -> String {
    assert!(RIGHT.contains(right), "{right}");
    let error = Manifest::parse(&RIGHT.replacen(right, wrong, 1), "mine.toml", false).expect_err(wrong);
    assert_eq!(error.kind(), ErrorKind::Config);
    format!("{error} {}", error.hint().unwrap_or_default())
}

#[test]
fn the_right_one_loads() {
    user(RIGHT);
}

#[test]
fn errors_point_at_line_and_column() {
    assert!(refused("headers =", "hedaers =").starts_with("mine.toml:11:1: unknown field `hedaers`"));
    assert!(refused("headers =", "hedaers =").contains("did you mean `headers`?"));
    assert!(refused("cred.token", "cred.tokn").starts_with("mine.toml:11:29: [request]: unknown credential `cred.tokn`"));
    assert!(refused("\".id\"", "\".id | frist\"").starts_with("mine.toml:20:6: [create]: jq: the function `frist`"));
    assert!(refused("ttl = 60", "ttl = ").starts_with("mine.toml:5:"));
}

#[test]
fn unknown_names_are_refused_everywhere() {
    for (right, wrong, said) in [
        ("secret = true", "secrt = true", "unknown field `secrt`"),
        ("title =", "tilte =", "unknown field `tilte`"),
        ("[delete]", "[remove]", "unknown field `remove`"),
        ("{{ fqdn }}", "{{ fdqn }}", "did you mean `fqdn`"),
        ("| quoted", "| quotde", "did you mean `quoted`"),
        ("candidate }}", "value }}", "unknown variable `value`"),
        ("record.id", "recrod.id", "did you mean `record`"),
        ("{id, name}", "{id, name: $env.NAME}", "unknown variable `$env`"),
        (".zones[]", "env", "`env` is not allowed"),
        (".zones[]", "def f: f; f", "`def` is not allowed"),
        ("{{ cred.token }}", "{{ session }}", "unknown variable `session`"),
        ("{{ fqdn }}", "{{ req.url }}", "unknown variable `req.url`"),
        ("{{ value | quoted }}", "{{ value", "not closed"),
    ] {
        assert!(refused(right, wrong).contains(said), "{wrong}: {}", refused(right, wrong));
    }
}

#[test]
fn calls_stay_on_the_hosts_that_are_named() {
    for (right, wrong, said) in [
        ("POST /zones", "POST .evil.example/zones", "must begin with `/`"),
        ("POST /zones", "POST @evil.example/zones", "must begin with `/`"),
        ("POST /zones", "POST {{ value }}/zones", "must begin with `/`"),
        ("POST /zones", "POST auth:/zones", "not in [hosts]"),
        ("POST /zones", "TRACE /zones", "not a method"),
        ("https://api", "file://api", "must begin with https"),
        ("https://api.example.com/v1", "api.example.com", "not a URL"),
        ("https://api.example.com/v1", "https://{{ value }}", "unknown variable"),
    ] {
        assert!(refused(right, wrong).contains(said), "{wrong}: {}", refused(right, wrong));
    }
}

#[test]
fn sections_must_fit_together() {
    for (right, wrong, said) in [
        ("[create]", "[commit]\nhttp = \"POST /x\"\n[create]\ntext = \"x\"", "one of `json`, `form` and `text`"),
        (
            "[delete]",
            "[merge]\nitem = \"x\"\nread = { http = \"GET /\", items = \".\" }\nwrite = { http = \"PUT /\" }\n[delete]",
            "instead of",
        ),
        ("id = \".id\"", "", "give [find], or `id`"),
        ("id = \"mine\"", "id = \"mine\"\nremoval = false", "`removal = false`"),
        ("id = \"mine\"", "id = \"mine\"\nscope = \"zone\"", "goes with [merge]"),
        ("id = \"mine\"", "id = \"mine\"\nformat = 2", "format 2 is not known"),
        ("id = \"mine\"", "id = \"mine\"\ntypes = [\"MX\"]", "`MX` is not written"),
        ("id = \"mine\"", "id = \"mine\"\npropagation = \"soon\"", "not a duration"),
        ("id = \"mine\"", "id = \"Mine\"", "small letters"),
        ("token = { secret = true }", "base_url = {}", "setting of every provider"),
        ("token = { secret = true }", "token = { secret = true, default = \"x\" }", "no default"),
        ("token = { secret = true }", "token = { secret = true, per_name = true }", "`fields` go together"),
        ("id = \".id\"", "type = \"text/xml\"\nid = \".id\"", "goes with `text`"),
    ] {
        assert!(refused(right, wrong).contains(said), "{wrong}: {}", refused(right, wrong));
    }
    let before = &RIGHT[..RIGHT.find("[create]").unwrap()];
    let error = Manifest::parse(before, "mine.toml", false).unwrap_err();
    assert!(error.to_string().contains("neither [create] nor [merge]"));
    let make = "[merge]\nitem = \"x\"\nread = { http = \"GET /\", items = \".\" }\nwrite = { http = \"PUT /\" }\n\
        make = { http = \"POST /\", state = \".id\" }\n";
    let error = Manifest::parse(&format!("{before}{make}"), "mine.toml", false).unwrap_err();
    assert!(error.to_string().contains("goes with `state` in `read`"), "{error}");
}

#[test]
fn a_users_manifest_cannot_get_at_the_credentials_of_another_provider() {
    for id in ["cloudflare", "cf", "cloudflare-api", "cloudflare-zone", "rfc2136", "manual", "store", "pdns", "aliyun"] {
        let said = refused("id = \"mine\"", &format!("id = \"{id}\""));
        assert!(said.contains("too close to the built-in provider"), "{id}: {said}");
    }
    assert!(refused("id = \"mine\"", "id = \"mine\"\naliases = [\"route53\"]").contains("route53"));
    assert!(refused("secret = true", "secret = true, env = [\"CF_Token\"]").contains("for built-in manifests"));
    // Near in letters only.
    user(&RIGHT.replacen("id = \"mine\"", "id = \"cloudflared\"", 1));
}

#[test]
fn only_declared_credentials_are_read() {
    let manifest = user(RIGHT);
    let mut settings = settings(&manifest, [("token", "t"), ("other", "never-seen")]);
    settings.environment = Environment::of([("DV_MINE_OTHER", "x"), ("CF_Token", "y")]);
    let found = super::super::credentials::Credentials::resolve(&manifest.plan, &settings, &Redactor::default()).unwrap();
    assert_eq!(found.object(None).unwrap(), serde_json::json!({"token": "t"}));
}

#[test]
fn missing_credentials_are_named_with_every_variable() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context { http: crate::http::Http::new().unwrap(), redactor: Redactor::default() };
    let settings = Settings::of_builtin("cloudflare", Environment::default());
    let error = super::shipped("cloudflare").open(&settings, &context).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert_eq!(error.to_string(), "Cloudflare: credentials are missing: `api_token`");
    for name in ["DV_CLOUDFLARE_API_TOKEN", "CLOUDFLARE_DNS_API_TOKEN", "CF_Token", "Zone / DNS / Edit"] {
        assert!(error.hint().unwrap().contains(name), "{name}: {:?}", error.hint());
    }
    for (variable, value) in [("CF_Token", "a"), ("CLOUDFLARE_DNS_API_TOKEN", "b"), ("DV_CLOUDFLARE_API_TOKEN", "c")] {
        let settings = Settings::of_builtin("cloudflare", Environment::of([(variable, value)]));
        assert!(super::shipped("cloudflare").open(&settings, &context).is_ok(), "{variable}");
    }
}

#[test]
fn plain_http_is_for_loopback_or_where_the_user_says_so() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context { http: crate::http::Http::new().unwrap(), redactor: Redactor::default() };
    let manifest = super::shipped("powerdns");
    let open = |url: &str, allow_http: bool| {
        let mut settings = settings(&manifest, [("api_key", "k"), ("api_url", url)]);
        settings.allow_http = allow_http;
        manifest.open(&settings, &context).map(|_| ()).map_err(|error| error.to_string())
    };
    assert!(open("http://127.0.0.1:8081", false).is_ok());
    assert!(open("https://dns.example.com", false).is_ok());
    assert!(open("http://dns.example.com", false).unwrap_err().contains("plain http"));
    assert!(open("http://dns.example.com", true).is_ok());
    assert!(open("https://user:pass@dns.example.com", true).unwrap_err().contains("password"));
    assert!(open("ftp://dns.example.com", true).unwrap_err().contains("scheme"));
}

#[test]
fn a_manifest_describes_itself() {
    let description = super::shipped("gandi").describe();
    assert_eq!(description.id, "gandi");
    assert!(description.capabilities.rewrites_set && !description.capabilities.experimental);
    assert_eq!(description.capabilities.least_ttl, 300);
    assert_eq!(description.capabilities.name_servers, ["gandi.net"]);
    let mine = user(RIGHT).describe();
    assert_eq!(mine.origin, "mine.toml");
    assert!(mine.capabilities.experimental && !mine.capabilities.rewrites_set);
}

#[tokio::test]
async fn the_documents_example_works() {
    let document = include_str!("../../../../docs/manifest.md");
    let blocks: Vec<&str> = document.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [manifest, merge, examples] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    let manifest = user(manifest);
    let outcomes =
        super::super::replay(&manifest, &examples.replace("\"https://…\"", "\"x\""), "docs/manifest.md").await.unwrap();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].failure, None);
    let start = RIGHT.find("[create]").unwrap();
    user(&format!("{}{merge}", &RIGHT[..start]));
    for name in super::super::filters::NAMES {
        assert!(
            document.contains(&format!("{name} "))
                || document.contains(&format!("{name}("))
                || document.contains(&format!("`{name}`"))
                || document.contains(&format!("{name}`")),
            "{name}"
        );
    }
}
