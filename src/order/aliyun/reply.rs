//! Replies of CAS: JSON, or XML in the same shape, read with tolerance for what differs between the generations.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    error::{Error, ErrorKind},
    http::Reply,
    language::t,
    order::Bundle,
    secret::Secret,
};

/// An object of a reply. It may hold a private key, therefore it has no `Debug`.
#[derive(Clone)]
pub(super) struct Fields(Map<String, Value>);

/// A reply that could be read.
pub(super) struct Parsed {
    /// The outermost object.
    pub(super) fields: Fields,
    /// Whether it was XML with the root `Error`, which is an error whatever the HTTP status.
    pub(super) is_error: bool,
}

/// Reads a reply; `Err` says what it is instead, such as "text/html instead of JSON".
pub(super) fn parse(reply: &Reply) -> Result<Parsed, String> {
    let text = reply.text();
    let text = text.trim_start_matches('\u{feff}').trim();
    let instead = || match (text.is_empty(), content_type(reply)) {
        (true, _) => t!("an empty body instead of JSON").to_owned(),
        (false, Some(content_type)) if !content_type.contains("json") => t!("%{content_type} instead of JSON", content_type),
        (false, _) => t!("a body that is not well-formed JSON").to_owned(),
    };
    if text.starts_with('<') {
        return from_xml(text).ok_or_else(instead);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(Parsed { fields: Fields(fields), is_error: false }),
        _ => Err(instead()),
    }
}

/// Reads a JSON object that came some other way than as a reply.
pub(super) fn parse_text(text: &str) -> Option<Fields> {
    serde_json::from_str(text.trim_start_matches('\u{feff}').trim()).ok().map(Fields)
}

/// The media type of a reply without its parameters.
fn content_type(reply: &Reply) -> Option<String> {
    let value = reply.headers.get("content-type")?.to_str().ok()?;
    let media_type = value.split(';').next()?.trim().to_ascii_lowercase();
    (!media_type.is_empty() && media_type.len() <= 60).then_some(media_type)
}

/// XML whatever its root, as long as it is not a web page.
fn from_xml(text: &str) -> Option<Parsed> {
    let document = roxmltree::Document::parse(text).ok()?;
    let root = document.root_element();
    if root.tag_name().name().eq_ignore_ascii_case("html") {
        return None;
    }
    match value_of(root, DEEPEST)? {
        Value::Object(fields) => Some(Parsed { fields: Fields(fields), is_error: root.tag_name().name() == "Error" }),
        _ => None,
    }
}

/// An element with children becomes an object, one without its text; children of the same name become an array. `None` where the
/// document is nested deeper than any reply.
fn value_of(element: roxmltree::Node<'_, '_>, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    if !element.children().any(|child| child.is_element()) {
        let text: String = element.children().filter_map(|child| child.text()).collect();
        return Some(Value::String(text));
    }
    let mut fields = Map::new();
    for child in element.children().filter(roxmltree::Node::is_element) {
        let value = value_of(child, depth)?;
        match fields.get_mut(child.tag_name().name()) {
            Some(Value::Array(rows)) => rows.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                fields.insert(child.tag_name().name().to_owned(), value);
            }
        }
    }
    Some(Value::Object(fields))
}

impl Fields {
    /// The value of a field; the name is looked up as it is, else in any case.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }

    /// A field as text without surrounding blanks; numbers and booleans count as their text, empty text as absent.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = match self.get(name)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A field as a number, whether it came as one or as text.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// A field as a time. The API means seconds in some places and milliseconds in others; values of 10^11 and more are milliseconds
    /// (as seconds they would lie after the year 5000). Zero is absent.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        let value = i64::try_from(self.number(name)?).ok().filter(|value| *value > 0)?;
        let time = if value >= 100_000_000_000 { Timestamp::from_millisecond(value) } else { Timestamp::from_second(value) };
        time.ok()
    }

    /// The objects of a list. In XML, a list of one cannot be told from an object, and an empty one is not there at all.
    pub(super) fn rows(&self, name: &str) -> Vec<Self> {
        let object = |value: &Value| value.as_object().cloned().map(Self);
        match self.get(name) {
            Some(Value::Array(rows)) => rows.iter().filter_map(object).collect(),
            Some(single) => object(single).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// How many values a list has, of whatever kind.
    pub(super) fn length(&self, name: &str) -> usize {
        match self.get(name) {
            Some(Value::Array(values)) => values.len(),
            Some(Value::Null) | None => 0,
            Some(_) => 1,
        }
    }

    /// An object within this one.
    pub(super) fn object(&self, name: &str) -> Option<Self> {
        self.get(name)?.as_object().cloned().map(Self)
    }

    /// A certificate and, where the CA made it, its private key, from the fields of these names; `None` without a certificate.
    pub(super) fn bundle(&self, certificate: &str, private_key: &str) -> Option<Bundle> {
        Some(Bundle { certificate: self.text(certificate)?, private_key: self.text(private_key).map(Secret::new) })
    }

    /// The error for a reply that lacks what it must have. It names the fields that came, never their values, except `Code` and
    /// `Message`: some replies report a failure with HTTP status 200.
    pub(super) fn lacks(&self, action: &str, field: &str) -> Error {
        let came = self.0.keys().take(12).map(|key| format!("`{}`", key.escape_debug())).collect::<Vec<_>>().join(", ");
        let came = if came.is_empty() { t!("no field").to_owned() } else { came };
        let mut error =
            Error::new(ErrorKind::OrderSource, t!("%{action}: the reply has no `%{field}`; it has %{came}", action, field, came));
        if let Some(code) = self.text("Code") {
            error = error.with_code(code);
        }
        match self.text("RequestId") {
            Some(id) => error.with_request_id(id),
            None => error,
        }
    }

    #[cfg(test)]
    pub(super) fn of_json(text: &str) -> Self {
        tests::fields("application/json", text)
    }

    #[cfg(test)]
    pub(super) fn of_xml(text: &str) -> Self {
        tests::fields("text/xml", text)
    }
}

/// How deep a reply may be nested.
const DEEPEST: usize = 16;

#[cfg(test)]
pub(super) mod tests {
    use reqwest::{StatusCode, header::HeaderMap};

    use super::*;

    pub(in crate::order::aliyun) fn reply(status: u16, content_type: &str, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_owned().into() }
    }

    pub(super) fn fields(content_type: &str, body: &str) -> Fields {
        match parse(&reply(200, content_type, body)) {
            Ok(parsed) => parsed.fields,
            Err(why) => panic!("{why}: {body}"),
        }
    }

    #[test]
    fn keys_are_found_in_any_case_and_numbers_in_any_dress() {
        let fields = Fields::of_json(r#"{"code":"A","TotalCount":"12","Id":34,"Empty":"","Nothing":null,"Flag":true}"#);
        assert_eq!(fields.text("Code").as_deref(), Some("A"));
        assert_eq!(fields.number("TotalCount"), Some(12));
        assert_eq!(fields.number("Id"), Some(34));
        assert_eq!(fields.text("Id").as_deref(), Some("34"));
        assert_eq!(fields.text("Flag").as_deref(), Some("true"));
        for absent in ["Empty", "Nothing", "Other"] {
            assert_eq!(fields.text(absent), None, "{absent}");
        }
    }

    #[test]
    fn times_come_in_seconds_and_in_milliseconds() {
        let fields = Fields::of_json(r#"{"s":1801324800,"ms":"1801324800000","zero":0}"#);
        assert_eq!(fields.time("s").unwrap(), fields.time("ms").unwrap());
        assert_eq!(fields.time("s").unwrap().to_string(), "2027-01-30T16:00:00Z");
        assert_eq!(fields.time("zero"), None);
    }

    #[test]
    fn xml_is_read_whatever_its_root() {
        for root in ["DescribeDVOrderResultResponse", "DescribeDVOrderResult", "x"] {
            let fields = Fields::of_xml(&format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{root}>\n <OrderStatus>checking</OrderStatus><CheckName/>\n</{root}>"
            ));
            assert_eq!(fields.text("OrderStatus").as_deref(), Some("checking"));
            assert_eq!(fields.text("CheckName"), None);
        }
    }

    #[test]
    fn repeated_children_become_a_list_and_one_child_is_a_list_of_one() {
        let rows = |xml: &str| -> Vec<String> {
            Fields::of_xml(xml).rows("OrderList").iter().map(|row| row.text("Id").unwrap()).collect()
        };
        assert_eq!(rows("<R><OrderList><Id>1</Id></OrderList><N>1</N><OrderList><Id>2</Id></OrderList></R>"), ["1", "2"]);
        assert_eq!(rows("<R><N>1</N><OrderList><Id>1</Id></OrderList></R>"), ["1"]);
        assert!(rows("<R><N>0</N></R>").is_empty());
    }

    #[test]
    fn an_error_root_is_an_error_and_the_text_of_pem_keeps_its_lines() {
        let parsed = parse(&reply(200, "text/xml", "<Error><Code>X</Code></Error>")).map_err(|_| ()).ok().unwrap();
        assert!(parsed.is_error);
        let fields = Fields::of_xml("<R><Certificate>-----BEGIN\nA&#x2B;B\n-----END\n</Certificate><N>1</N></R>");
        assert_eq!(fields.text("Certificate").unwrap(), "-----BEGIN\nA+B\n-----END");
    }

    #[test]
    fn what_is_neither_is_named() {
        let why = |content_type: &str, body: &str| parse(&reply(503, content_type, body)).err().unwrap();
        assert_eq!(why("text/html; charset=utf-8", "<html><body>x</body></html>"), "text/html instead of JSON");
        assert_eq!(why("text/html", "<!DOCTYPE html><html><br></html>"), "text/html instead of JSON");
        assert_eq!(why("application/json", "{\"a\":"), "a body that is not well-formed JSON");
        assert_eq!(why("application/json", "[]"), "a body that is not well-formed JSON");
        assert_eq!(why("application/json", " \n"), "an empty body instead of JSON");
        assert_eq!(why("text/plain", "busy"), "text/plain instead of JSON");
        // JSON is JSON under any name.
        assert!(parse(&reply(200, "text/plain", "{\"a\":1}")).is_ok());
    }

    #[test]
    fn hostile_documents_end_in_an_error() {
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert!(parse(&reply(200, "text/xml", &deep)).is_err());
        assert!(parse(&reply(200, "application/json", &"[{\"a\":".repeat(100_000))).is_err());
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;\">]><a>&c;</a>";
        assert!(parse(&reply(200, "text/xml", bomb)).is_err());
    }

    #[test]
    fn a_lacking_field_names_fields_but_no_values() {
        let error =
            Fields::of_json(r#"{"PrivateKey":"very secret","Code":"Odd","RequestId":"R1"}"#).lacks("Action", "OrderStatus");
        let text = format!("{error:?}");
        assert!(text.contains("`OrderStatus`") && text.contains("`PrivateKey`") && text.contains("Odd") && text.contains("R1"));
        assert!(!text.contains("very secret"));
    }
}
