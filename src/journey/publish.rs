//! Publishing: from a challenge to a journaled record at a provider.

use std::time::Duration;

use super::{Options, Routed, Surroundings, event::Event, event::PlannedRecord, files, guard, withdraw};
use crate::{
    error::{Error, ErrorKind, Result},
    failpoint,
    language::t,
    name::Name,
    order::{Challenge, ChallengeKind, Order, OrderId, challenge_name},
    propagation::Verdict,
    provider::{Capabilities, Found, Handle, Zone},
    record::{Record, RecordType},
    store::{Holder, Intent, Lock, LockKey},
};

/// How long a write waits for another run that writes at the same name.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);

/// How often a value is written into a set that somebody else puts back.
const WHOLE_SET_ATTEMPTS: u32 = 3;

/// The longest TXT value that is written, in bytes: what certainly fits into a DNS message over UDP beside the rest.
const LONGEST_VALUE: usize = 1_000;

/// A challenge with everything decided: where it is written and by whom.
#[derive(Clone)]
pub(super) struct Planned {
    /// The record.
    pub(super) record: Record,
    /// The provider instance.
    pub(super) routed: Routed,
    /// The zone at the provider.
    pub(super) zone: Zone,
}

/// Says what the user should know of a provider before it writes.
pub(super) fn warn_about(surroundings: &Surroundings, routed: &Routed, order: Option<&OrderId>) {
    let (instance, capabilities) = (&routed.instance, routed.provider.capabilities());
    let all = [
        (capabilities.experimental, t!("provider `%{instance}` is experimental: nobody has shown that it works", instance)),
        (!capabilities.removal, t!("provider `%{instance}` cannot remove records: this one will stay", instance)),
        (
            !capabilities.several_values,
            t!("provider `%{instance}` holds one value per name: another value there is replaced", instance),
        ),
    ];
    for (_, message) in all.iter().filter(|(holds, _)| *holds) {
        surroundings.observer.event(&Event::Warning { order, message, hint: None });
    }
}

/// The record that a challenge asks for.
pub(super) fn wanted(challenge: &Challenge, order: &Order, base_domain: Option<&Name>) -> Result<Record> {
    let record_type = match challenge.kind {
        ChallengeKind::Record(record_type) => record_type,
        ChallengeKind::File => return files::wanted(challenge, order, base_domain),
    };
    let mut fallbacks: Vec<Name> = challenge.domain.iter().chain(&order.domains).map(Name::base).collect();
    fallbacks.extend(base_domain.cloned());
    let name = challenge_name::join(&challenge.name, challenge.root_domain.as_ref(), &fallbacks)?;
    let value = match record_type {
        RecordType::Txt => {
            if challenge.value.is_empty() || challenge.value.len() > LONGEST_VALUE || challenge.value.contains(char::is_control) {
                return Err(Error::usage(t!(
                    "the value for `%{name}` cannot be a TXT record here: it is empty, has control characters or is longer than %{LONGEST_VALUE} bytes",
                    name,
                    LONGEST_VALUE
                )));
            }
            challenge.value.clone()
        }
        RecordType::Cname => Name::parse(&challenge.value)?.as_str().to_owned(),
        RecordType::File => return files::wanted(challenge, order, base_domain),
    };
    Ok(Record { name, record_type, value })
}

/// Decides where a record goes: route, zone, guard, capabilities. Writes nothing.
pub(super) async fn plan(
    surroundings: &Surroundings,
    options: &Options,
    order: &Order,
    challenge: &Challenge,
) -> Result<Planned> {
    let asked = wanted(challenge, order, options.base_domain.as_ref())?;
    if asked.record_type == RecordType::File {
        return files::plan(surroundings, options, order, asked).await;
    }
    let record = write_target(surroundings, options, &asked).await?;
    let routed = surroundings.routing.route(&record.name)?;
    let capabilities = routed.provider.capabilities();
    require_type(&routed, &capabilities, record.record_type)?;
    let zone = routed.locate(&record.name).await?;
    let request = guard::Request {
        name: &asked.name,
        target: &record.name,
        zone: &zone.name,
        domains: &order.domains,
        root_domain: challenge.root_domain.as_ref(),
        rewrites_set: capabilities.rewrites_set,
    };
    guard::permit(&request, &options.permission)?;
    Ok(Planned { record, routed, zone })
}

/// The record as it is really written: where a CNAME leads away from the name that the CA looks at, at the end of the chain.
///
/// A CNAME that a wildcard made is not followed: once a record stands at the name, the wildcard is silent there (RFC 4592 section 2.2.1).
/// Where the chain cannot be seen, the record is written at its own name, and propagation will tell.
async fn write_target(surroundings: &Surroundings, options: &Options, asked: &Record) -> Result<Record> {
    if options.no_follow || asked.record_type == RecordType::Cname {
        return Ok(asked.clone());
    }
    match surroundings.propagation.resolve_target(&asked.name).await {
        Ok(target) if !target.synthesised => Ok(Record { name: target.name, ..asked.clone() }),
        Ok(_) => Ok(asked.clone()),
        // A loop, or a chain without end: no record would ever be seen.
        Err(error) if error.kind() == ErrorKind::Config => Err(error),
        Err(_) => Ok(asked.clone()),
    }
}

/// Refuses a record type that the provider cannot write.
pub(super) fn require_type(routed: &Routed, capabilities: &Capabilities, record_type: RecordType) -> Result<()> {
    if capabilities.record_types.contains(&record_type) {
        return Ok(());
    }
    Err(Error::usage(t!("provider `%{instance}` cannot write %{record_type} records", instance = routed.instance, record_type))
        .with_hint(t!("route this zone to a provider that can, or write the record by hand with `--provider manual`")))
}

/// What a run would do with a challenge, for `--dry-run` and for runs without a provider.
pub(super) async fn preview(
    surroundings: &Surroundings,
    options: &Options,
    order: &Order,
    challenge: &Challenge,
) -> Result<PlannedRecord> {
    let record = wanted(challenge, order, options.base_domain.as_ref())?;
    let order_id = order.id.clone();
    Ok(match plan(surroundings, options, order, challenge).await {
        Ok(planned) => PlannedRecord {
            order: order_id,
            record,
            provider: Some(planned.routed.instance),
            zone: Some(planned.zone.name),
            obstacle: None,
        },
        Err(error) => PlannedRecord { order: order_id, record, provider: None, zone: None, obstacle: Some(error.to_string()) },
    })
}

/// The lock under which one value is written, removed, and counted in the journal.
pub(super) fn lock_key(instance: &str, capabilities: &Capabilities, zone: &Zone, name: &Name) -> LockKey {
    let whole_zone = capabilities.one_write_per_zone || capabilities.rewrites_zone;
    LockKey::Name { provider: instance.to_owned(), name: if whole_zone { zone.name.clone() } else { name.clone() } }
}

/// Waits until no other run writes at the name.
pub(super) async fn turn(surroundings: &Surroundings, planned: &Planned) -> Result<Lock> {
    let Planned { record, routed, zone } = planned;
    let key = lock_key(&routed.instance, &routed.provider.capabilities(), zone, &record.name);
    surroundings.store.lock(&key, LOCK_PATIENCE).await
}

/// Journals the intent, writes the value unless it is there, journals the handle. Returns whether this call wrote.
pub(super) async fn publish(
    surroundings: &Surroundings,
    planned: &Planned,
    holders: &[Holder],
    order: Option<(&OrderId, &Lock)>,
) -> Result<bool> {
    let lock = turn(surroundings, planned).await?;
    publish_holding(surroundings, planned, holders, order, lock).await
}

/// As [`publish`], under the lock that [`turn`] gave.
pub(super) async fn publish_holding(
    surroundings: &Surroundings,
    planned: &Planned,
    holders: &[Holder],
    order: Option<(&OrderId, &Lock)>,
    lock: Lock,
) -> Result<bool> {
    let Planned { record, routed, zone } = planned;
    let provider = &routed.provider;
    let at_provider = |error: Error| {
        error.context(t!("provider `%{instance}`, %{record}", instance = routed.instance, record = record.title()))
    };
    let found = provider.find(zone, record).await.map_err(at_provider)?;
    // What an earlier run noted is ours, even where its journal was lost since.
    let is_ours = surroundings.store.is_noted(&routed.instance, record);
    let was_there = match found {
        _ if is_ours => false,
        Found::Present(_) => true,
        Found::Absent => false,
        Found::CannotTell => is_served(surroundings, record).await,
    };
    let intent = Intent { provider: routed.instance.clone(), zone: zone.clone(), record: record.clone(), was_there };
    failpoint::reach("publish.before-intent");
    if !was_there {
        surroundings.store.note(&intent, holders.iter().any(Holder::is_person))?;
    }
    let mut entry = None;
    for holder in holders {
        entry = Some(surroundings.store.intend(&intent, holder).await?);
    }
    let Some(entry) = entry else {
        return Err(Error::new(ErrorKind::Unexpected, t!("a record without a holder was to be published")));
    };
    failpoint::reach("publish.after-intent");
    let written = match found {
        // What an earlier run wrote may wait for a commit that this run did not live to make.
        Found::Present(handle) if is_ours && provider.capabilities().commits => {
            provider.publish(zone, record).await.map(|_| (handle, false))
        }
        // What the journal has knows which folders were made for a file; what is there does not.
        Found::Present(handle) if record.record_type == RecordType::File => Ok((entry.handle.clone().unwrap_or(handle), false)),
        Found::Present(handle) => Ok((handle, false)),
        // Publishing what is there already is success, so writing again after a crash is harmless.
        Found::Absent | Found::CannotTell => {
            let locks = [Some(&lock), order.map(|(_, lock)| lock)];
            write(surroundings, planned, locks).await.map(|handle| (handle, true))
        }
    };
    let (handle, wrote) = match written {
        Ok(written) => written,
        Err(error) => {
            surroundings.store.gave_up_writing(entry.id).await?;
            return Err(at_provider(error));
        }
    };
    failpoint::reach("publish.after-write");
    if !surroundings.store.published(entry.id, &handle).await? {
        drop(lock);
        if wrote {
            take_back(surroundings, &intent, order.map(|(id, _)| id)).await?;
        }
        return Err(Error::new(
            ErrorKind::Held,
            t!("another machine finished with %{name} while this one wrote it", name = record.name),
        ));
    }
    failpoint::reach("publish.after-handle");
    surroundings.observer.event(&Event::Published {
        order: order.map(|(id, _)| id),
        record,
        provider: &routed.instance,
        zone: &zone.name,
        was_there: entry.was_there,
    });
    Ok(wrote)
}

/// Removes what this machine wrote too late: it was frozen, or cut off, and another has finished the order and withdrawn the record
/// meanwhile. Journaled like any other record, so that whoever needs the value now keeps it, and a kill loses nothing.
async fn take_back(surroundings: &Surroundings, intent: &Intent, order: Option<&OrderId>) -> Result<()> {
    let holder = Holder::late_write();
    let entry = surroundings.store.intend(intent, &holder).await?;
    withdraw::withdraw(surroundings, &entry, &[holder], order).await
}

/// Writes the value, right after making sure that nobody else took over. A provider that replaces the whole set is read again afterwards
/// where machines share the store: one that woke too late may have put an older set back.
async fn write(surroundings: &Surroundings, planned: &Planned, locks: [Option<&Lock>; 2]) -> Result<Handle> {
    let Planned { record, routed, zone } = planned;
    let capabilities = routed.provider.capabilities();
    let reads_again = surroundings.store.is_shared() && (capabilities.rewrites_set || capabilities.rewrites_zone);
    let mut attempts = 0;
    loop {
        for lock in locks.into_iter().flatten() {
            lock.confirm().await?;
        }
        let handle = routed.provider.publish(zone, record).await?;
        attempts += 1;
        if reads_again {
            failpoint::reach("publish.before-second-look");
        }
        if !reads_again || attempts == WHOLE_SET_ATTEMPTS || routed.provider.find(zone, record).await? != Found::Absent {
            return Ok(handle);
        }
    }
}

/// Whether some authority serves the value already. Authorities only: nothing is cached because of this question.
async fn is_served(surroundings: &Surroundings, record: &Record) -> bool {
    match surroundings.propagation.look(record).await {
        Ok(round) => round.observations.iter().any(|observation| observation.verdict == Verdict::Visible),
        Err(_) => false,
    }
}
