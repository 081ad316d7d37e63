//! The catalogue against the sources: nothing is missing, nothing is left over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::help;
use crate::config::settings::{Group, SETTINGS};

/// The Chinese texts, by key.
fn catalogue() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("locales");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let texts: BTreeMap<String, String> = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (key, text) in texts {
            assert_eq!(all.insert(key.clone(), text), None, "twice, the second time in {}: {key}", path.display());
        }
    }
    all
}

/// Every source file of the program.
fn sources() -> Vec<PathBuf> {
    fn visit(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, all);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push(path);
            }
        }
    }
    let mut all = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    all
}

fn tokens(path: &Path) -> TokenStream {
    TokenStream::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn text_of(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Literal(literal) => match syn::Lit::new(literal.clone()) {
            syn::Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// The first text in each `t!(…)` and `message!(…)`.
fn messages(stream: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    for (place, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let before = |back: usize| place.checked_sub(back).map(|place| tokens[place].to_string()).unwrap_or_default();
        if before(1) == "!" && ["t", "message"].contains(&before(2).as_str()) {
            found.extend(group.stream().into_iter().next().as_ref().and_then(text_of));
        }
        messages(group.stream(), found);
    }
}

/// The names in `%{name}`.
fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split("%{").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
}

/// Every key that the program may look up, with where it is from.
fn keys() -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for path in sources().iter().filter(|path| !path.ends_with("language.rs")) {
        let mut found = Vec::new();
        messages(tokens(path), &mut found);
        keys.extend(found.into_iter().map(|key| (key, path.display().to_string())));
    }
    assert!(keys.len() > 100, "the sources are read");
    for page in ["live.html", "page.html"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/status/page").join(page);
        let text = fs::read_to_string(path).unwrap();
        let found = text.split(" t(\"").chain(text.split("(t(\"").skip(1)).skip(1).filter_map(|rest| rest.split_once('"'));
        keys.extend(found.map(|(key, _)| (key.to_owned(), page.to_owned())));
    }
    keys.extend(help::tests::declared().into_iter().map(|text| (text, "the commands".to_owned())));
    for setting in SETTINGS {
        let words = setting.default.filter(|default| default.contains([' ', '\'']));
        let texts = [Some(setting.help), Some(setting.details), words].into_iter().flatten().filter(|text| !text.is_empty());
        keys.extend(texts.map(|text| (text.to_owned(), format!("option --{}", setting.name))));
    }
    keys.extend(Group::ALL.map(|group| (group.heading().to_owned(), "headings of options".to_owned())));
    keys
}

#[test]
fn no_message_is_without_chinese_and_none_is_left_over() {
    let (keys, texts) = (keys(), catalogue());
    let missing: Vec<_> = keys.iter().filter(|(key, _)| !texts.contains_key(*key)).collect();
    assert!(missing.is_empty(), "without a Chinese text: {missing:#?}");
    let unused: Vec<_> = texts.keys().filter(|key| !keys.contains_key(*key)).collect();
    assert!(unused.is_empty(), "no source says: {unused:#?}");
}

#[test]
fn a_translation_has_the_values_of_its_message() {
    for (key, text) in catalogue() {
        assert_eq!(placeholders(&key), placeholders(&text), "{key}");
        assert!(!text.trim().is_empty() && text.starts_with('\n') == key.starts_with('\n'), "{key}");
    }
}

/// Rooms whose words are for programs, or for those who write tests.
const WITHOUT_MESSAGES: [&str; 4] =
    ["src/sandbox", "src/failpoint.rs", "src/provider/manifest/tests", "src/propagation/misbehaviour.rs"];

/// Whether a file is compiled into tests only.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    path.components().any(|part| part.as_os_str() == "tests") || name.ends_with("tests") || name.starts_with("test")
}

/// What follows `#[cfg(test)]` is left out.
fn without_tests(stream: TokenStream) -> Vec<TokenTree> {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut is_test = false;
    for token in stream {
        let text = token.to_string();
        let ends = is_test && (text == ";" || matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace));
        is_test |= text.replace(' ', "") == "[cfg(test)]";
        if !is_test {
            kept.push(token);
        }
        is_test &= !ends;
    }
    kept
}

/// Whether a text has words, apart from values and what stands between backticks.
fn has_words(text: &str) -> bool {
    let outside: String = text.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let outside: String = outside.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect();
    outside.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word.len() > 2)
}

/// Texts that go into an error, a hint or a context without `t!`.
fn untranslated(tokens: &[TokenTree], found: &mut Vec<String>) {
    for (place, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let inner = without_tests(group.stream());
        let before = |back: usize| place.checked_sub(back).map(|place| tokens[place].to_string()).unwrap_or_default();
        let makes_error =
            before(2) == ":" && before(4) == "Error" && ["new", "usage", "config", "provider"].contains(&before(1).as_str());
        let adds = before(2) == "." && ["with_hint", "context"].contains(&before(1).as_str());
        if group.delimiter() == Delimiter::Parenthesis && (makes_error || adds) {
            let last = inner.rsplit(|token| token.to_string() == ",").find(|argument| !argument.is_empty()).unwrap_or_default();
            let text = match last {
                [TokenTree::Literal(_), ..] => text_of(&last[0]),
                [TokenTree::Ident(name), _, TokenTree::Group(arguments), ..] if name == "format" => {
                    arguments.stream().into_iter().next().as_ref().and_then(text_of)
                }
                _ => None,
            };
            found.extend(text.filter(|text| has_words(text)));
        }
        untranslated(&inner, found);
    }
}

#[test]
fn whatever_goes_into_an_error_is_a_message() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for path in sources() {
        if is_test(&path) || WITHOUT_MESSAGES.iter().any(|room| path.starts_with(root.join(room))) {
            continue;
        }
        let mut texts = Vec::new();
        untranslated(&without_tests(tokens(&path)), &mut texts);
        if !texts.is_empty() {
            found.insert(path.strip_prefix(root).unwrap().to_owned(), texts);
        }
    }
    assert!(found.is_empty(), "make these with `t!` (CONTRIBUTING.md, *Messages*): {found:#?}");
}

#[test]
fn a_text_without_t_is_found() {
    let source = r#"
        fn one() { Error::new(ErrorKind::Usage, "a plain text").with_hint(format!("with {value} in it")) }
        fn two() { Error::usage(t!("a message")).context("what it is") }
        fn three() { Error::config(format!("`{path}`")).with_hint("`chmod 600`") }
        #[cfg(test)]
        mod tests { fn four() { Error::usage("only in a test") } }
    "#;
    let mut found = Vec::new();
    untranslated(&without_tests(TokenStream::from_str(source).unwrap()), &mut found);
    found.sort();
    assert_eq!(found, ["a plain text", "what it is", "with {value} in it"]);
}
