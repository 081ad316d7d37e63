//! `record add` and `record remove`: the provider's part alone.

use std::collections::HashSet;

use super::{
    command::RecordAction,
    exit::Exit,
    report,
    session::{Rooms, Session},
};
use crate::{config::routing::Router, error::Result, journey};

/// Adds or removes one record.
pub(super) async fn run(session: &Session, action: &RecordAction) -> Result<Exit> {
    let observer = |router: &Router| Ok(report::observer(session.printer(), router.by_hand()?, HashSet::new()));
    let work = async |rooms: &mut Rooms| match action {
        RecordAction::Add(record) => {
            journey::add_record(&rooms.surroundings, &record.record()?, session.chosen().permission()).await
        }
        RecordAction::Remove(record) => journey::remove_record(&rooms.surroundings, &record.record()?).await,
    };
    session.with_rooms(observer, work).await.map(|()| Exit::DONE)
}
