//! The CA's side of orders: what was asked for, what was seen, what was issued. Time is handed in.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{Timestamp, tz::TimeZone};

pub(super) use self::awaited::{Seen, Wanted};
use self::{
    kinds::{OrderChange, OrderTraits, Validation},
    life::{Application, FailedTask},
    packages::Packages,
};
use super::{
    NewOrder,
    ca::{Certificate, CertificateAuthority},
};
use crate::{name::Name, order::Generation};

mod awaited;
pub(super) mod kinds;
pub(super) mod life;
pub(super) mod packages;

/// The first OrderId, and the first certificate id.
const FIRST_NUMBER: u64 = 20_000_001;

/// The length of a challenge value, in characters.
const VALUE_LENGTH: usize = 64;

/// How far an order is, before the words of each API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Payed, not submitted.
    NotSubmitted,
    /// Submitted; the challenge is not there yet.
    Preparing,
    /// Waiting for the records.
    Checking,
    /// Validated; the certificate is not there yet.
    Reviewing,
    /// Issued.
    Issued,
    /// Refused.
    Rejected,
    /// Closed.
    Closed,
    /// Given back.
    Refunded,
    /// A word that no API knows.
    Word(String),
}

/// An order.
pub(super) struct Order {
    /// Its id: an InstanceId, or an OrderId in digits.
    pub(super) id: String,
    /// Its number: the OrderId, or the `Id` beside an InstanceId.
    pub(super) number: u64,
    /// The API that knows it.
    pub(super) generation: Generation,
    /// Its names.
    pub(super) domains: Vec<Name>,
    /// What else it is.
    pub(super) traits: OrderTraits,
    /// When it was made.
    pub(super) created: Timestamp,
    /// Its challenges, of which 2018 and `order` show only the first.
    pub(super) challenges: Vec<Challenge>,
    /// The id and the certificate that it has now; for a renewal the old one until the new one is issued.
    pub(super) certificate: Option<(u64, Arc<Certificate>)>,
    challenge_at: Instant,
    /// Set once every challenge was seen: when the certificate is there.
    issue_at: Option<Instant>,
    issued: bool,
    ended: Option<Stage>,
    word: Option<String>,
    held: bool,
    /// What it is to apply for, or applied for.
    pub(super) draft: Option<Application>,
    /// The product of the package that it is out of.
    pub(super) product: Option<String>,
    /// Whether its certificate was revoked.
    pub(super) is_revoked: bool,
    failed_task: Option<FailedTask>,
    /// When it is withdrawn.
    cancel_at: Option<Instant>,
    is_deleted: bool,
}

/// A challenge.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    /// The name of the certificate that it proves.
    pub(super) domain: Name,
    /// The zone that the API names.
    pub(super) root_domain: Name,
    /// The owner name of the record.
    pub(super) name: Name,
    /// The value.
    pub(super) value: String,
    seen: bool,
}

/// Who looks at the orders.
#[derive(Default)]
pub(super) enum Viewer {
    /// The sandbox itself: it sees all.
    #[default]
    Sandbox,
    /// A call of the first account (`None`), or of another one: it sees its own.
    Account(Option<String>),
}

/// All orders.
#[derive(Default)]
pub(super) struct OrderBook {
    orders: Vec<Order>,
    by_id: HashMap<String, usize>,
    by_generation: BTreeMap<Generation, Vec<usize>>,
    /// Certificates by their id, with the order that each belongs to.
    certificates: BTreeMap<u64, (usize, Arc<Certificate>)>,
    waiting: HashMap<Name, HashSet<usize>>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Orders that are being withdrawn.
    cancelling: Vec<usize>,
    /// What was bought.
    pub(super) packages: Packages,
    /// Whose orders are seen.
    pub(super) seen_by: Viewer,
}

impl Order {
    /// How far it is at `now`.
    pub(super) fn stage(&self, now: Instant) -> Stage {
        if let Some(word) = &self.word {
            return Stage::Word(word.clone());
        }
        if let Some(end) = &self.ended {
            return end.clone();
        }
        match (self.traits.submitted, self.issued, self.issue_at) {
            (false, ..) => Stage::NotSubmitted,
            (_, true, _) => Stage::Issued,
            (_, _, Some(_)) => Stage::Reviewing,
            _ if now < self.challenge_at => Stage::Preparing,
            _ => Stage::Checking,
        }
    }

    /// The id of the certificate that is being, or was, ordered: `None` until it is issued.
    pub(super) fn issued_certificate(&self) -> Option<&(u64, Arc<Certificate>)> {
        self.certificate.as_ref().filter(|_| self.issued)
    }

    fn waits(&self) -> bool {
        self.traits.submitted
            && !self.held
            && !self.issued
            && self.ended.is_none()
            && self.issue_at.is_none()
            && self.cancel_at.is_none()
    }
}

impl OrderBook {
    /// Puts in an order. `root_of` says which zone a name is in. Returns the id, and the names to look at once the challenge is there.
    pub(super) fn add(
        &mut self,
        order: NewOrder,
        traits: OrderTraits,
        challenge_at: Instant,
        root_of: impl Fn(&Name) -> Name,
        ca: &CertificateAuthority,
    ) -> (String, Vec<Name>) {
        let index = self.orders.len();
        let number = FIRST_NUMBER + index as u64;
        let id = match order.generation {
            Generation::Order => number.to_string(),
            Generation::Api2018 => format!("cas-cn-{}", random_text(12)),
            // The simulator is no ACME server; nothing asks it for such an order.
            Generation::Instance | Generation::Acme => format!("cas_dv-cn-{}", random_text(12)),
        };
        let shown = if order.generation == Generation::Instance { order.domains.len() } else { 1 };
        let challenges: Vec<Challenge> =
            order.domains.iter().take(shown).map(|domain| challenge(domain, &traits, root_of(&domain.base()))).collect();
        let names: Vec<Name> = challenges.iter().map(|challenge| challenge.name.clone()).collect();
        self.orders.push(Order {
            id: id.clone(),
            number,
            generation: order.generation,
            domains: order.domains,
            created: Timestamp::now(),
            challenges,
            certificate: None,
            challenge_at,
            issue_at: None,
            issued: false,
            ended: None,
            word: None,
            held: false,
            draft: None,
            product: None,
            is_revoked: false,
            failed_task: None,
            cancel_at: None,
            is_deleted: false,
            traits,
        });
        self.by_id.insert(id.clone(), index);
        self.by_generation.entry(order.generation).or_default().push(index);
        if self.orders[index].traits.renewal {
            self.certify(index, ca);
        }
        self.fill_values(index);
        self.wait(index);
        (id, names)
    }

    /// Issues what is due at `now`.
    pub(super) fn advance(&mut self, now: Instant, ca: &CertificateAuthority) {
        self.finish_cancelling(now);
        while let Some(Reverse((at, index))) = self.due.peek().copied() {
            if at > now {
                return;
            }
            self.due.pop();
            let order = &self.orders[index];
            let is_open = !order.held && !order.issued && order.ended.is_none() && order.cancel_at.is_none();
            if order.issue_at.is_some_and(|at| at <= now) && is_open {
                self.issue(index, ca);
            }
        }
    }

    /// The order with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Order> {
        self.by_id.get(id).map(|index| &self.orders[*index]).filter(|order| self.is_seen(order))
    }

    fn is_seen(&self, order: &Order) -> bool {
        match &self.seen_by {
            Viewer::Sandbox => true,
            Viewer::Account(account) => *account == order.traits.account,
        }
    }

    /// The orders of an API, oldest first.
    pub(super) fn of(&self, generation: Generation) -> impl ExactSizeIterator<Item = &Order> {
        let all = self.by_generation.get(&generation).map(Vec::as_slice).unwrap_or_default().iter();
        let seen: Vec<&Order> = all.map(|index| &self.orders[*index]).filter(|order| self.is_seen(order)).collect();
        seen.into_iter()
    }

    /// All orders, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().filter(|order| !order.is_deleted)
    }

    /// All certificates by id, with their orders.
    pub(super) fn certificates(&self) -> impl Iterator<Item = (u64, &Order, &Arc<Certificate>)> {
        let all = self.certificates.iter().map(|(id, (index, certificate))| (*id, &self.orders[*index], certificate));
        all.filter(|(_, order, _)| self.is_seen(order))
    }

    /// The certificate with this id, with its order.
    pub(super) fn certificate(&self, id: u64) -> Option<(&Order, &Arc<Certificate>)> {
        let found = self.certificates.get(&id).map(|(index, certificate)| (&self.orders[*index], certificate));
        found.filter(|(order, _)| self.is_seen(order))
    }

    /// Does something to an order; `None` where there is no such order, else the names to look at, and from when on.
    pub(super) fn change(
        &mut self,
        id: &str,
        change: &OrderChange,
        now: Instant,
        ca: &CertificateAuthority,
    ) -> Option<(Vec<Name>, Instant)> {
        let index = *self.by_id.get(id)?;
        let order = &mut self.orders[index];
        let is_instance = order.generation == Generation::Instance;
        match change {
            OrderChange::Reject => order.ended = Some(Stage::Rejected),
            OrderChange::Close => order.ended = Some(if is_instance { Stage::Closed } else { Stage::Rejected }),
            OrderChange::ChangeChallenge => {
                order.issue_at = None;
                self.fill_values(index);
            }
            OrderChange::LateChallenge { millis } => order.challenge_at = now + Duration::from_millis(*millis),
            OrderChange::UnknownState { word } => order.word = Some(word.clone()),
            OrderChange::Hold => order.held = true,
            OrderChange::Recover => {
                order.word = None;
                order.held = false;
                self.due.push(Reverse((order.issue_at.unwrap_or(now), index)));
            }
            OrderChange::Issue => self.issue(index, ca),
        }
        self.stop_waiting(index);
        self.wait(index);
        let order = &self.orders[index];
        Some((order.challenges.iter().map(|challenge| challenge.name.clone()).collect(), order.challenge_at.max(now)))
    }

    fn issue(&mut self, index: usize, ca: &CertificateAuthority) {
        self.certify(index, ca);
        self.orders[index].issued = true;
        self.stop_waiting(index);
    }

    fn fill_values(&mut self, index: usize) {
        let order = &mut self.orders[index];
        let new = || match order.traits.validation {
            Validation::Cname => format!("{}.validation.example.net", random_text(32)),
            Validation::Txt | Validation::File => random_value(),
        };
        let shared = order.traits.value.clone().unwrap_or_else(new);
        let values: Vec<String> = order
            .challenges
            .iter()
            .map(|_| if order.traits.shared_value || order.traits.value.is_some() { shared.clone() } else { new() })
            .collect();
        for (challenge, value) in order.challenges.iter_mut().zip(values) {
            challenge.value = value;
            challenge.seen = false;
        }
    }
}

fn challenge(domain: &Name, traits: &OrderTraits, root_domain: Name) -> Challenge {
    let base = domain.base();
    let is_at_base = traits.label.is_empty() || traits.validation == Validation::File;
    let name = if is_at_base { base } else { base.below(&traits.label).unwrap_or(base) };
    Challenge { domain: domain.clone(), root_domain, name, value: String::new(), seen: false }
}

/// A value of 64 characters that begins with the date, as the vendor's examples have it.
fn random_value() -> String {
    let head = Timestamp::now().to_zoned_datetime(TimeZone::UTC).strftime("%Y%m%d0000000").to_string();
    let rest = VALUE_LENGTH - head.len();
    head + &random_text(rest)
}

/// Small letters and digits.
fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..length).map(|_| char::from(ALPHABET[usize::from(rand::random::<u16>()) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests;
