//! `record add` and `record remove`: the provider's part alone.

use std::collections::HashSet;

use super::{command::RecordAction, exit::Exit, report, session::Session};
use crate::{error::Result, journey};

/// Adds or removes one record.
pub(super) async fn run(session: &Session, action: &RecordAction) -> Result<Exit> {
    let rooms = session.rooms(|router| Ok(report::observer(session.printer(), router.by_hand()?, HashSet::new()))).await?;
    let outcome = match action {
        RecordAction::Add(record) => {
            journey::add_record(&rooms.surroundings, &record.record()?, session.chosen().permission()).await
        }
        RecordAction::Remove(record) => journey::remove_record(&rooms.surroundings, &record.record()?).await,
    };
    rooms.surroundings.store.close().await;
    outcome.map(|()| Exit::DONE)
}
