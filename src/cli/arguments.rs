//! From the command line to a command and the options that were given.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
};

use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, builder::PossibleValuesParser, error::ErrorKind};

use super::{
    command::{Arguments, Command, groups},
    help,
};
use crate::{
    config::{
        layers::Flags,
        settings::{self, Group, Kind, SETTINGS, Setting},
        variables,
    },
    environment::Environment,
    language::{Language, message, t},
};

/// Words in an unknown option that tell that somebody is about to put a secret on the command line.
const SECRET_WORDS: [&str; 5] = ["secret", "token", "password", "access-key", "api-key"];

/// What the command line says.
#[derive(Debug)]
pub(super) struct Parsed {
    /// What to do.
    pub(super) command: Command,
    /// The options that were given.
    pub(super) flags: Flags,
}

/// Why there is nothing to run: help, version, or a command line that cannot be.
#[derive(Debug)]
pub(super) struct Stop {
    error: clap::Error,
}

impl Stop {
    /// Shows it (help and version on standard output, the rest on standard error) and returns the exit code.
    pub(super) fn show(&self, environment: &Environment) -> u8 {
        // Nobody is left to tell where neither can be written to.
        let _ = match Language::current() {
            Language::English => self.error.print(),
            Language::Chinese => self.print(environment),
        };
        u8::try_from(self.error.exit_code()).unwrap_or(2)
    }

    /// What clap has to say.
    #[cfg(test)]
    pub(super) fn error(&self) -> &clap::Error {
        &self.error
    }

    fn print(&self, environment: &Environment) -> io::Result<()> {
        let is_plain = environment.get(variables::NO_COLOR).is_some() || environment.get(variables::TERM) == Some("dumb");
        let text = |is_terminal: bool| help::told(&self.error, is_terminal && !is_plain);
        if self.error.use_stderr() {
            io::stderr().lock().write_all(text(io::stderr().is_terminal()).as_bytes())
        } else {
            io::stdout().lock().write_all(text(io::stdout().is_terminal()).as_bytes())
        }
    }
}

/// The language that the command line or its variable asks for; else that of the locale. Read before all else, since help and mistakes of
/// the command line are told in it too; what is no language here is refused when options are read.
pub(super) fn language(arguments: &[OsString], environment: &Environment) -> Language {
    let words = arguments.iter().map(|word| word.to_str().unwrap_or_default()).take_while(|word| *word != "--");
    let words: Vec<&str> = words.collect();
    let asked = words.iter().enumerate().rev().find_map(|(place, word)| match word.strip_prefix("--lang")? {
        "" => words.get(place + 1).copied(),
        value => value.strip_prefix('='),
    });
    let asked = asked.or_else(|| environment.get("DV_LANG")).and_then(Language::of_code);
    asked.unwrap_or_else(|| Language::of_locale(environment))
}

/// Reads the command line.
///
/// # Errors
/// [`Stop`] for help and version too.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Stop> {
    let mut definition = definition(Language::current());
    let read = definition.try_get_matches_from_mut(arguments).and_then(|matches| {
        let flags = flags(&matches)?;
        let command = Arguments::from_arg_matches(&matches)?.command.unwrap_or(Command::Verify);
        Ok(Parsed { command, flags })
    });
    read.map_err(|error| Stop { error: without_secrets(error).with_cmd(&definition) })
}

/// The whole command line, for parsing, completions and manual pages.
pub(super) fn definition(language: Language) -> clap::Command {
    fn with_options(command: clap::Command, path: &[&str], language: Language) -> clap::Command {
        let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        let command = names.iter().fold(command, |command, name| {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            command.mut_subcommand(name, |sub| with_options(sub, &path, language))
        });
        let groups = groups(path).unwrap_or_default();
        let mut command = command;
        for group in Group::ALL.iter().filter(|group| groups.contains(group)) {
            command = command
                .args(SETTINGS.iter().filter(|setting| setting.group == *group).map(|setting| argument(setting, language)));
        }
        command
    }
    with_options(help::in_language(Arguments::command(), language), &[], language)
}

/// One option as clap knows it.
fn argument(setting: &'static Setting, language: Language) -> Arg {
    let (one_line, default) = (language.say(setting.help), setting.default.map(|default| language.say(default)));
    let mut help = one_line.to_owned();
    if let Some(default) = default {
        help = format!("{help} [default: {default}]");
    }
    let mut argument = Arg::new(setting.name).long(setting.name).help(help).help_heading(language.say(setting.group.heading()));
    if !setting.details.is_empty() {
        let default = default.map(|default| format!("\n\n[default: {default}]")).unwrap_or_default();
        let stop = language.say(message!("."));
        argument = argument.long_help(format!("{one_line}{stop}\n\n{}{default}", language.say(setting.details)));
    }
    if let Some(short) = setting.short {
        argument = argument.short(short);
    }
    if let Some(alias) = setting.alias {
        argument = argument.visible_alias(alias);
    }
    if !setting.choices.is_empty() {
        argument = argument.value_parser(PossibleValuesParser::new(setting.choices));
    }
    match setting.kind {
        Kind::Flag => argument.action(ArgAction::SetTrue),
        Kind::Count => argument.action(ArgAction::Count),
        Kind::Value => argument.action(ArgAction::Set).value_name(setting.value_name),
        // As in the environment: `--zone a,b` is two zones.
        Kind::List(',') => argument.action(ArgAction::Append).value_delimiter(',').value_name(setting.value_name),
        Kind::List(_) => argument.action(ArgAction::Append).value_name(setting.value_name),
    }
}

/// The options that were given, before or after a command; after it wins.
fn flags(matches: &ArgMatches) -> Result<Flags, clap::Error> {
    let mut flags = Flags::new();
    let mut path: Vec<&str> = Vec::new();
    let mut level = Some(matches);
    while let Some(matches) = level {
        for setting in SETTINGS {
            if let Some(texts) = given(matches, setting) {
                flags.insert(setting.name, texts);
            }
        }
        level = matches.subcommand().map(|(name, below)| {
            path.push(name);
            below
        });
    }
    let groups = groups(&path).unwrap_or_default();
    let stray = flags.keys().filter_map(|name| settings::find(name)).find(|setting| !groups.contains(&setting.group));
    match stray {
        None => Ok(flags),
        Some(setting) => Err(clap::Error::raw(
            ErrorKind::ArgumentConflict,
            format!("{}\n", t!("`--%{option}` does not go with `%{command}`", option = setting.name, command = path.join(" "))),
        )),
    }
}

/// The texts of one option at one level, where it was given there.
fn given(matches: &ArgMatches, setting: &Setting) -> Option<Vec<String>> {
    let is_given = matches.try_contains_id(setting.name).is_ok()
        && matches.value_source(setting.name) == Some(clap::parser::ValueSource::CommandLine);
    if !is_given {
        return None;
    }
    Some(match setting.kind {
        Kind::Flag => vec!["true".to_owned()],
        Kind::Count => vec![matches.get_count(setting.name).to_string()],
        Kind::Value | Kind::List(_) => matches.get_many::<String>(setting.name).into_iter().flatten().cloned().collect(),
    })
}

/// A secret that was typed as an option is not echoed; where it belongs is said instead.
fn without_secrets(error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(clap::error::ContextValue::String(unknown)) = error.get(clap::error::ContextKind::InvalidArg) else {
        return error;
    };
    let name = unknown.split('=').next().unwrap_or_default().to_owned();
    let lower = name.to_ascii_lowercase().replace('_', "-");
    if !SECRET_WORDS.iter().any(|word| lower.contains(word)) {
        return error;
    }
    clap::Error::raw(
        ErrorKind::UnknownArgument,
        format!(
            "{}\n",
            t!(
                "there is no option `%{name}`: secrets are not taken from the command line, where every user of the machine can read them\n\n\
                 hint: use the environment, a file or the config; `dv-verify providers show ID` names the variables",
                name
            )
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Parsed, String> {
        let arguments = ["dv-verify"].iter().chain(arguments).map(OsString::from);
        parse(arguments).map_err(|stop| stop.error.to_string())
    }

    fn texts(arguments: &[&str]) -> Flags {
        parsed(arguments).unwrap().flags
    }

    #[test]
    fn the_definition_is_sound() {
        definition(Language::English).debug_assert();
    }

    #[test]
    fn every_command_has_its_options() {
        fn visit(command: &clap::Command, path: &mut Vec<String>) {
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            let groups = groups(&names).unwrap_or_else(|| panic!("`{}` is not in the table of groups", path.join(" ")));
            for setting in SETTINGS {
                let is_there = command.get_arguments().any(|argument| argument.get_id() == setting.name);
                assert_eq!(is_there, groups.contains(&setting.group), "{} {}", path.join(" "), setting.name);
            }
            for sub in command.get_subcommands() {
                path.push(sub.get_name().to_owned());
                visit(sub, path);
                path.pop();
            }
        }
        visit(&definition(Language::English), &mut Vec::new());
    }

    #[test]
    fn options_of_the_main_command() {
        let flags =
            texts(&["--provider", "cloudflare", "--order", "a", "--instance-id", "b", "--dry-run", "-vv", "--timeout=5x"]);
        assert_eq!(flags["provider"], ["cloudflare"]);
        assert_eq!(flags["order"], ["a", "b"]);
        assert_eq!(flags["dry-run"], ["true"]);
        assert_eq!(flags["verbose"], ["2"]);
        assert_eq!(flags["timeout"], ["5x"], "values are checked with those of the other layers");
        assert_eq!(flags.len(), 5, "what was not given is not there: {flags:?}");
    }

    #[test]
    fn options_may_stand_before_the_command_where_it_takes_them() {
        let flags = texts(&["--provider", "a", "-v", "clean", "--provider", "b", "--all"]);
        assert_eq!(flags["provider"], ["b"]);
        assert_eq!(flags["verbose"], ["1"]);
        let error = parsed(&["--hook", "/bin/true", "orders"]).unwrap_err();
        assert!(error.contains("`--hook` does not go with `orders`"), "{error}");
    }

    #[test]
    fn values_may_look_like_options() {
        let Command::Record(super::super::command::RecordAction::Add(record)) =
            parsed(&["record", "add", "_x.example.com", "-starts-with-a-dash"]).unwrap().command
        else {
            panic!("not a record")
        };
        assert_eq!(record.record().unwrap().value, "-starts-with-a-dash");
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused_and_not_echoed() {
        for argument in ["--api-token=hunter2hunter2", "--access-key-secret=hunter2hunter2", "--DV_PASSWORD=hunter2hunter2"] {
            let error = parsed(&[argument]).unwrap_err();
            assert!(error.contains("not taken from the command line") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_typo_is_answered_with_the_nearest() {
        assert!(parsed(&["--provder", "x"]).unwrap_err().contains("--provider"));
        assert!(parsed(&["ordres"]).unwrap_err().contains("orders"));
        assert!(parsed(&["--signature", "v2"]).unwrap_err().contains("v1, v3"));
        assert!(parsed(&["providers"]).unwrap_err().contains("Usage"));
    }

    #[test]
    fn help_is_short_and_long() {
        let short = definition(Language::English).render_help().to_string();
        let long = definition(Language::English).render_long_help().to_string();
        for group in groups(&[]).unwrap() {
            assert!(short.contains(group.heading()), "{short}");
        }
        assert!(!short.contains(Group::Watch.heading()), "what only `watch` does is in its own help");
        assert!(long.contains("Examples:") && !short.contains("Examples:"));
        assert!(long.contains("Exit codes:"));
    }
}
