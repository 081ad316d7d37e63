//! A `watch` that runs beside the test, and what it said.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};

use super::context::{Context, until};

/// A running `watch`; killed when the test is over.
pub(crate) struct Watcher {
    child: Child,
    said: PathBuf,
}

impl Watcher {
    /// Starts it, and waits until it watches. It looks for orders every second.
    pub(crate) fn start(context: &Context, arguments: &[&str]) -> Self {
        let command = context.command(&[&["watch", "--interval", "1s", "--poll-interval", "1s"], arguments].concat());
        Self::spawn(context, command).until_says("watching: ")
    }

    /// Starts a command that watches.
    pub(crate) fn spawn(context: &Context, command: Command) -> Self {
        Self::spawn_in(context.home(), command)
    }

    /// Starts a command that watches, and keeps what it says in this folder.
    pub(crate) fn spawn_in(home: &Path, mut command: Command) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let said = home.join(format!("watch-{}.log", NUMBER.fetch_add(1, Ordering::SeqCst)));
        let file = File::create(&said).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, said }
    }

    /// All that it said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn until_says(self, text: &str) -> Self {
        self.until_said(text, 1);
        self
    }

    /// Waits until it has said this so often.
    #[track_caller]
    pub(crate) fn until_said(&self, text: &str, times: usize) {
        let is_so = std::panic::AssertUnwindSafe(|| until(|| self.said().matches(text).count() >= times));
        let waited = std::panic::catch_unwind(is_so);
        assert!(waited.is_ok(), "`{text}` was not said {times} times:\n{}", self.said());
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it: no code of it runs any more.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end and asserts the exit code; returns what it said.
    #[track_caller]
    pub(crate) fn ends_with(mut self, code: i32) -> String {
        let ended = self.child.wait().unwrap();
        assert_eq!(ended.code(), Some(code), "{}", self.said());
        self.said()
    }

    /// Ends it as a service manager does.
    #[track_caller]
    pub(crate) fn end(self) -> String {
        self.signal(Signal::TERM);
        self.ends_with(0)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It has ended where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
