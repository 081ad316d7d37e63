//! The last steps of an order: the certificate on disk, hooks, records withdrawn, and what a later run must know of it.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use super::Driver;
use crate::{
    delivery::{self, Delivered},
    error::{Error, ErrorKind, Result},
    failpoint,
    journey::{
        event::{Event, Outcome},
        machine::{self, Ending},
        requested, withdraw,
    },
    language::t,
    mutex::locked,
    order::Bundle,
};

/// How long withdrawing may take once the order's own time is up.
const WITHDRAW_LATE: Duration = Duration::from_secs(10);

/// Deliveries of one process take turns here: the lock on their folder is made for other processes, and asks again and again on a thread of its own.
static DELIVERIES: Mutex<()> = Mutex::const_new(());

impl Driver<'_> {
    pub(super) async fn deliver(&mut self, bundle: Bundle) -> Result<machine::Event> {
        self.watch = None;
        let options = self.run.options;
        let store = &self.run.surroundings.store;
        if let Err(error) = requested::check(store, &self.origin, self.id, &bundle).await {
            return Ok(machine::Event::DeliveryFailed(error));
        }
        let domains = self.order.as_ref().map(|order| order.domains.clone()).unwrap_or_default();
        self.run.surroundings.observer.event(&Event::Issued { order: self.id, domains: &domains });
        let target = delivery::Target {
            out: options.out.clone(),
            name: options.name.clone(),
            order: self.id.clone(),
            domains,
            form: options.form.clone(),
        };
        // Before the files: whoever dies right after them leaves a hook to run.
        let has_hooks = !options.hooks.is_empty();
        let was_due = self.memory.as_ref().is_some_and(|memory| memory.hook_pending);
        // What is there already is no news: a run that dies now must not call them once more.
        let is_news = has_hooks && !delivery::is_there(&bundle, &target);
        self.remember(|memory| memory.hook_pending |= is_news).await?;
        failpoint::reach("deliver.before");
        let turn = DELIVERIES.lock().await;
        let delivered = tokio::task::spawn_blocking(move || delivery::deliver(&bundle, &target))
            .await
            .map_err(|error| Error::new(ErrorKind::Unexpected, t!("delivery broke off")).with_source(error))?;
        drop(turn);
        let delivered = match delivered {
            Ok(delivered) => delivered,
            Err(error) => return Ok(machine::Event::DeliveryFailed(error)),
        };
        failpoint::reach("deliver.after-files");
        self.remember(|memory| {
            memory.delivered = Some(delivered.folder.clone());
            memory.hook_pending = has_hooks && (delivered.changed || was_due);
        })
        .await?;
        failpoint::reach("deliver.after-memory");
        self.run.surroundings.source.delivered(self.id).await?;
        requested::delivered(&self.run.surroundings.store, &self.origin, self.id).await?;
        self.run.surroundings.observer.event(&Event::Delivered { order: self.id, delivered: &delivered });
        self.delivered = Some(delivered.clone());
        Ok(machine::Event::Delivered(delivered))
    }

    pub(super) async fn withdraw_and_end(&mut self, ending: Ending) -> Result<Outcome> {
        self.watch = None;
        let run = self.run;
        let withdrawing = async {
            let removal = withdraw::withdraw_all(run.surroundings, &self.holder, Some(self.id));
            let grace = if run.stop.stop.is_cancelled() {
                *locked(&run.stop.grace)
            } else if self.time_is_up() <= Instant::now() {
                WITHDRAW_LATE
            } else {
                return removal.await;
            };
            let too_long = || {
                Error::new(ErrorKind::Interrupted, t!("records could not be removed within %{grace} s", grace = grace.as_secs()))
                    .with_hint(t!("the journal knows them: `dv-verify clean` removes them"))
            };
            tokio::time::timeout(grace, removal).await.unwrap_or_else(|_| vec![too_long()])
        };
        let hook_due = self.memory.as_ref().is_some_and(|memory| memory.hook_pending);
        let hooks = async {
            match &self.delivered {
                Some(delivered) if hook_due => self.run_hooks(delivered).await,
                _ => Ok(()),
            }
        };
        // A hook may take long; the record need not wait for it.
        let (failures, hooked) = tokio::join!(withdrawing, hooks);
        for failure in &failures {
            self.warn(&failure.to_string(), failure.hint());
        }
        match hooked {
            Ok(()) if self.delivered.is_some() => self.remember(|memory| memory.hook_pending = false).await?,
            Ok(()) => {}
            // The next run tries the hook again.
            Err(error) => return self.end(Ending::Badly(error)).await,
        }
        self.end(ending).await
    }

    async fn run_hooks(&self, delivered: &Delivered) -> Result<()> {
        let options = self.run.options;
        failpoint::reach("hook.before");
        for hook in &options.hooks {
            delivery::run_hook(
                hook,
                delivered,
                self.id,
                &self.run.surroundings.environment,
                &options.hidden_variables,
                options.hook_timeout,
            )
            .await?;
        }
        failpoint::reach("hook.after");
        Ok(())
    }

    pub(super) async fn end(&mut self, ending: Ending) -> Result<Outcome> {
        let seen = self.order.is_some() && !self.run.options.dry_run;
        let finished = match &ending {
            Ending::Well(Outcome::Issued(_) | Outcome::NothingToDo) => true,
            Ending::Badly(error) => matches!(error.kind(), ErrorKind::Refused | ErrorKind::UnknownOrder),
            Ending::Well(_) => false,
        };
        failpoint::reach("end.before-finished");
        if seen || self.memory.is_some() {
            self.remember(|memory| memory.finished = finished).await?;
        }
        failpoint::reach("end.after-finished");
        match ending {
            Ending::Well(outcome) => Ok(outcome),
            Ending::Badly(error) => Err(error),
        }
    }
}
