//! The list of `apply --list`.

use std::path::Path;

use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
};

/// A file with the names of one certificate on each line, separated by blanks or commas; `#` begins a comment.
pub(super) fn read(path: &Path) -> Result<Vec<Vec<Name>>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::config(t!("the list `%{shown}` cannot be read: %{error}", shown, error))
            .with_hint(t!("name a text file that this user may read, with the names of one certificate on each line"))
    })?;
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let names = line.split([' ', '\t', ',']).filter(|word| !word.is_empty()).map(Name::parse).collect::<Result<Vec<_>>>();
        let names = names.map_err(|error| error.context(t!("the list `%{shown}` line %{number}", shown, number = number + 1)))?;
        if !names.is_empty() {
            all.push(names);
        }
    }
    if all.is_empty() {
        return Err(Error::config(t!("the list `%{shown}` names no certificate", shown))
            .with_hint(t!("write the names of one certificate on each line")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_certificate_on_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "# mine\nexample.com *.example.com\n\na.example, b.example # two\n").unwrap();
        let all = read(&path).unwrap();
        let names: Vec<Vec<&str>> = all.iter().map(|names| names.iter().map(Name::as_str).collect()).collect();
        assert_eq!(names, [vec!["example.com", "*.example.com"], vec!["a.example", "b.example"]]);
        std::fs::write(&path, "ok.example\nnot a/name\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 2"));
        std::fs::write(&path, "# nothing\n").unwrap();
        read(&path).unwrap_err();
    }
}
