//! The examples of a draft: what its requests are, and replies as the answers about the API suggest.

use base64::Engine as _;

use super::{Answers, Auth, Records, Zones, credentials, name, quoted};

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

pub(super) fn examples(answers: &Answers) -> String {
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
