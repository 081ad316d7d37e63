//! Programs of the user: run in a process group of their own, bounded in time, their output read so that they never wait for us.

use std::{
    io,
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

/// How long output may still come after the program has ended, from something that it left running.
const AFTERWARDS: Duration = Duration::from_millis(100);

/// Which output is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    /// Both, through one pipe, so that lines stay in the order in which they were written.
    Both,
    /// Standard output; what the program says about errors is dropped.
    Output,
}

/// How long a program may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From start to end.
    pub(crate) timeout: Duration,
    /// What it gets after that to end by itself, once it was asked to (SIGTERM). Zero: it is killed at once.
    pub(crate) grace: Duration,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// Its time was up; nobody of its process group is left.
    TimedOut,
}

/// What takes output, piece by piece; false: it has had enough, and the program is killed.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> bool + Send);

/// Runs a program whose arguments and environment are set; its input is empty. When the time is up its process group is ended; when this future
/// is dropped, or `sink` has had enough, it is killed at once. What a program that ended by itself left running goes on.
///
/// # Errors
/// Where it cannot start or be waited for; [`Failure`] tells which.
pub(crate) async fn run(command: Command, streams: Streams, limits: Limits, sink: Sink<'_>) -> Result<Ended, Failure> {
    let (mut group, mut output) = start(command, streams).map_err(Failure::Start)?;
    let deadline = Instant::now() + limits.timeout;
    let mut buffer = vec![0; 16 * 1024];
    let mut is_at_end = false;
    let status = loop {
        tokio::select! {
            status = group.0.wait() => break status.map_err(Failure::Wait)?,
            count = output.read(&mut buffer), if !is_at_end => {
                let count = count.unwrap_or_default();
                is_at_end = count == 0;
                if !sink(&buffer[..count]) {
                    // Dropping the group kills it.
                    return Err(Failure::TooMuch);
                }
            }
            () = tokio::time::sleep_until(deadline) => {
                group.end(limits.grace, &mut output, sink).await;
                return Ok(Ended::TimedOut);
            }
        }
    };
    // What is in the pipe already; not more, since something that the program left running may hold it open.
    let afterwards = Instant::now() + AFTERWARDS;
    while let Ok(Ok(count @ 1..)) = timeout_at(afterwards, output.read(&mut buffer)).await {
        if !sink(&buffer[..count]) {
            return Err(Failure::TooMuch);
        }
    }
    Ok(Ended::Exited(status))
}

/// Why a program has no end of its own.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot be started.
    Start(io::Error),
    /// It cannot be waited for.
    Wait(io::Error),
    /// The sink had enough.
    TooMuch,
}

fn start(mut command: Command, streams: Streams) -> io::Result<(Group, Receiver)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).process_group(0);
    match streams {
        Streams::Both => command.stdout(writer.try_clone()?).stderr(writer),
        Streams::Output => command.stdout(writer).stderr(Stdio::null()),
    };
    let child = command.spawn()?;
    // Our ends for writing are closed with the command.
    drop(command);
    let group = Group(child);
    Ok((group, Receiver::from_owned_fd(reader.into())?))
}

/// A child in a process group of its own, which is killed with everything in it on drop, unless the child was waited for.
struct Group(Child);

impl Group {
    /// Asks the group to end, and kills what is left of it.
    async fn end(&mut self, grace: Duration, output: &mut Receiver, sink: Sink<'_>) {
        if !grace.is_zero() {
            self.signal(Signal::TERM);
            let deadline = Instant::now() + grace;
            while !self.has_ended() && Instant::now() < deadline {
                sleep(Duration::from_millis(10)).await;
            }
        }
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = output.try_read(&mut buffer) {
            sink(&buffer[..count]);
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
