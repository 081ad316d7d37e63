//! One order as the board knows it.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::{language::message, name::Name, order::OrderId, propagation::Round, record::Record};

/// How far an order is. Each step is reached after those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Read, nothing done yet.
    #[default]
    Begun,
    /// Its records are at the provider.
    Published,
    /// Its records are visible.
    Visible,
    /// The certificate is issued.
    Issued,
    /// The certificate is on disk.
    Delivered,
}

impl Step {
    /// The steps of the progress line, in their order, with a word for each.
    pub(super) const LINE: [(Self, &'static str); 4] = [
        (Self::Published, message!("published")),
        (Self::Visible, message!("visible")),
        (Self::Issued, message!("issued")),
        (Self::Delivered, message!("delivered")),
    ];
}

/// What became of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is under way.
    #[default]
    UnderWay,
    /// It ended well, in these words.
    Well(&'static str),
    /// It failed.
    Failed,
}

/// Something that a person should know: the same message about several orders is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The orders that it is about; empty for the run as a whole.
    pub(super) orders: BTreeSet<OrderId>,
    /// True for a failure, false for a warning.
    pub(super) failed: bool,
    /// What, without what is of one call alone (request id).
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
    /// When it happened last.
    pub(super) last: Timestamp,
    /// How often it happened.
    pub(super) times: u64,
}

/// A record of an order.
#[derive(Clone, Debug)]
pub(super) struct RecordView {
    pub(super) record: Record,
    /// The provider instance and its zone, once it is published.
    pub(super) at: Option<(String, Name)>,
    /// The last look at the authorities.
    pub(super) round: Option<Round>,
    /// Whether it was removed again.
    pub(super) withdrawn: bool,
}

/// One order.
#[derive(Clone, Debug)]
pub(super) struct OrderView {
    pub(super) id: OrderId,
    pub(super) domains: Vec<Name>,
    /// The state at the source, one word.
    pub(super) state: String,
    /// What the CA said.
    pub(super) note: Option<String>,
    pub(super) step: Step,
    pub(super) fate: Fate,
    /// What it waits for.
    pub(super) waits: Option<String>,
    /// When this process took it up.
    pub(super) since: Timestamp,
    /// When something happened last.
    pub(super) changed: Timestamp,
    pub(super) records: Vec<RecordView>,
    /// Why it failed, and what to do.
    pub(super) why: Option<(String, Option<String>)>,
}

impl OrderView {
    pub(super) fn new(id: &OrderId, now: Timestamp) -> Self {
        Self {
            id: id.clone(),
            domains: Vec::new(),
            state: String::new(),
            note: None,
            step: Step::Begun,
            fate: Fate::UnderWay,
            waits: None,
            since: now,
            changed: now,
            records: Vec::new(),
            why: None,
        }
    }

    /// An order that ended is taken up again.
    pub(super) fn begin_again(&mut self, now: Timestamp) {
        *self = Self { domains: std::mem::take(&mut self.domains), ..Self::new(&self.id, now) };
    }

    pub(super) fn reach(&mut self, step: Step) {
        self.step = self.step.max(step);
    }

    /// The entry of a record, made where there is none.
    pub(super) fn record(&mut self, record: &Record) -> &mut RecordView {
        let index = self.records.iter().position(|known| known.record == *record).unwrap_or_else(|| {
            self.records.push(RecordView { record: record.clone(), at: None, round: None, withdrawn: false });
            self.records.len() - 1
        });
        &mut self.records[index]
    }

    /// How long it has been under way.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.since)).unwrap_or_default()
    }
}
