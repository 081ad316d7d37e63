//! Errors for people: what failed, what lies below it, a blank line, what to do.

use std::{error::Error as _, fmt::Write as _};

use super::printer::{Palette, Printer, printable};
use crate::{error::Error, language::t};

/// Shows an error: as one line with `--quiet`, for the mail that cron sends and for log files, else as a text of several.
pub(super) fn show(printer: &Printer, error: &Error, about: Option<&str>) {
    let text = text(error, printer.palette(), about);
    if printer.manner().quiet {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        printer.error(&lines.join(t!("; ")));
    } else {
        printer.error(&text);
    }
}

/// The text of an error. `about` says what it concerns, such as an order.
pub(super) fn text(error: &Error, palette: Palette, about: Option<&str>) -> String {
    let Palette { error: red, hint: cyan, .. } = palette;
    let about = about.map(|about| t!("%{about}: ", about)).unwrap_or_default();
    let head = error.to_string();
    let mut text = format!("{red}{}{red:#} {}", t!("error:"), printable(&format!("{about}{head}")));
    // Where the head says the innermost cause, what is in between are the words of libraries.
    let is_said = innermost(error).is_some_and(|cause| head.contains(&cause));
    let mut said = head;
    let mut below = error.source().filter(|_| !is_said);
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        // Many errors repeat the one below them.
        if !said.contains(&cause_text) {
            let _ = write!(text, "\n  {}", t!("caused by: %{cause}", cause = printable(&cause_text)));
            said = cause_text;
        }
        below = cause.source();
    }
    if let Some(hint) = error.hint() {
        let _ = write!(text, "\n\n{cyan}{}{cyan:#} {}", t!("hint:"), printable(hint));
    }
    text
}

/// The text of the last error below this one.
fn innermost(error: &Error) -> Option<String> {
    let mut last = error.source()?;
    while let Some(below) = last.source() {
        last = below;
    }
    Some(last.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_cause_that_is_said_is_not_said_again() {
        let refused = std::io::Error::other("Connection refused");
        let below = Error::new(ErrorKind::Unexpected, "client error (Connect)").with_source(refused);
        let error = Error::new(ErrorKind::OrderSource, "no answer from `ca.example`: Connection refused").with_source(below);
        assert_eq!(text(&error, Palette::default(), None), "error: no answer from `ca.example`: Connection refused");
    }

    #[test]
    fn a_chain_and_a_hint() {
        let below = Error::new(ErrorKind::Unexpected, "permission denied").with_source(std::io::Error::other("os error 13"));
        let error = Error::new(ErrorKind::Store, "the store `/x/store.db` cannot be opened")
            .with_source(below)
            .with_hint("choose another place with `--store`");
        insta::assert_snapshot!(text(&error, Palette::default(), None), @r"
        error: the store `/x/store.db` cannot be opened
          caused by: permission denied
          caused by: os error 13

        hint: choose another place with `--store`
        ");
        insta::assert_snapshot!(text(&Error::usage("no"), Palette::default(), Some("cas-cn-1")), @"error: cas-cn-1: no");
    }

    #[test]
    fn what_the_message_says_already_is_not_repeated() {
        let error = Error::config("cannot be read: os error 13").with_source(std::io::Error::other("os error 13"));
        assert_eq!(text(&error, Palette::default(), None), "error: cannot be read: os error 13");
    }

    #[test]
    fn terminals_are_not_remote_controlled() {
        let error = Error::usage("x\u{1b}]0;evil\u{7}y\r\nz");
        assert_eq!(text(&error, Palette::default(), None), "error: x\\u{1b}]0;evil\\u{7}y\\r\\nz");
    }
}
