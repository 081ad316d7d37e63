//! `orders`: the account's orders and their states.

use super::{exit::Exit, session::Session, table};
use crate::{error::Result, http::Http, order::OrderSource};

/// Lists the orders of all generations that are asked for.
pub(super) async fn run(session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let listing = session.cas(&Http::new()?)?.list().await?;
    for (generation, error) in &listing.unanswered {
        printer.warning(&format!("orders of `--api {generation}` could not be listed: {error}"), error.hint());
    }
    if printer.is_json() {
        for order in &listing.orders {
            printer.json(&serde_json::json!({
                "order": order.id,
                "api": order.generation.as_str(),
                "domains": order.domains,
                "state": order.state,
                "final": order.is_final,
                "domain_validated": order.is_domain_validated,
            }));
        }
        return Ok(Exit::DONE);
    }
    if listing.orders.is_empty() {
        printer.note("there are no orders");
        return Ok(Exit::DONE);
    }
    let mut rows = table::new(&["ORDER", "API", "STATE", "VALIDATION", "NAMES"]);
    for order in &listing.orders {
        let validation = match (order.is_final, order.is_domain_validated) {
            (true, _) => "final",
            (false, true) => "dns",
            (false, false) => "by people",
        };
        let names = order.domains.iter().map(crate::name::Name::unicode).collect::<Vec<_>>().join(" ");
        rows.add_row([order.id.to_string(), order.generation.to_string(), order.state.clone(), validation.to_owned(), names]);
    }
    table::show(printer, &rows);
    Ok(Exit::DONE)
}
