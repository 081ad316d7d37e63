//! The help and the mistakes of the command line in the language of the process: clap speaks English only.

use clap::{
    Arg, Command,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::language::{Language, message, t};

/// What clap itself says, around the texts of the commands.
const FIXED: [&str; 17] = [
    message!("Usage:"),
    message!("Commands:"),
    message!("Arguments:"),
    message!("Options:"),
    message!("Possible values:"),
    message!("[possible values: "),
    message!("[default: "),
    message!("[aliases: "),
    message!("[OPTIONS]"),
    message!("[COMMAND]"),
    message!("<COMMAND>"),
    message!("Print help (see more with '--help')"),
    message!("Print help (see a summary with '-h')"),
    message!("Print help"),
    message!("Print version"),
    message!("error:"),
    message!("For more information, try '--help'."),
];

/// The texts of a command and of those below it, in this language.
pub(super) fn in_language(mut command: Command, language: Language) -> Command {
    if language == Language::English {
        return command;
    }
    let said = |text: Option<&StyledStr>| text.and_then(|text| language.translation(&text.to_string()));
    let (about, long_about) = (said(command.get_about()), said(command.get_long_about()));
    let (after, after_long) = (said(command.get_after_help()), said(command.get_after_long_help()));
    for (text, set) in [
        (about, Command::about as fn(Command, &'static str) -> Command),
        (long_about, Command::long_about),
        (after, Command::after_help),
        (after_long, Command::after_long_help),
    ] {
        if let Some(text) = text {
            command = set(command, text);
        }
    }
    command.mut_args(|argument| argument_in_language(argument, language)).mut_subcommands(|below| in_language(below, language))
}

fn argument_in_language(mut argument: Arg, language: Language) -> Arg {
    let said = |text: Option<&StyledStr>| text.and_then(|text| language.translation(&text.to_string()));
    let (help, long_help) = (said(argument.get_help()), said(argument.get_long_help()));
    if let Some(help) = help {
        argument = argument.help(help);
    }
    if let Some(long_help) = long_help {
        argument = argument.long_help(long_help);
    }
    // What stands behind a value cannot be changed where it is, so it is told here.
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter_map(|value| Some(t!("- %{value}: %{help}", value = value.get_name(), help = said(value.get_help())?)))
        .collect();
    match help {
        Some(help) if !values.is_empty() => argument.hide_possible_values(true).long_help(t!(
            "%{help}\n\nPossible values:\n%{values}",
            help,
            values = values.join("\n")
        )),
        _ => argument,
    }
}

/// What clap has written, with its own words in the language of the process.
fn translated(written: String, language: Language) -> String {
    match language {
        Language::English => written,
        Language::Chinese => FIXED.iter().fold(written, |text, english| text.replace(english, language.say(english))),
    }
}

/// What clap has to say about a command line: help, version, or what is wrong with it.
pub(super) fn told(error: &clap::Error, is_coloured: bool) -> String {
    let shown = |text: &StyledStr| if is_coloured { text.ansi().to_string() } else { text.to_string() };
    let language = Language::current();
    let Some(mistake) = mistake(error) else { return translated(shown(&error.render()), language) };
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => format!("\n\n{}", shown(usage)),
        _ => String::new(),
    };
    translated(format!("error: {mistake}{usage}\n\nFor more information, try '--help'.\n"), language)
}

/// What is wrong with a command line, where clap would say it in English. `None` for kinds that are not told apart here.
fn mistake(error: &clap::Error) -> Option<String> {
    let told = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        Some(ContextValue::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let argument = told(ContextKind::InvalidArg);
    let value = told(ContextKind::InvalidValue);
    let mut text = match error.kind() {
        ErrorKind::UnknownArgument => t!("there is no argument `%{argument}` here", argument),
        ErrorKind::InvalidSubcommand => t!("there is no command `%{command}`", command = told(ContextKind::InvalidSubcommand)),
        ErrorKind::InvalidValue if value.is_empty() => t!("`%{argument}` needs a value", argument),
        ErrorKind::InvalidValue => t!("`%{value}` is no value for `%{argument}`", value, argument),
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            t!("`%{value}` is no value for `%{argument}`: %{why}", value, argument, why)
        }
        ErrorKind::MissingRequiredArgument => t!("these arguments are missing: %{arguments}", arguments = argument),
        ErrorKind::MissingSubcommand => {
            t!("`%{command}` needs a command below it", command = told(ContextKind::InvalidSubcommand))
        }
        ErrorKind::ArgumentConflict if argument.is_empty() => return None,
        ErrorKind::ArgumentConflict => {
            t!("`%{argument}` does not go with `%{other}`", argument, other = told(ContextKind::PriorArg))
        }
        ErrorKind::TooManyValues => t!("`%{value}` is one value too many for `%{argument}`", value, argument),
        ErrorKind::NoEquals => t!("`%{argument}` needs its value after a `=`", argument),
        _ => return None,
    };
    let valid = [ContextKind::ValidValue, ContextKind::ValidSubcommand].map(told).join(" ");
    if !valid.trim().is_empty() {
        text.push_str("\n\n  ");
        text.push_str(&t!("possible: %{values}", values = valid.trim()));
    }
    let near = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue].map(told).join(" ");
    if !near.trim().is_empty() {
        text.push_str("\n\n  ");
        text.push_str(&t!("did you mean %{near}?", near = near.trim()));
    }
    Some(text)
}

#[cfg(test)]
pub(super) mod tests;
