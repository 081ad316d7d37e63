//! What certbot keeps: `renewal/NAME.conf`, the certificates that these name, and credentials files of its DNS plugins.

use std::path::Path;

use super::{Found, Reading, files, names_of};
use crate::{language::t, name::Name};

pub(super) fn read(folder: &Path) -> Reading {
    let mut reading = Reading::default();
    for path in files(&folder.join("renewal"), ".conf") {
        let settings = settings(&std::fs::read_to_string(&path).unwrap_or_default());
        let get = |key: &str| settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        let names: Option<Vec<Name>> = get("cert").and_then(|certificate| names_of(Path::new(&certificate)));
        let Some(names) = names else {
            reading.left.push(t!("`%{path}`: its certificate cannot be read", path = path.display()));
            continue;
        };
        let authenticator = get("authenticator").unwrap_or_default();
        let provider = authenticator.strip_prefix("dns-").map(|plugin| {
            let file = get(&format!("dns_{}_credentials", plugin.replace('-', "_")));
            (plugin.to_owned(), file.map(|file| credentials(plugin, Path::new(&file))).unwrap_or_default())
        });
        if provider.is_none() {
            reading.left.push(t!(
                "`%{path}`: it is validated by `%{authenticator}`, this program does so by DNS",
                path = path.display(),
                authenticator
            ));
        }
        let key_type = match (get("key_type").as_deref(), get("elliptic_curve").as_deref()) {
            (Some("ecdsa") | None, Some("secp384r1")) => Some("p384"),
            (Some("rsa"), _) => {
                reading.left.push(t!("`%{path}`: its RSA key; the next one is elliptic", path = path.display()));
                None
            }
            _ => None,
        };
        reading.found.push(Found { names, ca: get("server"), key_type, provider });
    }
    reading
}

/// The lines `key = value` of all sections.
fn settings(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';', '[']));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// The settings of a credentials file, by the names that this program has for them, where they are others.
fn credentials(plugin: &str, path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let prefix = format!("dns_{}_", plugin.replace('-', "_"));
    let all = settings(&text).into_iter().map(|(key, value)| (key.strip_prefix(&prefix).unwrap_or(&key).to_owned(), value));
    if plugin != "rfc2136" {
        return all.collect();
    }
    let all: Vec<(String, String)> = all.collect();
    let port = all.iter().find(|(key, _)| key == "port").map_or("53", |(_, port)| port.as_str());
    let ours = all.iter().filter(|(key, _)| key != "port").map(|(key, value)| match key.as_str() {
        "server" => ("nameserver".to_owned(), format!("{value}:{port}")),
        "name" => ("tsig_key".to_owned(), value.clone()),
        "secret" => ("tsig_secret".to_owned(), value.clone()),
        "algorithm" => ("tsig_algorithm".to_owned(), value.to_ascii_lowercase()),
        other => (other.to_owned(), value.clone()),
    });
    ours.collect()
}
