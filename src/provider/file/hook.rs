//! Files that a program of the user publishes: to several machines, a bucket, a CDN.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use tokio::process::Command;

use super::{File, Publisher};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    process::{self, Ended, Failure, Limits, Streams},
    provider::{Found, Handle},
};

/// How much of the program's output an error shows: its end.
const SHOWN: usize = 500;

/// How long a program whose time is up may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// A program that adds and removes files.
pub(super) struct FileHook {
    program: PathBuf,
    timeout: Duration,
    environment: Vec<(String, String)>,
}

impl FileHook {
    pub(super) fn new(program: &Path, timeout: Duration, environment: Vec<(String, String)>) -> Self {
        Self { program: program.to_owned(), timeout, environment }
    }

    /// `PROGRAM add|remove HOST PATH`, with the content in `DV_FILE_CONTENT`.
    async fn run(&self, action: &str, file: File<'_>) -> Result<()> {
        let what = format!("`{} {action} {} {}`", self.program.display(), file.host, file.path);
        let mut command = Command::new(&self.program);
        command
            .args([action, file.host.as_str(), file.path])
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("DV_FILE_HOST", file.host.as_str())
            .env("DV_FILE_PATH", file.path)
            .env("DV_FILE_URL", format!("http://{}{}", file.host, file.path))
            .env("DV_FILE_CONTENT", file.content);
        let mut said: Vec<u8> = Vec::new();
        let limits = Limits { timeout: self.timeout, grace: GRACE };
        let mut keep = |piece: &[u8]| {
            said.extend_from_slice(piece);
            let surplus = said.len().saturating_sub(16 * SHOWN);
            said.drain(..surplus);
            true
        };
        let ended = process::run(command, Streams::Both, limits, &mut keep).await;
        let failed = |why: String| Error::provider(format!("{what} {why}{}", quoted(&said)));
        match ended {
            Ok(Ended::Exited(status)) if status.success() => Ok(()),
            Ok(Ended::Exited(status)) => Err(failed(t!("failed (%{status})", status))),
            Ok(Ended::TimedOut) => Err(failed(t!("did not end within %{timeout} s", timeout = self.timeout.as_secs()))
                .with_hint(t!("allow more time with `--hook-timeout`"))),
            Err(Failure::Start(error)) => Err(failed(t!("cannot be started: %{error}", error)).with_kind(ErrorKind::Config)),
            Err(Failure::Wait(error)) => Err(failed(t!("cannot be waited for: %{error}", error))),
            Err(Failure::TooMuch) => Err(failed(t!("said too much").to_owned())),
        }
    }
}

/// The end of the output on one line.
fn quoted(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let from = line.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    if line.is_empty() { String::new() } else { t!("; it said: %{line}", line = &line[from..]) }
}

#[async_trait]
impl Publisher for FileHook {
    /// The program is asked to add what may be there already: its contract says that this is success.
    async fn find(&self, _: File<'_>) -> Result<Found> {
        Ok(Found::Absent)
    }

    async fn publish(&self, file: File<'_>) -> Result<Handle> {
        self.run("add", file).await?;
        Ok(Handle(json!({})))
    }

    async fn withdraw(&self, file: File<'_>, _: Option<&Handle>) -> Result<()> {
        self.run("remove", file).await
    }

    fn usual_delay(&self) -> Option<Duration> {
        None
    }
}
