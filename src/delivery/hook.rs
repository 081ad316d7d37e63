//! Hooks: one program after a delivery, bounded in time and output, without credentials.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

use super::Delivered;
use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    order::OrderId,
};

/// How much of a hook's output is kept: its end.
const KEPT_OUTPUT: usize = 64 * 1024;

/// How many of its last lines an error shows.
const SHOWN_LINES: usize = 5;

/// How many of the last characters of those.
const SHOWN_CHARACTERS: usize = 500;

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
/// `hidden`. Standard input is empty. It runs in a process group of its own, which is ended when the time is up or this future is dropped.
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
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut group = Group(command.spawn().map_err(|error| fail(format!("cannot start: {error}")))?);
    let (output, errors) = (group.0.stdout.take(), group.0.stderr.take());
    let work = async {
        let (output, errors, status) = tokio::join!(tail(output), tail(errors), group.0.wait());
        (output, errors, status)
    };
    let Ok((output, errors, status)) = tokio::time::timeout(timeout, work).await else {
        return Err(fail(format!("did not end within {} s and was ended", timeout.as_secs())));
    };
    let status = status.map_err(|error| fail(format!("cannot be waited for: {error}")))?;
    tracing::info!("{title} said: {}", [output.as_str(), errors.as_str()].join("\n").trim());
    if status.success() {
        return Ok(());
    }
    let said = if errors.trim().is_empty() { output } else { errors };
    let lines: Vec<&str> = said.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join(" / ");
    let last: String = last.chars().rev().take(SHOWN_CHARACTERS).collect::<Vec<_>>().into_iter().rev().collect();
    Err(fail(format!("failed ({status}): {}", if last.is_empty() { "it said nothing" } else { &last })))
}

fn variables(delivered: &Delivered, order: &OrderId) -> Vec<(&'static str, String)> {
    let path = |file: &str| delivered.live.join(file).display().to_string();
    let folder = delivered.live.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let names = delivered.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut all = vec![
        ("DV_ORDER_ID", order.to_string()),
        ("DV_FOLDER", folder.unwrap_or_default()),
        ("DV_NAMES", names),
        ("DV_SERIAL", delivered.serial.clone()),
        ("DV_NOT_AFTER", delivered.not_after.to_string()),
        ("DV_LIVE", delivered.live.display().to_string()),
        ("DV_CERT", path("cert.pem")),
        ("DV_CHAIN", path("chain.pem")),
        ("DV_FULLCHAIN", path("fullchain.pem")),
    ];
    if delivered.has_private_key {
        all.push(("DV_PRIVKEY", path("privkey.pem")));
    }
    all
}

/// A child in a process group of its own, which is ended with everything in it on drop.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // An id is there only while the child was not waited for, so it cannot belong to somebody else by now.
        let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw) else { return };
        let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
    }
}

/// Reads a stream to its end and keeps the end of it.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = VecDeque::new();
    if let Some(mut stream) = stream {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            kept.extend(&buffer[..count]);
            let excess = kept.len().saturating_sub(KEPT_OUTPUT);
            kept.drain(..excess);
        }
    }
    String::from_utf8_lossy(kept.make_contiguous()).into_owned()
}
