//! `import`: what lego, certbot or acme.sh keep, as a config for this program. Their files are read and never touched.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{exit::Exit, session::Session};
use crate::{
    delivery,
    error::{Error, Result},
    language::t,
    name::Name,
    order::acme::Ca,
    provider::{description::Description, registry::Registry},
};

mod acme_sh;
mod certbot;
mod lego;

/// Whose files to read.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tool {
    /// lego: the folder of `--path`.
    Lego,
    /// certbot: its configuration folder.
    Certbot,
    /// acme.sh: its home folder.
    #[value(name = "acme.sh")]
    AcmeSh,
}

/// What to import.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The tool that the certificates come from.
    #[arg(value_enum)]
    tool: Tool,
    /// Its folder [default: .lego, /etc/letsencrypt or ~/.acme.sh].
    path: Option<PathBuf>,
    /// The config file to write, which must not be there yet.
    #[arg(long, value_name = "FILE", default_value = "dv-verify.toml")]
    to: PathBuf,
}

/// A provider as the other tool calls it, with its settings by the names that they have there.
type Foreign = (String, Vec<(String, String)>);

/// A certificate of the other tool.
#[derive(Debug, Default, PartialEq)]
struct Found {
    names: Vec<Name>,
    /// The URL of the CA's directory, or the beginning of it.
    ca: Option<String>,
    key_type: Option<&'static str>,
    /// The provider as the other tool calls it, with its settings by the names that they have there.
    provider: Option<Foreign>,
}

/// What was read, and what could not be taken along.
#[derive(Debug, Default)]
struct Reading {
    found: Vec<Found>,
    left: Vec<String>,
}

/// Reads the other tool's files and writes a config.
pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<Exit> {
    let home = || session.environment().home().unwrap_or_default();
    let (path, mut reading) = match arguments.tool {
        Tool::Lego => with(arguments.path.clone().unwrap_or_else(|| ".lego".into()), lego::read)?,
        Tool::Certbot => with(arguments.path.clone().unwrap_or_else(|| "/etc/letsencrypt".into()), certbot::read)?,
        Tool::AcmeSh => with(arguments.path.clone().unwrap_or_else(|| home().join(".acme.sh")), acme_sh::read)?,
    };
    if reading.found.is_empty() {
        return Err(Error::config(t!("there is no certificate in `%{path}`", path = path.display()))
            .with_hint(t!("name the tool's folder: `dv-verify import lego PATH`")));
    }
    let count = reading.found.len();
    let text = config(&session.registry()?, &path, &mut reading);
    write(&arguments.to, &text)?;
    let printer = session.printer();
    for left in &reading.left {
        printer.warning(&t!("not taken along: %{left}", left), None);
    }
    printer.warning(t!("not taken along: the account at the CA; the first run registers one of its own"), None);
    printer.note(&t!(
        "%{count} certificates; read `%{to}`, then `dv-verify config check --config %{to}` and `dv-verify apply --config %{to}`",
        count,
        to = arguments.to.display()
    ));
    printer.result(&arguments.to.display().to_string());
    Ok(Exit::DONE)
}

fn with(path: PathBuf, read: impl FnOnce(&Path) -> Reading) -> Result<(PathBuf, Reading)> {
    if !path.is_dir() {
        return Err(
            Error::config(t!("there is no folder `%{path}`", path = path.display())).with_hint(t!("name the tool's folder"))
        );
    }
    let reading = read(&path);
    Ok((path, reading))
}

/// The config. Each provider with its settings is one instance; what it writes follows from the certificates.
fn config(registry: &Registry, path: &Path, reading: &mut Reading) -> String {
    let mut text = format!("# Made by `dv-verify import` from {}.\n", path.display());
    let mut instances: Vec<(String, Foreign)> = Vec::new();
    let (mut routes, mut certificates, mut left) = (String::new(), String::new(), Vec::new());
    for found in &reading.found {
        let _ = writeln!(certificates, "\n[[certificate]]\nnames = {}", list(&found.names));
        match found.ca.as_deref().map(Ca::parse) {
            Some(Ok(ca)) => _ = writeln!(certificates, "ca = {}", quoted(&ca.name())),
            Some(Err(error)) => left.push(t!("the CA of %{names}: %{error}", names = list(&found.names), error)),
            None => left.push(t!("the CA of %{names}: it is not written down; set `ca`", names = list(&found.names))),
        }
        if let Some(key_type) = found.key_type {
            let _ = writeln!(certificates, "key_type = {}", quoted(key_type));
        }
        let Some(provider) = &found.provider else {
            left.push(t!("who writes the records of %{names}: say so with `--provider`, or a route", names = list(&found.names)));
            continue;
        };
        let Ok(description) = registry.describe(&provider.0) else {
            left.push(t!(
                "the provider `%{provider}` of %{names}: this program has none of that name",
                provider = provider.0,
                names = list(&found.names)
            ));
            continue;
        };
        let known = instances.iter().find(|(_, known)| known == provider).map(|(name, _)| name.clone());
        let instance = known.unwrap_or_else(|| {
            let same = instances.iter().filter(|(_, known)| known.0 == provider.0).count();
            let number = if same == 0 { String::new() } else { format!("-{}", same + 1) };
            let name = format!("imported-{}{number}", description.id);
            instances.push((name.clone(), provider.clone()));
            text.push_str(&instance_text(&name, &description, &provider.1, &mut left));
            name
        });
        let mut bases: Vec<Name> = found.names.iter().map(Name::base).collect();
        bases.dedup();
        for zone in bases {
            let route = format!("\n[[route]]\nzone = {}\n", quoted(zone.as_str()));
            if !routes.contains(&route) {
                let _ = writeln!(routes, "{route}provider = {}", quoted(&instance));
            }
        }
    }
    reading.left.extend(left);
    text + &routes + &certificates
}

fn instance_text(name: &str, description: &Description, settings: &[(String, String)], left: &mut Vec<String>) -> String {
    let mut text = format!("\n[provider.{name}]\nuse = {}\n", quoted(&description.id));
    for (key, value) in settings {
        let credential = description.credentials.iter().find(|credential| {
            credential.name.eq_ignore_ascii_case(key)
                || credential.familiar.iter().any(|familiar| familiar.eq_ignore_ascii_case(key))
        });
        match credential {
            Some(credential) if !text.contains(&format!("\n{} = ", credential.name)) => {
                let _ = writeln!(text, "{} = {}", credential.name, quoted(value));
            }
            Some(_) => {}
            None => left.push(t!(
                "the setting `%{key}` of `%{id}`: `dv-verify providers show %{id}` lists what it takes",
                key,
                id = description.id
            )),
        }
    }
    text
}

fn list(names: &[Name]) -> String {
    format!("[{}]", names.iter().map(|name| quoted(name.as_str())).collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The config may hold secrets: it is for its owner only, and never replaces another.
fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::config(t!("`%{path}` cannot be made: %{error}", path = path.display(), error))
            .with_hint(t!("name another file with `--to`"))
    };
    let mut options = std::fs::File::options();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// The names of a certificate file.
fn names_of(path: &Path) -> Option<Vec<Name>> {
    delivery::names_in(&std::fs::read_to_string(path).ok()?)
}

/// The files of a folder with this ending, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests;
