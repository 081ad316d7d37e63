//! What lego keeps: `certificates/NAME.json` and `.crt`, `accounts/HOST/MAIL/`. It does not write down which provider it used.

use std::path::Path;

use url::Url;

use super::{Account, Found, Reading, Way, files, key_type_of, names_of, other_key};
use crate::{language::t, order::acme::Ca};

/// `stated` is the CA that the user names, for those whose directory lego does not tell.
pub(super) fn read(folder: &Path, stated: Option<&Ca>) -> Reading {
    let mut reading = Reading::default();
    for path in files(&folder.join("certificates"), ".json") {
        let certificate = path.with_extension("crt");
        let Some(names) = names_of(&certificate) else {
            reading.left.push(t!("`%{path}`: its certificate cannot be read", path = path.display()));
            continue;
        };
        let key_type = key_type_of(&certificate).unwrap_or_else(|kind| {
            reading.left.push(other_key(&certificate, &kind));
            None
        });
        let url = json(&path)["certUrl"].as_str().and_then(|url| Url::parse(url).ok());
        let ca = url.and_then(|url| directory(&host(&url)?, stated));
        reading.found.push(Found { names: names.into_iter().map(|name| (name, Way::Unknown)).collect(), ca, key_type });
    }
    for server in files(&folder.join("accounts"), "") {
        // The colon before a port is an underscore there, which no host has.
        let host = server.file_name().map(|name| name.to_string_lossy().replace('_', ":")).unwrap_or_default();
        for account in files(&server, "") {
            let file = account.join("account.json");
            let Some(ca) = directory(&host, stated).filter(|_| file.is_file()) else { continue };
            let mail = account.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let path = account.join("keys").join(format!("{mail}.key"));
            let url = json(&file)["registration"]["uri"].as_str().map(str::to_owned);
            reading.accounts.push(Account { ca, path, url });
        }
    }
    reading
}

fn json(path: &Path) -> serde_json::Value {
    std::fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Host and port, as far as the port is not that of https.
fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The CA at this host. lego keeps the directory nowhere.
fn directory(at: &str, stated: Option<&Ca>) -> Option<String> {
    let name = match at {
        "acme-v02.api.letsencrypt.org" => "letsencrypt",
        "acme-staging-v02.api.letsencrypt.org" => "letsencrypt-staging",
        "acme.zerossl.com" => "zerossl",
        "dv.acme-v02.api.pki.goog" => "google",
        "dv.acme-v02.test-api.pki.goog" => "google-staging",
        "acme.ssl.com" => "sslcom",
        _ => return stated.filter(|ca| host(&ca.directory).as_deref() == Some(at)).map(Ca::name),
    };
    Some(name.to_owned())
}
