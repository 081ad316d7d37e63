//! `orders`: the account's orders, their states, challenges, ages and ends.

use clap::Args;
use jiff::Timestamp;

use super::{exit::Exit, failure, report, session::Session, table};
use crate::{
    error::{Error, Result},
    http::Http,
    language::{message, t},
    name::Name,
    order::{
        Challenge, ChallengeKind, OrderSource as _,
        aliyun::{Cas, Listed},
        challenge_name,
    },
};

/// How many challenges are read where nobody asks for all: each costs one call.
const FEW: usize = 20;

/// Which orders, and how much of them.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Several regions: `cn-hangzhou,ap-southeast-1`.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    regions: Vec<String>,
    /// Read the challenges of all instances that wait, however many (one call for each).
    #[arg(long)]
    challenges: bool,
}

/// An order as it is shown.
struct Row {
    region: Option<String>,
    listed: Listed,
    challenges: Vec<Challenge>,
}

/// Lists the orders of all generations and regions that are asked for.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<Exit> {
    let http = Http::new()?;
    let mut regions: Vec<Option<String>> = arguments.regions.iter().map(|region| Some(region.trim().to_owned())).collect();
    if regions.is_empty() {
        regions.push(None);
    } else if session.chosen().cas.endpoint.is_some() {
        return Err(Error::usage(t!("`--regions` does not go with `--endpoint`, which is one place"))
            .with_hint(t!("leave out one of both; `--region` names a single region")));
    }
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    let count = regions.len();
    for region in regions {
        let cas = match &region {
            Some(region) => session.cas_of_region(&http, region)?,
            None => session.cas(&http)?,
        };
        match of_place(session, &cas, region.as_deref(), arguments.challenges).await {
            Ok(found) => rows.extend(found),
            Err(error) => failures.push(error),
        }
        tracing::info!("calls to {}: {}", cas.origin(), report::by_action(&cas.calls()));
    }
    // A region that cannot be asked is named, and the others are shown.
    let last = if failures.len() == count { failures.pop() } else { None };
    if last.is_none() {
        show(session, &rows);
    }
    for error in &failures {
        failure::show(session.printer(), error, None);
    }
    match last {
        Some(error) => Err(error),
        None if failures.is_empty() => Ok(Exit::DONE),
        None => Ok(Exit::SOME_FAILED),
    }
}

/// The orders of one region, in all generations that it serves.
async fn of_place(session: &Session, cas: &Cas, region: Option<&str>, all_challenges: bool) -> Result<Vec<Row>> {
    let printer = session.printer();
    let account = cas.account().await.map_err(|error| match region {
        Some(region) => error.context(t!("region `%{region}`", region)),
        None => error,
    })?;
    for (generation, error) in &account.unanswered {
        printer.warning(&t!("orders of `--api %{generation}` could not be listed: %{error}", generation, error), error.hint());
    }
    let waiting = account.orders.iter().filter(|row| cas.may_show_challenges(row)).count();
    let with_challenges = all_challenges || waiting <= FEW;
    if !with_challenges {
        printer.note(&t!(
            "the challenges of %{waiting} orders are left out; `--challenges` reads them, with one call for each",
            waiting
        ));
    }
    let mut rows = Vec::new();
    for listed in account.orders {
        let mut challenges = Vec::new();
        if with_challenges && cas.may_show_challenges(&listed) {
            match cas.challenges(&listed.summary.id).await {
                Ok(found) => challenges = found,
                Err(error) => printer.warning(&t!("order `%{id}`: %{error}", id = listed.summary.id, error), error.hint()),
            }
        }
        rows.push(Row { region: region.map(str::to_owned), listed, challenges });
    }
    Ok(rows)
}

fn show(session: &Session, rows: &[Row]) {
    let printer = session.printer();
    if printer.is_json() {
        for row in rows {
            printer.json(&json(row));
        }
        return;
    }
    if rows.is_empty() {
        printer.note(t!("there are no orders"));
        return;
    }
    let now = Timestamp::now();
    let has_regions = rows.iter().any(|row| row.region.is_some());
    let mut headings = vec![
        message!("ORDER"),
        message!("API"),
        message!("STATE"),
        message!("CHALLENGE"),
        message!("AGE"),
        message!("EXPIRES"),
        message!("NAMES"),
    ];
    if has_regions {
        headings.insert(0, message!("REGION"));
    }
    let mut shown = table::new(&headings);
    for row in rows {
        let order = &row.listed.summary;
        let names = order.domains.iter().map(Name::unicode).collect::<Vec<_>>().join(" ");
        let mut cells = vec![
            order.id.to_string(),
            order.generation.to_string(),
            order.state.clone(),
            challenge_cell(row),
            row.listed.created.map(|created| age(created, now)).unwrap_or_default(),
            row.listed.expires.map(|expires| expiry(expires, now)).unwrap_or_default(),
            names,
        ];
        if has_regions {
            cells.insert(0, row.region.clone().unwrap_or_default());
        }
        shown.add_row(cells);
    }
    table::show(printer, &shown);
}

fn json(row: &Row) -> serde_json::Value {
    let order = &row.listed.summary;
    let challenges = row.challenges.iter().map(|challenge| {
        let (kind, name) = kind_and_name(challenge);
        serde_json::json!({"type": kind, "name": name, "value": challenge.value})
    });
    serde_json::json!({
        "order": order.id,
        "api": order.generation.as_str(),
        "region": row.region,
        "domains": order.domains,
        "state": order.state,
        "final": order.is_final,
        "domain_validated": order.is_domain_validated,
        "challenges": challenges.collect::<Vec<_>>(),
        "created": row.listed.created,
        "expires": row.listed.expires,
        "product": row.listed.product,
    })
}

/// What the order waits for, in one cell.
fn challenge_cell(row: &Row) -> String {
    let order = &row.listed.summary;
    let shown: Vec<String> = row
        .challenges
        .iter()
        .map(|challenge| {
            let (kind, name) = kind_and_name(challenge);
            format!("{kind} {name}")
        })
        .collect();
    match (shown.is_empty(), order.is_final, order.is_domain_validated) {
        (false, ..) => shown.join(", "),
        (_, true, _) => String::new(),
        (_, false, true) => "-".to_owned(),
        (_, false, false) => t!("by people").to_owned(),
    }
}

/// The kind of a challenge, and its full name.
fn kind_and_name(challenge: &Challenge) -> (String, String) {
    let domains: Vec<Name> = challenge.domain.iter().cloned().collect();
    match challenge.kind {
        ChallengeKind::Record(record_type) => {
            let full = challenge_name::join(&challenge.name, challenge.root_domain.as_ref(), &domains);
            (record_type.to_string(), full.map_or_else(|_| challenge.name.clone(), |name| name.to_string()))
        }
        ChallengeKind::File => ("FILE".to_owned(), challenge.name.clone()),
    }
}

/// How long ago, in the largest unit that fits.
fn age(created: Timestamp, now: Timestamp) -> String {
    let minutes = now.duration_since(created).as_mins().max(0);
    match minutes {
        0..60 => t!("%{minutes} min", minutes),
        60..2880 => t!("%{hours} h", hours = minutes / 60),
        _ => t!("%{days} d", days = minutes / 1440),
    }
}

/// The day, and how many days are left.
fn expiry(expires: Timestamp, now: Timestamp) -> String {
    let days = expires.duration_since(now).as_hours().div_euclid(24);
    let left = if expires <= now { t!("expired").to_owned() } else { t!("%{days} d", days) };
    format!("{} ({left})", expires.strftime("%Y-%m-%d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_ends_are_told_in_one_unit() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-24T18:00:00Z");
        assert_eq!(age(at("2026-11-24T17:01:00Z"), now), "59 min");
        assert_eq!(age(at("2026-11-23T17:00:00Z"), now), "25 h");
        assert_eq!(age(at("2026-11-01T18:00:00Z"), now), "23 d");
        assert_eq!(age(at("2026-11-25T18:00:00Z"), now), "0 min", "the other clock is ahead");
        assert_eq!(expiry(at("2026-11-26T17:00:00Z"), now), "2026-11-26 (1 d)");
        assert_eq!(expiry(at("2026-11-24T18:00:00Z"), now), "2026-11-24 (expired)");
    }
}
