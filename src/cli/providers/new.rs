//! `providers new`: asks what it must know, and writes a manifest and its examples.

use std::{
    fs::OpenOptions,
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use clap::ValueEnum;

use super::draft::{self, Answers, Auth, Draft, Names, Records, Zones};
use crate::{
    cli::{command::NewProvider, printer::Printer},
    error::{Error, Result},
    language::t,
    provider::{manifest::Manifest, settings::variable},
};

/// Asks for what the options do not say, if there is a terminal; writes both files, and says what to do next.
///
/// # Errors
/// `ErrorKind::Usage` where something is missing or cannot be; `ErrorKind::Config` for an id that is taken, and for files that are there
/// already or cannot be written.
pub(super) fn run(printer: &Printer, wanted: &NewProvider) -> Result<()> {
    let has_person = io::stdin().is_terminal() && io::stderr().is_terminal();
    let answers = if has_person {
        let (mut input, mut output) = (io::stdin().lock(), io::stderr().lock());
        answers(wanted, &mut Person { input: &mut input, output: &mut output })?
    } else {
        answers(wanted, &mut Nobody)?
    };
    let Draft { manifest, examples } = draft::draft(&answers);
    let id = &answers.id;
    let path = wanted.folder.join(format!("{id}.toml"));
    let beside = path.with_extension("examples.toml");
    // Also finds an id that is taken.
    Manifest::parse(&manifest, &path.display().to_string(), false)?;
    for path in [&path, &beside] {
        if path.exists() {
            return Err(Error::config(t!("`%{path}` is there already", path = path.display()))
                .with_hint(t!("choose another id or `--folder`, or remove the file")));
        }
    }
    write(&path, &manifest)?;
    write(&beside, &examples)?;
    if printer.is_json() {
        printer.json(&serde_json::json!({ "manifest": path, "examples": beside }));
        return Ok(());
    }
    let variables: Vec<String> =
        draft::credentials(answers.auth).iter().map(|name| format!("{}=…", variable(id, name))).collect();
    let shown =
        if path.is_absolute() || path.starts_with(".") { path.display().to_string() } else { format!("./{}", path.display()) };
    for line in [
        t!("%{path} and %{beside} are written. Next:", path = path.display(), beside = beside.display()),
        t!("  1. compare what is marked CHECK in the manifest with the API's documentation").to_owned(),
        t!("  2. dv-verify providers replay %{shown}", shown),
        t!("  3. %{variables} dv-verify test --provider %{shown} --zone example.com", variables = variables.join(" "), shown),
    ] {
        printer.result(&line);
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::config(t!("`%{path}` cannot be written: %{error}", path = path.display(), error)))
}

/// Who answers what the options do not say.
trait Answerer {
    /// One answer to a question; `None` where nobody says anything.
    fn ask(&mut self, question: &str) -> Result<Option<String>>;
    /// Says why an answer cannot be taken; false where there is no second try.
    fn refuse(&mut self, why: &str) -> bool;
}

struct Person<'a> {
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
}

impl Answerer for Person<'_> {
    fn ask(&mut self, question: &str) -> Result<Option<String>> {
        let failed = |error: io::Error| Error::usage(t!("no answer: %{error}", error));
        write!(self.output, "{question}: ").and_then(|()| self.output.flush()).map_err(failed)?;
        let mut line = String::new();
        if self.input.read_line(&mut line).map_err(failed)? == 0 {
            return Err(Error::usage(t!("no answer: the input has ended")));
        }
        let line = line.trim();
        Ok((!line.is_empty()).then(|| line.to_owned()))
    }

    fn refuse(&mut self, why: &str) -> bool {
        writeln!(self.output, "  {why}").is_ok()
    }
}

/// No terminal: options and defaults must do.
struct Nobody;

impl Answerer for Nobody {
    fn ask(&mut self, _question: &str) -> Result<Option<String>> {
        Ok(None)
    }

    fn refuse(&mut self, _why: &str) -> bool {
        false
    }
}

fn answers(wanted: &NewProvider, who: &mut dyn Answerer) -> Result<Answers> {
    let id =
        text(who, wanted.id.as_deref(), t!("The id of the provider (small letters, digits, `-`)"), None, "an ID", &check_id)?;
    let base_url = text(who, wanted.base_url.as_deref(), t!("The base URL of its API"), None, "`--base-url URL`", &check_url)?;
    let base_url = base_url.trim_end_matches('/').to_owned();
    let auth = choice(who, wanted.auth, t!("How does one authenticate?"), Auth::Bearer)?;
    let auth_name = match auth {
        Auth::Header => text(
            who,
            wanted.auth_name.as_deref(),
            t!("The header's name"),
            Some("X-API-Key"),
            "`--auth-name NAME`",
            &check_token,
        )?,
        Auth::Query => {
            text(who, wanted.auth_name.as_deref(), t!("The parameter's name"), Some("key"), "`--auth-name NAME`", &check_token)?
        }
        Auth::Bearer | Auth::Basic | Auth::Login if wanted.auth_name.is_some() => {
            return Err(Error::usage(t!("`--auth-name` goes with `--auth header` and `--auth query`")));
        }
        Auth::Bearer | Auth::Basic | Auth::Login => String::new(),
    };
    let zones = choice(who, wanted.zones, t!("How is the zone of a name found?"), Zones::Listed)?;
    let records = choice(who, wanted.records, t!("What is a record for the API?"), Records::Ids)?;
    let names = choice(who, wanted.names, t!("How does it write a record's name?"), Names::Relative)?;
    let title = wanted.title.clone().unwrap_or_else(|| id.clone());
    Ok(Answers { id, title, base_url, auth, auth_name, zones, records, names })
}

type Check = dyn Fn(&str) -> Result<(), String>;

/// A text: the option, or an answer that passes the check, or the default.
fn text(
    who: &mut dyn Answerer,
    given: Option<&str>,
    question: &str,
    default: Option<&str>,
    option: &str,
    check: &Check,
) -> Result<String> {
    if let Some(given) = given {
        check(given).map_err(Error::usage)?;
        return Ok(given.to_owned());
    }
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    loop {
        let answer = who.ask(&format!("{question}{shown}"))?.or_else(|| default.map(str::to_owned));
        let why = match &answer {
            Some(answer) => check(answer).err(),
            None => Some(t!("something must be said here").to_owned()),
        };
        match (answer, why) {
            (Some(answer), None) => return Ok(answer),
            (_, why) => {
                if !who.refuse(&why.unwrap_or_default()) {
                    return Err(Error::usage(t!("%{option} is missing", option))
                        .with_hint(t!("`dv-verify providers new ID --base-url URL`, or run it on a terminal, where it asks")));
                }
            }
        }
    }
}

/// One of several words: the option, or an answer by number or word, or the default.
fn choice<T: ValueEnum>(who: &mut dyn Answerer, given: Option<T>, question: &str, default: T) -> Result<T> {
    if let Some(given) = given {
        return Ok(given);
    }
    let values: Vec<_> = T::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
    let lines: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            format!("  {} {:<9} {}\n", index + 1, value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default())
        })
        .collect();
    let word = default.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    loop {
        let Some(answer) =
            who.ask(&t!("%{question}\n%{concat}Number or word [%{word}]", question, concat = lines.concat(), word))?
        else {
            return Ok(default);
        };
        let by_number = answer.parse::<usize>().ok().and_then(|number| values.get(number.wrapping_sub(1)));
        let chosen = by_number.map_or(answer.as_str(), |value| value.get_name());
        match T::from_str(chosen, true) {
            Ok(value) => return Ok(value),
            Err(_) if who.refuse(&t!("`%{answer}` is none of these", answer)) => {}
            Err(why) => return Err(Error::usage(why)),
        }
    }
}

fn check_id(id: &str) -> Result<(), String> {
    let plain = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if plain && !id.is_empty() && !id.starts_with('-') {
        return Ok(());
    }
    Err(t!("`%{id}` cannot be the id of a provider: use small letters, digits and `-`", id))
}

fn check_url(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| t!("`%{text}` is no URL: %{error}", text, error))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(t!("`%{text}` must begin with https://", text));
    }
    Ok(())
}

/// What can be the name of a header, or of a parameter without escapes.
fn check_token(text: &str) -> Result<(), String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if plain && !text.is_empty() { Ok(()) } else { Err(t!("`%{text}` must be letters, digits, `-` and `_`", text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> NewProvider {
        NewProvider {
            id: None,
            title: None,
            base_url: None,
            auth: None,
            auth_name: None,
            zones: None,
            records: None,
            names: None,
            folder: ".".into(),
        }
    }

    fn asked(wanted: &NewProvider, typed: &str) -> (Result<Answers>, String) {
        let mut output = Vec::new();
        let answers = answers(wanted, &mut Person { input: &mut typed.as_bytes(), output: &mut output });
        (answers, String::from_utf8(output).unwrap())
    }

    #[test]
    fn what_cannot_be_is_asked_again() {
        let typed = "My DNS\nmydns\n\nftp://x\nhttps://api.mydns.example/v1/\n7\nheader\nX Key\nX-Key\n2\nsets\n\n";
        let (answers, shown) = asked(&wanted(), typed);
        let answers = answers.unwrap();
        assert_eq!((answers.id.as_str(), answers.base_url.as_str()), ("mydns", "https://api.mydns.example/v1"));
        assert_eq!((answers.auth, answers.auth_name.as_str()), (Auth::Header, "X-Key"));
        assert_eq!((answers.zones, answers.records, answers.names), (Zones::Searched, Records::Sets, Names::Relative));
        for part in
            ["cannot be the id", "something must be said", "must begin with https", "`7` is none", "  5 login", "[relative]"]
        {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
    }

    #[test]
    fn only_what_is_missing_is_asked() {
        let wanted = NewProvider { id: Some("mydns".into()), base_url: Some("https://a.example".into()), ..wanted() };
        let (answers, shown) = asked(&wanted, "\n\n\n\n");
        assert_eq!(answers.unwrap().auth, Auth::Bearer);
        assert!(!shown.contains("base URL"), "{shown}");
        let (answers, _) = asked(&wanted, "\n");
        assert!(answers.unwrap_err().to_string().contains("the input has ended"));
    }

    #[test]
    fn without_a_terminal_options_and_defaults_must_do() {
        let error = answers(&wanted(), &mut Nobody).unwrap_err();
        assert!(error.to_string().contains("an ID is missing"));
        let named = NewProvider { id: Some("mydns".into()), ..wanted() };
        assert!(answers(&named, &mut Nobody).unwrap_err().to_string().contains("--base-url"));
        let whole = NewProvider { base_url: Some("https://a.example".into()), ..named };
        assert_eq!(answers(&whole, &mut Nobody).unwrap().records, Records::Ids);
        let surplus = NewProvider { auth_name: Some("X".into()), ..whole };
        assert!(answers(&surplus, &mut Nobody).unwrap_err().to_string().contains("--auth-name"));
    }
}
