//! DNS scripts of the user's own acme.sh. Its functions come from that installation; nothing of it is part of this program.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use super::{learn, pairs, setting, variables};
use crate::{
    error::{Error, ErrorKind, Result},
    language::{message, say, t},
    nearest::nearest,
    provider::{
        Capabilities, DnsProvider,
        description::Description,
        program::{self, Program, only_txt},
        registry::Registry,
        settings::{Context, Settings},
        told::{Told, Writer},
    },
    record::Record,
    text_file,
};

/// The shell that calls a function of a script.
const SHELL: &str = "/bin/sh";
/// What it runs.
const CALL: &str = include_str!("acme-sh.sh");

/// Why a script cannot write the names of other CAs, as read in acme.sh 3.1.4.
const FIXED_NAME: &str = message!("it writes `_acme-challenge`, whatever name it is given");
/// Why a script cannot remove what it added.
const KEEPS_IDS: &str =
    message!("it keeps ids of records in files of acme.sh, which this program does not write, and removes nothing without them");

/// Why a script is worse than what there is.
const REMOVES_ALL: &str = message!("it removes every TXT value at the name, also those of others");

/// Scripts that cannot work, with the reason and what to use instead.
const REFUSED: [(&str, &str, &str); 9] = [
    ("dns_artfiles", FIXED_NAME, ""),
    ("dns_bh", KEEPS_IDS, ""),
    ("dns_bhosted", KEEPS_IDS, ""),
    ("dns_duckdns", message!("it knows a domain only behind `_acme-challenge.`"), message!("use `--provider duckdns`")),
    ("dns_exoscale", FIXED_NAME, message!("use `--provider exoscale`")),
    ("dns_firestorm", message!("it takes `_acme-challenge.` off the name, and the service puts it in front of every name"), ""),
    ("dns_knot", REMOVES_ALL, message!("use `--provider rfc2136`")),
    ("dns_lexicon", FIXED_NAME, message!("use `--provider lexicon:NAME`")),
    ("dns_nsupdate", REMOVES_ALL, message!("use `--provider rfc2136`")),
];

/// Refuses scripts that are known not to work.
pub(super) fn check(script: &str) -> Result<()> {
    match REFUSED.iter().find(|(name, ..)| *name == script) {
        None => Ok(()),
        Some((_, why, instead)) => {
            let instead =
                if instead.is_empty() { t!("use another provider, `exec`, or a manifest of your own") } else { say(instead) };
            Err(Error::config(t!("provider `acme.sh:%{script}` cannot be used: %{why}", script, why = say(why)))
                .with_hint(instead))
        }
    }
}

pub(super) fn describe(script: &str) -> Description {
    Description {
        id: format!("acme.sh:{script}"),
        title: t!("`%{script}` of your own acme.sh", script),
        docs: Some("https://github.com/acmesh-official/acme.sh/wiki/dnsapi".to_owned()),
        origin: "bridge".to_owned(),
        credentials: vec![
            setting("home", &["DV_ACME_SH_HOME", "LE_WORKING_DIR"], t!("where acme.sh is installed (default ~/.acme.sh)")),
            setting(
                "config_home",
                &["DV_ACME_SH_CONFIG_HOME", "LE_CONFIG_HOME"],
                t!(
                    "where its account.conf is, if elsewhere; the script's own variables (its text names them) work too, as in acme.sh"
                ),
            ),
            setting("timeout", &[], t!("how long a call may take, such as `90s` or `5m` (default 2m)")),
        ],
        ambient: None,
        proof: None,
        capabilities: Capabilities::default(),
    }
}

pub(super) fn open(script: &str, settings: &Settings, context: &Context, registry: &Registry) -> Result<Arc<dyn DnsProvider>> {
    let folder = |name: &str, familiar: [&str; 2]| -> Result<Option<PathBuf>> {
        let familiar = familiar.map(str::to_owned);
        Ok(settings.find(name, &familiar)?.filter(|it| !it.value.is_empty()).map(|it| PathBuf::from(it.value.expose())))
    };
    let home = folder("home", ["DV_ACME_SH_HOME", "LE_WORKING_DIR"])?
        .or_else(|| settings.environment.home().map(|home| home.join(".acme.sh")))
        .ok_or_else(|| missing(t!("there is no home folder").to_owned()))?;
    let entry = home.join("acme.sh");
    if !entry.is_file() {
        return Err(missing(t!("`%{entry}` is not there", entry = entry.display())));
    }
    let path = find_script(&home, script)?;
    let text = text_file::read(&path)?;
    if !text.contains(&format!("{script}_add")) || !text.contains(&format!("{script}_rm")) {
        return Err(Error::config(t!(
            "`%{path}` has no functions `%{script}_add` and `%{script}_rm`",
            path = path.display(),
            script
        )));
    }
    let capabilities = Capabilities { several_values: removes_by_value(&text, script), ..Capabilities::default() };
    let config = folder("config_home", ["DV_ACME_SH_CONFIG_HOME", "LE_CONFIG_HOME"])?.unwrap_or_else(|| home.clone());
    let environment = variables(&settings.environment, registry, |name| mentions(&text, name));
    learn(&context.redactor, pairs(&environment).filter(|(name, _)| mentions(&text, name)));
    if let Ok(accounts) = std::fs::read_to_string(config.join("account.conf")) {
        learn(&context.redactor, saved(&accounts));
    }
    let program =
        Program { path: SHELL.to_owned(), timeout: program::timeout(settings)?, environment, redactor: context.redactor.clone() };
    let text_of = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| Error::config(t!("the path `%{path}` is no UTF-8", path = path.display())))
    };
    Ok(Arc::new(Told(AcmeSh {
        id: format!("acme.sh:{script}"),
        function: script.to_owned(),
        home: text_of(&home)?,
        entry: text_of(&entry)?,
        config: text_of(&config)?,
        script: text_of(&path)?,
        capabilities,
        program,
    })))
}

fn missing(why: String) -> Error {
    Error::config(t!("acme.sh is not found: %{why}", why))
        .with_hint(t!("say where it is installed with `DV_ACME_SH_HOME`, or the key `home` of the provider in the config"))
}

/// The file of a script, looked for where acme.sh looks.
fn find_script(home: &Path, script: &str) -> Result<PathBuf> {
    let folder = home.join("dnsapi");
    let file = format!("{script}.sh");
    let candidates = [folder.join(&file), home.join(&file)];
    if let Some(path) = candidates.into_iter().find(|path| path.is_file()) {
        return Ok(path);
    }
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let known: Vec<String> =
        files.filter_map(|file| file.file_name().to_str().and_then(|name| name.strip_suffix(".sh")).map(str::to_owned)).collect();
    let error = Error::config(t!("acme.sh has no script `%{script}` in `%{folder}`", script, folder = folder.display()));
    Err(match nearest(script, known.iter().map(String::as_str)) {
        Some(near) => error.with_hint(t!("did you mean `acme.sh:%{near}`?", near)),
        None => error.with_hint(t!("its scripts are the files `dnsapi/dns_*.sh`")),
    })
}

/// Whether the text has this word.
fn mentions(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

/// Whether the function that removes looks at the value at all: it uses its second argument, or the variable that has it, elsewhere than in what it
/// says. Where it does not, a value of somebody else at the name may go too.
fn removes_by_value(text: &str, script: &str) -> bool {
    let start = format!("{script}_rm");
    let body = text.lines().skip_while(|line| !line.starts_with(&start)).skip(1).take_while(|line| !line.starts_with('}'));
    let mut variable = None;
    for line in body.map(str::trim) {
        let assigned = line.trim_start_matches("local ").split_once('=');
        if let Some((name, _)) =
            assigned.filter(|(_, value)| ["$2", "\"$2", "${2", "\"${2"].iter().any(|it| value.starts_with(it)))
        {
            variable = Some(name);
            continue;
        }
        let is_said = ["#", "_debug", "_info", "_err", "echo"].iter().any(|it| line.starts_with(it));
        if !is_said && (variable.is_some_and(|name| mentions(line, name)) || line.contains("$2") || line.contains("$@")) {
            return true;
        }
    }
    false
}

/// Whether a value has no signs that scripts trip over: `dns_pdns` of 3.1.4 makes two values of one with a blank, and breaks its neighbours.
fn survives(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '+' | '/' | ':'))
}

/// What acme.sh has saved for scripts: `SAVED_CF_Token='…'`.
fn saved(accounts: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = accounts.lines().filter(|line| line.starts_with("SAVED_"));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name, value.trim().trim_matches(['\'', '"'])))
}

struct AcmeSh {
    id: String,
    /// The beginning of the functions' names.
    function: String,
    home: String,
    entry: String,
    config: String,
    script: String,
    capabilities: Capabilities,
    program: Program,
}

impl AcmeSh {
    async fn run(&self, action: &str, record: &Record) -> Result<()> {
        only_txt(&self.id, record)?;
        if !survives(&record.value) {
            return Err(Error::provider(t!("provider `%{id}`: the value `%{value}` has other signs than values of ACME have, and scripts of acme.sh split or change such", id = self.id, value = record.value))
            .with_hint(t!("use another provider, `exec`, or a manifest of your own")));
        }
        let scratch = tempfile::tempdir()
            .map_err(|error| Error::new(ErrorKind::Unexpected, t!("no temporary folder can be made: %{error}", error)))?;
        let scratch_path = scratch.path().to_string_lossy();
        let function = format!("{}_{action}", self.function);
        let what = t!("`%{function} %{name}` of acme.sh", function, name = record.name);
        let arguments = [
            "-c",
            CALL,
            &self.entry,
            &self.home,
            &self.config,
            &self.script,
            &function,
            record.name.as_str(),
            &record.value,
            &scratch_path,
        ];
        self.program.run(&what, &arguments).await
    }
}

#[async_trait]
impl Writer for AcmeSh {
    fn id(&self) -> &str {
        &self.id
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn add(&self, record: &Record) -> Result<()> {
        self.run("add", record).await
    }

    async fn remove(&self, record: &Record) -> Result<()> {
        self.run("rm", record).await
    }
}
