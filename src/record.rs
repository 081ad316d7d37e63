//! One DNS record, as far as this program writes any.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
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
}

impl RecordType {
    /// The mnemonic: `TXT` or `CNAME`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "TXT",
            Self::Cname => "CNAME",
        }
    }

    /// Reads the mnemonic, in any case.
    ///
    /// # Errors
    /// `ErrorKind::Usage` for any other type.
    pub fn parse(text: &str) -> Result<Self> {
        match text.to_ascii_uppercase().as_str() {
            "TXT" => Ok(Self::Txt),
            "CNAME" => Ok(Self::Cname),
            _ => Err(Error::usage(format!("record type `{text}` is not written by this program; it writes TXT and CNAME"))),
        }
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
    /// The bare value: no quotes; for CNAME the target without the final dot, in canonical form.
    pub value: String,
}
