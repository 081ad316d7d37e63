//! Where text goes and how it looks: decided once, used by every command.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use clap::builder::styling::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::{
    config::{
        manner::{Colour, Format, Manner},
        variables,
    },
    environment::Environment,
    language::t,
    secret::Redactor,
};

/// Colours with fixed meanings. All empty where nothing is coloured. No colour carries a meaning of its own: the words say it too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Palette {
    /// What failed.
    pub(super) error: Style,
    /// What to know.
    pub(super) warning: Style,
    /// What went well.
    pub(super) good: Style,
    /// What to do.
    pub(super) hint: Style,
    /// What stands back.
    pub(super) dim: Style,
}

impl Palette {
    fn coloured() -> Self {
        Self {
            error: AnsiColor::Red.on_default().bold(),
            warning: AnsiColor::Yellow.on_default().bold(),
            good: AnsiColor::Green.on_default().bold(),
            hint: AnsiColor::Cyan.on_default().bold(),
            dim: Style::new().dimmed(),
        }
    }
}

/// What is known of the terminals of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terminals {
    /// Standard error is one.
    pub(super) err: bool,
}

impl Terminals {
    pub(super) fn of_process() -> Self {
        Self { err: io::stderr().is_terminal() }
    }
}

/// Prints. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Printer {
    manner: Manner,
    palette: Palette,
    redactor: Redactor,
    /// Live progress on standard error; text is printed above it. `None` where there is no terminal.
    live: Option<Arc<MultiProgress>>,
}

impl Printer {
    /// Decides by options, environment and terminals.
    pub(super) fn new(manner: Manner, environment: &Environment, terminals: Terminals, redactor: Redactor) -> Self {
        let is_dumb = environment.get(variables::TERM) == Some("dumb");
        let palette = |is_terminal: bool| {
            let coloured = match manner.colour {
                Colour::Always => true,
                Colour::Never => false,
                Colour::Auto => is_terminal && !is_dumb && environment.get(variables::NO_COLOR).is_none(),
            };
            if coloured { Palette::coloured() } else { Palette::default() }
        };
        let is_live = terminals.err && !is_dumb && !manner.quiet && manner.format == Format::Human;
        let live = is_live.then(|| Arc::new(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10))));
        Self { manner, palette: palette(terminals.err), redactor, live }
    }

    /// How much is said, and how.
    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    /// Whether results are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.manner.format == Format::Json
    }

    /// The colours of standard error.
    pub(super) fn palette(&self) -> Palette {
        self.palette
    }

    /// Live progress, where there is any.
    pub(super) fn live(&self) -> Option<&Arc<MultiProgress>> {
        self.live.as_ref()
    }

    /// Takes secrets out of text that came from elsewhere.
    pub(super) fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    /// A line of the result, on standard output.
    pub(super) fn result(&self, text: &str) {
        let text = self.redactor.redact(text);
        // A reader that has seen enough (`| head`) is no failure.
        self.above_live(|| {
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        });
    }

    /// A line of JSON, on standard output. Whoever makes it redacts the texts in it.
    pub(super) fn json(&self, value: &serde_json::Value) {
        self.above_live(|| {
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "{value}").and_then(|()| out.flush());
        });
    }

    /// A line about what goes on, on standard error; not with `--quiet`.
    pub(super) fn note(&self, text: &str) {
        if !self.manner.quiet {
            self.to_stderr(text);
        }
    }

    /// The outcome of a run, on standard output; not with `--quiet`, so that cron has nothing to send.
    pub(super) fn outcome(&self, text: &str) {
        if !self.manner.quiet {
            self.result(text);
        }
    }

    /// A warning, on standard error; not with `--quiet`.
    pub(super) fn warning(&self, message: &str, hint: Option<&str>) {
        let Palette { warning: yellow, hint: cyan, .. } = self.palette;
        self.note(&format!("{yellow}{}{yellow:#} {}", t!("warning:"), printable(message)));
        if let Some(hint) = hint {
            self.note(&format!("  {cyan}{}{cyan:#} {}", t!("hint:"), printable(hint)));
        }
    }

    /// An error, on standard error, always.
    pub(super) fn error(&self, text: &str) {
        self.to_stderr(text);
    }

    fn to_stderr(&self, text: &str) {
        let text = self.redactor.redact(text);
        self.above_live(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// Runs `print` while live progress is off the screen.
    pub(super) fn above_live(&self, print: impl FnOnce()) {
        match &self.live {
            Some(live) => live.suspend(print),
            None => print(),
        }
    }
}

/// Text with its control characters shown instead of obeyed, so that a reply or a DNS record cannot drive the terminal.
pub(super) fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coloured(manner: Manner, environment: &Environment, is_terminal: bool) -> bool {
        let terminals = Terminals { err: is_terminal };
        let printer = Printer::new(manner, environment, terminals, Redactor::default());
        printer.palette().error != Style::new()
    }

    #[test]
    fn colour_is_for_terminals_unless_something_speaks_against_it() {
        let nothing = Environment::default();
        let auto = Manner::default();
        assert!(coloured(auto, &nothing, true));
        assert!(!coloured(auto, &nothing, false));
        assert!(!coloured(auto, &Environment::of([("NO_COLOR", "1")]), true));
        assert!(!coloured(auto, &Environment::of([("TERM", "dumb")]), true));
        assert!(coloured(Manner { colour: Colour::Always, ..auto }, &Environment::of([("NO_COLOR", "1")]), false));
        assert!(!coloured(Manner { colour: Colour::Never, ..auto }, &nothing, true));
    }

    #[test]
    fn live_progress_is_for_people_at_terminals() {
        let live = |manner: Manner, environment: &Environment, err: bool| {
            Printer::new(manner, environment, Terminals { err }, Redactor::default()).live().is_some()
        };
        let (auto, nothing) = (Manner::default(), Environment::default());
        assert!(live(auto, &nothing, true));
        assert!(live(auto, &Environment::of([("NO_COLOR", "1")]), true), "no colour is not no progress");
        assert!(!live(auto, &nothing, false));
        assert!(!live(auto, &Environment::of([("TERM", "dumb")]), true));
        assert!(!live(Manner { quiet: true, ..auto }, &nothing, true));
        assert!(!live(Manner { format: Format::Json, ..auto }, &nothing, true));
    }
}
