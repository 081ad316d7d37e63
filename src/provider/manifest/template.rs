//! Templates: strings with `{{ expression }}`, checked at load, evaluated to typed values.

use std::{collections::BTreeMap, io, sync::OnceLock};

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value as Jinja};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use super::filters::{self, RESERVED};

use crate::language::t;

mod check;

/// The longest template, in bytes.
const MAX_LENGTH: usize = 4000;
/// The longest text that a template may make, in bytes.
const MAX_OUTPUT: usize = 1024 * 1024;
/// How many instructions one evaluation may take.
const FUEL: u64 = 200_000;
/// What the formatter says about a null, so that it is told from other errors.
const NULL: &str = "is null";

/// The credentials that a manifest declares: whether each may be null, and its fields where it is a map per name.
pub(super) type Declared = BTreeMap<String, Shape>;

/// What a template may do with one credential.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// It may be null; a key that needs it is left out then.
    pub(super) optional: bool,
    /// The fields of one entry of a map per name; `None` for a plain value.
    pub(super) fields: Option<Vec<String>>,
}

/// What is known at one place of a manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// The plain variables.
    pub(super) names: &'a [&'a str],
    /// The variables that are objects, whose fields the API decides.
    pub(super) objects: &'a [&'a str],
    /// The credentials.
    pub(super) declared: &'a Declared,
    /// Whether `req` is the whole request, and not only the moment of the call.
    pub(super) whole_request: bool,
}

/// How expressions are written into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// As they are.
    None,
    /// Percent-encoded, for URLs.
    Url,
}

/// A checked template.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: String,
    /// The expression, where the text is nothing but one.
    lone: Option<String>,
    is_literal: bool,
    escape: Escape,
    mentions: Vec<String>,
    /// Whether it names a credential that may be null.
    may_drop: bool,
}

impl Template {
    /// Reads and checks a template.
    ///
    /// # Errors
    /// What is wrong, as a sentence fragment.
    pub(super) fn parse(text: &str, escape: Escape, known: Known<'_>) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(t!("the template is longer than %{MAX_LENGTH} bytes", MAX_LENGTH));
        }
        let is_literal = !text.contains("{{") && !text.contains("{%") && !text.contains("{#");
        let mut template = Self { text: text.to_owned(), lone: None, is_literal, escape, mentions: Vec::new(), may_drop: false };
        if is_literal {
            return Ok(template);
        }
        check::syntax(text)?;
        let environment = environment(escape);
        let lone = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
        let lone = lone.and_then(|inner| Some((inner, environment.compile_expression(inner).ok()?)));
        let mentioned = if let Some((inner, expression)) = lone {
            template.lone = Some(inner.to_owned());
            expression.undeclared_variables(true)
        } else {
            environment.template_from_str(text).map_err(|error| describe(&error))?.undeclared_variables(true)
        };
        template.mentions = mentioned.into_iter().collect();
        template.mentions.sort();
        for name in &template.mentions {
            template.may_drop |= check::name(name, known)?;
        }
        Ok(template)
    }

    /// Whether it uses the variable `root` or a field of it.
    pub(super) fn mentions(&self, root: &str) -> bool {
        self.mentions.iter().any(|name| name == root || name.strip_prefix(root).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Whether it uses any variable at all.
    pub(super) fn is_literal(&self) -> bool {
        self.is_literal
    }

    /// The text as it is written in the manifest.
    pub(super) fn literal(&self) -> &str {
        &self.text
    }

    /// The value: typed where the template is one lone expression, else text. `None` where an optional credential that it needs is
    /// not set, so that its key is left out.
    ///
    /// # Errors
    /// An undefined or null value; a bound that is reached.
    pub(super) fn value(&self, context: &Jinja) -> Result<Option<Value>, String> {
        if let (Some(lone), Escape::None) = (&self.lone, self.escape) {
            let expression = environment(self.escape).compile_expression(lone).map_err(|error| describe(&error))?;
            filters::begin();
            let value = expression.eval(context.clone()).map_err(|error| self.failed(&error))?;
            if value.is_undefined() || value.is_none() {
                return self.dropped(context);
            }
            return serde_json::to_value(&value).map(Some).map_err(|error| t!("`%{lone}` is no value: %{error}", lone, error));
        }
        Ok(self.text(context)?.map(Value::String))
    }

    /// The text; `None` as for [`Template::value`].
    ///
    /// # Errors
    /// As [`Template::value`]; also where an expression is a list or an object.
    pub(super) fn text(&self, context: &Jinja) -> Result<Option<String>, String> {
        if self.is_literal {
            return Ok(Some(self.text.clone()));
        }
        let template = environment(self.escape).template_from_str(&self.text).map_err(|error| describe(&error))?;
        let mut output = Bounded(Vec::new());
        filters::begin();
        match template.render_captured_to(context.clone(), &mut output) {
            Ok(_) => String::from_utf8(output.0).map(Some).map_err(|_| t!("the result is no text").to_owned()),
            Err(error) if error.detail() == Some(NULL) => self.dropped(context),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// A null: fine where it comes from an optional credential that is not set, an error anywhere else.
    fn dropped<T>(&self, context: &Jinja) -> Result<Option<T>, String> {
        let is_unset = |name: &String| {
            let credential = name.strip_prefix("cred.").unwrap_or_default();
            context.get_attr("cred").and_then(|all| all.get_attr(credential)).is_ok_and(|value| value.is_none())
        };
        if self.may_drop && self.mentions.iter().any(is_unset) {
            return Ok(None);
        }
        Err(t!("`%{value}` has no value", value = self.text.trim()))
    }

    fn failed(&self, error: &Error) -> String {
        format!("`{}`: {}", self.text.trim(), describe(error))
    }
}

/// JSON as templates see it.
pub(super) fn context_of(value: &Value) -> Jinja {
    Jinja::from(minijinja::value::Serde(value))
}

/// The one environment for each way of escaping: only our filters, no functions, no tests, bounded.
fn environment(escape: Escape) -> &'static Environment<'static> {
    static PLAIN: OnceLock<Environment<'static>> = OnceLock::new();
    static URL: OnceLock<Environment<'static>> = OnceLock::new();
    let cell = if escape == Escape::Url { &URL } else { &PLAIN };
    cell.get_or_init(|| {
        let mut environment = Environment::empty();
        filters::register(&mut environment);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(50);
        environment.set_formatter(move |output, _, value| {
            if value.is_undefined() {
                return Err(Error::from(ErrorKind::UndefinedError));
            }
            if value.is_none() {
                return Err(Error::new(ErrorKind::InvalidOperation, NULL));
            }
            if value.kind() == minijinja::value::ValueKind::Seq || value.kind() == minijinja::value::ValueKind::Map {
                return Err(Error::new(ErrorKind::InvalidOperation, t!("a list or an object is no text; use `| tojson`")));
            }
            let text = value.to_string();
            let written = match escape {
                Escape::None => output.write_str(&text),
                Escape::Url => write!(output, "{}", utf8_percent_encode(&text, RESERVED)),
            };
            written.map_err(Error::from)
        });
        environment
    })
}

fn describe(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// A buffer that refuses to grow beyond [`MAX_OUTPUT`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other(t!("the text is too long")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared() -> Declared {
        Declared::from([
            ("token".to_owned(), Shape::default()),
            ("team".to_owned(), Shape { optional: true, fields: None }),
            ("account".to_owned(), Shape { optional: false, fields: Some(vec!["user".to_owned()]) }),
        ])
    }

    fn parse(text: &str, escape: Escape) -> Result<Template, String> {
        Template::parse(
            text,
            escape,
            Known {
                names: &["fqdn", "value", "ttl", "items"],
                objects: &["zone", "req"],
                declared: &declared(),
                whole_request: true,
            },
        )
    }

    fn context() -> Jinja {
        context_of(&json!({
            "fqdn": "_dv.example.com", "value": "a/b \"c\"", "ttl": 60, "items": ["x", "y<"],
            "zone": {"id": 7, "none": null, "list": [1]},
            "cred": {"token": "secret", "team": null, "account": {"user": "u"}},
            "req": {"ts": 5},
        }))
    }

    fn value(text: &str) -> Result<Option<Value>, String> {
        parse(text, Escape::None)?.value(&context())
    }

    #[test]
    fn a_lone_expression_keeps_its_type() {
        assert_eq!(value("{{ ttl }}").unwrap(), Some(json!(60)));
        assert_eq!(value("{{ ttl | string }}").unwrap(), Some(json!("60")));
        assert_eq!(value("{{ items }}").unwrap(), Some(json!(["x", "y<"])));
        assert_eq!(value("{{ ttl }}:{{ zone.id }}").unwrap(), Some(json!("60:7")));
        assert_eq!(value("{{ {'a': {'b': ttl}} | tojson }}").unwrap(), Some(json!("{\"a\":{\"b\":60}}")));
        assert_eq!(value("plain").unwrap(), Some(json!("plain")));
        assert_eq!(value("{% for v in items %}<{{ v | e }}>{% endfor %}").unwrap(), Some(json!("<x><y&lt;>")));
        assert_eq!(value("{{ cred.account.user }}").unwrap(), Some(json!("u")));
    }

    #[test]
    fn in_urls_every_expression_is_percent_encoded() {
        let template = parse("/z/{{ value }}?n={{ fqdn }}&i={{ zone.id }}", Escape::Url).unwrap();
        assert_eq!(template.text(&context()).unwrap().unwrap(), "/z/a%2Fb%20%22c%22?n=_dv.example.com&i=7");
    }

    #[test]
    fn only_an_optional_credential_may_be_null() {
        assert_eq!(value("{{ cred.team }}").unwrap(), None);
        assert_eq!(value("t={{ cred.team }}").unwrap(), None);
        assert_eq!(value("{{ cred.team or cred.token }}").unwrap(), Some(json!("secret")));
        assert!(value("{{ zone.none }}").unwrap_err().contains("no value"));
        assert!(value("x{{ zone.none }}").unwrap_err().contains("no value"));
        assert!(value("{{ zone.missing }}").unwrap_err().contains("zone.missing"));
        assert!(value("x{{ zone.missing }}").unwrap_err().contains("undefined"));
        assert!(value("x{{ zone.list }}").unwrap_err().contains("tojson"));
    }

    #[test]
    fn what_is_unknown_is_refused_at_load() {
        for (text, named) in [
            ("{{ cred.tokn }}", "did you mean `cred.token`"),
            ("{{ cred }}", "unknown credential"),
            ("{{ cred['token'] }}", ""),
            ("{{ cred.token.x }}", "no fields"),
            ("{{ cred.account }}", "unknown field"),
            ("{{ cred.account.pass }}", "unknown field"),
            ("{{ fqnd }}", "did you mean `fqdn`"),
            ("{{ fqdn.x }}", "no fields"),
            ("{{ req.port }}", "req.port"),
            ("{{ value | quotd }}", "did you mean `quoted`"),
            ("{{ value | map(attribute='x') }}", "unknown filter"),
            ("{{ fqdn.split('.') }}", "method"),
            ("{{ range(9) }}", "range"),
            ("{{ value is defined }}", "tests"),
            ("{% set x = 1 %}{{ x }}", "`set`"),
            ("{% include 'x' %}", "`include`"),
            ("{% macro x() %}{% endmacro %}", "`macro`"),
            ("{# x #}", "comments"),
            ("{{ value", "not closed"),
            ("{{ value + }}", "syntax"),
        ] {
            match parse(text, Escape::None) {
                Ok(_) => assert!(named.is_empty(), "{text}"),
                Err(error) => assert!(error.contains(named), "{text}: {error}"),
            }
        }
        assert!(parse(&format!("{{{{ fqdn }}}}{}", "x".repeat(5000)), Escape::None).unwrap_err().contains("longer"));
    }

    #[test]
    fn evaluation_is_bounded() {
        let many: Vec<u32> = (0..2000).collect();
        let context = context_of(&json!({"items": many, "value": "x".repeat(100_000), "cred": {}}));
        let loops =
            parse("{% for a in items %}{% for b in items %}{% if a == b %}x{% endif %}{% endfor %}{% endfor %}", Escape::None);
        assert!(loops.unwrap().text(&context).is_err());
        let long = parse("{% for a in items %}{{ value }}{% endfor %}", Escape::None);
        assert!(long.unwrap().text(&context).is_err());
    }
}
