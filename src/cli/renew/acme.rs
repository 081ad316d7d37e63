//! `renew` at ACME CAs.

use super::super::{apply, exit::Exit, session::Session};
use crate::{
    delivery::Current,
    error::{Error, Result},
    language::t,
    order::acme::Wanted,
};

/// What ACME CAs issued here, or what is under way there: all, or at `--ca`.
pub(super) fn kept(session: &Session) -> Result<Vec<Wanted>> {
    apply::acme::known(&session.chosen().acme_folder()?, session.chosen().acme.ca.as_deref())
}

/// Renews certificates of ACME CAs: all that are due of `wanted`, or those for the given names.
pub(super) async fn run(
    session: &Session,
    arguments: &super::Arguments,
    mut wanted: Vec<Wanted>,
    current: &[Current],
) -> Result<Exit> {
    if let Some(unknown) = arguments.names.iter().find(|name| !wanted.iter().any(|wanted| wanted.names.contains(name))) {
        return Err(Error::usage(t!("there is no certificate for `%{unknown}` to renew", unknown))
            .with_hint(t!("`dv-verify apply` applies for the first one")));
    }
    if !arguments.names.is_empty() {
        wanted.retain(|wanted| wanted.names.iter().any(|name| arguments.names.contains(name)));
    }
    if wanted.is_empty() {
        session.printer().note(t!("there is no certificate to renew; `dv-verify apply` applies for the first one"));
        return Ok(Exit::DONE);
    }
    apply::acme::take(session, wanted, arguments.force, current).await
}
