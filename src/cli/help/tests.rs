use clap::CommandFactory as _;

use super::*;
use crate::cli::{
    arguments::{definition, parse},
    command::Arguments,
};

/// Every text of a command line: those of the commands, and those of their arguments.
pub(in crate::cli) fn texts(command: &Command) -> Vec<String> {
    let own = [command.get_about(), command.get_long_about(), command.get_after_help(), command.get_after_long_help()];
    let arguments = command.get_arguments().flat_map(|argument| [argument.get_help(), argument.get_long_help()]);
    let arguments = arguments.flatten().map(ToString::to_string);
    let own = own.into_iter().flatten().map(ToString::to_string).chain(arguments);
    own.chain(command.get_subcommands().flat_map(texts)).collect()
}

/// What stands behind the values that arguments take.
fn values_of(command: &Command) -> Vec<String> {
    let values = command.get_arguments().flat_map(Arg::get_possible_values);
    let own = values.filter_map(|value| value.get_help().map(ToString::to_string));
    own.chain(command.get_subcommands().flat_map(values_of)).collect()
}

/// The texts that commands declare themselves, apart from the table of options.
pub(in crate::cli) fn declared() -> Vec<String> {
    let command = Arguments::command();
    texts(&command).into_iter().chain(values_of(&command)).collect()
}

fn is_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

#[test]
fn every_text_of_the_command_line_is_there_in_chinese() {
    fn visit(command: &Command) {
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(is_chinese(&help), "`{} {}`: {help}", command.get_name(), argument.get_id());
            if let Some(heading) = argument.get_help_heading() {
                assert!(is_chinese(heading) || heading == "ACME", "{heading}");
            }
        }
        for text in texts(command) {
            assert!(is_chinese(&text), "`{}`: {text}", command.get_name());
        }
        command.get_subcommands().for_each(visit);
    }
    visit(&definition(Language::Chinese));
}

#[test]
fn the_definition_is_sound_in_chinese() {
    definition(Language::Chinese).debug_assert();
}

#[test]
fn nothing_of_clap_is_left_in_english() {
    let mut command = definition(Language::Chinese);
    for help in [command.render_help(), command.render_long_help()] {
        let said = translated(help.to_string(), Language::Chinese);
        for english in FIXED.iter().filter(|english| ***english != *"error:") {
            assert!(!said.contains(english), "{english} in {said}");
        }
        assert!(said.contains("用法:") && said.contains("命令:"), "{said}");
    }
}

#[test]
fn each_kind_of_mistake_is_told_apart() {
    let mistake_of = |arguments: &[&str]| {
        let arguments = ["dv-verify"].iter().chain(arguments).map(Into::into);
        mistake(parse(arguments).unwrap_err().error()).unwrap()
    };
    assert_eq!(mistake_of(&["ordres"]), "there is no command `ordres`\n\n  did you mean providers, orders?");
    assert_eq!(mistake_of(&["--provder", "x"]), "there is no argument `--provder` here\n\n  did you mean --provider?");
    assert_eq!(mistake_of(&["--signature", "v2"]), "`v2` is no value for `--signature <VERSION>`\n\n  possible: v1, v3");
    assert_eq!(mistake_of(&["--provider"]), "`--provider <PROVIDER>` needs a value");
    assert_eq!(mistake_of(&["check", "a.example"]), "these arguments are missing: <VALUE>");
    assert!(mistake_of(&["sandbox", "--lag", "x"]).starts_with("`x` is no value for `--lag <DURATION>`: "));
}
