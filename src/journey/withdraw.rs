//! Withdrawing: a holder leaves, and the last one takes the record along.

use std::time::Duration;

use super::{Surroundings, event::Event, publish::lock_key};
use crate::{
    error::{Error, Result},
    failpoint,
    language::t,
    order::OrderId,
    store::{Entry, Holder, Intent, Note},
};

/// How long a removal waits for another run that writes at the same name.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Takes `holder` off every entry that it holds, and removes the records that nobody else needs. Goes on after a failure, and returns
/// the failures; what could not be removed stays in the journal for `clean`.
pub(super) async fn withdraw_all(surroundings: &Surroundings, holder: &Holder, order: Option<&OrderId>) -> Vec<Error> {
    let entries = match surroundings.store.entries_of(holder).await {
        Ok(entries) => entries,
        Err(error) => return vec![error],
    };
    let removals = entries.iter().map(|entry| withdraw(surroundings, entry, std::slice::from_ref(holder), order));
    futures_util::future::join_all(removals).await.into_iter().filter_map(Result::err).collect()
}

/// Takes `leaving` off the entry, and removes the record if no holder is left.
pub(super) async fn withdraw(
    surroundings: &Surroundings,
    entry: &Entry,
    leaving: &[Holder],
    order: Option<&OrderId>,
) -> Result<()> {
    let store = &surroundings.store;
    let routed = surroundings.routing.instance(&entry.provider).map_err(|error| left_behind(entry, error))?;
    let capabilities = routed.provider.capabilities();
    let key = lock_key(&entry.provider, &capabilities, &entry.zone, &entry.record.name);
    let lock = store.lock(&key, LOCK_PATIENCE).await?;
    // Under the lock: another run may have joined the holders, or withdrawn the record, meanwhile.
    let Some(entry) = &store.entry(entry.id).await? else { return Ok(()) };
    failpoint::reach("withdraw.before-release");
    let mut remaining: Vec<Holder> = entry.holders.clone();
    for holder in leaving {
        remaining = store.release(entry.id, holder).await?;
    }
    failpoint::reach("withdraw.after-release");
    let kept = |reason: &str| {
        surroundings.observer.event(&Event::Withdrawn {
            order,
            record: &entry.record,
            provider: &entry.provider,
            kept: Some(reason),
        });
    };
    if let Some(other) = remaining.first() {
        kept(&if other.is_person() {
            t!("it is kept until `record remove`").to_owned()
        } else {
            t!("%{other} still needs it", other)
        });
        return Ok(());
    }
    if entry.was_there {
        kept(t!("it was there before"));
        return store.forget(entry.id).await;
    }
    if !capabilities.removal {
        kept(t!("this provider cannot remove records"));
        store.erase_note(&entry.provider, &entry.record);
        return store.forget(entry.id).await;
    }
    lock.confirm().await?;
    routed
        .provider
        .withdraw(&entry.zone, &entry.record, entry.handle.as_ref())
        .await
        .map_err(|error| left_behind(entry, error))?;
    failpoint::reach("withdraw.after-removal");
    store.forget(entry.id).await?;
    if store.entry(entry.id).await?.is_none() {
        store.erase_note(&entry.provider, &entry.record);
    }
    failpoint::reach("withdraw.after-forget");
    surroundings.observer.event(&Event::Withdrawn { order, record: &entry.record, provider: &entry.provider, kept: None });
    Ok(())
}

/// Takes up again what the notes know and the journal does not: it was damaged, or lost what was written to it last. Such a record is an
/// entry that nobody holds. What a person wanted kept stays.
pub(super) async fn recover(surroundings: &Surroundings) -> Result<()> {
    let store = &surroundings.store;
    let is_known = |entries: &[Entry], note: &Note| {
        entries.iter().any(|entry| entry.record == note.record && entry.provider == note.provider)
    };
    let entries = store.entries().await?;
    for note in store.notes().into_iter().filter(|note| !note.is_kept && !is_known(&entries, note)) {
        // Where the instance is no longer configured, the note waits.
        let Ok(routed) = surroundings.routing.instance(&note.provider) else { continue };
        let key = lock_key(&note.provider, &routed.provider.capabilities(), &note.zone, &note.record.name);
        let Some(_lock) = store.try_lock(&key).await? else { continue };
        // Under the lock: whoever noted it a moment ago has journaled it by now.
        if is_known(&store.entries().await?, &note) {
            continue;
        }
        let message = t!("%{record} was ours, and the journal did not know it any more", record = note.record.title());
        surroundings.observer.event(&Event::Warning { order: None, message: &message, hint: None });
        let intent = Intent { provider: note.provider, zone: note.zone, record: note.record, was_there: false };
        let nobody = Holder::person();
        let entry = store.intend(&intent, &nobody).await?;
        store.release(entry.id, &nobody).await?;
    }
    Ok(())
}

fn left_behind(entry: &Entry, error: Error) -> Error {
    error
        .context(t!(
            "%{record} at provider `%{provider}` could not be removed",
            record = entry.record.title(),
            provider = entry.provider
        ))
        .with_hint(t!("it stays in the journal: `dv-verify clean` removes it once the cause is gone"))
}
