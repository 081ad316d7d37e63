//! Values between serde_json and jaq.

use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value};

use crate::language::t;

/// How much the outputs of one query may hold together.
pub(super) struct Room {
    nodes: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { nodes: 500_000, bytes: 8 * 1024 * 1024 }
    }
}

/// A JSON value as jaq has it.
pub(super) fn to_jq(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(flag) => Val::Bool(*flag),
        Value::Number(number) => Val::Num(match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Num::from_integral(integer),
            (None, Some(integer)) => Num::from_integral(integer),
            (None, None) => Num::from_dec_str(&number.to_string()),
        }),
        Value::String(text) => Val::from(text.clone()),
        Value::Array(all) => all.iter().map(to_jq).collect(),
        Value::Object(all) => {
            Val::obj(all.iter().map(|(key, inner)| (Val::from(key.clone()), to_jq(inner))).collect::<Map<Val, Val>>())
        }
    }
}

/// The text of a string.
pub(super) fn text_of(value: &Val) -> Option<String> {
    match value {
        Val::TStr(bytes) | Val::BStr(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

/// A value of jaq as JSON.
///
/// # Errors
/// Where it takes more than is left in `room`, or is no JSON (a key that is not text, a number that is none).
pub(super) fn from_jq(value: &Val, room: &mut Room) -> Result<Value, String> {
    let too_large = || t!("the query yields too much").to_owned();
    room.nodes = room.nodes.checked_sub(1).ok_or_else(too_large)?;
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(flag) => Value::Bool(*flag),
        Val::Num(Num::Int(integer)) => Value::from(*integer),
        Val::Num(number) => {
            let text = number.to_string();
            let parsed: Number = serde_json::from_str(&text).map_err(|_| t!("%{text} is no JSON number", text))?;
            Value::Number(parsed)
        }
        Val::TStr(bytes) | Val::BStr(bytes) => {
            room.bytes = room.bytes.checked_sub(bytes.len()).ok_or_else(too_large)?;
            Value::String(String::from_utf8_lossy(bytes).into_owned())
        }
        Val::Arr(all) => Value::Array(all.iter().map(|inner| from_jq(inner, room)).collect::<Result<_, _>>()?),
        Val::Obj(all) => {
            let entries = all.iter().map(|(key, inner)| {
                let key = text_of(key).ok_or_else(|| t!("an object's key must be text").to_owned())?;
                Ok((key, from_jq(inner, room)?))
            });
            Value::Object(entries.collect::<Result<_, String>>()?)
        }
    })
}
