//! Exit codes, all of them (README, section *Exit codes*). Those of errors are [`crate::error::ErrorKind::exit_code`].

use crate::{
    error::ErrorKind,
    journey::{Summary, event::Outcome},
};

/// How the program ends when no error ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit(u8);

impl Exit {
    /// Done, or nothing to do.
    pub(super) const DONE: Self = Self(0);
    /// Several orders, and at least one failed.
    pub(super) const SOME_FAILED: Self = Self(9);
    /// `--detailed-exit-code`: something new was issued.
    pub(super) const NEWLY_ISSUED: Self = Self(10);
    /// SIGTERM ended the run (128 + 15).
    pub(super) const TERMINATED: Self = Self(143);

    /// The exit code of a failure.
    pub(super) fn failure(kind: ErrorKind) -> Self {
        Self(kind.exit_code())
    }

    /// The number.
    pub(super) fn code(self) -> u8 {
        self.0
    }

    /// What a run's summary comes to. `signal` is the exit code of the signal that ended the run.
    pub(super) fn of_summary(summary: &Summary, is_detailed: bool, signal: Option<Self>) -> Self {
        if summary.interrupted {
            return signal.unwrap_or(Self::failure(ErrorKind::Interrupted));
        }
        let mut failures = summary.orders.iter().filter_map(|(_, outcome)| outcome.as_ref().err());
        match (failures.next(), summary.orders.len()) {
            (Some(error), 1) => return Self::failure(error.kind()),
            (Some(_), _) => return Self::SOME_FAILED,
            (None, _) => {}
        }
        let outcomes = || summary.orders.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
        let is_obstructed = |outcome: &Outcome| matches!(outcome, Outcome::WouldWrite(planned) if planned.iter().any(|planned| planned.obstacle.is_some()));
        let is_new = |outcome: &Outcome| matches!(outcome, Outcome::Issued(delivered) if delivered.changed);
        if outcomes().any(is_obstructed) {
            return Self::failure(ErrorKind::Usage);
        }
        if is_detailed && outcomes().any(is_new) { Self::NEWLY_ISSUED } else { Self::DONE }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        delivery::Delivered,
        error::{Error, Result},
        journey::event::PlannedRecord,
        name::Name,
        order::OrderId,
        record::{Record, RecordType},
    };

    pub(in crate::cli) fn delivered(changed: bool) -> Delivered {
        Delivered {
            folder: "/out/www.example.com/0a1b".into(),
            live: "/out/www.example.com/live".into(),
            names: vec![Name::parse("www.example.com").unwrap()],
            serial: "0a1b".into(),
            not_after: jiff::Timestamp::from_second(1_800_000_000).unwrap(),
            changed,
            has_private_key: true,
        }
    }

    fn planned(obstacle: Option<&str>) -> Outcome {
        Outcome::WouldWrite(vec![PlannedRecord {
            order: OrderId::parse("1").unwrap(),
            record: Record { name: Name::parse("_a.example").unwrap(), record_type: RecordType::Txt, value: "v".into() },
            provider: None,
            zone: None,
            obstacle: obstacle.map(str::to_owned),
        }])
    }

    fn code(outcomes: Vec<Result<Outcome>>, is_detailed: bool) -> u8 {
        let orders = outcomes.into_iter().map(|outcome| (OrderId::parse("1").unwrap(), outcome)).collect();
        Exit::of_summary(&Summary { orders, interrupted: false }, is_detailed, None).code()
    }

    #[test]
    fn well_is_0_or_10_on_request() {
        assert_eq!(code(vec![], true), 0);
        assert_eq!(code(vec![Ok(Outcome::Issued(Box::new(delivered(true))))], false), 0);
        assert_eq!(code(vec![Ok(Outcome::Issued(Box::new(delivered(true))))], true), 10);
        assert_eq!(code(vec![Ok(Outcome::Issued(Box::new(delivered(false)))), Ok(Outcome::NothingToDo)], true), 0);
        assert_eq!(code(vec![Ok(Outcome::HeldByAnotherRun), Ok(Outcome::LeftWaiting)], true), 0);
    }

    #[test]
    fn one_order_has_the_code_of_its_error_and_several_have_9() {
        let failed = |kind| Err(Error::new(kind, "x"));
        for (kind, expected) in [
            (ErrorKind::Usage, 2),
            (ErrorKind::UnknownOrder, 2),
            (ErrorKind::Rights, 3),
            (ErrorKind::Provider, 4),
            (ErrorKind::NotVisible, 5),
            (ErrorKind::Refused, 6),
            (ErrorKind::StillWaiting, 7),
            (ErrorKind::Held, 8),
            (ErrorKind::Delivery, 1),
        ] {
            assert_eq!(code(vec![failed(kind)], true), expected);
            assert_eq!(code(vec![failed(kind), Ok(Outcome::Issued(Box::new(delivered(true))))], true), 9);
        }
    }

    #[test]
    fn a_signal_wins() {
        let summary = Summary { orders: vec![], interrupted: true };
        assert_eq!(Exit::of_summary(&summary, false, None).code(), 130);
        assert_eq!(Exit::of_summary(&summary, false, Some(Exit::TERMINATED)).code(), 143);
    }

    #[test]
    fn a_plan_with_an_obstacle_is_not_well() {
        assert_eq!(code(vec![Ok(planned(None))], false), 0);
        assert_eq!(code(vec![Ok(planned(None)), Ok(planned(Some("no zone")))], false), 2);
    }
}
