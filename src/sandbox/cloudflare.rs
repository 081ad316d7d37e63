//! The part of Cloudflare's API that DNS validation needs: zones and DNS records. What it writes is in the primary's zone data.
//!
//! Source: <https://developers.cloudflare.com/api/resources/dns/>; the error codes are those that its clients know.

use std::time::Instant;

use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use hickory_proto::rr::RecordType;
use serde_json::{Value, json};

use super::{
    World,
    faults::Answer,
    locked, records, web,
    web::Received,
    zone::{Entry, NewRecord, RecordId, Zone},
};
use crate::name::Name;

/// The TTL that "automatic" (1) means, in seconds.
const AUTOMATIC_TTL: u32 = 300;

/// The page size of zones where the call names none, and the largest.
const ZONES_PAGE: (usize, usize) = (20, 50);

/// The page size of records where the call names none, and the largest.
const RECORDS_PAGE: (usize, usize) = (100, 5_000_000);

/// An error: HTTP status, code, message.
struct Failure(StatusCode, u32, String);

/// Answers a request.
pub(super) fn handle(world: &World, received: &Received) -> Response {
    match route(world, received) {
        Ok(reply) => web::json(StatusCode::OK, &reply),
        Err(failure) => failure.response(),
    }
}

/// Answers a request with a fault.
pub(super) fn fault(answer: &Answer) -> Response {
    match answer {
        Answer::Throttle { retry_after_ms } => {
            let message = "Please wait and consider throttling your request speed";
            let mut response = Failure(StatusCode::TOO_MANY_REQUESTS, 971, message.to_owned()).response();
            if let Some(milliseconds) = retry_after_ms {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000)));
            }
            response
        }
        Answer::Error { status, code, message } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Failure(status, code.parse().unwrap_or_default(), message.clone()).response()
        }
        _ => Failure(StatusCode::INTERNAL_SERVER_ERROR, 10013, "Internal server error".to_owned()).response(),
    }
}

fn route(world: &World, received: &Received) -> Result<Value, Failure> {
    check_token(&world.options.api_token, received.header("authorization"))?;
    let path = received.path();
    let segments: Vec<&str> = path.iter().map(String::as_str).collect();
    let method = received.method();
    match (method.as_str(), segments.as_slice()) {
        ("GET", ["client", "v4", "user", "tokens", "verify"]) => {
            Ok(success(&json!({"id": "ed17574386854bf78a67040be0a770b0", "status": "active"})))
        }
        ("GET", ["client", "v4", "zones"]) => Ok(list_zones(world, received)),
        ("GET", ["client", "v4", "zones", id]) => in_zone(world, id, |zone| Ok(success(&zone_json(zone)))),
        ("GET", ["client", "v4", "zones", id, "dns_records"]) => in_zone(world, id, |zone| list_records(zone, received)),
        ("POST", ["client", "v4", "zones", id, "dns_records"]) => create(world, id, &received.body),
        ("GET", ["client", "v4", "zones", id, "dns_records", record]) => {
            in_zone(world, id, |zone| find(zone, record).map(|entry| success(&record_json(entry))))
        }
        ("DELETE", ["client", "v4", "zones", id, "dns_records", record]) => delete(world, id, record),
        _ => Err(no_route(method, received.parts.uri.path())),
    }
}

fn check_token(expected: &str, header: &str) -> Result<(), Failure> {
    if header.is_empty() {
        let message = "Missing \"Authorization\" header".to_owned();
        return Err(Failure(StatusCode::BAD_REQUEST, 9106, message));
    }
    match header.strip_prefix("Bearer ") {
        None => Err(Failure(StatusCode::BAD_REQUEST, 6003, "Invalid request headers".to_owned())),
        Some(token) if token != expected => Err(Failure(StatusCode::FORBIDDEN, 9109, "Invalid access token".to_owned())),
        Some(_) => Ok(()),
    }
}

fn in_zone(world: &World, id: &str, act: impl FnOnce(&Zone) -> Result<Value, Failure>) -> Result<Value, Failure> {
    let zones = locked(&world.zones);
    act(zones.with_id(id).ok_or_else(|| unknown_zone(id))?)
}

fn unknown_zone(id: &str) -> Failure {
    if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Failure(StatusCode::FORBIDDEN, 10000, "Authentication error".to_owned());
    }
    let message = format!("Could not route to /client/v4/zones/{id}, perhaps your object identifier is invalid?");
    Failure(StatusCode::NOT_FOUND, 7003, message)
}

fn no_route(method: &Method, path: &str) -> Failure {
    Failure(StatusCode::BAD_REQUEST, 7000, format!("No route for that URI: {method} {path}"))
}

fn list_zones(world: &World, received: &Received) -> Value {
    let query = received.query();
    let name = query.get("name").map(|name| name.to_ascii_lowercase());
    let zones = locked(&world.zones);
    let matching = zones.iter().filter(|zone| name.as_ref().is_none_or(|name| *name == zone.apex.to_string()));
    paged(matching, &query, ZONES_PAGE, zone_json)
}

fn list_records(zone: &Zone, received: &Received) -> Result<Value, Failure> {
    let query = received.query();
    let filter = |name: &str| query.get(name).or_else(|| query.get(&format!("{name}.exact")));
    let record_type = filter("type").map(|text| text.to_ascii_uppercase());
    let content = filter("content");
    let now = Some(Instant::now());
    let matches = |entry: &&Entry| {
        record_type.as_ref().is_none_or(|wanted| *wanted == entry.data.record_type().to_string())
            && content.is_none_or(|wanted| *wanted == entry.content || *wanted == records::value(&entry.data))
            // The servers of the zone are not among its records at Cloudflare.
            && !(entry.name == zone.apex && entry.data.record_type() == RecordType::NS)
    };
    match filter("name") {
        Some(name) => {
            let owner = Name::parse(name).map_err(|error| invalid(error.message()))?;
            Ok(paged(zone.at(&owner, now).filter(matches), &query, RECORDS_PAGE, record_json))
        }
        None => Ok(paged(zone.all(now).filter(matches), &query, RECORDS_PAGE, record_json)),
    }
}

fn create(world: &World, zone_id: &str, body: &[u8]) -> Result<Value, Failure> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Failure(StatusCode::BAD_REQUEST, 9207, format!("Request body is invalid: {error}")))?;
    let text = |key: &str| body[key].as_str().filter(|text| !text.is_empty());
    let record_type = text("type").ok_or_else(|| invalid("DNS record type is missing"))?.to_ascii_uppercase();
    let content = text("content").ok_or_else(|| Failure(StatusCode::BAD_REQUEST, 9005, "Content is missing".to_owned()))?;
    let ttl = match body["ttl"].as_u64() {
        None | Some(1) => AUTOMATIC_TTL,
        Some(seconds) if (60..=86_400).contains(&seconds) => u32::try_from(seconds).unwrap_or(AUTOMATIC_TTL),
        Some(_) => return Err(invalid("Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")),
    };
    let data = records::parse(&record_type, content)
        .ok_or_else(|| Failure(StatusCode::BAD_REQUEST, 9005, format!("Content for {record_type} record is invalid.")))?;

    let now = Instant::now();
    let mut zones = locked(&world.zones);
    let zone = zones.with_id(zone_id).ok_or_else(|| unknown_zone(zone_id))?;
    let name = owner(zone, text("name").ok_or_else(|| invalid("DNS name is missing"))?)?;
    let apex = zone.apex.clone();
    for there in zone.at(&name, Some(now)) {
        if records::same(&there.data, &data) {
            return Err(Failure(StatusCode::BAD_REQUEST, 81058, "An identical record already exists.".to_owned()));
        }
        if there.data.record_type() == RecordType::CNAME {
            return Err(Failure(StatusCode::BAD_REQUEST, 81054, "A CNAME record with that host already exists.".to_owned()));
        }
        if data.record_type() == RecordType::CNAME {
            return Err(Failure(StatusCode::BAD_REQUEST, 81053, "A record with that host already exists.".to_owned()));
        }
    }
    let new = NewRecord { name, data, ttl, content: content.to_owned() };
    let made = zones.add(new, now).and_then(|id| zones.named(&apex)?.record(id));
    made.map(|entry| success(&record_json(entry))).ok_or_else(|| unknown_zone(zone_id))
}

/// The owner name as Cloudflare reads it: what does not end in the zone's name is relative to it.
fn owner(zone: &Zone, text: &str) -> Result<Name, Failure> {
    if text == "@" {
        return Ok(zone.apex.clone());
    }
    let read = Name::parse(text).and_then(|name| if name.is_within(&zone.apex) { Ok(name) } else { zone.apex.below(text) });
    read.map_err(|error| invalid(error.message()))
}

fn find<'a>(zone: &'a Zone, record: &str) -> Result<&'a Entry, Failure> {
    let entry = RecordId::from_str_radix(record, 16).ok().and_then(|id| zone.record(id));
    entry.ok_or_else(|| Failure(StatusCode::NOT_FOUND, 81044, "Record does not exist.".to_owned()))
}

fn delete(world: &World, zone_id: &str, record: &str) -> Result<Value, Failure> {
    let mut zones = locked(&world.zones);
    let zone = zones.with_id(zone_id).ok_or_else(|| unknown_zone(zone_id))?;
    let (apex, id) = (zone.apex.clone(), find(zone, record)?.id);
    zones.remove(&apex, id, Instant::now());
    Ok(success(&json!({"id": record})))
}

fn invalid(why: &str) -> Failure {
    Failure(StatusCode::BAD_REQUEST, 1004, format!("DNS Validation Error: {why}"))
}

fn zone_json(zone: &Zone) -> Value {
    let servers: Vec<String> = (1..=3).map(|number| format!("ns{number}.{}", zone.apex)).collect();
    json!({
        "id": zone.id,
        "name": zone.apex.to_string(),
        "status": "active",
        "paused": false,
        "type": "full",
        "name_servers": servers,
        "account": {"id": "00000000000000000000000000000001", "name": "dv-verify sandbox"},
        "permissions": ["#dns_records:edit", "#dns_records:read", "#zone:read"],
    })
}

fn record_json(entry: &Entry) -> Value {
    json!({
        "id": format!("{:032x}", entry.id),
        "name": entry.name.to_string(),
        "type": entry.data.record_type().to_string(),
        "content": entry.content,
        "proxiable": false,
        "proxied": false,
        "ttl": entry.ttl,
        "settings": {},
        "meta": {},
        "comment": null,
        "tags": [],
        "created_on": entry.created.to_string(),
        "modified_on": entry.created.to_string(),
    })
}

fn success(result: &Value) -> Value {
    json!({"result": result, "success": true, "errors": [], "messages": []})
}

fn paged<T>(
    items: impl Iterator<Item = T>,
    query: &std::collections::BTreeMap<String, String>,
    (default, largest): (usize, usize),
    show: impl Fn(T) -> Value,
) -> Value {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok()).filter(|number| *number > 0);
    let page = number("page").unwrap_or(1);
    let size = number("per_page").unwrap_or(default).min(largest);
    let first = (page - 1).saturating_mul(size);
    let (mut total, mut shown) = (0, Vec::new());
    for item in items {
        if total >= first && shown.len() < size {
            shown.push(show(item));
        }
        total += 1;
    }
    json!({
        "result": shown,
        "success": true,
        "errors": [],
        "messages": [],
        "result_info": {
            "page": page,
            "per_page": size,
            "count": shown.len(),
            "total_count": total,
            "total_pages": total.div_ceil(size),
        },
    })
}

impl Failure {
    fn response(self) -> Response {
        let Self(status, code, message) = self;
        let errors = json!([{"code": code, "message": message}]);
        web::json(status, &json!({"result": null, "success": false, "errors": errors, "messages": []}))
    }
}
