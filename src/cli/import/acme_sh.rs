//! What acme.sh keeps: `NAME/NAME.conf` or `NAME_ecc/NAME.conf`, the credentials of all providers in `account.conf`, and accounts below `ca`.

use std::path::{Path, PathBuf};

use url::Url;

use super::{Account, Foreign, Found, Reading, Way, files, key_type, other_key, other_way};
use crate::{language::t, name::Name, order::acme::Ca};

pub(super) fn read(folder: &Path) -> Reading {
    let account = variables(&std::fs::read_to_string(folder.join("account.conf")).unwrap_or_default());
    let saved: Vec<(String, String)> = account
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(key, value)| Some((key.strip_prefix("SAVED_")?.to_owned(), value.clone())))
        .collect();
    let mut reading = Reading { settings: saved.clone(), ..Reading::default() };
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
        let names = ways(names, get("Le_Webroot"), |way| match (way.strip_prefix("dns_"), way.starts_with('/')) {
            (Some(id), _) => Way::Provider(provider(folder, id, &saved)),
            (None, true) => Way::Webroot(PathBuf::from(way)),
            (None, false) => {
                reading.left.push(other_way(&path, if way == "no" { "standalone" } else { way }));
                Way::Unknown
            }
        });
        let word = match get("Le_Keylength") {
            "" => "p256".to_owned(),
            length => length.strip_prefix("ec-").map_or_else(|| format!("rsa{length}"), |bits| format!("p{bits}")),
        };
        let key_type = key_type(&word).unwrap_or_else(|kind| {
            reading.left.push(other_key(&path, &kind));
            None
        });
        for doing in ["Le_ReloadCmd", "Le_PreHook", "Le_PostHook", "Le_RenewHook"] {
            let value = get(doing);
            if !value.is_empty() {
                let path = path.display();
                reading.left.push(t!("`%{path}`: `%{doing} = %{value}`; see `--hook` and `--hook-shell`", path, doing, value));
            }
        }
        let ca = Some(get("Le_API")).filter(|ca| !ca.is_empty());
        let ca = ca.map(|ca| Ca::parse(ca).map_or_else(|_| ca.to_owned(), |ca| ca.name()));
        if let Some(ca) = &ca
            && let Some(place) = account_at(folder, get("Le_API"))
            && reading.accounts.iter().all(|known| known.path != place.join("account.key"))
        {
            let about = variables(&std::fs::read_to_string(place.join("ca.conf")).unwrap_or_default());
            let url = about.into_iter().find(|(key, _)| key == "ACCOUNT_URL").map(|(_, value)| value);
            reading.accounts.push(Account { ca: ca.clone(), path: place.join("account.key"), url });
        }
        reading.found.push(Found { names, ca, key_type });
    }
    reading
}

/// Each name with its way: those of `Le_Webroot` one after another, and the last one for all that follow.
fn ways(names: Vec<Name>, list: &str, mut way: impl FnMut(&str) -> Way) -> Vec<(Name, Way)> {
    let mut found: Vec<(Name, Way)> = Vec::new();
    let mut list = list.split(',').filter(|way| !way.is_empty());
    for name in names {
        let before = found.last().map_or(Way::Unknown, |(_, way)| way.clone());
        found.push((name, list.next().map_or(before, &mut way)));
    }
    found
}

/// The folder of the account at the CA with this directory; the port counts for nothing. Earlier versions left the path out.
fn account_at(folder: &Path, directory: &str) -> Option<PathBuf> {
    let url = Url::parse(directory).ok()?;
    let host = folder.join("ca").join(url.host_str()?);
    [host.join(url.path().trim_matches('/')), host].into_iter().find(|place| place.join("account.key").is_file())
}

/// Lines `NAME='value'` of a shell. A value with signs that a shell would read is kept in base64, between two marks.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let plain = |value: &str| {
        let value = value.trim_matches(['\'', '"']);
        let encoded = value.strip_prefix("__ACME_BASE64__START_").and_then(|value| value.strip_suffix("__ACME_BASE64__END_"));
        let decoded = encoded.and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
        decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| value.to_owned())
    };
    pairs.map(|(key, value)| (key.to_owned(), plain(value))).collect()
}

/// Providers that have another name here, and that know its settings by the names of acme.sh.
const NAMES: [(&str, &str); 6] = [
    ("ali", "alidns"),
    ("dgon", "digitalocean"),
    ("gandi_livedns", "gandi"),
    ("gd", "godaddy"),
    ("linode_v4", "linode"),
    ("me", "dnsmadeeasy"),
];

/// A provider, with the saved settings that begin with its name, in any case.
fn provider(folder: &Path, id: &str, saved: &[(String, String)]) -> Foreign {
    let prefix = format!("{}_", id.to_ascii_uppercase());
    let mut settings: Vec<(String, String)> =
        saved.iter().filter(|(key, _)| key.to_ascii_uppercase().starts_with(&prefix)).cloned().collect();
    // Here the port stands behind the server.
    if let Some(at) = settings.iter().position(|(key, _)| key == "NSUPDATE_SERVER_PORT") {
        let (_, port) = settings.remove(at);
        if let Some((_, server)) = settings.iter_mut().find(|(key, _)| key == "NSUPDATE_SERVER") {
            *server = format!("{server}:{port}");
        }
    }
    Foreign {
        id: NAMES.iter().find(|(theirs, _)| *theirs == id).map_or(id, |(_, ours)| *ours).to_owned(),
        settings,
        bridge: Some((format!("acme.sh:dns_{id}"), folder.to_owned())),
    }
}
