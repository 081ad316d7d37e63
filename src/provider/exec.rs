//! A program writes the records, called as lego's `exec` (default mode) calls it: `PROGRAM present|cleanup <name with dot> <value>`.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Capabilities, DnsProvider,
    description::{CredentialHelp, Description},
    program::{self, Program, only_txt},
    registry::Registry,
    settings::{Context, Settings},
    told::{Told, Writer},
};
use crate::{
    error::{Error, Result},
    language::t,
    record::Record,
};

/// What `providers show exec` prints.
pub(super) fn describe() -> Description {
    let setting = |name: &str, optional, help: &str, familiar: &[&str]| CredentialHelp {
        name: name.to_owned(),
        secret: false,
        optional,
        help: Some(help.to_owned()),
        familiar: familiar.iter().map(|it| (*it).to_owned()).collect(),
    };
    Description {
        id: "exec".to_owned(),
        title: t!("A program of your own, in the protocol of lego's exec").to_owned(),
        docs: Some("https://go-acme.github.io/lego/dns/exec/".to_owned()),
        origin: "built-in".to_owned(),
        ambient: None,
        proof: None,
        credentials: vec![
            setting(
                "path",
                false,
                t!("the program; it is called with `present` or `cleanup`, the name with its final dot, and the value"),
                &["EXEC_PATH"],
            ),
            setting("timeout", true, t!("how long it may take, such as `90s` or `5m` (default 2m)"), &[]),
            setting(
                "pass",
                true,
                t!("names of credential variables that it gets all the same, by comma; it gets no others"),
                &[],
            ),
        ],
        capabilities: Capabilities::default(),
    }
}

/// Makes the provider. Runs nothing yet.
///
/// # Errors
/// `ErrorKind::Credentials` where the program is not named; `ErrorKind::Config` where it is no file that can be run, and for
/// lego's RAW mode.
pub(super) fn open(settings: &Settings, context: &Context, registry: &Registry) -> Result<Arc<dyn DnsProvider>> {
    if let Some(mode) = settings.find("mode", &["EXEC_MODE".to_owned()])?.filter(|mode| !mode.value.is_empty()) {
        return Err(Error::config(t!(
            "%{origin}: only the default mode works; RAW needs an ACME challenge",
            origin = mode.origin
        ))
        .with_hint(t!("unset it, and let the program take the name and the value")));
    }
    let setting = settings.require("path", &["EXEC_PATH".to_owned()])?;
    let path = setting.value.expose().to_owned();
    if path.contains('/') {
        can_run(&path).map_err(|why| Error::config(format!("{}: `{path}` {why}", setting.origin)))?;
    }
    let timeout = program::timeout(settings)?;
    let pass = settings.find("pass", &[])?.map(|setting| setting.value.expose().to_owned()).unwrap_or_default();
    let pass: Vec<&str> = pass.split(',').map(str::trim).collect();
    let hidden = registry.hidden_variables(&settings.environment);
    let visible = settings.environment.iter().filter(|(name, _)| pass.contains(name) || !hidden.iter().any(|it| it == name));
    let environment = visible.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Arc::new(Told(Exec { program: Program { path, timeout, environment, redactor: context.redactor.clone() } })))
}

fn can_run(path: &str) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|error| t!("cannot be run: %{error}", error))?;
    if !metadata.is_file() {
        return Err(t!("is not a file").to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(t!("is not executable (chmod +x)").to_owned());
    }
    Ok(())
}

struct Exec {
    program: Program,
}

impl Exec {
    async fn run(&self, action: &str, record: &Record) -> Result<()> {
        only_txt("exec", record)?;
        let what = format!("`{} {action} {}`", self.program.path, record.name.with_dot());
        self.program.run(&what, &[action, &record.name.with_dot(), &record.value]).await
    }
}

#[async_trait]
impl Writer for Exec {
    fn id(&self) -> &'static str {
        "exec"
    }

    async fn add(&self, record: &Record) -> Result<()> {
        self.run("present", record).await
    }

    async fn remove(&self, record: &Record) -> Result<()> {
        self.run("cleanup", record).await
    }
}

#[cfg(test)]
mod tests;
