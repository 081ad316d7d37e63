//! What a query may say, and the counting steps that are put into it.

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Pattern, Term},
    },
    ops::Math,
    path::{Part, Path},
};

use crate::{language::t, nearest::nearest};

/// The functions that a query may call, with the number of their arguments. Each ends on every finite input.
/// `..` is allowed too: it is bounded by the reply.
const FUNCTIONS: &[(&str, usize)] = &[
    ("@base64", 0),
    ("@base64d", 0),
    ("@json", 0),
    ("@text", 0),
    ("@uri", 0),
    ("abs", 0),
    ("add", 0),
    ("add", 1),
    ("all", 0),
    ("all", 1),
    ("all", 2),
    ("any", 0),
    ("any", 1),
    ("any", 2),
    ("arrays", 0),
    ("ascii_downcase", 0),
    ("ascii_upcase", 0),
    ("bare", 0),
    ("booleans", 0),
    ("capture", 1),
    ("ceil", 0),
    ("contains", 1),
    ("empty", 0),
    ("endswith", 1),
    ("error", 0),
    ("error", 1),
    ("false", 0),
    ("first", 0),
    ("first", 1),
    ("flatten", 0),
    ("floor", 0),
    ("from_entries", 0),
    ("fromjson", 0),
    ("group_by", 1),
    ("has", 1),
    ("isempty", 1),
    ("iterables", 0),
    ("join", 1),
    ("keys", 0),
    ("keys_unsorted", 0),
    ("kids", 1),
    ("last", 0),
    ("length", 0),
    ("ltrimstr", 1),
    ("map", 1),
    ("max", 0),
    ("max_by", 1),
    ("min", 0),
    ("min_by", 1),
    ("nodot", 0),
    ("not", 0),
    ("null", 0),
    ("nulls", 0),
    ("numbers", 0),
    ("objects", 0),
    ("reverse", 0),
    ("round", 0),
    ("rtrimstr", 1),
    ("scalars", 0),
    ("select", 1),
    ("sort", 0),
    ("sort_by", 1),
    ("split", 1),
    ("startswith", 1),
    ("strings", 0),
    ("test", 1),
    ("test", 2),
    ("text", 0),
    ("to_entries", 0),
    ("tojson", 0),
    ("tonumber", 0),
    ("tostring", 0),
    ("trim", 0),
    ("true", 0),
    ("type", 0),
    ("unique", 0),
    ("unique_by", 1),
    ("unquote", 0),
    ("values", 0),
    ("with_entries", 1),
];

/// The functions whose first argument is a regular expression: it must be written out, so that its size is known.
const REGULAR_EXPRESSIONS: &[&str] = &["test", "capture"];

/// The step that counts; it comes after what loops.
pub(super) const TICK: &str = "tick__";
/// The step that counts and measures its input; it comes after what builds values.
pub(super) const WEIGH: &str = "weigh__";
/// Multiplication of numbers; jq's own repeats strings too.
pub(super) const TIMES: &str = "times__";

/// The same term with counting steps in it.
///
/// # Errors
/// Names the first thing that is not allowed.
pub(super) fn checked(term: Term<&str>) -> Result<Term<&str>, String> {
    Ok(match term {
        Term::Id | Term::Num(_) | Term::Var(_) | Term::Arr(None) => term,
        Term::Recurse => after(term, TICK),
        Term::Str(format, parts) => {
            if let Some(format) = format {
                require(format, 0)?;
            }
            let is_plain = parts.iter().all(|part| !matches!(part, StrPart::Term(_)));
            let string = Term::Str(format, parts.into_iter().map(checked_part).collect::<Result<_, _>>()?);
            if is_plain { string } else { after(string, WEIGH) }
        }
        Term::Arr(Some(inner)) => after(Term::Arr(Some(boxed(*inner)?)), WEIGH),
        Term::Obj(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                // `{name}` and `{$name}` have no value, and their key must stay as it is.
                Ok(match value {
                    Some(value) => (checked(key)?, Some(checked(value)?)),
                    None => (plain_key(key)?, None),
                })
            });
            after(Term::Obj(entries.collect::<Result<_, String>>()?), WEIGH)
        }
        Term::Neg(inner) => Term::Neg(boxed(*inner)?),
        Term::BinOp(left, operator, right) => operation(*left, operator, *right)?,
        Term::TryCatch(inner, handler) => Term::TryCatch(boxed(*inner)?, handler.map(|handler| boxed(*handler)).transpose()?),
        Term::IfThenElse(branches, otherwise) => Term::IfThenElse(
            branches
                .into_iter()
                .map(|(condition, then)| Ok((checked(condition)?, checked(then)?)))
                .collect::<Result<_, String>>()?,
            otherwise.map(|otherwise| boxed(*otherwise)).transpose()?,
        ),
        Term::Call(name, arguments) => call(name, arguments)?,
        Term::Path(inner, Path(parts)) => {
            let parts = parts.into_iter().map(|(part, optional)| {
                let part = match part {
                    Part::Index(index) => Part::Index(checked(index)?),
                    Part::Range(from, to) => Part::Range(from.map(checked).transpose()?, to.map(checked).transpose()?),
                };
                Ok((part, optional))
            });
            let parts = parts.collect::<Result<_, String>>()?;
            after(Term::Path(boxed(*inner)?, Path(parts)), TICK)
        }
        Term::Def(..) => return Err(t!("jq: `def` is not allowed in a manifest").to_owned()),
        Term::Fold(word, ..) => return Err(t!("jq: `%{word}` is not allowed in a manifest", word)),
        Term::Label(..) | Term::Break(_) => return Err(t!("jq: `label` and `break` are not allowed in a manifest").to_owned()),
    })
}

fn operation<'a>(left: Term<&'a str>, operator: BinaryOp<&'a str>, right: Term<&'a str>) -> Result<Term<&'a str>, String> {
    let left = boxed(left)?;
    let right = boxed(right)?;
    Ok(match operator {
        BinaryOp::Pipe(pattern) => Term::BinOp(left, BinaryOp::Pipe(pattern.map(checked_pattern).transpose()?), right),
        BinaryOp::Comma => after(Term::BinOp(left, operator, right), TICK),
        BinaryOp::Math(Math::Mul) => Term::Call(TIMES, vec![*left, *right]),
        BinaryOp::Math(_) => after(Term::BinOp(left, operator, right), WEIGH),
        BinaryOp::Alt | BinaryOp::Or | BinaryOp::And | BinaryOp::Cmp(_) => Term::BinOp(left, operator, right),
        BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
            return Err(t!("jq: assignments (`=`, `|=`, `+=` …) are not allowed in a manifest").to_owned());
        }
    })
}

fn call<'a>(name: &'a str, arguments: Vec<Term<&'a str>>) -> Result<Term<&'a str>, String> {
    require(name, arguments.len())?;
    let is_written_out = |term: &Term<&str>| match term {
        Term::Str(None, parts) => parts.iter().all(|part| !matches!(part, StrPart::Term(_))),
        _ => false,
    };
    if REGULAR_EXPRESSIONS.contains(&name) && !arguments.iter().all(is_written_out) {
        return Err(t!("jq: the regular expression of `%{name}` must be a plain string", name));
    }
    let arguments = arguments.into_iter().map(checked).collect::<Result<_, _>>()?;
    Ok(after(Term::Call(name, arguments), WEIGH))
}

/// Refuses what is not in [`FUNCTIONS`].
fn require(name: &str, arguments: usize) -> Result<(), String> {
    if FUNCTIONS.contains(&(name, arguments)) {
        return Ok(());
    }
    let other: Vec<usize> = FUNCTIONS.iter().filter(|(known, _)| *known == name).map(|(_, count)| *count).collect();
    Err(match (other.as_slice(), nearest(name, FUNCTIONS.iter().map(|(known, _)| *known))) {
        ([], Some(near)) => t!("jq: the function `%{name}` is not allowed in a manifest; did you mean `%{near}`?", name, near),
        ([], None) => t!("jq: the function `%{name}` is not allowed in a manifest", name),
        (counts, _) => {
            t!("jq: `%{name}` takes %{counts} arguments, not %{arguments}", name, counts = format_args!("{counts:?}"), arguments)
        }
    })
}

fn checked_part<'a>(part: StrPart<&'a str, Term<&'a str>>) -> Result<StrPart<&'a str, Term<&'a str>>, String> {
    Ok(match part {
        StrPart::Term(term) => StrPart::Term(checked(term)?),
        plain => plain,
    })
}

fn checked_pattern(pattern: Pattern<&str>) -> Result<Pattern<&str>, String> {
    Ok(match pattern {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(all) => Pattern::Arr(all.into_iter().map(checked_pattern).collect::<Result<_, _>>()?),
        Pattern::Obj(all) => Pattern::Obj(
            all.into_iter().map(|(key, inner)| Ok((checked(key)?, checked_pattern(inner)?))).collect::<Result<_, String>>()?,
        ),
    })
}

/// A key without a value: `{name}`, `{"name"}`, `{$name}`.
fn plain_key(key: Term<&str>) -> Result<Term<&str>, String> {
    match &key {
        Term::Var(_) => Ok(key),
        Term::Str(None, parts) if parts.iter().all(|part| !matches!(part, StrPart::Term(_))) => Ok(key),
        _ => Err(t!("jq: an object's key without a value must be a plain name").to_owned()),
    }
}

fn boxed(term: Term<&str>) -> Result<Box<Term<&str>>, String> {
    checked(term).map(Box::new)
}

/// `term | step`
fn after<'a>(term: Term<&'a str>, step: &'a str) -> Term<&'a str> {
    Term::BinOp(Box::new(term), BinaryOp::Pipe(None), Box::new(Term::Call(step, Vec::new())))
}
