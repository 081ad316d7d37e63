//! What a run tells while it goes on. The human report and the NDJSON stream are two readers of the same events.

use std::{path::Path, time::Duration};

use crate::{
    delivery::{Delivered, Held},
    error::Error,
    name::Name,
    order::OrderId,
    propagation::{ResolverReport, Round},
    record::Record,
    web,
};

/// One thing that happened. Events of several orders interleave; each names its order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An order was read and its state differs from before, or it was seen for the first time.
    Order {
        /// The order.
        order: &'a OrderId,
        /// The names of its certificate, where known.
        domains: &'a [Name],
        /// The state, one word ([`crate::order::OrderState::word`]).
        state: &'a str,
        /// What the CA said, or what a person should know.
        note: Option<&'a str>,
    },
    /// A record is at the provider: written now, or there already.
    Published {
        /// The order; `None` for `record add`.
        order: Option<&'a OrderId>,
        /// The record.
        record: &'a Record,
        /// The provider instance.
        provider: &'a str,
        /// The zone at the provider.
        zone: &'a Name,
        /// True where the value was there before us, so that nothing was written.
        was_there: bool,
    },
    /// The authorities were looked at. Sent when a verdict changed, and for the first look.
    Verdicts {
        /// The order; `None` for `check`.
        order: Option<&'a OrderId>,
        /// The look.
        round: &'a Round,
    },
    /// The policy is satisfied.
    Visible {
        /// The order; `None` for `check`.
        order: Option<&'a OrderId>,
        /// The last look.
        round: &'a Round,
        /// What recursive resolvers say, where they were asked already (`check`).
        resolvers: &'a [ResolverReport],
    },
    /// Web servers were looked at for a file. Sent for the first look, when something changed, and when the file is visible.
    File {
        /// The order.
        order: &'a OrderId,
        /// The look.
        look: &'a web::Look,
    },
    /// What recursive resolvers say, once the record is visible at the authorities.
    Resolvers {
        /// The order.
        order: Option<&'a OrderId>,
        /// The record.
        record: &'a Record,
        /// What each said.
        reports: &'a [ResolverReport],
    },
    /// The order waits, and this is for what; sent when the reason changes and at least every 30 s.
    Waiting {
        /// The order.
        order: &'a OrderId,
        /// For what: "for the CA to look at the record", "for the challenge".
        reason: &'a str,
        /// Time since the work on the order began.
        waited: Duration,
    },
    /// The certificate is issued.
    Issued {
        /// The order.
        order: &'a OrderId,
        /// The names of its certificate, where known.
        domains: &'a [Name],
    },
    /// The certificate is on disk.
    Delivered {
        /// The order.
        order: &'a OrderId,
        /// Where, and what it is.
        delivered: &'a Delivered,
    },
    /// A record was removed, or left for a reason.
    Withdrawn {
        /// The order; `None` for `record remove` and `clean`.
        order: Option<&'a OrderId>,
        /// The record.
        record: &'a Record,
        /// The provider instance.
        provider: &'a str,
        /// Why it was left instead; `None` where it was removed.
        kept: Option<&'a str>,
    },
    /// Something to know that stops nothing.
    Warning {
        /// The order, where it is about one.
        order: Option<&'a OrderId>,
        /// What.
        message: &'a str,
        /// What to do.
        hint: Option<&'a str>,
    },
    /// The order ended without a certificate on disk.
    Failed {
        /// The order; `None` where no order is concerned.
        order: Option<&'a OrderId>,
        /// Why.
        error: &'a Error,
    },
    /// `watch` leaves the order alone for a while, and then tries it again.
    Postponed {
        /// The order.
        order: &'a OrderId,
        /// For how long.
        pause: Duration,
        /// How often it failed in a row.
        failures: u32,
    },
    /// `watch`: a certificate is applied for, because it is due, or is not there yet.
    Renewal {
        /// The order.
        order: &'a OrderId,
        /// The names of the certificate.
        names: &'a [Name],
        /// Why.
        why: &'a str,
    },
    /// `watch`: a certificate on disk expires soon. Sent once a day until a newer one takes its place.
    RenewalDue {
        /// The certificate.
        held: &'a Held,
        /// Where it is.
        live: &'a Path,
        /// How many whole days it has left; negative where it has expired.
        days: i64,
    },
    /// The order ended well; with `--no-wait` it may still be waiting.
    Done {
        /// The order.
        order: &'a OrderId,
        /// What became of it.
        outcome: &'a Outcome,
    },
}

/// What became of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A new certificate is on disk.
    Issued(Box<Delivered>),
    /// The certificate was on disk already.
    NothingToDo,
    /// Another run holds it; skipped, as it was not named.
    HeldByAnotherRun,
    /// `--no-wait`: the records are published; a later run goes on.
    LeftWaiting,
    /// `--dry-run`: nothing was written.
    WouldWrite(Vec<PlannedRecord>),
}

/// A record that a run would write, or would need to have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRecord {
    /// The order.
    pub order: OrderId,
    /// The record.
    pub record: Record,
    /// The provider instance; `None` where no route leads to one.
    pub provider: Option<String>,
    /// The zone at the provider, where it was found.
    pub zone: Option<Name>,
    /// Why it could not be written; `None` where it could.
    pub obstacle: Option<String>,
}

/// Listens to a run. Called from several tasks, so it must be quick.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event<'_>);
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: &Event<'_>) {}
}
