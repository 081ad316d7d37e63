//! What is refused in a template when it is loaded.

use super::{super::filters, Known};
use crate::{language::t, nearest::nearest};

/// What `req` has everywhere: when the call is made, in seconds and milliseconds, and 32 random hex digits.
const MOMENT_FIELDS: &[&str] = &["ts", "ms", "nonce"];
/// What `req` has where the request is known: in headers and in `[sign]`.
const REQUEST_FIELDS: &[&str] = &["method", "url", "host", "path", "query", "body", "params", "ts", "ms", "nonce"];

/// How many words and signs one expression may have: minijinja's parser goes one call deeper for each sign in front of a value.
const MAX_TOKENS: usize = 300;
/// How many `for` and `if` a template may have.
const MAX_BLOCKS: usize = 20;

/// Refuses what minijinja would notice only when it runs: unknown filters, tests, methods; and statements other than `for` and `if`.
pub(super) fn syntax(text: &str) -> Result<(), String> {
    if text.matches("{%").count() > 3 * MAX_BLOCKS {
        return Err(t!("the template has more than %{MAX_BLOCKS} `for` and `if`", MAX_BLOCKS));
    }
    let mut rest = text;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let kind = &rest[start..start + 2];
        let close = match kind {
            "{{" => "}}",
            "{%" => "%}",
            _ => return Err(t!("comments `{# #}` are not allowed").to_owned()),
        };
        let inner = &rest[start + 2..];
        let length = end_of(inner, close).ok_or_else(|| t!("`%{kind}` is not closed", kind))?;
        expression(&inner[..length], kind == "{%")?;
        rest = &inner[length + 2..];
    }
    Ok(())
}

/// Where `close` stands outside of strings and brackets.
fn end_of(text: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, _) if depth == 0 && text[index..].starts_with(close) => return Some(index),
            (None, '{' | '[' | '(') => depth += 1,
            (None, '}' | ']' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn expression(text: &str, is_statement: bool) -> Result<(), String> {
    let tokens = tokens(text);
    if tokens.len() > MAX_TOKENS {
        return Err(t!("the expression is longer than %{MAX_TOKENS} words and signs", MAX_TOKENS));
    }
    if is_statement {
        let word = tokens.iter().find(|token| **token != "-").copied().unwrap_or_default();
        if !matches!(word, "for" | "endfor" | "if" | "elif" | "else" | "endif") {
            return Err(t!("the statement `%{word}` is not allowed; `for` and `if` are", word));
        }
    }
    for window in tokens.windows(3) {
        if let [".", method, "("] = window {
            return Err(t!("the method `%{method}` is not allowed; use a filter", method));
        }
    }
    for pair in tokens.windows(2) {
        match pair {
            ["|", name] if !filters::NAMES.contains(name) => {
                let near = nearest(name, filters::NAMES.iter().copied());
                return Err(match near {
                    Some(near) => t!("unknown filter `%{name}`; did you mean `%{near}`?", name, near),
                    None => t!("unknown filter `%{name}`", name),
                });
            }
            ["is", _] => return Err(t!("tests (`is …`) are not allowed").to_owned()),
            ["*", _] => return Err(t!("multiplication is not allowed: it could repeat a text without end").to_owned()),
            _ => {}
        }
    }
    Ok(())
}

/// Words and single characters, without strings and spaces.
fn tokens(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            c if c.is_alphanumeric() || c == '_' => rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        all.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    all
}

/// Refuses names that are not known here; whether it is a credential that may be null.
pub(super) fn name(name: &str, known: Known<'_>) -> Result<bool, String> {
    let (root, rest) = name.split_once('.').unwrap_or((name, ""));
    if root == "cred" {
        let (credential, field) = rest.split_once('.').unwrap_or((rest, ""));
        let Some(shape) = known.declared.get(credential) else {
            let near = nearest(credential, known.declared.keys().map(String::as_str));
            let near = near.map(|near| t!("; did you mean `cred.%{near}`?", near)).unwrap_or_default();
            return Err(t!("unknown credential `%{name}`%{near}", name, near));
        };
        return match &shape.fields {
            None if field.is_empty() => Ok(shape.optional),
            Some(fields) if fields.iter().any(|known| known == field) => Ok(false),
            Some(fields) => {
                Err(t!("unknown field in `%{name}`; `%{credential}` has %{fields}", name, credential, fields = fields.join(", ")))
            }
            None => Err(t!("`cred.%{credential}` has no fields", credential)),
        };
    }
    if root == "req" && known.objects.contains(&"req") {
        let fields = if known.whole_request { REQUEST_FIELDS } else { MOMENT_FIELDS };
        return if fields.contains(&rest) {
            Ok(false)
        } else {
            Err(t!("unknown variable `%{name}`; `req` has %{fields} here", name, fields = fields.join(", ")))
        };
    }
    if known.names.contains(&root) {
        return if rest.is_empty() { Ok(false) } else { Err(t!("`%{root}` has no fields, so `%{name}` is nothing", root, name)) };
    }
    if known.objects.contains(&root) {
        return Ok(false);
    }
    let all = known.names.iter().chain(known.objects).copied();
    Err(match nearest(root, all) {
        Some(near) => t!("unknown variable `%{name}` here; did you mean `%{near}`?", name, near),
        None => t!("unknown variable `%{name}` here", name),
    })
}
