//! The manifests in the binary.

use std::sync::OnceLock;

/// Id (the file's name) and text of each file in `providers/`, in the order of ids; `build.rs` makes the list.
pub(super) const ALL: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/manifests.rs"));

/// Words whose variables (`DV_<WORD>_…`) mean something else: providers in Rust, and settings of the program.
const OTHER: &[&str] = &["rfc2136", "exec", "httpreq", "manual", "aliyun", "alibaba", "store", "hook", "config"];

/// What a built-in manifest says before its sections, and its credentials: a third of the text, and all that `providers list` needs. (A test of the
/// registry holds what is read so against the whole.)
pub(super) fn head(text: &str) -> String {
    let mut head = String::with_capacity(text.len() / 2);
    let mut is_wanted = true;
    for line in text.split_inclusive('\n') {
        if line.starts_with('[') {
            is_wanted = line.starts_with("[credentials");
        }
        if is_wanted {
            head.push_str(line);
        }
    }
    head
}

/// Whether an id or alias belongs to a built-in provider, or would share credential variables with one.
pub(super) fn taken(name: &str) -> Option<&'static str> {
    static ALIASES: OnceLock<Vec<(String, &'static str)>> = OnceLock::new();
    let aliases = ALIASES.get_or_init(|| {
        ALL.iter().flat_map(|(id, text)| super::builtin_aliases(text).into_iter().map(|alias| (alias, *id))).collect()
    });
    let ids = ALL.iter().map(|(id, _)| *id).chain(OTHER.iter().copied());
    ids.into_iter()
        .find(|id| shares_variables(id, name))
        .or_else(|| aliases.iter().find(|(alias, _)| alias == name).map(|(_, id)| *id))
}

/// Whether credentials of the two ids could have the same variable: `DV_A_B_TOKEN` is `token` of `a-b` and `b_token` of `a`.
fn shares_variables(a: &str, b: &str) -> bool {
    let begins = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', '.']))
    };
    begins(a, b) || begins(b, a)
}
