//! `renew`: certificates that near their end, at the CA that each came from.

use clap::Args;

use super::{exit::Exit, session::Session};
use crate::{error::Result, name::Name};

mod acme;
mod cas;

/// What to renew.
#[derive(Debug, Args)]
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

/// Renews what is due: certificates of ACME CAs, and orders of CAS.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<Exit> {
    if session.chosen().acme.ca.is_some() || acme::has_any(session)? {
        return acme::run(session, arguments).await;
    }
    cas::run(session, arguments).await
}
