//! Which folder a certificate lies in.

use std::{fs, path::Path};

use super::{
    Target,
    files::about,
    pair::{self, Pair},
};
use crate::{
    error::{Error, Result},
    language::t,
    name::{Name, same_names},
    order::OrderId,
};

/// The folder of a certificate, below `--out`.
///
/// `--name` where the user gave one. Else a folder belongs to a set of names: a renewal has the same names and goes where the certificate
/// before it is, whatever the order's id and whichever name comes first this time. A new set of names gets the folder of its first name
/// (`_wildcard` in the place of `*`); where a certificate of another order with other names lives there, the order's id is appended.
pub(super) fn folder_name(pair: &Pair, target: &Target) -> Result<String> {
    if let Some(name) = &target.name {
        check_name(name)?;
        return Ok(name.clone());
    }
    let mut names: Vec<&Name> = target.domains.first().into_iter().collect();
    names.extend(pair.names.iter().filter(|name| target.domains.first() != Some(name)));
    let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
    if let Some(home) = plain.iter().find(|folder| tenant(&target.out.join(folder), pair, &target.order) == Tenant::SameNames) {
        return Ok(home.clone());
    }
    // Never empty: a certificate without names does not get here.
    let first = plain.into_iter().next().unwrap_or_default();
    if tenant(&target.out.join(&first), pair, &target.order) != Tenant::Other {
        return Ok(first);
    }
    let start = format!("{first}-");
    let beside =
        fs::read_dir(&target.out).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut homes: Vec<String> = beside
        .filter(|folder| folder.starts_with(&start))
        .filter(|folder| tenant(&target.out.join(folder), pair, &target.order) == Tenant::SameNames)
        .collect();
    homes.sort();
    Ok(homes.into_iter().next().unwrap_or_else(|| format!("{first}-{}", target.order)))
}

/// Makes sure that `--name` is one plain folder name.
///
/// # Errors
/// `ErrorKind::Usage` with what is wrong.
pub(super) fn check_name(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        t!("it is empty")
    } else if name.starts_with('.') {
        t!("it begins with a dot")
    } else if name.contains('/') || name.chars().any(char::is_control) {
        t!("it holds `/` or a control character")
    } else if name.len() > 200 {
        t!("it is longer than 200 bytes")
    } else {
        return Ok(());
    };
    Err(Error::usage(t!("`%{name}` cannot be a folder name: %{why}", name = name.escape_debug(), why))
        .with_hint(t!("give `--name` one plain name, without `/` and without a dot in front")))
}

#[derive(PartialEq, Eq)]
enum Tenant {
    Nobody,
    SameNames,
    SameOrder,
    Other,
}

/// Whose certificate is current in a folder, seen from this one.
fn tenant(folder: &Path, pair: &Pair, order: &OrderId) -> Tenant {
    let live = folder.join("live");
    let Some((names, _, _)) = fs::read_to_string(live.join("cert.pem")).ok().and_then(|text| pair::look_at(&text)) else {
        return Tenant::Nobody;
    };
    if same_names(&names, &pair.names) {
        Tenant::SameNames
    } else if about(&live).is_some_and(|about| about.order == order.as_str()) {
        Tenant::SameOrder
    } else {
        Tenant::Other
    }
}

fn plain(name: &Name) -> String {
    name.as_str().strip_prefix('*').map_or_else(|| name.as_str().to_owned(), |rest| format!("_wildcard{rest}"))
}
