//! The functions behind the allow-list: jaq's own definitions, as far as a query needs them, and those for DNS and XML.

use std::sync::OnceLock;

use jaq_core::{
    Bind, Error, Exn, Native,
    box_iter::box_once,
    load::{
        self,
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    native::{Fun, run},
    path::Part,
};
use jaq_json::Val;

use super::{
    Kind,
    allow::{TICK, TIMES, WEIGH},
    values,
};

use crate::language::t;

/// Definitions of our own. `kids` and `text` are for XML replies, which are objects `{t, a, c}` (tag, attributes, children).
const OWN: &str = r#"
def kids($name): .c[]? | select(.t? == $name);
def text: [.c[]? | strings] | join("");
def bare: if $record_type == "CNAME" then nodot | ascii_downcase else unquote end;
def times__(a; b): a as $x | b as $y |
  if ($x | isnumber) and ($y | isnumber) then $x * $y else error("only numbers can be multiplied") end;
"#;

/// Names that are replaced: jaq's JSON reader has no limit for nesting, serde_json's has.
const REPLACED: &[&str] = &["fromjson", "tonumber", "toboolean", "totype"];

/// Every definition that there is, in order.
fn all() -> &'static [Def<&'static str>] {
    static ALL: OnceLock<Vec<Def<&'static str>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let own = load::parse(OWN, |parser| parser.defs()).unwrap_or_default();
        jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs())
            .filter(|def| !REPLACED.contains(&def.name))
            .chain(own)
            .collect()
    })
}

/// The definitions that `term` needs, directly or through others, in order.
pub(super) fn definitions_for(term: &Term<&str>) -> Vec<Def<&'static str>> {
    let all = all();
    let mut is_needed = vec![false; all.len()];
    let mut open = Vec::new();
    calls(term, &mut open);
    let mut open: Vec<(String, usize)> = open.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    while let Some((name, count)) = open.pop() {
        for (index, def) in all.iter().enumerate() {
            if !is_needed[index] && def.name == name && def.args.len() == count {
                is_needed[index] = true;
                let mut more = Vec::new();
                calls(&def.body, &mut more);
                open.extend(more.into_iter().map(|(name, count)| (name.to_owned(), count)));
            }
        }
    }
    all.iter().zip(is_needed).filter(|(_, is_needed)| *is_needed).map(|(def, _)| def.clone()).collect()
}

/// Every call in `term`.
fn calls<'a>(term: &Term<&'a str>, found: &mut Vec<(&'a str, usize)>) {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Arr(None) | Term::Break(_) | Term::Var(_) => {}
        Term::Str(format, parts) => {
            found.extend(format.map(|format| (format, 0)));
            for part in parts {
                if let StrPart::Term(inner) = part {
                    calls(inner, found);
                }
            }
            found.push(("tostring", 0));
        }
        Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => calls(inner, found),
        Term::Obj(entries) => {
            for (key, value) in entries {
                calls(key, found);
                if let Some(value) = value {
                    calls(value, found);
                }
            }
        }
        Term::BinOp(left, operator, right) => {
            calls(left, found);
            calls(right, found);
            if let BinaryOp::Pipe(Some(pattern)) = operator {
                pattern_calls(pattern, found);
            }
        }
        Term::Fold(_, inner, pattern, arguments) => {
            calls(inner, found);
            pattern_calls(pattern, found);
            for argument in arguments {
                calls(argument, found);
            }
        }
        Term::TryCatch(inner, handler) => {
            calls(inner, found);
            if let Some(handler) = handler {
                calls(handler, found);
            }
        }
        Term::IfThenElse(branches, otherwise) => {
            for (condition, then) in branches {
                calls(condition, found);
                calls(then, found);
            }
            if let Some(otherwise) = otherwise {
                calls(otherwise, found);
            }
        }
        Term::Def(inner, rest) => {
            for def in inner {
                calls(&def.body, found);
            }
            calls(rest, found);
        }
        Term::Call(name, arguments) => {
            found.push((name, arguments.len()));
            for argument in arguments {
                calls(argument, found);
            }
        }
        Term::Path(inner, path) => {
            calls(inner, found);
            for (part, _) in &path.0 {
                match part {
                    Part::Index(index) => calls(index, found),
                    Part::Range(from, to) => [from, to].into_iter().flatten().for_each(|bound| calls(bound, found)),
                }
            }
        }
    }
}

fn pattern_calls<'a>(pattern: &Pattern<&'a str>, found: &mut Vec<(&'a str, usize)>) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(all) => all.iter().for_each(|inner| pattern_calls(inner, found)),
        Pattern::Obj(all) => {
            for (key, inner) in all {
                calls(key, found);
                pattern_calls(inner, found);
            }
        }
    }
}

/// The functions in Rust. Those that a manifest may not use are unreachable: only the checked term and the definitions that it
/// needs can name them.
pub(super) fn functions() -> impl Iterator<Item = Fun<Kind>> {
    let none = || -> Box<[Bind]> { Box::new([]) };
    let ours = [
        run::<Kind>((TICK, none(), |(context, value)| {
            box_once(context.data().budget.step().map(|()| value).map_err(|why| Exn::from(Error::str(why))))
        })),
        run::<Kind>((WEIGH, none(), |(context, value)| {
            box_once(context.data().budget.weigh(&value).map(|()| value).map_err(|why| Exn::from(Error::str(why))))
        })),
        run::<Kind>(("unquote", none(), |(_, value)| {
            box_once(Ok(match values::text_of(&value) {
                Some(text) => Val::from(unquote(&text)),
                None => value,
            }))
        })),
        run::<Kind>(("nodot", none(), |(_, value)| {
            box_once(Ok(match values::text_of(&value) {
                Some(text) => Val::from(text.strip_suffix('.').unwrap_or(&text).to_owned()),
                None => value,
            }))
        })),
        run::<Kind>(("fromjson", none(), |(_, value)| box_once(from_json(&value).map_err(Exn::from)))),
        run::<Kind>(("tonumber", none(), |(_, value)| {
            box_once(match &value {
                Val::Num(_) => Ok(value),
                _ => match from_json(&value) {
                    Ok(number @ Val::Num(_)) => Ok(number),
                    _ => Err(Exn::from(Error::str(t!("cannot be read as a number")))),
                },
            })
        })),
    ];
    let theirs = jaq_core::funs::<Kind>().chain(jaq_std::funs::<Kind>()).chain(jaq_json::funs::<Kind>());
    theirs.filter(|(name, _, _): &(&str, Box<[Bind]>, Native<Kind>)| !REPLACED.contains(name)).chain(ours)
}

fn from_json(value: &Val) -> Result<Val, Error<Val>> {
    let text = values::text_of(value).ok_or_else(|| Error::str(t!("only text can be read as JSON")))?;
    let parsed: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Error::str(t!("is not JSON: %{error}", error)))?;
    Ok(values::to_jq(&parsed))
}

/// A TXT value without quotes, whatever way a service shows it: `abc`, `"abc"`, `"ab" "c"` (RFC 1035 section 5.1).
pub(in crate::provider::manifest) fn unquote(text: &str) -> String {
    let trimmed = text.trim();
    if !(trimmed.len() >= 2 && trimmed.starts_with('"') && trimmed.ends_with('"')) {
        return text.to_owned();
    }
    let mut bare = String::with_capacity(trimmed.len());
    let mut is_inside = false;
    let mut characters = trimmed.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => is_inside = !is_inside,
            '\\' if is_inside => bare.extend(escaped(&mut characters)),
            c if is_inside => bare.push(c),
            c if c.is_whitespace() => {}
            // Not the presentation form after all: something stands between the quoted parts.
            _ => return text.to_owned(),
        }
    }
    bare
}

/// The character after a backslash: `\"` or `\123` (decimal).
fn escaped(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let digits: String = characters.as_str().chars().take(3).take_while(char::is_ascii_digit).collect();
    match digits.parse::<u8>() {
        Ok(code) if digits.len() == 3 => {
            characters.nth(2);
            Some(char::from(code))
        }
        _ => characters.next(),
    }
}

/// Keeps [`TIMES`] tied to its definition in [`OWN`].
const _: () = assert!(matches!(TIMES.as_bytes(), b"times__"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_definitions_are_read() {
        let names: Vec<&str> = all().iter().map(|def| def.name).collect();
        for name in ["kids", "text", "bare", TIMES, "select", "map", "tostring"] {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    fn txt_values_lose_quotes_in_every_spelling() {
        for (shown, bare) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            (" \"ab\" \"c\" ", "abc"),
            ("\"a\\\"b\\\\c\"", "a\"b\\c"),
            ("\"a\\065b\"", "aAb"),
            ("\"", "\""),
            ("a\"b\"", "a\"b\""),
            ("\"a\"x\"b\"", "\"a\"x\"b\""),
        ] {
            assert_eq!(unquote(shown), bare, "{shown}");
        }
    }
}
