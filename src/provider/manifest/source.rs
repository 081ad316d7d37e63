//! Where something stands in a manifest, for errors: file, line and column.

use std::ops::Range;

use crate::{error::Error, language::t, nearest::nearest};

/// The text of a manifest with its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The whole text.
    pub(super) text: &'a str,
    /// The file's name, or "built-in manifest".
    pub(super) origin: &'a str,
}

impl Source<'_> {
    /// An error at the start of `span` (bytes).
    pub(super) fn error(&self, span: &Range<usize>, message: impl AsRef<str>) -> Error {
        let (line, column) = self.position(span.start);
        Error::config(format!("{}:{line}:{column}: {}", self.origin, message.as_ref()))
    }

    /// Line and column, both from 1; columns count characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// What serde and the TOML parser say, with the place and, for a misspelt key, the nearest right one.
    pub(super) fn toml_error(&self, error: &toml::de::Error) -> Error {
        let message = error.message();
        let span = error.span().unwrap_or(0..0);
        let failed = self.error(&span, message);
        match suggestion(message) {
            Some(right) => failed.with_hint(t!("did you mean `%{right}`?", right)),
            None => failed,
        }
    }
}

/// The nearest known key in serde's text "unknown field `x`, expected one of `a`, `b`".
fn suggestion(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let (wrong, rest) = rest.split_once('`')?;
    nearest(wrong, rest.split('`').skip(1).step_by(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters() {
        let source = Source { text: "a\näö b\n", origin: "x.toml" };
        assert_eq!(source.error(&(7..8), "wrong").to_string(), "x.toml:2:4: wrong");
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_not() {
        assert_eq!(suggestion("unknown field `hedaers`, expected one of `http`, `headers`"), Some("headers"));
        assert_eq!(suggestion("unknown field `zzz`, expected one of `http`, `headers`"), None);
    }
}
