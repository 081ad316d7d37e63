//! INI files, as the SDKs of clouds keep them.

use std::collections::BTreeMap;

/// Keys (in small letters) and values of the sections whose heading is wanted; of two equal keys the last counts. Lines that begin with `#` or `;`
/// are comments. `None` where there is no such section.
pub(crate) fn section(text: &str, is_wanted: impl Fn(&str) -> bool) -> Option<BTreeMap<String, &str>> {
    let mut found = None;
    let mut inside = false;
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(heading) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = is_wanted(heading.trim());
            if inside {
                found.get_or_insert_with(BTreeMap::new);
            }
        } else if let (true, Some((key, value)), Some(pairs)) = (inside, line.split_once(['=', ':']), found.as_mut()) {
            pairs.insert(key.trim().to_ascii_lowercase(), value.trim());
        }
    }
    found
}
