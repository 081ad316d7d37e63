//! `cancel`, `revoke`, `delete`: what ends an order at CAS. None of it can be undone, so each asks first.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};

use clap::Args;

use super::{
    exit::Exit,
    session::{Rooms, Session},
};
use crate::{
    error::{Error, ErrorKind, Result},
    http::Http,
    journey::{self, event::Silent},
    language::t,
    order::OrderId,
};

/// An order to end.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The order: an InstanceId or an OrderId.
    // Not `order`, which is the id of an option.
    #[arg(id = "ended", value_name = "ID")]
    order: String,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
}

/// An application to withdraw.
#[derive(Debug, Args)]
pub(super) struct CancelArguments {
    #[command(flatten)]
    what: Arguments,
}

/// An order to delete.
#[derive(Debug, Args)]
pub(super) struct DeleteArguments {
    #[command(flatten)]
    what: Arguments,
    /// Give the instance back first, which the service does within seven days of its purchase.
    #[arg(long)]
    refund: bool,
}

/// How long a withdrawal of an instance is waited for: the service takes minutes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Withdraws an application, and the records that were published for it.
pub(super) async fn cancel(session: &Session, arguments: &CancelArguments) -> Result<Exit> {
    let id = confirmed(&arguments.what, t!("withdraw the application of"))?;
    let work = async |rooms: &mut Rooms| {
        let printer = session.printer();
        let is_done = rooms.cas.cancel(&id, PATIENCE).await?;
        if is_done {
            printer.result(&t!("the application of %{id} is withdrawn", id));
        } else {
            printer.warning(
                &t!("the service is still withdrawing the application of %{id}", id),
                Some(t!("`dv-verify orders` shows when it is done")),
            );
        }
        for error in journey::withdraw_order(&rooms.surroundings, &id).await {
            printer.warning(&error.to_string(), error.hint().or(Some(t!("the journal knows it: `dv-verify clean` removes it"))));
        }
        Ok(if is_done { Exit::DONE } else { Exit::failure(ErrorKind::StillWaiting) })
    };
    session.with_rooms(|_| Ok(std::sync::Arc::new(Silent)), work).await
}

/// Revokes a certificate.
pub(super) async fn revoke(session: &Session, arguments: &Arguments) -> Result<Exit> {
    let id = confirmed(arguments, t!("revoke the certificate of"))?;
    session.cas(&Http::new()?)?.revoke(&id).await?;
    session.printer().result(&t!("the certificate of %{id} is revoked", id));
    session.printer().note(t!("servers that use it must get another one: `dv-verify apply` applies for it"));
    Ok(Exit::DONE)
}

/// Deletes an order.
pub(super) async fn delete(session: &Session, arguments: &DeleteArguments) -> Result<Exit> {
    let id = confirmed(&arguments.what, if arguments.refund { t!("give back and delete") } else { t!("delete") })?;
    session.cas(&Http::new()?)?.delete(&id, arguments.refund).await?;
    session.printer().result(&t!("%{id} is deleted", id));
    Ok(Exit::DONE)
}

/// The order, once a person said yes.
fn confirmed(arguments: &Arguments, what: &str) -> Result<OrderId> {
    let id = OrderId::parse(&arguments.order)?;
    if arguments.yes {
        return Ok(id);
    }
    let unconfirmed = || {
        Err(Error::usage(t!("nothing was done: to %{what} %{id} cannot be undone, and was not confirmed", what, id))
            .with_hint(t!("confirm it with `--yes`")))
    };
    let (input, mut output) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() || !output.is_terminal() {
        return unconfirmed();
    }
    let mut answer = String::new();
    let asked = write!(output, "{} ", t!("%{what} %{id}? This cannot be undone. [y/N]", what, id)).and_then(|()| output.flush());
    if asked.is_err() || input.lock().read_line(&mut answer).is_err() {
        return unconfirmed();
    }
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") { Ok(id) } else { unconfirmed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_confirms_and_what_is_no_id_is_told_first() {
        let given = |order: &str, yes| confirmed(&Arguments { order: order.to_owned(), yes }, "delete");
        assert_eq!(given("cas-1", true).unwrap().as_str(), "cas-1");
        assert!(given("not an id", true).unwrap_err().to_string().contains("is not an order id"));
    }
}
