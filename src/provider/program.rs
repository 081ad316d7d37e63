//! A program of the user that writes records: run one at a time, its output logged, redacted and bounded.

use std::{collections::VecDeque, time::Duration};

use tokio::{process::Command, sync::Mutex};

use super::settings::Settings;
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    process::{self, Ended, Failure, Limits, Sink, Streams},
    record::{Record, RecordType},
    secret::Redactor,
};

/// How long the program may take where the setting `timeout` says nothing else.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How much of the program's output is logged, in bytes; the rest is read and dropped.
const MAX_OUTPUT: usize = 64 * 1024;

/// How much a program may answer, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The longest line that is logged, in bytes.
pub(super) const MAX_LINE: usize = 1000;

/// How many of the last lines an error quotes.
pub(super) const LAST_LINES: usize = 5;

/// Their protocols allow one program at a time, whatever instance calls it.
static TURN: Mutex<()> = Mutex::const_new(());

/// The setting `timeout`, a time such as `90s` or `5m`, more than none and at most a day; 2 minutes where it is not set.
///
/// # Errors
/// `ErrorKind::Config` for what is no such time.
pub(super) fn timeout(settings: &Settings) -> Result<Duration> {
    let Some(setting) = settings.find("timeout", &[])? else { return Ok(TIMEOUT) };
    let parsed: Option<jiff::SignedDuration> = setting.value.expose().trim().parse().ok();
    parsed
        .and_then(|time| Duration::try_from(time).ok())
        .filter(|time| !time.is_zero() && *time <= Duration::from_hours(24))
        .ok_or_else(|| {
            Error::config(t!("%{origin} is no duration", origin = setting.origin)).with_hint(t!("such as `90s` or `5m`"))
        })
}

/// Refuses what the protocols of other tools do not know.
pub(super) fn only_txt(id: &str, record: &Record) -> Result<()> {
    match record.record_type {
        RecordType::Txt => Ok(()),
        other @ (RecordType::Cname | RecordType::File) => Err(Error::provider(t!(
            "provider `%{id}` can only write TXT, and %{name} needs %{other}",
            id,
            name = record.name,
            other
        ))),
    }
}

/// A program with all that it is run with but its arguments.
pub(super) struct Program {
    pub(super) path: String,
    pub(super) timeout: Duration,
    /// All variables that it gets.
    pub(super) environment: Vec<(String, String)>,
    pub(super) redactor: Redactor,
}

impl Program {
    /// Runs it; what it says is logged. `what` names the call in errors.
    ///
    /// # Errors
    /// `ErrorKind::Provider` where it fails, with the last lines that it said; `ErrorKind::Config` where it cannot be started.
    pub(super) async fn run(&self, what: &str, arguments: &[&str]) -> Result<()> {
        let mut output = Output::new(self.redactor.clone(), self.path.clone());
        let ended = self.call(arguments, Streams::Both, &mut |piece| output.take(piece)).await;
        output.finish();
        self.judge(what, ended, &output.quoted())
    }

    /// Runs it and gives its standard output. `what` names the call in errors.
    ///
    /// # Errors
    /// As [`Program::run`], without quotations, and where it says more than 4 MB.
    pub(super) async fn read(&self, what: &str, arguments: &[&str]) -> Result<String> {
        let mut answer = Vec::new();
        let mut take = |piece: &[u8]| {
            answer.extend_from_slice(piece);
            answer.len() <= MAX_ANSWER
        };
        let ended = self.call(arguments, Streams::Output, &mut take).await;
        self.judge(what, ended, "")?;
        String::from_utf8(answer).map_err(|_| Error::provider(t!("%{what} answers what is no UTF-8", what)))
    }

    async fn call(&self, arguments: &[&str], streams: Streams, sink: Sink<'_>) -> Result<Ended, Failure> {
        let _turn = TURN.lock().await;
        let mut command = Command::new(&self.path);
        command.args(arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        let limits = Limits { timeout: self.timeout, grace: Duration::ZERO };
        process::run(command, streams, limits, sink).await
    }

    fn judge(&self, what: &str, ended: Result<Ended, Failure>, quoted: &str) -> Result<()> {
        let failed = |why: String| Error::provider(format!("{what} {why}"));
        match ended {
            Ok(Ended::Exited(status)) if status.success() => Ok(()),
            Ok(Ended::Exited(status)) => Err(failed(t!("failed (%{status})%{quoted}", status, quoted))),
            Ok(Ended::TimedOut) => Err(failed(t!(
                "did not end within %{timeout} s and was killed%{quoted}",
                timeout = self.timeout.as_secs(),
                quoted
            ))
            .with_hint(t!("allow more time with the setting `timeout`"))),
            Err(Failure::Start(error)) => Err(failed(t!("cannot be started: %{error}", error)).with_kind(ErrorKind::Config)),
            Err(Failure::Wait(error)) => Err(failed(t!("cannot be waited for: %{error}", error))),
            Err(Failure::TooMuch) => Err(failed(t!("said too much").to_owned())),
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
    last: VecDeque<String>,
}

impl Output {
    fn new(redactor: Redactor, program: String) -> Self {
        Self { redactor, program, line: Vec::new(), logged: 0, dropped: 0, last: VecDeque::new() }
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
        if lines.is_empty() { String::new() } else { t!(": %{lines}", lines = lines.join(" | ")) }
    }
}
