//! `import`: what lego, certbot or acme.sh keep, as a config for this program. Their files are read and never touched.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{parse_x509_certificate, public_key::PublicKey};

use super::{exit::Exit, session::Session};
use crate::{
    delivery,
    error::{Error, Result},
    language::t,
    name::Name,
    order::acme::{self, Ca, KeyType},
    secret::Secret,
};

mod acme_sh;
mod certbot;
mod config;
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

/// A provider as the other tool calls it.
#[derive(Clone, Debug, PartialEq)]
struct Foreign {
    id: String,
    /// Its settings, by the names that they have there.
    settings: Vec<(String, String)>,
    /// The bridge to the other tool's own one, where this program has none of that name: its id, and the tool's folder.
    bridge: Option<(String, PathBuf)>,
}

/// How the other tool proves a name.
#[derive(Clone, Debug, PartialEq)]
enum Way {
    /// By a record.
    Provider(Foreign),
    /// By a file below this folder.
    Webroot(PathBuf),
    /// It is not written down, or is none that this program has; the reader has told the latter.
    Unknown,
}

/// A certificate of the other tool.
#[derive(Debug, PartialEq)]
struct Found {
    /// Its names, each with how it is proven.
    names: Vec<(Name, Way)>,
    /// The CA, as `--ca` takes it.
    ca: Option<String>,
    key_type: Option<&'static str>,
}

impl Found {
    fn shown(&self) -> String {
        self.names.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// An account of the other tool at a CA.
#[derive(Debug)]
struct Account {
    /// The CA, as `--ca` takes it.
    ca: String,
    /// Where its key is.
    path: PathBuf,
    /// Where it is at the CA; `None` where that is not written down.
    url: Option<String>,
}

/// What was read, and what could not be taken along.
#[derive(Debug, Default)]
struct Reading {
    found: Vec<Found>,
    accounts: Vec<Account>,
    /// Settings of providers, where it is not written down which of them they are for.
    settings: Vec<(String, String)>,
    left: Vec<String>,
}

/// Reads the other tool's files and writes a config, and keeps its accounts.
pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<Exit> {
    let home = || session.environment().home().unwrap_or_default();
    let options = &session.chosen().acme;
    let stated = options.ca.as_deref().map(Ca::parse).transpose()?;
    let tool = arguments.tool.to_possible_value();
    let tool = tool.as_ref().map_or("lego", |tool| tool.get_name());
    let hint = t!("name the tool's folder: `dv-verify import %{tool} PATH`", tool);
    let given = |default: PathBuf| arguments.path.clone().unwrap_or(default);
    let (path, mut reading) = match arguments.tool {
        Tool::Lego => with(given(".lego".into()), &hint, |path| lego::read(path, stated.as_ref()))?,
        Tool::Certbot => with(given("/etc/letsencrypt".into()), &hint, certbot::read)?,
        Tool::AcmeSh => with(given(home().join(".acme.sh")), &hint, acme_sh::read)?,
    };
    if reading.found.is_empty() {
        for left in &reading.left {
            session.printer().warning(&t!("not taken along: %{left}", left), None);
        }
        return Err(Error::config(t!("there is no certificate in `%{path}`", path = path.display())).with_hint(hint));
    }
    let count = reading.found.len();
    let text = config::text(&session.registry()?, &path, &mut reading);
    write(&arguments.to, &text)?;
    let printer = session.printer();
    for note in keep_accounts(&session.chosen().acme_folder()?, &mut reading, options.ca_file.as_ref()) {
        printer.note(&note);
    }
    for left in &reading.left {
        printer.warning(&t!("not taken along: %{left}", left), None);
    }
    printer.note(&t!(
        "%{count} certificates; read `%{to}`, then `dv-verify config check --config %{to}` and `dv-verify apply --config %{to}`",
        count,
        to = arguments.to.display()
    ));
    printer.result(&arguments.to.display().to_string());
    Ok(Exit::DONE)
}

fn with(path: PathBuf, hint: &str, read: impl FnOnce(&Path) -> Reading) -> Result<(PathBuf, Reading)> {
    if !path.is_dir() {
        return Err(Error::config(t!("there is no folder `%{path}`", path = path.display())).with_hint(hint));
    }
    // The config is to be read from anywhere.
    let path = std::path::absolute(&path).unwrap_or(path);
    let reading = read(&path);
    Ok((path, reading))
}

/// Keeps the accounts at the CAs of the certificates as our own, where they are of a kind that can be, and says which.
fn keep_accounts(folder: &Path, reading: &mut Reading, ca_file: Option<&PathBuf>) -> Vec<String> {
    let (mut notes, mut kept) = (Vec::new(), Vec::new());
    for account in &reading.accounts {
        let shown = t!("the account at %{ca} (`%{path}`)", ca = account.ca, path = account.path.display());
        match keep_account(folder, account, ca_file) {
            Ok(true) => {
                notes.push(t!("taken along: %{shown}", shown));
                kept.push(account.ca.clone());
            }
            Ok(false) => {
                reading.left.push(t!("%{shown}: the state folder has one there already", shown));
                kept.push(account.ca.clone());
            }
            Err(error) => reading.left.push(format!("{shown}: {error}")),
        }
    }
    if reading.found.iter().any(|found| found.ca.as_ref().is_none_or(|ca| !kept.contains(ca))) {
        reading.left.push(t!("the account at the CA; the first run registers one of its own").to_owned());
    }
    notes
}

fn keep_account(folder: &Path, account: &Account, ca_file: Option<&PathBuf>) -> Result<bool> {
    let url = account.url.clone().ok_or_else(|| Error::config(t!("where it is at the CA is not written down")))?;
    let key = fs::read_to_string(&account.path).map_err(|error| Error::config(t!("cannot be read: %{error}", error)))?;
    let foreign = acme::Foreign { ca: Ca::parse(&account.ca)?, url, key: Secret::new(key) };
    acme::adopt(folder, &foreign, ca_file.cloned())
}

/// The config may hold secrets: it is for its owner only, and never replaces another.
fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::config(t!("`%{path}` cannot be made: %{error}", path = path.display(), error))
            .with_hint(t!("name another file with `--to`"))
    };
    let mut options = fs::File::options();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// The names of a certificate file.
fn names_of(path: &Path) -> Option<Vec<Name>> {
    delivery::names_in(&fs::read_to_string(path).ok()?)
}

/// The word of `--key-type` for the key of this certificate; `None` for the default.
///
/// # Errors
/// What kind it is, where there is no word for it.
fn key_type_of(path: &Path) -> Result<Option<&'static str>, String> {
    let unknown = || t!("of a kind that is not known").to_owned();
    let der = CertificateDer::from_pem_file(path).map_err(|_| unknown())?;
    let (_, certificate) = parse_x509_certificate(&der).map_err(|_| unknown())?;
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => key_type(&format!("rsa{}", key.key_size())),
        Ok(PublicKey::EC(point)) => key_type(&format!("p{}", point.key_size())),
        _ => Err(unknown()),
    }
}

/// A word of `--key-type`; `None` for the default.
///
/// # Errors
/// The word, where it is none.
fn key_type(word: &str) -> Result<Option<&'static str>, String> {
    let known = KeyType::WORDS.into_iter().find(|known| *known == word).ok_or_else(|| word.to_owned())?;
    Ok(Some(known).filter(|known| KeyType::of_word(known) != Some(KeyType::default())))
}

/// What is said of a key of a kind that is not made here.
fn other_key(path: &Path, kind: &str) -> String {
    t!("`%{path}`: its key of the kind `%{kind}`; the next one is on P-256", path = path.display(), kind)
}

/// What is said of a way to prove names that this program does not have.
fn other_way(path: &Path, way: &str) -> String {
    t!(
        "`%{path}`: its names are proven by `%{way}`; say how with `--webroot`, `--provider` or a route",
        path = path.display(),
        way
    )
}

/// The files of a folder with this ending, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
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
