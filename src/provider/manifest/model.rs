//! A manifest as it is written: the shape that TOML is read into. Unknown keys are refused here.

use std::{collections::BTreeMap, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use toml::Spanned;

use crate::{
    language::t,
    provider::description::{Ambient, Proof},
};

/// A string that is a template or a jq expression, with its place.
pub(super) type Text = Spanned<String>;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) format: Option<Spanned<u32>>,
    pub(super) id: Text,
    pub(super) title: String,
    pub(super) docs: Option<String>,
    pub(super) base_url: Text,
    pub(super) ttl: u32,
    pub(super) least_ttl: Option<u32>,
    #[serde(default)]
    pub(super) apex: String,
    pub(super) propagation: Option<Text>,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    #[serde(default)]
    pub(super) name_servers: Vec<String>,
    pub(super) types: Option<Spanned<Types>>,
    #[serde(default)]
    pub(super) scope: Scope,
    #[serde(default = "yes")]
    pub(super) several_values: bool,
    #[serde(default = "yes")]
    pub(super) removal: bool,
    #[serde(default)]
    pub(super) one_write_per_zone: bool,
    #[serde(default)]
    pub(super) proof: Proof,
    pub(super) ambient: Option<Spanned<Ambient>>,
    #[serde(default)]
    pub(super) credentials: BTreeMap<Text, Credential>,
    #[serde(default)]
    pub(super) hosts: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) request: Request,
    pub(super) sign: Option<Sign>,
    pub(super) clock: Option<ClockCall>,
    pub(super) login: Option<Login>,
    pub(super) logout: Option<Logout>,
    #[serde(default)]
    pub(super) lookup: Vec<Lookup>,
    pub(super) zone: Option<ZoneCall>,
    pub(super) create: Option<Create>,
    pub(super) find: Option<Find>,
    pub(super) delete: Option<Delete>,
    pub(super) merge: Option<Spanned<Merge>>,
    pub(super) commit: Option<Commit>,
    pub(super) wait: Option<Wait>,
}

fn yes() -> bool {
    true
}

/// The record types: a list, or a table that says how the API writes each.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Types {
    /// `types = ["TXT", "CNAME"]`
    Names(Vec<String>),
    /// `types = { TXT = 16 }`
    Spelled(BTreeMap<String, Value>),
}

/// How much a write replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scope {
    /// The values of one name.
    #[default]
    Name,
    /// Every record of the zone.
    Zone,
}

/// One credential or setting.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    #[serde(default)]
    pub(super) secret: bool,
    #[serde(default)]
    pub(super) optional: bool,
    pub(super) default: Option<Text>,
    #[serde(default)]
    pub(super) file: bool,
    pub(super) help: Option<String>,
    #[serde(default)]
    pub(super) env: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) per_name: bool,
    pub(super) fields: Option<Spanned<Vec<String>>>,
}

/// What every call has in common.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Raw>,
    #[serde(default)]
    pub(super) query: BTreeMap<String, Raw>,
    pub(super) json: Option<Raw>,
    pub(super) form: Option<BTreeMap<String, Raw>>,
    #[serde(default)]
    pub(super) reply: ReplyFormat,
    pub(super) ok: Option<Text>,
    pub(super) absent: Option<Text>,
    pub(super) exists: Option<Text>,
    pub(super) denied: Option<Text>,
    pub(super) forbidden: Option<Text>,
    pub(super) throttled: Option<Text>,
    pub(super) error: Option<Text>,
    pub(super) code: Option<Text>,
    #[serde(rename = "request_id")]
    pub(super) id: Option<Text>,
}

/// How replies are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ReplyFormat {
    /// JSON.
    #[default]
    Json,
    /// XML, as objects `{t, a, c}`: tag, attributes, children.
    Xml,
    /// Text, as one string.
    Text,
}

/// A named signer of the engine and what it takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sign {
    pub(super) kind: Spanned<SignKind>,
    pub(super) access_key: Option<Text>,
    pub(super) secret_key: Option<Text>,
    pub(super) token: Option<Text>,
    pub(super) service: Option<Text>,
    pub(super) region: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) value: Option<Text>,
}

/// The signers that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SignKind {
    /// AWS Signature Version 4.
    AwsSigv4,
    /// Alibaba Cloud ACS3-HMAC-SHA256.
    AliyunAcs3,
    /// Tencent Cloud TC3-HMAC-SHA256.
    TencentTc3,
    /// Volcengine HMAC-SHA256.
    Volcengine,
    /// JD Cloud JDCLOUD3-HMAC-SHA256.
    Jdcloud,
    /// Huawei Cloud SDK-HMAC-SHA256.
    Huawei,
    /// Baidu Cloud bce-auth-v1.
    BaiduBce,
    /// Akamai EG1-HMAC-SHA256.
    Edgegrid,
    /// Oracle Cloud, HTTP signatures with RSA-SHA256.
    Oracle,
    /// A parameter computed from all the others.
    Parameter,
}

/// What a call is made of, whatever section it stands in.
#[derive(Debug)]
pub(super) struct CallText<'a> {
    pub(super) http: &'a Text,
    pub(super) headers: &'a BTreeMap<String, Raw>,
    pub(super) query: &'a BTreeMap<String, Raw>,
    pub(super) json: Option<&'a Raw>,
    pub(super) form: Option<&'a BTreeMap<String, Raw>>,
    pub(super) text: Option<&'a Text>,
    pub(super) media_type: Option<&'a str>,
}

/// A section that is one call with more keys. (serde's `flatten` would lose places and the refusal of unknown keys.)
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            pub(super) http: Text,
            #[serde(default)]
            pub(super) headers: BTreeMap<String, Raw>,
            #[serde(default)]
            pub(super) query: BTreeMap<String, Raw>,
            pub(super) json: Option<Raw>,
            pub(super) form: Option<BTreeMap<String, Raw>>,
            pub(super) text: Option<Text>,
            #[serde(rename = "type")]
            pub(super) media_type: Option<String>,
            $(pub(super) $field: $kind,)*
        }

        impl $name {
            /// The call in it.
            pub(super) fn call(&self) -> CallText<'_> {
                CallText {
                    http: &self.http,
                    headers: &self.headers,
                    query: &self.query,
                    json: self.json.as_ref(),
                    form: self.form.as_ref(),
                    text: self.text.as_ref(),
                    media_type: self.media_type.as_deref(),
                }
            }
        }
    };
}

section!(
    /// Reads the service's clock.
    ClockCall { time: Text }
);
section!(
    /// Makes a session.
    Login { session: Text }
);
section!(
    /// Ends a session.
    Logout {}
);
section!(
    /// Fetches one named value.
    Lookup { name: Text, value: Text }
);
section!(
    /// Finds the zone of a name.
    ZoneCall { zones: Text, next: Option<Text> }
);
section!(
    /// Adds one value.
    Create { id: Option<Text> }
);
section!(
    /// Lists the records that hold the value.
    Find { ids: Text, next: Option<Text>, detail: Option<Detail>, state: Option<Text> }
);
section!(
    /// Reads one candidate of [`Find`] whole.
    Detail { keep: Text }
);
section!(
    /// Removes one value.
    Delete {}
);
section!(
    /// Reads the values of a name.
    MergeRead { items: Text, ttl: Option<Text>, next: Option<Text>, state: Option<Text> }
);
section!(
    /// Makes the place that a set is written to, where there is none yet.
    MergeMake { state: Text }
);
section!(
    /// Writes the values of a name.
    MergeWrite {}
);
section!(
    /// Makes a change effective.
    Commit {}
);
section!(
    /// Waits until a change is done.
    Wait { done: Text, fail: Option<Text>, result: Option<Text>, before_commit: Option<Spanned<bool>> }
);

/// Read, change by one, write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Merge {
    pub(super) item: Raw,
    pub(super) same: Option<Text>,
    pub(super) read: MergeRead,
    pub(super) make: Option<Spanned<MergeMake>>,
    pub(super) write: MergeWrite,
    pub(super) first: Option<MergeWrite>,
    pub(super) clear: Option<MergeWrite>,
}

/// Any TOML value whose strings know their place.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) span: Range<usize>,
    pub(super) kind: RawKind,
}

/// See [`Raw`].
#[derive(Debug)]
pub(super) enum RawKind {
    /// A template.
    Text(String),
    /// A number or a boolean.
    Scalar(Value),
    /// An array.
    List(Vec<Raw>),
    /// A table; its keys are templates too.
    Table(Vec<(String, Raw)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<RawKind>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), kind: spanned.into_inner() })
    }
}

impl<'de> Deserialize<'de> for RawKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = RawKind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(t!("text, a number, a boolean, an array or a table"))
            }

            fn visit_bool<E>(self, value: bool) -> Result<RawKind, E> {
                Ok(RawKind::Scalar(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<RawKind, E> {
                Ok(RawKind::Scalar(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<RawKind, E> {
                Ok(RawKind::Scalar(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<RawKind, E> {
                Ok(RawKind::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawKind, A::Error> {
                let mut all = Vec::new();
                while let Some(value) = access.next_element()? {
                    all.push(value);
                }
                Ok(RawKind::List(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawKind, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = access.next_entry()? {
                    all.push(entry);
                }
                Ok(RawKind::Table(all))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}
