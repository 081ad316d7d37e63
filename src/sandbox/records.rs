//! Record data between the wire and the text that the provider's API takes.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::{
    RData,
    rdata::{A, AAAA, CNAME, NS, TXT},
};

use crate::name::Name;

/// The longest string in a TXT record, in bytes (RFC 1035 section 3.3.14).
const LONGEST_STRING: usize = 255;

/// Record data from the type's mnemonic and its text; for TXT bare or in quotes, as one string or several. `None` for a type
/// that the provider does not offer, and for text that does not fit the type.
pub(super) fn parse(record_type: &str, content: &str) -> Option<RData> {
    match record_type {
        "TXT" => Some(RData::TXT(txt(&unquoted(content)))),
        "CNAME" => Some(RData::CNAME(CNAME(Name::parse(content).ok()?.to_wire()))),
        "NS" => Some(RData::NS(NS(Name::parse(content).ok()?.to_wire()))),
        "A" => Some(RData::A(A(content.parse::<Ipv4Addr>().ok()?))),
        "AAAA" => Some(RData::AAAA(AAAA(content.parse::<Ipv6Addr>().ok()?))),
        _ => None,
    }
}

/// The text of record data, as the provider's API shows what came another way.
pub(super) fn content(data: &RData) -> String {
    match data {
        RData::TXT(_) => format!("\"{}\"", value(data).replace('\\', "\\\\").replace('"', "\\\"")),
        _ => value(data),
    }
}

/// The bare value of record data: for TXT its strings joined, for names without the final dot.
pub(super) fn value(data: &RData) -> String {
    match data {
        RData::TXT(txt) => String::from_utf8_lossy(&txt.txt_data.concat()).into_owned(),
        RData::CNAME(target) => Name::from_wire(&target.0).to_string(),
        RData::NS(host) => Name::from_wire(&host.0).to_string(),
        other => other.to_string(),
    }
}

/// Whether two records hold the same: type and bare value. How a TXT value is cut into strings does not matter.
pub(super) fn same(one: &RData, other: &RData) -> bool {
    one.record_type() == other.record_type() && value(one) == value(other)
}

fn txt(value: &str) -> TXT {
    let strings: Vec<&[u8]> = value.as_bytes().chunks(LONGEST_STRING).collect();
    if strings.is_empty() { TXT::from_bytes(vec![b""]) } else { TXT::from_bytes(strings) }
}

/// The value of a TXT content: `"one" "two"` is `onetwo`; what does not begin and end with a quote is taken as it is.
fn unquoted(content: &str) -> String {
    let trimmed = content.trim();
    if trimmed.len() < 2 || !trimmed.starts_with('"') || !trimmed.ends_with('"') {
        return content.to_owned();
    }
    let (mut out, mut inside) = (String::new(), false);
    let mut characters = trimmed.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => inside = !inside,
            '\\' if inside => out.extend(characters.next()),
            other if inside => out.push(other),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_no_part_of_the_value() {
        for (content, bare) in
            [("abc", "abc"), ("\"abc\"", "abc"), ("\"ab\" \"c\"", "abc"), (r#""a\"b\\""#, r#"a"b\"#), ("\"\"", ""), ("\"", "\"")]
        {
            assert_eq!(value(&parse("TXT", content).unwrap()), bare, "{content}");
        }
        assert_eq!(content(&parse("TXT", "a\"b").unwrap()), r#""a\"b""#);
    }

    #[test]
    fn long_values_are_cut_and_joined() {
        let long = "x".repeat(600);
        let data = parse("TXT", &long).unwrap();
        assert!(matches!(&data, RData::TXT(txt) if txt.txt_data.len() == 3));
        assert_eq!(value(&data), long);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(parse("A", "::1").is_none());
        assert!(parse("CNAME", "a..b").is_none());
        assert!(parse("SRV", "1 2 3 a").is_none());
    }
}
