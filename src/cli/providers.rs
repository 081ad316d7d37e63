//! `providers list|show|new|replay`: what there is, what it needs, and a start for one's own.

use std::path::Path;

use super::{command::ProvidersAction, exit::Exit, printer::Printer, session::Session, table};
use crate::{
    config::show_duration,
    error::{Error, ErrorKind, Result},
    provider::{
        Capabilities,
        description::{CredentialHelp, Description, Proof},
        manifest::{self, Manifest},
        registry::Registry,
        settings::variable,
    },
};

/// Does what was asked for.
pub(super) fn run(session: &Session, action: &ProvidersAction) -> Result<Exit> {
    let printer = session.printer();
    match action {
        ProvidersAction::List => list(printer, &session.registry()?),
        ProvidersAction::Show { id } => {
            let registry = session.registry()?;
            let description = registry.describe(id)?;
            let aliases = registry.aliases(&description.id);
            if printer.is_json() { printer.json(&json(&description)) } else { show(printer, &description, &aliases) }
        }
        ProvidersAction::New { id } => printer.result(&start(id)?),
        ProvidersAction::Replay { manifest, examples } => {
            return Session::block_on(replay(printer, manifest, examples.as_deref()));
        }
    }
    Ok(Exit::DONE)
}

fn list(printer: &Printer, registry: &Registry) {
    let all = registry.list();
    if printer.is_json() {
        for description in &all {
            printer.json(&json(description));
        }
        return;
    }
    let mut rows = table::new(&["ID", "TITLE", "TYPES", "ORIGIN"]);
    for description in &all {
        let experimental = if description.capabilities.experimental { " (experimental)" } else { "" };
        let title = format!("{}{experimental}", description.title);
        rows.add_row([description.id.clone(), title, types(&description.capabilities), description.origin.clone()]);
    }
    table::show(printer, &rows);
}

fn types(capabilities: &Capabilities) -> String {
    capabilities.record_types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn show(printer: &Printer, description: &Description, aliases: &[&str]) {
    let Description { id, title, docs, origin, credentials, proof, capabilities } = description;
    printer.result(&format!("{title} ({id})"));
    if !aliases.is_empty() {
        printer.result(&format!("  also known as {}", aliases.join(", ")));
    }
    printer.result(&format!("  {origin}"));
    if let Some(docs) = docs {
        printer.result(&format!("  {docs}"));
    }
    printer.result("");
    if credentials.is_empty() {
        printer.result("It needs no settings.");
    } else {
        printer.result(
            "Settings (each variable also with _FILE behind it, for a file that holds the value; or the key in the config):",
        );
        for credential in credentials {
            show_credential(printer, id, credential);
        }
    }
    printer.result("");
    for line in abilities(capabilities, *proof) {
        printer.result(&line);
    }
}

fn show_credential(printer: &Printer, id: &str, credential: &CredentialHelp) {
    let CredentialHelp { name, secret, optional, help, familiar } = credential;
    let kind = match (secret, optional) {
        (true, true) => " (secret, optional)",
        (true, false) => " (secret)",
        (false, true) => " (optional)",
        (false, false) => "",
    };
    printer.result(&format!("  {name}{kind}"));
    if let Some(help) = help {
        printer.result(&format!("      {help}"));
    }
    let mut variables = vec![variable(id, name)];
    variables.extend(familiar.iter().cloned());
    printer.result(&format!("      {}", variables.join(", ")));
}

fn abilities(capabilities: &Capabilities, proof: Option<Proof>) -> Vec<String> {
    let mut lines = vec![format!("Writes {}; TTL at least {} s.", types(capabilities), capabilities.least_ttl)];
    if let Some(delay) = capabilities.usual_delay {
        lines.push(format!("Changes usually reach all name servers within {}.", show_duration(delay)));
    }
    if !capabilities.name_servers.is_empty() {
        lines.push(format!("Its name servers end in {}.", capabilities.name_servers.join(", ")));
    }
    let limits = capabilities.limits();
    if !limits.is_empty() {
        lines.push(format!("Limits: {}.", limits.join("; ")));
    }
    match proof {
        Some(Proof::Derived) => lines.push("Experimental: nothing above derived examples has shown that it works.".to_owned()),
        Some(proof) => lines.push(format!("Proof: its best example is of the origin {proof}.")),
        None => {}
    }
    lines
}

fn json(description: &Description) -> serde_json::Value {
    let credentials: Vec<_> = description
        .credentials
        .iter()
        .map(|credential| {
            let mut variables = vec![variable(&description.id, &credential.name)];
            variables.extend(credential.familiar.iter().cloned());
            serde_json::json!({
                "name": credential.name,
                "secret": credential.secret,
                "optional": credential.optional,
                "help": credential.help,
                "variables": variables,
            })
        })
        .collect();
    serde_json::json!({
        "id": description.id,
        "title": description.title,
        "docs": description.docs,
        "origin": description.origin,
        "types": description.capabilities.record_types,
        "proof": description.proof.map(Proof::as_str),
        "least_ttl_seconds": description.capabilities.least_ttl,
        "usual_delay_seconds": description.capabilities.usual_delay.map(|delay| delay.as_secs()),
        "name_servers": description.capabilities.name_servers,
        "limits": description.capabilities.limits(),
        "experimental": description.capabilities.experimental,
        "credentials": credentials,
    })
}

/// A manifest to start from. It loads as it is, which a test makes sure of.
fn start(id: &str) -> Result<String> {
    let plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !plain {
        return Err(
            Error::usage(format!("`{id}` cannot be the id of a provider")).with_hint("use lower-case letters, digits and `-`")
        );
    }
    Ok(include_str!("manifest-start.toml").replace("PROVIDER-ID", id).trim_end().to_owned())
}

/// Replays the examples of a manifest: requests and replies are compared, nothing is sent.
async fn replay(printer: &Printer, path: &Path, examples: Option<&Path>) -> Result<Exit> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| Error::config(format!("`{}` cannot be read: {error}", path.display())))
    };
    let beside = path.with_extension("examples.toml");
    let origin = path.display().to_string();
    let (manifest, examples) = match builtin(&origin) {
        Some(text) => {
            let examples = examples.ok_or_else(|| {
                Error::usage(format!("the examples of `{origin}` are not part of the program"))
                    .with_hint(format!("name their file: `--examples tests/providers/{origin}.toml`"))
            })?;
            (Manifest::parse(text, &origin, true)?, examples)
        }
        None => (Manifest::parse(&read(path)?, &origin, false)?, examples.unwrap_or(&beside)),
    };
    let outcomes = manifest::replay(&manifest, &read(examples)?, &examples.display().to_string()).await?;
    let mut failed = 0;
    for outcome in &outcomes {
        match &outcome.failure {
            None => printer.result(&format!("ok      {}", outcome.name)),
            Some(why) => {
                failed += 1;
                printer.result(&format!("FAILED  {}: {why}", outcome.name));
            }
        }
    }
    printer.result(&format!("{} examples, {failed} failed", outcomes.len()));
    Ok(if failed == 0 { Exit::DONE } else { Exit::failure(ErrorKind::Config) })
}

/// The text of the built-in manifest with this id.
fn builtin(id: &str) -> Option<&'static str> {
    manifest::builtin().iter().find(|(file, _)| *file == id).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builtin_manifest_is_found_by_its_id() {
        assert!(builtin("cloudflare").is_some_and(|text| text.contains("cloudflare")));
        assert!(builtin("mine").is_none());
    }

    #[test]
    fn the_manifest_of_the_readme_loads() {
        let readme = include_str!("../../README.md");
        let (_, block) = readme.split_once("```toml\n# mine.toml").unwrap();
        let (text, _) = block.split_once("```").unwrap();
        assert_eq!(Manifest::parse(&format!("#{text}"), "mine.toml", false).unwrap().id(), "mine");
    }

    #[test]
    fn the_start_of_a_manifest_loads() {
        let text = start("mine").unwrap();
        let manifest = Manifest::parse(&text, "mine.toml", false).unwrap();
        assert_eq!(manifest.id(), "mine");
        start("Mine/..").unwrap_err();
    }
}
