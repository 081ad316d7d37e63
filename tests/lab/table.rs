//! The tables of `docs/propagation.md`: what the page tells people is what the tests expect.

/// The rows of the table that follows the line `marker`, cells without blanks around them and without code marks.
///
/// # Panics
/// Where there is no such table.
pub(crate) fn rows(page: &str, marker: &str) -> Vec<Vec<String>> {
    let (_, after) = page.split_once(&format!("{marker}\n")).unwrap_or_else(|| panic!("no `{marker}`"));
    let lines = after.lines().skip_while(|line| line.is_empty()).take_while(|line| line.starts_with('|'));
    // The head and the line below it are no cases.
    let rows: Vec<Vec<String>> = lines.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "no table after `{marker}`");
    rows
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
}

/// A row as the page has it. Cells whose column is in `code` are set as code, so that no character of theirs means anything.
pub(crate) fn row(cells: &[&str], code: &[usize]) -> String {
    let shown = cells.iter().enumerate().map(|(column, cell)| match cell {
        cell if code.contains(&column) && !cell.is_empty() => format!("`{cell}`"),
        cell => (*cell).to_owned(),
    });
    format!("| {} |", shown.collect::<Vec<_>>().join(" | "))
}

/// What the page says and what is so, where they differ: lines with `-` and `+`. A `…` on the page stands for any text.
pub(crate) fn differences(said: &[Vec<String>], so: &[Vec<String>], code: &[usize]) -> String {
    let line =
        |sign: char, cells: &[String]| format!("{sign}{}\n", row(&cells.iter().map(String::as_str).collect::<Vec<_>>(), code));
    let only_said = said.iter().filter(|row| !so.iter().any(|other| fits(row, other))).map(|row| line('-', row));
    let only_so = so.iter().filter(|row| !said.iter().any(|other| fits(other, row))).map(|row| line('+', row));
    only_said.chain(only_so).collect()
}

fn fits(said: &[String], so: &[String]) -> bool {
    said.len() == so.len() && said.iter().zip(so).all(|(said, so)| cell_fits(said, so))
}

fn cell_fits(said: &str, so: &str) -> bool {
    let mut parts = said.split('…');
    let Some(mut rest) = so.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = if part.is_empty() { "" } else { &rest[at + part.len()..] };
        open = true;
    }
    rest.is_empty() || open && said.ends_with('…')
}
