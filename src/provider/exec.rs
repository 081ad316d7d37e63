//! A program writes the records, called as lego's `exec` (default mode) calls it: `PROGRAM present|cleanup <name with dot> <value>`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{process::Command, sync::Mutex};

use super::{
    Access, Capabilities, DnsProvider, Found, Handle, Zone,
    description::{CredentialHelp, Description},
    manual::zone_above,
    registry::Registry,
    settings::{Context, Settings},
};
use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
    process::{self, Ended, Failure, Limits, Streams},
    record::{Record, RecordType},
    secret::Redactor,
};

/// How long the program may take where the setting `timeout` says nothing else.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How much of the program's output is logged, in bytes; the rest is read and dropped.
const MAX_OUTPUT: usize = 64 * 1024;

/// The longest line that is logged, in bytes.
const MAX_LINE: usize = 1000;

/// How many of the last lines an error quotes.
const LAST_LINES: usize = 5;

/// The protocol allows one program at a time, whatever instance calls it.
static TURN: Mutex<()> = Mutex::const_new(());

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
        title: "A program of your own, in the protocol of lego's exec".to_owned(),
        docs: Some("https://go-acme.github.io/lego/dns/exec/".to_owned()),
        origin: "built-in".to_owned(),
        proof: None,
        credentials: vec![
            setting(
                "path",
                false,
                "the program; it is called with `present` or `cleanup`, the name with its final dot, and the value",
                &["EXEC_PATH"],
            ),
            setting("timeout", true, "how long it may take, such as `90s` or `5m` (default 2m)", &[]),
            setting("pass", true, "names of credential variables that it gets all the same, by comma; it gets no others", &[]),
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
        return Err(Error::config(format!("{}: only the default mode works; RAW needs an ACME challenge", mode.origin))
            .with_hint("unset it, and let the program take the name and the value"));
    }
    let setting = settings.require("path", &["EXEC_PATH".to_owned()])?;
    let path = setting.value.expose().to_owned();
    if path.contains('/') {
        can_run(&path).map_err(|why| Error::config(format!("{}: `{path}` {why}", setting.origin)))?;
    }
    let timeout = match settings.find("timeout", &[])? {
        Some(setting) => duration(setting.value.expose())
            .ok_or_else(|| Error::config(format!("{} is no duration", setting.origin)).with_hint("such as `90s` or `5m`"))?,
        None => TIMEOUT,
    };
    let pass = settings.find("pass", &[])?.map(|setting| setting.value.expose().to_owned()).unwrap_or_default();
    let pass: Vec<&str> = pass.split(',').map(str::trim).collect();
    let hidden = registry.hidden_variables(&settings.environment);
    let visible = settings.environment.iter().filter(|(name, _)| pass.contains(name) || !hidden.iter().any(|it| it == name));
    let environment = visible.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Arc::new(Exec { path, timeout, environment, redactor: context.redactor.clone() }))
}

/// A time such as `90s` or `5m`, more than none and at most a day.
fn duration(text: &str) -> Option<Duration> {
    let parsed: jiff::SignedDuration = text.trim().parse().ok()?;
    Duration::try_from(parsed).ok().filter(|it| !it.is_zero() && *it <= Duration::from_hours(24))
}

fn can_run(path: &str) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be run: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err("is not executable (chmod +x)".to_owned());
    }
    Ok(())
}

/// Refuses what the protocols of lego do not know.
pub(super) fn only_txt(id: &str, record: &Record) -> Result<()> {
    match record.record_type {
        RecordType::Txt => Ok(()),
        other @ (RecordType::Cname | RecordType::File) => {
            Err(Error::provider(format!("provider `{id}` can only write TXT, and {} needs {other}", record.name)))
        }
    }
}

struct Exec {
    path: String,
    timeout: Duration,
    environment: Vec<(String, String)>,
    redactor: Redactor,
}

impl Exec {
    async fn run(&self, action: &str, record: &Record) -> Result<()> {
        only_txt("exec", record)?;
        let _turn = TURN.lock().await;
        let what = format!("`{} {action} {}`", self.path, record.name.with_dot());
        let failed = |why: String| Error::provider(format!("{what} {why}"));
        let mut command = Command::new(&self.path);
        command
            .args([action, &record.name.with_dot(), &record.value])
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut output = Output::new(self.redactor.clone(), self.path.clone());
        let limits = Limits { timeout: self.timeout, grace: Duration::ZERO };
        let ended = process::run(command, Streams::Both, limits, &mut |piece| output.take(piece)).await;
        output.finish();
        let quoted = output.quoted();
        match ended {
            Ok(Ended::Exited(status)) if status.success() => Ok(()),
            Ok(Ended::Exited(status)) => Err(failed(format!("failed ({status}){quoted}"))),
            Ok(Ended::TimedOut) => Err(failed(format!("did not end within {} s and was killed{quoted}", self.timeout.as_secs()))
                .with_hint("allow more time with the setting `timeout`")),
            Err(Failure::Start(error)) => Err(failed(format!("cannot be started: {error}")).with_kind(ErrorKind::Config)),
            Err(Failure::Wait(error)) => Err(failed(format!("cannot be waited for: {error}"))),
            Err(Failure::TooMuch) => Err(failed("said too much".to_owned())),
        }
    }
}

/// The program's output: logged line by line, redacted and bounded, the last lines kept for an error.
struct Output {
    redactor: Redactor,
    program: String,
    line: Vec<u8>,
    logged: usize,
    dropped: usize,
    last: std::collections::VecDeque<String>,
}

impl Output {
    fn new(redactor: Redactor, program: String) -> Self {
        Self { redactor, program, line: Vec::new(), logged: 0, dropped: 0, last: std::collections::VecDeque::new() }
    }

    /// Takes a piece, and never has enough.
    fn take(&mut self, piece: &[u8]) -> bool {
        for byte in piece {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                _ => self.dropped += 1,
            }
        }
        true
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text: String = text.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        let text = self.redactor.redact(&text);
        if text.is_empty() {
            return;
        }
        if self.logged < MAX_OUTPUT {
            self.logged += text.len();
            tracing::info!(program = self.program, "{text}");
        } else {
            self.dropped += line.len();
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(text);
    }

    fn finish(&mut self) {
        self.end_line();
        if self.dropped > 0 {
            tracing::info!(program = self.program, "{} more bytes of output are not shown", self.dropped);
        }
    }

    /// The last lines, for an error.
    fn quoted(&self) -> String {
        let lines: Vec<&str> = self.last.iter().map(String::as_str).collect();
        if lines.is_empty() { String::new() } else { format!(": {}", lines.join(" | ")) }
    }
}

#[async_trait]
impl DnsProvider for Exec {
    fn id(&self) -> &'static str {
        "exec"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn locate(&self, name: &Name) -> Result<Zone> {
        Ok(zone_above(name))
    }

    async fn find(&self, _zone: &Zone, _record: &Record) -> Result<Found> {
        Ok(Found::CannotTell)
    }

    async fn publish(&self, _zone: &Zone, record: &Record) -> Result<Handle> {
        self.run("present", record).await?;
        Ok(Handle(serde_json::Value::Object(serde_json::Map::new())))
    }

    async fn withdraw(&self, _zone: &Zone, record: &Record, _handle: Option<&Handle>) -> Result<()> {
        self.run("cleanup", record).await
    }

    async fn probe(&self) -> Result<Access> {
        // The protocol has no call that writes nothing.
        Ok(Access::default())
    }
}

#[cfg(test)]
mod tests;
