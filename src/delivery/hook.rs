//! Hooks: one program after a delivery, bounded in time and output, without credentials.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command},
    time::{Instant, sleep, timeout_at},
};

use super::Delivered;
use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    order::OrderId,
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

/// How long output may still come after the hook has ended, from something that it left running.
const AFTERWARDS: Duration = Duration::from_millis(100);

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
    let (mut group, output) = start(command).map_err(|error| cannot_start(&title, error))?;
    let mut output = Output::new(output);
    let deadline = Instant::now() + timeout;
    let status = loop {
        tokio::select! {
            status = group.0.wait() => break Some(status),
            () = output.read() => {}
            () = tokio::time::sleep_until(deadline) => break None,
        }
    };
    let Some(status) = status else {
        group.end().await;
        let said = output.last_lines(environment, hidden);
        return Err(fail(format!("did not end within {} and was ended: {said}", shown(timeout))));
    };
    let status: ExitStatus = status.map_err(|error| fail(format!("cannot be waited for: {error}")))?;
    // What is in the pipe already; not more, since something that the hook left running may hold it open.
    let afterwards = Instant::now() + AFTERWARDS;
    while timeout_at(afterwards, output.read_some()).await.unwrap_or_default() {}
    if status.success() {
        tracing::info!("{title} ended well: {}", output.last_lines(environment, hidden));
        return Ok(());
    }
    Err(fail(format!("failed ({status}): {}", output.last_lines(environment, hidden))))
}

fn start(mut command: Command) -> io::Result<(Group, Receiver)> {
    // One pipe for both, so that lines stay in their order.
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let child = command.spawn()?;
    // Our ends for writing are closed with the command.
    drop(command);
    let group = Group(child);
    Ok((group, Receiver::from_owned_fd(reader.into())?))
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

/// A child in a process group of its own, which is killed with everything in it on drop, unless the child was waited for.
struct Group(Child);

impl Group {
    /// Asks the group to end, and kills what is left of it.
    async fn end(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        // Before the child is waited for: until then its id, which is the group's, cannot belong to somebody else.
        self.signal(Signal::KILL);
        let _ = self.0.wait().await;
    }

    /// Whether the child has ended; it stays to be waited for.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.id().is_none_or(|id| !matches!(waitid(WaitId::Pid(id), options), Ok(None)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id() {
            // Fails where nobody is left.
            let _ = kill_process_group(id, signal);
        }
    }

    /// The id of the child, `None` once it was waited for.
    fn id(&self) -> Option<Pid> {
        self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// What a hook says: read so that it never waits for us, kept up to a bound.
struct Output {
    pipe: Receiver,
    kept: VecDeque<u8>,
    is_at_end: bool,
    buffer: Vec<u8>,
}

impl Output {
    fn new(pipe: Receiver) -> Self {
        Self { pipe, kept: VecDeque::new(), is_at_end: false, buffer: vec![0; 16 * 1024] }
    }

    /// Reads until it is dropped. Whatever was read is kept.
    async fn read(&mut self) {
        while self.read_some().await {}
        std::future::pending::<()>().await;
    }

    /// Reads once; false at the end.
    async fn read_some(&mut self) -> bool {
        if self.is_at_end {
            return false;
        }
        let count = self.pipe.read(&mut self.buffer).await.unwrap_or_default();
        self.is_at_end = count == 0;
        self.kept.extend(&self.buffer[..count]);
        let excess = self.kept.len().saturating_sub(KEPT_OUTPUT);
        self.kept.drain(..excess);
        count > 0
    }

    /// The last lines for an error or a log: without the values of the hidden variables, and without control characters.
    fn last_lines(&mut self, environment: &Environment, hidden: &[String]) -> String {
        let redactor = Redactor::default();
        for value in hidden.iter().filter_map(|name| environment.get(name)) {
            redactor.learn(&Secret::new(value));
        }
        let text = redactor.redact(&String::from_utf8_lossy(self.kept.make_contiguous()));
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join(" / ");
        let length = last.chars().count();
        let last: String = last.chars().skip(length.saturating_sub(SHOWN_CHARACTERS)).filter(|c| !c.is_control()).collect();
        if last.is_empty() { "it said nothing".to_owned() } else { last }
    }
}
