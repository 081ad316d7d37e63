//! Replies in JSON and XML.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value, json};

use super::{call::Format, failure::Failure};
use crate::sandbox::web;

/// The fields of a reply, in their order.
pub(super) type Fields = Map<String, Value>;

/// A new request id: a UUID in capitals.
pub(super) fn request_id() -> String {
    // Version 4, variant 1 (RFC 9562 section 5.4).
    let bits = (rand::random::<u128>() & !(0xf << 76 | 0x3 << 62)) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{bits:032X}");
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// The reply to a call. `action` names the root element of XML, `host` is the host that was called.
pub(super) fn response(outcome: Result<Fields, Failure>, action: &str, host: &str, format: Format) -> Response {
    let request_id = request_id();
    let (status, root, fields, retry_after) = match outcome {
        Ok(mut fields) => {
            fields.insert("RequestId".to_owned(), json!(request_id));
            (StatusCode::OK, format!("{action}Response"), fields, None)
        }
        Err(failure) => {
            let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::BAD_REQUEST);
            (status, "Error".to_owned(), error_fields(&failure, host, &request_id), failure.retry_after)
        }
    };
    let mut response = match format {
        Format::Json => web::json(status, &Value::Object(fields)),
        Format::Xml => web::text(status, "text/xml;charset=utf-8", xml(&root, &fields)),
    };
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(HeaderName::from_static("x-acs-request-id"), id);
    }
    if let Some(milliseconds) = retry_after {
        response.headers_mut().insert(HeaderName::from_static("x-acs-retry-after"), milliseconds.into());
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn error_fields(failure: &Failure, host: &str, request_id: &str) -> Fields {
    let recommend = format!("https://api.aliyun.com/troubleshoot?q={}&product=cas&requestId={request_id}", failure.code);
    let fields = [
        ("RequestId", request_id),
        ("HostId", host),
        ("Code", &failure.code),
        ("Message", &failure.message),
        ("Recommend", &recommend),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// Fields as XML: a list is its element repeated, without one around it.
fn xml(root: &str, fields: &Fields) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    element(&mut out, root, &Value::Object(fields.clone()));
    out
}

fn element(out: &mut String, name: &str, value: &Value) {
    if let Value::Array(items) = value {
        for item in items {
            element(out, name, item);
        }
        return;
    }
    out.extend(["<", name, ">"]);
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| element(out, name, value)),
        Value::String(text) => escape(out, text),
        Value::Null => {}
        other => escape(out, &other.to_string()),
    }
    out.extend(["</", name, ">"]);
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_uuids_in_capitals() {
        for _ in 0..100 {
            let id = request_id();
            let groups: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12]);
            assert!(id.bytes().all(|b| b == b'-' || b.is_ascii_digit() || b.is_ascii_uppercase()));
            assert_eq!(&id[14..15], "4");
            assert!("89AB".contains(&id[19..20]), "{id}");
        }
    }

    #[test]
    fn xml_repeats_the_elements_of_a_list() {
        let fields = json!({"TotalCount": 2, "OrderList": [{"Id": 1}, {"Id": 2}], "Note": "a<b&c"});
        let text = xml("XResponse", fields.as_object().unwrap());
        let document = roxmltree::Document::parse(&text).unwrap();
        let root = document.root_element();
        assert_eq!(root.tag_name().name(), "XResponse");
        let names: Vec<&str> = root.children().map(|child| child.tag_name().name()).collect();
        assert_eq!(names, ["TotalCount", "OrderList", "OrderList", "Note"]);
        assert_eq!(root.last_element_child().unwrap().text(), Some("a<b&c"));
    }
}
