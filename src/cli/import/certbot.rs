//! What certbot keeps: `renewal/NAME.conf`, the certificates that these name, credentials files of its DNS plugins, and accounts.

use std::path::{Path, PathBuf};

use url::Url;

use super::{Account, Foreign, Found, Reading, Way, files, key_type_of, names_of, other_key, other_way};
use crate::{language::t, name::Name, order::acme::Ca};

/// What is done around a renewal; this program has options of its own for that.
const DOINGS: [&str; 4] = ["renew_hook", "post_hook", "pre_hook", "installer"];

/// A line `key = value`, and the section that it stands in.
struct Line {
    section: String,
    key: String,
    value: String,
}

pub(super) fn read(folder: &Path) -> Reading {
    let mut reading = Reading::default();
    for path in files(&folder.join("renewal"), ".conf") {
        let lines = lines(&std::fs::read_to_string(&path).unwrap_or_default());
        let get = |key: &str| lines.iter().find(|line| line.key == key).map(|line| line.value.clone());
        let certificate = PathBuf::from(get("cert").unwrap_or_default());
        let Some(names) = names_of(&certificate) else {
            reading.left.push(t!("`%{path}`: its certificate cannot be read", path = path.display()));
            continue;
        };
        let authenticator = get("authenticator").unwrap_or_default();
        let provider = authenticator.strip_prefix("dns-").map(|plugin| {
            let file = get(&format!("dns_{}_credentials", plugin.replace('-', "_")));
            let settings = file.map(|file| credentials(plugin, Path::new(&file))).unwrap_or_default();
            Way::Provider(Foreign { id: plugin.to_owned(), settings, bridge: None })
        });
        let is_webroot = authenticator == "webroot";
        if provider.is_none() && !is_webroot {
            reading.left.push(other_way(&path, &authenticator));
        }
        let way = |name: &Name| match &provider {
            Some(provider) => provider.clone(),
            None if is_webroot => webroot(&lines, name).map_or(Way::Unknown, Way::Webroot),
            None => Way::Unknown,
        };
        let names = names.into_iter().map(|name| (name.clone(), way(&name))).collect();
        let key_type = key_type_of(&certificate).unwrap_or_else(|kind| {
            reading.left.push(other_key(&path, &kind));
            None
        });
        for doing in DOINGS {
            if let Some(value) = get(doing).filter(|value| !matches!(value.as_str(), "" | "None")) {
                let path = path.display();
                reading.left.push(t!("`%{path}`: `%{doing} = %{value}`; see `--hook` and `--hook-shell`", path, doing, value));
            }
        }
        let ca = get("server").map(|server| Ca::parse(&server).map_or(server, |ca| ca.name()));
        if let (Some(ca), Some(server), Some(id)) = (&ca, get("server"), get("account"))
            && let Some(place) = accounts(folder, &server).map(|folder| folder.join(id))
        {
            let registration = std::fs::read_to_string(place.join("regr.json")).unwrap_or_default();
            let registration: serde_json::Value = serde_json::from_str(&registration).unwrap_or_default();
            let (path, url) = (place.join("private_key.json"), registration["uri"].as_str().map(str::to_owned));
            if path.is_file() && reading.accounts.iter().all(|known| known.path != path) {
                reading.accounts.push(Account { ca: ca.clone(), path, url });
            }
        }
        reading.found.push(Found { names, ca, key_type });
    }
    reading
}

/// The folder of the accounts at this server: its URL without the scheme.
fn accounts(folder: &Path, server: &str) -> Option<PathBuf> {
    let url = Url::parse(server).ok()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(folder.join("accounts").join(format!("{}{port}{}", url.host_str()?, url.path())))
}

/// The web root of a name: its own, else the one of all.
fn webroot(lines: &[Line], name: &Name) -> Option<PathBuf> {
    let own = lines.iter().find(|line| line.section == "webroot_map" && line.key == name.as_str());
    let all = lines.iter().find(|line| line.key == "webroot_path");
    let folder = own.or(all)?.value.split(',').map(str::trim).find(|folder| !folder.is_empty())?;
    Some(PathBuf::from(folder))
}

/// The lines `key = value`, each with its section.
fn lines(text: &str) -> Vec<Line> {
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            lines.push(Line { section: section.clone(), key: key.trim().to_owned(), value: value.trim().to_owned() });
        }
    }
    lines
}

/// The settings of a credentials file, by the names that this program has for them, where they are others.
fn credentials(plugin: &str, path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let prefix = format!("dns_{}_", plugin.replace('-', "_"));
    let all = lines(&text).into_iter().map(|line| (line.key.strip_prefix(&prefix).unwrap_or(&line.key).to_owned(), line.value));
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
