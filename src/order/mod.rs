//! Orders: what the CA wants to see, how far it is, and where that is read from.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
    record::RecordType,
    secret::Secret,
};

pub mod acme;
pub mod aliyun;
pub mod challenge_name;
pub mod renewal;
pub mod review;

/// The identity of an order at its source: an InstanceId (`cas-cn-…`, `cas_dv-cn-…`) or an OrderId (digits).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(String);

impl OrderId {
    /// Takes an id as it was typed or received, without surrounding blanks.
    ///
    /// # Errors
    /// `ErrorKind::Usage` for an empty id, and for characters that no id has (anything but letters, digits, `-`, `_`, `.`, `:`).
    pub fn parse(text: &str) -> Result<Self> {
        let id = text.trim();
        if id.is_empty() || id.len() > 200 || !id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
        {
            return Err(Error::usage(t!("`%{id}` is not an order id", id)).with_hint(t!(
                "order ids look like `cas-cn-68n1mm16abcd`, `cas_dv-cn-123` or `123451222`; `dv-verify orders` lists them"
            )));
        }
        Ok(Self(id.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the id is all digits, which only an OrderId of 2020-04-07 is.
    pub fn is_number(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the store calls a source of orders, where several accounts share a store: `NAME@SOURCE`. The account that has no name (it is empty) has
/// the source's own.
pub fn source_of_account(account: &str, source: String) -> String {
    if account.is_empty() { source } else { format!("{account}@{source}") }
}

/// Which API an order is read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Generation {
    /// CAS 2018-07-13, `DescribeDVOrderResult`.
    #[serde(rename = "2018")]
    Api2018,
    /// CAS 2020-04-07, orders by OrderId, `DescribeCertificateState`.
    #[serde(rename = "order")]
    Order,
    /// CAS 2020-04-07, instances, `GetInstanceDetail`.
    #[serde(rename = "instance")]
    Instance,
    /// ACME; not a word of `--api`.
    #[serde(rename = "acme")]
    Acme,
}

impl Generation {
    /// The word of the `--api` option.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api2018 => "2018",
            Self::Order => "order",
            Self::Instance => "instance",
            Self::Acme => "acme",
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of a list of orders. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderSummary {
    /// The id to read it with.
    pub id: OrderId,
    /// The API that listed it.
    pub generation: Generation,
    /// The names that the certificate is for, where the list tells them.
    pub domains: Vec<Name>,
    /// The state, in the API's own word.
    pub state: String,
    /// Whether the word is known to mean that nothing will happen to the order any more. Unknown words are not final.
    pub is_final: bool,
    /// Whether the order is one that domain validation can help: DV and free certificates; unknown types count.
    pub is_domain_validated: bool,
}

/// The answer to a listing: what was found, and which generations did not answer.
#[derive(Debug, Default)]
pub struct Listing {
    /// All orders of all pages.
    pub orders: Vec<OrderSummary>,
    /// Generations that failed, with the reason.
    pub unanswered: Vec<(Generation, Error)>,
}

/// An order as it was read.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The API that it was read with.
    pub generation: Generation,
    /// The names that the certificate is for, where the API tells them (2018 does not).
    pub domains: Vec<Name>,
    /// How far it is.
    pub state: OrderState,
    /// The id of the certificate that the source shows for this order now; for an instance that is being renewed, the old one.
    pub certificate_id: Option<String>,
    /// What the CA said, in its own words (PendingResult), for people.
    pub note: Option<String>,
}

/// How far an order is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OrderState {
    /// Payed for, not applied for.
    NotSubmitted,
    /// Submitted, but the CA has not produced the challenges yet.
    Preparing,
    /// Waiting for these challenges. Never empty.
    Checking(Vec<Challenge>),
    /// Waiting for the CA, nothing to do for us.
    Reviewing,
    /// Issued.
    Issued(Bundle),
    /// Refused, withdrawn or expired; final.
    Failed {
        /// Why, as far as the source says.
        reason: String,
    },
    /// A word that this program does not know: waited out, with a warning.
    Unknown(String),
}

impl OrderState {
    /// One word for reports and events.
    pub fn word(&self) -> &str {
        match self {
            Self::NotSubmitted => "not-submitted",
            Self::Preparing => "preparing",
            Self::Checking(_) => "checking",
            Self::Reviewing => "reviewing",
            Self::Issued(_) => "issued",
            Self::Failed { .. } => "failed",
            Self::Unknown(word) => word,
        }
    }
}

/// What the CA wants to see, as the source says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The name of the certificate that this proves, where the API tells it.
    pub domain: Option<Name>,
    /// The zone that the source names (RootDomain), where it does.
    pub root_domain: Option<Name>,
    /// A record or a file.
    pub kind: ChallengeKind,
    /// Owner name as the source gives it (full, relative or `@`; see [`challenge_name::join`]), or the URL of the file.
    pub name: String,
    /// The value of the record or the content of the file.
    pub value: String,
}

/// The kind of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeKind {
    /// A DNS record of this type.
    Record(RecordType),
    /// A file under `/.well-known/`.
    File,
}

/// An issued certificate.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The certificate and its chain, PEM, leaf first; as received.
    pub certificate: String,
    /// The private key in PEM, where the CA made it.
    pub private_key: Option<Secret>,
}

/// How many calls the account may make, shared with the other machines that call for it.
#[async_trait]
pub trait Budget: Send + Sync {
    /// Waits until it is the turn of one call.
    ///
    /// # Errors
    /// Where the others cannot be asked.
    async fn turn(&self) -> Result<()>;
}

/// The API that orders are read from. Implementations do their own retries within a call and share the account's request budget.
#[async_trait]
pub trait OrderSource: Send + Sync {
    /// Whether the CA looks at DNS by itself (CAS), or wants [`OrderSource::in_place`] to be called (ACME).
    fn looks_by_itself(&self) -> bool;

    /// All orders of the account, over all pages and generations asked for. Never uses an operation that returns private keys.
    async fn list(&self) -> Result<Listing>;

    /// One order as it is now.
    async fn read(&self, id: &OrderId) -> Result<Order>;

    /// Tells the CA that the challenges of `order` can be seen. Does nothing where [`OrderSource::looks_by_itself`].
    async fn in_place(&self, order: &Order) -> Result<()>;

    /// Says that the certificate of an order is on disk: what the source kept for it, such as its key, can go.
    async fn delivered(&self, _id: &OrderId) -> Result<()> {
        Ok(())
    }

    /// How soon after a change the next look at an order is worth it; each further look waits twice as long.
    fn first_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// How long the CA asks to leave an order alone from now on, where it does (`Retry-After`).
    async fn pause(&self, _id: &OrderId) -> Option<Duration> {
        None
    }

    /// Where orders are read from, for people and for the store: `cas.aliyuncs.com`.
    fn origin(&self) -> &str;
}
