//! jq on replies: compiled once, with an allow-list of functions, bounded in steps, time, size and number of outputs.
//!
//! A manifest is not trusted, so its jq must end and must stay small whatever the reply is. Three things see to that: the
//! syntax tree is checked (`allow`): no definitions, folds, assignments, labels, nor functions outside the list; each
//! part of it that loops or builds values is followed by a step that counts (`budget`); and outputs are bounded.

mod allow;
mod budget;
mod library;
mod values;

use std::collections::BTreeMap;

use jaq_core::{
    Compiler, Ctx, DataT, Lut, Vars,
    compile::Undefined,
    data::HasLut,
    load::{self, Arena, File, Lexer, Loader, Parser, parse::Term},
    unwrap_valr,
};
use jaq_json::Val;
use serde_json::Value;

use budget::Budget;

use crate::language::t;

/// Values for the variables of a query, by name without the `$`.
pub(super) type Variables = BTreeMap<&'static str, Value>;

/// The longest query, in bytes.
const MAX_LENGTH: usize = 2000;
/// How deep brackets may nest in a query.
const MAX_NESTING: usize = 32;
/// How many words and signs a query may have: parser and compiler go deeper with each operator.
const MAX_TOKENS: usize = 400;
/// How many outputs a query may have.
const MAX_OUTPUTS: usize = 20_000;

/// The name under which the query itself is a definition.
const MAIN: &str = "main__";

/// The data types that queries run on.
pub(super) struct Kind;

impl DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = Data<'a>;
}

/// What native functions can reach.
#[derive(Clone)]
pub(super) struct Data<'a> {
    lut: &'a Lut<Kind>,
    budget: &'a Budget,
}

impl<'a> HasLut<'a, Kind> for Data<'a> {
    fn lut(&self) -> &'a Lut<Kind> {
        self.lut
    }
}

/// A compiled query.
pub(super) struct Query {
    filter: jaq_core::Filter<Kind>,
    variables: Vec<&'static str>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").field("variables", &self.variables).finish_non_exhaustive()
    }
}

impl Query {
    /// Compiles `text`, which may use `variables` (names without the `$`).
    ///
    /// # Errors
    /// What is wrong, as a sentence fragment.
    pub(super) fn compile(text: &str, variables: &[&'static str]) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(t!("the query is longer than %{MAX_LENGTH} bytes", MAX_LENGTH));
        }
        if nesting(text) > MAX_NESTING {
            return Err(t!("the query nests deeper than %{MAX_NESTING} brackets", MAX_NESTING));
        }
        if tokens(text) > MAX_TOKENS {
            return Err(t!("the query is longer than %{MAX_TOKENS} words and signs", MAX_TOKENS));
        }
        let term = allow::checked(parse(text)?)?;
        let definitions = library::definitions_for(&term);
        let main = load::parse::Def { name: MAIN, args: Vec::new(), body: term };
        let variables: Vec<&'static str> = variables.iter().copied().chain(["record_type"]).collect();
        let globals: Vec<String> = variables.iter().map(|name| format!("${name}")).collect();

        let arena = Arena::default();
        let loader = Loader::new(definitions.into_iter().chain([main]));
        let modules =
            loader.load(&arena, File { code: MAIN, path: () }).map_err(|_| t!("the query cannot be loaded").to_owned())?;
        let filter = Compiler::default()
            .with_funs(library::functions())
            .with_global_vars(globals.iter().map(String::as_str))
            .compile(modules)
            .map_err(|errors| describe(errors.into_iter().flat_map(|(_, errors)| errors)))?;
        Ok(Self { filter, variables })
    }

    /// All outputs for `input`.
    ///
    /// # Errors
    /// What the query itself raises (such as `.[]` on a number), and where a bound is reached.
    pub(super) fn run(&self, input: &Value, variables: &Variables) -> Result<Vec<Value>, String> {
        let budget = Budget::default();
        let bound = self.variables.iter().map(|name| variables.get(name).map_or(Val::Null, values::to_jq));
        let data = Data { lut: &self.filter.lut, budget: &budget };
        let context = Ctx::<Kind>::new(data, Vars::new(bound.collect::<Vec<_>>()));
        let mut outputs = Vec::new();
        let mut room = values::Room::default();
        for output in self.filter.id.run((context, values::to_jq(input))).map(unwrap_valr) {
            let output = output.map_err(|error| shorten(&error.to_string()))?;
            if outputs.len() == MAX_OUTPUTS {
                return Err(t!("the query yields more than %{MAX_OUTPUTS} values", MAX_OUTPUTS));
            }
            outputs.push(values::from_jq(&output, &mut room)?);
        }
        Ok(outputs)
    }

    /// The first output that is not null.
    ///
    /// # Errors
    /// As [`Query::run`].
    pub(super) fn first(&self, input: &Value, variables: &Variables) -> Result<Option<Value>, String> {
        Ok(self.run(input, variables)?.into_iter().find(|value| !value.is_null()))
    }

    /// Whether the query holds: its last output is neither false nor null. One that fails, as on a reply of another shape, does not hold.
    pub(super) fn holds(&self, input: &Value, variables: &Variables) -> bool {
        self.run(input, variables)
            .is_ok_and(|all| all.last().is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false))))
    }

    /// The first output as text; `None` where there is none, or the query fails.
    pub(super) fn text(&self, input: &Value, variables: &Variables) -> Option<String> {
        match self.first(input, variables).ok()?? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
        .filter(|text| !text.trim().is_empty())
    }
}

/// Parses without compiling.
fn parse(text: &str) -> Result<Term<&str>, String> {
    let tokens = Lexer::new(text).lex().map_err(|errors| match errors.first() {
        Some((expected, found)) => {
            t!("jq: expected %{expected}, found %{found}", expected = expected.as_str(), found = shown(found))
        }
        None => t!("jq: cannot be read").to_owned(),
    })?;
    Parser::new(&tokens).parse(Parser::term).map_err(|errors| match errors.first() {
        Some((expected, found)) => {
            let found = found.map_or_else(|| t!("the end").to_owned(), |token| shown(token.0));
            t!("jq: expected %{expected}, found %{found}", expected = expected.as_str(), found)
        }
        None => t!("jq: cannot be read").to_owned(),
    })
}

/// What the compiler did not find.
fn describe<'a>(errors: impl Iterator<Item = (&'a str, Undefined)>) -> String {
    let all: Vec<String> = errors.map(|(name, kind)| t!("unknown %{kind} `%{name}`", kind = kind.as_str(), name)).collect();
    format!("jq: {}", all.join(", "))
}

fn shown(text: &str) -> String {
    if text.is_empty() { t!("the end").to_owned() } else { format!("`{}`", shorten(text)) }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How many words and signs there are, those in strings included.
fn tokens(text: &str) -> usize {
    let mut count = 0;
    let mut is_word = false;
    for c in text.chars() {
        let continues = c.is_alphanumeric() || c == '_';
        let begins = if continues { !is_word } else { !c.is_whitespace() };
        count += usize::from(begins);
        is_word = continues;
    }
    count
}

/// The deepest nesting of brackets, strings included: a bound for the parser's own recursion.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests;
