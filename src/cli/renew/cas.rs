//! `renew` at CAS.

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::super::{
    apply::cas::{Wish, take},
    exit::Exit,
    session::Session,
};
use crate::{
    delivery::Current,
    error::Result,
    failpoint,
    http::Http,
    language::t,
    name::{Name, in_words, same_names},
    order::{
        Generation, OrderId,
        aliyun::{
            Cas, Listed,
            applying::{Application, Choice},
        },
    },
};

/// What only CAS orders need.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// CAS: renew what expires within so many days; of certificates that last less than three times that, in their last third.
    #[arg(long, value_name = "N", default_value_t = 30)]
    days: u16,
    /// CAS: make the new keys (ECDSA P-256) on this machine, also where the ones before came from the service.
    #[arg(long)]
    generate_key: bool,
}

/// A certificate that is to be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Renewal {
    pub(in crate::cli) names: Vec<Name>,
    choice: Choice,
    /// Whose certificate it takes the place of.
    order: OrderId,
    pub(in crate::cli) expires: Timestamp,
    /// Whether the certificate is on this disk.
    pub(in crate::cli) is_here: bool,
}

/// Renews orders at CAS: those whose certificates are on this disk, and those that are named.
pub(super) async fn run(session: &Session, arguments: &super::Arguments, current: &[Current]) -> Result<Exit> {
    let cas = session.cas(&Http::new()?)?;
    let account = cas.account().await?;
    let printer = session.printer();
    for (generation, error) in &account.unanswered {
        printer.warning(&t!("orders of `--api %{generation}` could not be listed: %{error}", generation, error), error.hint());
    }
    let days = SignedDuration::from_hours(24 * i64::from(arguments.cas.days));
    let within = if arguments.force { SignedDuration::MAX } else { days };
    let due = due(&account.orders, current, failpoint::now(), within);
    let wanted = |renewal: &Renewal| match arguments.names.as_slice() {
        [] => renewal.is_here,
        names => renewal.names.iter().any(|name| names.contains(name)),
    };
    let (due, others): (Vec<Renewal>, Vec<Renewal>) = due.into_iter().partition(wanted);
    if arguments.names.is_empty() && !arguments.force {
        for renewal in &others {
            printer.note(&t!("%{names}: order %{order} expires on %{day}, and its certificate is not on this machine; `dv-verify renew %{renewal}` renews it", names = in_words(&renewal.names), order = renewal.order, day = renewal.expires.strftime("%Y-%m-%d"), renewal = renewal.names.first().map(ToString::to_string).unwrap_or_default()));
        }
    }
    if due.is_empty() {
        printer.note(t!("no certificate is due for renewal"));
        return Ok(Exit::DONE);
    }
    let mut wishes = Vec::new();
    for renewal in &due {
        printer.note(&t!(
            "%{names}: to be renewed, it expires on %{day}",
            names = in_words(&renewal.names),
            day = renewal.expires.strftime("%Y-%m-%d")
        ));
        wishes.push(wish(&cas, session.chosen().application(), renewal, current, arguments.cas.generate_key).await?);
    }
    take(session, wishes, current).await
}

/// What to apply for, proven as before, with the same kind of key as before: one that was made here is followed by another one made here.
pub(in crate::cli) async fn wish(
    cas: &Cas,
    application: Application,
    renewal: &Renewal,
    current: &[Current],
    mut generate_key: bool,
) -> Result<Wish> {
    let mut application = Application { names: renewal.names.clone(), ..application };
    let before = current.iter().find(|there| there.order == renewal.order);
    let has_key = before.is_some_and(|there| there.live.join("privkey.pem").exists());
    if let Choice::Instance(id) = &renewal.choice {
        let last = cas.last_application(id).await?;
        application.by_file = last.by_file;
        match (last.csr, has_key) {
            (Some(_), true) => generate_key = true,
            (Some(csr), false) if !generate_key => application.csr = Some(csr),
            _ if !generate_key => application.key_algorithm = last.key_algorithm,
            _ => {}
        }
    }
    Ok(Wish { application, choice: renewal.choice.clone(), generate_key })
}

/// What is to be renewed: of each set of names the certificate that lasts longest, where it ends within `within`, or is in the last third of its
/// lifetime where that is shorter. Sets of names of which an order is under way are carried on by it.
pub(in crate::cli) fn due(rows: &[Listed], current: &[Current], now: Timestamp, within: SignedDuration) -> Vec<Renewal> {
    let mut all: Vec<(Renewal, SignedDuration)> = Vec::new();
    for row in rows.iter().filter(|row| row.summary.is_domain_validated && !row.summary.domains.is_empty()) {
        let file = current.iter().find(|there| there.order == row.summary.id);
        let Some(expires) = file.map(|there| there.not_after).or(row.expires) else { continue };
        if row.certificate_state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case("revoked"))
            || is_over(&row.summary.state)
        {
            continue;
        }
        let begins = file.map(|there| there.not_before).or(row.created);
        let limit = limit(begins, expires, within);
        let renewal = Renewal {
            names: row.summary.domains.clone(),
            choice: choice(row),
            order: row.summary.id.clone(),
            expires,
            is_here: file.is_some(),
        };
        match all.iter_mut().find(|(other, _)| same_names(&other.names, &renewal.names)) {
            Some((other, other_limit)) if other.expires < renewal.expires => {
                let is_here = other.is_here || renewal.is_here;
                (*other, *other_limit) = (Renewal { is_here, ..renewal }, limit);
            }
            Some((other, _)) => other.is_here |= renewal.is_here,
            None => all.push((renewal, limit)),
        }
    }
    all.retain(|(renewal, limit)| renewal.expires.duration_since(now) < *limit);
    all.into_iter().map(|(renewal, _)| renewal).collect()
}

/// How long before its end a certificate is due: `within`, and at most a third of its lifetime.
pub(in crate::cli) fn limit(begins: Option<Timestamp>, expires: Timestamp, within: SignedDuration) -> SignedDuration {
    let third = begins.map_or(SignedDuration::MAX, |begins| expires.duration_since(begins) / 3);
    if within == SignedDuration::MAX { within } else { within.min(third) }
}

/// With what an order is renewed: an instance with itself, an order of a package with a new one, one of 2018 with any free instance.
fn choice(row: &Listed) -> Choice {
    let id = row.summary.id.clone();
    match row.summary.generation {
        Generation::Instance if !matches!(row.summary.state.to_ascii_lowercase().as_str(), "expired" | "closed") => {
            Choice::Instance(id)
        }
        Generation::Order if row.product.is_some() => Choice::Renewal(id),
        _ => Choice::Any,
    }
}

/// Whether an order's certificate was given up on purpose.
fn is_over(state: &str) -> bool {
    matches!(state.to_ascii_lowercase().as_str(), "revoked" | "refund" | "refunded" | "closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::OrderSummary;

    const DAY: i64 = 86_400;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + number * DAY).unwrap()
    }

    fn row(generation: Generation, id: &str, names: &[&str], state: &str, begins: i64, expires: i64) -> Listed {
        let summary = OrderSummary {
            id: OrderId::parse(id).unwrap(),
            generation,
            domains: names.iter().map(|name| Name::parse(name).unwrap()).collect(),
            state: state.to_owned(),
            is_final: true,
            is_domain_validated: true,
        };
        Listed {
            summary,
            instance: None,
            created: Some(day(begins)),
            expires: Some(day(expires)),
            product: Some("p".to_owned()),
            capacity: None,
            certificate_state: None,
        }
    }

    fn on_disk(row: &Listed, begins: i64, expires: i64) -> Current {
        Current {
            order: row.summary.id.clone(),
            names: row.summary.domains.clone(),
            not_before: day(begins),
            not_after: day(expires),
            certificate: String::new(),
            live: "/x/live".into(),
        }
    }

    fn due_on(rows: &[Listed], current: &[Current], today: i64) -> Vec<(String, bool)> {
        let within = SignedDuration::from_hours(30 * 24);
        due(rows, current, day(today), within).into_iter().map(|renewal| (renewal.order.to_string(), renewal.is_here)).collect()
    }

    #[test]
    fn thirty_days_or_the_last_third() {
        for (lifetime, first_due) in [(200, 171), (100, 71), (47, 32)] {
            let rows = [row(Generation::Instance, "cas-1", &["a.example"], "normal", 0, lifetime)];
            assert!(due_on(&rows, &[], first_due - 1).is_empty(), "{lifetime}");
            assert_eq!(due_on(&rows, &[], first_due), [("cas-1".to_owned(), false)], "{lifetime}");
        }
    }

    #[test]
    fn files_tell_more_than_the_list_and_the_longest_counts() {
        let old = row(Generation::Instance, "cas-old", &["a.example", "b.example"], "willExpire", 0, 100);
        let new = row(Generation::Order, "77", &["b.example", "a.example"], "ISSUED", 80, 180);
        assert_eq!(due_on(std::slice::from_ref(&old), &[on_disk(&old, 0, 100)], 90), [("cas-old".to_owned(), true)]);
        assert!(due_on(&[old.clone(), new.clone()], &[on_disk(&old, 0, 100)], 90).is_empty(), "there is a newer one");
        assert_eq!(due_on(&[old.clone(), new], &[on_disk(&old, 0, 100)], 170), [("77".to_owned(), true)]);
        // The list still shows the end of the certificate before.
        assert!(due_on(std::slice::from_ref(&old), &[on_disk(&old, 90, 190)], 99).is_empty());
    }

    #[test]
    fn what_was_given_up_is_left() {
        let mut revoked = row(Generation::Instance, "cas-1", &["a.example"], "normal", 0, 100);
        revoked.certificate_state = Some("revoked".to_owned());
        let refunded = row(Generation::Instance, "cas-2", &["b.example"], "refund", 0, 100);
        assert!(due_on(&[revoked, refunded], &[], 99).is_empty());
    }

    #[test]
    fn each_generation_is_renewed_in_its_own_way() {
        let choice_of = |generation, state: &str| choice(&row(generation, "cas-1", &["a.example"], state, 0, 1));
        let id = OrderId::parse("cas-1").unwrap();
        assert_eq!(choice_of(Generation::Instance, "willExpire"), Choice::Instance(id.clone()));
        assert_eq!(choice_of(Generation::Instance, "expired"), Choice::Any);
        assert_eq!(choice_of(Generation::Order, "ISSUED"), Choice::Renewal(id));
        assert_eq!(choice_of(Generation::Api2018, "Issued"), Choice::Any);
    }
}
