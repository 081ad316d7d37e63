//! The catalogue against the sources: nothing is missing, nothing is left over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use proc_macro2::{TokenStream, TokenTree};

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
