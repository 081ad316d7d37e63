//! Which zone of the account holds a name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{client::Client, plan::ZonePlan, scope::Scope};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    provider::{Access, Zone},
};

/// A name that belongs to nobody's account (RFC 2606 section 3), to try credentials with.
const NOBODYS: &str = "example.com";

/// The longest zone of the account that holds `name`.
///
/// # Errors
/// `Provider` where there is none, with what there is; `Rights` and `Credentials` where that is the reason.
pub(super) async fn locate(client: &Client, configured: &[Name], name: &Name) -> Result<Zone> {
    let plan = &client.plan;
    match &plan.zone {
        Some(zone) if zone.asks_candidates => ask_candidates(client, zone, name).await,
        Some(zone) => {
            let scope = Scope::of_name(name, plan);
            let zones = list(client, zone, &scope, None).await?;
            if let Some(zone) = longest(&zones, name) {
                return only(
                    client,
                    zone.clone(),
                    zones.iter().filter(|other| other.name == zone.name && *other != zone).cloned(),
                );
            }
            Err({
                let names: Vec<String> = zones.iter().take(20).map(|zone| zone.name.to_string()).collect();
                let there = if names.is_empty() {
                    t!("there are none").to_owned()
                } else {
                    t!("there are: %{names}", names = names.join(", "))
                };
                none_holds(client, name, &there)
            })
        }
        None => {
            let zone = |name: &Name| Zone { name: name.clone(), fields: BTreeMap::new() };
            let fitting = configured.iter().filter(|zone| name.is_within(zone)).max_by_key(|zone| zone.as_str().len());
            match (fitting, plan.uses_zone()) {
                (Some(fitting), _) => Ok(zone(fitting)),
                (None, false) => Ok(candidates(name).first().map_or_else(|| zone(name), zone)),
                (None, true) => Err(Error::config(t!(
                    "%{provider} cannot list zones, so the zone of `%{name}` must be said",
                    provider = plan.outline.title,
                    name
                ))
                .with_hint(t!(
                    "set %{variable} to the zone (several separated by commas)",
                    variable = crate::provider::settings::variable(&plan.outline.id, "zone")
                ))),
            }
        }
    }
}

/// Tries the credentials with the call that finds zones.
///
/// # Errors
/// As [`locate`].
pub(super) async fn probe(client: &Client) -> Result<Access> {
    let Some(zone) = &client.plan.zone else {
        client.prepare().await?;
        return Ok(Access::default());
    };
    let name = Name::parse(NOBODYS)?;
    let scope = Scope::of_name(&name, &client.plan);
    let is_list = !zone.asks_candidates && !zone.call.mentions("fqdn");
    let candidate = zone.asks_candidates.then_some(&name);
    match list(client, zone, &scope, candidate).await {
        Ok(zones) => {
            let zones = if is_list { zones.into_iter().map(|zone| zone.name).collect() } else { Vec::new() };
            Ok(Access { zones, is_complete: is_list })
        }
        // Right: this zone is not ours.
        Err(error) if !is_list && error.kind() == ErrorKind::Rights => Ok(Access::default()),
        Err(error) => Err(error),
    }
}

/// The zone, unless others of the account have the same name: which of them is served to the public is not known.
fn only(client: &Client, zone: Zone, others: impl Iterator<Item = Zone>) -> Result<Zone> {
    let others: Vec<Zone> = others.filter(|other| *other != zone).collect();
    if others.is_empty() {
        return Ok(zone);
    }
    let shown = |zone: &Zone| {
        let fields: Vec<String> = zone.fields.iter().map(|(key, value)| format!("{key} {value}")).collect();
        if fields.is_empty() { t!("no id").to_owned() } else { fields.join(", ") }
    };
    let all: Vec<String> = std::iter::once(&zone).chain(&others).map(shown).collect();
    Err(Error::provider(t!(
        "%{id}: the account has %{all} zones named `%{name}` (%{ids}), and it is not known which of them the name servers serve",
        id = client.plan.outline.id,
        all = all.len(),
        name = zone.name,
        ids = all.join("; ")
    ))
    .with_hint(t!("use credentials that see only the public zone, or remove the one that is not in use")))
}

async fn ask_candidates(client: &Client, plan: &ZonePlan, name: &Name) -> Result<Zone> {
    let candidates = candidates(name);
    let mut refused = None;
    for candidate in &candidates {
        let scope = Scope::of_name(name, &client.plan);
        match list(client, plan, &scope, Some(candidate)).await {
            Ok(zones) => {
                let mut same = zones.into_iter().filter(|zone| zone.name == *candidate);
                if let Some(zone) = same.next() {
                    return only(client, zone, same);
                }
            }
            // Some services say "forbidden" for what is not in the account, and a key may be limited to the parent zone.
            Err(error) if error.kind() == ErrorKind::Rights => refused = refused.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| {
        let asked: Vec<String> = candidates.iter().map(Name::to_string).collect();
        none_holds(client, name, &t!("asked for: %{asked}", asked = asked.join(", ")))
    }))
}

/// The names that may be the zone of `name`, the longest first: no zone begins with an underscore, and a single label is asked for only
/// where there is nothing else.
fn candidates(name: &Name) -> Vec<Name> {
    let all: Vec<Name> = name.base().ancestors().filter(|name| !name.is_root() && !name.first_label().starts_with('_')).collect();
    let several: Vec<Name> = all.iter().filter(|name| name.labels().count() > 1).cloned().collect();
    if several.is_empty() { all } else { several }
}

async fn list(client: &Client, plan: &ZonePlan, scope: &Scope, candidate: Option<&Name>) -> Result<Vec<Zone>> {
    let scope = match candidate {
        Some(candidate) => scope.with("candidate", candidate.as_str()),
        None => scope.clone(),
    };
    let listed = client.list(&plan.call, &plan.zones, plan.next.as_ref(), [], &scope).await?;
    let values = listed.map(|listed| listed.values).unwrap_or_default();
    values.into_iter().filter_map(|value| zone_of(client, value, candidate).transpose()).collect()
}

/// A zone from what `zones` yielded. Names that are none (other kinds of entries in a list) are passed over.
fn zone_of(client: &Client, value: Value, candidate: Option<&Name>) -> Result<Option<Zone>> {
    let Value::Object(mut fields) = value else {
        return Err(Error::provider(t!("%{id}: `zones` must yield objects", id = client.plan.outline.id)));
    };
    let name = match fields.remove("name") {
        Some(Value::String(text)) => match Name::parse(&text) {
            Ok(name) => name,
            Err(_) => return Ok(None),
        },
        None | Some(Value::Null) if candidate.is_some() => match candidate {
            Some(candidate) => candidate.clone(),
            None => return Ok(None),
        },
        _ => return Err(Error::provider(t!("%{id}: `zones` must yield objects with a `name`", id = client.plan.outline.id))),
    };
    Ok(Some(Zone { name, fields: fields.into_iter().collect() }))
}

fn longest<'a>(zones: &'a [Zone], name: &Name) -> Option<&'a Zone> {
    let fitting = zones.iter().filter(|zone| name.is_within(&zone.name));
    // The first of several with one name wins, as `max_by_key` would give the last.
    fitting.rev().max_by_key(|zone| zone.name.as_str().len())
}

fn none_holds(client: &Client, name: &Name, there: &str) -> Error {
    Error::provider(t!("%{id}: no zone of this account holds `%{name}`; %{there}", id = client.plan.outline.id, name, there))
        .with_hint(t!("check that the zone is in this account and that the credentials may see it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        candidates(&Name::parse(text).unwrap()).iter().map(Name::to_string).collect()
    }

    #[test]
    fn the_likely_apex_is_asked_for_first() {
        assert_eq!(names("_dv.www.example.com"), ["www.example.com", "example.com"]);
        assert_eq!(names("_dv._x.example.com"), ["example.com"]);
        assert_eq!(names("_dv.test"), ["test"]);
        assert_eq!(names("*.a.example.com"), ["a.example.com", "example.com"]);
    }

    #[test]
    fn the_longest_zone_wins() {
        let zone = |name: &str| Zone { name: Name::parse(name).unwrap(), fields: BTreeMap::new() };
        let zones = [zone("example.com"), zone("a.example.com"), zone("ample.com"), zone("b.example.com")];
        let found = |name: &str| longest(&zones, &Name::parse(name).unwrap()).map(|zone| zone.name.to_string());
        assert_eq!(found("_dv.a.example.com").unwrap(), "a.example.com");
        assert_eq!(found("_dv.example.com").unwrap(), "example.com");
        assert_eq!(found("_dv.example.org"), None);
    }
}
