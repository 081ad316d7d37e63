//! `record add` and `record remove`: the provider's part alone, journaled, for a person or for another tool's hook.

use super::{
    Permission, Surroundings,
    event::Event,
    guard,
    publish::{self, Planned},
    withdraw,
};
use crate::{error::Result, language::t, order::OrderId, record::Record, store::Holder};

/// Publishes one record for a person: journaled, kept until `record remove` or `clean --all`. What is there already is success.
///
/// # Errors
/// As the provider's; the apex needs `permission.apex`.
pub async fn add_record(surroundings: &Surroundings, record: &Record, permission: &Permission) -> Result<()> {
    let routed = surroundings.routing.route(&record.name)?;
    let capabilities = routed.provider.capabilities();
    publish::require_type(&routed, &capabilities, record.record_type)?;
    publish::warn_about(surroundings, &routed, None);
    let zone = routed.locate(&record.name).await?;
    // The person says the name, so that only the apex needs a second word.
    let permission = Permission { names: vec![record.name.clone()], ..permission.clone() };
    let request = guard::Request {
        name: &record.name,
        target: &record.name,
        zone: &zone.name,
        domains: &[],
        root_domain: None,
        rewrites_set: capabilities.rewrites_set,
    };
    guard::permit(&request, &permission)?;
    let planned = Planned { record: record.clone(), routed, zone };
    publish::publish(surroundings, &planned, &[Holder::person()], None).await?;
    Ok(())
}

/// Withdraws one record that a person no longer needs. A record that orders hold stays, and the event says so; one that is not in the
/// journal is removed at the provider all the same, as the person names its exact value. What is not there is success.
///
/// # Errors
/// As the provider's.
pub async fn remove_record(surroundings: &Surroundings, record: &Record) -> Result<()> {
    let no_order: Option<&OrderId> = None;
    let entries = surroundings.store.entries().await?;
    let known: Vec<_> = entries.iter().filter(|entry| entry.record == *record).collect();
    if known.is_empty() {
        let routed = surroundings.routing.route(&record.name)?;
        let zone = routed.locate(&record.name).await?;
        let planned = Planned { record: record.clone(), routed, zone };
        // A provider that replaces whole sets would undo what another run writes at the same moment.
        let lock = publish::turn(surroundings, &planned).await?;
        let Planned { routed, zone, .. } = &planned;
        lock.confirm().await?;
        routed
            .provider
            .withdraw(zone, record, None)
            .await
            .map_err(|error| error.context(t!("provider `%{instance}`", instance = routed.instance)))?;
        surroundings.observer.event(&Event::Withdrawn { order: no_order, record, provider: &routed.instance, kept: None });
        return Ok(());
    }
    for entry in known {
        withdraw::withdraw(surroundings, entry, &[Holder::person()], no_order).await?;
    }
    Ok(())
}
