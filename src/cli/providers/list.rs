//! `providers list` and `providers show`.

use crate::{
    cli::{printer::Printer, table},
    config::show_duration,
    error::{Error, Result},
    language::{message, t},
    provider::{
        Capabilities,
        description::{Ambient, CredentialHelp, Description, Proof},
        registry::Registry,
        settings::variable,
    },
};

/// Lists the providers; with a term, those that have it in id, other names, title, variables or name servers.
///
/// # Errors
/// `ErrorKind::Config` where no provider has the term, with the nearest one.
pub(super) fn list(printer: &Printer, registry: &Registry, term: Option<&str>) -> Result<()> {
    let all = registry.list();
    let found: Vec<&Description> = match term.map(str::to_lowercase) {
        Some(term) => all.iter().filter(|description| has(registry, description, &term)).collect(),
        None => all.iter().collect(),
    };
    if let Some(term) = term.filter(|_| found.is_empty()) {
        // The advice of a wrong id fits here too.
        let advice = registry.describe(term).err().and_then(|error| error.hint().map(str::to_owned));
        let error = Error::config(t!("no provider has `%{term}` in its names, variables or name servers", term));
        return Err(advice.into_iter().fold(error, Error::with_hint));
    }
    if printer.is_json() {
        for description in found {
            printer.json(&json(registry, description));
        }
        return Ok(());
    }
    let mut rows = table::new(&[message!("ID"), message!("TITLE"), message!("TYPES"), message!("PROOF"), message!("ORIGIN")]);
    for description in found {
        let proof = match description.proof {
            Some(Proof::Derived) => "experimental",
            Some(proof) => proof.as_str(),
            None => "-",
        };
        let Description { id, title, origin, capabilities, .. } = description;
        rows.add_row([id.as_str(), title, &types(capabilities), proof, origin]);
    }
    table::show(printer, &rows);
    Ok(())
}

/// Whether a provider is meant by `term`, which is in small letters.
fn has(registry: &Registry, description: &Description, term: &str) -> bool {
    let is_in = |text: &str| text.to_lowercase().contains(term);
    let variables = |credential: &CredentialHelp| {
        is_in(&variable(&description.id, &credential.name)) || credential.familiar.iter().any(|it| is_in(it))
    };
    is_in(&description.id)
        || is_in(&description.title)
        || registry.aliases(&description.id).into_iter().any(is_in)
        || description.credentials.iter().any(variables)
        || description.capabilities.name_servers.iter().any(|suffix| is_in(suffix))
}

fn types(capabilities: &Capabilities) -> String {
    capabilities.record_types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Shows what a provider needs and can do.
///
/// # Errors
/// As [`Registry::describe`].
pub(super) fn show(printer: &Printer, registry: &Registry, id: &str) -> Result<()> {
    let description = registry.describe(id)?;
    if printer.is_json() {
        printer.json(&json(registry, &description));
        return Ok(());
    }
    let aliases = registry.aliases(&description.id);
    let Description { id, title, docs, origin, credentials, ambient, proof, capabilities } = &description;
    printer.result(&format!("{title} ({id})"));
    if !aliases.is_empty() {
        printer.result(&t!("  also known as %{aliases}", aliases = aliases.join(", ")));
    }
    printer.result(&format!("  {origin}"));
    if let Some(docs) = docs {
        printer.result(&format!("  {docs}"));
    }
    printer.result("");
    if credentials.is_empty() {
        printer.result(t!("It needs no settings."));
    } else {
        printer.result(t!(
            "Settings (each variable also with _FILE behind it, for a file that holds the value; or the key in the config):"
        ));
        for credential in credentials {
            show_credential(printer, id, credential);
        }
    }
    if let Some(ambient) = ambient {
        printer.result(&t!("Where none of its credentials is set, it takes %{which}.", which = ambient.describe()));
    }
    printer.result("");
    for line in abilities(capabilities, *proof) {
        printer.result(&line);
    }
    Ok(())
}

fn show_credential(printer: &Printer, id: &str, credential: &CredentialHelp) {
    let CredentialHelp { name, secret, optional, help, familiar } = credential;
    let kind = match (secret, optional) {
        (true, true) => t!(" (secret, optional)"),
        (true, false) => t!(" (secret)"),
        (false, true) => t!(" (optional)"),
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
    let mut lines = vec![t!(
        "Writes %{capabilities}; TTL at least %{least_ttl} s.",
        capabilities = types(capabilities),
        least_ttl = capabilities.least_ttl
    )];
    if let Some(delay) = capabilities.usual_delay {
        lines.push(t!("Changes usually reach all name servers within %{delay}.", delay = show_duration(delay)));
    }
    if !capabilities.name_servers.is_empty() {
        lines.push(t!("Its name servers end in %{name_servers}.", name_servers = capabilities.name_servers.join(", ")));
    }
    let limits = capabilities.limits();
    if !limits.is_empty() {
        lines.push(t!("Limits: %{limits}.", limits = limits.join(t!("; "))));
    }
    match proof {
        Some(Proof::Derived) => {
            lines.push(t!("Experimental: nothing above derived examples has shown that it works.").to_owned())
        }
        Some(proof) => lines.push(t!("Proof: its best example is of the origin %{proof}.", proof)),
        None => {}
    }
    lines
}

fn json(registry: &Registry, description: &Description) -> serde_json::Value {
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
        "aliases": registry.aliases(&description.id),
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
        "ambient": description.ambient.map(Ambient::describe),
    })
}
