//! Programs that the user wants to be run when something happened: bounded in time and output, without credentials.

use std::{collections::VecDeque, io, path::PathBuf, time::Duration};

use tokio::process::Command;

use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    language::t,
    process::{self, Ended, Failure, Limits, Streams},
    secret::{Redactor, Secret},
};

/// How much of a hook's output is kept: its end.
const KEPT_OUTPUT: usize = 64 * 1024;

/// How many of its last lines an error shows.
const SHOWN_LINES: usize = 5;

/// How many of the last characters of those.
const SHOWN_CHARACTERS: usize = 500;

/// How long a hook whose time is up may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// A program of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A program without arguments (`--hook`, `--on-issued`, `--on-failure`).
    Program(PathBuf),
    /// A line for `/bin/sh -c` (`--hook-shell`).
    Shell(String),
}

impl Hook {
    fn command(&self) -> Command {
        match self {
            Self::Program(path) => Command::new(path),
            Self::Shell(line) => {
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(line);
                command
            }
        }
    }

    /// Makes sure that a program can be run, where it is named by its path; a bare name is left to the `PATH`.
    ///
    /// # Errors
    /// `ErrorKind::Config` with what is wrong.
    pub fn check(&self) -> Result<()> {
        let Self::Program(path) = self else { return Ok(()) };
        if path.components().count() < 2 {
            return Ok(());
        }
        let wrong = |why: &str, hint: String| {
            Err(Error::config(t!("the hook `%{path}` %{why}", path = path.display(), why)).with_hint(hint))
        };
        match std::fs::metadata(path) {
            Err(error) => wrong(
                &t!("cannot be read: %{error}", error),
                t!("name one program; a line with arguments goes into a script, or to `--hook-shell`").into(),
            ),
            Ok(metadata) if !metadata.is_file() => wrong(t!("is not a program"), t!("name one program").into()),
            Ok(metadata) if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 == 0 => {
                wrong(t!("is not executable"), format!("`chmod +x {}`", path.display()))
            }
            Ok(_) => Ok(()),
        }
    }

    /// Runs it with these variables beside those of `environment` that are not `hidden`. Standard input is empty. It runs in a process group of
    /// its own: when the time is up the group is asked to end, and killed two seconds later; when this future is dropped it is killed at once.
    /// What a program that ended well left running goes on.
    ///
    /// # Errors
    /// `ErrorKind::Delivery`: it cannot start (with a hint), fails (exit status and its last lines), or takes longer than `timeout`.
    pub async fn run(
        &self,
        variables: &[(&str, String)],
        environment: &Environment,
        hidden: &[String],
        timeout: Duration,
    ) -> Result<()> {
        let title = self.title();
        let fail = |why: String| Error::new(ErrorKind::Delivery, format!("{title} {why}"));
        let mut command = self.command();
        command.env_clear();
        command.envs(environment.iter().filter(|(name, _)| !hidden.iter().any(|hidden| hidden == name)));
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut output = Output::default();
        let ended = process::run(command, Streams::Both, Limits { timeout, grace: GRACE }, &mut |piece| output.keep(piece)).await;
        let status = match ended {
            Ok(Ended::Exited(status)) => status,
            Ok(Ended::TimedOut) => {
                let said = output.last_lines(environment, hidden);
                return Err(fail(t!("did not end within %{timeout} and was ended: %{said}", timeout = shown(timeout), said)));
            }
            Err(Failure::Start(error)) => return Err(cannot_start(&title, error)),
            Err(Failure::Wait(error)) => return Err(fail(t!("cannot be waited for: %{error}", error))),
            Err(Failure::TooMuch) => return Err(fail(t!("said too much").to_owned())),
        };
        if status.success() {
            tracing::info!("{title} ended well: {}", output.last_lines(environment, hidden));
            return Ok(());
        }
        Err(fail(format!("failed ({status}): {}", output.last_lines(environment, hidden))))
    }

    fn title(&self) -> String {
        match self {
            Self::Program(path) => format!("hook `{}`", path.display()),
            Self::Shell(line) => format!("hook `{line}`"),
        }
    }
}

fn cannot_start(title: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => t!("name a program that exists (and whose interpreter does)"),
        io::ErrorKind::PermissionDenied => t!("make it executable (`chmod +x`)"),
        _ => t!("a script needs a first line such as `#!/bin/sh`"),
    };
    Error::new(ErrorKind::Delivery, t!("%{title} cannot start: %{error}", title, error)).with_hint(hint).with_source(error)
}

fn shown(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}

/// What a hook says: its end.
#[derive(Default)]
struct Output(VecDeque<u8>);

impl Output {
    /// Keeps a piece, and never has enough.
    fn keep(&mut self, piece: &[u8]) -> bool {
        self.0.extend(piece);
        let excess = self.0.len().saturating_sub(KEPT_OUTPUT);
        self.0.drain(..excess);
        true
    }

    /// The last lines for an error or a log: without the values of the hidden variables, and without control characters.
    fn last_lines(&mut self, environment: &Environment, hidden: &[String]) -> String {
        let redactor = Redactor::default();
        for value in hidden.iter().filter_map(|name| environment.get(name)) {
            redactor.learn(&Secret::new(value));
        }
        let text = redactor.redact(&String::from_utf8_lossy(self.0.make_contiguous()));
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join(" / ");
        let length = last.chars().count();
        let last: String = last.chars().skip(length.saturating_sub(SHOWN_CHARACTERS)).filter(|c| !c.is_control()).collect();
        if last.is_empty() { t!("it said nothing").to_owned() } else { last }
    }
}
