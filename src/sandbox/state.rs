//! What the sandbox shows of itself.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use serde::Serialize;

use super::{
    ca::Certificate,
    dns::authority::Behaviour,
    orders::{Order, Stage},
    records,
    zone::Entry,
};
use crate::{name::Name, order::Generation};

/// Orders, records, counters.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct State {
    /// All orders, oldest first.
    pub orders: Vec<OrderState>,
    /// The records that were added to the primary and not removed.
    pub records: Vec<RecordState>,
    /// Calls of the CAS by action, faulty and refused ones too.
    pub calls: BTreeMap<String, u64>,
    /// Calls of the provider's API by method, faulty and refused ones too.
    pub provider_calls: BTreeMap<String, u64>,
    /// The primary and the secondaries.
    pub authorities: Vec<ServerState>,
    /// Questions to the resolver by name and type (`example.com NS`).
    pub resolver_questions: BTreeMap<String, u64>,
}

/// An order as the CA sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OrderState {
    /// Its id.
    pub id: String,
    /// The API that it is read with.
    pub generation: Generation,
    /// Its names.
    pub domains: Vec<Name>,
    /// How far it is: `not-submitted`, `preparing`, `checking`, `reviewing`, `issued`, `rejected`, `closed`, or a word from a fault.
    pub stage: String,
    /// What the CA wants to see.
    pub challenges: Vec<ChallengeState>,
    /// The id of its certificate; for a renewal that of the old one until the new one is issued.
    pub certificate_id: Option<u64>,
}

/// A record that the CA wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChallengeState {
    /// The name of the certificate that it proves.
    pub domain: Name,
    /// The owner name of the record.
    pub name: Name,
    /// Its value.
    pub value: String,
}

/// A record of the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecordState {
    /// Its owner name.
    pub name: Name,
    /// The mnemonic of its type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Its bare value.
    pub value: String,
    /// Its TTL in seconds.
    pub ttl: u32,
}

/// An authoritative server.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ServerState {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it behaves.
    pub behaviour: Behaviour,
    /// How far it is behind the primary, in milliseconds.
    pub lag_ms: u64,
    /// Questions by name and type, without those of the sandbox's own validator.
    pub questions: BTreeMap<String, u64>,
}

/// An issued certificate, without its key.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CertificateState {
    /// Its id.
    pub id: u64,
    /// The order that it belongs to.
    pub order: String,
    /// Its names.
    pub domains: Vec<Name>,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// The certificate and the intermediate, PEM.
    pub chain: String,
}

impl OrderState {
    pub(super) fn of(order: &Order, now: Instant) -> Self {
        let challenges = order.challenges.iter().map(|challenge| ChallengeState {
            domain: challenge.domain.clone(),
            name: challenge.name.clone(),
            value: challenge.value.clone(),
        });
        Self {
            id: order.id.clone(),
            generation: order.generation,
            domains: order.domains.clone(),
            stage: order.stage(now).word().to_owned(),
            challenges: challenges.collect(),
            certificate_id: order.certificate.as_ref().map(|(id, _)| *id),
        }
    }
}

impl Stage {
    fn word(&self) -> &str {
        match self {
            Self::NotSubmitted => "not-submitted",
            Self::Preparing => "preparing",
            Self::Checking => "checking",
            Self::Reviewing => "reviewing",
            Self::Issued => "issued",
            Self::Rejected => "rejected",
            Self::Closed => "closed",
            Self::Refunded => "refunded",
            Self::Word(word) => word,
        }
    }
}

impl RecordState {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            record_type: entry.data.record_type().to_string(),
            value: records::value(&entry.data),
            ttl: entry.ttl,
        }
    }
}

impl CertificateState {
    pub(super) fn of(id: u64, order: &Order, certificate: &Certificate) -> Self {
        Self {
            id,
            order: order.id.clone(),
            domains: certificate.domains.clone(),
            serial: certificate.serial.clone(),
            chain: certificate.chain.clone(),
        }
    }
}
