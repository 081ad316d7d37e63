//! Reply bodies as values for jq.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value, json};

use super::model::ReplyFormat;

use crate::language::t;

/// How deep XML elements may nest.
const MAX_DEPTH: usize = 100;

/// Reads a body.
///
/// # Errors
/// Why it is not what the manifest says, as a sentence fragment without a part of the body.
pub(super) fn read(body: &str, format: ReplyFormat) -> Result<Value, String> {
    let body = body.trim_start_matches('\u{feff}');
    match format {
        ReplyFormat::Text => Ok(Value::String(body.to_owned())),
        _ if body.trim().is_empty() => Ok(Value::Null),
        ReplyFormat::Json => serde_json::from_str(body).map_err(|error| t!("not JSON (%{error})", error)),
        ReplyFormat::Xml => {
            // A document type may be named. Entities that it declares could grow without end, and are refused.
            let options = ParsingOptions { allow_dtd: !body.contains("<!ENTITY"), ..ParsingOptions::default() };
            let document = Document::parse_with_options(body, options).map_err(|error| t!("not XML (%{error})", error))?;
            element(document.root_element(), 0)
        }
    }
}

/// An element as `{t, a, c}`: tag without its namespace, attributes, children (text and elements, in order).
fn element(node: Node<'_, '_>, depth: usize) -> Result<Value, String> {
    if depth == MAX_DEPTH {
        return Err(t!("XML that nests deeper than %{MAX_DEPTH} elements", MAX_DEPTH));
    }
    let attributes: Map<String, Value> =
        node.attributes().map(|attribute| (attribute.name().to_owned(), attribute.value().into())).collect();
    let children = node.children().filter_map(|child| {
        if child.is_element() {
            Some(element(child, depth + 1))
        } else if child.is_text() {
            child.text().map(|text| Ok(text.into()))
        } else {
            None
        }
    });
    let children = children.collect::<Result<Vec<Value>, String>>()?;
    Ok(json!({"t": node.tag_name().name(), "a": attributes, "c": children}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_becomes_tags_attributes_and_children_with_entities_decoded() {
        let xml = "<?xml version=\"1.0\"?><r xmlns=\"urn:x\"><!-- no --><e k=\"v\">a&lt;b</e>t</r>";
        let read = read(xml, ReplyFormat::Xml).unwrap();
        assert_eq!(read, json!({"t": "r", "a": {}, "c": [{"t": "e", "a": {"k": "v"}, "c": ["a<b"]}, "t"]}));
    }

    #[test]
    fn a_document_type_without_entities_is_passed_over() {
        let reply = json!({"t": "r", "a": {}, "c": ["a<b"]});
        for declared in
            ["r", "r SYSTEM \"r.dtd\"", "r PUBLIC \"-//X//DTD R//EN\" \"https://x.example/r.dtd\"", "r [<!ELEMENT r ANY>]"]
        {
            let text = format!("<?xml version=\"1.0\"?><!DOCTYPE {declared}><r>a&lt;b</r>");
            assert_eq!(read(&text, ReplyFormat::Xml).as_ref(), Ok(&reply), "{declared}");
        }
    }

    #[test]
    fn what_is_not_in_the_format_is_said_so() {
        assert!(read("<html>", ReplyFormat::Json).unwrap_err().starts_with("not JSON"));
        assert!(read("{}", ReplyFormat::Xml).unwrap_err().starts_with("not XML"));
        assert!(read(&"<a>".repeat(5000), ReplyFormat::Xml).is_err());
        let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
        assert!(read(&deep, ReplyFormat::Xml).unwrap_err().contains("deeper"));
        assert!(read(&"[".repeat(100_000), ReplyFormat::Json).is_err());
        // A document type could define entities that grow without end, or stand for files.
        for declared in ["<!ENTITY a \"b\">", "<!ENTITY a SYSTEM \"file:///etc/passwd\">", "<!ENTITY % a \"b\"> %a;"] {
            let text = format!("<!DOCTYPE r [{declared}]><r>&a;</r>");
            assert!(read(&text, ReplyFormat::Xml).unwrap_err().contains("DTD"), "{declared}");
        }
        assert!(read("<!DOCTYPE r SYSTEM \"https://other.example/r.dtd\"><r>&a;</r>", ReplyFormat::Xml).is_err());
        assert_eq!(read(" ", ReplyFormat::Json).unwrap(), Value::Null);
        assert_eq!(read("OK", ReplyFormat::Text).unwrap(), "OK");
    }
}
