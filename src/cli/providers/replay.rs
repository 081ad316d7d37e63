//! `providers replay`: the examples of a manifest, without a network.

use std::path::{Path, PathBuf};

use crate::{
    cli::{
        exit::Exit,
        printer::{Printer, printable},
    },
    error::{Error, ErrorKind, Result},
    language::{Language, t},
    provider::manifest::{self, CaseOutcome, Difference, Manifest},
    text_file,
};

/// How wide a column of a comparison gets at most, in characters; what is longer is broken.
const COLUMN: usize = 58;

/// Replays the examples of a manifest: requests and replies are compared, nothing is sent.
///
/// # Errors
/// `ErrorKind::Config` for files that cannot be read or do not load.
pub(super) async fn run(printer: &Printer, path: &Path, examples: Option<&Path>) -> Result<Exit> {
    let (path, beside) = pair(path);
    let origin = path.display().to_string();
    let (manifest, examples) = match builtin(&origin) {
        Some(text) => {
            let examples = examples.ok_or_else(|| {
                Error::usage(t!("the examples of `%{origin}` are not part of the program", origin))
                    .with_hint(t!("name their file: `--examples tests/providers/%{origin}.toml`", origin))
            })?;
            (Manifest::parse(text, &origin, true)?, examples)
        }
        None => (Manifest::parse(&text_file::read(&path)?, &origin, false)?, examples.unwrap_or(&beside)),
    };
    let examples_text = text_file::read(examples)?;
    // What a case expects an error to say is written in English.
    let language = Language::current();
    Language::English.speak();
    let outcomes = manifest::replay(&manifest, &examples_text, &examples.display().to_string()).await;
    language.speak();
    let outcomes = outcomes?;
    if outcomes.is_empty() {
        return Err(Error::config(t!("`%{examples}` has no cases", examples = examples.display()))
            .with_hint(t!("write at least one `[[case]]`")));
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    for outcome in &outcomes {
        if printer.is_json() { printer.json(&json(outcome)) } else { show(printer, outcome) }
    }
    if !printer.is_json() {
        printer.result(&t!("%{outcomes} examples, %{failed} failed", outcomes = outcomes.len(), failed));
    }
    Ok(if failed == 0 { Exit::DONE } else { Exit::failure(ErrorKind::Config) })
}

/// The manifest and its file of examples, whichever of the two was named.
fn pair(path: &Path) -> (PathBuf, PathBuf) {
    let manifest = match path.to_str().and_then(|path| path.strip_suffix(".examples.toml")) {
        Some(stem) => PathBuf::from(format!("{stem}.toml")),
        None => path.to_owned(),
    };
    let examples = manifest.with_extension("examples.toml");
    (manifest, examples)
}

/// The text of the built-in manifest with this id.
fn builtin(id: &str) -> Option<&'static str> {
    manifest::builtin().iter().find(|(file, _)| *file == id).map(|(_, text)| *text)
}

fn json(outcome: &CaseOutcome) -> serde_json::Value {
    let difference = outcome.failure.as_ref().and_then(|failure| failure.difference.as_ref());
    serde_json::json!({
        "name": outcome.name,
        "kind": outcome.kind,
        "proof": outcome.proof.as_str(),
        "holds": outcome.failure.is_none(),
        "failure": outcome.failure.as_ref().map(|failure| &failure.why),
        "expected": difference.map(|it| &it.expected),
        "actual": difference.map(|it| &it.actual),
    })
}

fn show(printer: &Printer, outcome: &CaseOutcome) {
    let Some(failure) = &outcome.failure else {
        printer.result(&format!("ok      {}", printable(&outcome.name)));
        return;
    };
    printer.result(&format!("FAILED  {}: {}", printable(&outcome.name), printable(&failure.why)));
    for line in failure.difference.iter().flat_map(side_by_side) {
        printer.result(&line);
    }
}

/// Expected and actual request beside each other; `|` between lines that differ, as `diff --side-by-side` shows them.
fn side_by_side(difference: &Difference) -> Vec<String> {
    let Difference { expected, actual } = difference;
    let row = |left: &str, mark: char, right: &str| format!("        {left:<COLUMN$} {mark} {right}").trim_end().to_owned();
    let mut lines = vec![row("expected", ' ', "actual")];
    for index in 0..expected.len().max(actual.len()) {
        let (left, right) = (expected.get(index), actual.get(index));
        let mark = match (left, right) {
            (Some(_), None) => '<',
            (None, Some(_)) => '>',
            (left, right) if left == right => ' ',
            _ => '|',
        };
        let (left, right) = (broken(left), broken(right));
        for part in 0..left.len().max(right.len()) {
            let at = |parts: &[String]| parts.get(part).cloned().unwrap_or_default();
            lines.push(row(&at(&left), mark, &at(&right)));
        }
    }
    lines
}

/// A line in pieces that fit into a column.
fn broken(line: Option<&String>) -> Vec<String> {
    let characters: Vec<char> = line.map(|line| printable(line)).unwrap_or_default().chars().collect();
    characters.chunks(COLUMN).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builtin_manifest_is_found_by_its_id() {
        assert!(builtin("cloudflare").is_some_and(|text| text.contains("cloudflare")));
        assert!(builtin("mine").is_none());
    }

    #[test]
    fn either_file_may_be_named() {
        let both = (PathBuf::from("a/mine.toml"), PathBuf::from("a/mine.examples.toml"));
        assert_eq!(pair(Path::new("a/mine.toml")), both);
        assert_eq!(pair(Path::new("a/mine.examples.toml")), both);
    }

    #[test]
    fn what_differs_is_marked() {
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let long = "x".repeat(COLUMN + 2);
        let shown = side_by_side(&Difference {
            expected: lines(&["GET /a", "A: 1", &long]),
            actual: lines(&["GET /a", "A: 2", "x", "more"]),
        });
        let marks: String = shown.iter().skip(1).map(|line| line.chars().nth(8 + COLUMN + 1).unwrap_or(' ')).collect();
        assert_eq!(marks, " |||>");
        assert!(shown[1].starts_with("        GET /a  ") && shown[1].ends_with("GET /a"));
        assert_eq!(shown[4].trim(), format!("xx{} |", " ".repeat(COLUMN - 2)));
    }
}
