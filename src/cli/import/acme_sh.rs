//! What acme.sh keeps: `NAME/NAME.conf` or `NAME_ecc/NAME.conf`, and the credentials of all providers in `account.conf`.

use std::path::Path;

use super::{Found, Reading, files};
use crate::{language::t, name::Name};

pub(super) fn read(folder: &Path) -> Reading {
    let mut reading = Reading::default();
    let account = variables(&std::fs::read_to_string(folder.join("account.conf")).unwrap_or_default());
    let saved: Vec<(String, String)> =
        account.iter().filter_map(|(key, value)| Some((key.strip_prefix("SAVED_")?.to_owned(), value.clone()))).collect();
    for place in files(folder, "") {
        let stem = place.file_name().map(|name| name.to_string_lossy().trim_end_matches("_ecc").to_owned()).unwrap_or_default();
        let path = place.join(format!("{stem}.conf"));
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let settings = variables(&text);
        let get = |key: &str| settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str()).unwrap_or_default();
        let alternative = get("Le_Alt").split(',').filter(|name| !name.is_empty() && *name != "no");
        let names: Vec<Name> =
            std::iter::once(get("Le_Domain")).chain(alternative).filter_map(|name| Name::parse(name).ok()).collect();
        if names.is_empty() {
            continue;
        }
        let way = get("Le_Webroot").split(',').next().unwrap_or_default();
        let provider = way.strip_prefix("dns_").map(|id| (id.to_owned(), of_provider(id, &saved)));
        if provider.is_none() {
            reading.left.push(t!(
                "`%{path}`: it is validated by `%{way}`, this program does so by DNS",
                path = path.display(),
                way
            ));
        }
        let key_type = match get("Le_Keylength") {
            "ec-384" => Some("p384"),
            "ec-256" | "" => None,
            other => {
                reading.left.push(t!(
                    "`%{path}`: its key of the kind `%{other}`; the next one is elliptic",
                    path = path.display(),
                    other
                ));
                None
            }
        };
        if !get("Le_ReloadCmd").is_empty() {
            reading.left.push(t!("`%{path}`: its reload command; see `--hook-shell`", path = path.display()));
        }
        let ca = Some(get("Le_API")).filter(|ca| !ca.is_empty()).map(str::to_owned);
        reading.found.push(Found { names, ca, key_type, provider });
    }
    reading
}

/// Lines `NAME='value'` of a shell.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.trim_matches(['\'', '"']).to_owned())).collect()
}

/// The saved settings of one provider: those that begin with its name, in any case.
fn of_provider(id: &str, saved: &[(String, String)]) -> Vec<(String, String)> {
    let prefix = format!("{}_", id.to_ascii_uppercase());
    saved.iter().filter(|(key, value)| !value.is_empty() && key.to_ascii_uppercase().starts_with(&prefix)).cloned().collect()
}
