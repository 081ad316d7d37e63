//! `--listen`: a run that can be looked at.

use std::{path::Path, sync::Arc};

use super::session::{Rooms, Session};
use crate::{
    delivery,
    error::Result,
    language::t,
    status::{self, Board, Serving, Snapshots},
};

/// A board that is shown as long as this lives.
pub(super) struct Seen {
    /// What listens to the run.
    pub(super) board: Board,
    _serving: Serving,
}

/// Shows the run where the user asked for that. `out` is the folder of all certificates.
///
/// # Errors
/// As [`status::serve`].
pub(super) async fn show(session: &Session, rooms: &Rooms, out: &Path) -> Result<Option<Seen>> {
    let Some(listen) = &session.chosen().listen else { return Ok(None) };
    let board = Board::new(session.redactor().clone());
    let (cas, out) = (Arc::clone(&rooms.cas), out.to_owned());
    let snapshots = Snapshots { calls: Arc::new(move || cas.calls()), certificates: Arc::new(move || delivery::inventory(&out)) };
    let serving = status::serve(listen, board.clone(), snapshots).await?;
    session.printer().note(&t!("status page: http://%{address}/", address = serving.address()));
    if !listen.address.ip().is_loopback() {
        let message = t!("`--listen` speaks plain HTTP: whoever reads along on the network learns the token");
        session
            .printer()
            .warning(message, Some(t!("let a web server with TLS on this machine pass on to 127.0.0.1 (docs/status.md)")));
    }
    Ok(Some(Seen { board, _serving: serving }))
}
