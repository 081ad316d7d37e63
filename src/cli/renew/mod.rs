//! `renew`: certificates that near their end, at the CA that each came from.

use clap::Args;

use super::{exit::Exit, failure, session::Session};
use crate::{
    delivery::{self, Current},
    error::Result,
    name::Name,
};

mod acme;
pub(super) mod cas;

/// What to renew.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Only certificates for these names; without any: all that are due.
    #[arg(id = "names", value_name = "NAME")]
    names: Vec<Name>,
    /// Renew even what is good for a while yet.
    #[arg(long)]
    force: bool,
    /// What only CAS orders need.
    #[command(flatten)]
    cas: cas::Arguments,
}

/// Renews what is due: certificates of ACME CAs, and orders of CAS. `--ca` leaves CAS out. A failure at one does not keep the other from being
/// renewed.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<Exit> {
    let kept = acme::kept(session)?;
    let current = delivery::current(&session.chosen().out()?);
    if session.chosen().acme.ca.is_some() {
        return acme::run(session, arguments, kept, &current).await;
    }
    let is_kept = |name: &Name| kept.iter().any(|wanted| wanted.names.contains(name));
    let (acme_names, cas_names): (Vec<Name>, Vec<Name>) = arguments.names.iter().cloned().partition(is_kept);
    let (wants_acme, wants_cas) = if arguments.names.is_empty() {
        let is_of_cas = |there: &Current| kept.iter().all(|wanted| wanted.id != there.order);
        (!kept.is_empty(), kept.is_empty() || current.iter().any(is_of_cas))
    } else {
        (!acme_names.is_empty(), !cas_names.is_empty())
    };
    let of = |names| Arguments { names, ..arguments.clone() };
    match (wants_acme, wants_cas) {
        (true, false) => acme::run(session, &of(acme_names), kept, &current).await,
        (false, _) => cas::run(session, &of(cas_names), &current).await,
        (true, true) => {
            let at_acme = acme::run(session, &of(acme_names), kept, &current).await;
            let at_cas = cas::run(session, &of(cas_names), &current).await;
            let exits = [at_acme, at_cas].map(|ended| {
                ended.unwrap_or_else(|error| {
                    failure::show(session.printer(), &error, None);
                    Exit::SOME_FAILED
                })
            });
            Ok(both(exits))
        }
    }
}

/// What two runs come to: the worse, and `SOME_FAILED` where both failed in their own ways.
fn both([one, other]: [Exit; 2]) -> Exit {
    let is_well = |exit: Exit| exit == Exit::DONE || exit == Exit::NEWLY_ISSUED;
    match (is_well(one), is_well(other)) {
        (true, true) if one == Exit::DONE => other,
        (_, true) => one,
        (true, false) => other,
        (false, false) if one == other => one,
        (false, false) => Exit::SOME_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_worse_of_two_exits_counts() {
        let refused = Exit::failure(ErrorKind::Refused);
        for (pair, expected) in [
            ([Exit::DONE, Exit::DONE], Exit::DONE),
            ([Exit::DONE, Exit::NEWLY_ISSUED], Exit::NEWLY_ISSUED),
            ([Exit::NEWLY_ISSUED, Exit::DONE], Exit::NEWLY_ISSUED),
            ([Exit::NEWLY_ISSUED, refused], refused),
            ([refused, Exit::DONE], refused),
            ([refused, refused], refused),
            ([refused, Exit::TERMINATED], Exit::SOME_FAILED),
        ] {
            assert_eq!(both(pair), expected, "{pair:?}");
        }
    }
}
