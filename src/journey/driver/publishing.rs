//! Publishing what an order asks for, and waiting until it can be seen.

use std::collections::HashSet;

use futures_util::future::{BoxFuture, join_all, try_join_all};
use tokio::time::Instant;

use super::{Driver, LEAST_READ};
use crate::{
    error::{Error, ErrorKind, Result},
    failpoint,
    journey::{
        FINISH, machine,
        publish::{self, Planned},
        sight, withdraw,
    },
    language::t,
    mutex::locked,
    order::Challenge,
    record::{Record, RecordType},
    store::{Entry, Holder},
};

impl<'a> Driver<'a> {
    pub(super) async fn publish(&mut self, challenges: Vec<Challenge>) -> Result<machine::Event> {
        let Some(order) = self.order.clone() else {
            return Err(Error::new(ErrorKind::Unexpected, t!("challenges without an order")));
        };
        // A later run must know the order before the first record is out.
        self.remember(|_| ()).await?;
        let plans = challenges.iter().map(|challenge| publish::plan(self.run.surroundings, self.run.options, &order, challenge));
        let too_late = self.time_is_up().max(Instant::now() + LEAST_READ);
        let planned = tokio::select! {
            biased;
            () = self.run.stop.stop.cancelled() => return Ok(self.stopped()),
            planned = try_join_all(plans) => planned,
            () = tokio::time::sleep_until(too_late) => Err(Error::provider(t!("the provider did not answer in time"))),
        };
        let mut planned = match planned {
            Ok(planned) => planned,
            Err(error) => return Ok(machine::Event::PublishFailed(error)),
        };
        // Two challenges may ask for the same record (apex and wildcard).
        let mut seen = HashSet::new();
        planned.retain(|planned| seen.insert(planned.record.clone()));
        for planned in &planned {
            self.warn_about_provider(planned);
        }
        // A file has one content: what an earlier challenge put in its place goes first.
        if !self.withdraw_stale(&planned, |record| record.record_type == RecordType::File).await {
            return Ok(self.stopped());
        }
        match self.write(&planned).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(self.stopped()),
            Err(error) => return Ok(machine::Event::PublishFailed(error)),
        }
        if !self.withdraw_stale(&planned, |_| true).await {
            return Ok(self.stopped());
        }
        self.told = planned.iter().map(|planned| planned.record.clone()).collect();
        self.watch = Some(self.watch_propagation(planned));
        Ok(machine::Event::Published)
    }

    /// Writes all records; one failure ends it. A write under way is not cut off at once when the user asks to stop; the wait for another run that
    /// writes at the same name is.
    async fn write(&mut self, planned: &[Planned]) -> Result<()> {
        let mut holders = vec![self.holder.clone()];
        if self.run.options.keep_record {
            holders.push(Holder::person());
        }
        let (surroundings, stop, id) = (self.run.surroundings, self.run.stop, self.id);
        let (order, holders) = (Some((id, self.lock)), &holders);
        let interrupted = || Error::new(ErrorKind::Interrupted, t!("interrupted while writing"));
        let writes = join_all(planned.iter().map(|planned| async move {
            let turn = tokio::select! {
                biased;
                () = stop.stop.cancelled() => return Err(interrupted()),
                turn = publish::turn(surroundings, planned) => turn?,
            };
            publish::publish_holding(surroundings, planned, holders, order, turn).await
        }));
        let too_late = self.time_is_up().max(Instant::now()) + FINISH;
        let written = tokio::select! {
            written = writes => written,
            () = stop.is_overdue() => return Err(interrupted()),
            () = tokio::time::sleep_until(too_late) => return Err(Error::provider(t!("the provider did not answer in time"))),
        };
        let mut failure = None;
        for (planned, written) in planned.iter().zip(written) {
            match written {
                Ok(true) => self.wrote_at.push((planned.record.clone(), Instant::now())),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Withdraws what an earlier challenge of this order asked for, and this one does not; false where the user asked to stop and it went on for
    /// too long: what is left is in the journal.
    async fn withdraw_stale(&self, planned: &[Planned], concerns: fn(&Record) -> bool) -> bool {
        tokio::select! {
            () = self.try_withdraw_stale(planned, concerns) => true,
            () = self.run.stop.is_overdue() => false,
        }
    }

    async fn try_withdraw_stale(&self, planned: &[Planned], concerns: fn(&Record) -> bool) {
        let surroundings = self.run.surroundings;
        let entries = surroundings.store.entries_of(&self.holder).await.unwrap_or_default();
        let entries = entries.iter().filter(|entry| concerns(&entry.record));
        for entry in entries.filter(|entry| !planned.iter().any(|planned| is_of(entry, planned))) {
            if let Err(error) = withdraw::withdraw(surroundings, entry, std::slice::from_ref(&self.holder), Some(self.id)).await {
                self.warn(&error.to_string(), error.hint());
            }
        }
    }

    fn warn_about_provider(&self, planned: &Planned) {
        let instance = &planned.routed.instance;
        let fresh = locked(self.run.warned).insert(instance.clone());
        if fresh {
            publish::warn_about(self.run.surroundings, &planned.routed, Some(self.id));
        }
    }

    /// A future that ends once all records are visible and the source was told, or one cannot be seen in time.
    fn watch_propagation(&self, planned: Vec<Planned>) -> BoxFuture<'a, machine::Event> {
        let run = self.run;
        let id = self.id;
        let wrote_at = self.wrote_at.clone();
        let order = self.order.clone();
        Box::pin(async move {
            let waits = planned.iter().map(|planned| {
                let wrote = wrote_at.iter().find(|(record, _)| *record == planned.record).map(|(_, at)| *at);
                sight::see(run, id, order.as_ref(), planned, wrote)
            });
            failpoint::reach("visible.before");
            if let Err(error) = try_join_all(waits).await {
                return machine::Event::NotVisible(error);
            }
            failpoint::reach("visible.after");
            if let Some(order) = order
                && let Err(error) = run.surroundings.source.in_place(&order).await
            {
                return machine::Event::NotVisible(error);
            }
            machine::Event::Visible
        })
    }
}

fn is_of(entry: &Entry, planned: &Planned) -> bool {
    entry.record == planned.record && entry.provider == planned.routed.instance && entry.zone.name == planned.zone.name
}
