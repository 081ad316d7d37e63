//! Secrets that a program tells: `exec:PROGRAM ARGUMENT…`, for password managers and vaults.

use std::time::Duration;

use tokio::process::Command;

use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    language::t,
    process::{self, Ended, Failure, Limits, Streams},
    secret::Secret,
};

/// What a value begins with that is a command.
const PREFIX: &str = "exec:";

/// How long the program may take. Long enough for a network, short enough for cron.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest secret, in bytes.
const LONGEST: usize = 64 * 1024;

/// The command of a value, where it is one.
pub(crate) fn command_of(value: &str) -> Option<&str> {
    value.strip_prefix(PREFIX).map(str::trim)
}

/// Runs `line` (a program and its arguments, separated by blanks; no shell, no quotes) with this environment, and returns what it writes to
/// standard output, without final newlines. `origin` names the setting in errors. Blocks for at most half a minute.
///
/// # Errors
/// `ErrorKind::Config` where it cannot start; `ErrorKind::Credentials` where it fails, takes too long, or writes nothing, too much, or what is
/// not UTF-8. Nothing that it wrote is shown.
pub(crate) fn run(line: &str, environment: &Environment, origin: &str) -> Result<Secret> {
    let mut words = line.split_whitespace();
    let Some(program) = words.next() else {
        return Err(Error::config(t!("%{origin} names no program after `%{PREFIX}`", origin, PREFIX)));
    };
    let said = format!("{origin}: `{program}`");
    let arguments: Vec<String> = words.map(str::to_owned).collect();
    let mut command = std::process::Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter());
    // A thread of its own: the caller may be at work for a runtime that must not be blocked from within.
    let outcome = std::thread::spawn(move || -> std::io::Result<(Result<Ended, Failure>, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut output = Vec::new();
        let mut sink = |piece: &[u8]| {
            output.extend_from_slice(piece);
            output.len() <= LONGEST
        };
        let limits = Limits { timeout: TIMEOUT, grace: Duration::ZERO };
        let ended = runtime.block_on(process::run(Command::from(command), Streams::Output, limits, &mut sink));
        Ok((ended, output))
    })
    .join();
    let Ok(Ok((ended, output))) = outcome else {
        return Err(Error::new(ErrorKind::Unexpected, t!("%{said} cannot be waited for", said)));
    };
    let output = zeroize::Zeroizing::new(output);
    let failed = |why: String| {
        Err(Error::new(ErrorKind::Credentials, format!("{said} {why}")).with_hint(t!(
            "call it by hand, as this user, to see what it says: it must write the secret to standard output and nothing else"
        )))
    };
    match ended {
        Err(Failure::Start(error)) => Err(Error::config(t!("%{said} cannot be started: %{error}", said, error))
            .with_hint(t!("name a program that exists and may be run; there is no shell, so no quotes, pipes or variables"))),
        Err(Failure::Wait(error)) => failed(t!("cannot be waited for: %{error}", error)),
        Err(Failure::TooMuch) => failed(t!("wrote more than %{LONGEST} bytes and was killed", LONGEST)),
        Ok(Ended::TimedOut) => failed(t!("did not end within %{value} s and was killed", value = TIMEOUT.as_secs())),
        Ok(Ended::Exited(status)) if !status.success() => failed(t!("failed (%{status})", status)),
        Ok(Ended::Exited(_)) => match std::str::from_utf8(&output).map(|text| text.trim_end_matches(['\n', '\r'])) {
            Ok("") => failed(t!("wrote nothing").to_owned()),
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => failed(t!("wrote what is not UTF-8").to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_line(line: &str) -> Result<Secret> {
        let environment = Environment::of([("PATH", "/usr/bin:/bin"), ("VAULT", "behind-the-vault")]);
        run(command_of(line).unwrap(), &environment, "key `api_token`")
    }

    #[test]
    fn what_the_program_writes_is_the_secret() {
        assert_eq!(run_line("exec:printf to%sken 123\n").unwrap().expose(), "to123ken");
        assert_eq!(run_line("exec: printenv VAULT").unwrap().expose(), "behind-the-vault");
        // No shell: the words reach the program as they are.
        assert_eq!(run_line("exec:echo $VAULT | cat ; x").unwrap().expose(), "$VAULT | cat ; x");
        assert!(command_of("execute").is_none());
    }

    #[test]
    fn what_goes_wrong_is_said_without_the_output() {
        for (line, kind, why) in [
            ("exec:", ErrorKind::Config, "names no program"),
            ("exec:/nonexistent/vault get", ErrorKind::Config, "cannot be started"),
            ("exec:true", ErrorKind::Credentials, "wrote nothing"),
            ("exec:false", ErrorKind::Credentials, "failed (exit status: 1)"),
            ("exec:yes planted", ErrorKind::Credentials, "more than"),
            ("exec:cat /bin/cat", ErrorKind::Credentials, ""),
        ] {
            let error = run_line(line).unwrap_err();
            assert_eq!(error.kind(), kind, "{line}");
            assert!(error.to_string().contains(why) && !error.to_string().contains("planted"), "{error}");
            assert!(error.to_string().contains("key `api_token`"), "{error}");
        }
    }
}
