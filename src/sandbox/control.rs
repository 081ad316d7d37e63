//! The control API of the sandbox: new orders, faults, records, and what happened so far. Described in `docs/sandbox.md`.

use axum::{http::StatusCode, response::Response};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Fault, NewOrder, World, orders::kinds::OrderTraits, web, web::Received};
use crate::{
    error::{Error, Result},
    name::Name,
    order::Generation,
    record::{Record, RecordType},
};

/// An order as it is posted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostedOrder {
    generation: Generation,
    domains: Vec<Name>,
    #[serde(default)]
    traits: OrderTraits,
}

/// A record as it is posted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostedRecord {
    name: Name,
    #[serde(rename = "type")]
    record_type: RecordType,
    value: String,
}

/// Answers a request.
pub(super) fn handle(world: &World, received: &Received) -> Response {
    match route(world, received) {
        Ok(Some(reply)) => web::json(StatusCode::OK, &reply),
        Ok(None) => web::json(StatusCode::NOT_FOUND, &json!({"error": "there is no such thing; docs/sandbox.md lists what is"})),
        Err(error) => web::json(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
    }
}

fn route(world: &World, received: &Received) -> Result<Option<Value>> {
    let path = received.path();
    let segments: Vec<&str> = path.iter().map(String::as_str).collect();
    let reply = match (received.method().as_str(), segments.as_slice()) {
        ("POST", ["orders"]) => {
            let posted = read::<PostedOrder>(&received.body)?;
            if posted.iter().any(|order| order.domains.is_empty()) {
                return Err(Error::usage("an order needs at least one domain"));
            }
            let add = |order: PostedOrder| {
                world.add_order(NewOrder { generation: order.generation, domains: order.domains }, order.traits)
            };
            json!({"ids": posted.into_iter().map(add).collect::<Vec<String>>()})
        }
        ("POST", ["faults"]) => {
            for fault in read::<Fault>(&received.body)? {
                world.fault(fault)?;
            }
            json!({})
        }
        ("DELETE", ["faults"]) => {
            world.clear_faults();
            json!({})
        }
        ("POST", ["records"]) => {
            for posted in read::<PostedRecord>(&received.body)? {
                world.add_record(&Record { name: posted.name, record_type: posted.record_type, value: posted.value })?;
            }
            json!({})
        }
        ("GET", ["state"]) => to_value(&world.state())?,
        ("GET", ["addresses"]) => to_value(&world.addresses)?,
        ("GET", ["certificates"]) => to_value(&world.certificates())?,
        _ => return Ok(None),
    };
    Ok(Some(reply))
}

/// One thing, or a list of several.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>> {
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let things = if is_list { serde_json::from_slice(body) } else { serde_json::from_slice(body).map(|one| vec![one]) };
    things.map_err(|error| Error::usage(format!("the body is not as docs/sandbox.md says: {error}")))
}

fn to_value(thing: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(thing).map_err(|error| Error::usage(error.to_string()))
}
