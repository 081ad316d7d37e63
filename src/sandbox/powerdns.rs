//! The part of PowerDNS's HTTP API that DNS validation needs: zones, and record sets that are replaced whole. What it writes is in the
//! primary's zone data, so it is a second way to the same zones as [`super::cloudflare`].
//!
//! Source: <https://doc.powerdns.com/authoritative/http-api/>.

use std::time::Instant;

use axum::{
    http::{StatusCode, header},
    response::Response,
};
use hickory_proto::rr::RecordType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    World,
    faults::Answer,
    locked, records, web,
    web::Received,
    zone::{Entry, NewRecord, RecordId, Zone},
};
use crate::name::Name;

/// An error: HTTP status and message.
struct Failure(StatusCode, String);

/// The body of a change.
#[derive(Deserialize)]
struct Patch {
    rrsets: Vec<Set>,
}

/// A record set as it is to be.
#[derive(Deserialize)]
struct Set {
    name: String,
    #[serde(rename = "type")]
    record_type: String,
    #[serde(default)]
    ttl: u32,
    changetype: String,
    #[serde(default)]
    records: Vec<Item>,
}

/// One value of a set.
#[derive(Deserialize)]
struct Item {
    content: String,
}

/// Whether a request is in this dialect.
pub(super) fn speaks(received: &Received) -> bool {
    received.path().first().is_some_and(|first| first == "api")
}

/// Answers a request.
pub(super) fn handle(world: &World, received: &Received) -> Response {
    match route(world, received) {
        Ok(Some(reply)) => web::json(StatusCode::OK, &reply),
        Ok(None) => {
            let mut response = web::text(StatusCode::NO_CONTENT, "application/json", String::new());
            response.headers_mut().remove(header::CONTENT_TYPE);
            response
        }
        Err(Failure(status, message)) => web::json(status, &json!({"error": message})),
    }
}

/// Answers a request with a fault.
pub(super) fn fault(answer: &Answer) -> Response {
    let (status, message) = match answer {
        Answer::Throttle { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too many requests".to_owned()),
        Answer::Error { status, message, .. } => {
            (StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), message.clone())
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_owned()),
    };
    web::json(status, &json!({"error": message}))
}

fn route(world: &World, received: &Received) -> Result<Option<Value>, Failure> {
    if received.header("x-api-key") != world.options.api_token {
        return Err(Failure(StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()));
    }
    let path = received.path();
    let segments: Vec<&str> = path.iter().map(String::as_str).collect();
    match (received.method().as_str(), segments.as_slice()) {
        ("GET", ["api", "v1", "servers", "localhost", "zones"]) => Ok(Some(list_zones(world, received))),
        ("GET", ["api", "v1", "servers", "localhost", "zones", id]) => show_zone(world, received, id).map(Some),
        ("PATCH", ["api", "v1", "servers", "localhost", "zones", id]) => change(world, id, &received.body).map(|()| None),
        _ => Err(Failure(StatusCode::NOT_FOUND, "Not Found".to_owned())),
    }
}

fn list_zones(world: &World, received: &Received) -> Value {
    let query = received.query();
    let zones = locked(&world.zones);
    let wanted = query.get("zone");
    let matching = zones.iter().filter(|zone| wanted.is_none_or(|name| *name == zone.apex.with_dot()));
    matching.map(|zone| json!({"id": zone.apex.with_dot(), "name": zone.apex.with_dot(), "kind": "Native"})).collect()
}

fn show_zone(world: &World, received: &Received, id: &str) -> Result<Value, Failure> {
    let query = received.query();
    let zones = locked(&world.zones);
    let zone = zones.named(&name(id)?).ok_or_else(|| unknown(id))?;
    let now = Some(Instant::now());
    let entries: Vec<&Entry> = match query.get("rrset_name") {
        Some(owner) => zone.at(&name(owner)?, now).collect(),
        None => zone.all(now).collect(),
    };
    let mut sets: Vec<(Name, RecordType, u32, Vec<Value>)> = Vec::new();
    for entry in entries {
        let record_type = entry.data.record_type();
        if query.get("rrset_type").is_some_and(|wanted| *wanted != record_type.to_string()) {
            continue;
        }
        let item = json!({"content": records::content(&entry.data), "disabled": false});
        match sets.iter_mut().find(|(owner, of, ..)| *owner == entry.name && *of == record_type) {
            Some((.., items)) => items.push(item),
            None => sets.push((entry.name.clone(), record_type, entry.ttl, vec![item])),
        }
    }
    let sets: Vec<Value> = sets
        .into_iter()
        .map(|(owner, record_type, ttl, items)| {
            json!({"name": owner.with_dot(), "type": record_type.to_string(), "ttl": ttl, "records": items, "comments": []})
        })
        .collect();
    Ok(json!({"id": id, "name": id, "kind": "Native", "rrsets": sets}))
}

/// Replaces sets, all of them or none.
fn change(world: &World, id: &str, body: &[u8]) -> Result<(), Failure> {
    let patch: Patch =
        serde_json::from_slice(body).map_err(|error| Failure(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let mut zones = locked(&world.zones);
    let apex = name(id)?;
    let now = Instant::now();
    let mut removals: Vec<RecordId> = Vec::new();
    let mut additions: Vec<NewRecord> = Vec::new();
    {
        let zone: &Zone = zones.named(&apex).ok_or_else(|| unknown(id))?;
        for set in &patch.rrsets {
            let owner = name(&set.name)?;
            if !owner.is_within(&apex) {
                return Err(Failure(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    format!("RRset {} IN {}: Name is out of zone", set.name, set.record_type),
                ));
            }
            let replaced = |entry: &&Entry| entry.data.record_type().to_string() == set.record_type;
            removals.extend(zone.at(&owner, Some(now)).filter(replaced).map(|entry| entry.id));
            if set.changetype != "REPLACE" {
                continue;
            }
            for item in &set.records {
                let data = records::parse(&set.record_type, &item.content).ok_or_else(|| {
                    Failure(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        format!("Record {}/{}: Parsing record content failed", set.name, set.record_type),
                    )
                })?;
                additions.push(NewRecord { name: owner.clone(), data, ttl: set.ttl, content: item.content.clone() });
            }
        }
    }
    for removal in removals {
        zones.remove(&apex, removal, now);
    }
    for addition in additions {
        zones.add(addition, now);
    }
    Ok(())
}

fn name(text: &str) -> Result<Name, Failure> {
    Name::parse(text.trim_end_matches('.')).map_err(|error| Failure(StatusCode::UNPROCESSABLE_ENTITY, error.message().to_owned()))
}

fn unknown(id: &str) -> Failure {
    Failure(StatusCode::NOT_FOUND, format!("Could not find domain '{id}'"))
}
