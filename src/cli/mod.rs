//! The command line: arguments in, results to stdout, everything else to stderr, an exit code out.

use std::ffi::OsString;

use crate::environment::Environment;

mod apply;
mod arguments;
mod check;
mod check_file;
mod clean;
mod command;
mod config_check;
mod demo;
mod deploy;
mod ending;
mod exit;
mod explain;
mod failure;
mod help;
mod import;
mod logging;
#[cfg(test)]
mod messages_tests;
mod orders;
mod printer;
mod providers;
mod record;
mod renew;
mod report;
mod sandbox;
mod seen;
mod session;
mod shell;
mod signals;
mod supervisor;
mod table;
mod test;
mod upkeep;
mod upload;
mod verify;
mod watch;

use arguments::Parsed;
use command::{Command, ConfigCommand};
use exit::Exit;
use printer::Printer;
use session::Session;

/// Runs the program with these arguments (the program's name first) and returns its exit code.
///
/// TLS must have a process-wide default provider before: see `main.rs`.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    arguments::language(&arguments, &environment).speak();
    let Parsed { command, flags } = match arguments::parse(arguments) {
        Ok(parsed) => parsed,
        Err(stop) => return stop.show(&environment),
    };
    // What needs no configuration works even where the configuration is broken.
    let outcome = match &command {
        Command::Completions { shell } => shell::completions(*shell),
        Command::Man { folder } => shell::man(folder.as_deref()),
        _ => {
            let session = match Session::new(&flags, environment) {
                Ok(session) => session,
                Err((printer, error)) => return failed(&printer, &error),
            };
            let outcome = dispatch(command, &session);
            let printer = session.printer();
            return outcome.map_or_else(|error| failed(printer, &error), Exit::code);
        }
    };
    outcome.map_or_else(|error| failed(&Printer::default(), &error), Exit::code)
}

fn dispatch(command: Command, session: &Session) -> crate::error::Result<Exit> {
    match command {
        Command::Verify => Session::block_on(verify::run(session)),
        Command::Apply(arguments) => Session::block_on(apply::run(session, &arguments)),
        Command::Renew(arguments) => Session::block_on(renew::run(session, &arguments)),
        Command::Import(arguments) => import::run(session, &arguments),
        Command::Orders(arguments) => Session::block_on(orders::run(session, &arguments)),
        Command::Cancel(arguments) => Session::block_on(ending::cancel(session, &arguments)),
        Command::Revoke(arguments) => Session::block_on(ending::revoke(session, &arguments)),
        Command::Delete(arguments) => Session::block_on(ending::delete(session, &arguments)),
        Command::Deploy(arguments) => Session::block_on(deploy::run(session, &arguments)),
        Command::Upload(arguments) => Session::block_on(upload::run(session, &arguments)),
        Command::Check(asked) => Session::block_on(check::run(session, &asked)),
        Command::Explain { subject, value } => Session::block_on(explain::run(session, &subject, value)),
        Command::Record(action) => Session::block_on(record::run(session, &action)),
        Command::Test => Session::block_on(test::run(session)),
        Command::Providers(action) => providers::run(session, &action),
        Command::Watch => Session::block_on(watch::run(session)),
        Command::Clean { all, dry_run } => Session::block_on(clean::run(session, all, dry_run)),
        Command::Config(ConfigCommand::Check) => config_check::run(session),
        Command::Demo => Session::block_on(demo::run(session)),
        Command::Sandbox(options) => Session::block_on(sandbox::run(session, options)),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { folder } => shell::man(folder.as_deref()),
    }
}

/// Shows why the run as a whole failed.
fn failed(printer: &Printer, error: &crate::error::Error) -> u8 {
    report::json::run_failed(printer, error);
    failure::show(printer, error, None);
    error.kind().exit_code()
}
