//! Credentials that a program tells in JSON: mode `External` of the `aliyun` tool, `credential_process` of AWS.

use std::time::Duration;

use tokio::process::Command;

use crate::{
    environment::Environment,
    language::t,
    process::{self, Ended, Failure, Limits, Streams},
};

/// How long the program may take, as with the SDKs of Alibaba Cloud.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest output, in bytes.
const LONGEST: usize = 64 * 1024;

/// What the program of this command line writes to standard output; `Err` says why there is nothing, without any of it.
pub(crate) async fn output(line: &str, environment: &Environment) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
    let words = words(line).ok_or(t!("the command line has a quote that is not closed"))?;
    let [program, arguments @ ..] = words.as_slice() else { return Err(t!("the command line is empty").to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter());
    let mut output = zeroize::Zeroizing::new(Vec::new());
    let mut sink = |piece: &[u8]| {
        output.extend_from_slice(piece);
        output.len() <= LONGEST
    };
    let limits = Limits { timeout: TIMEOUT, grace: Duration::ZERO };
    match process::run(command, Streams::Output, limits, &mut sink).await {
        Ok(Ended::Exited(status)) if status.success() => Ok(output),
        Ok(Ended::Exited(status)) => Err(format!("`{program}` failed ({status})")),
        Ok(Ended::TimedOut) => {
            Err(t!("`%{program}` did not end within %{value} s and was killed", program, value = TIMEOUT.as_secs()))
        }
        Err(Failure::Start(error)) => Err(t!("`%{program}` cannot be started: %{error}", program, error)),
        Err(Failure::Wait(error)) => Err(t!("`%{program}` cannot be waited for: %{error}", program, error)),
        Err(Failure::TooMuch) => Err(t!("`%{program}` wrote more than %{LONGEST} bytes and was killed", program, LONGEST)),
    }
}

/// The words of a command line as a POSIX shell separates and unquotes them; nothing is expanded. `None` where a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        inside => word.push(inside),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            blank if blank.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_separated_as_a_shell_does() {
        let split = |line: &str| words(line).unwrap();
        assert_eq!(split("  a  b\tc "), ["a", "b", "c"]);
        assert_eq!(
            split(r#"/bin/x 'one two' "three \"four\" \n" fi\ ve '' "#),
            ["/bin/x", "one two", "three \"four\" \\n", "fi ve", ""]
        );
        assert_eq!(split("a$HOME;b|c"), ["a$HOME;b|c"]);
        assert!(words("a 'b").is_none() && words("a \"b").is_none() && words("a\\").is_none());
        assert!(split(" ").is_empty());
    }

    #[tokio::test]
    async fn what_goes_wrong_is_said_without_the_output() {
        let environment = Environment::of([("PATH", "/usr/bin:/bin"), ("WHO", "me")]);
        let said = |line: &'static str| {
            let environment = environment.clone();
            async move { output(line, &environment).await }
        };
        assert_eq!(said("sh -c 'printf %s \"$WHO\"'").await.unwrap().as_slice(), b"me");
        for (line, why) in [
            ("", "is empty"),
            ("a 'b", "not closed"),
            ("/nonexistent/x", "cannot be started"),
            ("sh -c 'echo planted; exit 3'", "exit status: 3"),
            ("yes planted", "more than"),
        ] {
            let error = said(line).await.unwrap_err();
            assert!(error.contains(why) && !error.contains("planted"), "{line}: {error}");
        }
    }
}
