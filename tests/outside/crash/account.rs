//! What the runs said and left: events that add up, and pairs that fit.

use std::{collections::BTreeSet, fs, path::Path};

use dv_verify::name::Name;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::outside::context::Ran;

/// The files below `live`: the key belongs to the leaf, the leaf has exactly these names, every certificate can be read.
pub(super) fn verify_pair(live: &Path, domains: &[Name]) -> Result<(), String> {
    let wrong = |what: &str, why: String| format!("`{}/{what}` {why}", live.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(live.join("fullchain.pem"))
        .map_err(|error| wrong("fullchain.pem", error.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|error| wrong("fullchain.pem", error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(live.join("privkey.pem")).map_err(|error| wrong("privkey.pem", error.to_string()))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|error| wrong("privkey.pem", error.to_string()))?;
    let Some(leaf) = chain.first().cloned() else { return Err(wrong("fullchain.pem", "is empty".into())) };
    if chain.len() < 2 {
        return Err(wrong("fullchain.pem", "has no intermediate".into()));
    }
    CertifiedKey::new(chain, key).keys_match().map_err(|error| wrong("privkey.pem", error.to_string()))?;
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|error| wrong("fullchain.pem", error.to_string()))?;
    let names = parsed.subject_alternative_name().map_err(|error| wrong("fullchain.pem", error.to_string()))?;
    let names: BTreeSet<String> = names
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None })
        .collect();
    let wanted: BTreeSet<String> = domains.iter().map(ToString::to_string).collect();
    if names != wanted {
        return Err(wrong("fullchain.pem", format!("is for {names:?}, not {wanted:?}")));
    }
    let about = fs::read_to_string(live.join("order.json")).map_err(|error| wrong("order.json", error.to_string()))?;
    serde_json::from_str::<serde_json::Value>(&about).map_err(|error| wrong("order.json", error.to_string()))?;
    Ok(())
}

/// The events of all runs: every line is one; each order of a run that ended by itself ends exactly once, as `done` or `failed`, with
/// nothing of it afterwards; no step comes before the one that it needs; the last run ends well for each; a certificate was delivered,
/// and every record that was written is withdrawn by somebody.
pub(super) fn events(runs: &[Ran], orders: &[&str]) -> Result<(), String> {
    let mut delivered = BTreeSet::new();
    for (number, ran) in runs.iter().enumerate() {
        let mut events = Vec::new();
        for line in ran.stdout.lines() {
            events.push(serde_json::from_str::<serde_json::Value>(line).map_err(|error| format!("{error}: {line}"))?);
        }
        for order in orders {
            let words: Vec<&str> = events
                .iter()
                .filter(|event| event["order"] == **order)
                .filter_map(|event| event["event"].as_str())
                // Resolvers are asked beside the journey.
                .filter(|word| *word != "resolvers")
                .collect();
            let at = |wanted: &str| words.iter().position(|word| *word == wanted);
            for (earlier, later) in [("order", "published"), ("published", "visible"), ("issued", "delivered")] {
                if at(later).is_some() && at(earlier).is_none_or(|earlier| Some(earlier) > at(later)) {
                    return Err(format!("run {number}, {order}: `{later}` without `{earlier}` before it: {words:?}"));
                }
            }
            if at("delivered").is_some() {
                delivered.insert(*order);
            }
            if ran.code == -1 {
                continue;
            }
            let ends: Vec<usize> =
                words.iter().enumerate().filter(|(_, word)| matches!(**word, "done" | "failed")).map(|(at, _)| at).collect();
            // A run that failed as a whole says so once, without an order.
            let failed_whole = events.iter().any(|event| event["event"] == "failed" && event.get("order").is_none());
            if ends.len() != 1 && !(ends.is_empty() && failed_whole) {
                return Err(format!("run {number}, {order}: ends {} times: {words:?}", ends.len()));
            }
            if ends.first().is_some_and(|end| *end + 1 != words.len()) {
                return Err(format!("run {number}, {order}: goes on after its end: {words:?}"));
            }
            if number + 1 == runs.len() && at("done").is_none() {
                return Err(format!("the last run does not end well for {order}: {words:?}"));
            }
        }
    }
    // A process that dies between the files and the event tells it in the next run.
    match orders.iter().find(|order| !delivered.contains(*order)) {
        Some(order) => Err(format!("nobody said that {order} was delivered")),
        None => Ok(()),
    }
}
