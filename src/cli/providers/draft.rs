//! A manifest to start from, and its examples, as text: from a few answers about the API.

use base64::Engine as _;
use clap::ValueEnum;

use crate::provider::settings::variable;

/// How one authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Auth {
    /// A token in `Authorization: Bearer …`
    Bearer,
    /// A key in a header of its own
    Header,
    /// User name and password (HTTP Basic)
    Basic,
    /// A key in the query of the URL
    Query,
    /// A call with user name and password that gives a session token
    Login,
}

/// How the zone of a name is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Zones {
    /// The API lists all zones of the account
    Listed,
    /// The API is asked for a zone by its name
    Searched,
    /// Not at all: the user says the zone
    Given,
}

/// What a record is for the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Records {
    /// Each value is a record with an id
    Ids,
    /// Each value is added and removed by its text, without ids
    Values,
    /// All values of a name are replaced together
    Sets,
}

/// How the API writes the name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Names {
    /// Within the zone: _dv
    Relative,
    /// In full: _dv.example.com
    Full,
    /// In full with a final dot: _dv.example.com.
    Dotted,
}

/// What is known about the API.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) base_url: String,
    pub(super) auth: Auth,
    /// The header or the parameter, for [`Auth::Header`] and [`Auth::Query`].
    pub(super) auth_name: String,
    pub(super) zones: Zones,
    pub(super) records: Records,
    pub(super) names: Names,
}

/// The texts of both files.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) manifest: String,
    pub(super) examples: String,
}

/// Writes the two texts. They load and replay whatever the answers are, which a test makes sure of.
pub(super) fn draft(answers: &Answers) -> Draft {
    Draft { manifest: manifest(answers), examples: examples(answers) }
}

/// The credentials that users set.
pub(super) fn credentials(auth: Auth) -> &'static [&'static str] {
    match auth {
        Auth::Bearer => &["api_token"],
        Auth::Header | Auth::Query => &["api_key"],
        Auth::Basic | Auth::Login => &["username", "password"],
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn manifest(answers: &Answers) -> String {
    let Answers { id, title, base_url, .. } = answers;
    let variables: Vec<String> = credentials(answers.auth).iter().map(|name| variable(id, name)).collect();
    let apex = match answers.names {
        Names::Relative => "# CHECK what the API calls the zone itself: often \"@\", sometimes \"\".\napex = \"@\"\n",
        Names::Full | Names::Dotted => "",
    };
    format!(
        "\
# A draft of `dv-verify providers new`: compare what is marked CHECK with the API's documentation.
# `{{{{ … }}}}` is filled in on the way out; what reads a reply (`zones`, `id`, `ids`, `items`, `error`) is jq. All keys: docs/manifest.md
format = 1
id = {id}
title = {title}
# docs = \"https://…\"
base_url = {base_url}
# In seconds. `least_ttl` is the least that the API takes.
ttl = 300
{apex}# Add \"CNAME\" if the API writes it in the same way.
types = [\"TXT\"]
# How long a change usually takes to show.
propagation = \"2m\"

# Users set {variables}. Say in `help` which rights are enough.
[credentials]
{credentials}
{request}{login}{zone}{records}",
        id = quoted(id),
        title = quoted(title),
        base_url = quoted(base_url),
        variables = variables.join(" and "),
        credentials = credential_lines(answers.auth),
        request = request(answers),
        login = if answers.auth == Auth::Login { LOGIN } else { "" },
        zone = zone(answers.zones),
        records = records(answers),
    )
}

fn credential_lines(auth: Auth) -> &'static str {
    match auth {
        Auth::Bearer => "api_token = { secret = true, help = \"an API token that may read zones and write DNS records\" }\n",
        Auth::Header | Auth::Query => {
            "api_key = { secret = true, help = \"an API key that may read zones and write DNS records\" }\n"
        }
        Auth::Basic | Auth::Login => {
            "username = { help = \"a user who may read zones and write DNS records\" }\npassword = { secret = true, help = \"this user's password\" }\n"
        }
    }
}

fn request(answers: &Answers) -> String {
    let name = quoted(&answers.auth_name);
    let line = match answers.auth {
        Auth::Bearer => "headers = { Authorization = \"Bearer {{ cred.api_token }}\" }".to_owned(),
        Auth::Header => format!("headers = {{ {name} = \"{{{{ cred.api_key }}}}\" }}"),
        Auth::Basic => "headers = { Authorization = \"Basic {{ (cred.username ~ ':' ~ cred.password) | b64 }}\" }".to_owned(),
        Auth::Query => format!("query = {{ {name} = \"{{{{ cred.api_key }}}}\" }}"),
        Auth::Login => "headers = { Authorization = \"Bearer {{ session }}\" }".to_owned(),
    };
    format!(
        "\
[request]
{line}
# CHECK where the API says what is wrong. Where it does so with status 200, add for example: ok = \".success\"
error = \".message\"

"
    )
}

const LOGIN: &str = "\
# CHECK. The session is kept for the run, and made again when a call is denied.
[login]
http = \"POST /login\"
json = { username = \"{{ cred.username }}\", password = \"{{ cred.password }}\" }
session = \".token\"

";

fn zone(zones: Zones) -> &'static str {
    match zones {
        Zones::Listed => {
            "\
# CHECK. Objects with `name`, and whatever the other calls need (here `id`). The longest zone that holds the name is taken.
# Where the API pages, add for example: next = \"select($page < .pages) | {page: ($page + 1)}\"
[zone]
http = \"GET /zones\"
zones = \".zones[] | {id, name}\"

"
        }
        Zones::Searched => {
            "\
# CHECK. Asked for each parent of the name, the longest first, until one is there.
[zone]
http = \"GET /zones?name={{ candidate }}\"
zones = \".zones[] | {id, name}\"

"
        }
        Zones::Given => "# Without [zone], users say DV_<ID>_ZONE=example.com.\n\n",
    }
}

/// How a name is written: in a template, in jq, and in the examples.
fn name(names: Names) -> (&'static str, &'static str, &'static str) {
    match names {
        Names::Relative => ("{{ name }}", "$name", "_dv"),
        Names::Full => ("{{ fqdn }}", "$fqdn", "_dv.example.com"),
        Names::Dotted => ("{{ fqdn }}.", "($fqdn + \".\")", "_dv.example.com."),
    }
}

fn records(answers: &Answers) -> String {
    let zone = if answers.zones == Zones::Given { "{{ zone.name }}" } else { "{{ zone.id }}" };
    let (template, jq, _) = name(answers.names);
    let create = format!(
        "\
# CHECK. `{{{{ value | quoted }}}}` where the API wants TXT values in quotes.
[create]
http = \"POST /zones/{zone}/records\"
json = {{ type = \"{{{{ type }}}}\", name = \"{template}\", content = \"{{{{ value }}}}\", ttl = \"{{{{ ttl }}}}\" }}
"
    );
    match answers.records {
        Records::Ids => format!(
            "\
{create}# What finds the record again; leave it out where the reply does not tell.
id = \".id\"

# CHECK. Every id whose record has our name and exactly our value; `bare` takes quotes off.
[find]
http = \"GET /zones/{zone}/records\"
ids = '.records[] | select(.type == $type and .name == {jq} and (.content | bare) == $value) | .id'

[delete]
http = \"DELETE /zones/{zone}/records/{{{{ record.id }}}}\"
"
        ),
        Records::Values => format!(
            "\
{create}
# CHECK. It must remove this value and no other one at the name.
[delete]
http = \"DELETE /zones/{zone}/records\"
json = {{ type = \"{{{{ type }}}}\", name = \"{template}\", content = \"{{{{ value }}}}\" }}
"
        ),
        Records::Sets => format!(
            "\
# CHECK. The set is read, changed by exactly one value, and written; `clear` where none is left.
[merge]
item = \"{{{{ value }}}}\"
read = {{ http = \"GET /zones/{zone}/records/{template}/{{{{ type }}}}\", items = \".values[]\", ttl = \".ttl\" }}
write = {{ http = \"PUT /zones/{zone}/records/{template}/{{{{ type }}}}\", json = {{ ttl = \"{{{{ ttl }}}}\", values = \"{{{{ items }}}}\" }} }}
clear = {{ http = \"DELETE /zones/{zone}/records/{template}/{{{{ type }}}}\" }}
"
        ),
    }
}

/// One exchange of an example.
struct Exchange {
    request: String,
    json: Option<String>,
    status: u16,
    reply: String,
}

fn exchange(request: impl Into<String>, json: Option<String>, status: u16, reply: impl Into<String>) -> Exchange {
    Exchange { request: request.into(), json, status, reply: reply.into() }
}

fn examples(answers: &Answers) -> String {
    let has_ids = answers.zones != Zones::Given;
    let zone = if has_ids { "z1" } else { "example.com" };
    let find_zone = if answers.zones == Zones::Searched { "GET /zones?name=example.com" } else { "GET /zones" };
    let mut text = format!(
        "\
# Examples of {}.toml: `dv-verify providers replay` plays them without a network. Put in what the API really says; then say so with
# `origin` (real-server, vendor-specification or vendor-sample) and `source`, and with `proof` in the manifest.
",
        answers.id
    );
    if has_ids {
        let found = exchange(find_zone, None, 200, r#"{"zones": [{"id": "z1", "name": "example.com"}]}"#);
        let want = "outcome = \"done\", zone = { name = \"example.com\", id = \"z1\" }";
        text += &case(answers, "the zone is found", "zone", "locate", false, &[found], want);
    }
    let done = "outcome = \"done\"";
    for (title, kind, operation, exchanges) in steps(answers, zone) {
        text += &case(answers, title, kind, operation, true, &exchanges, done);
    }
    let refused = if has_ids { find_zone.to_owned() } else { first_request(answers, zone) };
    let json = (!has_ids && answers.records == Records::Values).then(|| record(answers, Some(300)));
    let refused = exchange(refused, json, 401, r#"{"message": "unknown key"}"#);
    let want = "outcome = \"error\", kind = \"credentials\", error = \"unknown key\"";
    text + &case(
        answers,
        "wrong credentials",
        "bad-credentials",
        if has_ids { "locate" } else { "publish" },
        !has_ids,
        &[refused],
        want,
    )
}

/// The record as the API would have it, as TOML.
fn record(answers: &Answers, ttl: Option<u32>) -> String {
    let (_, _, name) = name(answers.names);
    let ttl = ttl.map(|ttl| format!(", ttl = {ttl}")).unwrap_or_default();
    format!("{{ type = \"TXT\", name = \"{name}\", content = \"abc\"{ttl} }}")
}

/// The first request of publishing.
fn first_request(answers: &Answers, zone: &str) -> String {
    match answers.records {
        Records::Sets => format!("GET /zones/{zone}/records/{}/TXT", name(answers.names).2),
        Records::Ids => format!("GET /zones/{zone}/records"),
        Records::Values => format!("POST /zones/{zone}/records"),
    }
}

type Step = (&'static str, &'static str, &'static str, Vec<Exchange>);

/// Publishing and removing: title, kind, operation, exchanges.
fn steps(answers: &Answers, zone: &str) -> Vec<Step> {
    let (_, _, name) = name(answers.names);
    let create = || exchange(format!("POST /zones/{zone}/records"), Some(record(answers, Some(300))), 201, r#"{"id": "r2"}"#);
    match answers.records {
        Records::Ids => {
            let listed = |entries: &[(&str, &str)]| {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(id, value)| format!(r#"{{"id": "{id}", "type": "TXT", "name": "{name}", "content": "{value}"}}"#))
                    .collect();
                exchange(format!("GET /zones/{zone}/records"), None, 200, format!(r#"{{"records": [{}]}}"#, entries.join(", ")))
            };
            let delete = exchange(format!("DELETE /zones/{zone}/records/r2"), None, 204, "");
            vec![
                ("a first value", "create", "publish", vec![listed(&[]), create()]),
                ("a second value beside another's", "second-value", "publish", vec![listed(&[("r1", "other")]), create()]),
                (
                    "our value goes, the other stays",
                    "delete",
                    "withdraw",
                    vec![listed(&[("r1", "other"), ("r2", "abc")]), delete],
                ),
                ("what is not there needs no removal", "not-found", "withdraw", vec![listed(&[("r1", "other")])]),
            ]
        }
        Records::Values => {
            let delete = |status, reply: &str| {
                exchange(format!("DELETE /zones/{zone}/records"), Some(record(answers, None)), status, reply)
            };
            vec![
                ("a first value", "create", "publish", vec![create()]),
                ("a second value beside another's", "second-value", "publish", vec![create()]),
                ("our value goes, the other stays", "delete", "withdraw", vec![delete(204, "")]),
                ("what is not there needs no removal", "not-found", "withdraw", vec![delete(404, r#"{"message": "not there"}"#)]),
            ]
        }
        Records::Sets => {
            let path = format!("/zones/{zone}/records/{name}/TXT");
            let read =
                |values: &str| exchange(format!("GET {path}"), None, 200, format!(r#"{{"ttl": 300, "values": [{values}]}}"#));
            let nothing = || exchange(format!("GET {path}"), None, 404, r#"{"message": "no such set"}"#);
            let write =
                |values: &str| exchange(format!("PUT {path}"), Some(format!("{{ ttl = 300, values = [{values}] }}")), 200, "{}");
            let clear = exchange(format!("DELETE {path}"), None, 204, "");
            vec![
                ("a first value", "create", "publish", vec![nothing(), write("\"abc\"")]),
                (
                    "a second value beside another's",
                    "second-value",
                    "publish",
                    vec![read("\"other\""), write("\"other\", \"abc\"")],
                ),
                ("our value goes, the other stays", "delete", "withdraw", vec![read("\"other\", \"abc\""), write("\"other\"")]),
                ("the last value goes", "delete", "withdraw", vec![read("\"abc\""), clear]),
                ("what is not there needs no removal", "not-found", "withdraw", vec![nothing()]),
            ]
        }
    }
}

/// One case; a login comes first where there is one, and takes the place of what is refused.
fn case(
    answers: &Answers,
    title: &str,
    kind: &str,
    operation: &str,
    has_zone: bool,
    exchanges: &[Exchange],
    want: &str,
) -> String {
    let credentials: Vec<String> = credentials(answers.auth).iter().map(|name| format!("{name} = \"example-{name}\"")).collect();
    let zone = match (has_zone, answers.zones) {
        (false, _) => "",
        (true, Zones::Given) => ", zone = { name = \"example.com\" }",
        (true, _) => ", zone = { name = \"example.com\", id = \"z1\" }",
    };
    let mut text = format!(
        "
[[case]]
name = \"{title}\"
kind = \"{kind}\"
do = \"{operation}\"
origin = \"derived\"
given = {{ fqdn = \"_dv.example.com\", value = \"abc\", credentials = {{ {} }}{zone} }}
want = {{ {want} }}
",
        credentials.join(", ")
    );
    if answers.auth == Auth::Login {
        let refused = exchanges.iter().find(|exchange| exchange.status == 401);
        let (status, reply) = refused.map_or((200, r#"{"token": "example-session"}"#), |it| (it.status, it.reply.as_str()));
        let json = "{ username = \"example-username\", password = \"example-password\" }";
        text += &exchange_text("POST /login", None, Some(json), status, reply);
        if refused.is_some() {
            return text;
        }
    }
    let (header, query) = proof_of_identity(answers);
    for Exchange { request, json, status, reply } in exchanges {
        let request = match &query {
            Some(query) => format!("{request}{}{query}", if request.contains('?') { '&' } else { '?' }),
            None => request.clone(),
        };
        text += &exchange_text(&request, header.as_deref(), json.as_deref(), *status, reply);
    }
    text
}

/// The header (as TOML) and the parameter that the examples' requests have.
fn proof_of_identity(answers: &Answers) -> (Option<String>, Option<String>) {
    let header = |name: &str, value: &str| Some(format!("{{ {} = {} }}", quoted(name), quoted(value)));
    match answers.auth {
        Auth::Bearer => (header("Authorization", "Bearer example-api_token"), None),
        Auth::Header => (header(&answers.auth_name, "example-api_key"), None),
        Auth::Basic => {
            let pair = base64::engine::general_purpose::STANDARD.encode("example-username:example-password");
            (header("Authorization", &format!("Basic {pair}")), None)
        }
        Auth::Query => (None, Some(format!("{}=example-api_key", answers.auth_name))),
        Auth::Login => (header("Authorization", "Bearer example-session"), None),
    }
}

fn exchange_text(request: &str, headers: Option<&str>, json: Option<&str>, status: u16, reply: &str) -> String {
    let optional = |key: &str, value: Option<&str>| value.map(|value| format!("{key} = {value}\n")).unwrap_or_default();
    let (headers, json) = (optional("headers", headers), optional("json", json));
    format!("\n[[case.exchange]]\nrequest = \"{request}\"\n{headers}{json}status = {status}\nreply = '{reply}'\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::manifest::{Manifest, replay};

    #[tokio::test]
    async fn every_draft_loads_and_replays() {
        let mut count = 0;
        for auth in Auth::value_variants() {
            for zones in Zones::value_variants() {
                for records in Records::value_variants() {
                    for names in Names::value_variants() {
                        let answers = Answers {
                            id: "mine".to_owned(),
                            title: "Mine, \"quoted\"".to_owned(),
                            base_url: "https://api.mine.example/v1".to_owned(),
                            auth: *auth,
                            auth_name: "X-Key".to_owned(),
                            zones: *zones,
                            records: *records,
                            names: *names,
                        };
                        let draft = draft(&answers);
                        let manifest = Manifest::parse(&draft.manifest, "mine.toml", false)
                            .unwrap_or_else(|error| panic!("{answers:?}: {error}\n{}", draft.manifest));
                        let outcomes = replay(&manifest, &draft.examples, "mine.examples.toml").await.unwrap();
                        for outcome in &outcomes {
                            assert_eq!(outcome.failure, None, "{answers:?} {}\n{}", outcome.name, draft.examples);
                        }
                        for kind in ["create", "second-value", "delete", "not-found", "bad-credentials"] {
                            assert!(outcomes.iter().any(|outcome| outcome.kind == kind), "{answers:?}: {kind}");
                        }
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(count, 5 * 3 * 3 * 3);
    }
}
