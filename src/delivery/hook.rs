//! Hooks: one program after a delivery, bounded in time and output, without credentials.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::Delivered;
use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    order::OrderId,
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

/// What runs after a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A program without arguments (`--hook`).
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

    fn title(&self) -> String {
        match self {
            Self::Program(path) => format!("hook `{}`", path.display()),
            Self::Shell(line) => format!("hook `{line}`"),
        }
    }
}

/// Runs a hook with the paths in its environment: `DV_ORDER_ID`, `DV_FOLDER`, `DV_NAMES` (blank-separated), `DV_SERIAL`, `DV_NOT_AFTER`,
/// `DV_LIVE`, `DV_CERT`, `DV_CHAIN`, `DV_FULLCHAIN` and, where there is a key, `DV_PRIVKEY` (all below `live`), without any variable in
/// `hidden`. Standard input is empty. It runs in a process group of its own: when the time is up the group is asked to end, and killed two
/// seconds later; when this future is dropped it is killed at once. What a hook that ended well left running goes on.
///
/// # Errors
/// `ErrorKind::Delivery`: it cannot start, fails (exit status and its last lines), or takes longer than `timeout`.
pub async fn run_hook(
    hook: &Hook,
    delivered: &Delivered,
    order: &OrderId,
    environment: &Environment,
    hidden: &[String],
    timeout: Duration,
) -> Result<()> {
    let title = hook.title();
    let fail = |why: String| {
        Error::new(ErrorKind::Delivery, format!("{title} {why}"))
            .with_hint("the certificate is on disk; mend the hook, and the next run calls it again")
    };
    let mut command = hook.command();
    command.env_clear();
    command.envs(environment.iter().filter(|(name, _)| !hidden.iter().any(|hidden| hidden == name)));
    command.envs(variables(delivered, order));
    let mut output = Output::default();
    let ended = process::run(command, Streams::Both, Limits { timeout, grace: GRACE }, &mut |piece| output.keep(piece)).await;
    let status = match ended {
        Ok(Ended::Exited(status)) => status,
        Ok(Ended::TimedOut) => {
            let said = output.last_lines(environment, hidden);
            return Err(fail(format!("did not end within {} and was ended: {said}", shown(timeout))));
        }
        Err(Failure::Start(error)) => return Err(cannot_start(&title, error)),
        Err(Failure::Wait(error)) => return Err(fail(format!("cannot be waited for: {error}"))),
        Err(Failure::TooMuch) => return Err(fail("said too much".to_owned())),
    };
    if status.success() {
        tracing::info!("{title} ended well: {}", output.last_lines(environment, hidden));
        return Ok(());
    }
    Err(fail(format!("failed ({status}): {}", output.last_lines(environment, hidden))))
}

fn cannot_start(title: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "name a program that exists (and whose interpreter does); the certificate is on disk",
        io::ErrorKind::PermissionDenied => "make it executable (`chmod +x`); the certificate is on disk",
        _ => "a script needs a first line such as `#!/bin/sh`; the certificate is on disk",
    };
    Error::new(ErrorKind::Delivery, format!("{title} cannot start: {error}")).with_hint(hint).with_source(error)
}

fn shown(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}

fn variables(delivered: &Delivered, order: &OrderId) -> Vec<(&'static str, String)> {
    // Absolute, since a hook may change its folder.
    let live = std::path::absolute(&delivered.live).unwrap_or_else(|_| delivered.live.clone());
    let path = |file: &str| live.join(file).display().to_string();
    let folder = delivered.live.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let names = delivered.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut all = vec![
        ("DV_ORDER_ID", order.to_string()),
        ("DV_FOLDER", folder.unwrap_or_default()),
        ("DV_NAMES", names),
        ("DV_SERIAL", delivered.serial.clone()),
        ("DV_NOT_AFTER", delivered.not_after.to_string()),
        ("DV_LIVE", live.display().to_string()),
        ("DV_CERT", path("cert.pem")),
        ("DV_CHAIN", path("chain.pem")),
        ("DV_FULLCHAIN", path("fullchain.pem")),
    ];
    if delivered.has_private_key {
        all.push(("DV_PRIVKEY", path("privkey.pem")));
    }
    all
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
        if last.is_empty() { "it said nothing".to_owned() } else { last }
    }
}
