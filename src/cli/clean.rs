//! `clean`: withdraws what no live order needs.

use std::{collections::HashSet, sync::Arc};

use super::{
    exit::Exit,
    failure, report,
    session::{Rooms, Session},
};
use crate::{config::routing::Router, error::Result, journey, language::t, order::OrderSource};

/// Cleans up, or shows what would be.
pub(super) async fn run(session: &Session, all: bool, dry_run: bool) -> Result<Exit> {
    let printer = session.printer();
    let observer = |router: &Router| Ok(report::observer(printer, router.by_hand()?, HashSet::new()));
    let acme: Arc<dyn OrderSource> = Arc::new(super::apply::acme::looking(session)?);
    let work = async |rooms: &mut Rooms| journey::clean(&rooms.surroundings, &[acme], all, dry_run).await;
    let cleaned = session.with_rooms(observer, work).await?;
    if cleaned.is_empty() {
        printer.note(t!("the journal is empty: nothing of ours is out there"));
    }
    let mut worst = Exit::DONE;
    for entry in &cleaned {
        let record = &entry.entry.record;
        if dry_run && entry.kept.is_none() {
            printer.result(&t!(
                "would remove %{record} at provider `%{provider}`",
                record = record.title(),
                provider = entry.entry.provider
            ));
        }
        if let Err(error) = &entry.outcome {
            failure::show(printer, error, None);
            worst = if worst == Exit::DONE { Exit::failure(error.kind()) } else { Exit::SOME_FAILED };
        }
    }
    Ok(worst)
}
