//! One DNS record, as far as this program writes any.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
};

/// The record types that this program writes. Nothing else is ever written (invariant *guard*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordType {
    /// Text (RFC 1035 section 3.3.14).
    #[serde(rename = "TXT")]
    Txt,
    /// Canonical name (RFC 1035 section 3.3.1).
    #[serde(rename = "CNAME")]
    Cname,
    /// No record, but a file on the web server of the name ([`Record::file`]). It goes through the same journal, and no DNS provider
    /// writes it.
    #[serde(rename = "FILE")]
    File,
}

impl RecordType {
    /// The mnemonic: `TXT`, `CNAME`, or `FILE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "TXT",
            Self::Cname => "CNAME",
            Self::File => "FILE",
        }
    }

    /// Reads the mnemonic of a record type, in any case. `FILE` is none.
    ///
    /// # Errors
    /// `ErrorKind::Usage` for any other type.
    pub fn parse(text: &str) -> Result<Self> {
        match text.to_ascii_uppercase().as_str() {
            "TXT" => Ok(Self::Txt),
            "CNAME" => Ok(Self::Cname),
            _ => Err(Error::usage(t!("record type `%{text}` is not written by this program; it writes TXT and CNAME", text))),
        }
    }
}

impl RecordType {
    /// Reads what [`RecordType::as_str`] wrote into the journal.
    pub(crate) fn stored(text: &str) -> Result<Self> {
        if text == Self::File.as_str() { Ok(Self::File) } else { Self::parse(text) }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value at one owner name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// The owner name that is written: the write target, after CNAME delegation.
    pub name: Name,
    /// The type.
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// The bare value: no quotes; for CNAME the target without the final dot, in canonical form; for a file its path, a line feed, and
    /// its content.
    pub value: String,
}

/// The most bytes of a DNS message (RFC 1035 section 4.2.2).
const LONGEST_MESSAGE: usize = 65_535;
/// The most bytes of one string of a TXT record; longer values are several strings.
const LONGEST_STRING: usize = 255;
/// A message's header, the rest of its question, and the head of the answer with a compressed name (RFC 1035 section 4.1).
const AROUND: usize = 12 + 4 + 12;

impl Record {
    /// A file with this content at `path` (which begins with `/`) on the web server of `host`.
    pub fn of_file(host: Name, path: &str, content: &str) -> Self {
        Self { name: host, record_type: RecordType::File, value: format!("{path}\n{content}") }
    }

    /// Path and content, where this is a file.
    pub fn file(&self) -> Option<(&str, &str)> {
        (self.record_type == RecordType::File).then(|| self.value.split_once('\n')).flatten()
    }

    /// What is written, for people, without the value: `TXT _dnsauth.example.com`, `FILE example.com/.well-known/…`.
    pub fn title(&self) -> String {
        let path = self.file().map(|(path, _)| path).unwrap_or_default();
        format!("{} {}{path}", self.record_type, self.name)
    }

    /// The value of the record or the content of the file.
    pub fn content(&self) -> &str {
        self.file().map_or(&self.value, |(_, content)| content)
    }

    /// Refuses a value that no DNS message carries, strings' lengths, header and question included.
    ///
    /// # Errors
    /// `ErrorKind::Usage`.
    pub fn fits(self) -> Result<Self> {
        let longest = LONGEST_MESSAGE - AROUND - (self.name.as_str().len() + 2);
        let needed = self.value.len() + self.value.len().div_ceil(LONGEST_STRING);
        if self.record_type == RecordType::Txt && needed > longest {
            return Err(Error::usage(t!(
                "the value for %{name} has %{value} bytes, more than a DNS message carries",
                name = self.name,
                value = self.value.len()
            ))
            .with_hint(t!("give the value that the CA wants to see; such values have less than a hundred characters")));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_refused_exactly_where_no_message_holds_it() {
        let record = |bytes: usize| Record {
            name: Name::parse("_a.example.test").unwrap(),
            record_type: RecordType::Txt,
            value: "x".repeat(bytes),
        };
        let length = |record: &Record| {
            let mut message =
                hickory_proto::op::Message::new(1, hickory_proto::op::MessageType::Response, hickory_proto::op::OpCode::Query);
            message.add_query(hickory_proto::op::Query::query(record.name.to_wire(), hickory_proto::rr::RecordType::TXT));
            let strings = record.value.as_bytes().chunks(LONGEST_STRING).collect();
            let data = hickory_proto::rr::RData::TXT(hickory_proto::rr::rdata::TXT::from_bytes(strings));
            message.add_answer(hickory_proto::rr::Record::from_rdata(record.name.to_wire(), 60, data));
            message.to_vec().map(|bytes| bytes.len())
        };
        let most = (60_000..66_000).rev().find(|bytes| record(*bytes).fits().is_ok()).unwrap();
        assert_eq!(length(&record(most)).unwrap(), LONGEST_MESSAGE);
        assert!(record(256).fits().is_ok() && record(most + 1).fits().is_err());
    }
}
