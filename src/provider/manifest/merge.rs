//! The decision of read, change by one, write: which values a record set has afterwards. No I/O.

use serde_json::Value;

use super::{query::Query, query::Variables};

use crate::language::t;

/// What is to become of a set.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// It is as it should be: nothing is written.
    None,
    /// The set afterwards.
    To(Vec<Value>),
}

/// Adds one item, unless the value is there.
///
/// # Errors
/// Where the comparison fails on an item: then nothing is known, and nothing may be written.
pub(super) fn add(old: &[Value], item: Value, same: &Query, variables: &Variables) -> Result<Change, String> {
    if !matching(old, same, variables)?.is_empty() {
        return Ok(Change::None);
    }
    let mut new = old.to_vec();
    new.push(item);
    Ok(Change::To(new))
}

/// Removes the item with the value, if there is one.
///
/// # Errors
/// As [`add`]; also where more than one item matches: a set holds a value once, so the comparison must be wrong.
pub(super) fn remove(old: &[Value], same: &Query, variables: &Variables) -> Result<Change, String> {
    match matching(old, same, variables)?.as_slice() {
        [] => Ok(Change::None),
        [index] => {
            let mut new = old.to_vec();
            new.remove(*index);
            Ok(Change::To(new))
        }
        several => Err(t!(
            "%{several} of %{old} values match where at most one can: nothing is written",
            several = several.len(),
            old = old.len()
        )),
    }
}

/// The places of the items with the value.
pub(super) fn matching(items: &[Value], same: &Query, variables: &Variables) -> Result<Vec<usize>, String> {
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match same.run(item, variables)?.as_slice() {
            [Value::Bool(true)] => found.push(index),
            [Value::Bool(false)] => {}
            _ => return Err(t!("`same` must say true or false for every value: nothing is written").to_owned()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        Variables::from([("value", json!("b")), ("record_type", json!("TXT"))])
    }

    fn same(text: &str) -> Query {
        Query::compile(text, &["value"]).unwrap()
    }

    #[test]
    fn the_set_moves_by_exactly_one() {
        let equal = same("bare == $value");
        let old = [json!("\"a\""), json!("\"c\"")];
        assert_eq!(
            add(&old, json!("\"b\""), &equal, &variables()),
            Ok(Change::To(vec![json!("\"a\""), json!("\"c\""), json!("\"b\"")]))
        );
        assert_eq!(add(&[json!("b")], json!("\"b\""), &equal, &variables()), Ok(Change::None));
        assert_eq!(remove(&[json!("\"a\""), json!("\"b\"")], &equal, &variables()), Ok(Change::To(vec![json!("\"a\"")])));
        assert_eq!(remove(&old, &equal, &variables()), Ok(Change::None));
        assert_eq!(remove(&[json!("b")], &equal, &variables()), Ok(Change::To(Vec::new())));
    }

    #[test]
    fn a_doubtful_comparison_writes_nothing() {
        let everything = same("true");
        assert!(remove(&[json!("x"), json!("y")], &everything, &variables()).unwrap_err().contains("2 of 2"));
        assert!(add(&[json!(3)], json!("b"), &same(".content == $value"), &variables()).is_err());
        assert!(remove(&[json!("x")], &same("empty"), &variables()).is_err());
        assert!(remove(&[json!("x")], &same("."), &variables()).is_err());
    }
}
