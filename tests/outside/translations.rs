//! The pages in Chinese (`README.zh-CN.md`, `docs/zh-CN/`) beside those in English: the same sections with the same commands, options, tables, numbers and
//! links. Commands are therefore tried wherever those of the English page are; only comments in them may be translated.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// What a text says that no language changes.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    code: BTreeSet<String>,
    numbers: BTreeSet<String>,
    links: BTreeSet<String>,
}

/// From one heading to the next. Text may be told in another order within it, tables and blocks may not.
#[derive(Debug, Default, PartialEq)]
struct Section {
    level: usize,
    text: Facts,
    rows: Vec<Facts>,
    blocks: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// English page and Chinese page, from the project's folder.
fn pairs() -> Vec<(String, String)> {
    let mut names: Vec<String> = fs::read_dir(root().join("docs/zh-CN"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().expect("a plain name"))
        .collect();
    names.sort();
    let docs = names.iter().map(|name| (format!("docs/{name}"), format!("docs/zh-CN/{name}")));
    [("README.md".to_owned(), "README.zh-CN.md".to_owned())].into_iter().chain(docs).collect()
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// `path` with `..` worked out, as a link from `page` means it.
fn resolved(page: &str, path: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop().expect("links stay within the project")),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The English page that a Chinese one is of; any other path as it is.
fn english(path: &str) -> String {
    path.replace("docs/zh-CN/", "docs/").replace(".zh-CN.md", ".md")
}

impl Facts {
    fn of(page: &str, text: &str) -> Self {
        let mut facts = Self::default();
        for (index, part) in text.split('`').enumerate() {
            if index % 2 == 1 {
                facts.code.insert(part.to_owned());
                continue;
            }
            for (index, part) in part.split("](").enumerate() {
                let (target, words) = if index == 0 { ("", part) } else { part.split_once(')').expect("a link ends") };
                if target.contains("://") {
                    facts.links.insert(target.to_owned());
                } else if !target.is_empty() {
                    facts.links.insert(resolved(page, target));
                }
                let numbers = words.split(|sign: char| !sign.is_ascii_digit() && sign != '.').map(|word| word.trim_matches('.'));
                facts.numbers.extend(numbers.filter(|word| !word.is_empty()).map(str::to_owned));
            }
        }
        facts
    }

    /// The same with links to pages in the reader's language taken for links to the English ones.
    fn in_english(mut self) -> Self {
        self.links = self.links.iter().map(|link| english(link)).collect();
        self
    }
}

/// The line without the words of a comment: `# ` at its begin, or after two blanks.
fn without_comment(line: &str) -> String {
    let comment = if line.trim_start().starts_with("# ") { line.find("# ") } else { line.find("  # ") };
    comment.map_or_else(|| line.to_owned(), |at| format!("{} #", line[..at].trim_end()))
}

fn sections(page: &str) -> Vec<Section> {
    let text = read(page);
    let mut sections: Vec<Section> = Vec::new();
    let mut words = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        if level > 0 {
            if let Some(section) = sections.last_mut() {
                section.text = Facts::of(page, &std::mem::take(&mut words));
            }
            sections.push(Section { level, ..Section::default() });
            words.push_str(line);
        } else if line.starts_with("```") {
            let block = lines.by_ref().take_while(|line| !line.starts_with("```")).map(without_comment);
            let block = [line.to_owned()].into_iter().chain(block).collect::<Vec<_>>().join("\n");
            sections.last_mut().expect("a heading first").blocks.push(block);
        } else if line.starts_with('|') {
            sections.last_mut().expect("a heading first").rows.push(Facts::of(page, line));
        } else if !is_switch(line) {
            words.push_str(line);
        }
        words.push('\n');
    }
    sections.last_mut().expect("a heading").text = Facts::of(page, &words);
    sections
}

/// The line that leads to the page in the other language.
fn is_switch(line: &str) -> bool {
    line.starts_with("English | [简体中文](") || line.starts_with("[English](") && line.ends_with(") | 简体中文")
}

#[test]
fn both_languages_say_the_same() {
    for (page, translation) in pairs() {
        let (said, so) = (sections(&translation), sections(&page));
        let levels = |sections: &[Section]| sections.iter().map(|section| section.level).collect::<Vec<_>>();
        assert_eq!(levels(&said), levels(&so), "the headings of {translation} (left) and {page} (right)");
        for (number, (said, so)) in said.into_iter().zip(so).enumerate() {
            let place = format!("{translation} (left) and {page} (right) differ below heading {}", number + 1);
            assert_eq!(said.text.in_english(), so.text, "{place}: the text");
            assert_eq!(said.blocks, so.blocks, "{place}: the blocks");
            assert_eq!(said.rows.len(), so.rows.len(), "{place}: the rows of the tables");
            for (said, so) in said.rows.into_iter().zip(so.rows) {
                assert_eq!(said.in_english(), so, "{place}: a row");
            }
        }
    }
}

#[test]
fn each_page_leads_to_the_other_language_and_to_files_that_are_there() {
    for (page, translation) in pairs() {
        for (from, to) in [(&page, &translation), (&translation, &page)] {
            let text = read(from);
            let switch =
                text.lines().nth(2).filter(|line| is_switch(line)).unwrap_or_else(|| panic!("{from}: no other language"));
            let there: Vec<String> = Facts::of(from, switch).links.into_iter().collect();
            assert_eq!(there, std::slice::from_ref(to), "{from}");
            let links: Vec<String> = sections(from).into_iter().flat_map(|section| section.text.links).collect();
            for link in links.iter().filter(|link| !link.contains("://")) {
                let path = link.split('#').next().unwrap_or_default();
                assert!(root().join(path).exists(), "{from} leads to {link}, which is not there");
            }
            if from == &translation {
                let missed = links.iter().find(|link| pairs().iter().any(|(page, _)| page == *link));
                assert_eq!(missed, None, "{from} leads to an English page that there is in Chinese too");
            }
        }
    }
}

fn is_chinese(sign: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&sign)
}

#[test]
fn chinese_is_set_as_usual() {
    for (_, translation) in pairs() {
        let mut inside = false;
        for line in read(&translation).lines() {
            inside ^= line.starts_with("```");
            if inside {
                continue;
            }
            // Marks of Markdown have no width.
            let signs: Vec<char> = line.chars().filter(|sign| !"*[".contains(*sign)).collect();
            for pair in signs.windows(2) {
                let latin = |sign: char| sign.is_ascii_alphanumeric() || sign == '`';
                let is_close = is_chinese(pair[0]) && latin(pair[1]) || latin(pair[0]) && is_chinese(pair[1]);
                assert!(!is_close, "{translation}: a blank belongs between `{}` and `{}`: {line}", pair[0], pair[1]);
                let is_narrow = is_chinese(pair[0]) && ",.;:!?()".contains(pair[1]);
                assert!(!is_narrow, "{translation}: `{}` after `{}` is of the wrong width: {line}", pair[1], pair[0]);
            }
        }
    }
}
