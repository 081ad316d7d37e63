//! A server process that cannot outlive its tests.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

/// How long a server may take until it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a start is tried: another process may take a port between choosing and using it.
const TRIES: usize = 5;

/// Ends the server and removes its folder once our end of its input is closed: by dropping [`Process`], by the end of this process,
/// or by its death. Statics are never dropped, and a killed process cleans nothing up.
const SUPERVISOR: &str = r#"
folder=$1; shift
"$@" 2>&1 </dev/null &
server=$!
exec >/dev/null 2>&1
cat
kill "$server"
wait "$server"
rm -rf -- "$folder"
"#;

/// A running server with its folder.
pub(crate) struct Process {
    folder: PathBuf,
    log: Arc<Log>,
    supervisor: Child,
    input: Option<ChildStdin>,
}

/// What the server has said so far.
#[derive(Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Process {
    /// Starts a server; `prepare` writes its configuration into a new folder and returns the command line and the texts that its
    /// log must show before it is ready, with how often. Returns the process with what `prepare` returned besides.
    ///
    /// # Errors
    /// Where the server does not start: its log.
    pub(crate) fn start<T>(
        name: &str,
        prepare: impl Fn(&Path) -> (Vec<String>, Vec<(&'static str, usize)>, T),
    ) -> Result<(Self, T), String> {
        let mut log = String::new();
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new().prefix("dv-test-").tempdir().expect("a folder");
            let (command, ready, rest) = prepare(folder.path());
            // From here on the supervisor removes it; before, a failing `prepare` does by unwinding.
            let process = Self::spawn(folder.keep(), &command);
            if ready.iter().all(|(text, times)| process.wait_for(text, *times)) {
                return Ok((process, rest));
            }
            log = process.log();
            if !process.log.state.lock().unwrap().ended {
                // It runs, but does not say what we wait for: another port does not help.
                break;
            }
        }
        Err(format!("{name} does not start:\n{log}"))
    }

    fn spawn(folder: PathBuf, command: &[String]) -> Self {
        let mut supervisor = Command::new("/bin/sh")
            .arg("-c")
            .arg(SUPERVISOR)
            .arg("supervisor")
            .arg(&folder)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let output = supervisor.stdout.take().expect("piped");
        let input = supervisor.stdin.take();
        let log = Arc::new(Log::default());
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                writer.state.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                writer.changed.notify_all();
            }
            writer.state.lock().unwrap().ended = true;
            writer.changed.notify_all();
        });
        Self { folder, log, supervisor, input }
    }

    /// The folder with the configuration.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that the server said.
    pub(crate) fn log(&self) -> String {
        self.log.state.lock().unwrap().lines.join("\n")
    }

    /// Waits until `times` lines of the log contain `text`. False where the server ends before, or takes too long.
    pub(crate) fn wait_for(&self, text: &str, times: usize) -> bool {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut state = self.log.state.lock().unwrap();
        loop {
            if state.lines.iter().filter(|line| line.contains(text)).count() >= times {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return false;
            }
            state = self.log.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.supervisor.wait();
    }
}
