//! Logs on standard error, for those who look into the program: `-v`, `-vv`, `DV_LOG`.

use std::io::{self, Write};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::printer::Printer;
use crate::{config::variables, environment::Environment, language::t};

/// Starts logging. Only the first call of a process counts.
pub(super) fn start(printer: &Printer, environment: &Environment) {
    let filter =
        environment.get(variables::LOG).map_or_else(|| default_filter(printer.manner().verbosity).to_owned(), str::to_owned);
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        printer.warning(
            &t!("variable `%{variables}`: %{error}", variables = variables::LOG, error),
            Some(t!("write it as `dv_verify=debug`")),
        );
        EnvFilter::new(default_filter(printer.manner().verbosity))
    });
    let is_coloured = printer.palette().error != clap::builder::styling::Style::new();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines(printer.clone()))
        .with_ansi(is_coloured)
        .without_time()
        .finish();
    // A second start (the demo runs the main command inside itself) finds the first one in place.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// What is logged for so many `-v`. Other crates stay at warnings: their debug output shows whole requests.
fn default_filter(verbosity: u8) -> &'static str {
    match verbosity {
        0 => "warn",
        1 => "warn,dv_verify=info",
        _ => "warn,dv_verify=debug",
    }
}

/// Writes whole log lines above live progress, with secrets taken out.
#[derive(Clone)]
struct Lines(Printer);

/// One log line in the making.
struct Line {
    printer: Printer,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { printer: self.0.clone(), bytes: Vec::new() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        if !text.trim().is_empty() {
            self.printer.error(text.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_one() {
        for verbosity in 0..4 {
            EnvFilter::try_new(default_filter(verbosity)).unwrap();
        }
    }
}
