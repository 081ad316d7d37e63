//! A manifest to start from, and its examples, as text: from a few answers about the API.

use clap::ValueEnum;

use crate::provider::settings::variable;

mod examples;

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
    Draft { manifest: manifest(answers), examples: examples::examples(answers) }
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
