//! `docs/providers.md`, made from the manifests, the providers in Rust, and the list of what is left out.

use std::{fmt::Write as _, fs};

use serde::Deserialize;

use super::{
    super::{Manifest, builtin_aliases},
    conformance::{files, folder},
};
use crate::provider::{
    description::{CredentialHelp, Description, Proof},
    registry::Registry,
    settings::variable,
};

/// With this variable, the test writes the page instead of comparing it.
const WRITE: &str = "DV_TEST_WRITE";

const HEAD: &str = "\
# DNS providers

Made by a test from the manifests (`providers/`), the providers in Rust and `docs/providers-left-out.toml`; the last section says how. What a provider
needs, with help for each setting: `dv-verify providers show ID`. One that is not here is a file of twenty lines (own-provider.md),
a program (`exec`), a webhook (`httpreq`), a script of acme.sh or a provider of lexicon (bridges.md).

**Proof** is the origin of the best example that a manifest reproduces; all of them are played by the tests, without a network:

- *real server*: exchanges that were recorded with the real service, or the tests talk to the real program;
- *specification*: replies made from the vendor's machine-readable specification or reference;
- *sample*: replies that the vendor prints;
- *derived* ⚠: nothing of the above; the manifest follows what other tools' sources or prose say. It is **experimental**, and a run that uses it says so.

`dv-verify test --provider ID --zone ZONE` shows in a minute whether one works with your account.

";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftOutFile {
    left_out: Vec<LeftOut>,
}

/// A service that has no provider here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftOut {
    id: String,
    title: String,
    reason: String,
    source: Option<String>,
}

/// One provider with its other names.
struct Row {
    description: Description,
    aliases: Vec<String>,
}

#[test]
fn the_page_of_providers_is_current() {
    let page = page();
    let path = folder("docs").join("providers.md");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/providers.md is stale; write it with {WRITE}=1 (the end of the page says how)");
}

#[test]
fn nothing_is_both_there_and_left_out() {
    let rows = rows();
    for left_out in left_out() {
        let taken = rows.iter().find(|row| row.description.id == left_out.id || row.aliases.contains(&left_out.id));
        assert!(taken.is_none(), "`{}` is left out in docs/providers-left-out.toml, but it is there", left_out.id);
        assert!(!left_out.reason.is_empty(), "`{}` is left out without a reason", left_out.id);
    }
}

/// Every provider of the project's folder, and those in Rust, by id.
fn rows() -> Vec<Row> {
    let manifests = files("providers").into_iter().map(|(id, text)| Row {
        description: Manifest::parse(&text, &id, true).unwrap().describe(),
        aliases: builtin_aliases(&text),
    });
    let registry = Registry::load(None).unwrap();
    let in_rust = registry.list().into_iter().filter(|description| description.origin == "built-in").map(|description| Row {
        aliases: registry.aliases(&description.id).into_iter().map(str::to_owned).collect(),
        description,
    });
    let mut rows: Vec<Row> = manifests.chain(in_rust).collect();
    rows.sort_by(|a, b| a.description.id.cmp(&b.description.id));
    rows
}

fn left_out() -> Vec<LeftOut> {
    let text = fs::read_to_string(folder("docs").join("providers-left-out.toml")).unwrap();
    let mut all = toml::from_str::<LeftOutFile>(&text).unwrap().left_out;
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

fn page() -> String {
    let rows = rows();
    let count = |proof| rows.iter().filter(|row| row.description.proof == proof).count();
    let mut page = HEAD.to_owned();
    let _ = writeln!(
        page,
        "{} providers: {} shown by a real server, {} by a specification, {} by samples, {} experimental, {} protocols without a vendor.\n",
        rows.len(),
        count(Some(Proof::RealServer)),
        count(Some(Proof::VendorSpecification)),
        count(Some(Proof::VendorSample)),
        count(Some(Proof::Derived)),
        count(None),
    );
    page += "| provider | title | proof | credentials and settings (variables) | what it cannot do |\n|---|---|---|---|---|\n";
    for row in &rows {
        page += &line(row);
    }
    page += "\nSettings in *italics* may be left out. Each variable may also have `_FILE` behind it, for a file that holds the value. Variables of other tools that work too\n";
    page += "stand in brackets.\n\n## Left out\n\n| provider | title | reason |\n|---|---|---|\n";
    for LeftOut { id, title, reason, source } in left_out() {
        let source = source.map(|source| format!(" ([source]({source}))")).unwrap_or_default();
        let _ = writeln!(page, "| {id} | {} | {}{source} |", cell(&title), cell(&reason));
    }
    page += "\n## How this page is made\n\nAfter a change of a manifest, from the folder of the project:\n\n";
    let _ = writeln!(page, "    {WRITE}=1 cargo test --lib the_page_of_providers_is_current");
    page
}

fn line(row: &Row) -> String {
    let Description { id, title, docs, credentials, proof, capabilities, .. } = &row.description;
    let title = docs.as_ref().map_or_else(|| cell(title), |docs| format!("[{}]({docs})", cell(title)));
    let also = if row.aliases.is_empty() { String::new() } else { format!(" ({})", row.aliases.join(", ")) };
    let proof = match proof {
        Some(Proof::RealServer) => "real server",
        Some(Proof::VendorSpecification) => "specification",
        Some(Proof::VendorSample) => "sample",
        Some(Proof::Derived) => "derived ⚠",
        None => "–",
    };
    let credentials: Vec<String> = credentials.iter().map(|credential| setting(id, credential)).collect();
    let credentials = if credentials.is_empty() { "none".to_owned() } else { credentials.join(", ") };
    let limits = capabilities.limits().join("; ");
    format!("| `{id}`{also} | {title} | {proof} | {credentials} | {} |\n", if limits.is_empty() { "–" } else { &limits })
}

fn setting(id: &str, credential: &CredentialHelp) -> String {
    let mark = if credential.optional { "*" } else { "" };
    let others: Vec<String> = credential.familiar.iter().map(|name| format!("`{name}`")).collect();
    let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    format!("{mark}`{}`{mark}{others}", variable(id, &credential.name))
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
