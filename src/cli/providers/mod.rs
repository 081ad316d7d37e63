//! `providers list|show|new|replay|schema`: what there is, what it needs, and a start for one's own.

use super::{command::ProvidersAction, exit::Exit, session::Session};
use crate::error::Result;

mod draft;
mod list;
mod new;
mod replay;

pub(super) use draft::{Auth, Names, Records, Zones};

/// Does what was asked for.
pub(super) fn run(session: &Session, action: &ProvidersAction) -> Result<Exit> {
    let printer = session.printer();
    match action {
        ProvidersAction::List { term } => list::list(printer, &session.registry()?, term.as_deref())?,
        ProvidersAction::Show { id } => list::show(printer, &session.registry()?, id)?,
        ProvidersAction::New(wanted) => new::run(printer, wanted)?,
        ProvidersAction::Replay { manifest, examples } => {
            return Session::block_on(replay::run(printer, manifest, examples.as_deref()));
        }
        ProvidersAction::Schema { examples } => printer.result(if *examples {
            include_str!("../../../docs/examples.schema.json").trim_end()
        } else {
            include_str!("../../../docs/manifest.schema.json").trim_end()
        }),
    }
    Ok(Exit::DONE)
}
