//! What lego keeps: `certificates/NAME.json` and `.crt`. It does not write down which provider it used.

use std::path::Path;

use super::{Found, Reading, files, names_of};

use crate::language::t;

pub(super) fn read(folder: &Path) -> Reading {
    let mut reading = Reading::default();
    for path in files(&folder.join("certificates"), ".json") {
        let Some(names) = names_of(&path.with_extension("crt")) else {
            reading.left.push(t!("`%{path}`: its certificate cannot be read", path = path.display()));
            continue;
        };
        let about: serde_json::Value =
            std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let url = about["certUrl"].as_str().unwrap_or_default();
        reading.found.push(Found { names, ca: directory(url), ..Found::default() });
    }
    reading
}

/// The CA of a certificate's URL. lego keeps the directory nowhere.
fn directory(url: &str) -> Option<String> {
    let host = url::Url::parse(url).ok()?.host_str()?.to_owned();
    let name = match host.as_str() {
        "acme-v02.api.letsencrypt.org" => "letsencrypt",
        "acme-staging-v02.api.letsencrypt.org" => "letsencrypt-staging",
        "acme.zerossl.com" => "zerossl",
        "dv.acme-v02.api.pki.goog" => "google",
        "acme.ssl.com" => "sslcom",
        _ => return None,
    };
    Some(name.to_owned())
}
